package state

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestStamps: against a model that keeps, for every MiB, whether it was compared and not written
// since. The record may know less, never more.
func TestStamps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mib := rapid.IntRange(1, 3000).Draw(t, "MiB")
		size := int64(mib)<<20 - rapid.Int64Range(0, 1<<20-1).Draw(t, "odd")
		slice := SliceOf(size)
		require.LessOrEqual(t, (size+slice-1)/slice, int64(maxSlices))
		good := make([]bool, mib)
		var v *Verified
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "a write") {
				first := rapid.IntRange(0, mib-1).Draw(t, "first")
				last := min(first+rapid.IntRange(0, 40).Draw(t, "more"), mib-1)
				touched := make([]byte, maxSlices/8)
				for i := first; i <= last; i++ {
					good[i] = false
					n := int64(i) << 20 / slice
					touched[n/8] |= 1 << (n % 8)
				}
				v = v.Written(slice, touched)
			} else {
				from := int64(0)
				if v != nil && v.Until < size && rapid.Bool().Draw(t, "goes on") {
					from = v.Until
				} else {
					clear(good) // a new pass: what the old one knew is not asked for again
				}
				until := min(from+rapid.Int64Range(0, int64(mib)).Draw(t, "length")<<20, size)
				for i := from >> 20; i<<20 < until; i++ {
					good[i] = true
				}
				v = Verified{Until: until}.Stamped(v, from, size)
			}
			known := int64(0)
			for i, g := range good {
				if g {
					known += min(size, int64(i+1)<<20) - int64(i)<<20
				}
			}
			require.LessOrEqual(t, v.Bytes(size), known)
		}
		v = Verified{Until: size}.Stamped(v, 0, size)
		require.Equal(t, size, v.Bytes(size), "a whole pass stamps everything")
	})
}
