package engine

import (
	"io"
	"iter"

	"github.com/ddsgo/ddsgo/extent"
)

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
