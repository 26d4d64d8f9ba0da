package extent_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/extent"
)

func ext(off, end int64) extent.Extent { return extent.Between(off, end) }

func TestExtent(t *testing.T) {
	require.Equal(t, "[3,10)", ext(3, 10).String())
	require.True(t, ext(5, 3).Empty())
	require.True(t, ext(0, 10).Contains(ext(3, 10)))
	require.False(t, ext(0, 10).Contains(ext(3, 11)))
	require.True(t, ext(0, 10).Overlaps(ext(9, 11)))
	require.False(t, ext(0, 10).Overlaps(ext(10, 11)))
	require.Equal(t, ext(5, 10), ext(0, 10).Intersect(ext(5, 20)))
	require.True(t, ext(0, 10).Intersect(ext(15, 20)).Empty())
	require.False(t, extent.Extent{Off: -1, Len: 5}.Valid())
	require.False(t, extent.Extent{Off: 1, Len: -5}.Valid())
	require.False(t, extent.Extent{Off: 1<<63 - 2, Len: 5}.Valid())
	for _, c := range []struct{ in, want extent.Extent }{
		{ext(1, 2), ext(0, 8)}, {ext(8, 16), ext(8, 16)}, {ext(7, 9), ext(0, 16)}, {ext(17, 19), ext(16, 19)},
	} {
		require.Equal(t, c.want, c.in.Outward(8, 19))
	}
	require.Equal(t, ext(0, 1<<63-1), ext(1, 1<<63-2).Outward(4096, 1<<63-1))
}

// A model of sets for the properties: one bool for each byte of a small volume.
const modelSize = 96

type model [modelSize]bool

func modelOf(extents []extent.Extent) (m model) {
	for _, e := range extents {
		for i := e.Off; i < e.End(); i++ {
			m[i] = true
		}
	}
	return m
}

// set is what a model should look like: sorted, disjoint, merged.
func (m model) extents() (list []extent.Extent) {
	for i := int64(0); i < modelSize; i++ {
		if !m[i] {
			continue
		}
		start := i
		for i < modelSize && m[i] {
			i++
		}
		list = append(list, ext(start, i))
	}
	return list
}

func (m model) combine(o model, f func(a, b bool) bool) (r model) {
	for i := range m {
		r[i] = f(m[i], o[i])
	}
	return r
}

func drawExtents(t *rapid.T, name string) []extent.Extent {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) extent.Extent {
		off := rapid.Int64Range(0, modelSize-1).Draw(t, "off")
		return ext(off, rapid.Int64Range(off, min(off+20, modelSize)).Draw(t, "end"))
	}), 0, 12).Draw(t, name)
}

func list(t require.TestingT, seq extent.Seq) (l []extent.Extent) {
	for e, err := range seq {
		require.NoError(t, err)
		l = append(l, e)
	}
	return l
}

func TestSetAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawExtents(t, "a"), drawExtents(t, "b")
		ma, mb := modelOf(a), modelOf(b)
		sa, sb := extent.NewSet(a...), extent.Set{}
		for _, e := range b {
			sb.Add(e)
		}
		is := func(what string, want model, got extent.Set) {
			l := list(t, got.Seq())
			require.Equal(t, want.extents(), l, what)
			require.Equal(t, len(l), got.Count(), what)
			var bytes int64
			for _, in := range want {
				if in {
					bytes++
				}
			}
			require.Equal(t, bytes, got.Bytes(), what)
			require.Equal(t, bytes == 0, got.Empty(), what)
			_, err := extent.Collect(extent.Checked(got.Seq(), modelSize))
			require.NoError(t, err, what)
		}
		is("add", ma, sa)
		is("add in any order", mb, sb)
		is("union", ma.combine(mb, func(a, b bool) bool { return a || b }), sa.Union(sb))
		is("intersect", ma.combine(mb, func(a, b bool) bool { return a && b }), sa.Intersect(sb))
		is("subtract", ma.combine(mb, func(a, b bool) bool { return a && !b }), sa.Subtract(sb))
		clip := rapid.Int64Range(0, modelSize).Draw(t, "clip")
		is("clip", ma.combine(modelOf([]extent.Extent{ext(0, clip)}), func(a, b bool) bool { return a && b }), sa.Clip(clip))
		e := drawExtents(t, "probe")
		for _, e := range e {
			all := true
			for i := e.Off; i < e.End(); i++ {
				all = all && ma[i]
			}
			require.Equal(t, all, sa.Contains(e), "contains %v in %v", e, sa)
		}
		clone := sa.Clone()
		clone.Add(ext(0, modelSize))
		is("a clone shares nothing", ma, sa)
		require.Equal(t, ma == mb, sa.Equal(sb))

		// The same through sequences and bitmaps.
		united := ma.combine(mb, func(a, b bool) bool { return a || b })
		require.Equal(t, united.extents(), list(t, extent.Union(sa.Seq(), sb.Seq(), extent.Of())))
		bm, err := extent.NewBitmap(1, modelSize)
		require.NoError(t, err)
		require.NoError(t, bm.AddSeq(extent.Of(a...)))
		require.NoError(t, bm.AddSeq(extent.Of(b...)))
		require.Equal(t, united.extents(), list(t, bm.Seq()))
		within := ext(clip/2, clip)
		require.Equal(t, list(t, sa.Intersect(extent.NewSet(within)).Seq()), list(t, extent.Clip(sa.Seq(), within)))
		var outward extent.Set
		for _, e := range a {
			if !e.Empty() {
				outward.Add(e.Outward(8, modelSize-3))
			}
		}
		if !sa.Clip(modelSize - 3).Equal(sa) {
			return // outside the volume of the next check
		}
		require.Equal(t, list(t, outward.Seq()), list(t, extent.Outward(sa.Seq(), 8, modelSize-3)))
	})
}

var errBroken = errors.New("broken")

func failingAfter(e ...extent.Extent) extent.Seq {
	return func(yield func(extent.Extent, error) bool) {
		for _, e := range e {
			if !yield(e, nil) {
				return
			}
		}
		yield(extent.Extent{}, errBroken)
	}
}

func TestSequencesPassErrorsOn(t *testing.T) {
	for name, seq := range map[string]extent.Seq{
		"union":    extent.Union(extent.Whole(10), failingAfter(ext(20, 30))),
		"at once":  extent.Union(extent.Whole(10), extent.Failed(errBroken)),
		"clip":     extent.Clip(failingAfter(ext(0, 5)), ext(0, 100)),
		"checked":  extent.Checked(failingAfter(ext(0, 5)), 100),
		"outward":  extent.Outward(failingAfter(ext(0, 5)), 8, 100),
		"coalesce": extent.Coalesce(failingAfter()),
	} {
		_, _, err := extent.Total(seq)
		require.ErrorIs(t, err, errBroken, name)
		_, err = extent.Collect(seq)
		require.ErrorIs(t, err, errBroken, name)
		bm, err := extent.NewBitmap(1, 100)
		require.NoError(t, err)
		require.ErrorIs(t, bm.AddSeq(seq), errBroken, name)
	}
}

func TestSequencesOutOfOrderAreRefused(t *testing.T) {
	for name, seq := range map[string]extent.Seq{
		"union":    extent.Union(extent.Of(ext(10, 20), ext(0, 5)), extent.Whole(1)),
		"overlap":  extent.Union(extent.Of(ext(10, 20), ext(15, 25))),
		"checked":  extent.Checked(extent.Of(ext(10, 20), ext(0, 5)), 100),
		"negative": extent.Union(extent.Of(extent.Extent{Off: -5, Len: 2})),
	} {
		_, _, err := extent.Total(seq)
		require.ErrorIs(t, err, extent.ErrOrder, name)
	}
	_, _, err := extent.Total(extent.Checked(extent.Of(ext(10, 20)), 15))
	require.ErrorIs(t, err, extent.ErrOutside)
}

func TestWholeTotalAndEarlyStop(t *testing.T) {
	require.Empty(t, list(t, extent.Whole(0)))
	n, bytes, err := extent.Total(extent.Whole(1 << 40))
	require.NoError(t, err)
	require.Equal(t, []int64{1, 1 << 40}, []int64{n, bytes})
	for range extent.Union(extent.Of(ext(0, 1), ext(5, 6)), extent.Of(ext(2, 3))) {
		break // must not panic or leave a goroutine behind
	}
	require.Equal(t, "{[0,1) [5,6)}", extent.NewSet(ext(5, 6), ext(0, 1)).String())
}
