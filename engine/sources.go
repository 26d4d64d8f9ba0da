package engine

import (
	"io"
	"iter"

	"github.com/ddsgo/ddsgo/extent"
)

// Sparse is a Source that knows where it has holes, so that they need not be read.
type Sparse interface {
	// NextData is the offset of the first byte at or after off that may be other than zero.
	NextData(off int64) (int64, error)
}

// seqSource is a set of extents and the snapshot that has their content.
type seqSource struct {
	seq extent.Seq
	io.ReaderAt
}

// Extents implements Source.
func (s seqSource) Extents() iter.Seq2[extent.Extent, error] { return s.seq }

// NewSource is the source of what seq says, read from r.
func NewSource(seq extent.Seq, r io.ReaderAt) Source { return seqSource{seq, r} }

// WholeVolume is the source of a full copy.
func WholeVolume(size int64, r io.ReaderAt) Source { return seqSource{extent.Whole(size), r} }
