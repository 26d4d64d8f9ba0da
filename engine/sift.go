package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

// sift sorts the pieces of a group into content and zeros: frame.Extents and frame.Zeros. It
// closes the gaps in the buffer and returns what is left of it.
func (g *group) sift() []byte {
	f := &g.frame
	from, to := 0, 0
	for _, e := range g.extents {
		for off := e.Off; off < e.End(); {
			n := int(min(zeroGrain-off%zeroGrain, e.End()-off))
			piece := g.buf[from : from+n]
			if isZero(piece) {
				f.Zeros = appendPiece(f.Zeros, off, int64(n))
			} else {
				if to != from {
					copy(g.buf[to:], piece)
				}
				to += n
				f.Extents = appendPiece(f.Extents, off, int64(n))
			}
			from += n
			off += int64(n)
		}
	}
	return g.buf[:to]
}

// isZero compares a piece with itself, shifted by one: no page of zeros is needed.
func isZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

func appendPiece(list []extent.Extent, off, n int64) []extent.Extent {
	if k := len(list); k > 0 && list[k-1].End() == off {
		list[k-1].Len += n
		return list
	}
	return append(list, extent.Extent{Off: off, Len: n})
}

// identify names a set of extents that has no name: the SHA-256 of the volume's size and the
// extents. It returns the sum of the extents, too.
func identify(seq extent.Seq, volume int64) (id stream.SetID, total int64, err error) {
	h := sha256.New()
	buf := make([]byte, 0, 8<<10)
	buf = append(buf, "ddsgo set\n"...)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(volume))
	var run extent.Extent // neighbours count as one: a set is the same however it is cut
	for e, err := range extent.Checked(seq, volume) {
		if err != nil {
			return id, 0, fmt.Errorf("%w: %w", ErrSource, err)
		}
		total += e.Len
		if run.Len > 0 && run.End() == e.Off {
			run.Len += e.Len
			continue
		}
		buf = appendRun(buf, run)
		run = e
		if len(buf) > cap(buf)-16 {
			_, _ = h.Write(buf)
			buf = buf[:0]
		}
	}
	_, _ = h.Write(appendRun(buf, run))
	h.Sum(id[:0])
	return id, total, nil
}

func appendRun(b []byte, e extent.Extent) []byte {
	if e.Empty() {
		return b
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Off))
	return binary.LittleEndian.AppendUint64(b, uint64(e.Len))
}

// transferOf is the part of a report that header and trailer know.
func transferOf(h stream.Header, t stream.Trailer) report.Transfer {
	return report.Transfer{Kind: h.Kind.String(), Set: h.SetID.String(), VolumeSize: h.VolumeSize,
		ChunkSize: int64(h.ChunkSize), ChangedBytes: h.SetBytes, DataBytes: int64(t.DataBytes),
		ZeroBytes: int64(t.ZeroBytes), Extents: int64(t.Extents), Frames: int64(t.Frames), Digest: t.Digest.String()}
}
