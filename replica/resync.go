package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/state"
)

const verbResync = "resync"

// ResyncOptions of Resync. Overwrite lets the copy of another volume go.
type ResyncOptions struct {
	SyncOptions
	Limit int64 // bytes per second that each end reads while comparing; 0: none
}

// Resync rejoins a pair whose chain is broken: it takes a new snapshot, finds out by
// digests where the target differs from it, whatever that holds, and sends only that,
// through the target's journal. The snapshot then tracks what changes from there on.
func (h *Host) Resync(ctx context.Context, leg Leg, opt ResyncOptions) (rep report.Sync, err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "resync "+leg.Resource)
	if err != nil {
		return rep, err
	}
	rep.Resource, rep.Run = leg.Resource, s.run
	start := h.Now()
	defer func() {
		err = errors.Join(err, s.close())
		rep.Seconds = h.Now().Sub(start).Seconds()
	}()
	if err := s.connect(ctx, opt.SyncOptions); err != nil {
		return rep, err
	}
	if s.doc != nil && s.doc.Operation != nil && !opt.DryRun {
		if err := s.mend(ctx); err != nil {
			return rep, err
		}
	}
	f, err := s.facts(ctx)
	if err != nil {
		return rep, err
	}
	s.adoptSnapshots(&f)
	p := planResync(f, opt.Overwrite, s.doc != nil && s.doc.Operation != nil && s.doc.Operation.Verb == verbResync)
	if opt.DryRun {
		rep.Plan = p.describeResync(leg)
		return rep, p.err(f)
	}
	if err := p.err(f); err != nil {
		return rep, err
	}
	return rep, s.remember(ctx, s.resync(ctx, f, p, opt, &rep), rep)
}

// adoptSnapshots: of a pair that OpenSVC kept, the agent's snapshots are ours.
func (s *source) adoptSnapshots(f *Facts) {
	if s.leg.OpenSVCState == "" {
		return
	}
	for _, snap := range []*SnapshotFact{&f.Snap1, &f.Snap2} {
		switch snap.State {
		case SnapGood, SnapWritable, SnapOverflowed, SnapMiswired:
			snap.Ours = true
		}
	}
}

// planResync decides how a resync begins; pure, like Reconcile. cut says that the
// unfinished run is a resync, whose snapshot can be used again.
func planResync(f Facts, overwrite, cut bool) fullPlan {
	believed := f
	if f.Local.State == LocalDamaged || f.Local.State == LocalDisagree {
		believed.Local.State = LocalMissing // it is replaced: every byte is about to be proven
	}
	if d, stop := refuseLocal(believed); stop {
		return fullPlan{Decision: d}
	}
	p := fullPlan{Decision: Decision{Cleanup: repairOrigin(f), Verdict: VerdictStart}}
	if !p.refuseResyncTarget(f, overwrite) {
		return p
	}
	newer := pick(f, f.Local.Pending.UUID)
	if cut && newer.State == SnapGood {
		p.Data = newer.Name
		p.Rotate = f.Target.Condition == TargetClean && f.Target.At.Same(f.Local.Pending)
		p.Resume = !p.Rotate
	}
	for _, s := range []SnapshotFact{f.Snap1, f.Snap2} {
		if s.State == SnapAbsent || s.State == SnapPlain || s.Name == p.Data {
			continue
		}
		if !s.Ours {
			p.Decision = Decision{Verdict: VerdictRefuse, Code: failure.CodeRefused, Reason: s.Name + " exists and is not ddsgo's", Next: "lvrename or lvremove " + s.Name + ", then ddsgo resync " + f.Resource}
			return p
		}
		p.Cleanup = append(p.Cleanup, Cleanup{CleanSnapshot, s.Name})
	}
	return p
}

