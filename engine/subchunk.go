package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/stream"
)

// DiffGrain is the unit in which a sub-chunk delta compares the old content of a chunk with
// the new one: what a file system writes at a time.
const DiffGrain = 4 << 10

// baseRange is a part of a chunk of which some pieces differ: the old content of all of it is
// proven at the target before any of it is written.
type baseRange struct {
	e  extent.Extent
	at int // in the group's old content
}

// checkOld refuses options that make no sub-chunk delta.
func (o *ExtractOptions) checkOld() error {
	if o.Header.SubChunk != (o.Old != nil) {
		return fmt.Errorf("sub-chunk header %v, old content %v: %w", o.Header.SubChunk, o.Old != nil, ErrOptions)
	}
	if o.Old != nil && (o.Header.ChunkSize == 0 || o.Header.ChunkSize%DiffGrain != 0) {
		return fmt.Errorf("sub-chunk delta of chunks of %d bytes: %w", o.Header.ChunkSize, ErrOptions)
	}
	return nil
}

// readDiff reads the old content of a group whose new content is in its buffer, and leaves
// in buffer and frame what differs.
func (x *extraction) readDiff(ctx context.Context, g *group) ([]byte, error) {
	g.old = grown(g.old, g.size, int(x.opt.Header.FrameSize))
	if err := readExtents(ctx, x.opt.Old, g.old, g.extents); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOldContent, err)
	}
	return g.diff(int64(x.opt.Header.ChunkSize)), nil
}

// diff is sift for a sub-chunk delta: pieces that are as they were leave the group, too. A
// group in which every chunk differs in all its pieces builds on nothing and needs no digests.
func (g *group) diff(chunk int64) []byte {
	from, to, partial := 0, 0, false
	g.bases = g.bases[:0]
	for _, e := range g.extents {
		for off := e.Off; off < e.End(); {
			n := int(min(chunk-off%chunk, e.End()-off))
			kept, differs := g.diffRange(off, from, to, n)
			if differs > 0 {
				g.bases = append(g.bases, baseRange{extent.Extent{Off: off, Len: int64(n)}, from})
				partial = partial || differs < n
			}
			from, to, off = from+n, to+kept, off+int64(n)
		}
	}
	if partial {
		for _, b := range g.bases {
			g.frame.Bases = append(g.frame.Bases, stream.Base{Extent: b.e, Sum: sha256.Sum256(g.old[b.at : b.at+int(b.e.Len)])})
		}
	}
	return g.buf[:to]
}

// diffRange compares n bytes of a chunk, which lie at from in both buffers. It moves what the
// frame must carry to `to`, and says how much that is and how many bytes differ at all.
func (g *group) diffRange(off int64, from, to, n int) (kept, differs int) {
	for end := from + n; from < end; {
		m := int(min(DiffGrain-off%DiffGrain, int64(end-from)))
		piece := g.buf[from : from+m]
		if !bytes.Equal(piece, g.old[from:from+m]) {
			differs += m
			if isZero(piece) {
				g.frame.Zeros = appendPiece(g.frame.Zeros, off, int64(m))
			} else {
				if to+kept != from {
					copy(g.buf[to+kept:], piece)
				}
				kept += m
				g.frame.Extents = appendPiece(g.frame.Extents, off, int64(m))
			}
		}
		from, off = from+m, off+int64(m)
	}
	return kept, differs
}

// grown is a buffer of at least size bytes, at most limit where that is more.
func grown(b []byte, size, limit int) []byte {
	if len(b) >= size {
		return b
	}
	return make([]byte, min(limit, max(size, 2*len(b))))
}

// readExtents reads the content of extents, one after the other, into p.
func readExtents(ctx context.Context, r io.ReaderAt, p []byte, extents []extent.Extent) error {
	at := 0
	for _, e := range extents {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		q := p[at : at+int(e.Len)]
		if n, err := r.ReadAt(q, e.Off); n < len(q) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %v: %w", e, err)
		}
		at += int(e.Len)
	}
	return nil
}
