package replica

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestForecast(t *testing.T) {
	const mb = 1 << 20
	cases := []struct {
		name  string
		used  []int64 // one look per 2 s
		total int64
		rate  float64
		left  time.Duration
	}{
		{"nothing seen", nil, 0, 0, math.MaxInt64},
		{"one look has no rate", []int64{90 * mb}, 100 * mb, 0, math.MaxInt64},
		{"still", []int64{mb, mb, mb}, 100 * mb, 0, math.MaxInt64},
		{"steady", []int64{0, 2 * mb, 4 * mb}, 10 * mb, mb, 6 * time.Second},
		{"faster at the end: the last interval counts", []int64{0, 0, 0, 8 * mb}, 16 * mb, 4 * mb, 2 * time.Second},
		{"slower at the end: the mean counts", []int64{0, 9 * mb, 9 * mb, 9 * mb}, 12 * mb, 1.5 * mb, 2 * time.Second},
		{"full", []int64{0, 10 * mb}, 10 * mb, 5 * mb, 0},
		{"another store", []int64{8 * mb, 9 * mb, 1 * mb}, 10 * mb, 0, math.MaxInt64},
		{"another store, filling", []int64{9 * mb, 1 * mb, 3 * mb}, 10 * mb, mb, 7 * time.Second},
		{"slower than any clock", []int64{0, 1}, math.MaxInt64, 0.5, math.MaxInt64},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var f fill
			for i, u := range c.used {
				f.add(look{time.Unix(int64(2*i), 0), u, c.total})
			}
			got := f.forecast()
			require.InDelta(t, c.rate, got.rate, 1)
			require.Equal(t, c.left, got.left)
		})
	}
}

func TestForecastForgets(t *testing.T) {
	var f fill
	for i := range 10 * fillWindow {
		f.add(look{time.Unix(int64(i), 0), 100, 1000})
	}
	require.Len(t, f.looks, fillWindow)
}

func TestDecideStore(t *testing.T) {
	const mb = 1 << 20
	base := storeFacts{forecast: forecast{used: 10 * mb, total: 100 * mb, left: math.MaxInt64}, interval: 2 * time.Second,
		step: 20 * mb, limit: 300 * mb, largest: 1000 * mb, free: 500 * mb, reserve: 100 * mb, extent: 4 * mb, foldNeeds: 100 * mb}
	with := func(change func(*storeFacts)) storeFacts { f := base; change(&f); return f }
	soon := func(f *storeFacts) { f.left, f.rate = 7*time.Second, 10*mb }
	cases := []struct {
		name string
		f    storeFacts
		act  act
		size int64
	}{
		{"quiet", base, actNone, 0},
		{"filling, far away", with(func(f *storeFacts) { f.left, f.rate = time.Minute, mb }), actNone, 0},
		{"five intervals left: not yet", with(func(f *storeFacts) { f.left, f.rate = 10*time.Second, 9*mb }), actNone, 0},
		{"less than four intervals left", with(soon), actExtend, 332 * mb / 4 * 4},
		{"slow but nearly full", with(func(f *storeFacts) { f.used = 91 * mb }), actExtend, 120 * mb},
		{"by the rate, not by the step", with(func(f *storeFacts) { f.left, f.rate, f.limit = time.Second, 5*mb, 1000*mb }), actExtend, 172 * mb},
		{"up to the limit only", with(func(f *storeFacts) { soon(f); f.limit = 130 * mb }), actExtend, 128 * mb},
		{"what the group has, less the next snapshot", with(func(f *storeFacts) { soon(f); f.free = 109 * mb }), actExtend, 108 * mb},
		{"at the limit: fold", with(func(f *storeFacts) { soon(f); f.limit = 100 * mb }), actFold, 0},
		{"no limit set: fold", with(func(f *storeFacts) { soon(f); f.limit = 0 }), actFold, 0},
		{"a fold begins earlier", with(func(f *storeFacts) { f.left, f.rate, f.limit = 15*time.Second, mb, 0 }), actFold, 0},
		{"the last space is for the fold, not for the extension", with(func(f *storeFacts) { soon(f); f.free = 100 * mb }), actFold, 0},
		{"no space at all", with(func(f *storeFacts) { soon(f); f.free = 99 * mb }), actWarn, 0},
		{"no space, but quiet", with(func(f *storeFacts) { f.free = 0 }), actNone, 0},
		{"folding is not possible", with(func(f *storeFacts) { soon(f); f.limit, f.foldNeeds = 0, -1 }), actWarn, 0},
		{"can never overflow", with(func(f *storeFacts) { soon(f); f.largest = 100 * mb }), actNone, 0},
		{"a caller that comes back late looks further ahead", with(func(f *storeFacts) { f.left, f.rate, f.horizon = 5*time.Minute, mb/8, 10*time.Minute }), actExtend, 120 * mb},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, size, why := decideStore(c.f)
			require.Equal(t, c.act.String(), a.String(), why)
			if c.act == actExtend {
				require.Equal(t, min(c.size, c.f.limit/c.f.extent*c.f.extent), size)
			}
			require.Equal(t, a == actWarn, why != "")
		})
	}
}

// However it is asked, an extension keeps to every limit and is one.
func TestDecideStoreProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string, low, high int64) int64 { return rapid.Int64Range(low, high).Draw(t, name) }
		f := storeFacts{interval: 2 * time.Second, step: n("step", 1, 1<<40), limit: n("limit", 0, 1<<42), largest: n("largest", 1, 1<<42),
			free: n("free", 0, 1<<42), reserve: n("reserve", 0, 1<<40), extent: n("extent", 512, 1<<25), foldNeeds: n("fold", -1, 1<<42)}
		f.total = n("total", 1, 1<<42)
		f.used = n("used", 0, f.total)
		f.rate, f.left = float64(n("rate", 0, 1<<45)), time.Duration(n("left", 0, math.MaxInt64))
		a, size, _ := decideStore(f)
		switch a {
		case actExtend:
			require.Greater(t, size, f.total)
			require.LessOrEqual(t, size, min(f.limit, f.largest))
			require.LessOrEqual(t, size-f.total, f.free-f.reserve)
			require.Zero(t, size%f.extent)
		case actFold:
			require.LessOrEqual(t, f.foldNeeds, f.free)
		}
	})
}
