package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// opInspect is opProbe that changes nothing: no lock, no roll-forward.
const opInspect = "inspect"

// snapshotFull is the fill of the tracking snapshot, in percent, from which on status warns.
const snapshotFull = 80

// observeSource reads this host's side of the leg, without a lock. at is the generation that
// the target holds: whether kept sets lead on from there is this side's to say.
func (d *Driver) observeSource(ctx context.Context, o *array.Observation, at generation.Generation) (array.Side, Facts, error) {
	side := array.Side{Site: SiteSource, ObservedAt: d.Host.Now().UTC(), Role: array.RoleUnknown, Native: map[string]any{}}
	f := Facts{Resource: d.Leg.Resource}
	s, err := d.Host.lookAtSource(ctx, d.Leg)
	if err != nil {
		side.Error = err.Error()
		return side, f, nil //nolint:nilerr // a side that cannot be read is data
	}
	s.far.Generation = at
	if f, err = s.facts(ctx); err != nil {
		side.Error = err.Error()
		return side, f, nil //nolint:nilerr // likewise
	}
	side.Reachable, side.Role, side.Writable = true, array.RoleNone, array.TriOf(s.origin.Writable())
	if s.doc != nil && s.doc.Role == state.RolePrimary {
		side.Role = array.RolePrimary
	}
	side.Writers = d.writers(d.Leg.Source)
	if s.docErr != nil && !errors.Is(s.docErr, state.ErrNotFound) {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonStateDamaged, Text: s.docErr.Error()})
	}
	d.observeTracker(ctx, s, o, side.Native)
	return side, f, nil
}

// lookAtSource is openSource without the lock and without finishing anything.
func (h *Host) lookAtSource(ctx context.Context, leg Leg) (*source, error) {
	id, err := h.Identify(leg.Source)
	if err != nil {
		return nil, err
	}
	if id.Kind != state.IdentityLV {
		return nil, fmt.Errorf("%s is no logical volume", leg.Source)
	}
	s := &source{h: h, leg: leg, id: id, lvm: &lvm.LVM{Runner: h.Run}}
	if s.origin, err = s.lvm.Find(ctx, leg.Source); err != nil {
		return nil, err
	}
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return nil, err
	}
	s.seen = lvs
	s.vol = h.Store.Volume(id, lvTagger{lvm: s.lvm, lv: s.origin, seen: true})
	s.names = [2]string{lvm.SnapshotName(s.origin, 1, lvs), lvm.SnapshotName(s.origin, 2, lvs)}
	s.doc, s.docErr = s.vol.Inspect(ctx)
	return s, nil
}

// observeTracker reads fill and size of what is tracked.
func (d *Driver) observeTracker(ctx context.Context, s *source, o *array.Observation, native map[string]any) {
	if s.doc == nil || s.doc.Tracking == nil {
		return
	}
	native["tracking"] = s.doc.Tracking.Name
	if n := len(s.doc.Legs[d.Leg.Name()].ChangedSets); n > 0 {
		native["changed_sets"] = n // of folds; the next sync sends their union
	}
	lv, err := s.snapshotByUUID(ctx, s.doc.Tracking.UUID)
	if err != nil {
		return // reconcile tells
	}
	native["snapshot_percent"] = lv.SnapPercent
	if lv.Invalid() {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonSnapshotFull, Text: "the tracking snapshot " + lv.FullName() + " overflowed: the chain is broken", Next: "ddsgo resync " + d.Leg.Resource})
		return
	}
	if lv.SnapPercent >= snapshotFull {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonSnapshotFull, Text: fmt.Sprintf("the tracking snapshot %s is %.0f %% full", lv.FullName(), lv.SnapPercent), Next: "ddsgo sync " + d.Leg.Resource})
	}
	if st, err := s.lvm.DM().SnapshotStatus(ctx, lv.DMName); err == nil && !st.Invalid() {
		left := st.Exceptions(lv.ChunkSize) * lv.ChunkSize
		o.BytesLeft = &left
	}
}

