package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/resync"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// A slice of a hash exchange holds the locks for DefaultSlice and the windows under way,
// less than lockWait. Between slices they are free for yieldTime, long enough for whoever
// waits to get them.
const (
	DefaultSlice = 10 * time.Second
	yieldTime    = 300 * time.Millisecond
)

func (h *Host) slice() time.Duration {
	if h.Slice > 0 {
		return h.Slice
	}
	return DefaultSlice
}

// digest serves opDigest: the digests of a range, until it ends or the slice is over.
func (h *Host) digest(ctx context.Context, req *session.Request) error {
	var in digestRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	opt, err := in.options()
	if err != nil {
		return failure.With(failure.CodeCorrupt, in.Device, "malformed request", "update ddsgo on the older of the two hosts", err)
	}
	t, err := h.openTarget(ctx, in.VolumeRef, "verify "+in.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	if err := t.rollForward(ctx, relay(req)); err != nil {
		return err
	}
	if err := t.admitDigest(in); err != nil {
		return err
	}
	opt.Stop = after(h.slice())
	opt.Progress = func(done int64) {
		req.Progress(session.Progress{Phase: "hashing", Done: in.Offset + done, Total: in.Size})
	}
	reached, err := t.serveDigests(ctx, req, in, opt)
	if err = errors.Join(err, t.release()); err != nil {
		return err
	}
	if reached < in.End {
		pause(ctx, yieldTime)
	}
	return req.Reply(digestReply{reached})
}

// after is true from d on.
func after(d time.Duration) func() bool {
	var over atomic.Bool
	time.AfterFunc(d, func() { over.Store(true) })
	return over.Load
}

// pause waits, unless the run is over.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (t *target) serveDigests(ctx context.Context, req *session.Request, in digestRequest, opt resync.Options) (int64, error) {
	dev, err := t.h.OpenDevice(t.ref.Device, blockdev.Options{Direct: true})
	if err != nil {
		return 0, t.openFailed(err)
	}
	defer dev.Close()
	if dev.Size() < in.Size {
		return 0, t.refuse(failure.CodeRefused, fmt.Sprintf("lvextend it to at least %d bytes", in.Size), "too small: %d bytes, the source has %d", dev.Size(), in.Size)
	}
	if err := req.Ready(digestReady{t.readCounters()}); err != nil {
		return 0, err
	}
	var r io.ReaderAt = dev
	if !in.At.IsZero() { // a verification has time, a rejoin has not
		r = blockdev.Idle(dev)
	}
	reached, err := resync.Serve(ctx, req.Data(), req.Writer(), r, opt)
	if err != nil {
		return reached, fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	return reached, nil
}

// admitDigest: whoever compares learns which blocks differ, so only the source may, and
// only what may be written or vouched for afterwards is worth comparing.
func (t *target) admitDigest(in digestRequest) error {
	name, c := in.Resource, t.condition()
	if t.doc == nil || t.doc.Source == nil {
		return t.refuse(failure.CodeNeedFull, "ddsgo full "+name, "it never received a full copy")
	}
	if t.doc.Role == state.RolePrimary {
		return t.refuse(failure.CodeRefused, "ddsgo failback "+name, "it is primary (fence %d)", t.doc.Fence)
	}
	if t.doc.Source.ID != in.Source {
		return t.refuse(failure.CodeRefused, "ddsgo status "+name, "it holds a copy of %s on %s", t.doc.Source.Name, t.doc.Source.Host)
	}
	if in.At.IsZero() {
		if err := t.refuseHeld(); err != nil { // before hours of hashing, not after them
			return err
		}
		return t.admitRejoin(name)
	}
	switch c.Kind {
	case state.KindClean, state.KindSuspect, state.KindHeld:
		if c.At.Same(in.At) {
			return nil
		}
	}
	return t.refuse(failure.CodeNeedFull, "ddsgo sync "+name+", or ddsgo resync "+name, "it is %v, to be compared with %v", c, in.At)
}

// admitRejoin: content of any worth may be compared and brought up to date, but a held
// one is kept for somebody, and an unfinished journal comes first.
func (t *target) admitRejoin(name string) error {
	switch c := t.condition(); c.Kind {
	case state.KindClean, state.KindSuspect, state.KindInconsistent:
		return nil
	case state.KindHeld:
		return t.refuse(failure.CodeRefused, "ddsgo resume "+name, "it is held: %s", c.Reason)
	default:
		return t.refuse(failure.CodeRefused, "ddsgo status "+name, "it is %v", c)
	}
}

// admitHashed admits a delta that came out of a hash exchange. It is right only on the very
// content that was compared, so nobody may have written since.
func (t *target) admitHashed(in receiveRequest) error {
	c := t.condition()
	if t.doc == nil || t.doc.Source == nil || t.doc.Source.ID != in.Source {
		return t.refuse(failure.CodeRefused, "ddsgo resync "+in.Resource, "it is no copy of this source")
	}
	if in.Mode == modeRepair {
		same := in.Header.From.Same(in.Header.To) && c.At.Same(in.Header.To)
		if !same || c.Kind != state.KindClean && c.Kind != state.KindSuspect {
			return t.refuse(failure.CodeRefused, "ddsgo verify "+in.Resource+" --repair", "a repair of %v, the target is %v", in.Header.To, c)
		}
	} else {
		if err := t.admitRejoin(in.Resource); err != nil {
			return err
		}
		if !in.Header.From.Same(rejoinBase(in.Header.To)) || in.Header.To.Seq <= c.At.Seq {
			return t.refuse(failure.CodeRefused, "ddsgo status "+in.Resource, "the delta leads back to %v, the target is %v", in.Header.To, c)
		}
	}
	return t.unchangedSince(in.Counters, in.Resource)
}

// unchangedSince refuses content that somebody wrote to after it was compared.
func (t *target) unchangedSince(then *state.Counters, name string) error {
	if sameCounters(then, t.readCounters()) {
		return nil
	}
	return t.refuse(failure.CodeNeedFull, "find out who writes to it, then run the same command again: ddsgo resync "+name, "somebody wrote to it, or its host was restarted, while it was compared")
}

// sameCounters says that nothing was written in between. Devices without counters
// (files) prove nothing either way.
func sameCounters(a, b *state.Counters) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.BootID == b.BootID && a.Writes == b.Writes && a.Discards == b.Discards
}

