package replica

import (
	"context"
	"errors"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/state"
)

// Full copies the whole volume. A copy that was cut goes on where the target's last fsync
// was, as long as its snapshot lives. A target that holds a good generation is refused
// unless opt.Overwrite.
func (h *Host) Full(ctx context.Context, leg Leg, opt SyncOptions) (rep report.Sync, err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "full "+leg.Resource)
	if err != nil {
		return rep, err
	}
	rep.Resource, rep.Run = leg.Resource, s.run
	start := h.Now()
	defer func() {
		err = errors.Join(err, s.close())
		rep.Seconds = h.Now().Sub(start).Seconds()
	}()
	if err := s.connect(ctx, opt); err != nil {
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
	p := planFull(f, opt.Overwrite)
	if opt.DryRun {
		rep.Plan = p.describe(leg)
		return rep, p.err(f)
	}
	if err := p.err(f); err != nil {
		return rep, err
	}
	return rep, s.remember(ctx, s.full(ctx, p, opt, &rep), rep)
}

// fullPlan is what a full copy does first.
type fullPlan struct {
	Decision
	Resume bool // the snapshot of the cut copy is there: go on
	Rotate bool // the target has it already
}

func (p fullPlan) err(f Facts) error { return p.Decision.Err(f) }

// planFull decides how a full copy begins; pure, like Reconcile.
func planFull(f Facts, overwrite bool) fullPlan {
	if d, stop := refuseLocal(f); stop && !fullMayReplace(f, overwrite) {
		return fullPlan{Decision: d}
	}
	p := fullPlan{Decision: Decision{Cleanup: repairOrigin(f), Verdict: VerdictStart}}
	p.refuseFullTarget(f, overwrite)
	if p.Verdict != VerdictStart {
		return p
	}
	newer := pick(f, f.Local.Pending.UUID)
	if f.Local.State == LocalLoaded && f.Local.Full && newer.State == SnapGood {
		p.Data = newer.Name
		p.Rotate = f.Target.Condition == TargetClean && f.Target.At.Same(f.Local.Pending)
		p.Resume = !p.Rotate
	}
	for _, s := range []SnapshotFact{f.Snap1, f.Snap2} {
		if s.State == SnapAbsent || s.State == SnapPlain || s.Name == p.Data {
			continue
		}
		if !s.Ours {
			p.Decision = Decision{Verdict: VerdictRefuse, Code: failure.CodeRefused, Reason: s.Name + " exists and is not ddsgo's", Next: "lvrename or lvremove " + s.Name + ", then ddsgo full " + f.Resource}
			return p
		}
		p.Cleanup = append(p.Cleanup, Cleanup{CleanSnapshot, s.Name})
	}
	return p
}

// fullMayReplace: what only makes the chain useless is no obstacle for a full copy; a state
// that cannot be believed is replaced when the user says so.
func fullMayReplace(f Facts, overwrite bool) bool {
	ok := func(s SnapshotFact) bool {
		return s.State != SnapPlainForeign && s.State != SnapOtherOrigin && s.State != SnapInactive
	}
	loaded := f.Local.State == LocalLoaded || overwrite && (f.Local.State == LocalDamaged || f.Local.State == LocalDisagree)
	return loaded && !f.Local.Held && ok(f.Snap1) && ok(f.Snap2) && !f.Suspended
}

// refuseFullTarget protects what the target holds.
func (p *fullPlan) refuseFullTarget(f Facts, overwrite bool) {
	no := func(code int, reason, next string) {
		p.Verdict, p.Code, p.Reason, p.Next = VerdictRefuse, code, reason, next
	}
	again := "ddsgo full " + f.Resource + " --overwrite"
	switch t := f.Target; t.Condition {
	case TargetUnreachable:
		no(failure.CodeUnreachable, "the target does not answer", "ddsgo full "+f.Resource+" when it does")
	case TargetPrimary:
		no(failure.CodeRefused, "the target is primary: it was promoted and may be in use", "ddsgo failback "+f.Resource)
	case TargetDamaged:
		if !overwrite {
			no(failure.CodeRefused, "the target's state cannot be believed: "+t.Detail, again+", if what it holds may go")
		}
	case TargetEmpty:
	case TargetClean:
		if !overwrite && !(f.Local.Full && t.At.Same(f.Local.Pending)) {
			no(failure.CodeRefused, "the target already holds generation "+t.At.String(), "ddsgo sync "+f.Resource+", or "+again)
		}
	case TargetInconsistent:
		if !overwrite && !t.At.IsZero() {
			no(failure.CodeRefused, "the target holds an unfinished write from "+t.At.String(), "ddsgo sync "+f.Resource+", or "+again)
		}
	default:
		if !overwrite {
			no(failure.CodeRefused, "the target is "+t.Condition.String()+": "+t.Detail, again+", if what it holds may go")
		}
	}
}

// renewState replaces a document that cannot be believed, after the user has agreed that the
// copy is made anew. What stood there is kept beside it as evidence.
func (s *source) renewState(ctx context.Context) error {
	if s.docErr == nil || errors.Is(s.docErr, state.ErrNotFound) {
		return nil
	}
	doc := &state.Document{Identity: s.id, Device: s.leg.Source, Resource: s.leg.Resource, Size: s.origin.Size, Role: state.RolePrimary, Condition: state.None()}
	if err := s.vol.Reset(ctx, doc); err != nil {
		return err
	}
	s.doc, s.docErr = doc, nil
	return nil
}

// full takes or finds the snapshot, sends it, and makes it the tracker.
func (s *source) full(ctx context.Context, p fullPlan, opt SyncOptions, rep *report.Sync) error {
	if err := s.renewState(ctx); err != nil {
		return err
	}
	if !p.Resume && !p.Rotate && s.doc != nil && s.doc.Tracking != nil {
		// The old chain ends here, before its snapshots go.
		if err := s.commit(ctx, func(d *state.Document) { d.Tracking, d.Operation = nil, nil }); err != nil {
			return err
		}
	}
	if err := s.clean(ctx, p.Decision); err != nil {
		return err
	}
	if !p.Resume && !p.Rotate {
		if err := s.snapshot(ctx, Decision{}, verbFull); err != nil {
			return err
		}
	}
	if !p.Rotate {
		if err := s.sendFull(ctx, opt.Overwrite, rep); err != nil {
			return err
		}
	}
	return s.rotate(ctx, rep)
}
