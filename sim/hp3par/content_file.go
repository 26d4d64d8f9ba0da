package hp3par

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// file is content in a sparse file, so that a program outside the simulator
// (a loop device, a copy command) can use it. The file is written in place: who
// has it open sees a transfer arrive.
type file struct {
	path string
	size int64
}

func newFile(dir, array, volume string, size int64) (*file, error) {
	if strings.ContainsAny(volume, "/\x00") || volume == "." || volume == ".." {
		return nil, fmt.Errorf("volume name %q cannot be a file name", volume)
	}
	path := filepath.Join(dir, "volumes", array, volume)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &file{path: path, size: size}, errors.Join(f.Truncate(size), f.Close())
}

func (c *file) open(flag int, use func(f *os.File) error) error {
	f, err := os.OpenFile(c.path, flag, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(use(f), f.Close())
}

func (c *file) ReadAt(p []byte, off int64) error {
	return c.open(os.O_RDONLY, func(f *os.File) error {
		n, err := f.ReadAt(p, off)
		if errors.Is(err, io.EOF) { // someone truncated it: the rest reads as zero
			clear(p[n:])
			err = nil
		}
		return err
	})
}

func (c *file) WriteAt(p []byte, off int64) error {
	return c.open(os.O_RDWR, func(f *os.File) error {
		_, err := f.WriteAt(p, off)
		return err
	})
}

// Snapshot keeps the present content in memory: what a simulated volume holds
// is small, and the snapshot must not change when the file does.
func (c *file) Snapshot() (content, error) {
	m := newMemory()
	return m, m.Assign(c, false)
}

func (c *file) Assign(src content, half bool) error {
	want := newMemory()
	if err := want.Assign(src, false); err != nil {
		return err
	}
	if half {
		now := newMemory()
		if err := now.Assign(c, false); err != nil {
			return err
		}
		want.stored = now.halfway(want.stored)
	}
	return c.open(os.O_RDWR, func(f *os.File) error { return writePages(f, want, c.size) })
}

// writePages makes f equal to want: pages that want does not have become zero.
func writePages(f *os.File, want *memory, size int64) error {
	err := dataPages(f, size, func(n int64, page []byte) error {
		if want.stored[n] != nil {
			return nil
		}
		_, err := f.WriteAt(make([]byte, len(page)), n*pageSize)
		return err
	})
	if err != nil {
		return err
	}
	return want.pages(func(n int64, page []byte) error {
		if left := size - n*pageSize; left < pageSize {
			page = page[:left]
		}
		_, err := f.WriteAt(page, n*pageSize)
		return err
	})
}

func (c *file) Digest() (string, error) { return digest(c) }

func (c *file) Remove() error { return os.Remove(c.path) }

func (c *file) pages(f func(n int64, page []byte) error) error {
	return c.open(os.O_RDONLY, func(fh *os.File) error { return dataPages(fh, c.size, f) })
}

// dataPages calls f for every page that is not a hole and not zero.
func dataPages(fh *os.File, size int64, f func(n int64, page []byte) error) error {
	buf, zero := make([]byte, pageSize), make([]byte, pageSize)
	for off := int64(0); off < size; {
		data, err := unix.Seek(int(fh.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // only a hole is left
		}
		if err != nil {
			return fmt.Errorf("find data in %s: %w", fh.Name(), err)
		}
		off = data / pageSize * pageSize
		n, err := fh.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		clear(buf[n:])
		if !bytes.Equal(buf, zero) {
			if err := f(off/pageSize, buf); err != nil {
				return err
			}
		}
		off += pageSize
	}
	return nil
}
