package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// WatchOptions of Watch.
type WatchOptions struct {
	Interval time.Duration // between looks; 0: DefaultWatchInterval
	Horizon  time.Duration // act when a snapshot is full within that; the margins at least
	Once     bool          // two looks, then end
	Events   func(resource string) Events
	Report   func(report.Watch) // whatever is worth telling; Once: every snapshot
}

// Watch looks at the snapshots of legs between their syncs, and saves each chain that is about
// to break: it extends the snapshot within the user's limits, else folds, else says so. A leg
// that a run is at work on is left to that run, which watches for itself. It ends with ctx, or,
// with Once, after the second look, with an error where a snapshot is lost or cannot be helped.
func (h *Host) Watch(ctx context.Context, legs []Leg, opt WatchOptions) error {
	if opt.Interval <= 0 {
		opt.Interval = DefaultWatchInterval
	}
	tell, errs := sync.Mutex{}, make([]error, len(legs))
	var all sync.WaitGroup
	for i, leg := range legs {
		w := &legWatch{h: h, leg: leg, opt: opt, fills: map[string]*fill{}, told: map[string]string{}}
		w.opt.Report = func(r report.Watch) {
			tell.Lock()
			defer tell.Unlock()
			if opt.Report != nil {
				opt.Report(r)
			}
		}
		all.Go(func() { errs[i] = w.run(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// run looks until ctx ends. What goes wrong is told and tried again, unless this is all.
func (w *legWatch) run(ctx context.Context) error {
	t := time.NewTicker(w.opt.Interval)
	defer t.Stop()
	for n := 0; ; n++ {
		last := w.opt.Once && n > 0
		err := w.round(ctx, last)
		switch {
		case ctx.Err() != nil:
			return nil
		case last:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// legWatch is what Watch remembers of one leg.
type legWatch struct {
	h     *Host
	leg   Leg
	opt   WatchOptions
	lvm   *lvm.LVM
	names []string         // of the snapshots, dm; empty: look the source up
	fills map[string]*fill // by dm name
	told  map[string]string
}

// resolve finds out what the snapshots are called.
func (w *legWatch) resolve(ctx context.Context) error {
	if len(w.names) > 0 {
		return nil
	}
	w.lvm = &lvm.LVM{Runner: w.h.Run}
	origin, err := w.lvm.Find(ctx, w.leg.Source)
	if err != nil {
		return failure.With(failure.CodeRefused, w.leg.Source, "the source cannot be used", "check source in the configuration of "+w.leg.Resource, err)
	}
	lvs, err := w.lvm.Report(ctx, origin.VG)
	if err != nil {
		return err
	}
	for i := 1; i <= 2; i++ {
		w.names = append(w.names, lvm.DMName(origin.VG, lvm.SnapshotName(origin, i, lvs)))
	}
	return nil
}

// round is one look at the leg's snapshots. all tells of every one that is there.
func (w *legWatch) round(ctx context.Context, all bool) error {
	if err := w.resolve(ctx); err != nil {
		w.tell(report.Watch{Resource: w.leg.Resource, Action: actWarn.String(), Detail: err.Error()})
		return err
	}
	var errs []error
	for _, name := range w.names {
		st, err := w.lvm.DM().SnapshotStatus(ctx, name)
		switch {
		case err != nil || st.Merging: // not there: no sync is interrupted, or there was none yet
			delete(w.fills, name)
			continue
		case st.Invalid():
			errs = append(errs, w.lost(ctx, name))
			continue
		}
		f := w.fills[name]
		if f == nil {
			f = &fill{}
			w.fills[name] = f
		}
		f.add(look{time.Now(), st.Used, st.Total})
		c := f.forecast()
		seen := w.seen(name, c)
		switch {
		case !c.endangered(w.opt.Interval, foldMargin, w.opt.Horizon):
			delete(w.told, name) // the next trouble is worth telling again
		case len(f.looks) > 1:
			err := w.rescue(ctx, name, c, &seen)
			if err != nil && seen.Action == actNone.String() && ctx.Err() == nil {
				seen.Action, seen.Detail = actWarn.String(), err.Error()
			}
			errs = append(errs, err)
		}
		if all || seen.Action != actNone.String() {
			w.tell(seen)
		}
	}
	return errors.Join(errs...)
}

func (w *legWatch) seen(name string, c forecast) report.Watch {
	r := report.Watch{Resource: w.leg.Resource, Snapshot: name, UsedBytes: c.used, TotalBytes: c.total, BytesPerSecond: int64(min(c.rate, math.MaxInt64/4)), Action: actNone.String()}
	if c.left != math.MaxInt64 {
		s := c.left.Seconds()
		r.SecondsLeft = &s
	}
	return r
}

// actInvalid is the action of a report on a snapshot that is lost.
const actInvalid = "invalid"

// tell reports; what is only a repetition of the last word on a snapshot is left out.
func (w *legWatch) tell(r report.Watch) {
	trouble := r.Action == actWarn.String() || r.Action == actInvalid
	if !w.opt.Once && trouble && w.told[r.Snapshot] == r.Action {
		return
	}
	w.told[r.Snapshot] = r.Action
	w.opt.Report(r)
}

// lost is a snapshot that overflowed. Only the tracking one matters.
func (w *legWatch) lost(ctx context.Context, name string) error {
	s, err := w.h.lookAtSource(ctx, w.leg)
	if err != nil || s.doc == nil || s.doc.Tracking == nil {
		return err
	}
	lv, ok := lvm.ByUUID(s.seen, s.doc.Tracking.UUID)
	if !ok || lv.DMName != name {
		return nil
	}
	const reason = "it overflowed: the chain is broken"
	w.tell(report.Watch{Resource: w.leg.Resource, Snapshot: name, Action: actInvalid, Detail: reason})
	return failure.With(failure.CodeOverflow, w.leg.Resource, "the tracking snapshot "+lv.FullName()+" is invalid", "ddsgo resync "+w.leg.Resource+", with a larger snap_size or snap_extend", nil)
}

// rescue does something about a snapshot that is about to be full, under the source's lock.
func (w *legWatch) rescue(ctx context.Context, name string, c forecast, r *report.Watch) (err error) {
	var ev Events
	if w.opt.Events != nil {
		ev = w.opt.Events(w.leg.Resource)
	}
	s, err := w.h.openSource(ctx, w.leg, ev, "watch "+w.leg.Resource)
	var held *state.LockedError
	if errors.As(err, &held) {
		return nil // whoever works on the source watches it
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ctx = context.WithoutCancel(ctx) // what was begun is short, and is ended
	lv, needed, err := s.endangered(ctx, name)
	if err != nil || !needed {
		return err
	}
	foldable, err := s.canFold(ctx)
	if err != nil {
		return err
	}
	facts, lv, err := s.storeFacts(ctx, c, lv.UUID, foldable)
	if err != nil {
		return err
	}
	facts.interval, facts.horizon = w.opt.Interval, w.opt.Horizon
	a, size, why := decideStore(facts)
	r.Action = a.String()
	switch a {
	case actExtend:
		r.Detail = fmt.Sprintf("from %d to %d bytes", lv.Size, size)
		err = s.extendStore(ctx, lv, size, c)
	case actFold:
		var rep report.Fold
		err = s.fold(ctx, false, &rep)
		r.Detail = fmt.Sprintf("%d bytes of changes are kept, in %d sets", rep.ChangedBytes, rep.Sets)
	case actWarn:
		r.Detail = why
		return noRoomLeft(w.leg, lv.FullName(), c, why)
	}
	if err != nil {
		r.Action, r.Detail = actWarn.String(), err.Error()
	}
	return err
}

// endangered finds the snapshot by its name, under the lock, and says whether the chain needs
// it: the tracker does not matter any more once its set is saved.
func (s *source) endangered(ctx context.Context, dmName string) (lvm.LV, bool, error) {
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil || s.doc == nil {
		return lvm.LV{}, false, err
	}
	for _, lv := range lvs {
		if lv.DMName != dmName || !lv.SnapshotOf(s.origin) || !s.knows(lv.UUID) {
			continue
		}
		tracker := s.doc.Tracking != nil && s.doc.Tracking.UUID == lv.UUID
		return lv, !tracker || !s.localFacts().SetSaved, nil
	}
	return lvm.LV{}, false, nil
}

// canFold asks planFold.
func (s *source) canFold(ctx context.Context) (bool, error) {
	f, err := s.facts(ctx)
	if err != nil {
		return false, err
	}
	return planFold(f).Err(f) == nil, nil
}
