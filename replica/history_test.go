package replica

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream/session"
)

// undos asks the target for its history.
func (w *world) undos() (list []Undo) {
	ref := VolumeRef{Device: targetPath, Resource: "app", Source: w.srcID.String()}
	require.NoError(w.t, w.connected(func(c *session.Conn) error { return c.Call(context.Background(), opHistory, ref, &list, nil) }))
	return list
}

// goBack writes the undo deltas to a copy of the target, one after the other, and checks each
// point in time that it comes to.
func (w *world) goBack() error {
	dev := mem.NewFrom("copy", w.copyNow())
	for _, u := range w.undos() {
		f, err := w.spool.Open("/spool/" + w.dstID.String() + "/history/" + undoName(u.From) + ".delta")
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		if _, err := engine.Apply(context.Background(), dev, bytes.NewReader(b), engine.MergeOptions{}); err != nil {
			return err
		}
		if want := w.snapshots[u.To.UUID]; want == nil || !bytes.Equal(want, dev.Content()) {
			return fmt.Errorf("the undo delta to %v does not lead there", u.To)
		}
	}
	return nil
}

// TestHistory: as many undo deltas as asked for, each leading back by one sync; a full copy or a
// direct write ends them, and turning it off removes them.
func TestHistory(t *testing.T) {
	w := pairInSync(t)
	w.leg = func(l *Leg) { l.History = 3 }
	for n := range 5 {
		w.change()
		w.must(doSync)
		require.Len(t, w.undos(), min(n+1, 3))
		require.NoError(t, w.goBack())
	}
	w.leg = func(l *Leg) { l.History, l.ChunkSize = 3, largeChunk }
	w.must(doSync)
	w.sprinkle(30)
	w.must(doSync) // a sub-chunk delta
	require.NoError(t, w.goBack())
	require.Len(t, w.undos(), 3)
	w.leg = func(l *Leg) { l.Direct = true }
	w.change()
	w.must(doSync)
	require.Empty(t, w.undos())
	require.NoError(t, w.settled())
}

// TestHistoryAfterCrashes: an undo delta is made before the first byte and never again, wherever a
// run was killed. One point in 13, or all with -crash.all.
func TestHistoryAfterCrashes(t *testing.T) {
	step := 13
	if *crashAll {
		step = 1
	}
	for _, l := range []layer{layerDevice, layerJournal} {
		for _, f := range []fate{killInside, powerCut, failOnce} {
			for n := int(*crashSeed) % step; ; n += step {
				p := point{"target", l, n, f}
				w := pairInSync(t)
				w.leg = func(l *Leg) { l.History = 4 }
				w.change()
				w.must(doSync)
				w.change()
				e := w.start(&p)
				_, _ = w.run(e, doSync)
				if !e.fired() {
					break
				}
				w.restart(&p, w.rng)
				w.remember()
				_, err := w.run(w.start(nil), doSync)
				require.NoError(t, err, "%v", p)
				w.remember()
				require.NoError(t, w.settled(), "%v", p)
				require.NoError(t, w.goBack(), "%v", p)
				require.GreaterOrEqual(t, len(w.undos()), 2, "%v", p)
			}
		}
	}
}

// TestHistoryWithoutRoom: a target that cannot keep what it was asked to keep is not written.
func TestHistoryWithoutRoom(t *testing.T) {
	w := pairInSync(t)
	w.change()
	before := w.copyNow()
	w.leg = func(l *Leg) { l.History = 1 }
	w.far = func(h *Host) { h.SpoolQuota = 1200 << 10 } // one delta, not two
	_, err := w.run(w.start(nil), doSync)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeRefused, code, "%v", err)
	require.ErrorContains(t, err, "bytes are needed")
	require.True(t, bytes.Equal(before, w.copyNow()))
	w.far = nil
	w.must(doSync)
	require.NoError(t, w.settled())
	require.Len(t, w.undos(), 1)
}
