package replica

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// guarded is a copied world whose target has no room for a spool, and a leg that protects the
// target with a snapshot.
func guarded(t *testing.T) *world {
	w := copied(t)
	w.leg = func(l *Leg) { l.Guard = true }
	w.far = func(h *Host) { h.SpoolQuota = 1 }
	return w
}

// TestGuardedSync: without a byte of spool the target goes from one point in time to the next.
func TestGuardedSync(t *testing.T) {
	w := guarded(t)
	for range 3 {
		w.must(doSync)
		require.NoError(t, w.settled())
		w.change()
	}
	w.leg = nil
	_, err := w.run(w.start(nil), doSync)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeRefused, code)
	require.ErrorContains(t, err, "the quota of 1 bytes leaves 1")
	require.ErrorContains(t, err, "bytes are needed")
}

// TestGuardWritesBack: a transfer that is cut leaves the point in time that was there, at once.
func TestGuardWritesBack(t *testing.T) {
	for n := 3; n < 8; n++ {
		w := guarded(t)
		before, was := w.copyNow(), w.claimed()
		w.put(w.src, sourcePath, 0, w.noise(volumeBytes)) // more than one message
		e := w.start(&point{"source", layerMessage, n, linkCut})
		_, err := w.run(e, doSync)
		require.Error(t, err)
		require.True(t, e.fired())
		r, err := w.probe()
		require.NoError(t, err)
		require.Equal(t, string(state.KindClean), r.Condition)
		require.True(t, r.Generation.Same(was))
		require.True(t, bytes.Equal(before, w.copyNow()))
		require.Len(t, w.lvs(w.dst, "vg1"), 1, "the guard is gone")
		require.NoError(t, w.noLeftovers())
		w.initial = nil
		require.NoError(t, w.repair(doSync))
	}
}

// TestGuardThatOverflows, or was removed by somebody, is no way back: the target says so, and the
// next sync repairs it.
func TestGuardThatIsLost(t *testing.T) {
	for name, lose := range map[string]func(w *world, guard lvm.LV){
		"overflow": func(w *world, guard lvm.LV) { w.dst.Overflow(guard.Path) },
		"removed": func(w *world, guard lvm.LV) {
			require.NoError(w.t, (&lvm.LVM{Runner: w.dst}).Remove(context.Background(), guard))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := guarded(t)
			w.killGuarded()
			for _, v := range w.lvs(w.dst, "vg1") {
				if v.Snapshot() {
					lose(w, v)
				}
			}
			_, err := w.run(w.start(nil), doSync)
			require.NoError(t, err)
			require.NoError(t, w.settled())
			require.NoError(t, w.repair(doSync))
		})
	}
}

// killGuarded kills the target in the middle of a guarded write.
func (w *world) killGuarded() {
	before := w.copyNow()
	for n := range 50 {
		_, _ = w.run(w.start(&point{"target", layerDevice, n, killInside}), doSync)
		w.restart(nil, nil)
		w.remember()
		if r, err := w.probe(); err == nil && r.Condition == string(state.KindInconsistent) && !bytes.Equal(before, w.copyNow()) {
			return
		}
	}
	w.t.Fatal("no kill left a guarded target half written")
}

// TestGuardRefusals: nothing is written and nothing is left.
func TestGuardRefusals(t *testing.T) {
	t.Run("no room in the volume group", func(t *testing.T) {
		w := guarded(t)
		before := w.copyNow()
		w.dst.AddLV("vg1", "other_big", w.freeIn("vg1")-1<<20)
		_, err := w.run(w.start(nil), doSync)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeRefused, code, "%v", err)
		require.ErrorContains(t, err, "bytes needed, volume group vg1 has 1048576 free")
		require.True(t, bytes.Equal(before, w.copyNow()))
		r, err := w.probe()
		require.NoError(t, err)
		require.Equal(t, string(state.KindClean), r.Condition)
	})
	t.Run("a volume of others has the name", func(t *testing.T) {
		w := guarded(t)
		w.dst.AddLV("vg1", guardName(w.lvs(w.dst, "vg1")[0]), 1<<20)
		_, err := w.run(w.start(nil), doSync)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeRefused, code, "%v", err)
		require.ErrorContains(t, err, "is not ddsgo's")
	})
	t.Run("the target is a file", func(t *testing.T) {
		w := guarded(t)
		w.far = func(h *Host) {
			h.Identify = func(path string) (state.Identity, error) {
				return state.Identity{Kind: state.IdentityFile, ID: "f"}, nil
			}
		}
		tg := &target{h: w.start(nil).far, ref: VolumeRef{Device: targetPath, Resource: "app"}, doc: &state.Document{}}
		err := tg.receiveGuarded(context.Background(), nil, receiveRequest{})
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeUnsupported, code, "%v", err)
	})
}

func (w *world) freeIn(vg string) int64 {
	lvs, err := (&lvm.LVM{Runner: w.dst}).Report(context.Background(), vg)
	require.NoError(w.t, err)
	return lvs[0].VGFree
}
