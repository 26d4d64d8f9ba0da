package session

import (
	"errors"
	"io"
	"sync"
)

// inbox is the receiving end of one data stream: a ring of Window bytes. The
// connection's reader fills it, one consumer empties it.
type inbox struct {
	mu      sync.Mutex
	buf     []byte // nil until data comes
	r, w    uint64 // bytes taken and put since the exchange began
	owed    uint32 // bytes taken that were not yet granted again
	end     error  // io.EOF after data-end; what Read returns once empty
	discard bool   // nobody will read: take and grant at once
	wake    chan struct{}
	grant   func(uint32) // tells the sender; must not block
}

// grantStep is how many taken bytes are granted together.
const grantStep = Window / 4

func newInbox(buf []byte, grant func(uint32)) *inbox {
	return &inbox{buf: buf, wake: make(chan struct{}, 1), grant: grant}
}

// put reads n bytes of a message's payload from r into the ring and makes them
// visible if their checksum is right.
func (in *inbox) put(r io.Reader, n int, want uint32) error {
	a, b, err := in.reserve(n)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(r, a); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if got := sum2(a, b); got != want {
		return protocolError("data checksum %08x, computed %08x", want, got)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.buf == nil { // retired meanwhile
		return nil
	}
	in.w += uint64(n)
	if in.discard {
		in.takeLocked(n)
	}
	in.signal()
	return nil
}

// reserve gives the free room for n bytes, in two parts where the ring wraps. The
// room is the reader's alone until put makes it visible.
func (in *inbox) reserve(n int) (a, b []byte, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.end != nil {
		return nil, nil, protocolError("data after the end of the data stream")
	}
	// What was taken but not granted again is no room that the sender may use.
	if used := in.w - in.r + uint64(in.owed); used+uint64(n) > Window {
		return nil, nil, protocolError("data beyond the window: %d bytes unread, %d more", used, n)
	}
	if in.buf == nil {
		in.buf = make([]byte, Window)
	}
	at := int(in.w % Window)
	if at+n <= Window {
		return in.buf[at : at+n], nil, nil
	}
	return in.buf[at:], in.buf[:at+n-Window], nil
}

// finish says how the stream ends once it is read; the first call counts.
func (in *inbox) finish(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.end == nil {
		in.end = err
	}
	in.signal()
}

// drop makes the rest of the stream go nowhere.
func (in *inbox) drop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.discard = true
	in.takeLocked(int(in.w - in.r))
	in.signal()
}

// Read implements io.Reader.
func (in *inbox) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := in.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		<-in.wake
	}
}

func (in *inbox) take(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := min(len(p), int(in.w-in.r))
	if n == 0 {
		if in.end != nil {
			in.signal() // a second reader of the end must not sleep
		}
		return 0, in.end
	}
	at := int(in.r % Window)
	k := copy(p[:n], in.buf[at:])
	copy(p[k:n], in.buf)
	in.takeLocked(n)
	return n, nil
}

func (in *inbox) takeLocked(n int) {
	in.r += uint64(n)
	in.owed += uint32(n)
	if in.owed >= grantStep && in.end == nil {
		in.grant(in.owed)
		in.owed = 0
	}
}

// retire ends the stream for good and hands its buffer on. Only when no put runs.
func (in *inbox) retire() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	buf := in.buf
	in.buf, in.r = nil, in.w
	if in.end == nil || errors.Is(in.end, io.EOF) {
		in.end = ErrOver
	}
	in.signal()
	return buf
}

func (in *inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// allowance is how much the sending end of a data stream may still send.
type allowance struct {
	mu   sync.Mutex
	left uint64
	wake chan struct{}
}

func newAllowance() *allowance { return &allowance{left: Window, wake: make(chan struct{}, 1)} }

// add takes a credit message. More than the window is nothing that an honest
// receiver can have taken.
func (a *allowance) add(n uint32) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left+uint64(n) > Window {
		return protocolError("credit of %d bytes beyond the window", n)
	}
	a.left += uint64(n)
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil
}

// take returns how many of want bytes may be sent now; 0: wait for wake.
func (a *allowance) take(want int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(uint64(want), a.left)
	a.left -= n
	return int(n)
}
