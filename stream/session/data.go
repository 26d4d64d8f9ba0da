package session

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// exchange is what both ends hold of a running operation.
type exchange struct {
	l     *link
	call  uint32
	in    *inbox
	allow *allowance
	over  chan struct{} // closed by end: final answer, cancellation, end of the link
	err   error         // set before over is closed
	once  sync.Once
	w     *DataWriter
}

func newExchange(l *link, call uint32, buf []byte) *exchange {
	x := &exchange{l: l, call: call, allow: newAllowance(), over: make(chan struct{})}
	x.in = newInbox(buf, func(n uint32) { l.side.set(call, func() { l.side.credit += n }) })
	x.w = &DataWriter{x: x, free: make(chan []byte, dataBuffers)}
	go func() {
		select {
		case <-l.done:
			x.end(l.err)
		case <-x.over:
		}
	}()
	return x
}

// end closes the exchange for its data streams; the first reason counts.
func (x *exchange) end(err error) {
	x.once.Do(func() {
		x.err = err
		close(x.over)
		x.in.finish(err)
	})
}

// dataBuffers is how many buffers of MaxData a DataWriter uses: one is filled while
// the other is on its way.
const dataBuffers = 2

// DataWriter writes one direction's data stream. It buffers up to MaxData bytes; it
// is for one goroutine.
type DataWriter struct {
	x      *exchange
	buf    []byte // header room and what is not sent yet; nil: none
	made   int
	free   chan []byte
	ended  atomic.Bool // also set by Abort, while a write may be under way
	broken error
}

// Write implements io.Writer. It blocks while the reader at the other end does not
// take what was sent.
func (w *DataWriter) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		if err := w.prepare(); err != nil {
			return total, err
		}
		n := min(len(p), headerSize+MaxData-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p, total = p[n:], total+n
		if len(w.buf) == headerSize+MaxData {
			if err := w.Flush(); err != nil {
				return total, err
			}
		}
	}
	return total, w.broken
}

// prepare makes w.buf ready to take bytes.
func (w *DataWriter) prepare() error {
	if w.ended.Load() && w.broken == nil {
		w.broken = errors.New("write after the end of the data stream")
	}
	if w.broken != nil || w.buf != nil {
		return w.broken
	}
	if w.made < dataBuffers {
		w.made++
		w.buf = make([]byte, headerSize, headerSize+MaxData)
		return nil
	}
	select {
	case b := <-w.free:
		w.buf = b[:headerSize]
	case <-w.x.over:
		w.broken = w.x.err
	}
	return w.broken
}

// Flush sends what is buffered.
func (w *DataWriter) Flush() error {
	for w.broken == nil && len(w.buf) > headerSize {
		n := w.x.allow.take(len(w.buf) - headerSize)
		if n == 0 {
			select {
			case <-w.x.allow.wake:
			case <-w.x.over:
				w.broken = w.x.err
			}
			continue
		}
		w.broken = w.sendSome(n)
	}
	return w.broken
}

// sendSome sends the first n buffered bytes. The rest, which only a closed window
// leaves, moves to a buffer of its own.
func (w *DataWriter) sendSome(n int) error {
	whole := w.buf
	w.buf = nil
	if rest := whole[headerSize+n:]; len(rest) > 0 {
		if err := w.prepare(); err != nil {
			return err
		}
		w.buf = append(w.buf, rest...)
	}
	b := whole[:headerSize+n]
	putHeader(b, header{typ: msgData, call: w.x.call, length: uint32(n), payloadSum: sum(b[headerSize:])})
	select {
	case w.x.l.out <- outgoing{buf: b, free: w.free}:
		return nil
	case <-w.x.over:
		return w.x.err
	}
}

// Close flushes and sends end-of-data; it does not close the session. Closing twice
// is no error.
func (w *DataWriter) Close() error {
	if w.ended.Load() {
		return w.broken
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w.ended.Store(true)
	w.broken = nil
	return w.x.l.send(context.Background(), outgoing{buf: message(msgDataEnd, 0, w.x.call, nil)})
}

// reader is the receiving side for users: an inbox ends only with data-end in io.EOF.
type reader struct{ in *inbox }

func (r reader) Read(p []byte) (int, error) { return r.in.Read(p) }

var _ io.Reader = reader{}
