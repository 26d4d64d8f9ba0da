package extent

import (
	"fmt"
	"iter"
)

// Union is the ordered, coalesced union of seqs. It holds one extent of each at a time, so
// its memory does not depend on their length. A sequence that is not in order ends the union
// with ErrOrder; an error of any ends it with that error.
func Union(seqs ...Seq) Seq {
	return joined(func(yield func(Extent, error) bool) {
		heads, stop, err := openHeads(seqs)
		defer stop()
		if err != nil {
			yield(Extent{}, err)
			return
		}
		for len(heads) > 0 {
			least := 0
			for i := range heads {
				if heads[i].at.Off < heads[least].at.Off {
					least = i
				}
			}
			if !yield(heads[least].at, nil) {
				return
			}
			more, err := heads[least].advance()
			if err != nil {
				yield(Extent{}, err)
				return
			}
			if !more {
				heads = append(heads[:least], heads[least+1:]...)
			}
		}
	})
}

// head is one sequence of a union and its current extent.
type head struct {
	next func() (Extent, error, bool)
	at   Extent
}

// advance moves to the next extent that is not empty; false at the end.
func (h *head) advance() (bool, error) {
	for {
		e, err, ok := h.next()
		if !ok || err != nil {
			return false, err
		}
		if e.Empty() {
			continue
		}
		if !e.Valid() || e.Off < h.at.End() {
			return false, fmt.Errorf("extent %v after %v: %w", e, h.at, ErrOrder)
		}
		h.at = e
		return true, nil
	}
}

func openHeads(seqs []Seq) (heads []head, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	for _, seq := range seqs {
		next, stopOne := iter.Pull2(seq)
		stops = append(stops, stopOne)
		h := head{next: next}
		more, err := h.advance()
		if err != nil {
			return nil, stop, err
		}
		if more {
			heads = append(heads, h)
		}
	}
	return heads, stop, nil
}

// joined joins touching and overlapping extents of a sequence that ascends by offset.
func joined(seq Seq) Seq {
	return func(yield func(Extent, error) bool) {
		var held Extent
		for e, err := range seq {
			if err != nil {
				// What was held before the error is dropped: a consumer that stops at an
				// error must not have been given a union that may miss neighbours.
				yield(Extent{}, err)
				return
			}
			if e.Empty() {
				continue
			}
			if !held.Empty() && e.Off <= held.End() {
				held = Between(held.Off, max(held.End(), e.End()))
				continue
			}
			if !held.Empty() && !yield(held, nil) {
				return
			}
			held = e
		}
		if !held.Empty() {
			yield(held, nil)
		}
	}
}
