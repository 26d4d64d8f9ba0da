package replica

import (
	"context"
	"fmt"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// verified serves opVerified: the target keeps how far it was compared, becomes suspect
// as soon as a block is known to be wrong, and clean again when a whole pass found none.
func (h *Host) verified(ctx context.Context, req *session.Request) error {
	var in verifiedRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	if in.At.IsZero() || in.From < 0 || in.Until < in.From || in.Differs < 0 {
		return failure.With(failure.CodeCorrupt, in.Device, "malformed request", "update ddsgo on the older of the two hosts", nil)
	}
	t, err := h.openTarget(ctx, in.VolumeRef, "verify "+in.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	if err := t.admitDigest(digestRequest{VolumeRef: in.VolumeRef, At: in.At}); err != nil {
		return err
	}
	if in.Complete && in.Differs == 0 && t.condition().Kind == state.KindSuspect {
		if err := t.unchangedSince(in.Counters, in.Resource); err != nil {
			return err
		}
		if err := t.setWritable(ctx, false); err != nil {
			return err
		}
	}
	if err := t.commit(ctx, func(d *state.Document) { t.recordVerified(d, in) }); err != nil {
		return err
	}
	reply, err := t.describe()
	if err != nil {
		return err
	}
	return req.Reply(reply)
}

// recordVerified changes the document; admitDigest has let the condition pass.
func (t *target) recordVerified(d *state.Document, in verifiedRequest) {
	now := t.h.Now().UTC()
	v := state.Verified{Generation: in.At, Until: in.Until}
	if in.Complete && in.Differs == 0 {
		v.Complete = now
	}
	d.Verified = v.Stamped(d.Verified, in.From, in.At.Size)
	found := fmt.Sprintf("verify found %d blocks that differ, the first at offset %d", in.Differs, in.First)
	switch kind := d.Condition.Kind; {
	case in.Differs > 0 && kind == state.KindHeld:
		d.Condition.Reason = found
	case in.Differs > 0:
		d.Condition = state.Suspect(in.At, found)
		d.Condition.Since = now
	case in.Complete && kind == state.KindSuspect:
		d.Condition, d.Doubt = state.Clean(d.Condition.At), ""
		d.Condition.Since = now
		d.Counters = t.readCounters()
	}
}
