package extent

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// appendHeader appends the encoded header, without its length and checksum.
func appendHeader(b []byte, h ChangedSetHeader) []byte {
	b = appendText(b, h.Volume)
	b = appendGeneration(b, h.From)
	b = appendGeneration(b, h.To)
	b = binary.AppendUvarint(b, uint64(h.Size))
	b = binary.AppendUvarint(b, uint64(h.ChunkSize))
	return binary.AppendUvarint(b, uint64(h.Folded))
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendGeneration writes the time as nanoseconds since 1970, 0 for none.
func appendGeneration(b []byte, g generation.Generation) []byte {
	b = appendText(b, g.UUID)
	b = binary.AppendUvarint(b, g.Seq)
	var nanos uint64
	if !g.Time.IsZero() {
		nanos = uint64(g.Time.UnixNano())
	}
	b = binary.AppendUvarint(b, nanos)
	return binary.AppendUvarint(b, uint64(g.Size))
}

// cursor reads an encoded header. After the first error every read gives zero.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) number(what string, limit uint64) uint64 {
	if c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.b)
	switch {
	case n <= 0:
		c.err = fmt.Errorf("%s: %w", what, ErrMalformed)
	case n > 1 && c.b[n-1] == 0:
		c.err = fmt.Errorf("%s is not in its shortest form: %w", what, ErrMalformed)
	case v > limit:
		c.err = fmt.Errorf("%s is %d, at most %d: %w", what, v, limit, ErrLimit)
	default:
		c.b = c.b[n:]
		return v
	}
	return 0
}

func (c *cursor) text(what string, limit uint64) string {
	n := c.number(what, limit)
	if c.err != nil {
		return ""
	}
	if n > uint64(len(c.b)) {
		c.err = fmt.Errorf("%s of %d bytes, %d are left: %w", what, n, len(c.b), ErrMalformed)
		return ""
	}
	s := string(c.b[:n])
	c.b = c.b[n:]
	return s
}

func (c *cursor) generation(what string) generation.Generation {
	g := generation.Generation{UUID: c.text(what, generation.MaxUUID), Seq: c.number(what, 1<<64-1)}
	if nanos := c.number(what, 1<<63-1); nanos != 0 {
		g.Time = time.Unix(0, int64(nanos)).UTC()
	}
	g.Size = int64(c.number(what, 1<<63-1))
	return g
}

// decodeHeader reads what appendHeader wrote, and nothing else.
func decodeHeader(b []byte) (ChangedSetHeader, error) {
	c := cursor{b: b}
	h := ChangedSetHeader{Volume: c.text("volume", MaxVolumeName), From: c.generation("from"), To: c.generation("to")}
	h.Size = int64(c.number("size", 1<<63-1))
	h.ChunkSize = int64(c.number("chunk size", MaxChunkSize))
	h.Folded = int(c.number("folded", MaxFolded))
	if c.err == nil && len(c.b) != 0 {
		c.err = fmt.Errorf("%d bytes after the header's last field: %w", len(c.b), ErrMalformed)
	}
	if c.err != nil {
		return ChangedSetHeader{}, fmt.Errorf("header: %w", c.err)
	}
	if err := h.Validate(); err != nil {
		return ChangedSetHeader{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return h, nil
}

// chunkRun turns an extent into chunks: first, count. The last chunk may be cut by size.
func chunkRun(e Extent, h ChangedSetHeader) (first, count uint64, err error) {
	if e.Off%h.ChunkSize != 0 || (e.End()%h.ChunkSize != 0 && e.End() != h.Size) {
		return 0, 0, fmt.Errorf("extent %v, chunks of %d bytes: %w", e, h.ChunkSize, ErrUnaligned)
	}
	first = uint64(e.Off / h.ChunkSize)
	return first, uint64((e.End()-1)/h.ChunkSize) + 1 - first, nil
}

// decodeRuns calls yield for each extent of a block's payload. at is the chunk after the last
// extent before the block; the one after the block's last is returned.
func decodeRuns(payload []byte, extents uint32, at uint64, first bool, h ChangedSetHeader, yield func(Extent) bool) (uint64, bool, error) {
	chunks := uint64((h.Size-1)/h.ChunkSize) + 1
	c := cursor{b: payload}
	for i := range extents {
		gap, n := c.number("gap", chunks), c.number("length", chunks)
		if c.err != nil {
			return at, false, c.err
		}
		if (gap == 0 && !(first && i == 0)) || n == 0 {
			return at, false, fmt.Errorf("gap %d, length %d: %w", gap, n, ErrMalformed)
		}
		if gap > chunks-at || n > chunks-at-gap {
			return at, false, fmt.Errorf("chunks %d to %d of %d: %w", at+gap, at+gap+n, chunks, ErrOutside)
		}
		start := int64(at+gap) * h.ChunkSize
		at += gap + n
		end := h.Size
		if at < chunks {
			end = int64(at) * h.ChunkSize
		}
		if !yield(Between(start, end)) {
			return at, false, nil
		}
	}
	if len(c.b) != 0 {
		return at, false, fmt.Errorf("%d bytes after a block's last extent: %w", len(c.b), ErrMalformed)
	}
	return at, true, nil
}
