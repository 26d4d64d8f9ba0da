package lvmfake

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/cow/cowtest"
)

// store is the kernel's side of an active snapshot: the exception table in memory and the writer of the one on disk.
type store struct {
	disk    *cowtest.Snapshot
	table   map[int64]int64 // old chunk -> new chunk
	invalid bool
}

// attach makes an empty exception store on the volume's extents when a snapshot is first taken into use, as the kernel
// does when it finds no header.
func (v *volume) attach() {
	if v.store != nil {
		return
	}
	disk, err := cowtest.New(v.data, v.size, v.chunk)
	v.store = &store{disk: disk, table: map[int64]int64{}, invalid: err != nil}
}

func (s *store) overflow() {
	s.invalid = true
	_ = s.disk.Invalidate() // writing to memory does not fail
}

func (s *store) status() string {
	if s.invalid {
		return "Invalid"
	}
	used, total, metadata := s.disk.Status()
	return fmt.Sprintf("%d/%d %d", used, total, metadata)
}

func (s *store) percent() string {
	if s.invalid {
		return "100.00"
	}
	used, total, metadata := s.disk.Status()
	if used == metadata { // LVM prints an empty store as 0
		used = 0
	}
	return fmt.Sprintf("%.2f", float64(used)*100/float64(total))
}

// grow enlarges a volume; a new exception store keeps what it had.
func (v *volume) grow(size int64) error {
	bigger := mem.New(v.data.Name(), size)
	if _, err := bigger.WriteAt(v.data.Content(), 0); err != nil {
		return err
	}
	v.data, v.size = bigger, size
	if v.store == nil {
		return nil
	}
	// The same exceptions in the same order make the same store.
	disk, err := cowtest.New(v.data, size, v.chunk)
	if err != nil {
		return err
	}
	olds := make([]int64, 0, len(v.store.table))
	for old := range v.store.table {
		olds = append(olds, old)
	}
	slices.SortFunc(olds, func(a, b int64) int { return int(v.store.table[a] - v.store.table[b]) })
	for _, old := range olds {
		if _, err := disk.Copy(uint64(old), nil); err != nil {
			return err
		}
	}
	v.store.disk = disk
	return nil
}

// Open opens a device by path, as a process would: the open count shows it. I/O to a suspended device waits.
func (m *Machine) Open(path string) (blockdev.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.find(path)
	if d == nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
	}
	if d.live == nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.ENXIO}
	}
	d.handles++
	return &handle{m: m, d: d, path: path, size: d.live.sectors() * sector}, nil
}

// handle is an open device.
type handle struct {
	m      *Machine
	d      *device
	path   string
	size   int64
	closed bool
}

func (h *handle) Size() int64  { return h.size }
func (h *handle) Name() string { return h.path }

func (h *handle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.d.handles--
	}
	return nil
}

// enter takes the lock, and waits while the device is suspended.
func (h *handle) enter(op string, off, length int64) error {
	h.m.mu.Lock()
	for h.d.suspended && h.m.devices[h.d.name] == h.d {
		h.m.resumed.Wait()
	}
	var err error
	switch {
	case h.closed:
		err = os.ErrClosed
	case h.m.devices[h.d.name] != h.d: // a power cut
		err = syscall.ENXIO
	case off < 0 || length < 0 || off+length > h.size:
		err = blockdev.ErrOutOfRange
	case op == "write" && h.d.readonly:
		err = syscall.EPERM
	}
	if err != nil {
		h.m.mu.Unlock()
		return &os.PathError{Op: op, Path: h.path, Err: err}
	}
	return nil
}

