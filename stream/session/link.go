package session

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// link is what both ends have in common: one goroutine that reads messages and
// hands them to receive, one that writes them, and a watch on the peer's life.
//
//	reading (never waits for anything but the connection)
//	    rw -> bufio -> header -> payload -> receive or inbox
//	writing
//	    out (in order: requests, answers, data) ----.
//	    side (credit, progress: the newest counts) --+-> rw
//	    heartbeat ----------------------------------'
type link struct {
	rw  io.ReadWriteCloser
	in  *bufio.Reader
	opt Options

	receive func(h header, payload []byte) error // runs in the reading goroutine
	inbox   func(call uint32) *inbox             // nil: that exchange is over

	out  chan outgoing
	side sideband

	alive  *time.Timer   // fires ErrPeerSilent
	done   chan struct{} // closed by fail
	closed chan struct{} // closed when rw is closed
	once   sync.Once
	err    error // why done was closed
	wrote  atomic.Bool
}

// outgoing is one encoded message. free, if set, gets the buffer back.
type outgoing struct {
	buf     []byte
	free    chan<- []byte
	written chan<- struct{} // closed once the message is on its way
}

// sideband holds what may overtake: only the sum of credits and the newest progress
// matter, so that neither needs a queue.
type sideband struct {
	mu       sync.Mutex
	call     uint32 // of the current exchange
	credit   uint32
	progress []byte // payload, not yet sent
	lastSent time.Time
	kick     chan struct{}
}

// minProgress is the least time between two progress messages.
const minProgress = 200 * time.Millisecond

func newLink(rw io.ReadWriteCloser, in *bufio.Reader, opt Options) *link {
	return &link{
		rw: rw, in: in, opt: opt,
		out:    make(chan outgoing),
		side:   sideband{kick: make(chan struct{}, 1)},
		done:   make(chan struct{}),
		closed: make(chan struct{}),
	}
}

// start begins reading and writing; receive and inbox must be set.
func (l *link) start() {
	l.alive = time.AfterFunc(l.opt.ProgressTimeout, func() {
		l.fail(fmt.Errorf("%w: not a byte for %v", ErrPeerSilent, l.opt.ProgressTimeout))
	})
	go func() { l.fail(l.readAll()) }()
	go func() { l.fail(l.writeAll()) }()
}

// fail ends the link; the first reason counts. Closing happens beside, because it
// may have to wait for a process.
func (l *link) fail(err error) {
	l.once.Do(func() {
		l.err = asFailure(err)
		close(l.done)
		l.opt.Log.Debug("session ended", "reason", err)
		go func() {
			if err := l.rw.Close(); err != nil {
				l.opt.Log.Debug("close connection", "err", err)
			}
			close(l.closed)
		}()
	})
}

// Read implements io.Reader for readAll: any byte is a sign of life.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	if n > 0 {
		l.alive.Reset(l.opt.ProgressTimeout)
	}
	return n, err
}

// readAll reads messages until the connection or the protocol breaks.
func (l *link) readAll() error {
	var hb [headerSize]byte
	for {
		if _, err := io.ReadFull(l, hb[:]); err != nil {
			return gone(err)
		}
		h, err := parseHeader(hb[:])
		if err != nil {
			return err
		}
		if h.typ == msgData {
			if in := l.inbox(h.call); in != nil {
				err = in.put(l, int(h.length), h.payloadSum)
			} else {
				_, err = io.CopyN(io.Discard, l, int64(h.length))
			}
			if err != nil {
				return gone(err)
			}
			continue
		}
		payload := make([]byte, h.length)
		if _, err := io.ReadFull(l, payload); err != nil {
			return gone(err)
		}
		if got := sum(payload); got != h.payloadSum {
			return protocolError("%v message: payload checksum %08x, computed %08x", h.typ, h.payloadSum, got)
		}
		if h.typ == msgPing {
			continue
		}
		if err := l.receive(h, payload); err != nil {
			return err
		}
	}
}

// gone makes a connection's end an ErrPeerGone.
func gone(err error) error {
	switch {
	case errors.Is(err, ErrProtocol):
		return err
	case errors.Is(err, io.EOF):
		return ErrPeerGone
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w in the middle of a message", ErrPeerGone)
	}
	return fmt.Errorf("%w: %w", ErrPeerGone, err)
}

// writeAll writes messages until the link ends.
func (l *link) writeAll() error {
	defer l.alive.Stop() // a later Reset by the reader only fires into an ended link
	beat := time.NewTicker(l.opt.Heartbeat)
	defer beat.Stop()
	ping := message(msgPing, 0, 0, nil)
	for {
		select {
		case <-l.done:
			return l.err
		case o := <-l.out:
			err := l.write(o.buf)
			if o.free != nil {
				o.free <- o.buf
			}
			if o.written != nil {
				close(o.written)
			}
			if err != nil {
				return err
			}
		case <-l.side.kick:
			if err := l.writeSide(false); err != nil {
				return err
			}
		case <-beat.C:
			if err := l.writeSide(true); err != nil {
				return err
			}
			if !l.wrote.Swap(false) {
				if _, err := l.rw.Write(ping); err != nil {
					return gone(err)
				}
			}
		}
	}
}

func (l *link) write(b []byte) error {
	l.wrote.Store(true)
	if _, err := l.rw.Write(b); err != nil {
		return gone(err)
	}
	return nil
}

// writeSide writes what waits in the sideband; progress that follows another too
// closely waits for the next heartbeat.
func (l *link) writeSide(beat bool) error {
	s := &l.side
	s.mu.Lock()
	call, credit, progress := s.call, s.credit, s.progress
	s.credit = 0
	if now := time.Now(); progress != nil && (beat || now.Sub(s.lastSent) >= minProgress) {
		s.progress, s.lastSent = nil, now
	} else {
		progress = nil
	}
	s.mu.Unlock()
	if credit > 0 {
		var p [4]byte
		binary.LittleEndian.PutUint32(p[:], credit)
		if err := l.write(message(msgCredit, 0, call, p[:])); err != nil {
			return err
		}
	}
	if progress != nil {
		return l.write(message(msgProgress, 0, call, progress))
	}
	return nil
}

// begin makes call the current exchange of the sideband; 0: none.
func (s *sideband) begin(call uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call, s.credit, s.progress, s.lastSent = call, 0, nil, time.Time{}
}

// set changes the sideband for exchange call, if that is still the current one.
func (s *sideband) set(call uint32, change func()) {
	s.mu.Lock()
	if s.call == call {
		change()
	}
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// send hands a message to the writing goroutine.
func (l *link) send(ctx context.Context, o outgoing) error {
	select {
	case l.out <- o:
		return nil
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sendJSON encodes v as a message's payload.
func (l *link) sendJSON(ctx context.Context, typ msgType, flags uint8, call uint32, v any) error {
	p, err := encodeJSON(typ, v)
	if err != nil {
		return err
	}
	return l.send(ctx, outgoing{buf: message(typ, flags, call, p)})
}

func encodeJSON(typ msgType, v any) ([]byte, error) {
	p, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %v message: %w", typ, err)
	}
	if len(p) > MaxControl {
		return nil, fmt.Errorf("%v message of %d bytes, the limit is %d", typ, len(p), MaxControl)
	}
	if len(p) < 2 {
		p = append(p, ' ') // a lone digit; the protocol wants two bytes
	}
	return p, nil
}
