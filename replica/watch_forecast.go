package replica

import (
	"fmt"
	"math"
	"time"
)

// How a filling snapshot is watched.
const (
	// DefaultWatchInterval is how often each snapshot's fill is looked at.
	DefaultWatchInterval = 2 * time.Second
	// extendMargin and foldMargin are how many intervals before a store is full something is
	// done. Whoever acts at the fourth has three left, should the rate stay; a fold takes
	// several commands of LVM and begins earlier.
	extendMargin = 4
	foldMargin   = 8
	// fillWindow is how many looks a forecast considers.
	fillWindow = 15
	// fullMark is the share from which on something is done whatever the rate: one burst of
	// writes between two looks would fill the rest.
	fullMark = 0.90
)

// look is one look at an exception store.
type look struct {
	at          time.Time
	used, total int64
}

// fill is what was seen of one exception store lately.
type fill struct{ looks []look }

// add records a look. A store with less in it than before is another one.
func (f *fill) add(l look) {
	if n := len(f.looks); n > 0 && l.used < f.looks[n-1].used {
		f.looks = f.looks[:0]
	}
	f.looks = append(f.looks, l)
	if len(f.looks) > fillWindow {
		f.looks = append(f.looks[:0], f.looks[len(f.looks)-fillWindow:]...)
	}
}

// forecast says when a store is full.
type forecast struct {
	used, total int64
	rate        float64       // bytes per second: the mean or that of the last interval, whichever is higher
	left        time.Duration // until it is full at that rate; never: math.MaxInt64
}

// forecast is made from at least two looks; one alone has no rate.
func (f *fill) forecast() forecast {
	n := len(f.looks)
	if n == 0 {
		return forecast{left: math.MaxInt64}
	}
	last := f.looks[n-1]
	c := forecast{used: last.used, total: last.total, left: math.MaxInt64}
	if n == 1 {
		return c
	}
	c.rate = max(rateOf(f.looks[0], last), rateOf(f.looks[n-2], last))
	if c.rate > 0 {
		seconds := float64(max(last.total-last.used, 0)) / c.rate
		if seconds < float64(math.MaxInt64/int64(time.Second)) {
			c.left = time.Duration(seconds * float64(time.Second))
		}
	}
	return c
}

func rateOf(a, b look) float64 {
	seconds := b.at.Sub(a.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(b.used-a.used) / seconds
}

// endangered says that a store will be full within so many intervals, or nearly is.
func (c forecast) endangered(interval time.Duration, intervals int, horizon time.Duration) bool {
	return c.left <= max(time.Duration(intervals)*interval, horizon) || float64(c.used) >= fullMark*float64(c.total) && c.total > 0
}

// String is for people.
func (c forecast) String() string {
	percent := 0.0
	if c.total > 0 {
		percent = 100 * float64(c.used) / float64(c.total)
	}
	if c.left == math.MaxInt64 {
		return fmt.Sprintf("%.1f %% full, not filling", percent)
	}
	return fmt.Sprintf("%.1f %% full, filling at %.1f MiB/s, full in %s", percent, c.rate/(1<<20), c.left.Round(100*time.Millisecond))
}

// act is what is done about a store.
type act int

// In the order in which they are tried.
const (
	actNone   act = iota // nothing threatens
	actExtend            // enlarge the store, within the user's limits
	actFold              // save the table as a changed set and go on with a new snapshot
	actWarn              // neither is possible
)

var actNames = [...]string{"none", "extended", "folded", "warning"}

func (a act) String() string { return actNames[a] }

// storeFacts is all that decides about one exception store. Sizes are bytes.
type storeFacts struct {
	forecast
	interval, horizon time.Duration
	step, limit       int64 // of the user's snap_extend; limit 0: never extend
	largest           int64 // with which it can never overflow
	free              int64 // in the group
	reserve           int64 // of that, what the next sync's snapshot needs
	extent            int64 // of the group
	foldNeeds         int64 // of free; negative: a fold is not possible now
}

// decideStore is pure: a table test walks it. size is what to extend to.
func decideStore(f storeFacts) (a act, size int64, why string) {
	if f.total >= f.largest {
		return actNone, 0, "" // has room for every chunk of the volume
	}
	size = f.extension()
	canExtend := size > f.total
	switch {
	case canExtend && f.endangered(f.interval, extendMargin, f.horizon):
		return actExtend, size, ""
	case canExtend || !f.endangered(f.interval, foldMargin, f.horizon):
		return actNone, 0, ""
	case f.foldNeeds >= 0 && f.foldNeeds <= f.free:
		return actFold, 0, ""
	case f.foldNeeds < 0:
		why = "a fold is not possible now"
	default:
		why = fmt.Sprintf("a fold needs %d bytes and %d are free in the volume group", f.foldNeeds, f.free)
	}
	return actWarn, 0, f.whyNot() + "; " + why
}

// extension is what the store may grow to: by a step, or by as many as the rate calls for.
func (f storeFacts) extension() int64 {
	if f.limit <= f.total || f.step <= 0 {
		return f.total
	}
	most := min(f.limit, f.largest, f.total+max(0, f.free-f.reserve))
	ahead := f.rate * (2*foldMargin*f.interval + f.horizon).Seconds()
	want := f.total + f.step
	if need := f.used + int64(min(ahead, math.MaxInt64/4)); need > want {
		want = need
	}
	unit := max(f.extent, 1)
	return max(f.total, min((want+unit-1)/unit*unit, most/unit*unit))
}

func (f storeFacts) whyNot() string {
	switch {
	case f.limit == 0:
		return "snap_extend is not set"
	case f.limit <= f.total:
		return fmt.Sprintf("it has the %d bytes that snap_extend allows", f.limit)
	}
	return fmt.Sprintf("%d bytes are free in the volume group, of which the next snapshot needs %d", f.free, f.reserve)
}
