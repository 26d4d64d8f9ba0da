package state

import (
	"math/bits"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// Verified says how much of the volume was compared with the other end. The volume is divided into
// slices of equal size; a comparison stamps the slices that it read, and whatever is written to the volume
// later takes the stamp from the slices that it touches.
type Verified struct {
	Generation generation.Generation `json:"generation"` // that was compared last
	Until      int64                 `json:"until"`      // bytes from the start
	Complete   time.Time             `json:"complete"`   // of the pass; zero: not finished
	Slice      int64                 `json:"slice,omitempty"`
	Cleared    []byte                `json:"cleared,omitempty"` // a bit per slice: written since it was compared
}

// maxSlices bounds what a document keeps.
const maxSlices = 512

// minSlice is one MiB, the stripe of a hash exchange.
const minSlice = 1 << 20

// SliceOf is the size of the slices of a volume.
func SliceOf(size int64) int64 {
	n := (size + maxSlices - 1) / maxSlices
	return max((n+minSlice-1)/minSlice*minSlice, minSlice)
}

// Written returns v after a write to these slices, as a new value. Slices that were not compared
// have no stamp to lose.
func (v *Verified) Written(slice int64, touched []byte) *Verified {
	if v == nil {
		return nil
	}
	out := *v
	if v.Slice != slice { // the volume was resized, or another version recorded it
		return nil
	}
	out.Cleared = make([]byte, max(len(v.Cleared), len(touched)))
	copy(out.Cleared, v.Cleared)
	for i := range touched {
		for b := range 8 {
			if touched[i]&(1<<b) != 0 && (int64(i)*8+int64(b))*slice < v.Until {
				out.Cleared[i] |= 1 << b
			}
		}
	}
	return &out
}

// Stamped returns the record of a pass that has now compared [from, v.Until): its whole slices get
// their stamp back. before is what was known until then.
func (v Verified) Stamped(before *Verified, from int64, size int64) *Verified {
	v.Slice = SliceOf(size)
	if before == nil || before.Slice != v.Slice || len(before.Cleared) > maxSlices/8 {
		return &v
	}
	v.Cleared = make([]byte, len(before.Cleared))
	for n := int64(0); n < int64(len(v.Cleared))*8; n++ {
		start, end := n*v.Slice, min((n+1)*v.Slice, size)
		whole := start >= from && end <= v.Until
		if before.Cleared[n/8]&(1<<(n%8)) != 0 && !whole && start < v.Until {
			v.Cleared[n/8] |= 1 << (n % 8)
		}
	}
	return &v
}

// Bytes is how much of a volume of size bytes was compared and not written since.
func (v *Verified) Bytes(size int64) int64 {
	if v == nil {
		return 0
	}
	lost := 0
	for _, b := range v.Cleared {
		lost += bits.OnesCount8(b)
	}
	return max(min(v.Until, size)-int64(lost)*v.Slice, 0)
}
