package image

import (
	"context"
	"errors"
	"strings"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
	"github.com/ddsgo/ddsgo/stream/session"
)

// receive serves OpReceive.
func (c *Copy) receive(ctx context.Context, req *session.Request) error {
	var in replica.ReceiveRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	if err := in.Validate(); err != nil {
		return failure.With(failure.CodeCorrupt, c.String(), "malformed request", "", err)
	}
	full := in.Mode == replica.ModeFull
	if !full && in.Mode != replica.ModeJournal {
		return failure.With(failure.CodeUnsupported, c.String(), "an RBD image takes journalled deltas and full copies, not mode "+string(in.Mode), "take direct: true out of the resource", nil)
	}
	t, err := c.open(ctx, in.VolumeRef)
	if t != nil {
		defer func() { _ = t.release() }()
	}
	replaces := errors.Is(err, ErrMetadata) && full && in.Overwrite
	if err != nil && !replaces {
		return Explain(c.End, err)
	}
	if !replaces {
		if err := t.rollForward(ctx, replica.Relay(req)); err != nil {
			return Explain(c.End, err)
		}
	}
	if err := t.admit(ctx, in); err != nil {
		return err
	}
	if err := t.room(ctx, in); err != nil {
		return err
	}
	if full {
		return t.receiveFull(ctx, req, in)
	}
	return t.receiveDelta(ctx, req, in)
}

// admit decides, before the first byte, whether what the source announces may be imported.
func (t *target) admit(ctx context.Context, in replica.ReceiveRequest) error {
	name := in.Resource
	if in.Source == t.id && t.exists {
		return t.refuse(failure.CodeRefused, "check the target's device in the configuration", "source and target are the same image")
	}
	if d := t.doc; d != nil {
		switch {
		case d.Role == state.RolePrimary:
			return t.refuse(failure.CodeRefused, "ddsgo status "+name, "it is primary (fence %d): replication never writes to it", d.Fence)
		case in.Fence < d.Fence:
			return t.refuse(failure.CodeRefused, "ddsgo status "+name, "the source knows fence %d, this side is at %d: it was promoted since", in.Fence, d.Fence)
		case d.Condition.Kind == state.KindHeld && in.Mode != replica.ModeFull:
			return t.refuse(failure.CodeRefused, "ddsgo resume "+name, "it is held: %s", d.Condition.Reason)
		case d.Source != "" && d.Source != in.Source && !in.Overwrite:
			return t.refuse(failure.CodeRefused, "ddsgo full "+name+" --overwrite, if that copy may go", "it holds a copy of %s on %s", d.SourceName, d.SourceHost)
		}
	}
	check := t.admitDelta
	if in.Mode == replica.ModeFull {
		check = t.admitFull
	}
	if err := check(ctx, in); err != nil {
		return err
	}
	k := t.condition().Kind
	return t.free(ctx, k == state.KindInconsistent || k == state.KindApplying)
}

// admitFull protects what the image holds from a typing error.
func (t *target) admitFull(ctx context.Context, in replica.ReceiveRequest) error {
	c := t.condition()
	if in.Overwrite || !t.exists || c.Kind == state.KindInconsistent && c.At.IsZero() {
		return nil
	}
	if t.doc != nil && c.Kind != state.KindNone {
		return t.refuse(failure.CodeRefused, "ddsgo sync "+in.Resource+", or ddsgo full "+in.Resource+" --overwrite", "it already holds a copy: %v", c)
	}
	empty, err := t.c.CLI.Empty(ctx, t.c.Image)
	if err != nil {
		return Explain(t.c.End, err)
	}
	if !empty {
		return t.refuse(failure.CodeRefused, "ddsgo full "+in.Resource+" --overwrite, if its content may go", "the image has content that is not a copy of ddsgo's")
	}
	return nil
}

// admitDelta: a delta is right on its base. On a mixture it is right when it is the very delta that
// made it, or, from a logical volume, one of every chunk written since.
func (t *target) admitDelta(ctx context.Context, in replica.ReceiveRequest) error {
	full, h := "ddsgo full "+in.Resource, in.Header
	if t.doc == nil || t.condition().Kind == state.KindNone {
		return t.refuse(failure.CodeNeedFull, full, "it never received a full copy")
	}
	if h.SubChunk {
		return t.refuse(failure.CodeUnsupported, full+" --overwrite", "a delta that needs to read its base cannot be imported")
	}
	c := t.condition()
	mixture := c.Kind == state.KindInconsistent || c.Kind == state.KindApplying
	switch {
	case c.Kind == state.KindSuspect:
		return t.refuse(failure.CodeNeedFull, "ddsgo rollback "+in.Resource+", which drops those writes", "its content is suspect: %s", c.Reason)
	case !c.At.Same(h.From):
		return t.refuse(failure.CodeRefused, "ddsgo sync "+in.Resource, "wrong base: the delta starts at %v, the target is %v", h.From, c)
	case h.To.Seq <= c.At.Seq:
		return t.refuse(failure.CodeRefused, "ddsgo status "+in.Resource, "the delta leads back to %v, the target is %v", h.To, c)
	case mixture && strings.HasPrefix(h.Source, Prefix) && !h.To.Same(c.To):
		return t.refuse(failure.CodeRefused, "ddsgo rollback "+in.Resource, "an import to %v was cut; a diff to %v does not cover what it wrote", c.To, h.To)
	case !t.holds(h.From):
		return t.refuse(failure.CodeNeedFull, full+" --overwrite", "the snapshot of the base is gone")
	}
	return nil
}

