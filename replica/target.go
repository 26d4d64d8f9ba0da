package replica

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// lockWait is how long an operation at the target waits for another to end: a receiver
// whose source was killed needs a moment to notice.
const lockWait = 20 * time.Second

// target is one volume of this host that receives. Its lock is held from openTarget to
// release; between release and relock nothing but the spool may be touched.
type target struct {
	h    *Host
	ref  VolumeRef
	id   state.Identity
	vol  *state.Volume
	lv   *lvm.LV  // nil: no logical volume
	lvm  *lvm.LVM // runs its commands under our lock; nil without lv
	lock *state.Lock
	doc  *state.Document // nil: never received anything
	jdir *journal.Dir

	written *stamped // what the last write touched; nil: there are no stamps to lose
}

// openTarget locks the volume, reads what is known about it, and notices writes that
// were not ours.
func (h *Host) openTarget(ctx context.Context, ref VolumeRef, purpose string) (*target, error) {
	if err := h.mayReach(ref.Device); err != nil {
		return nil, err
	}
	id, err := h.Identify(ref.Device)
	if err != nil {
		return nil, failure.With(failure.CodeRefused, ref.Device, "cannot be used as a target", "create it, at least as large as the source", err)
	}
	t := &target{h: h, ref: ref, id: id}
	if err := t.relock(ctx, purpose); err != nil {
		return nil, err
	}
	if err := t.prepare(ctx); err != nil {
		return nil, errors.Join(err, t.release())
	}
	return t, nil
}

// mayReach checks the allow-list's devices.
func (h *Host) mayReach(device string) error {
	if h.Allow == nil || slices.Contains(h.Allow.Devices, device) {
		return nil
	}
	return failure.Refused(device, "this key may not reach the volume", "extend the list of volumes of the forced command on "+h.Name)
}

// renewTarget replaces a target's document that cannot be believed, before a full copy that
// the user has ordered to overwrite it. A volume that anything calls primary is refused.
func (h *Host) renewTarget(ctx context.Context, ref VolumeRef) (*target, error) {
	id, err := h.Identify(ref.Device)
	if err != nil {
		return nil, err
	}
	t := &target{h: h, ref: ref, id: id}
	if err := t.relock(ctx, "renew "+ref.Resource); err != nil {
		return nil, err
	}
	t.vol = h.Store.Volume(id, nil)
	if id.Kind == state.IdentityLV {
		lv, err := t.lvm.Find(ctx, ref.Device)
		if err != nil {
			return nil, errors.Join(err, t.release())
		}
		t.vol = h.Store.Volume(id, lvTagger{lvm: t.lvm, lv: lv, flush: h.FlushDisks})
	}
	err = t.vol.Reset(ctx, &state.Document{Identity: id, Device: ref.Device, Resource: ref.Resource, Role: state.RoleSecondary, Condition: state.None()})
	if err = errors.Join(err, t.release()); err != nil {
		return nil, err
	}
	return h.openTarget(ctx, ref, "receive "+ref.Resource)
}

// knownFence is the fence of a target whose state cannot be believed; 0 where none is known.
func (h *Host) knownFence(ctx context.Context, ref VolumeRef) uint64 {
	id, err := h.Identify(ref.Device)
	if err != nil {
		return 0
	}
	vol := h.Store.Volume(id, nil)
	if id.Kind == state.IdentityLV {
		l := &lvm.LVM{Runner: h.Run} // it only looks
		lv, err := l.Find(ctx, ref.Device)
		if err != nil {
			return 0
		}
		vol = h.Store.Volume(id, lvTagger{lvm: l, lv: lv, seen: true})
	}
	return vol.KnownFence(ctx)
}

// prepare finds the logical volume, the document and the journal of a locked target.
func (t *target) prepare(ctx context.Context) error {
	t.vol = t.h.Store.Volume(t.id, nil)
	if t.id.Kind == state.IdentityLV {
		lv, err := t.lvm.Find(ctx, t.ref.Device)
		if err != nil {
			return fmt.Errorf("%s: %w", t.ref.Device, err)
		}
		t.lv = &lv
		t.vol = t.h.Store.Volume(t.id, lvTagger{lvm: t.lvm, lv: lv, flush: t.h.FlushDisks})
	}
	if err := t.load(ctx); err != nil {
		return err
	}
	if t.condition().Kind != state.KindInconsistent {
		// A run that was killed after its copy was clean has left it.
		if err := t.vol.DropCursor(); err != nil {
			return err
		}
	}
	dir, err := t.spoolDir()
	if err != nil {
		return err
	}
	if t.jdir, err = journal.Open(t.h.Journal, dir); err != nil {
		return err
	}
	t.jdir.Limit(t.h.SpoolQuota)
	return nil
}

