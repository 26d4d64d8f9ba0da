package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
)

// Extension is how far the snapshots of a source may be enlarged while they fill; the zero
// value: not at all.
type Extension struct {
	Step func(origin int64) int64 // at a time
	Max  func(origin int64) int64 // size of a snapshot that is never exceeded
}

// errFoldFirst ends a transfer whose snapshot would overflow before its end: with a fold the
// chain goes on, and the transfer begins anew.
var errFoldFirst = errors.New("the snapshot fills faster than it can be sent: fold first")

func (h *Host) watchEvery() time.Duration {
	if h.WatchEvery > 0 {
		return h.WatchEvery
	}
	return DefaultWatchInterval
}

// watchdog watches the snapshots of a source while a transfer of it runs. It only looks and
// extends; what changes the document is left to the run itself.
type watchdog struct {
	s      *source
	fills  map[string]*fill // by dm name
	warned map[string]bool
	mayEnd bool // the transfer may be ended for a fold
}

// watched runs do while snapshots are watched, the one that must live first. If only a fold
// can save it and mayEnd says that one is possible, do is ended and errFoldFirst returned.
func (s *source) watched(ctx context.Context, mayEnd bool, do func(context.Context) error, snaps ...lvm.LV) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if s.fills == nil {
		s.fills = map[string]*fill{}
	}
	w := &watchdog{s: s, fills: s.fills, warned: map[string]bool{}, mayEnd: mayEnd}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if !w.run(ctx, snaps) {
			return
		}
		stop(errFoldFirst)
		select { // a link that stands still does not notice
		case <-ended:
		case <-time.After(s.h.watchEvery()):
			_ = s.closer.Close()
		}
	}()
	err := do(ctx)
	fold := errors.Is(context.Cause(ctx), errFoldFirst)
	close(ended)
	stop(nil)
	<-done
	if err != nil && fold {
		return errors.Join(errFoldFirst, err)
	}
	return err
}

// run looks until ctx ends, or until the transfer has to: true.
func (w *watchdog) run(ctx context.Context, snaps []lvm.LV) bool {
	t := time.NewTicker(w.s.h.watchEvery())
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
		for i, snap := range snaps {
			if w.look(ctx, snap, i == 0) == actFold {
				return true
			}
		}
	}
}

// look looks at one snapshot and extends it if it must be. What it cannot do it says once. For
// one that the transfer does not need it neither ends the transfer nor cries.
func (w *watchdog) look(ctx context.Context, snap lvm.LV, needed bool) act {
	st, err := w.s.lvm.DM().SnapshotStatus(ctx, snap.DMName)
	if err != nil || st.Invalid() || st.Merging {
		return actNone // whoever reads it will say so
	}
	f := w.fills[snap.DMName]
	if f == nil {
		f = &fill{}
		w.fills[snap.DMName] = f
	}
	f.add(look{time.Now(), st.Used, st.Total})
	c := f.forecast()
	if !c.endangered(w.s.h.watchEvery(), foldMargin, 0) {
		return actNone
	}
	facts, lv, err := w.s.storeFacts(ctx, c, snap.UUID, needed && w.mayEnd)
	if err != nil {
		return actNone
	}
	a, size, why := decideStore(facts)
	switch {
	case a == actExtend:
		if err := w.s.extendStore(ctx, lv, size, c); err != nil {
			w.warn(snap, c, err.Error())
		}
	case a == actWarn && needed:
		w.warn(snap, c, why)
	}
	return a
}

// mayFoldFor says that the transfer of generation to can be ended and its snapshot taken into
// the chain: it is a sync's, and its changed set is saved.
func (s *source) mayFoldFor(to generation.Generation) bool {
	op := s.doc.Operation
	return s.doc.Tracking != nil && op != nil && op.To.Same(to) && op.ChangedSet != ""
}

