package replica

import (
	"sync"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/state"
)

// stamped is a device that notes which slices are written, so that these lose the stamp of
// the last verification, see state.Verified.
type stamped struct {
	blockdev.Device
	slice int64

	mu      sync.Mutex
	touched []byte // a bit per slice
}

// stampless is dev, watched where there are stamps to lose.
func (t *target) stampless(dev blockdev.Device) blockdev.Device {
	t.written = nil
	if t.doc == nil || t.doc.Verified == nil {
		return dev
	}
	size := t.doc.Verified.Generation.Size
	t.written = &stamped{Device: dev, slice: state.SliceOf(size)}
	t.written.touched = make([]byte, size/t.written.slice/8+1)
	return t.written
}

func (s *stamped) touch(off, length int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := off / s.slice; n*s.slice < off+length; n++ {
		if n >= 0 && n/8 < int64(len(s.touched)) {
			s.touched[n/8] |= 1 << (n % 8)
		}
	}
}

// WriteAt implements blockdev.Device.
func (s *stamped) WriteAt(p []byte, off int64) (int, error) {
	s.touch(off, int64(len(p)))
	return s.Device.WriteAt(p, off)
}

// ZeroAt implements blockdev.Device.
func (s *stamped) ZeroAt(off, length int64) error {
	s.touch(off, length)
	return s.Device.ZeroAt(off, length)
}

// unstamp is what is left of the stamps of a document that becomes clean at g. A repair writes what
// the verification found missing: it goes on, and compares that again.
func (t *target) unstamp(d *state.Document, g generation.Generation) {
	switch w := t.written; {
	case d.Verified == nil || d.Generation.Same(g):
	case w == nil:
		d.Verified = nil
	default:
		d.Verified = d.Verified.Written(w.slice, w.touched)
	}
}
