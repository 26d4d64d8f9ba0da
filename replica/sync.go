package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// Verbs as they stand in Operation.
const (
	verbSync = "sync"
	verbFull = "full"
)

// maxPasses bounds a sync that first has to finish interrupted ones: one pass rotates,
// one resends, one is its own.
const maxPasses = 4

// Dialer connects to the host of a target; tests put an in-process one in its place.
type Dialer func(ctx context.Context, t transport.Target) (Connection, error)

// Connection is a byte stream to a serving ddsgo that can explain why it broke.
type Connection interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Close() error
	Explain(err error) error
}

// SyncOptions of Sync and Full.
type SyncOptions struct {
	Dial      Dialer
	Session   session.Options
	Events    Events
	DryRun    bool
	Overwrite bool // full: the target's good generation may go
}

// Sync brings the target up to now: it finishes whatever an earlier run left, then takes
// a new snapshot and sends what changed. It is design, step by step, in this order: lock,
// ask the target, reconcile, snapshot, changed set, send, rotate.
func (h *Host) Sync(ctx context.Context, leg Leg, opt SyncOptions) (rep report.Sync, err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "sync "+leg.Resource)
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
	if err := s.adopt(ctx, opt); err != nil {
		return rep, err
	}
	for range maxPasses {
		done, err := s.pass(ctx, opt, &rep)
		if err != nil || done {
			return rep, s.remember(ctx, err, rep)
		}
		if err := s.probe(ctx); err != nil {
			return rep, err
		}
	}
	return rep, s.unsettled()
}

// unsettled is why a sync gave up after maxPasses. The chain is whole all the same.
func (s *source) unsettled() error {
	if s.folds == 0 {
		return fmt.Errorf("%s: the chain did not settle after %d passes", s.leg.Resource, maxPasses)
	}
	return failure.With(failure.CodeFailure, s.leg.Resource, fmt.Sprintf("the source is written faster than it can be sent: %d transfers were ended and folded before their snapshots overflowed", s.folds),
		"ddsgo sync "+s.leg.Resource+" in a quieter hour, or with a larger snap_size or snap_extend", nil)
}

// pass is one walk from facts to rotation. done says that the target now holds a
// generation that this very run made.
func (s *source) pass(ctx context.Context, opt SyncOptions, rep *report.Sync) (done bool, err error) {
	if s.doc != nil && s.doc.Operation != nil && !opt.DryRun {
		if err := s.mend(ctx); err != nil {
			return false, err
		}
	}
	f, err := s.facts(ctx)
	if err != nil {
		return false, err
	}
	d := Reconcile(f)
	if opt.DryRun {
		rep.Plan = describe(s.leg, d)
		return true, d.Err(f)
	}
	if err := s.clean(ctx, d); err != nil {
		return false, err
	}
	if err := d.Err(f); err != nil {
		return false, err
	}
	if err := s.noteTarget(ctx, d); err != nil {
		return false, err
	}
	own := d.Verdict == VerdictStart
	if own {
		if err := s.snapshot(ctx, d, verbSync); err != nil {
			return false, err
		}
	}
	if d.Verdict == VerdictStart || d.Verdict == VerdictReread {
		if err := s.readTable(ctx, d); err != nil {
			return false, err
		}
	}
	if d.Verdict != VerdictRotate {
		err := s.sendDelta(ctx, d, rep)
		if errors.Is(err, errFoldFirst) {
			return false, s.foldAndReconnect(ctx, opt)
		}
		if err != nil {
			return false, err
		}
	}
	return own, firstOf(s.rotate(ctx, rep), s.doubted())
}

// connect dials the target's host and asks what the volume holds.
func (s *source) connect(ctx context.Context, opt SyncOptions) error {
	s.ev.step("connect to " + s.leg.Site())
	conn, err := opt.Dial(ctx, s.leg.Target)
	if err != nil {
		return unreachable(s.leg, err)
	}
	s.closer = conn
	o := opt.Session
	o.ProgressTimeout, o.Log, o.Host = s.leg.progressTimeout(), s.h.Log, s.h.Name
	c, err := session.Connect(ctx, conn, o)
	if err != nil {
		return unreachable(s.leg, conn.Explain(err))
	}
	s.conn, s.explain = c, conn.Explain
	return s.probe(ctx)
}

// unreachable gives an error of the connection its code, unless it brings one.
func unreachable(leg Leg, err error) error {
	if _, has := failure.CodeOf(err); has {
		return err
	}
	return failure.With(failure.CodeUnreachable, leg.Resource, "the target's host "+leg.Site()+" does not answer", "ddsgo sync "+leg.Resource+" when it does", err)
}