// alive is the snapshots to watch while lv is sent: lv, and the tracker as long as it is valid,
// which the chain falls back on if lv is lost.
func (s *source) alive(ctx context.Context, lv lvm.LV) []lvm.LV {
	snaps := []lvm.LV{lv}
	if t := s.doc.Tracking; t != nil && t.UUID != lv.UUID {
		if tracker, err := s.snapshotByUUID(ctx, t.UUID); err == nil && !tracker.Invalid() {
			snaps = append(snaps, tracker)
		}
	}
	return snaps
}

func (w *watchdog) warn(snap lvm.LV, c forecast, why string) {
	if w.warned[snap.UUID] {
		return
	}
	w.warned[snap.UUID] = true
	w.s.ev.step("warning: " + snap.FullName() + " is " + c.String() + "; " + why)
	w.s.h.Log.Warn("a snapshot fills and cannot be helped", "resource", w.s.leg.Resource, "snapshot", snap.FullName(), "fill", c.String(), "why", why)
}

// storeFacts reads what decides about a store, under the source's lock.
func (s *source) storeFacts(ctx context.Context, c forecast, uuid string, mayFold bool) (storeFacts, lvm.LV, error) {
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return storeFacts{}, lvm.LV{}, err
	}
	origin, ok := lvm.ByUUID(lvs, s.origin.UUID)
	lv, found := lvm.ByUUID(lvs, uuid)
	if !ok || !found {
		return storeFacts{}, lv, fmt.Errorf("%s: %w", s.origin, lvm.ErrNotFound)
	}
	next := lvm.StoreBytes(origin, s.storeSize(), s.leg.ChunkSize)
	f := storeFacts{forecast: c, interval: s.h.watchEvery(), extent: origin.ExtentSize, free: origin.VGFree, reserve: next,
		largest: lvm.StoreBytes(origin, 2*origin.Size+(64<<20), s.leg.ChunkSize), foldNeeds: -1}
	if x := s.leg.SnapExtend; x.Step != nil && x.Max != nil {
		f.step, f.limit = x.Step(origin.Size), x.Max(origin.Size)
	}
	if other := s.otherSnapshot(lvs, uuid); other != nil {
		f.reserve = 0 // both are there
		next -= other.Size
	}
	if mayFold {
		f.foldNeeds = max(next, 0)
	}
	return f, lv, nil
}

// otherSnapshot is the second of our two, which a fold or a rotation removes.
func (s *source) otherSnapshot(lvs []lvm.LV, uuid string) *lvm.LV {
	for _, name := range s.names {
		if lv, ok := lvm.ByName(lvs, name); ok && lv.UUID != uuid {
			return &lv
		}
	}
	return nil
}

// extendStore enlarges a snapshot. A command of LVM that began is let end, whatever becomes of
// the transfer.
func (s *source) extendStore(ctx context.Context, lv lvm.LV, size int64, c forecast) error {
	s.ev.step(fmt.Sprintf("extend %s from %d to %d bytes: it is %v", lv.FullName(), lv.Size, size, c))
	s.h.Log.Info("extending a snapshot that fills", "resource", s.leg.Resource, "snapshot", lv.FullName(), "from", lv.Size, "to", size, "fill", c.String())
	return s.lvm.Extend(context.WithoutCancel(ctx), lv, size)
}

// foldAndReconnect saves the chain after errFoldFirst; the connection was cut with the
// transfer.
func (s *source) foldAndReconnect(ctx context.Context, opt SyncOptions) error {
	if err := errors.Join(s.conn.Close(), s.closer.Close()); err != nil {
		s.h.Log.Debug("closing the connection of a transfer that was ended", "err", err)
	}
	s.conn, s.closer = nil, nil
	s.folds++
	var rep report.Fold
	if err := s.fold(ctx, false, &rep); err != nil {
		return err
	}
	return s.connect(ctx, opt)
}

// noRoomLeft is the error of a watch that can do nothing.
func noRoomLeft(leg Leg, snap string, c forecast, why string) error {
	return &failure.Error{Code: failure.CodeOverflow, Subject: leg.Resource, Reason: fmt.Sprintf("the snapshot %s is %v, and %s", snap, c, why),
		Next: "ddsgo sync " + leg.Resource + " now, or vgextend its volume group, or raise snap_extend"}
}