// refuseResyncTarget says whether the target may be compared and brought up to date.
func (p *fullPlan) refuseResyncTarget(f Facts, overwrite bool) bool {
	no := func(code int, reason, next string) bool {
		p.Verdict, p.Code, p.Reason, p.Next = VerdictRefuse, code, reason, next
		if f.Target.Detail != "" {
			p.Reason += ": " + f.Target.Detail
		}
		return false
	}
	switch f.Target.Condition {
	case TargetUnreachable:
		return no(failure.CodeUnreachable, "the target does not answer", "ddsgo resync "+f.Resource+" when it does")
	case TargetPrimary:
		return no(failure.CodeRefused, "the target is primary: it was promoted and may be in use", "ddsgo failback "+f.Resource)
	case TargetHeld:
		return no(failure.CodeRefused, "the target is held", "ddsgo resume "+f.Resource)
	case TargetApplying:
		return no(failure.CodeRefused, "the target has a journal that it cannot write", "ddsgo status "+f.Resource+" on the target")
	case TargetOtherVolume:
		if !overwrite {
			return no(failure.CodeRefused, "the target holds a copy of another volume", "ddsgo resync "+f.Resource+" --overwrite, if that copy may go")
		}
	}
	return true
}

// describeResync lists the steps of a resync.
func (p fullPlan) describeResync(leg Leg) []string {
	steps := describeCleanup(p.Decision)
	switch {
	case p.Verdict != VerdictStart:
		return append(steps, "stop: "+p.Reason)
	case p.Rotate:
		return append(steps, "the target already holds the snapshot: make "+p.Data+" the tracking snapshot")
	case p.Resume:
		steps = append(steps, "use the snapshot "+p.Data+" of the cut resync")
	default:
		steps = append(steps, "take a new read-only snapshot of "+leg.Source)
	}
	return append(steps, "compare it with "+leg.Site()+":"+leg.Device+" by digests", "send the blocks that differ, through the target's journal", "keep the snapshot: it tracks what changes from now on")
}

// resync takes or finds the snapshot, compares, sends what differs, and makes it the tracker.
func (s *source) resync(ctx context.Context, f Facts, p fullPlan, opt ResyncOptions, rep *report.Sync) error {
	if err := s.renewState(ctx); err != nil {
		return err
	}
	if err := s.reclaim(ctx, f.Target.Condition, opt.Overwrite); err != nil {
		return err
	}
	fresh := !p.Resume && !p.Rotate
	if fresh && s.doc != nil && s.doc.Tracking != nil {
		// The old chain ends here, before its snapshots go.
		if err := s.commit(ctx, func(d *state.Document) { d.Tracking, d.Operation = nil, nil }); err != nil {
			return err
		}
	}
	if err := s.clean(ctx, p.Decision); err != nil {
		return err
	}
	if fresh {
		if err := s.snapshot(ctx, Decision{}, verbResync); err != nil {
			return err
		}
	}
	if !p.Rotate {
		if err := s.rejoin(ctx, opt, rep); err != nil {
			return err
		}
	}
	return s.rotate(ctx, rep)
}

// reclaim makes a target ours that has no state to go by, or another volume's.
func (s *source) reclaim(ctx context.Context, c TargetCondition, overwrite bool) error {
	switch c {
	case TargetEmpty, TargetDamaged, TargetOtherVolume:
	default:
		return nil
	}
	s.ev.step("take " + s.leg.Name() + " over")
	in := reclaimRequest{VolumeRef: s.ref(), Overwrite: overwrite, Fence: max(s.far.Fence, s.cursor().Fence), SourceHost: s.h.Name, SourceName: s.leg.Source}
	return s.call(ctx, opReclaim, in, &s.far)
}

// rejoin compares the whole volume with the snapshot that Operation.To names, and sends
// what differs.
func (s *source) rejoin(ctx context.Context, opt ResyncOptions, rep *report.Sync) error {
	to := s.doc.Operation.To
	lv, err := s.snapshotByUUID(ctx, to.UUID)
	if err != nil {
		return err
	}
	s.ev.step(fmt.Sprintf("compare %s with %s", s.leg.Name(), lv.FullName()))
	rep.Compared = &report.Compared{BlockSize: hashBlock}
	c, err := newComparison(generation.Generation{}, to.Size, opt.Limit, rep.Compared)
	if err != nil {
		return err
	}
	for off := int64(0); off < to.Size; {
		if off, err = s.slice(ctx, c, lv, off, to.Size); err != nil {
			return err
		}
	}
	return s.sendFound(ctx, c, modeResync, rejoinBase(to), to, rep)
}