// probe asks what the target holds; it rolls forward what it can first.
func (s *source) probe(ctx context.Context) error {
	var r probeReply
	if err := s.call(ctx, opProbe, s.ref(), &r); err != nil {
		return err
	}
	s.far = r
	if r.Damaged || state.Role(r.Role) == state.RolePrimary {
		return nil // reconcile refuses, and says why
	}
	if r.InUse != "" {
		return inUse(s.leg.Device, r.InUse, r.Host)
	}
	if r.Size < s.origin.Size && !r.Grows && !s.growing {
		return failure.Refused(s.leg.Device, fmt.Sprintf("the target is too small: %d bytes, the source has %d", r.Size, s.origin.Size), fmt.Sprintf("ddsgo grow %s --extend-target, or lvextend it on %s to at least %d bytes", s.leg.Resource, r.Host, s.origin.Size))
	}
	return nil
}

// call runs one operation at the target.
func (s *source) call(ctx context.Context, op string, in, out any) error {
	err := s.conn.Call(ctx, op, in, out, s.relay())
	return s.explain(err)
}

func (s *source) relay() func(session.Progress) {
	return func(p session.Progress) {
		if s.ev.Progress != nil {
			s.ev.Progress("target: "+p.Phase, p.Done, p.Total, 0)
		}
	}
}

// ref names the target's volume.
func (s *source) ref() VolumeRef {
	return VolumeRef{Device: s.leg.Device, Resource: s.leg.Resource, Source: s.id.String()}
}

// mend repairs the origin after a killed lvcreate or a half lvremove; where nothing is
// wrong it does nothing. Only the lvm package knows the safe order.
func (s *source) mend(ctx context.Context) error {
	r, err := s.lvm.Recover(ctx, s.origin, lvm.RecoverSpec{Names: s.names[:], Ours: func(v lvm.LV) bool {
		_, tagged := v.TagValue(lvm.TagRun)
		return tagged || s.knows(v.UUID)
	}})
	for _, step := range r.Steps {
		s.ev.step("repair: " + step)
		s.h.Log.Warn("repaired what an interrupted run left", "resource", s.leg.Resource, "step", step)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.leg.Resource, err)
	}
	return nil
}

// clean repairs what an interrupted run left, as reconcile decided.
func (s *source) clean(ctx context.Context, d Decision) error {
	mended := false
	for _, c := range d.Cleanup {
		s.ev.step("clean up: " + c.Kind.String() + " " + c.LV)
		switch {
		case c.Kind == CleanSnapshot:
			if err := s.removeLV(ctx, c.LV); err != nil {
				return fmt.Errorf("%s: %s: %w", s.leg.Resource, c.Kind, err)
			}
		case !mended:
			mended = true
			if err := s.mend(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeLV removes a volume of ours by name; one that is gone already is no error.
func (s *source) removeLV(ctx context.Context, name string) error {
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return err
	}
	lv, ok := lvm.ByName(lvs, name)
	if !ok {
		return nil
	}
	return s.lvm.Remove(ctx, lv)
}

// noteTarget records a target that is newer than our base although the snapshot of that
// instant is lost, so that the next retry still knows that instant for ours.
func (s *source) noteTarget(ctx context.Context, d Decision) error {
	if d.Verdict != VerdictStart || d.From.Same(s.doc.Tracking.Generation) || d.From.Same(s.cursor().Proven) {
		return nil
	}
	return s.commit(ctx, func(doc *state.Document) {
		s.setCursor(doc, func(l *state.Leg) { l.Proven = d.From })
	})
}

// remember records the outcome for status; it never hides err.
func (s *source) remember(ctx context.Context, err error, rep report.Sync) error {
	if s.doc == nil || rep.Plan != nil {
		return err
	}
	text := ""
	if err != nil {
		text = truncate(err.Error(), state.MaxText)
	}
	if err == nil && s.cursor().LastError == "" || text == s.cursor().LastError {
		return err
	}
	noteErr := s.commit(context.WithoutCancel(ctx), func(doc *state.Document) {
		s.setCursor(doc, func(l *state.Leg) { l.LastError = text })
	})
	return errors.Join(err, noteErr)
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func (l Leg) progressTimeout() time.Duration {
	if l.ProgressTimeout > 0 {
		return l.ProgressTimeout
	}
	return DefaultProgressTimeout
}
