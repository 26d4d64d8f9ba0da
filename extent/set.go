package extent

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// Set is a set of bytes of a volume, as sorted, disjoint, non-touching extents in memory.
// The zero value is the empty set. For sets of unbounded size use a Bitmap, or a Seq.
type Set struct {
	list []Extent
}

// NewSet is the set of all bytes in the given extents, in any order, overlapping or not.
func NewSet(extents ...Extent) Set {
	sorted := slices.Clone(extents)
	slices.SortFunc(sorted, func(a, b Extent) int {
		switch {
		case a.Off < b.Off:
			return -1
		case a.Off > b.Off:
			return 1
		}
		return 0
	})
	var s Set
	for _, e := range sorted {
		s.Add(e)
	}
	return s
}

// Add adds the bytes of e. Adding in ascending order costs constant time.
func (s *Set) Add(e Extent) {
	if e.Empty() {
		return
	}
	n := len(s.list)
	if n == 0 || s.list[n-1].End() < e.Off {
		s.list = append(s.list, e)
		return
	}
	// first: the first extent that touches e or lies after it; last: the first wholly after.
	first := sort.Search(n, func(i int) bool { return s.list[i].End() >= e.Off })
	last := first + sort.Search(n-first, func(i int) bool { return s.list[first+i].Off > e.End() })
	if first < last {
		e = Between(min(e.Off, s.list[first].Off), max(e.End(), s.list[last-1].End()))
	}
	s.list = slices.Replace(s.list, first, last, e)
}

// All is the extents in ascending order.
func (s Set) All() iter.Seq[Extent] { return slices.Values(s.list) }

// Seq is All as a Seq.
func (s Set) Seq() Seq { return Of(s.list...) }

// Count is the number of extents.
func (s Set) Count() int { return len(s.list) }

// Empty says that the set has no byte.
func (s Set) Empty() bool { return len(s.list) == 0 }

// Bytes is the number of bytes in the set.
func (s Set) Bytes() int64 {
	var n int64
	for _, e := range s.list {
		n += e.Len
	}
	return n
}

// Contains says that every byte of e is in the set. The empty extent is in every set.
func (s Set) Contains(e Extent) bool {
	if e.Empty() {
		return true
	}
	i := sort.Search(len(s.list), func(i int) bool { return s.list[i].End() > e.Off })
	return i < len(s.list) && s.list[i].Contains(e)
}

// Equal says that both sets have the same bytes.
func (s Set) Equal(o Set) bool { return slices.Equal(s.list, o.list) }

// Clone is a copy that shares nothing with s.
func (s Set) Clone() Set { return Set{list: slices.Clone(s.list)} }

// Union is the set of bytes in s, in o, or in both.
func (s Set) Union(o Set) Set {
	u := Set{list: make([]Extent, 0, len(s.list)+len(o.list))}
	for i, j := 0, 0; i < len(s.list) || j < len(o.list); {
		if j == len(o.list) || (i < len(s.list) && s.list[i].Off <= o.list[j].Off) {
			u.Add(s.list[i])
			i++
		} else {
			u.Add(o.list[j])
			j++
		}
	}
	return u
}

// Intersect is the set of bytes that are in both.
func (s Set) Intersect(o Set) Set {
	var both Set
	for i, j := 0, 0; i < len(s.list) && j < len(o.list); {
		both.Add(s.list[i].Intersect(o.list[j]))
		if s.list[i].End() < o.list[j].End() {
			i++
		} else {
			j++
		}
	}
	return both
}

// Subtract is the set of bytes that are in s and not in o.
func (s Set) Subtract(o Set) Set {
	var rest Set
	j := 0
	for _, e := range s.list {
		at := e.Off
		for j < len(o.list) && o.list[j].End() <= at {
			j++
		}
		for k := j; k < len(o.list) && o.list[k].Off < e.End(); k++ {
			rest.Add(Between(at, o.list[k].Off))
			at = max(at, o.list[k].End())
		}
		rest.Add(Between(at, e.End()))
	}
	return rest
}

// Clip is the set of bytes of s that lie in a volume of size bytes.
func (s Set) Clip(size int64) Set { return s.Intersect(NewSet(Between(0, size))) }

// String is "{[0,4096) [8192,12288)}".
func (s Set) String() string {
	parts := make([]string, len(s.list))
	for i, e := range s.list {
		parts[i] = e.String()
	}
	return "{" + strings.Join(parts, " ") + "}"
}
