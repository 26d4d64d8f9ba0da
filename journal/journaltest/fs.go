// Package journaltest is a file system in memory that fails on request and crashes: what was
// not fsynced may be gone afterwards, in part or as a whole, names as well as bytes.
package journaltest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ddsgo/ddsgo/journal"
)

// FS implements journal.FS.
type FS struct {
	mu       sync.Mutex
	root     *dir
	capacity int64
	ops      int
	failAt   int  // this operation fails
	dead     bool // and all after it
	stays    bool
	injected int
}

var _ journal.FS = (*FS)(nil)

// ErrInjected is what a failing operation answers.
var ErrInjected = fmt.Errorf("injected: %w", syscall.EIO)

// dir is a directory: names as they are, and as they are on the disk.
type dir struct {
	names   map[string]any // *dir or *file
	durable map[string]any
}

type file struct {
	data    []byte
	durable []byte
}

func newDir() *dir { return &dir{names: map[string]any{}, durable: map[string]any{}} }

// New is an empty file system of capacity bytes.
func New(capacity int64) *FS { return &FS{root: newDir(), capacity: capacity} }

// FailAt makes operation n (from 1, from now) fail; with stays, all after it, too.
func (f *FS) FailAt(n int, stays bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops, f.failAt, f.stays, f.dead, f.injected = 0, n, stays, false, 0
}

// Injected is how many operations failed since FailAt.
func (f *FS) Injected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.injected
}

func (f *FS) strike() error {
	f.ops++
	if f.dead || (f.failAt > 0 && f.ops == f.failAt) {
		f.dead = f.stays
		f.injected++
		return ErrInjected
	}
	return nil
}

// CrashClone is the file system after a power cut: of every directory the names as of its
// last fsync or, by chance, as they were; of every file the bytes as of its last fsync, all
// of them, or a part.
func (f *FS) CrashClone(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &FS{root: crashDir(f.root, rng), capacity: f.capacity}
}

func crashDir(d *dir, rng *rand.Rand) *dir {
	names := d.durable
	if rng.IntN(2) == 0 {
		names = d.names
	}
	out := newDir()
	for _, n := range slices.Sorted(maps.Keys(names)) {
		switch e := names[n].(type) {
		case *dir:
			out.names[n] = crashDir(e, rng)
		case *file:
			data := e.durable
			switch rng.IntN(3) {
			case 0:
				data = e.data
			case 1:
				if len(e.data) > len(data) {
					data = e.data[:len(data)+rng.IntN(len(e.data)-len(data)+1)]
				}
			}
			out.names[n] = &file{data: slices.Clone(data), durable: slices.Clone(data)}
		}
		out.durable[n] = out.names[n]
	}
	return out
}