// room asks before the first byte: a full pool blocks writes instead of failing them.
func (t *target) room(ctx context.Context, in replica.ReceiveRequest) error {
	return Explain(t.c.End, t.device().Room(ctx, min(in.Need, in.Header.SetBytes)))
}

// receiveDelta takes a delta into the spool, without the lock, and imports it.
func (t *target) receiveDelta(ctx context.Context, req *session.Request, in replica.ReceiveRequest) error {
	resume, err := engine.ResumePoint(ctx, t.jdir, member, in.Header, replica.Relay(req))
	if err != nil {
		return err
	}
	if err := errors.Join(t.release(), req.Ready(replica.ReceiveReady{Resume: resume})); err != nil {
		return err
	}
	head := in.Header
	got, m, err := engine.ReceiveSpool(ctx, t.jdir, member, req.Data(), engine.SpoolOptions{
		Target: t.c.String(), Need: max(in.Need, journal.Bound(in.Header)), Check: replica.SameDelta(in.Header), Resume: resume, Head: &head, Progress: replica.Relay(req)})
	if err != nil {
		return spaceRefusal(t.c.String(), err)
	}
	// Everything is asked again: meanwhile the image may have been promoted, held or rolled back.
	if err := errors.Join(t.relock(ctx), t.load(ctx)); err != nil {
		return Explain(t.c.End, err)
	}
	if err := t.foreignWrites(ctx); err != nil {
		return err
	}
	if err := t.admit(ctx, in); err != nil {
		return err
	}
	tx, err := t.jdir.Commit(t.c.Now(), m)
	if err != nil {
		return err
	}
	// The journal is committed: it is imported to its end even if the source is gone by now.
	rep, err := t.apply(context.WithoutCancel(ctx), tx, true, replica.Relay(req))
	if err != nil {
		return err
	}
	got.Report.WriteSeconds = rep.Seconds
	return req.Reply(replica.ReceiveReply{Generation: in.Header.To, Report: got.Report})
}

// spaceRefusal says what to do when the spool does not fit.
func spaceRefusal(subject string, err error) error {
	var space *journal.SpaceError
	if !errors.As(err, &space) {
		return err
	}
	return failure.With(failure.CodeRefused, subject, "no room to verify the delta before it is imported", "free space in "+space.Dir, err)
}

// receiveFull imports while it receives. The image carries `inconsistent` from before the first byte
// until its snapshot is made, which is after the last one was verified.
func (t *target) receiveFull(ctx context.Context, req *session.Request, in replica.ReceiveRequest) error {
	if err := errors.Join(t.jdir.Discard(), t.jdir.Remove()); err != nil {
		return err
	}
	h := in.Header
	if err := t.create(ctx, h.VolumeSize); err != nil {
		return err
	}
	err := t.commit(ctx, func(d *Record) {
		d.Role, d.Fence, d.Rollback = state.RoleSecondary, in.Fence, nil
		d.Condition = state.Inconsistent(generation.Generation{}, h.To, 0)
		d.Condition.Since = t.c.Now().UTC()
		d.Source, d.SourceName, d.SourceHost = in.Source, clip(h.Source), clip(in.SourceHost)
	})
	if err != nil {
		return err
	}
	reply := replica.ReceiveReply{Generation: h.To}
	err = t.write(ctx, h, func(dev blockdev.Device) (err error) {
		if err := req.Ready(replica.ReceiveReady{}); err != nil {
			return err
		}
		reply.Report, err = engine.Merge(ctx, dev, req.Data(), engine.MergeOptions{Check: replica.SameDelta(h), Progress: replica.Relay(req)})
		return err
	})
	if err != nil {
		return Explain(t.c.End, err)
	}
	t.imported(h)
	if err := t.becomeClean(ctx, h.To); err != nil {
		return err
	}
	return req.Reply(reply)
}

// imported notes what an import has done, as another look would find it.
func (t *target) imported(h stream.Header) {
	t.snaps = append(t.snaps, importedSnapshot(h))
	t.info.Size = h.VolumeSize
}
