package session

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Conn is the client's end. One exchange runs at a time.
type Conn struct {
	l    *link
	peer Peer

	mu   sync.Mutex
	call uint32    // number of the newest exchange
	cur  *Exchange // nil: none runs
	ring []byte    // buffer that exchanges use one after the other
}

// Connect does the handshake over rwc and starts the session. It takes rwc over:
// Close closes it, and so does a failure here.
func Connect(ctx context.Context, rwc io.ReadWriteCloser, opt Options) (*Conn, error) {
	opt, err := opt.complete()
	if err != nil {
		return nil, err
	}
	line, err := opt.banner()
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(rwc, 64<<10)
	c := &Conn{l: newLink(rwc, in, opt)}
	err = handshake(ctx, rwc, opt.Handshake, func() error {
		p, err := readBanner(in, MaxNoise)
		if err != nil {
			return err
		}
		if err := checkVersion(p); err != nil {
			return err
		}
		c.peer = p
		_, err = io.WriteString(rwc, line)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.l.receive, c.l.inbox = c.receive, c.inbox
	c.l.start()
	return c, nil
}

// Peer is the server's banner.
func (c *Conn) Peer() Peer { return c.peer }

// Call runs op with in and decodes the answer into out (either may be nil). A
// refusal by the server is the *failure.Error that its handler returned. Cancelling
// ctx ends the session: the connection cannot be used afterwards.
func (c *Conn) Call(ctx context.Context, op string, in, out any, progress func(Progress)) error {
	x, err := c.begin(ctx, op, in, flagNoData, progress)
	if err != nil {
		return err
	}
	x.x.w.ended.Store(true)
	return x.Finish(out)
}

// Start begins an exchange with data streams. Typical use:
//
//	x, err := conn.Start(ctx, "receive", req, onProgress)
//	err = x.Ready(&answer)                       // the server's preliminary answer
//	err = x.Send(func(w io.Writer) error {...})  // our data; ends with end-of-data
//	err = x.Finish(&result)                      // the server's final answer
//
// Recv may be read at the same time as Send writes. Finish must always be called,
// also after an error: it releases the exchange. Cancelling ctx ends the session.
func (c *Conn) Start(ctx context.Context, op string, in any, progress func(Progress)) (*Exchange, error) {
	return c.begin(ctx, op, in, 0, progress)
}

// closeGrace is how long Close waits for a stopped peer to take our last message.
const closeGrace = time.Second

// Close ends the session in order and closes the connection.
func (c *Conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	written := make(chan struct{})
	if c.l.send(ctx, outgoing{buf: message(msgBye, 0, 0, nil), written: written}) == nil {
		select {
		case <-written:
		case <-c.l.done:
		case <-ctx.Done():
		}
	}
	c.l.fail(ErrClosed)
	<-c.l.closed
	return nil
}

// request is the payload of a request message.
type request struct {
	Op string          `json:"op"`
	In json.RawMessage `json:"in,omitempty"`
}

func (c *Conn) begin(ctx context.Context, op string, in any, flags uint8, progress func(Progress)) (*Exchange, error) {
	req := request{Op: op}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s: encode request: %w", op, err)
		}
		req.In = b
	}
	c.mu.Lock()
	if c.cur != nil {
		c.mu.Unlock()
		return nil, ErrBusy
	}
	c.call++
	x := &Exchange{c: c, op: op, x: newExchange(c.l, c.call, c.ring), ready: make(chan json.RawMessage, 1)}
	x.watch(ctx, progress) // before the server can answer
	c.l.side.begin(x.x.call)
	c.cur = x
	c.mu.Unlock()
	if err := c.l.sendJSON(ctx, msgRequest, flags, x.x.call, req); err != nil {
		x.release()
		return nil, err
	}
	return x, nil
}

// inbox implements link.inbox.
func (c *Conn) inbox(call uint32) *inbox {
	if x := c.current(call); x != nil {
		return x.x.in
	}
	return nil
}

// current is the exchange that call means, unless it is over.
func (c *Conn) current(call uint32) *Exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cur == nil || c.cur.x.call != call {
		return nil
	}
	select {
	case <-c.cur.x.over:
		return nil
	default:
		return c.cur
	}
}

// receive implements link.receive.
func (c *Conn) receive(h header, payload []byte) error {
	c.mu.Lock()
	newest := c.call
	c.mu.Unlock()
	if h.call > newest {
		return protocolError("%v message for call %d, %d is the newest", h.typ, h.call, newest)
	}
	x := c.current(h.call)
	if x == nil {
		return nil
	}
	switch h.typ {
	case msgReady:
		if x.readied {
			return protocolError("a second ready message")
		}
		x.readied = true
		x.ready <- payload // it has room for one
	case msgDataEnd:
		x.x.in.finish(io.EOF)
	case msgCredit:
		return x.x.allow.add(binary.LittleEndian.Uint32(payload))
	case msgProgress:
		return x.gotProgress(payload)
	case msgReply:
		x.reply = payload
		x.x.end(ErrOver)
	case msgFailure:
		var f wireFailure
		if err := json.Unmarshal(payload, &f); err != nil {
			return protocolError("failure message: %v", err)
		}
		x.failed = f.fromWire()
		x.x.end(x.failed)
	default:
		return protocolError("%v message from a server", h.typ)
	}
	return nil
}

