package session

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Progress is a handler's account of where it stands.
type Progress struct {
	Phase string `json:"phase"` // spooling, applying, fsync, hashing ...
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // 0: unknown
	Text  string `json:"text,omitempty"`
}

// Handler serves requests, one at a time per session. ctx is cancelled when the
// peer is gone, silent for too long, or cancelled the exchange. An error that is a
// *failure.Error travels with code, subject, reason and next; any other as code 1.
// A handler that returns nil without Reply sends an empty reply.
type Handler interface {
	Handle(ctx context.Context, req *Request) error
}

// HandlerFunc adapts a function.
type HandlerFunc func(ctx context.Context, req *Request) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req *Request) error { return f(ctx, req) }

// errBye ends a session in order.
var errBye = errors.New("the client said bye")

// server is the state of Serve.
type server struct {
	l        *link
	peer     Peer
	requests chan *Request

	mu   sync.Mutex
	call uint32    // number of the newest exchange
	cur  *Request  // nil: none runs
	last *exchange // the newest, running or not: its buffer is used again
}

// Serve answers requests on rw until the peer ends the session (nil), is gone or
// breaks the protocol, or ctx ends. A running handler is cancelled and waited for.
// Serve closes rw; a read of it that cannot be interrupted is left behind.
func Serve(ctx context.Context, rw io.ReadWriteCloser, h Handler, opt Options) error {
	opt, err := opt.complete()
	if err != nil {
		return err
	}
	line, err := opt.banner()
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(rw, 64<<10)
	s := &server{l: newLink(rw, in, opt), requests: make(chan *Request, 1)}
	err = handshake(ctx, rw, opt.Handshake, func() error {
		if _, err := io.WriteString(rw, line); err != nil {
			return gone(err)
		}
		p, err := readBanner(in, 0)
		if err != nil {
			return err
		}
		s.peer = p // read only if the handshake came to its end
		return checkVersion(p)
	})
	if err != nil {
		return err
	}
	s.l.receive, s.l.inbox = s.receive, s.inbox
	s.l.start()
	stop := context.AfterFunc(ctx, func() { s.l.fail(context.Cause(ctx)) })
	defer stop()
	for {
		select {
		case r := <-s.requests:
			s.handle(ctx, h, r)
		case <-s.l.done:
			if errors.Is(s.l.err, errBye) {
				return nil
			}
			return s.l.err
		}
	}
}

// handle runs one exchange and sends its final answer.
func (s *server) handle(ctx context.Context, h Handler, r *Request) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() { // ties the handler to the peer's life
		select {
		case <-r.x.over:
			cancel(r.x.err)
		case <-ended:
		}
	}()
	err := h.Handle(ctx, r)
	if err == nil {
		err = r.flushed()
	}
	s.l.side.begin(0) // progress must not follow the answer
	typ, payload := msgReply, r.reply
	if err == nil && payload == nil {
		payload = []byte("{}")
	}
	if err != nil {
		s.l.opt.Log.Debug("request failed", "op", r.Op, "err", err)
		typ = msgFailure
		if payload, err = encodeJSON(typ, toWire(err)); err != nil {
			payload = []byte(`{"code":1}`)
		}
	}
	// The next request may come as soon as the answer is out.
	r.x.end(ErrOver)
	s.mu.Lock()
	s.cur = nil
	s.mu.Unlock()
	if err := s.l.send(context.Background(), outgoing{buf: message(typ, 0, r.x.call, payload)}); err != nil {
		s.l.opt.Log.Debug("answer not sent", "op", r.Op, "err", err)
	}
}

// inbox implements link.inbox.
func (s *server) inbox(call uint32) *inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil || s.cur.x.call != call {
		return nil
	}
	return s.cur.x.in
}

