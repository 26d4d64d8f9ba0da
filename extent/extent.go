package extent

import "fmt"

// Extent is the half-open byte range [Off, Off+Len) of a volume.
type Extent struct {
	Off int64
	Len int64
}

// Between is the extent [off, end); an end before off gives an empty extent.
func Between(off, end int64) Extent {
	if end < off {
		end = off
	}
	return Extent{Off: off, Len: end - off}
}

// End is the first byte after the extent.
func (e Extent) End() int64 { return e.Off + e.Len }

// Empty says that the extent covers no byte.
func (e Extent) Empty() bool { return e.Len <= 0 }

// Valid says that the extent is a range of bytes at all: not negative and not
// wrapping round the largest offset.
func (e Extent) Valid() bool { return e.Off >= 0 && e.Len >= 0 && e.Off+e.Len >= e.Off }

// Contains says that every byte of o is in e.
func (e Extent) Contains(o Extent) bool { return e.Off <= o.Off && o.End() <= e.End() }

// Overlaps says that at least one byte is in both.
func (e Extent) Overlaps(o Extent) bool { return e.Off < o.End() && o.Off < e.End() }

// Intersect is the range that is in both, empty where there is none.
func (e Extent) Intersect(o Extent) Extent {
	return Between(max(e.Off, o.Off), min(e.End(), o.End()))
}

// Outward is the smallest extent that contains e and starts and ends on multiples of
// granule, cut at size: the last granule of a volume need not be a whole one.
func (e Extent) Outward(granule, size int64) Extent {
	off := e.Off - e.Off%granule
	end := e.End()
	if rest := end % granule; rest != 0 {
		end = saturatingAdd(end, granule-rest)
	}
	return Between(off, min(end, size))
}

func saturatingAdd(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<63 - 1
}

// String is "[off,end)".
func (e Extent) String() string { return fmt.Sprintf("[%d,%d)", e.Off, e.End()) }