// Exchange is one running operation, seen by the client.
type Exchange struct {
	c  *Conn
	x  *exchange
	op string

	ready    chan json.RawMessage
	readied  bool          // the reading goroutine's: ready was used
	progress chan Progress // newest only
	reply    []byte
	failed   error // the server's failure
	aborted  error // why we gave up
	unwatch  func()
}

// watch ties the exchange to ctx and starts handing progress on.
func (x *Exchange) watch(ctx context.Context, progress func(Progress)) {
	stop := context.AfterFunc(ctx, func() { x.c.l.fail(context.Cause(ctx)) })
	if progress == nil {
		x.unwatch = func() { stop() }
		return
	}
	x.progress = make(chan Progress, 1)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case p := <-x.progress:
				progress(p)
			case <-quit:
				return
			}
		}
	}()
	x.unwatch = func() { stop(); close(quit); <-ended }
}

func (x *Exchange) gotProgress(payload []byte) error {
	if x.progress == nil {
		return nil
	}
	var p Progress
	if err := json.Unmarshal(payload, &p); err != nil {
		return protocolError("progress message: %v", err)
	}
	p.Phase, p.Text = Printable(p.Phase), Printable(p.Text)
	select {
	case <-x.progress: // what nobody took yet is old
	default:
	}
	x.progress <- p // the only sender, and there is room now
	return nil
}

// Ready waits for the server's preliminary answer. A handler that failed before it
// gives its error here, one that replied at once ErrOver.
func (x *Exchange) Ready(out any) error {
	select {
	case p := <-x.ready:
		return x.decode(p, out)
	case <-x.x.over:
		select {
		case p := <-x.ready: // it came before the end
			return x.decode(p, out)
		default:
			return x.x.err
		}
	}
}

// Send calls write with a writer of our data stream, then ends the stream. If the
// server fails meanwhile, writing fails with its error and so does Send. If write
// fails by itself, the server is told that the stream is not whole.
func (x *Exchange) Send(write func(io.Writer) error) error {
	err := write(x.x.w)
	if err == nil {
		err = x.x.w.Close()
	}
	if x.isOver() && x.failed != nil {
		return x.failed
	}
	if err != nil {
		x.Abort(err)
	}
	return err
}

func (x *Exchange) isOver() bool {
	select {
	case <-x.x.over:
		return true
	default:
		return false
	}
}

// Abort gives the exchange up: the server's handler is cancelled and its data stream
// fails. Finish then returns why, after the server has stopped.
func (x *Exchange) Abort(why error) {
	if x.aborted != nil || x.isOver() {
		return
	}
	x.aborted = why
	x.x.w.ended.Store(true)
	msg := outgoing{buf: message(msgCancel, 0, x.x.call, []byte(cut(why.Error())))}
	if err := x.c.l.send(context.Background(), msg); err != nil {
		x.c.l.opt.Log.Debug("cancel exchange", "err", err)
	}
}

// Writer is our data stream for interactive use: Flush sends what is buffered,
// Close ends the stream.
func (x *Exchange) Writer() *DataWriter { return x.x.w }

// Recv is the server's data stream: io.EOF at its end-of-data, the session's or the
// server's error otherwise.
func (x *Exchange) Recv() io.Reader { return reader{x.x.in} }

// Finish ends our data stream, drops what is unread of the server's, and waits for
// the final answer.
func (x *Exchange) Finish(out any) error {
	defer x.release()
	x.x.in.drop()
	if x.aborted == nil {
		// An error shows in the answer, or as the session's end.
		if err := x.x.w.Close(); err != nil {
			x.c.l.opt.Log.Debug("end of data", "err", err)
		}
	}
	<-x.x.over
	switch {
	case x.aborted != nil:
		return x.aborted
	case x.reply != nil:
		return x.decode(x.reply, out)
	}
	return x.x.err // the server's failure, or the end of the session
}

// release frees the connection for the next exchange.
func (x *Exchange) release() {
	x.c.mu.Lock()
	mine := x.c.cur == x
	if mine {
		x.c.cur = nil
		x.c.ring = nil
		if x.reply != nil || x.failed != nil { // then no put is under way
			x.c.ring = x.x.in.retire()
		}
	}
	x.c.mu.Unlock()
	if mine {
		x.unwatch()
		x.x.end(ErrOver)
	}
}

func (x *Exchange) decode(p []byte, out any) error {
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(p, out); err != nil {
		return protocolError("answer to %s: %v", x.op, err)
	}
	return nil
}
