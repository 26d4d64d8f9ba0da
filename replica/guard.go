package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// Where a target's host has no room to spool a delta, its volume group may have: `protect:
// snapshot` takes a snapshot of the target, the guard, and writes while it receives. The kernel
// copies what is overwritten into the guard's exception store. Whatever goes wrong before the
// target is clean at the new generation, these chunks are written back:
//
//	commit   Document.Guard.Run                     the guard is about to be made
//	lvchange writable                               permissions change only while there is no guard: a
//	lvcreate                                        killed lvchange would leave both devices suspended
//	commit   Document.Guard.UUID
//	commit   inconsistent(N -> N+1)                 only now may a byte be written
//	write, fsync
//	commit   clean(N+1)                             from here on the guard is of no use
//	lvremove, lvchange read-only
//	commit   no guard
//
// A run that finds a guard beside `inconsistent` writes it back, fsyncs, commits clean(N) and
// removes it; beside `clean` it only removes it. Writing back is plain copying: chunks that
// have an exception get no second one, so it may be cut and begun anew any number of times.
// A guard that overflowed, or is gone, is no help: the target stays inconsistent, which the
// next delta of whole chunks repairs, as after a cut direct write.

// guardName is the name of a target's guard: of its UUID, so that it fits whatever the target's
// own name is, and survives a rename.
func guardName(lv lvm.LV) string { return "ddsgo_guard_" + lv.UUID }

// guardMargin is room for the exception tables and for deltas that are not made of chunks.
const guardMargin = 8 << 20

// guardSize is an upper bound of what the guard has to hold for a delta.
func guardSize(setBytes, volume int64) int64 {
	n := min(setBytes, volume)
	return n + n/64 + guardMargin
}

// receiveGuarded is receiveDirect under a guard.
func (t *target) receiveGuarded(ctx context.Context, req *session.Request, in receiveRequest) error {
	if t.lv == nil {
		return t.refuse(failure.CodeUnsupported, "protect: journal, or direct: true, for "+in.Resource, "protect: snapshot needs a logical volume as the target")
	}
	if c := t.condition(); c.Kind != state.KindClean {
		return t.refuse(failure.CodeRefused, "ddsgo sync "+in.Resource, "protect: snapshot keeps a point in time, the target is %v", c)
	}
	if err := t.makeGuard(ctx, in); err != nil {
		return errors.Join(err, t.settleGuard(context.WithoutCancel(ctx), nil))
	}
	err := t.receiveDirect(ctx, req, in)
	// Whatever happened: written back, or removed. After a kill the next run does this.
	if settled := t.settleGuard(context.WithoutCancel(ctx), relay(req)); settled != nil {
		if err == nil {
			t.h.Log.Warn("the guard snapshot stays until the next run", "device", t.ref.Device, "err", settled)
			return nil
		}
		return errors.Join(err, settled)
	}
	if err == nil || t.condition().Kind != state.KindClean {
		return err
	}
	return fmt.Errorf("%s: written back to %v: %w", t.ref.Device, t.condition().At, err)
}

