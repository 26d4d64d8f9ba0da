package replica

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
)

// keptSet is a changed set that lies in the state directory: what was written between two
// instants of the source. It stays true for ever, whatever became of the two snapshots.
type keptSet struct {
	ID       string
	From, To generation.Generation
}

// lead is an older generation and the kept sets, oldest first, that lead from it to the
// tracking snapshot's.
type lead struct {
	From generation.Generation
	Sets []string
}

// leadsTo finds every generation from which kept sets lead to base without a gap, newest
// first. Where two sets lead to the same generation, the shorter way from there on counts.
func leadsTo(base generation.Generation, sets []keptSet) []lead {
	sets = slices.DeleteFunc(slices.Clone(sets), func(k keptSet) bool { return k.From.IsZero() || k.From.Seq >= k.To.Seq })
	slices.SortStableFunc(sets, func(a, b keptSet) int {
		switch {
		case a.To.Seq != b.To.Seq:
			return compareSeq(b.To.Seq, a.To.Seq)
		}
		return compareSeq(b.From.Seq, a.From.Seq)
	})
	var leads []lead
	find := func(g generation.Generation) (lead, bool) {
		if g.Same(base) {
			return lead{From: base}, true
		}
		i := slices.IndexFunc(leads, func(l lead) bool { return l.From.Same(g) })
		if i < 0 {
			return lead{}, false
		}
		return leads[i], true
	}
	for _, k := range sets { // descending: every way from k.To on is known when k is looked at
		next, reaches := find(k.To)
		if _, have := find(k.From); !reaches || have {
			continue
		}
		leads = append(leads, lead{k.From, append([]string{k.ID}, next.Sets...)})
	}
	slices.SortStableFunc(leads, func(a, b lead) int { return compareSeq(b.From.Seq, a.From.Seq) })
	return leads
}

func compareSeq(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// keptSets reads the headers of all changed sets of the source that are whole. One that is
// not is as good as none: the chain ends there, and a resync rejoins.
func (s *source) keptSets() ([]keptSet, error) {
	ids, err := s.vol.Sets().List()
	if err != nil {
		return nil, err
	}
	var kept []keptSet
	for _, id := range ids {
		h, err := s.setHeader(id)
		if err != nil {
			s.h.Log.Warn("a changed set cannot be read", "resource", s.leg.Resource, "set", id, "err", err)
			continue
		}
		if h.Volume != s.id.String() || h.From.Same(rejoinBase(h.To)) {
			continue // what a hash exchange found is no record of what was written
		}
		kept = append(kept, keptSet{id, h.From, h.To})
	}
	return kept, nil
}

func (s *source) setHeader(id string) (extent.ChangedSetHeader, error) {
	path, err := s.vol.Sets().Path(id)
	if err != nil {
		return extent.ChangedSetHeader{}, err
	}
	set, err := s.h.OpenSet(path)
	if err != nil {
		return extent.ChangedSetHeader{}, err
	}
	return set.Header, set.Close()
}

// needsLeads says that the target is at none of the generations that the document names as
// its last ones, so that only kept sets can cover what it lacks. Usually nothing is read.
func (s *source) needsLeads() bool {
	if s.doc == nil || s.doc.Tracking == nil {
		return false
	}
	at, op := s.far.Generation, s.doc.Operation
	return !at.IsZero() && !at.Same(s.doc.Tracking.Generation) && (op == nil || !at.Same(op.To))
}

// findLeads fills s.leads for the target's answer.
func (s *source) findLeads() error {
	s.leads = nil
	if !s.needsLeads() {
		return nil
	}
	kept, err := s.keptSets()
	if err != nil {
		return err
	}
	s.leads = leadsTo(s.doc.Tracking.Generation, kept)
	return nil
}

// delta is what one transfer sends: the changed set of the run, and, for a target that is
// behind the tracking snapshot, every kept set that leads there. With the content of the
// run's snapshot the union is right by the superset rule, which holds for whole chunks only.
type delta struct {
	ID        [32]byte
	Bytes     int64
	ChunkSize int64
	Extents   extent.Seq
	Union     bool // of several sets: the target does not hold the tracking snapshot's content
	open      []*extent.ChangedSet
}

// Close closes the sets' files.
func (d *delta) Close() error {
	var err error
	for _, set := range d.open {
		err = errors.Join(err, set.Close())
	}
	return err
}

// openDelta opens what a transfer to a target at d.From has to send.
func (s *source) openDelta(d Decision) (*delta, error) {
	own, err := s.openSet()
	if err != nil {
		return nil, err
	}
	out := &delta{ID: own.Header.ID, Bytes: own.Bytes, ChunkSize: own.Header.ChunkSize, Extents: own.Extents(), open: []*extent.ChangedSet{own}}
	i := slices.IndexFunc(s.leads, func(l lead) bool { return l.From.Same(d.Since) })
	if d.Since.IsZero() || i < 0 {
		if !d.Since.IsZero() {
			return nil, errors.Join(fmt.Errorf("no changed sets lead from %v to %v", d.Since, s.doc.Tracking.Generation), out.Close())
		}
		return out, nil
	}
	if err := s.uniteWith(out, s.leads[i].Sets); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// uniteWith makes d the union with further sets. Its identity is made of theirs, so that a
// transfer that was cut goes on only with the same union.
func (s *source) uniteWith(d *delta, ids []string) (err error) {
	sum := sha256.New()
	sum.Write([]byte("union\n"))
	sum.Write(d.ID[:])
	seqs := []extent.Seq{d.Extents}
	for _, id := range ids {
		path, err := s.vol.Sets().Path(id)
		if err != nil {
			return err
		}
		set, err := s.h.OpenSet(path)
		if err != nil {
			return err
		}
		d.open = append(d.open, set)
		sum.Write(set.Header.ID[:])
		seqs = append(seqs, set.Extents())
		d.ChunkSize = min(d.ChunkSize, set.Header.ChunkSize)
	}
	d.Union, d.Extents = true, extent.Union(seqs...)
	sum.Sum(d.ID[:0])
	_, d.Bytes, err = extent.Total(d.Extents)
	return err
}
