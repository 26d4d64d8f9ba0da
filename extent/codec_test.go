package extent

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
)

// FuzzDecodeRuns feeds payloads past the checksums: whatever is accepted is in order, inside
// the volume, and is what would have been written.
func FuzzDecodeRuns(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1}, uint32(2), int64(8200), int64(4096))
	f.Add([]byte{5, 0x80, 0x10}, uint32(1), int64(1<<40), int64(512))
	f.Add(binary.AppendUvarint(binary.AppendUvarint(nil, 1<<62), 1<<62), uint32(1), int64(1<<63-1), int64(1))
	f.Add([]byte{0, 0}, uint32(1), int64(1), int64(1))
	f.Add([]byte{0x80, 0, 1}, uint32(1), int64(100), int64(1))
	f.Fuzz(func(t *testing.T, payload []byte, count uint32, size, chunk int64) {
		if size <= 0 || chunk <= 0 || chunk > MaxChunkSize {
			return
		}
		h := ChangedSetHeader{Size: size, ChunkSize: chunk}
		var got []Extent
		_, whole, err := decodeRuns(payload, count, 0, true, h, func(e Extent) bool {
			got = append(got, e)
			return true
		})
		var at int64 = -1
		enc := setEncoder{h: h}
		for _, e := range got {
			require.Greater(t, e.Off, at)
			require.LessOrEqual(t, e.End(), size)
			require.Positive(t, e.Len)
			at = e.End()
			require.NoError(t, enc.extent(e))
			if len(enc.payload) > MaxChangedSetBlock-100 {
				return
			}
		}
		if err == nil {
			require.True(t, whole)
			require.Equal(t, len(payload), len(enc.payload))
			require.Equal(t, string(payload), string(enc.payload))
		}
	})
}

// FuzzDecodeHeader: what is accepted is written the same way.
func FuzzDecodeHeader(f *testing.F) {
	f.Add(appendHeader(nil, ChangedSetHeader{Volume: "v", To: generation.Generation{UUID: "u", Seq: 5}, Size: 10, ChunkSize: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeader(b)
		if err == nil {
			require.Equal(t, b, appendHeader(nil, h))
		}
	})
}

// Sums that wrap round 2^64 must not get past the bounds.
func TestDecodeRunsDoesNotWrap(t *testing.T) {
	const most = 1<<63 - 1
	h := ChangedSetHeader{Size: most, ChunkSize: 1}
	for _, runs := range [][]uint64{{most, most}, {0, most, most, 3}, {0, 5, most - 5, most}} {
		var payload []byte
		for _, v := range runs {
			payload = binary.AppendUvarint(payload, v)
		}
		_, _, err := decodeRuns(payload, uint32(len(runs)/2), 0, true, h, func(Extent) bool { return true })
		require.ErrorIs(t, err, ErrOutside, "%v", runs)
	}
}
