package extent_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/extent"
)

func TestBitmapRefuses(t *testing.T) {
	for _, c := range []struct {
		granule, size int64
		want          error
	}{
		{0, 100, extent.ErrGranule}, {-4096, 100, extent.ErrGranule}, {3, 100, extent.ErrGranule},
		{1, 1 << 62, extent.ErrGranule}, {4096, 0, extent.ErrOutside}, {4096, -1, extent.ErrOutside},
	} {
		_, err := extent.NewBitmap(c.granule, c.size)
		require.ErrorIs(t, err, c.want, "%+v", c)
	}
	b, err := extent.NewBitmap(4096, 4096*10+1)
	require.NoError(t, err)
	require.EqualValues(t, 11, b.Granules())
	for _, g := range []int64{-1, 11, 1 << 62} {
		_, err := b.Add(g)
		require.ErrorIs(t, err, extent.ErrOutside, "%d", g)
		require.False(t, b.Contains(g))
	}
	require.ErrorIs(t, b.AddExtent(ext(0, 4096*10+2)), extent.ErrOutside)
	require.ErrorIs(t, b.AddExtent(extent.Extent{Off: -4096, Len: 1}), extent.ErrOutside)
	require.NoError(t, b.AddExtent(extent.Extent{Off: 100}))
	require.Zero(t, b.Count())
}

func TestBitmapLastGranule(t *testing.T) {
	b, err := extent.NewBitmap(4096, 4096*10+512)
	require.NoError(t, err)
	added, err := b.Add(10)
	require.NoError(t, err)
	require.True(t, added)
	added, err = b.Add(10)
	require.NoError(t, err)
	require.False(t, added)
	require.EqualValues(t, 512, b.Bytes())
	require.NoError(t, b.AddExtent(ext(4096*9+5, 4096*9+6)))
	require.EqualValues(t, 4096+512, b.Bytes())
	require.Equal(t, []extent.Extent{ext(4096*9, 4096*10+512)}, list(t, b.Seq()))

	// The largest possible volume: no arithmetic may overflow.
	b, err = extent.NewBitmap(1<<40, 1<<63-1)
	require.NoError(t, err)
	require.NoError(t, b.AddExtent(ext(0, 1<<63-1)))
	require.Equal(t, []extent.Extent{ext(0, 1<<63-1)}, list(t, b.Seq()))
	require.EqualValues(t, int64(1<<63-1), b.Bytes())
}

// Runs across words, pages and directories, against a Set.
func TestBitmapAgainstSet(t *testing.T) {
	const size = 3 << (12 + 10) // three directories of granules of one byte
	edges := []int64{0, 63, 64, 65, 1<<12 - 1, 1 << 12, 1<<12 + 1, 1<<22 - 1, 1 << 22, 1<<22 + 64, size - 65, size - 64, size - 1}
	rapid.Check(t, func(t *rapid.T) {
		b, err := extent.NewBitmap(1, size)
		require.NoError(t, err)
		var s extent.Set
		for range rapid.IntRange(0, 10).Draw(t, "n") {
			off := rapid.SampledFrom(edges).Draw(t, "off")
			n := rapid.SampledFrom([]int64{1, 2, 63, 64, 65, 128, 1 << 16, 1<<16 + 1}).Draw(t, "len")
			e := ext(off, min(off+n, size))
			if rapid.Bool().Draw(t, "one by one") && e.Len < 1000 {
				for g := e.Off; g < e.End(); g++ {
					want := !s.Contains(ext(g, g+1))
					added, err := b.Add(g)
					require.NoError(t, err)
					require.Equal(t, want, added)
				}
			} else {
				require.NoError(t, b.AddExtent(e))
			}
			s.Add(e)
		}
		require.Equal(t, list(t, s.Seq()), list(t, b.Seq()))
		require.Equal(t, s.Bytes(), b.Bytes())
		require.Equal(t, s.Bytes(), b.Count())
		for e := range s.All() {
			require.True(t, b.Contains(e.Off))
			require.Equal(t, s.Contains(ext(e.End(), e.End()+1)), b.Contains(e.End()))
		}
	})
}

// Memory follows what changed, not the size of the volume.
func TestBitmapMemory(t *testing.T) {
	b, err := extent.NewBitmap(4096, 1<<50)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	base := b.Memory()
	require.Less(t, base, int64(1<<20))
	for range 1000 { // the worst case: each change far from all others
		_, err := b.Add(rng.Int64N(b.Granules()))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, b.Memory()-base, int64(1000*(512+8<<10)+8<<10))

	b, err = extent.NewBitmap(4096, 256<<30)
	require.NoError(t, err)
	for range 2621 {
		_, err := b.Add(rng.Int64N(b.Granules()))
		require.NoError(t, err)
	}
	require.Less(t, b.Memory(), int64(2<<20), "1 % of 1 GiB, scattered over 256 GiB")
}

func BenchmarkBitmapAdd(b *testing.B) {
	const chunks = 40 << 20
	bm, err := extent.NewBitmap(4096, chunks*4096)
	require.NoError(b, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		if _, err := bm.Add(rng.Int64N(chunks)); err != nil {
			b.Fatal(err)
		}
	}
}
