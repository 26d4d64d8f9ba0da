package engine

import (
	"io"
	"iter"

	"github.com/ddsgo/ddsgo/extent"
)

// Source says which bytes changed since the base and reads their new content.
// The COW table, a changed-set file, a thin difference, a hash exchange and a
// whole volume each provide one.
type Source interface {
	// Extents yields what changed: ascending, disjoint, inside the volume. It may be
	// ranged over more than once and yields the same each time.
	Extents() iter.Seq2[extent.Extent, error]
	// ReaderAt reads the *new* snapshot, never the live origin.
	io.ReaderAt
}
