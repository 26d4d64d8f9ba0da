package infinibox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileStore keeps every dataset as the sparse file DIR/BOX/NAME.img, which other
// programs may read and write; what the simulator keeps for itself is in
// DIR/BOX/.internal.
type fileStore struct{ dir string }

type sparseFile struct {
	store *fileStore
	box   string
	path  string
	size  int64
}

func (s *fileStore) path(box, name string) string {
	if rest, ok := strings.CutPrefix(name, internalPrefix); ok {
		return filepath.Join(s.dir, box, ".internal", url.PathEscape(rest)+".img")
	}
	return filepath.Join(s.dir, box, url.PathEscape(name)+".img")
}

// internalPrefix marks the names of contents that no dataset owns.
const internalPrefix = "\x00"

func (s *fileStore) create(box, name string, size int64) (content, error) {
	path := s.path(box, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return &sparseFile{store: s, box: box, path: path, size: size}, nil
}

func (s *fileStore) reset() error {
	for _, box := range []string{boxName(0), boxName(1)} {
		if err := os.RemoveAll(filepath.Join(s.dir, box)); err != nil {
			return err
		}
	}
	return nil
}

func (c *sparseFile) with(flag int, f func(*os.File) error) error {
	file, err := os.OpenFile(c.path, flag, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}

func (c *sparseFile) readAt(p []byte, off int64) error {
	return c.with(os.O_RDONLY, func(f *os.File) error {
		n, err := f.ReadAt(p, off)
		if errors.Is(err, io.EOF) {
			clear(p[n:])
			return nil
		}
		return err
	})
}

func (c *sparseFile) writeAt(p []byte, off int64) error {
	return c.with(os.O_WRONLY, func(f *os.File) error {
		_, err := f.WriteAt(p, off)
		return err
	})
}

func (c *sparseFile) clone(name string) (content, error) {
	n, err := c.store.create(c.box, name, c.size)
	if err != nil {
		return nil, err
	}
	return n, n.copyFrom(c)
}

func (c *sparseFile) copyFrom(src content) error {
	s := src.(*sparseFile)
	return c.with(os.O_RDWR, func(dst *os.File) error {
		return s.with(os.O_RDONLY, func(from *os.File) error {
			// truncation to 0 first: holes of the source become holes here
			if err := dst.Truncate(0); err != nil {
				return err
			}
			if err := dst.Truncate(c.size); err != nil {
				return err
			}
			return eachDataRange(from, func(off, length int64) error {
				_, err := io.Copy(io.NewOffsetWriter(dst, off), io.NewSectionReader(from, off, length))
				return err
			})
		})
	})
}

// eachDataRange calls do for every range of f that is not a hole.
func eachDataRange(f *os.File, do func(off, length int64) error) error {
	for end := int64(0); ; {
		start, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		if end, err = f.Seek(start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := do(start, end-start); err != nil {
			return err
		}
	}
}

func (c *sparseFile) equal(other content) (bool, error) {
	o := other.(*sparseFile)
	a, err := c.within(o)
	if err != nil || !a {
		return false, err
	}
	return o.within(c)
}

func (c *sparseFile) within(o *sparseFile) (bool, error) {
	same := true
	err := c.with(os.O_RDONLY, func(f *os.File) error {
		return eachDataRange(f, func(off, length int64) error {
			mine, theirs := make([]byte, 1<<20), make([]byte, 1<<20)
			for length > 0 && same {
				n := min(length, int64(len(mine)))
				if err := errors.Join(c.readAt(mine[:n], off), o.readAt(theirs[:n], off)); err != nil {
					return err
				}
				same = bytes.Equal(mine[:n], theirs[:n])
				off, length = off+n, length-n
			}
			return nil
		})
	})
	return same, err
}

func (c *sparseFile) empty() (bool, error) {
	zero := true
	err := c.with(os.O_RDONLY, func(f *os.File) error {
		return eachDataRange(f, func(off, length int64) error {
			buf := make([]byte, 1<<20)
			for length > 0 && zero {
				n := min(length, int64(len(buf)))
				if err := c.readAt(buf[:n], off); err != nil {
					return err
				}
				zero = len(bytes.Trim(buf[:n], "\x00")) == 0
				off, length = off+n, length-n
			}
			return nil
		})
	})
	return zero, err
}

func (c *sparseFile) resize(size int64) error {
	c.size = size
	return os.Truncate(c.path, size)
}

func (c *sparseFile) rename(name string) error {
	path := c.store.path(c.box, name)
	if err := os.Rename(c.path, path); err != nil {
		return err
	}
	c.path = path
	return nil
}

func (c *sparseFile) remove() error { return os.Remove(c.path) }

func (c *sparseFile) mark() (int64, error) {
	info, err := os.Stat(c.path)
	if err != nil {
		return 0, err
	}
	return info.ModTime().UnixNano(), nil
}

func (c *sparseFile) stored() int64 {
	var st unix.Stat_t
	if unix.Stat(c.path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}
