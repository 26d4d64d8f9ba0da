package replica

import (
	"fmt"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/state"
)

// admit decides, before the first byte, whether what the source announces may be written
// here. It is asked again under the lock before anything is committed.
func (t *target) admit(in receiveRequest) error {
	if err := t.admitAnyone(in); err != nil {
		return err
	}
	switch in.Mode {
	case modeFull:
		return t.admitFull(in)
	case modeRepair, modeResync:
		return t.admitHashed(in)
	case modeWhole:
		return t.admitWhole(in)
	}
	return t.admitDelta(in)
}

func (t *target) refuse(code int, next, format string, args ...any) error {
	return &failure.Error{Code: code, Subject: t.ref.Device, Reason: fmt.Sprintf(format, args...), Next: next}
}

// admitAnyone holds for deltas and full copies alike.
func (t *target) admitAnyone(in receiveRequest) error {
	name := in.Resource
	if in.Source == t.id.String() {
		return t.refuse(failure.CodeRefused, "check the target's device in the configuration", "source and target are the same volume")
	}
	if t.doc == nil {
		return nil
	}
	switch {
	case t.doc.Role == state.RolePrimary:
		return t.refuse(failure.CodeRefused, "ddsgo failback "+name, "it is primary (fence %d): replication never writes to it", t.doc.Fence)
	case in.Fence < t.doc.Fence:
		return t.refuse(failure.CodeRefused, "ddsgo status "+name+" on both ends", "the source knows fence %d, this side is at %d: it was promoted since", in.Fence, t.doc.Fence)
	case t.doc.Condition.Kind == state.KindHeld && in.Mode != modeFull:
		return t.refuse(failure.CodeRefused, "ddsgo resume "+name, "it is held: %s", t.doc.Condition.Reason)
	}
	return nil
}

// admitFull protects a good copy from being overwritten by a typing error.
func (t *target) admitFull(in receiveRequest) error {
	c := t.condition()
	if in.Overwrite || c.Kind == state.KindNone {
		return nil
	}
	if t.doc.Source != nil && t.doc.Source.ID != in.Source {
		return t.refuse(failure.CodeRefused, "ddsgo full "+in.Resource+" --overwrite, if that copy may go", "it holds a copy of %s on %s", t.doc.Source.Name, t.doc.Source.Host)
	}
	if c.Kind == state.KindInconsistent && c.At.IsZero() {
		return nil
	}
	return t.refuse(failure.CodeRefused, "ddsgo sync "+in.Resource+", or ddsgo full "+in.Resource+" --overwrite", "it already holds a copy: %v", c)
}

// admitDelta: a delta is right on its base, and on a mixture that ddsgo wrote from it.
func (t *target) admitDelta(in receiveRequest) error {
	c, full := t.condition(), "ddsgo full "+in.Resource
	if c.Kind == state.KindNone {
		return t.refuse(failure.CodeNeedFull, full, "it never received a full copy")
	}
	if t.doc.Source != nil && t.doc.Source.ID != in.Source {
		return t.refuse(failure.CodeRefused, full+" --overwrite, if that copy may go", "it holds a copy of %s on %s", t.doc.Source.Name, t.doc.Source.Host)
	}
	if c.Kind == state.KindSuspect {
		return t.refuse(failure.CodeNeedFull, full+" --overwrite", "its content is suspect: %s", c.Reason)
	}
	if !leadsFrom(in.Header, c) {
		return t.refuse(failure.CodeRefused, "ddsgo sync "+in.Resource, "wrong base: the delta starts at %v, the target is %v", in.Header.From, c)
	}
	if in.Header.To.Seq <= c.At.Seq {
		return t.refuse(failure.CodeRefused, "ddsgo status "+in.Resource, "the delta leads back to %v, the target is %v", in.Header.To, c)
	}
	return nil
}
