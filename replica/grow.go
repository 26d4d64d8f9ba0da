package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
)

// GrowOptions of Grow.
type GrowOptions struct {
	SyncOptions
	Size         int64 // of the source, bytes; 0: it has been grown already
	ExtendTarget bool  // lvextend the target if it is too small
	Limit        int64 // bytes per second that each end reads while comparing; 0: none
}

// maxGrowSteps bounds a grow: extend the target, sync, extend the source, rejoin, look.
const maxGrowSteps = 6

// Grow brings a pair to a larger size. A source that was grown while it was inactive keeps its
// chain: its snapshot survives with the old size, and a sync sends what changed and the whole
// new range. LVM does not grow an active origin that has snapshots; so with opt.Size a last
// sync is made, the snapshots go, the source grows in use, and the pair is rejoined by hash.
// Each look at both ends decides the next step, so a grow that was killed is finished by the
// same command, and by a resync.
func (h *Host) Grow(ctx context.Context, leg Leg, opt GrowOptions) (rep report.Grow, err error) {
	rep.Resource, rep.Path = leg.Resource, pathNone
	start := h.Now()
	defer func() { rep.Seconds = h.Now().Sub(start).Seconds() }()
	synced := false
	for n := range maxGrowSteps {
		f, err := h.surveyGrowth(ctx, leg, opt, n == 0, &rep)
		if err != nil {
			return rep, err
		}
		f.synced = synced
		step, err := nextGrowth(f)
		if err != nil {
			return rep, err
		}
		if opt.DryRun {
			rep.Plan = describeGrowth(leg, f, &rep)
			return rep, nil
		}
		if err := h.growStep(ctx, leg, opt, step, f, &rep); err != nil || step == growDone {
			return rep, err
		}
		synced = synced || step == growSync
	}
	return rep, fmt.Errorf("%s: the sizes did not settle after %d steps", leg.Resource, maxGrowSteps)
}

// surveyGrowth looks at both ends. first fills the report's estimates.
func (h *Host) surveyGrowth(ctx context.Context, leg Leg, opt GrowOptions, first bool, rep *report.Grow) (f growthFacts, err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "grow "+leg.Resource)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.growing = true // the target may be too small as yet
	if err := s.connect(ctx, opt.SyncOptions); err != nil {
		return f, err
	}
	if s.doc != nil && s.doc.Operation != nil && !opt.DryRun {
		if err := s.mend(ctx); err != nil { // a suspended source cannot even be read
			return f, err
		}
	}
	facts, err := s.facts(ctx)
	if err != nil {
		return f, err
	}
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return f, err
	}
	f = s.growthFacts(facts, lvs, opt)
	if !first || facts.Suspended {
		return f, nil
	}
	rep.FromBytes, rep.ToBytes, rep.TargetBytes = facts.Target.At.Size, f.want, s.far.Size
	return f, s.estimateGrowth(ctx, f, rep)
}

// growthFacts are what a grow looks at.
func (s *source) growthFacts(facts Facts, lvs []lvm.LV, opt GrowOptions) growthFacts {
	d := Reconcile(facts)
	origin, _ := lvm.ByUUID(lvs, s.origin.UUID)
	f := growthFacts{resource: s.leg.Resource, device: s.leg.Device, host: s.far.Host, vg: s.origin.VG, size: s.origin.Size, want: s.origin.Size,
		base: facts.Local.Base.Size, target: s.far.Size, extendTarget: opt.ExtendTarget, free: origin.VGFree}
	if opt.Size > 0 {
		f.want = lvm.Extents(origin, opt.Size)
	}
	if s.doc != nil && s.doc.Operation != nil {
		f.cut = s.doc.Operation.Verb == verbGrow || s.doc.Operation.Verb == verbResync
	}
	if f.noChain = d.Err(facts); d.Verdict == VerdictRefuse {
		f.cut = false
	}
	if s.far.Grows {
		f.target = max(f.target, f.want)
	}
	larger := origin
	larger.Size = f.want
	f.stores = 2 * lvm.StoreBytes(larger, s.storeSizeOf(f.want), s.leg.ChunkSize)
	for _, name := range s.names {
		if lv, ok := lvm.ByName(lvs, name); ok {
			f.free += lv.Size // they go before the source grows
		}
	}
	if lv, ok := lvm.ByUUID(lvs, facts.Local.Base.UUID); ok {
		f.changed = int64(max(lv.SnapPercent, 0) / 100 * float64(lv.Size))
	}
	return f
}

// growStep does one step, each under its own locks.
func (h *Host) growStep(ctx context.Context, leg Leg, opt GrowOptions, step growthStep, f growthFacts, rep *report.Grow) error {
	switch step {
	case growTarget:
		return h.extendFar(ctx, leg, opt, f.want)
	case growSync:
		last, err := h.Sync(ctx, leg, opt.SyncOptions)
		if rep.Last = &last; rep.Path == pathNone {
			rep.Path = pathDelta
		}
		return err
	case growSource:
		rep.Path = pathHash
		return h.extendSource(ctx, leg, opt, f.want)
	case growRejoin:
		rep.Path = pathHash
		last, err := h.Resync(ctx, leg, ResyncOptions{SyncOptions: opt.SyncOptions, Limit: opt.Limit})
		rep.Last = &last
		return err
	}
	return nil
}
