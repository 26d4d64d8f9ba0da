package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/resync"
	"github.com/ddsgo/ddsgo/state"
)

// VerifyOptions of Verify.
type VerifyOptions struct {
	SyncOptions
	Repair bool  // send what differs, and compare that again
	Limit  int64 // bytes per second that each end reads; 0: none
}

// purposeVerify begins the purpose of locks that are held for a slice only.
const purposeVerify = "verify "

// verification is one pass over the volume. Between slices both locks are free: a sync
// may move the pair on to a newer generation, and the pass goes on with that.
type verification struct {
	s    *source
	opt  VerifyOptions
	rep  *report.Verify
	cmp  *comparison
	snap lvm.LV // whose content the target must have
	at   generation.Generation

	recorded int64 // how far the target knows of this pass
}

// Verify compares the target with the tracking snapshot, whose content it claims to have.
// Both ends read their own volume; digests, not content, cross the line. A target that
// differs becomes suspect; a suspect one that does not becomes clean.
func (h *Host) Verify(ctx context.Context, leg Leg, opt VerifyOptions) (rep report.Verify, err error) {
	s, err := h.openSource(ctx, leg, opt.Events, purposeVerify+leg.Resource)
	if err != nil {
		return rep, err
	}
	rep.Resource, rep.Run, rep.BlockSize, rep.Differing = leg.Resource, s.run, hashBlock, []report.Range{}
	start := h.Now()
	defer func() {
		err = errors.Join(err, s.close())
		rep.Seconds = h.Now().Sub(start).Seconds()
	}()
	if err := s.connect(ctx, opt.SyncOptions); err != nil {
		return rep, err
	}
	v := &verification{s: s, opt: opt, rep: &rep}
	if err := v.find(ctx); err != nil {
		return rep, err
	}
	rep.From = v.resumeAt()
	if opt.DryRun {
		rep.Plan = v.describe()
		return rep, nil
	}
	if err := v.pass(ctx); err != nil {
		return rep, err
	}
	return rep, v.finish(ctx)
}

func (v *verification) describe() []string {
	steps := []string{fmt.Sprintf("compare %s with %s at %v by digests, from offset %d on", v.s.leg.Name(), v.snap.FullName(), v.at, v.rep.From)}
	if v.opt.Repair {
		steps = append(steps, "send the blocks that differ, through the target's journal", "compare these blocks again")
	}
	return steps
}

// find looks for the snapshot that the target's generation was made from. Anything between the
// two ends that a sync would have to finish first is left to a sync.
func (v *verification) find(ctx context.Context) error {
	s, name := v.s, v.s.leg.Resource
	f, err := s.facts(ctx)
	if err != nil {
		return err
	}
	if err := verifiable(f); err != nil {
		return err
	}
	lv, err := s.snapshotByUUID(ctx, f.Local.Base.UUID)
	if err != nil {
		return failure.With(failure.CodeNeedFull, name, "the tracking snapshot of generation "+f.Local.Base.String()+" is gone", "ddsgo resync "+name, err)
	}
	v.snap, v.at = lv, f.Local.Base
	v.rep.Generation, v.rep.Size = &v.at, v.at.Size
	if v.cmp == nil {
		v.cmp, err = newComparison(v.at, v.at.Size, v.opt.Limit, &v.rep.Compared)
		return err
	}
	if !v.cmp.at.Same(v.at) { // a sync moved the pair on; what was found before would have stopped it
		v.cmp.at, v.cmp.began = v.at, false
	}
	if v.cmp.size != v.at.Size {
		return failure.With(failure.CodeRefused, name, "the volume was resized while it was compared", "ddsgo verify "+name+" again", nil)
	}
	return nil
}

// verifiable says whether both ends claim the same content, and why not.
func verifiable(f Facts) error {
	if d, stop := refuseLocal(f); stop && !f.Local.Held {
		return d.Err(f)
	}
	tracker := pick(f, f.Local.Base.UUID)
	switch f.Target.Condition {
	case TargetClean, TargetSuspect, TargetHeld:
	default:
		return Reconcile(f).errOr(f, "the target is "+f.Target.Condition.String())
	}
	switch {
	case f.Local.State != LocalLoaded || !f.Target.At.Same(f.Local.Base):
		return Reconcile(f).errOr(f, fmt.Sprintf("the target holds %v, the tracking snapshot %v", f.Target.At, f.Local.Base))
	case tracker.State == SnapWritable:
		return Decision{Code: failure.CodeRefused, Reason: "the tracking snapshot " + tracker.Name + " is writable: its content may have changed", Next: "ddsgo sync " + f.Resource + ", which makes a read-only one"}.Err(f)
	case tracker.State == SnapMiswired:
		return nil // its content is right; that it misses writes is a sync's trouble
	case tracker.State != SnapGood:
		return Decision{Verdict: VerdictRejoin, Code: failure.CodeNeedFull, Reason: "the tracking snapshot of " + f.Local.Base.String() + " cannot be read: it is " + tracker.State.String(), Next: "ddsgo resync " + f.Resource}.Err(f)
	}
	return nil
}

// errOr is the decision's refusal, or, where a sync could go on, that it has to.
func (d Decision) errOr(f Facts, reason string) error {
	if err := d.Err(f); err != nil {
		return err
	}
	return failure.Refused(f.Resource, reason, "ddsgo sync "+f.Resource+", then ddsgo verify "+f.Resource)
}

