package cow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/ddsgo/ddsgo/extent"
)

// Options says what is known about the store from elsewhere.
type Options struct {
	// VolumeSize is the size of the origin, as it was when the snapshot was taken, in bytes.
	// It is needed: an exception outside it is an error.
	VolumeSize int64
	// ExpectAtLeast is the number of exceptions that device-mapper reported before the reading
	// began (Header.InUse); a shorter table is ErrShort. 0: not known.
	ExpectAtLeast int64
	// Settle is how long to wait for a table that is shorter than ExpectAtLeast: device-mapper
	// counts exceptions whose copy is under way, and those are written within moments.
	Settle time.Duration
	// Areas is the number of areas that device-mapper reported in use before the reading began
	// (Header.InUse). These can be read in parallel, which on a cold device is several times faster;
	// without it areas are read one after the other, because only the kernel knows which of
	// them are initialised. 0: not known.
	Areas int64
	// Readers is how many areas are read at a time where Areas allows it; 0 means 8.
	Readers int
	// AllowInvalid reads the table of an overflowed snapshot as far as it goes, for inspection.
	AllowInvalid bool
}

const (
	defaultReaders = 8
	maxReaders     = 128
	settlePause    = 20 * time.Millisecond
)

// Validate refuses options that make no sense.
func (o Options) Validate() error {
	switch {
	case o.VolumeSize <= 0:
		return fmt.Errorf("cow: volume of %d bytes", o.VolumeSize)
	case o.ExpectAtLeast < 0 || o.Areas < 0 || o.Settle < 0:
		return errors.New("cow: a negative expectation")
	case o.Readers < 0 || o.Readers > maxReaders:
		return fmt.Errorf("cow: %d readers, at most %d", o.Readers, maxReaders)
	}
	return nil
}

// Exception says that chunk Old of the volume was written, and that chunk New of the store
// has what was there before.
type Exception struct {
	Old, New uint64
}

// Table is the whole exception table of a store.
type Table struct {
	ChunkSize     int64
	Valid         bool // false only with Options.AllowInvalid
	Exceptions    int64
	MetadataAreas int64 // areas looked at, the last of which may be empty
	// Changed has a bit for each chunk of the volume that has an exception.
	Changed *extent.Bitmap
}

// ReadTable reads the whole table of a store of size bytes.
func ReadTable(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Table, error) {
	s, err := newScanner(r, size, o)
	if err != nil {
		return nil, err
	}
	changed, err := extent.NewBitmap(s.h.ChunkSize, o.VolumeSize)
	if err != nil {
		return nil, err
	}
	err = s.run(ctx, func(entries []byte) error {
		first := s.count - int64(len(entries)/exceptionBytes)
		for i := 0; i < len(entries); i += exceptionBytes {
			old := binary.LittleEndian.Uint64(entries[i:])
			// Old chunks were checked against the volume, so they fit into an int64.
			if added, err := changed.Add(int64(old)); err != nil || !added {
				if err == nil {
					err = ErrDuplicate
				}
				return fmt.Errorf("exception %d, chunk %d: %w", first+int64(i/exceptionBytes), old, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Table{ChunkSize: s.h.ChunkSize, Valid: s.h.Valid, Exceptions: s.count, MetadataAreas: s.areasSeen, Changed: changed}, nil
}

// Exceptions is the exceptions of a store of size bytes in the order of the store, in which the
// old data (New) lies nearly sequentially. Duplicates are not looked for: that takes a
// bitmap, and ReadTable does it. The sequence ends after the first error.
func Exceptions(ctx context.Context, r io.ReaderAt, size int64, o Options) iter.Seq2[Exception, error] {
	return func(yield func(Exception, error) bool) {
		s, err := newScanner(r, size, o)
		if err != nil {
			yield(Exception{}, err)
			return
		}
		err = s.run(ctx, func(entries []byte) error {
			for i := 0; i < len(entries); i += exceptionBytes {
				e := Exception{Old: binary.LittleEndian.Uint64(entries[i:]), New: binary.LittleEndian.Uint64(entries[i+8:])}
				if !yield(e, nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Exception{}, err)
		}
	}
}

// errStopped ends a scan whose consumer has seen enough.
var errStopped = errors.New("stopped")
