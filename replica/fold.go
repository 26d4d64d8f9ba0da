package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// verbFold as it stands in Operation.
const verbFold = "fold"

// phaseFolded: the new snapshot is the tracker, in the document; what is left is to remove
// the old one, whose generation is Operation.From, and to rename the new one.
const phaseFolded = "folded"

// Fold gives the chain a fresh tracking snapshot without the target: a new snapshot is made,
// the old one's table is saved as a changed set, and the old one goes. So a chain outlives a
// filling snapshot and any outage, for the price of one file. The next sync sends the union of
// the sets. A generation that an interrupted sync left is taken into the chain first.
func (h *Host) Fold(ctx context.Context, leg Leg, opt SyncOptions) (rep report.Fold, err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "fold "+leg.Resource)
	if err != nil {
		return rep, err
	}
	rep.Resource, rep.Run = leg.Resource, s.run
	start := h.Now()
	defer func() {
		err = errors.Join(err, s.close())
		rep.Seconds = h.Now().Sub(start).Seconds()
	}()
	return rep, s.fold(ctx, opt.DryRun, &rep)
}

// fold walks from facts to a fresh tracker, finishing an interrupted run on the way.
func (s *source) fold(ctx context.Context, dryRun bool, rep *report.Fold) error {
	for range maxPasses {
		if s.doc != nil && s.doc.Operation != nil && !dryRun {
			if err := s.mend(ctx); err != nil {
				return err
			}
		}
		f, err := s.facts(ctx)
		if err != nil {
			return err
		}
		d := planFold(f)
		if dryRun {
			rep.Plan = describeFold(s.leg, d)
			return d.Err(f)
		}
		if err := s.clean(ctx, d); err != nil {
			return err
		}
		if err := d.Err(f); err != nil {
			return err
		}
		own := d.Verdict == VerdictStart
		if own {
			if err := s.snapshot(ctx, d, verbFold); err != nil {
				return err
			}
		}
		if own || d.Verdict == VerdictReread {
			if err := s.readTable(ctx, d); err != nil {
				return err
			}
		}
		if err := s.absorb(ctx, rep); err != nil || own {
			return err
		}
	}
	return fmt.Errorf("%s: the chain did not settle after %d passes", s.leg.Resource, maxPasses)
}

// planFold decides how a fold goes on; pure, like Reconcile. The target has no say: where it
// stands, the next sync finds out. A held leg is folded too, its snapshot fills all the same.
func planFold(f Facts) Decision {
	f.Local.Held = false
	if d, stop := refuseLocal(f); stop {
		return d
	}
	d := Decision{Cleanup: repairOrigin(f)}
	refuse := func(code int, reason, next string) Decision {
		d.Verdict, d.Code, d.Reason, d.Next = VerdictRefuse, code, reason, next+" "+f.Resource
		return d
	}
	switch {
	case f.Local.Full:
		return refuse(failure.CodeRefused, "the full copy is not finished: there is no chain to fold yet", "ddsgo full")
	case f.Local.State != LocalLoaded || f.Local.Base.IsZero():
		d.rejoin(f, "no snapshot tracks the source: there is no chain to fold")
		return d
	case d.refuseShrunk(f):
		return d
	}
	f.Target = TargetFacts{Condition: TargetClean, At: f.Local.Base}
	d.targetCovered(f, f.Local.Base, pick(f, f.Local.Base.UUID), pick(f, f.Local.Pending.UUID))
	d.dropRest(f)
	return d
}

// describeFold lists the steps of a fold.
func describeFold(leg Leg, d Decision) []string {
	steps := describeCleanup(d)
	switch d.Verdict {
	case VerdictRefuse, VerdictRejoin:
		return append(steps, "stop: "+d.Reason)
	case VerdictReread, VerdictResend:
		steps = append(steps, "take the snapshot "+d.Data+" of an interrupted run into the chain, and remove the one before it")
	}
	return append(steps, "take a new read-only snapshot of "+leg.Source, "save what changed from the exception table of the tracking snapshot as a changed set", "remove the old tracking snapshot, rename the new one")
}

