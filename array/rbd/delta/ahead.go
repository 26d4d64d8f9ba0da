package delta

import (
	"context"
	"io"
)

// How far an export may run ahead of its reader, so that rbd works while the list of changes is read
// and while frames are packed.
const (
	aheadBuffers = 32
	aheadBytes   = 1 << 20 // of each
)

// ahead reads on while nobody asks.
type ahead struct {
	full  chan []byte // closed at the end
	empty chan []byte
	end   error // valid once full is closed
	buf   []byte
	cur   []byte // of buf, not yet read
}

// readAhead reads r until it ends or ctx is done.
func readAhead(ctx context.Context, r io.Reader) *ahead {
	a := &ahead{full: make(chan []byte, aheadBuffers), empty: make(chan []byte, aheadBuffers)}
	for range aheadBuffers {
		a.empty <- nil // made when it is needed
	}
	go func() {
		defer close(a.full)
		for {
			var b []byte
			select {
			case b = <-a.empty:
			case <-ctx.Done():
				a.end = context.Cause(ctx)
				return
			}
			if b == nil {
				b = make([]byte, aheadBytes)
			}
			n, err := r.Read(b[:aheadBytes])
			if n > 0 {
				a.full <- b[:n] // never blocks: there are not more buffers than places
			}
			if err != nil {
				a.end = err
				return
			}
		}
	}()
	return a
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.cur) == 0 {
		if a.buf != nil {
			a.empty <- a.buf
			a.buf = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.end
		}
		a.buf, a.cur = b, b
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}
