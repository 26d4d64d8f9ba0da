package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// Service is what `ddsgo serve` answers: the far end of every leg that ends on this host.
type Service struct {
	Host *Host
}

// Allow is the allow-list of one ssh key, for `ddsgo serve` as a forced command.
type Allow struct {
	Devices []string // paths, as sources name them
	Verbs   []string // operation names; empty: all
}

// Handle implements session.Handler.
func (s Service) Handle(ctx context.Context, req *session.Request) error {
	handlers := map[string]func(context.Context, *session.Request) error{
		opProbe: s.Host.probe, opInspect: s.Host.inspect, opReceive: s.Host.receive, opHold: s.Host.hold, opRelease: s.Host.releaseHold, opPromote: s.Host.promote, opList: s.Host.list, opAdopt: s.Host.adoptTarget,
		opDigest: s.Host.digest, opVerified: s.Host.verified, opHistory: s.Host.history, opReclaim: s.Host.reclaim, opExtend: s.Host.extend,
	}
	handle, ok := handlers[req.Op]
	if !ok {
		return failure.With(failure.CodeCorrupt, "", fmt.Sprintf("unknown operation %.40q", req.Op), "update ddsgo on the older of the two hosts", nil)
	}
	if err := s.allowedVerb(req.Op); err != nil {
		return err
	}
	return handle(ctx, req)
}

// allowedVerb checks the allow-list's verbs; openTarget checks its devices.
func (s Service) allowedVerb(op string) error {
	a := s.Host.Allow
	if a == nil || len(a.Verbs) == 0 || slices.Contains(a.Verbs, op) {
		return nil
	}
	return failure.Refused("", "this key may not "+op, "extend the list of verbs of the forced command on "+s.Host.Name)
}

// probe serves opProbe: roll forward what can be, then tell.
func (h *Host) probe(ctx context.Context, req *session.Request) error {
	var ref VolumeRef
	if err := req.Decode(&ref); err != nil {
		return err
	}
	t, err := h.openTarget(ctx, ref, "probe "+ref.Resource)
	if damaged := stateTrouble(err); damaged != nil {
		return req.Reply(probeReply{Host: h.Name, Damaged: true, Detail: damaged.Error(), Fence: h.knownFence(ctx, ref)})
	}
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	detail := ""
	if err := t.rollForward(ctx, relay(req)); err != nil {
		// The source decides what to do with a target that stays `applying`.
		h.Log.Error("cannot roll forward", "device", ref.Device, "err", err)
		detail = err.Error()
	}
	reply, err := t.describe()
	if err == nil {
		reply.InUse, err = t.users()
	}
	if err != nil {
		return err
	}
	if detail != "" {
		reply.Detail = detail
	}
	return req.Reply(reply)
}

// stateTrouble picks the errors that say that the state cannot be believed.
func stateTrouble(err error) error {
	for _, e := range []error{state.ErrDamaged, state.ErrDisagree, state.ErrLost, state.ErrNewer, state.ErrTag} {
		if errors.Is(err, e) {
			return err
		}
	}
	return nil
}

// describe is the target as its source needs to know it.
func (t *target) describe() (probeReply, error) {
	r := probeReply{Host: t.h.Name, Bases: true}
	dev, err := t.h.OpenDevice(t.ref.Device, blockdev.Options{})
	if err != nil {
		return r, t.openFailed(err)
	}
	r.Size = dev.Size()
	if err := dev.Close(); err != nil {
		return r, err
	}
	if t.lv != nil {
		w := t.lv.Writable()
		r.Writable = &w
	}
	if t.doc == nil {
		return r, nil
	}
	c := t.doc.Condition
	r.Condition, r.Generation, r.To, r.Detail = string(c.Kind), c.At, c.To, cmp.Or(c.Reason, t.doc.Doubt)
	r.Role, r.Fence = string(t.doc.Role), t.doc.Fence
	if t.doc.Role == state.RolePrimary {
		r.Generation = t.doc.Generation
	}
	if t.doc.Source != nil {
		r.Source = t.doc.Source.ID
	}
	r.Verified = t.doc.Verified
	if t.doc.Base != nil {
		r.Applied = t.doc.Base.Time
	}
	return r, nil
}