func (h *handle) leave(op string, err error) error {
	h.m.mu.Unlock()
	if err != nil {
		return &os.PathError{Op: op, Path: h.path, Err: err}
	}
	return nil
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.enter("read", off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := h.leave("read", h.m.read(h.d, p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.enter("write", off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := h.leave("write", h.m.write(h.d, p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *handle) ZeroAt(off, length int64) error {
	const piece = 1 << 20
	for length > 0 {
		n := min(length, piece)
		if _, err := h.WriteAt(make([]byte, n), off); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

func (h *handle) Sync() error {
	if err := h.enter("sync", 0, 0); err != nil {
		return err
	}
	t := h.d.live
	if t == nil {
		return h.leave("sync", syscall.EIO)
	}
	return h.leave("sync", t.vol.data.Sync())
}

// read serves a read through the device's live table.
func (m *Machine) read(d *device, p []byte, off int64) error {
	t := d.live
	if t == nil {
		return syscall.EIO
	}
	switch t.kind {
	case "linear":
		_, err := t.vol.data.ReadAt(p, off)
		return err
	case "snapshot-origin":
		return m.read(t.real, p, off)
	}
	s := t.vol.store
	if s == nil || s.invalid {
		return syscall.EIO
	}
	return chunks(off, int64(len(p)), t.vol.chunk, func(chunk, at, from, n int64) error {
		if fresh, ok := s.table[chunk]; ok {
			_, err := t.vol.data.ReadAt(p[from:from+n], fresh*t.vol.chunk+at)
			return err
		}
		return m.read(t.real, p[from:from+n], off+from)
	})
}

// write serves a write. To an origin: each snapshot first keeps the chunks that it has not yet.
func (m *Machine) write(d *device, p []byte, off int64) error {
	t := d.live
	if t == nil {
		return syscall.EIO
	}
	switch t.kind {
	case "linear":
		_, err := t.vol.data.WriteAt(p, off)
		return err
	case "snapshot-origin":
		if t.real.live == nil {
			return syscall.EIO
		}
		for _, o := range m.list() {
			if o.live == nil || o.live.kind != "snapshot" || o.live.real != t.real {
				continue
			}
			if err := m.keep(o.live, off, int64(len(p))); err != nil {
				return err
			}
		}
		return m.write(t.real, p, off)
	}
	return m.writeSnapshot(t, p, off)
}

// keep copies what a write to the origin is about to change into the snapshot's store.
func (m *Machine) keep(t *table, off, length int64) error {
	v := t.vol
	if off >= v.originSize {
		return nil // the origin has grown since; that range is not the snapshot's
	}
	return chunks(off, min(length, v.originSize-off), v.chunk, func(chunk, _, _, _ int64) error {
		return m.except(t, chunk)
	})
}

// except makes an exception for a chunk, if there is none. A full store invalidates the snapshot; the origin goes on.
func (m *Machine) except(t *table, chunk int64) error {
	v, s := t.vol, t.vol.store
	if s == nil || s.invalid {
		return nil
	}
	if _, have := s.table[chunk]; have {
		return nil
	}
	old := make([]byte, v.chunk)
	if err := m.read(t.real, old[:min(v.chunk, v.originSize-chunk*v.chunk)], chunk*v.chunk); err != nil {
		return err
	}
	fresh, err := s.disk.Copy(uint64(chunk), old)
	if err != nil {
		s.overflow()
		return nil
	}
	s.table[chunk] = int64(fresh)
	return nil
}

func (m *Machine) writeSnapshot(t *table, p []byte, off int64) error {
	s := t.vol.store
	return chunks(off, int64(len(p)), t.vol.chunk, func(chunk, at, from, n int64) error {
		if err := m.except(t, chunk); err != nil {
			return err
		}
		if s == nil || s.invalid {
			return syscall.EIO
		}
		_, err := t.vol.data.WriteAt(p[from:from+n], s.table[chunk]*t.vol.chunk+at)
		return err
	})
}

// chunks calls f for each chunk that [off, off+length) touches: its number, the offset in it, the offset in the
// buffer, the length.
func chunks(off, length, size int64, f func(chunk, at, from, n int64) error) error {
	for from := int64(0); from < length; {
		at := (off + from) % size
		n := min(size-at, length-from)
		if err := f((off+from)/size, at, from, n); err != nil {
			return err
		}
		from += n
	}
	return nil
}
