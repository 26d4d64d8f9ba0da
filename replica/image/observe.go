package image

import (
	"context"
	"errors"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// ask runs one operation that changes nothing at the source, on a session of its own.
func (l Leg) ask(ctx context.Context, op string, out any) error {
	s := &source{leg: l}
	conn, err := l.Dial(ctx, l.Target)
	if err != nil {
		return s.unreachable(err)
	}
	c, err := session.Connect(ctx, conn, session.Options{ProgressTimeout: l.ProgressTimeout, Host: l.Host})
	if err != nil {
		return errors.Join(s.unreachable(conn.Explain(err)), conn.Close())
	}
	err = conn.Explain(c.Call(ctx, op, replica.VolumeRef{Device: l.Device, Resource: l.Resource}, out, nil))
	return errors.Join(err, c.Close(), conn.Close())
}

// observeSource fills in what the source image says.
func (d *Driver) observeSource(ctx context.Context, s *source, o *array.Observation, side *array.Side) {
	side.Reachable, side.Role, side.Writable = true, array.RoleNone, array.TriOf(!s.nonPrimary())
	side.Native["size"] = s.info.Size
	users, err := d.Leg.CLI.Users(ctx, d.Leg.Image)
	side.Writers = array.TriOf(len(users) > 0)
	if err != nil {
		side.Writers = array.Unknown
	}
	if s.docErr != nil {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonStateDamaged, Text: s.docErr.Error(), Next: "ddsgo full " + d.Leg.Resource + " --overwrite"})
	}
	if s.doc == nil {
		return
	}
	if s.doc.LastError != "" {
		side.Native["last_error"] = s.doc.LastError
	}
	if base := s.marked(s.doc.Base); base.Present {
		side.Role = array.RolePrimary
		side.Native["tracking"] = d.Leg.Image.At(base.Name)
		if left, err := d.Leg.CLI.DiffBytes(ctx, d.Leg.Image, base.Name); err == nil {
			o.BytesLeft = &left
		}
	}
}

// observeTarget asks the target's owner.
func (d *Driver) observeTarget(ctx context.Context, s *source, o *array.Observation) array.Side {
	side := array.Side{Site: d.Leg.Site(), Role: array.RoleUnknown, Native: map[string]any{}}
	var r replica.ProbeReply
	err := d.Leg.ask(ctx, replica.OpInspect, &r)
	side.ObservedAt = d.Leg.Now().UTC()
	if err != nil {
		side.Error, o.Link = err.Error(), array.LinkDown
		return side
	}
	s.far = r
	o.Link = array.LinkUp
	side.Reachable, side.Role, side.Writable = true, array.RoleNone, array.No
	switch state.Role(r.Role) {
	case state.RolePrimary:
		side.Role, side.Writable = array.RolePrimary, array.Yes
		if r.Writable != nil {
			side.Writable = array.TriOf(*r.Writable)
		}
	case state.RoleSecondary:
		side.Role = array.RoleSecondary
	}
	side.Native["host"], side.Native["condition"], side.Native["size"], side.Native["fence"] = r.Host, r.Condition, r.Size, r.Fence
	if !r.Applied.IsZero() {
		side.Native["applied"] = r.Applied
	}
	if !r.Generation.IsZero() {
		g := r.Generation
		o.Generation = &g
		if d.Leg.Rewinds && state.Role(r.Role) != state.RolePrimary {
			side.Native["read"] = d.Leg.Device + "@" + delta.SnapshotName(g)
		}
	}
	o.Condition = r.Condition
	return side
}

// conclude fills what both sides together say.
func (d *Driver) conclude(o *array.Observation, f Facts, src array.Side) {
	m := array.Member{Name: d.Leg.String(), Peer: d.Leg.Device, Sync: array.SyncUnknown}
	if g := o.Generation; g != nil {
		seq := int64(g.Seq)
		m.SyncPoint = &seq
		if !g.Time.IsZero() {
			at, lag := g.Time, d.Leg.Now().Sub(g.Time).Seconds()
			m.LastSync, o.LastSync, o.Lag = &at, &at, &lag
		}
	}
	d.judge(o, f, src, &m)
	if f.Held {
		o.Replication = array.Held
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonHeld, Text: "the leg is held (ddsgo break)", Next: "ddsgo resume " + d.Leg.Resource})
	}
	o.Members = []array.Member{m}
}

// judge turns the target's condition into replication, member state and reasons.
func (d *Driver) judge(o *array.Observation, f Facts, src array.Side, m *array.Member) {
	why := func(code array.ReasonCode, text string) {
		next := ""
		if src.Reachable {
			next = Reconcile(f).Next
		}
		if next == "" {
			next = "ddsgo sync " + d.Leg.Resource
		}
		if f.Target.Detail != "" {
			text += ": " + f.Target.Detail
		}
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: text, Next: next})
	}
	switch f.Target.Condition {
	case replica.TargetClean:
		o.Replication, m.Sync = array.Running, array.Synced
		if dec := Reconcile(f); src.Reachable && dec.Verdict == VerdictRefuse && !f.Held && f.Tracker != TrackerDamaged {
			o.Replication, m.Sync = array.ReplicationError, array.Stale
			why(array.ReasonStateMissing, dec.Reason)
		}
	case replica.TargetEmpty:
		o.Replication = array.Stopped
		why(array.ReasonFirstCopy, "the target never received a full copy")
	case replica.TargetApplying:
		o.Replication, m.Sync = array.Running, array.Syncing
		why(array.ReasonApplying, "a delta is being written, or its writing was cut")
	case replica.TargetInconsistent:
		o.Replication, m.Sync = array.ReplicationError, array.Syncing
		if f.Target.At.IsZero() {
			o.Replication = array.Initial
			why(array.ReasonFirstCopy, "a full copy is on its way, or was cut")
			return
		}
		why(array.ReasonInconsistent, "a write was cut: HEAD is no point in time")
	case replica.TargetSuspect:
		o.Replication, m.Sync = array.ReplicationError, array.Stale
		why(array.ReasonSuspect, "the target was written behind ddsgo's back")
	case replica.TargetHeld:
		o.Replication, m.Sync = array.Held, array.Stale
		why(array.ReasonHeld, "the target is held")
	case replica.TargetDamaged:
		o.Replication = array.ReplicationError
		why(array.ReasonStateDamaged, "the target's state is damaged")
	case replica.TargetOtherVolume:
		o.Replication = array.ReplicationError
		why(array.ReasonSplitBrain, "the target holds a copy of another volume")
	case replica.TargetPrimary:
		o.Replication, m.Sync = array.Stopped, array.Stale
		if src.Role == array.RolePrimary {
			why(array.ReasonTwoPrimaries, "the target was promoted; the source is primary too")
		}
	}
}