// makeGuard takes the snapshot; its intent is durable before, its UUID after.
func (t *target) makeGuard(ctx context.Context, in receiveRequest) error {
	size := guardSize(in.Header.SetBytes, t.lv.Size)
	if free := t.lv.VGFree; free < size {
		return t.refuse(failure.CodeRefused, "vgextend "+t.lv.VG+", or direct: true for "+in.Resource, "no room for a snapshot to protect it: up to %d bytes needed, volume group %s has %d free", size, t.lv.VG, free)
	}
	if err := t.dropForgotten(ctx); err != nil {
		return err
	}
	run := newRun(t.h.Now())
	if err := t.commit(ctx, func(d *state.Document) { d.Guard = &state.Guard{Run: run} }); err != nil {
		return err
	}
	if err := t.setWritable(ctx, true); err != nil {
		return err
	}
	lv, err := t.lvm.CreateSnapshot(ctx, *t.lv, lvm.SnapshotSpec{Name: guardName(*t.lv), Size: size, ReadOnly: true, Tags: []string{lvm.TagRun + "=" + run}})
	if err != nil {
		return failure.With(failure.CodeFailure, t.ref.Device, "no snapshot to protect it", "ddsgo sync "+in.Resource+" again; if it stays: vgs "+t.lv.VG, err)
	}
	if err := t.lvm.CheckWiring(ctx, *t.lv, lv); err != nil {
		return fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	return t.commit(ctx, func(d *state.Document) { d.Guard = &state.Guard{Run: run, UUID: lv.UUID} })
}

// dropForgotten removes a guard that a state which was replaced meanwhile knew of.
func (t *target) dropForgotten(ctx context.Context) error {
	lvs, err := t.lvm.Report(ctx, t.lv.VG)
	if err != nil {
		return err
	}
	lv, ok := lvm.ByName(lvs, guardName(*t.lv))
	if !ok {
		return nil
	}
	if _, tagged := lv.TagValue(lvm.TagRun); !tagged || !lv.SnapshotOf(*t.lv) {
		return t.refuse(failure.CodeRefused, "lvrename or lvremove "+lv.FullName(), "%s exists and is not ddsgo's", lv.FullName())
	}
	return t.lvm.Remove(ctx, lv)
}

// settleGuard ends a guard: what was written under it is taken back, unless the target is
// clean; then it is removed. Where there is none it does nothing.
func (t *target) settleGuard(ctx context.Context, progress func(engine.Progress)) error {
	if t.doc == nil || t.doc.Guard == nil || t.lv == nil {
		return nil
	}
	g := *t.doc.Guard
	ours := func(v lvm.LV) bool { run, _ := v.TagValue(lvm.TagRun); return run == g.Run || v.UUID == g.UUID }
	if _, err := t.lvm.Recover(ctx, *t.lv, lvm.RecoverSpec{Names: []string{guardName(*t.lv)}, Ours: ours}); err != nil {
		return fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	lvs, err := t.lvm.Report(ctx, t.lv.VG)
	if err != nil {
		return err
	}
	lv, there := lvm.ByName(lvs, guardName(*t.lv))
	there = there && ours(lv)
	if t.condition().Kind == state.KindInconsistent {
		if err := t.writeBack(ctx, lv, there, progress); err != nil {
			return err
		}
	}
	if there {
		if err := t.lvm.Remove(ctx, lv); err != nil {
			return err
		}
	}
	if err := t.protectAgain(ctx); err != nil {
		return err
	}
	return t.commit(ctx, func(d *state.Document) { d.Guard = nil })
}

// protectAgain makes the target read-only after a guard. Where LVM says that it is, a killed
// lvchange may have left the kernel's device writable: the permission is set anew.
func (t *target) protectAgain(ctx context.Context) error {
	if !t.lv.Writable() {
		if err := t.setWritable(ctx, true); err != nil {
			return err
		}
	}
	return t.setWritable(ctx, false)
}

// writeBack puts the old content of every chunk that was written under the guard back.
func (t *target) writeBack(ctx context.Context, guard lvm.LV, there bool, progress func(engine.Progress)) error {
	c := t.condition()
	if !there || !guard.SnapshotOf(*t.lv) || guard.Invalid() || guard.Merging() {
		t.h.Log.Error("the guard snapshot is lost: the target stays inconsistent until the next sync", "device", t.ref.Device)
		return nil
	}
	table, err := t.guardTable(ctx, guard)
	if errors.Is(err, cow.ErrInvalid) {
		t.h.Log.Error("the guard snapshot overflowed: the target stays inconsistent until the next sync", "device", t.ref.Device, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	t.h.Log.Warn("writing back what a cut transfer has overwritten", "device", t.ref.Device, "bytes", table.Changed.Bytes())
	old, err := t.h.OpenDevice(guard.Path, blockdev.Options{Direct: true})
	if err != nil {
		return fmt.Errorf("%s: %w", guard, err)
	}
	err = t.write(ctx, func(dev blockdev.Device) error {
		return engine.CopyBack(ctx, dev, old, table.Changed.Seq(), table.Changed.Bytes(), progress)
	})
	if err = errors.Join(err, old.Close()); err != nil {
		return fmt.Errorf("%s: write back to %v: %w", t.ref.Device, c.At, err)
	}
	counters := t.readCounters()
	return t.commit(ctx, func(d *state.Document) {
		d.Condition = state.Clean(c.At)
		d.Condition.Since = t.h.Now().UTC()
		d.Counters = counters
	})
}

// guardTable reads the guard's exception table, which is complete: nobody writes to the target.
func (t *target) guardTable(ctx context.Context, guard lvm.LV) (*cow.Table, error) {
	st, err := t.lvm.DM().SnapshotStatus(ctx, guard.DMName)
	if err != nil {
		return nil, err
	}
	if st.Invalid() || st.Merging {
		return nil, fmt.Errorf("%s: %w: device-mapper says %q", guard, cow.ErrInvalid, st.Problem)
	}
	dev, err := t.h.OpenDevice(guard.CowPath(), blockdev.Options{Direct: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", guard.CowPath(), err)
	}
	table, err := readExceptions(ctx, dev, guard, st)
	// An open exception store makes lvremove half-remove the snapshot: close it first of all.
	return table, errors.Join(err, dev.Close())
}