func (f *FS) find(name string) (parent *dir, base string, err error) {
	d := f.root
	parts := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	for _, p := range parts[:len(parts)-1] {
		next, ok := d.names[p].(*dir)
		if !ok {
			return nil, "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		d = next
	}
	return d, parts[len(parts)-1], nil
}

func get[T any](f *FS, name string) (e T, err error) {
	d, base, err := f.find(name)
	if err != nil {
		return e, err
	}
	e, ok := d.names[base].(T)
	if !ok {
		return e, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return e, nil
}

// change runs one operation under the lock, unless it fails.
func (f *FS) change(op func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.strike(); err != nil {
		return err
	}
	return op()
}

// Mkdir implements journal.FS.
func (f *FS) Mkdir(name string) error {
	return f.change(func() error {
		d := f.root
		for _, p := range strings.Split(strings.Trim(path.Clean(name), "/"), "/") {
			if _, ok := d.names[p]; !ok {
				d.names[p] = newDir()
				d.durable[p] = d.names[p]
			}
			next, ok := d.names[p].(*dir)
			if !ok {
				return syscall.ENOTDIR
			}
			d = next
		}
		return nil
	})
}

// Create implements journal.FS.
func (f *FS) Create(name string) (h journal.File, err error) {
	err = f.change(func() error {
		d, base, err := f.find(name)
		if err != nil {
			return err
		}
		e, ok := d.names[base].(*file)
		if !ok {
			e = &file{}
			d.names[base] = e
		}
		e.data = nil
		h = &handle{fs: f, f: e}
		return nil
	})
	return h, err
}

// Append implements journal.FS.
func (f *FS) Append(name string, size int64) (h journal.File, err error) {
	err = f.change(func() error {
		e, err := get[*file](f, name)
		if err != nil {
			return err
		}
		if int64(len(e.data)) < size {
			return syscall.EINVAL
		}
		e.data = slices.Clone(e.data[:size])
		h = &handle{fs: f, f: e}
		return nil
	})
	return h, err
}

// Open implements journal.FS.
func (f *FS) Open(name string) (h journal.File, err error) {
	err = f.change(func() error {
		e, err := get[*file](f, name)
		h = &handle{fs: f, f: e}
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Size implements journal.FS.
func (f *FS) Size(name string) (n int64, err error) {
	err = f.change(func() error {
		e, err := get[*file](f, name)
		if err == nil {
			n = int64(len(e.data))
		}
		return err
	})
	return n, err
}

// Rename implements journal.FS.
func (f *FS) Rename(from, to string) error {
	return f.change(func() error {
		d, base, err := f.find(from)
		if err != nil {
			return err
		}
		d2, base2, err := f.find(to)
		switch {
		case err != nil:
			return err
		case d.names[base] == nil:
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		case d2.names[base2] != nil:
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
		d2.names[base2] = d.names[base]
		delete(d.names, base)
		return nil
	})
}

// Remove implements journal.FS.
func (f *FS) Remove(name string) error {
	return f.change(func() error {
		d, base, err := f.find(name)
		if err != nil {
			return err
		}
		switch e := d.names[base].(type) {
		case nil:
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		case *dir:
			if len(e.names) > 0 {
				return syscall.ENOTEMPTY
			}
		}
		delete(d.names, base)
		return nil
	})
}

// List implements journal.FS.
func (f *FS) List(name string) (names []string, err error) {
	err = f.change(func() error {
		d, err := get[*dir](f, name)
		if err == nil {
			names = slices.Sorted(maps.Keys(d.names))
		}
		return err
	})
	return names, err
}

// SyncDir implements journal.FS.
func (f *FS) SyncDir(name string) error {
	return f.change(func() error {
		d, err := get[*dir](f, name)
		if err == nil {
			d.durable = maps.Clone(d.names)
		}
		return err
	})
}

// Free implements journal.FS.
func (f *FS) Free(string) (n int64, err error) {
	err = f.change(func() error {
		n = f.capacity - used(f.root)
		return nil
	})
	return n, err
}

func used(d *dir) (n int64) {
	for _, e := range d.names {
		switch e := e.(type) {
		case *dir:
			n += used(e)
		case *file:
			n += int64(len(e.data))
		}
	}
	return n
}

// handle is an open file.
type handle struct {
	fs *FS
	f  *file
	at int
}

func (h *handle) Read(p []byte) (n int, err error) {
	err = h.fs.change(func() error {
		if h.at >= len(h.f.data) {
			return io.EOF
		}
		n = copy(p, h.f.data[h.at:])
		h.at += n
		return nil
	})
	return n, err
}

// Write writes half of it when it fails.
func (h *handle) Write(p []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.strike(); err != nil {
		h.f.data = append(h.f.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	if used(h.fs.root)+int64(len(p)) > h.fs.capacity {
		return 0, &fs.PathError{Op: "write", Path: "spool", Err: syscall.ENOSPC}
	}
	h.f.data = append(h.f.data, p...)
	return len(p), nil
}

func (h *handle) Sync() error {
	return h.fs.change(func() error {
		h.f.durable = slices.Clone(h.f.data)
		return nil
	})
}

func (h *handle) Close() error {
	if h.fs == nil {
		return errors.New("already closed")
	}
	return nil
}