// writers says whether somebody has the source open for use.
func (d *Driver) writers(path string) array.Tri {
	held, err := d.Host.Holders(path)
	if err != nil {
		return array.Unknown
	}
	for _, h := range held {
		if h.Kind == blockdev.HeldByMount || h.Kind == blockdev.HeldBySwap || h.Kind == blockdev.HeldByOpen {
			return array.Yes
		}
	}
	return array.No
}

// observeTarget asks the far side, or looks at this host's own target.
func (d *Driver) observeTarget(ctx context.Context, o *array.Observation) (TargetFacts, array.Side) {
	side := array.Side{Site: d.Leg.Site(), Role: array.RoleUnknown, Native: map[string]any{}}
	reply, err := d.inspectTarget(ctx)
	side.ObservedAt = d.Host.Now().UTC()
	if err != nil {
		side.Error = err.Error()
		o.Link = array.LinkDown
		var f *failure.Error
		if errors.As(err, &f) && f.Code == failure.CodeRefused {
			o.Link, side.Native[nativeRefused] = array.LinkUp, f.Next
		}
		return TargetFacts{Condition: TargetUnreachable, Detail: err.Error()}, side
	}
	o.Link = array.LinkUp
	side.Reachable, side.Role, side.Writable, side.Writers = true, array.RoleNone, array.No, array.Unknown
	switch state.Role(reply.Role) {
	case state.RolePrimary:
		side.Role, side.Writable = array.RolePrimary, array.Yes
		if reply.Writable != nil { // a promotion that was cut leaves a primary that nobody can write to
			side.Writable = array.TriOf(*reply.Writable)
		}
	case state.RoleSecondary:
		side.Role = array.RoleSecondary
	}
	side.Native["host"], side.Native["condition"], side.Native["size"], side.Native["fence"] = reply.Host, reply.Condition, reply.Size, reply.Fence
	if !reply.Applied.IsZero() {
		side.Native["applied"] = reply.Applied
	}
	tracked := &source{far: reply}
	if id, err := d.Host.Identify(d.Leg.Source); err == nil && !d.AtTarget {
		tracked.id = id
	} else {
		tracked.far.Source = ""
	}
	if v := reply.Verified; v != nil {
		side.Native["verified"] = v
		side.Native["verified_bytes"] = v.Bytes(v.Generation.Size)
	}
	if !reply.Generation.IsZero() {
		g := reply.Generation
		o.Generation = &g
	}
	o.Condition = reply.Condition
	return tracked.targetFacts(), side
}

// inspectTarget asks without changing anything.
func (d *Driver) inspectTarget(ctx context.Context) (probeReply, error) {
	ref := VolumeRef{Device: d.Leg.Device, Resource: d.Leg.Resource}
	if d.AtTarget {
		return d.Host.inspectVolume(ctx, ref)
	}
	var reply probeReply
	err := d.withTarget(ctx, func(c *session.Conn) error { return c.Call(ctx, opInspect, ref, &reply, nil) })
	return reply, err
}

// inspect serves opInspect.
func (h *Host) inspect(ctx context.Context, req *session.Request) error {
	var ref VolumeRef
	if err := req.Decode(&ref); err != nil {
		return err
	}
	reply, err := h.inspectVolume(ctx, ref)
	if err != nil {
		return err
	}
	return req.Reply(reply)
}

// inspectVolume describes a target without its lock.
func (h *Host) inspectVolume(ctx context.Context, ref VolumeRef) (probeReply, error) {
	if err := h.mayReach(ref.Device); err != nil {
		return probeReply{}, err
	}
	id, err := h.Identify(ref.Device)
	if err != nil {
		return probeReply{}, fmt.Errorf("%s: %w", ref.Device, err)
	}
	t := &target{h: h, ref: ref, id: id, lvm: &lvm.LVM{Runner: h.Run}}
	t.vol = h.Store.Volume(id, nil)
	if id.Kind == state.IdentityLV {
		lv, err := t.lvm.Find(ctx, ref.Device)
		if err != nil {
			return probeReply{}, fmt.Errorf("%s: %w", ref.Device, err)
		}
		t.lv, t.vol = &lv, h.Store.Volume(id, lvTagger{lvm: t.lvm, lv: lv, seen: true})
	}
	t.doc, err = t.vol.Inspect(ctx)
	switch {
	case errors.Is(err, state.ErrNotFound):
	case stateTrouble(err) != nil:
		return probeReply{Host: h.Name, Damaged: true, Detail: err.Error()}, nil
	case err != nil:
		return probeReply{}, err
	}
	return t.describe()
}

