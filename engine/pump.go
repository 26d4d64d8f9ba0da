package engine

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/ddsgo/ddsgo/stream"
)

// pumpGrace is how long an ended pump waits for its goroutine, which may be inside a call of
// the pipe's. Most pipes are used by one goroutine at a time, so their owner should find it
// gone; only a peer that neither reads nor writes makes it stay.
const pumpGrace = 200 * time.Millisecond

// gone waits for the end of a pump's goroutine.
func gone(ended <-chan struct{}) {
	t := time.NewTimer(pumpGrace)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

// pumpSize is the size of each of a pump's two buffers.
const pumpSize = 256 << 10

// writePump writes to a pipe from its own goroutine, so that a peer that does not read
// cannot keep us from stopping: after cancellation Write returns at once, and at most the
// goroutine with its own two buffers stays behind until the pipe breaks.
type writePump struct {
	ctx   context.Context
	abort context.CancelCauseFunc // ends a Write that waits, and the goroutine
	full  chan []byte             // closed by Flush
	empty chan []byte
	done  chan error // what the goroutine ended with
	ended chan struct{}
	cur   []byte
	err   error

	busy  atomic.Int64 // nanoseconds spent in the destination's Write
	moved atomic.Int64 // bytes written
}

func newWritePump(ctx context.Context, w io.Writer) *writePump {
	p := &writePump{full: make(chan []byte, 1), empty: make(chan []byte, 2), done: make(chan error, 1), ended: make(chan struct{})}
	p.ctx, p.abort = context.WithCancelCause(ctx)
	p.empty <- nil // allocated when first used
	p.empty <- nil
	go p.run(w)
	return p
}

func (p *writePump) run(w io.Writer) {
	defer close(p.ended)
	for b := range p.full {
		if p.ctx.Err() != nil {
			p.done <- context.Cause(p.ctx) // what is left of an aborted delta is not worth writing
			return
		}
		start := time.Now()
		n, err := w.Write(b)
		p.busy.Add(int64(time.Since(start)))
		p.moved.Add(int64(n))
		if err != nil {
			p.done <- err
			return
		}
		p.empty <- b[:0]
	}
	p.done <- nil
}

// Write implements io.Writer.
func (p *writePump) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if p.cur == nil {
			if err := p.takeBuffer(); err != nil {
				return 0, err
			}
		}
		m := copy(p.cur[len(p.cur):cap(p.cur)], b)
		p.cur, b = p.cur[:len(p.cur)+m], b[m:]
		if len(p.cur) == cap(p.cur) {
			if err := p.send(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (p *writePump) takeBuffer() error {
	if p.err != nil {
		return p.err
	}
	select {
	case b := <-p.empty:
		if b == nil {
			b = make([]byte, 0, pumpSize)
		}
		p.cur = b
		return nil
	case p.err = <-p.done:
	case <-p.ctx.Done():
		p.err = context.Cause(p.ctx)
	}
	return p.err
}

func (p *writePump) send() error {
	if p.err != nil {
		return p.err
	}
	select {
	case p.full <- p.cur:
		p.cur = nil
		return nil
	case p.err = <-p.done:
	case <-p.ctx.Done():
		p.err = context.Cause(p.ctx)
	}
	return p.err
}

// Flush hands on what is buffered.
func (p *writePump) Flush() error {
	if len(p.cur) == 0 {
		return p.err
	}
	return p.send()
}

// Close writes what is left and waits until the destination has taken all of it. After an
// earlier error it only ends the goroutine.
func (p *writePump) Close() error {
	flushErr := p.Flush()
	close(p.full)
	if flushErr != nil {
		gone(p.ended)
		return flushErr
	}
	select {
	case <-p.ended:
		p.err = <-p.done
	case <-p.ctx.Done():
		p.err = context.Cause(p.ctx)
		gone(p.ended)
	}
	return p.err
}

// readPump reads ahead from a pipe, in its own goroutine for the same reason.
type readPump struct {
	ctx   context.Context
	abort context.CancelCauseFunc // ends a Read that waits
	full  chan []byte             // closed after the last
	empty chan []byte
	end   error // set before full is closed
	ended chan struct{}
	cur   []byte
	buf   []byte
	front []byte
}

// Incoming is a delta of which the header was read, so that its reader can decide how to
// receive it. It is then given to Receive, ReceiveSpool or Merge, once.
type Incoming struct {
	Header stream.Header
	pump   *readPump
}

// Peek reads the header of a delta.
func Peek(ctx context.Context, r io.Reader) (*Incoming, error) {
	tap := &headerTap{r: newReadPump(ctx, r), on: true}
	h, err := stream.ReadHeader(tap)
	if err != nil {
		return nil, err
	}
	p := tap.r.(*readPump)
	p.unread(tap.seen)
	return &Incoming{Header: h, pump: p}, nil
}

// Read implements io.Reader.
func (in *Incoming) Read(b []byte) (int, error) { return in.pump.Read(b) }

// Close gives the delta up: what still comes is not read.
func (in *Incoming) Close() { in.pump.stop() }

func newReadPump(ctx context.Context, r io.Reader) *readPump {
	if in, ok := r.(*Incoming); ok {
		return in.pump
	}
	p := &readPump{full: make(chan []byte, 2), empty: make(chan []byte, 2), ended: make(chan struct{})}
	p.ctx, p.abort = context.WithCancelCause(ctx)
	p.empty <- nil
	p.empty <- nil
	go p.run(r)
	return p
}

func (p *readPump) run(r io.Reader) {
	defer close(p.ended)
	defer close(p.full)
	for {
		select {
		case <-p.ctx.Done():
			p.end = context.Cause(p.ctx)
			return
		case b := <-p.empty:
			if b == nil {
				b = make([]byte, pumpSize)
			}
			n, err := r.Read(b[:cap(b)])
			p.full <- b[:n] // never blocks: two buffers, two places
			if err != nil {
				p.end = err
				return
			}
		}
	}
}

// stop ends the pump; what still comes is not read.
func (p *readPump) stop() {
	p.abort(nil)
	gone(p.ended)
}

// unread puts b in front of what comes.
func (p *readPump) unread(b []byte) { p.front = b }

// Read implements io.Reader.
func (p *readPump) Read(b []byte) (int, error) {
	if len(p.front) > 0 {
		n := copy(b, p.front)
		p.front = p.front[n:]
		return n, nil
	}
	for len(p.cur) == 0 {
		if p.buf != nil {
			p.empty <- p.buf
			p.buf = nil
		}
		select {
		case next, ok := <-p.full:
			if !ok {
				return 0, p.end
			}
			p.buf, p.cur = next[:cap(next)], next
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		}
	}
	n := copy(b, p.cur)
	p.cur = p.cur[n:]
	return n, nil
}
