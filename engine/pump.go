package engine

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// pumpSize is the size of each of a pump's two buffers.
const pumpSize = 256 << 10

// writePump writes to a pipe from its own goroutine, so that a peer that does not read
// cannot keep us from stopping: after cancellation Write returns at once, and at most the
// goroutine with its own two buffers stays behind until the pipe breaks.
type writePump struct {
	ctx   context.Context
	full  chan []byte // closed by Flush
	empty chan []byte
	done  chan error // the goroutine's end
	cur   []byte
	err   error

	busy  atomic.Int64 // nanoseconds spent in the destination's Write
	moved atomic.Int64 // bytes written
}

func newWritePump(ctx context.Context, w io.Writer) *writePump {
	p := &writePump{ctx: ctx, full: make(chan []byte, 1), empty: make(chan []byte, 2), done: make(chan error, 1)}
	p.empty <- nil // allocated when first used
	p.empty <- nil
	go p.run(w)
	return p
}

func (p *writePump) run(w io.Writer) {
	for b := range p.full {
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
		return flushErr
	}
	select {
	case p.err = <-p.done:
	case <-p.ctx.Done():
		p.err = context.Cause(p.ctx)
	}
	return p.err
}

// readPump reads ahead from a pipe, in its own goroutine for the same reason.
type readPump struct {
	ctx   context.Context
	full  chan []byte // closed after the last
	empty chan []byte
	end   error // set before full is closed
	cur   []byte
	buf   []byte
}

func newReadPump(ctx context.Context, r io.Reader) *readPump {
	p := &readPump{ctx: ctx, full: make(chan []byte, 2), empty: make(chan []byte, 2)}
	p.empty <- nil
	p.empty <- nil
	go p.run(r)
	return p
}

func (p *readPump) run(r io.Reader) {
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

// Read implements io.Reader.
func (p *readPump) Read(b []byte) (int, error) {
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