// hold serves opHold: the target keeps what it has until it is released by name.
func (h *Host) hold(ctx context.Context, req *session.Request) error {
	return h.changeTarget(ctx, req, "hold", func(t *target) error {
		c := t.condition()
		if c.Kind != state.KindClean {
			return t.refuse(failure.CodeRefused, "ddsgo status "+t.ref.Resource, "only a clean target can be held, it is %v", c)
		}
		return t.commit(ctx, func(d *state.Document) {
			d.Condition = state.Held(c.At, "held by an operator")
			d.Condition.Since = h.Now().UTC()
		})
	})
}

// releaseHold serves opRelease.
func (h *Host) releaseHold(ctx context.Context, req *session.Request) error {
	return h.changeTarget(ctx, req, "release", func(t *target) error {
		c := t.condition()
		if c.Kind != state.KindHeld {
			return nil
		}
		return t.commit(ctx, func(d *state.Document) {
			d.Condition = state.Clean(c.At)
			d.Condition.Since = h.Now().UTC()
		})
	})
}

// changeTarget runs a small change under the lock, after a roll-forward.
func (h *Host) changeTarget(ctx context.Context, req *session.Request, what string, change func(*target) error) error {
	var ref VolumeRef
	if err := req.Decode(&ref); err != nil {
		return err
	}
	t, err := h.openTarget(ctx, ref, what+" "+ref.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	if err := t.rollForward(ctx, relay(req)); err != nil {
		return err
	}
	if err := change(t); err != nil {
		return err
	}
	reply, err := t.describe()
	if err != nil {
		return err
	}
	return req.Reply(reply)
}

// promote serves opPromote: the target becomes primary and writable. An uncommitted delta
// is dropped, a committed one is finished first; no session can hinder it.
func (h *Host) promote(ctx context.Context, req *session.Request) error {
	var ref VolumeRef
	if err := req.Decode(&ref); err != nil {
		return err
	}
	t, err := h.openTarget(ctx, ref, "promote "+ref.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	reply, err := t.promote(ctx)
	if err != nil {
		return err
	}
	return req.Reply(reply)
}

// promote raises the fence before the volume becomes writable: from the commit on no
// delta of the old primary is taken.
func (t *target) promote(ctx context.Context) (promoteReply, error) {
	if t.doc != nil && t.doc.Role == state.RolePrimary {
		return promoteReply{t.doc.Generation, t.doc.Fence}, t.setWritable(ctx, true)
	}
	if err := t.vol.RevokeSession(); err != nil {
		return promoteReply{}, err
	}
	if err := t.rollForward(ctx, nil); err != nil {
		return promoteReply{}, err
	}
	c := t.condition()
	if c.Kind != state.KindClean && c.Kind != state.KindHeld && c.Kind != state.KindSuspect {
		return promoteReply{}, t.refuse(failure.CodeRefused, "ddsgo resync "+t.ref.Resource+", or bring the source back", "it holds no point in time: %v", c)
	}
	if err := t.jdir.Discard(); err != nil {
		return promoteReply{}, err
	}
	err := t.commit(ctx, func(d *state.Document) {
		d.Role, d.Condition, d.Generation, d.Counters, d.Doubt = state.RolePrimary, state.None(), c.At, nil, ""
		d.Fence++
	})
	if err != nil {
		return promoteReply{}, err
	}
	return promoteReply{c.At, t.doc.Fence}, t.setWritable(ctx, true)
}

// list serves opList: every volume that this host's state directory knows.
func (h *Host) list(_ context.Context, req *session.Request) error {
	docs, err := h.Copies()
	if err != nil {
		return err
	}
	if h.Allow != nil {
		docs = slices.DeleteFunc(docs, func(d state.Document) bool { return !slices.Contains(h.Allow.Devices, d.Device) })
	}
	return req.Reply(docs)
}

// Serve answers one session on rw.
func (s Service) Serve(ctx context.Context, rw io.ReadWriteCloser, opt session.Options) error {
	opt.Host, opt.Log = s.Host.Name, s.Host.Log
	return session.Serve(ctx, rw, s, opt)
}
