package cow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddsgo/ddsgo/blockdev"
)

// areaAlignment is what O_DIRECT wants of memory.
const areaAlignment = 4096

// scanner walks the areas of a store in order and checks every exception.
type scanner struct {
	r    io.ReaderAt
	size int64
	o    Options
	h    Header

	volumeChunks uint64
	storeChunks  uint64

	count     int64  // exceptions accepted
	areasSeen int64  // areas looked at
	lastNew   uint64 // new chunk of the last exception accepted
	batch     []byte // areas read in parallel and not consumed yet
	batchLen  int64  // areas in batch
	batchAt   int64  // number of the first area in batch
}

func newScanner(r io.ReaderAt, size int64, o Options) (*scanner, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	h, err := ReadHeader(r, size)
	if err != nil && !(o.AllowInvalid && errors.Is(err, ErrInvalid)) {
		return nil, err
	}
	if o.Readers == 0 {
		o.Readers = defaultReaders
	}
	if o.Areas > 0 { // all areas before the last one in use are full
		o.ExpectAtLeast = max(o.ExpectAtLeast, (o.Areas-1)*h.PerArea())
	}
	return &scanner{
		r: r, size: size, o: o, h: h,
		volumeChunks: uint64((o.VolumeSize-1)/h.ChunkSize + 1),
		storeChunks:  uint64(size / h.ChunkSize),
	}, nil
}

// run gives the exceptions of the table to consume, in order, as raw entries that were checked;
// the slice is valid during the call. At the end it checks the header and the count.
func (s *scanner) run(ctx context.Context, consume func(entries []byte) error) error {
	area, skip, err := s.walk(ctx, 0, 0, consume)
	if err != nil {
		return err
	}
	if err := s.settle(ctx, area, skip, consume); err != nil {
		return err
	}
	// Only now is a table known to be whole: an overflow while we read leaves it plausible.
	h, err := ReadHeader(s.r, s.size)
	if err != nil && !(s.o.AllowInvalid && errors.Is(err, ErrInvalid)) {
		return fmt.Errorf("after reading the table: %w", err)
	}
	if h.ChunkSize != s.h.ChunkSize {
		return fmt.Errorf("chunks of %d bytes, were %d: %w", h.ChunkSize, s.h.ChunkSize, ErrChanged)
	}
	s.h = h
	return nil
}

// settle waits, reading on, until the table has as many exceptions as were promised.
func (s *scanner) settle(ctx context.Context, area int64, skip int, consume func([]byte) error) error {
	if s.count >= s.o.ExpectAtLeast {
		return nil
	}
	deadline := time.NewTimer(s.o.Settle)
	defer deadline.Stop()
	tick := time.NewTicker(settlePause)
	defer tick.Stop()
	for s.count < s.o.ExpectAtLeast {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%d exceptions, expected %d or more: %w", s.count, s.o.ExpectAtLeast, ErrShort)
		case <-tick.C:
		}
		s.batchLen = 0 // look again, not at what was read before
		var err error
		if area, skip, err = s.walk(ctx, area, skip, consume); err != nil {
			return err
		}
	}
	return nil
}

// walk reads on from entry number skip of an area to the end of the table, and returns where
// that is.
func (s *scanner) walk(ctx context.Context, area int64, skip int, consume func([]byte) error) (int64, int, error) {
	perArea := int(s.h.PerArea())
	for ; ; area, skip = area+1, 0 {
		if err := ctx.Err(); err != nil {
			return area, skip, err
		}
		if area > 0 && s.h.AreaOffset(area)+s.h.ChunkSize > s.size {
			// The store is full to its last byte: the kernel has nowhere to put another area.
			return area, skip, nil
		}
		b, err := s.area(ctx, area)
		if err != nil {
			return area, skip, fmt.Errorf("area %d: %w", area, err)
		}
		s.areasSeen = max(s.areasSeen, area+1)
		n, err := s.check(b, skip)
		if err != nil {
			return area, skip, fmt.Errorf("area %d: %w", area, err)
		}
		if n > skip {
			s.count += int64(n - skip)
			if err := consume(b[skip*exceptionBytes : n*exceptionBytes]); err != nil {
				return area, skip, err
			}
		}
		if n < perArea {
			return area, n, nil
		}
	}
}

// check finds the end of an area's exceptions and refuses any that the kernel cannot have
// written. Entries before skip were checked before.
func (s *scanner) check(area []byte, skip int) (int, error) {
	stride := uint64(s.h.PerArea()) + 1
	last := s.lastNew
	n := skip
	for at := skip * exceptionBytes; at < len(area); at += exceptionBytes {
		entry := area[at : at+exceptionBytes : at+exceptionBytes]
		old, fresh := binary.LittleEndian.Uint64(entry), binary.LittleEndian.Uint64(entry[8:])
		if fresh == 0 {
			break
		}
		if old >= s.volumeChunks || fresh <= last || fresh >= s.storeChunks || (fresh-1)%stride == 0 {
			return 0, s.refuse(n, old, fresh, last)
		}
		last = fresh
		n++
	}
	s.lastNew = last
	return n, nil
}

// refuse says what is wrong with the exception old -> fresh.
func (s *scanner) refuse(entry int, old, fresh, last uint64) error {
	switch {
	case old >= s.volumeChunks:
		return fmt.Errorf("exception %d is for chunk %d, the volume has %d: %w", entry, old, s.volumeChunks, ErrOutside)
	case fresh <= last:
		return fmt.Errorf("exception %d points to chunk %d, the one before to %d: %w", entry, fresh, last, ErrBadNewChunk)
	case fresh >= s.storeChunks:
		return fmt.Errorf("exception %d points to chunk %d, the store has %d: %w", entry, fresh, s.storeChunks, ErrTruncated)
	}
	return fmt.Errorf("exception %d points to chunk %d, which is part of the table: %w", entry, fresh, ErrBadNewChunk)
}

// area returns the content of an area, valid until the next call.
func (s *scanner) area(ctx context.Context, area int64) ([]byte, error) {
	if area >= s.batchAt && area < s.batchAt+s.batchLen {
		at := (area - s.batchAt) * s.h.ChunkSize
		return s.batch[at : at+s.h.ChunkSize], nil
	}
	// Areas in use when device-mapper was asked were initialised then. Any other area may be read
	// only after the one before it was seen full: alone, and never ahead.
	n := min(max(s.o.Areas-area, 1), int64(s.o.Readers))
	if last := s.h.AreaOffset(area+n-1) + s.h.ChunkSize; last > s.size {
		return nil, fmt.Errorf("ends at %d, the store at %d: %w", last, s.size, ErrTruncated)
	}
	if s.batch == nil {
		// Direct reads want aligned memory; one buffer serves the whole scan.
		s.batch = blockdev.AlignedBuffer(int(min(max(s.o.Areas, 1), int64(s.o.Readers))*s.h.ChunkSize), areaAlignment)
	}
	s.batchLen = 0
	if n == 1 {
		if err := readFull(s.r, s.batch[:s.h.ChunkSize], s.h.AreaOffset(area)); err != nil {
			return nil, err
		}
	} else if err := s.readAhead(ctx, area, n); err != nil {
		return nil, err
	}
	s.batchAt, s.batchLen = area, n
	return s.batch[:s.h.ChunkSize], nil
}

// readAhead reads n areas at once.
func (s *scanner) readAhead(ctx context.Context, area, n int64) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return readFull(s.r, s.batch[i*s.h.ChunkSize:(i+1)*s.h.ChunkSize], s.h.AreaOffset(area+i))
		})
	}
	return g.Wait()
}
