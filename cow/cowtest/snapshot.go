package cowtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFull: the store has no room for another chunk; a real snapshot becomes invalid now.
var ErrFull = errors.New("snapshot store is full")

// Snapshot is a persistent snapshot whose store is being written.
type Snapshot struct {
	disk io.WriterAt
	size int64 // of the store, bytes

	chunk   int64  // bytes
	perArea int    // exceptions in an area
	current int64  // number of the area being filled
	area    []byte // its content in memory, as the kernel keeps it
	filled  int    // entries committed in it
	dirty   bool   // area has entries that are not on the disk
	next    uint64 // next free chunk

	// Lazy leaves committed entries in memory until the area is full or Flush is called:
	// for making large stores quickly. A real kernel writes the area at every commit.
	Lazy bool
}

// New writes the header and the first area, as the kernel does for a new snapshot. What disk
// holds elsewhere stays: stale bytes, as on a real disk.
func New(disk io.WriterAt, size, chunkSize int64) (*Snapshot, error) {
	s := &Snapshot{disk: disk, size: size, chunk: chunkSize, perArea: int(chunkSize / 16), next: 2}
	s.area = make([]byte, chunkSize)
	if size < 2*chunkSize {
		return nil, ErrFull
	}
	if err := s.header(1); err != nil {
		return nil, err
	}
	return s, s.zeroArea(0)
}

// header writes chunk 0.
func (s *Snapshot) header(valid uint32) error {
	b := make([]byte, s.chunk)
	copy(b, "SnAp")
	binary.LittleEndian.PutUint32(b[4:], valid)
	binary.LittleEndian.PutUint32(b[8:], 1)
	binary.LittleEndian.PutUint32(b[12:], uint32(s.chunk/512))
	_, err := s.disk.WriteAt(b, 0)
	return err
}

func (s *Snapshot) areaAt(n int64) int64 { return (1 + n + n*int64(s.perArea)) * s.chunk }

func (s *Snapshot) zeroArea(n int64) error {
	if s.areaAt(n)+s.chunk > s.size {
		return ErrFull
	}
	_, err := s.disk.WriteAt(make([]byte, s.chunk), s.areaAt(n))
	return err
}

// Prepare reserves a chunk of the store: the first half of an exception, counted by
// device-mapper at once.
func (s *Snapshot) Prepare() (fresh uint64, err error) {
	if s.size < int64(s.next+1)*s.chunk {
		return 0, ErrFull
	}
	fresh = s.next
	s.next++
	if s.next%uint64(s.perArea+1) == 1 {
		s.next++
	}
	return fresh, nil
}

// Commit enters an exception into the table.
func (s *Snapshot) Commit(old, fresh uint64) error {
	binary.LittleEndian.PutUint64(s.area[s.filled*16:], old)
	binary.LittleEndian.PutUint64(s.area[s.filled*16+8:], fresh)
	s.filled++
	s.dirty = true
	full := s.filled == s.perArea
	if full {
		if err := s.zeroArea(s.current + 1); err != nil && !errors.Is(err, ErrFull) {
			return err
		} else if err != nil {
			// Nowhere to go on: the kernel marks the snapshot invalid.
			return errors.Join(err, s.Invalidate())
		}
	}
	if full || !s.Lazy {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if full {
		s.current++
		s.filled = 0
		clear(s.area)
	}
	return nil
}

// Flush writes the current area to the disk.
func (s *Snapshot) Flush() error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	_, err := s.disk.WriteAt(s.area, s.areaAt(s.current))
	return err
}

// Copy makes an exception for a chunk of the origin: data, if not nil, is what the origin held.
func (s *Snapshot) Copy(old uint64, data []byte) (fresh uint64, err error) {
	if fresh, err = s.Prepare(); err != nil {
		return 0, fmt.Errorf("chunk %d: %w", old, err)
	}
	if data != nil {
		if _, err := s.disk.WriteAt(data, int64(fresh)*s.chunk); err != nil {
			return 0, err
		}
	}
	return fresh, s.Commit(old, fresh)
}

// Invalidate is what an overflow does: the header says so, the table stays.
func (s *Snapshot) Invalidate() error { return s.header(0) }

// Status is "allocated", "total" and "metadata" of device-mapper's status line, in sectors.
func (s *Snapshot) Status() (allocated, total, metadata int64) {
	return int64(s.next) * s.chunk / 512, s.size / 512, (s.current + 2) * s.chunk / 512
}