// spoolDir is the journal's directory: below the configured one, else in the state directory.
func (t *target) spoolDir() (string, error) {
	if t.h.SpoolDir != "" {
		return filepath.Join(t.h.SpoolDir, t.id.String()), nil
	}
	dir, err := t.vol.Dir()
	return filepath.Join(dir, "journal"), err
}

// relock takes the volume's lock.
func (t *target) relock(ctx context.Context, purpose string) error {
	lock, err := t.h.Store.Lock(ctx, t.id, state.LockOptions{Purpose: purpose, Wait: lockWait})
	if err != nil {
		return err
	}
	t.lock = lock
	t.lvm = t.h.lvmUnder(lock)
	return nil
}

// release gives the lock back; it may be called more than once.
func (t *target) release() error {
	if t.lock == nil {
		return nil
	}
	err := t.lock.Release()
	t.lock = nil
	return err
}

// load reads the document again and compares the write counters.
func (t *target) load(ctx context.Context) error {
	doc, err := t.vol.Load(ctx)
	switch {
	case errors.Is(err, state.ErrNotFound):
		t.doc = nil
		return nil
	case err != nil:
		return err
	}
	t.doc = doc
	return t.noticeForeignWrites(ctx)
}

// noticeForeignWrites marks a clean target suspect when its counters moved since the last
// apply. A reboot, and a volume that is deactivated and activated again, restarts them and
// proves nothing: the read-only permission, which is kept in LVM's metadata, is what
// protects across that.
func (t *target) noticeForeignWrites(ctx context.Context) error {
	c := t.doc.Counters
	if c == nil || t.doc.Role != state.RoleSecondary || t.doc.Condition.Kind != state.KindClean {
		return nil
	}
	now, err := t.h.Counters(t.ref.Device)
	if err != nil {
		return fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	anew := now.BootID != c.BootID || now.Writes < c.Writes || now.Discards < c.Discards // the machine or the device started from zero
	if anew || (now.Writes == c.Writes && now.Discards == c.Discards) {
		return nil
	}
	reason := fmt.Sprintf("%d writes and %d discards since the last apply that were not ddsgo's", now.Writes-c.Writes, now.Discards-c.Discards)
	return t.commit(ctx, func(d *state.Document) {
		d.Condition = state.Suspect(d.Condition.At, reason)
		d.Condition.Since = t.h.Now().UTC()
	})
}

// commit changes the document durably, in file and tags.
func (t *target) commit(ctx context.Context, change func(*state.Document)) error {
	doc := t.doc
	if doc == nil {
		doc = &state.Document{Identity: t.id, Role: state.RoleSecondary, Condition: state.None()}
	}
	doc.Device, doc.Resource = t.ref.Device, t.ref.Resource
	change(doc)
	if err := t.vol.Commit(ctx, doc); err != nil {
		return fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	t.doc = doc
	return nil
}

// condition is what the target holds; none for one that never received anything.
func (t *target) condition() state.Condition {
	if t.doc == nil {
		return state.None()
	}
	return t.doc.Condition
}

// becomeClean ends an apply or a full copy: from here on the target is g. Where some of what it
// held was not ddsgo's, only what proved all of it makes it clean.
func (t *target) becomeClean(ctx context.Context, g generation.Generation, base state.Base, src state.SourceIdentity) error {
	counters := t.readCounters()
	return t.commit(ctx, func(d *state.Document) {
		d.Role = state.RoleSecondary
		if base.Kind == stream.KindFull.String() || base.From.Same(g) || base.From.Same(rejoinBase(g)) {
			d.Doubt = ""
		}
		d.Condition = state.Clean(g)
		if d.Doubt != "" {
			d.Condition = state.Suspect(g, d.Doubt)
		}
		d.Condition.Since = t.h.Now().UTC()
		t.unstamp(d, g)
		d.Generation, d.Size = g, g.Size
		d.Base, d.Source, d.Counters = &base, &src, counters
	})
}

// readCounters takes the counters after an apply; nil for what has none (files).
func (t *target) readCounters() *state.Counters {
	if t.id.Kind == state.IdentityFile {
		return nil
	}
	c, err := t.h.Counters(t.ref.Device)
	if err != nil {
		t.h.Log.Warn("no write counters: writes behind ddsgo's back will not be noticed", "device", t.ref.Device, "err", err)
		return nil
	}
	return &state.Counters{BootID: c.BootID, Writes: c.Writes, Discards: c.Discards, Taken: t.h.Now().UTC()}
}