// conclude fills what both sides together say.
func (d *Driver) conclude(o *array.Observation, f Facts, src, dst array.Side) {
	m := array.Member{Name: d.Leg.Source, Peer: d.Leg.Device, Sync: array.SyncUnknown}
	if g := o.Generation; g != nil {
		seq := int64(g.Seq)
		m.SyncPoint = &seq
		if !g.Time.IsZero() {
			at, lag := g.Time, d.Host.Now().Sub(g.Time).Seconds()
			m.LastSync, o.LastSync, o.Lag = &at, &at, &lag
		}
	}
	d.judge(o, f, src, dst, &m)
	if f.Local.Held {
		o.Replication = array.Held
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonHeld, Text: "the leg is held (ddsgo break)", Next: "ddsgo resume " + d.Leg.Resource})
	}
	o.Members = []array.Member{m}
}

// judge turns the target's condition into replication, member state and reasons.
func (d *Driver) judge(o *array.Observation, f Facts, src, dst array.Side, m *array.Member) {
	why := func(code array.ReasonCode, text, next string) {
		if f.Target.Detail != "" {
			text += ": " + f.Target.Detail
		}
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: text, Next: next + " " + d.Leg.Resource})
	}
	switch f.Target.Condition {
	case TargetClean:
		o.Replication, m.Sync = array.Running, array.Synced
	case TargetEmpty:
		o.Replication = array.Stopped
		why(array.ReasonFirstCopy, "the target never received a full copy", "ddsgo full")
	case TargetApplying:
		o.Replication, m.Sync = array.Running, array.Syncing
		why(array.ReasonApplying, "a delta is being written, or its writing was cut", "ddsgo sync")
	case TargetInconsistent:
		d.judgeInconsistent(o, f, m, why)
	case TargetSuspect:
		o.Replication, m.Sync = array.ReplicationError, array.Stale
		why(array.ReasonSuspect, "the target was written behind ddsgo's back, or verify found it wrong", "ddsgo verify --repair")
	case TargetHeld:
		o.Replication, m.Sync = array.Held, array.Stale
		why(array.ReasonHeld, "the target is held", "ddsgo resume")
	case TargetDamaged:
		o.Replication = array.ReplicationError
		why(array.ReasonStateDamaged, "the target's state is damaged", "ddsgo resync")
	case TargetOtherVolume:
		o.Replication = array.ReplicationError
		why(array.ReasonSplitBrain, "the target holds a copy of another volume", "ddsgo full --overwrite")
	case TargetPrimary:
		o.Replication, m.Sync = array.Stopped, array.Stale
		if src.Role == array.RolePrimary {
			why(array.ReasonTwoPrimaries, "the target was promoted; the source is primary too", "ddsgo plan failback")
		}
	}
	if src.Reachable && f.Local.State == LocalMissing && dst.Role == array.RoleSecondary {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonStateMissing, Text: "this side has no state of the replica", Next: "ddsgo resync " + d.Leg.Resource})
	}
}

// judgeInconsistent tells a first copy on its way from a cut write.
func (d *Driver) judgeInconsistent(o *array.Observation, f Facts, m *array.Member, why func(array.ReasonCode, string, string)) {
	m.Sync = array.Syncing
	if f.Target.At.IsZero() {
		o.Replication = array.Initial
		why(array.ReasonFirstCopy, "a full copy is on its way, or was cut", "ddsgo full")
		return
	}
	o.Replication = array.ReplicationError
	why(array.ReasonInconsistent, "a write was cut: the target is no point in time", "ddsgo sync")
}

// Copies lists what this host's state directory knows, for status without configuration.
func (h *Host) Copies() ([]state.Document, error) {
	entries, err := h.Store.Volumes()
	if err != nil {
		return nil, err
	}
	var docs []state.Document
	for _, e := range entries {
		if e.Document != nil {
			docs = append(docs, *e.Document)
		}
	}
	return docs, nil
}
