package mem

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/ddsgo/ddsgo/blockdev"
)

// SectorSize is the unit that a power cut leaves whole.
const SectorSize = 512

const pageSize = 4096

// Device is a sparse volume in memory. Pages that were never written take no room.
type Device struct {
	name string
	size int64

	mu      sync.RWMutex
	closed  bool
	present pages     // what readers see
	durable pages     // as of the last Sync; shares pages with present until they are written
	pending []unsaved // writes since the last Sync, in order
	syncs   int
}

var _ blockdev.Device = (*Device)(nil)

// pages is content by page number. A page in a map is never changed: it is replaced.
type pages map[int64]*[pageSize]byte

// unsaved is one write since the last Sync. data is nil for zeros.
type unsaved struct {
	off, length int64
	data        []byte
}

// New is a volume of size bytes, all zero and durable.
func New(name string, size int64) *Device {
	return &Device{name: name, size: size, present: pages{}, durable: pages{}}
}

// NewFrom is a volume with the given content, durable.
func NewFrom(name string, content []byte) *Device {
	d := New(name, int64(len(content)))
	d.present.write(0, content)
	d.durable = d.present.clone()
	return d
}

// Size is the capacity in bytes.
func (d *Device) Size() int64 { return d.size }

// Name is the name given to New.
func (d *Device) Name() string { return d.name }

// Close makes every further use fail. The content stays, see Reopen.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// Reopen makes a closed device usable again, as opening the path again would.
func (d *Device) Reopen() *Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = false
	return d
}

func (d *Device) usable() error {
	if d.closed {
		return fmt.Errorf("%s: %w", d.name, blockdev.ErrClosed)
	}
	return nil
}

// ReadAt reads the present content, synced or not.
func (d *Device) ReadAt(p []byte, off int64) (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, blockdev.CheckRange(d.name, off, int64(len(p)), d.size)
	}
	if off >= d.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := min(int64(len(p)), d.size-off)
	d.present.read(p[:n], off)
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// WriteAt writes all of p; it is durable after Sync.
func (d *Device) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return 0, err
	}
	if err := blockdev.CheckRange(d.name, off, int64(len(p)), d.size); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	w := unsaved{off: off, length: int64(len(p)), data: slices.Clone(p)}
	d.pending = append(d.pending, w)
	d.present.write(off, w.data)
	return len(p), nil
}

// ZeroAt writes zeros; they are durable after Sync.
func (d *Device) ZeroAt(off, length int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return err
	}
	if err := blockdev.CheckRange(d.name, off, length, d.size); err != nil {
		return err
	}
	if length == 0 {
		return nil
	}
	d.pending = append(d.pending, unsaved{off: off, length: length})
	d.present.zero(off, length)
	return nil
}

// Sync makes the present content durable.
func (d *Device) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return err
	}
	d.durable, d.pending = d.present.clone(), nil
	d.syncs++
	return nil
}

// Syncs is how often Sync succeeded.
func (d *Device) Syncs() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.syncs
}

// Unsynced is the number of writes since the last Sync.
func (d *Device) Unsynced() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.pending)
}

// CrashClone is the volume as a power cut now may leave it: each sector of each write since
// the last Sync arrived with the given probability, from 0 (all lost) to 1 (all kept).
func (d *Device) CrashClone(rng *rand.Rand, kept float64) *Device {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c := New(d.name, d.size)
	c.durable = d.durable.clone()
	for _, w := range d.pending {
		for at := w.off; at < w.off+w.length; {
			n := min(SectorSize-at%SectorSize, w.off+w.length-at)
			if rng.Float64() < kept {
				if w.data == nil {
					c.durable.zero(at, n)
				} else {
					c.durable.write(at, w.data[at-w.off:at-w.off+n])
				}
			}
			at += n
		}
	}
	c.present = c.durable.clone()
	return c
}

// Content is a copy of the present content.
func (d *Device) Content() []byte {
	d.mu.RLock()
	defer d.mu.RUnlock()
	b := make([]byte, d.size)
	d.present.read(b, 0)
	return b
}

// Equal says that both volumes have the same size and present content.
func (d *Device) Equal(o *Device) bool {
	return d.size == o.size && bytes.Equal(d.Content(), o.Content())
}

func (p pages) clone() pages {
	c := make(pages, len(p))
	for n, page := range p {
		c[n] = page
	}
	return c
}

func (p pages) read(b []byte, off int64) {
	for len(b) > 0 {
		in := off % pageSize
		n := min(int64(len(b)), pageSize-in)
		if page := p[off/pageSize]; page != nil {
			copy(b[:n], page[in:])
		} else {
			clear(b[:n])
		}
		b, off = b[n:], off+n
	}
}

func (p pages) write(off int64, b []byte) {
	for len(b) > 0 {
		in := off % pageSize
		n := min(int64(len(b)), pageSize-in)
		fresh := new([pageSize]byte)
		if page := p[off/pageSize]; page != nil {
			*fresh = *page
		}
		copy(fresh[in:], b[:n])
		p[off/pageSize] = fresh
		b, off = b[n:], off+n
	}
}

func (p pages) zero(off, length int64) {
	for length > 0 {
		in := off % pageSize
		n := min(length, pageSize-in)
		if n == pageSize {
			delete(p, off/pageSize)
		} else if p[off/pageSize] != nil {
			p.write(off, make([]byte, n))
		}
		off, length = off+n, length-n
	}
}
