package hp3par

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// pageSize is the unit in which volume content is stored and compared.
const pageSize = 4096

// content is what a volume holds. Unwritten bytes read as zero.
type content interface {
	ReadAt(p []byte, off int64) error
	WriteAt(p []byte, off int64) error
	// Snapshot returns an independent copy of the present content.
	Snapshot() (content, error)
	// Assign makes this content equal to src. With half set only about half of
	// what differs is written: what a cut transfer leaves behind.
	Assign(src content, half bool) error
	// Digest identifies the content.
	Digest() (string, error)
	// Remove frees what the content occupies.
	Remove() error
	// pages calls f for every stored page in ascending order.
	pages(f func(n int64, page []byte) error) error
}

// memory is content in memory. Pages are never changed in place, so that
// snapshots share them.
type memory struct {
	stored map[int64]*[pageSize]byte
}

func newMemory() *memory { return &memory{stored: make(map[int64]*[pageSize]byte)} }

func (c *memory) ReadAt(p []byte, off int64) error {
	for len(p) > 0 {
		n, in := off/pageSize, off%pageSize
		part := min(int64(len(p)), pageSize-in)
		if page := c.stored[n]; page != nil {
			copy(p[:part], page[in:])
		} else {
			clear(p[:part])
		}
		p, off = p[part:], off+part
	}
	return nil
}

func (c *memory) WriteAt(p []byte, off int64) error {
	for len(p) > 0 {
		n, in := off/pageSize, off%pageSize
		part := min(int64(len(p)), pageSize-in)
		page := new([pageSize]byte)
		if old := c.stored[n]; old != nil {
			*page = *old
		}
		copy(page[in:], p[:part])
		c.store(n, page)
		p, off = p[part:], off+part
	}
	return nil
}

func (c *memory) store(n int64, page *[pageSize]byte) {
	if *page == [pageSize]byte{} {
		delete(c.stored, n)
		return
	}
	c.stored[n] = page
}

func (c *memory) Snapshot() (content, error) { return &memory{stored: maps.Clone(c.stored)}, nil }

func (c *memory) Assign(src content, half bool) error {
	fresh := newMemory()
	err := src.pages(func(n int64, data []byte) error {
		page := new([pageSize]byte)
		copy(page[:], data)
		fresh.store(n, page)
		return nil
	})
	if err != nil {
		return err
	}
	if half {
		fresh.stored = c.halfway(fresh.stored)
	}
	c.stored = fresh.stored
	return nil
}

// halfway returns the present pages with every second difference to next made.
func (c *memory) halfway(next map[int64]*[pageSize]byte) map[int64]*[pageSize]byte {
	numbers := slices.Collect(maps.Keys(next))
	for n := range c.stored {
		if next[n] == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	mixed := maps.Clone(c.stored)
	take := true
	for _, n := range numbers {
		if old, page := c.stored[n], next[n]; old != nil && page != nil && *old == *page {
			continue
		}
		if take {
			if next[n] == nil {
				delete(mixed, n)
			} else {
				mixed[n] = next[n]
			}
		}
		take = !take
	}
	return mixed
}

func (c *memory) Digest() (string, error) { return digest(c) }

func (c *memory) Remove() error { c.stored = nil; return nil }

func (c *memory) pages(f func(n int64, page []byte) error) error {
	for _, n := range slices.Sorted(maps.Keys(c.stored)) {
		if err := f(n, c.stored[n][:]); err != nil {
			return err
		}
	}
	return nil
}

// digest hashes the pages that are not zero, with their numbers: two contents
// of one size are equal when their digests are.
func digest(c content) (string, error) {
	h := sha256.New()
	zero := make([]byte, pageSize)
	err := c.pages(func(n int64, page []byte) error {
		if bytes.Equal(page, zero[:len(page)]) {
			return nil
		}
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], uint64(n))
		h.Write(number[:])
		h.Write(page)
		return nil
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:16]), err
}
