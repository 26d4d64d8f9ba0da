package engine_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/stream"
)

// TestSquash: the squashed delta does what the chain does.
func TestSquash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 256<<10).Draw(t, "size")
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i * 7)
		}
		old := bytes.Clone(content)
		var chain []engine.Stored
		var union extent.Set
		n := rapid.IntRange(1, 4).Draw(t, "deltas")
		for i := range n {
			v := &volume{content: content}
			for range rapid.IntRange(0, 12).Draw(t, "extents") {
				off := rapid.Int64Range(0, size-1).Draw(t, "off")
				e := extent.Between(off, min(size, off+rapid.Int64Range(1, 40<<10).Draw(t, "len")))
				v.set.Add(e)
				fill := rapid.SampledFrom([]byte{0, 1, 2, 3}).Draw(t, "fill")
				for k := e.Off; k < e.End(); k++ {
					content[k] = fill * byte(k>>8|1)
				}
			}
			union = union.Union(v.set)
			var b bytes.Buffer
			h := header(v, 16<<10)
			h.From, h.To = generation.Generation{UUID: "g", Seq: uint64(i + 1)}, generation.Generation{UUID: "g", Seq: uint64(i + 2)}
			_, err := engine.Extract(context.Background(), &b, v, engine.ExtractOptions{Header: h})
			require.NoError(t, err)
			chain = append(chain, engine.Stored{Name: "d", File: bytes.NewReader(b.Bytes()), Size: int64(b.Len())})
		}
		var one bytes.Buffer
		r, err := engine.Squash(context.Background(), &one, chain, engine.ExtractOptions{})
		require.NoError(t, err)
		require.Equal(t, union.Bytes(), r.ChangedBytes)
		dev := mem.NewFrom("t", old)
		_, err = engine.Merge(context.Background(), dev, &one, engine.MergeOptions{})
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, dev.Content()))

		if n > 1 {
			_, err = engine.Squash(context.Background(), &one, []engine.Stored{chain[1], chain[0]}, engine.ExtractOptions{})
			require.ErrorIs(t, err, engine.ErrChain)
		}
		chain[0].Size--
		_, err = engine.Squash(context.Background(), &one, chain, engine.ExtractOptions{})
		require.ErrorIs(t, err, stream.ErrTruncated)
	})
}
