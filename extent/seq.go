package extent

import (
	"fmt"
	"iter"
)

// Seq is a sequence of extents: ascending, disjoint, not empty. It may end early with an
// error, after which nothing follows. Most sequences can be ranged over more than once.
type Seq = iter.Seq2[Extent, error]

// Of is the sequence of the given extents, which must already be in order.
func Of(extents ...Extent) Seq {
	return func(yield func(Extent, error) bool) {
		for _, e := range extents {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Whole is the sequence of the one extent that covers a volume of size bytes.
func Whole(size int64) Seq {
	if size <= 0 {
		return Of()
	}
	return Of(Extent{Len: size})
}

// Infallible makes a Seq of a sequence that cannot fail, such as a Set's or a Bitmap's.
func Infallible(seq iter.Seq[Extent]) Seq {
	return func(yield func(Extent, error) bool) {
		for e := range seq {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Failed is the sequence that ends at once with err.
func Failed(err error) Seq {
	return func(yield func(Extent, error) bool) { yield(Extent{}, err) }
}

// Checked passes seq on and ends it with ErrOrder or ErrOutside where it breaks the promise of
// Seq or leaves a volume of size bytes. Empty extents are dropped.
func Checked(seq Seq, size int64) Seq {
	return func(yield func(Extent, error) bool) {
		var at int64
		for e, err := range seq {
			switch {
			case err != nil:
			case !e.Valid() || e.End() > size:
				err = fmt.Errorf("extent %v, volume of %d bytes: %w", e, size, ErrOutside)
			case e.Empty():
				continue
			case e.Off < at:
				err = fmt.Errorf("extent %v after one that ends at %d: %w", e, at, ErrOrder)
			}
			if err != nil {
				yield(Extent{}, err)
				return
			}
			at = e.End()
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Coalesce joins extents that touch each other.
func Coalesce(seq Seq) Seq { return Union(seq) }

// Clip cuts seq to the extent within.
func Clip(seq Seq, within Extent) Seq {
	return func(yield func(Extent, error) bool) {
		for e, err := range seq {
			if err != nil {
				yield(Extent{}, err)
				return
			}
			if e.Off >= within.End() {
				return
			}
			if c := e.Intersect(within); !c.Empty() && !yield(c, nil) {
				return
			}
		}
	}
}

// Outward rounds every extent outward to multiples of granule, cut at size, and joins those
// that now touch or overlap.
func Outward(seq Seq, granule, size int64) Seq {
	rounded := func(yield func(Extent, error) bool) {
		for e, err := range seq {
			if err == nil {
				e = e.Outward(granule, size)
			}
			if !yield(e, err) {
				return
			}
		}
	}
	return joined(rounded)
}

// Total is the number of extents and of bytes in seq.
func Total(seq Seq) (count, bytes int64, err error) {
	for e, err := range seq {
		if err != nil {
			return count, bytes, err
		}
		count++
		bytes += e.Len
	}
	return count, bytes, nil
}

// Collect gathers seq, in memory, into a Set.
func Collect(seq Seq) (Set, error) {
	var s Set
	for e, err := range seq {
		if err != nil {
			return Set{}, err
		}
		s.Add(e)
	}
	return s, nil
}