// resumeAt is where an earlier pass of a clean target was cut. What was found out about a
// suspect one is worth nothing when somebody may have written since.
func (v *verification) resumeAt() int64 {
	seen := v.s.far.Verified
	if seen == nil || !seen.Complete.IsZero() || v.s.far.Condition != string(state.KindClean) || seen.Until >= v.at.Size || seen.Until%resync.StripeSize != 0 {
		return 0
	}
	return max(seen.Until, 0)
}

// pass compares slice by slice.
func (v *verification) pass(ctx context.Context) error {
	v.s.ev.step(fmt.Sprintf("compare %s with %s", v.s.leg.Name(), v.snap.FullName()))
	v.rep.Until, v.recorded = v.rep.From, v.rep.From
	for {
		until, err := v.s.slice(ctx, v.cmp, v.snap, v.rep.Until, v.at.Size)
		if err != nil {
			return err
		}
		v.rep.Until = until
		if until == v.at.Size {
			return nil
		}
		if err := v.record(ctx, false, v.cmp.found.Count()); err != nil {
			return err
		}
		if err := v.yield(ctx); err != nil {
			return err
		}
	}
}

// record tells the target; from then on it says so itself.
func (v *verification) record(ctx context.Context, complete bool, differs int64) error {
	in := verifiedRequest{VolumeRef: v.s.ref(), At: v.at, From: v.recorded, Until: v.rep.Until, Complete: complete, Differs: differs, Counters: v.cmp.counters}
	if differs > 0 {
		in.First = v.first()
	}
	err := v.s.call(ctx, opVerified, in, &v.s.far)
	if err == nil {
		v.recorded = v.rep.Until
	}
	return err
}

// first is the offset of the first block that differs.
func (v *verification) first() int64 {
	for e := range v.cmp.found.Extents() {
		return e.Off
	}
	return 0
}

// yield gives the source's lock to whoever waits for it, then looks at everything again.
func (v *verification) yield(ctx context.Context) error {
	s := v.s
	if err := s.lock.Release(); err != nil {
		return err
	}
	pause(ctx, yieldTime)
	lock, err := s.h.Store.Lock(ctx, s.id, state.LockOptions{Purpose: purposeVerify + s.leg.Resource, Wait: syncWait})
	if err != nil {
		s.lock = nil
		return err
	}
	s.lock, s.lvm = lock, s.h.lvmUnder(lock)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	return v.find(ctx)
}

// syncWait is how long a verification lets a sync run that came between two slices.
const syncWait = 24 * time.Hour

// finish records the result of the pass, and repairs if it shall.
func (v *verification) finish(ctx context.Context) error {
	differs := v.cmp.found.Count()
	for e := range v.cmp.found.Extents() {
		if len(v.rep.Differing) == report.MaxRanges {
			break
		}
		v.rep.Differing = append(v.rep.Differing, report.Range{Offset: e.Off, Length: e.Len})
	}
	if err := v.record(ctx, true, differs); err != nil || differs == 0 {
		return err
	}
	if v.opt.Repair {
		return v.repair(ctx)
	}
	name := v.s.leg.Resource
	return &failure.Error{Code: failure.CodeNeedFull, Subject: name, Reason: fmt.Sprintf("%d blocks of the target differ, the first at offset %d; it is marked suspect", differs, v.first()), Next: "ddsgo verify " + name + " --repair"}
}

// repair sends what differs and believes it only after it was compared again.
func (v *verification) repair(ctx context.Context) error {
	var sent report.Sync
	sent.Resource, sent.Run = v.s.leg.Resource, v.s.run
	if err := v.s.sendFound(ctx, v.cmp, modeRepair, v.at, v.at, &sent); err != nil {
		return err
	}
	v.rep.Repair = &sent
	if err := v.s.pruneSets(); err != nil {
		return err
	}
	if err := v.s.probe(ctx); err != nil {
		return err
	}
	again, err := newComparison(v.at, v.at.Size, v.opt.Limit, &report.Compared{})
	if err != nil {
		return err
	}
	for e := range runs(v.cmp.found, resync.WindowSize) {
		for off := e.Off; off < e.End(); {
			if off, err = v.s.slice(ctx, again, v.snap, off, e.End()); err != nil {
				return err
			}
		}
	}
	v.rep.DigestBytes += again.rep.DigestBytes
	v.cmp = again
	if err := v.record(ctx, true, again.found.Count()); err != nil {
		return err
	}
	if n := again.found.Count(); n > 0 {
		return failure.With(failure.CodeFailure, v.s.leg.Resource, fmt.Sprintf("%d blocks still differ after they were written and flushed, the first at offset %d", n, v.first()), "check the target's disk: dmesg and smartctl on "+v.s.leg.Site(), nil)
	}
	v.rep.Repaired = true
	return nil
}

// runs joins extents that are closer than gap: one exchange for many blocks.
func runs(b *extent.Bitmap, gap int64) func(func(extent.Extent) bool) {
	return func(yield func(extent.Extent) bool) {
		var run extent.Extent
		for e := range b.Extents() {
			switch {
			case run.Empty():
				run = e
			case e.Off-run.End() <= gap:
				run = extent.Between(run.Off, e.End())
			default:
				if !yield(run) {
					return
				}
				run = e
			}
		}
		if !run.Empty() {
			yield(run)
		}
	}
}