// reclaim serves opReclaim: a volume without a state that can be believed, or with another
// volume's copy, becomes a suspect copy of this source, which a resync makes good.
func (h *Host) reclaim(ctx context.Context, req *session.Request) error {
	var in reclaimRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	if in.Source == "" {
		return failure.With(failure.CodeCorrupt, in.Device, "malformed request", "update ddsgo on the older of the two hosts", nil)
	}
	t, err := h.openTarget(ctx, in.VolumeRef, "resync "+in.Resource)
	reason := "the state of its content was lost"
	if trouble := stateTrouble(err); trouble != nil {
		reason = truncate("its state could not be believed: "+trouble.Error(), state.MaxText)
		t, err = h.renewTarget(ctx, in.VolumeRef)
	}
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	if err := t.rollForward(ctx, relay(req)); err != nil {
		return err
	}
	if err := t.admitReclaim(in); err != nil {
		return err
	}
	c := t.condition()
	if c.Kind == state.KindNone {
		c = state.Suspect(c.At, reason)
	} else if t.doc.Source == nil || t.doc.Source.ID != in.Source {
		c = state.Suspect(c.At, "it holds a copy of another volume")
	}
	c.Since = h.Now().UTC()
	err = t.commit(ctx, func(d *state.Document) {
		d.Role, d.Condition, d.Counters, d.Verified = state.RoleSecondary, c, nil, nil
		d.Source = &state.SourceIdentity{ID: in.Source, Host: in.SourceHost, Name: in.SourceName}
		d.Fence = max(d.Fence, in.Fence)
	})
	if err != nil {
		return err
	}
	reply, err := t.describe()
	if err != nil {
		return err
	}
	return req.Reply(reply)
}

// admitReclaim keeps what must not be overwritten.
func (t *target) admitReclaim(in reclaimRequest) error {
	if err := t.admitAnyone(receiveRequest{VolumeRef: in.VolumeRef, Mode: modeResync, Fence: in.Fence}); err != nil {
		return err
	}
	if err := t.refuseHeld(); err != nil {
		return err
	}
	if t.doc == nil || t.doc.Source == nil || t.doc.Source.ID == in.Source || in.Overwrite {
		return nil
	}
	return t.refuse(failure.CodeRefused, "ddsgo resync "+in.Resource+" --overwrite, if that copy may go", "it holds a copy of %s on %s", t.doc.Source.Name, t.doc.Source.Host)
}