// absorb makes the snapshot of the unfinished run the tracker, although the target does not
// hold its generation: the saved set joins those that lead on from what the target holds.
// One commit does it; every gap before and after is a row of reconcile.
func (s *source) absorb(ctx context.Context, rep *report.Fold) error {
	set, err := s.openSet()
	if err != nil {
		return fmt.Errorf("%s: %w", s.leg.Resource, err)
	}
	rep.ChangedBytes += set.Bytes
	if err := set.Close(); err != nil {
		return err
	}
	op := *s.doc.Operation
	lv, err := s.snapshotByUUID(ctx, op.To.UUID)
	if err != nil {
		return err
	}
	sets, err := s.accumulate(op)
	if err != nil {
		return err
	}
	s.ev.step("fold: " + lv.FullName() + " becomes the tracking snapshot")
	old := s.doc.Tracking.UUID
	op.Phase, op.From = phaseFolded, s.doc.Tracking.Generation
	err = s.commit(ctx, func(doc *state.Document) {
		doc.Tracking = &state.Tracking{UUID: lv.UUID, Name: lv.FullName(), Generation: op.To, Appeared: op.Appeared}
		doc.Generation, doc.Operation = op.To, &op
		s.setCursor(doc, func(l *state.Leg) { l.ChangedSets = sets })
	})
	if err != nil {
		return err
	}
	rep.Generation, rep.Sets = &op.To, len(sets)
	return s.finishFold(ctx, old, lv)
}

// finishFold drops the old tracker and gives its name to the new one.
func (s *source) finishFold(ctx context.Context, old string, lv lvm.LV) error {
	gone, err := s.snapshotByUUID(ctx, old)
	if err == nil {
		err = s.lvm.Remove(ctx, gone)
	}
	if err != nil && !errors.Is(err, lvm.ErrNotFound) {
		return err
	}
	if err := s.lvm.Rename(ctx, lv, s.names[0]); err != nil {
		return err
	}
	err = s.commit(ctx, func(doc *state.Document) {
		doc.Tracking.Name, doc.Operation = s.origin.VG+"/"+s.names[0], nil
	})
	if err != nil {
		return err
	}
	return s.pruneSets()
}

// accumulate is the cursor's list of sets with that of op. A list that grew long is replaced
// by one set that unites it, so that an outage of any length costs bounded work and files.
func (s *source) accumulate(op state.Operation) ([]string, error) {
	sets := append(append([]string(nil), s.cursor().ChangedSets...), op.ChangedSet)
	if len(sets) <= state.KeepSets {
		return sets, nil
	}
	id, err := s.unite(op, sets)
	if err != nil {
		return nil, failure.With(failure.CodeNeedFull, s.leg.Resource, "a changed set that the chain needs cannot be read", "ddsgo resync "+s.leg.Resource, err)
	}
	return []string{id}, nil
}

// unite writes the union of sets, which follow each other, as one set.
func (s *source) unite(op state.Operation, ids []string) (id string, err error) {
	var seqs []extent.Seq
	h := extent.ChangedSetHeader{Volume: s.id.String(), To: op.To, Size: op.To.Size}
	var open []*extent.ChangedSet
	defer func() {
		for _, set := range open {
			err = errors.Join(err, set.Close())
		}
	}()
	for i, one := range ids {
		path, err := s.vol.Sets().Path(one)
		if err != nil {
			return "", err
		}
		set, err := s.h.OpenSet(path)
		if err != nil {
			return "", err
		}
		open, seqs = append(open, set), append(seqs, set.Extents())
		if i == 0 {
			h.From, h.ChunkSize = set.Header.From, set.Header.ChunkSize
		}
		h.ChunkSize = min(h.ChunkSize, set.Header.ChunkSize)
		h.Folded += max(1, set.Header.Folded)
	}
	id = state.SetID(op.To.Seq, "fold-"+s.run)
	path, err := s.vol.Sets().Prepare(id)
	if err != nil {
		return "", err
	}
	_, err = s.h.WriteSet(path, h, extent.Union(seqs...))
	return id, err
}