// receive implements link.receive.
func (s *server) receive(h header, payload []byte) error {
	switch h.typ {
	case msgBye:
		return errBye
	case msgRequest:
		return s.begin(h, payload)
	case msgReady, msgProgress, msgReply, msgFailure:
		return protocolError("%v message from a client", h.typ)
	}
	s.mu.Lock()
	r, newest := s.cur, s.call
	s.mu.Unlock()
	if h.call > newest {
		return protocolError("%v message for call %d, %d is the newest", h.typ, h.call, newest)
	}
	if r == nil || r.x.call != h.call {
		return nil
	}
	switch h.typ {
	case msgDataEnd:
		r.x.in.finish(io.EOF)
	case msgCredit:
		return r.x.allow.add(binary.LittleEndian.Uint32(payload))
	case msgCancel:
		r.x.end(fmt.Errorf("%w: %s", ErrCancelled, Printable(string(payload))))
	}
	return nil
}

// begin takes a request; the previous exchange must be over.
func (s *server) begin(h header, payload []byte) error {
	var req request
	if err := strictJSON(payload, &req); err != nil {
		return protocolError("request: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.call != s.call+1 {
		return protocolError("request for call %d after %d", h.call, s.call)
	}
	if s.cur != nil {
		return protocolError("request %q while another exchange runs", Printable(req.Op))
	}
	s.call = h.call
	var ring []byte
	if s.last != nil {
		ring = s.last.in.retire() // puts run in this goroutine only
	}
	r := &Request{Op: Printable(req.Op), in: req.In, peer: s.peer, x: newExchange(s.l, h.call, ring)}
	s.last = r.x
	if h.flags&flagNoData != 0 {
		r.x.in.finish(io.EOF)
	}
	s.cur = r
	s.l.side.begin(h.call)
	s.requests <- r // has room: the previous one was taken before it ended
	return nil
}

// Request is one running operation, seen by the server.
type Request struct {
	Op     string
	in     json.RawMessage
	peer   Peer
	x      *exchange
	reply  []byte
	writes bool // the handler asked for Writer
}

// Decode decodes the request's argument; unknown keys are refused, because an older
// server must not act on half of what it was told.
func (r *Request) Decode(in any) error {
	if len(r.in) == 0 {
		return failure.With(failure.CodeCorrupt, r.Op, "the request has no argument", "", ErrProtocol)
	}
	if err := strictJSON(r.in, in); err != nil {
		return failure.With(failure.CodeCorrupt, r.Op, "the request's argument is not understood",
			"install the same ddsgo version on both machines", fmt.Errorf("%w: %w", ErrProtocol, err))
	}
	return nil
}

func strictJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}

// Peer is the client's banner.
func (r *Request) Peer() Peer { return r.peer }

// Ready sends the preliminary answer.
func (r *Request) Ready(v any) error {
	return r.x.l.sendJSON(context.Background(), msgReady, 0, r.x.call, v)
}

// Data is the client's data stream: io.EOF only after its end-of-data, any other end is an error.
func (r *Request) Data() io.Reader { return reader{r.x.in} }

// Writer is our data stream to the client; it is ended when Handle returns nil.
func (r *Request) Writer() *DataWriter {
	r.writes = true
	return r.x.w
}

// flushed sends what a handler left in its Writer, and the end of that stream.
func (r *Request) flushed() error {
	if !r.writes {
		return nil
	}
	return r.x.w.Close()
}

// Progress tells the client where we stand; it never blocks and may be called as
// often as one likes (all but the newest of a burst are dropped).
func (r *Request) Progress(p Progress) {
	p.Phase, p.Text = cut(p.Phase), cut(p.Text)
	b, err := encodeJSON(msgProgress, p)
	if err != nil {
		return // two numbers and two bounded texts always encode
	}
	r.x.l.side.set(r.x.call, func() { r.x.l.side.progress = b })
}

// Reply sets the final answer; it is sent when Handle returns nil.
func (r *Request) Reply(v any) error {
	b, err := encodeJSON(msgReply, v)
	if err != nil {
		return err
	}
	r.reply = b
	return nil
}
