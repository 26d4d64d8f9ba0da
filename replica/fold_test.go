package replica

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/state"
)

func (w *world) fold() (report.Fold, error) {
	return w.start(nil).near.Fold(context.Background(), w.theLeg(), SyncOptions{})
}

// block writes n chunks at a chunk number.
func (w *world) block(at, n int, b byte) {
	w.put(w.src, sourcePath, int64(at)*chunkBytes, bytes.Repeat([]byte{b}, n*chunkBytes))
}

// TestFoldOutlivesAnOutage: without its target, a chain goes on through many times what its
// snapshot holds, in a bounded number of files, and one sync sends each chunk once.
func TestFoldOutlivesAnOutage(t *testing.T) {
	const perFold = 40 // chunks
	w := pairInSync(t)
	w.leg = func(l *Leg) { l.SnapSize = func(int64) int64 { return 1 << 20 } }
	for i := range 2*state.KeepSets + 5 {
		w.block(i*7%400, perFold, byte(i))
		rep, err := w.fold()
		require.NoError(t, err, "fold %d", i)
		require.LessOrEqual(t, rep.Sets, state.KeepSets)
		require.Len(t, w.lvs(w.src, "vg0"), 2, "source and one snapshot")
	}
	sets, err := filepath.Glob(filepath.Join(w.dir, "src", "volumes", "*", "sets", "*.set"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(sets), 2*state.KeepSets+1)
	want := w.differing()
	rep, err := w.run(w.start(nil), doSync)
	require.NoError(t, err)
	require.NoError(t, w.settled())
	require.GreaterOrEqual(t, rep.Transfer.ChangedBytes, want)
	require.Less(t, rep.Transfer.ChangedBytes, int64((2*state.KeepSets+5)*perFold*chunkBytes), "chunks that were written again count once")
	s, err := w.start(nil).near.lookAtSource(context.Background(), w.theLeg())
	require.NoError(t, err)
	require.Empty(t, s.cursor().ChangedSets)
	require.NoError(t, w.repair(doSync))
}

// TestFoldTakesInterruptedSyncs: whatever a sync left, a fold takes it into the chain, and the
// next sync is right for the target wherever that stands.
func TestFoldTakesInterruptedSyncs(t *testing.T) {
	cases := map[string]struct {
		direct  bool
		prepare func(w *world)
	}{
		"cut while sending":         {false, func(w *world) { w.interrupted(doSync, 5) }},
		"cut while writing direct":  {true, func(w *world) { w.interrupted(doSync, 6) }},
		"answer lost":               {false, func(w *world) { w.lostAnswer() }},
		"journal half applied":      {false, func(w *world) { w.halfApplied() }},
		"killed in lvcreate":        {false, func(w *world) { w.suspended() }},
		"killed before the rename":  {false, func(w *world) { w.killedAt("rotate") }},
		"a fold that was killed":    {false, func(w *world) { w.killedFold(3) }},
		"a fold killed at its end":  {false, func(w *world) { w.killedFold(-1) }},
		"a snapshot that was taken": {false, func(w *world) { w.killedAt("read what") }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			w.must(doFull)
			w.leg = func(l *Leg) { l.Direct = c.direct }
			w.change()
			c.prepare(w)
			wait := w.writer() // the source may be suspended
			_, err := w.fold()
			require.NoError(t, err)
			require.NoError(t, wait())
			w.remember()
			require.Len(t, w.lvs(w.src, "vg0"), 2)
			w.change()
			_, err = w.run(w.start(nil), doSync)
			require.NoError(t, err)
			require.NoError(t, w.settled())
			require.NoError(t, w.repair(doSync))
		})
	}
}

// TestFoldKeepsThePutBackChain: sets of folds and of syncs make one chain.
func TestFoldKeepsThePutBackChain(t *testing.T) {
	w := pairInSync(t)
	back := w.keepTarget()
	w.block(10, 2, 1)
	w.must(doSync)
	for i := range 3 {
		w.block(100+10*i, 2, 2)
		_, err := w.fold()
		require.NoError(t, err)
	}
	w.restoreTarget(back)
	w.block(300, 2, 3)
	rep, err := w.run(w.start(nil), doSync)
	require.NoError(t, err)
	require.EqualValues(t, 5*2*chunkBytes, rep.Transfer.ChangedBytes)
	require.NoError(t, w.settled())
	require.NoError(t, w.repair(doSync))
}

// TestFoldRefuses: where there is no chain, or no truth about it, nothing is touched.
func TestFoldRefuses(t *testing.T) {
	cases := map[string]struct {
		prepare func(w *world)
		code    int
		words   string
	}{
		"nothing replicated":       {func(*world) {}, failure.CodeNeedFull, "no state"},
		"first copy not finished":  {func(w *world) { w.interrupted(doFull, 6) }, failure.CodeRefused, "full copy is not finished"},
		"tracker overflowed":       {func(w *world) { w.must(doFull); w.src.Overflow(w.snap1().Path) }, failure.CodeNeedFull, "overflowed"},
		"tracker removed":          {func(w *world) { w.must(doFull); w.removeSnapshot() }, failure.CodeNeedFull, "gone"},
		"tags removed":             {func(w *world) { w.must(doFull); w.retag(w.src, sourcePath, nil) }, failure.CodeRefused, "disagree"},
		"no room for the snapshot": {func(w *world) { w.must(doFull); w.src.AddLV("vg0", "other-large", 66<<20) }, failure.CodeRefused, "bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			c.prepare(w)
			before := fmt.Sprint(w.lvs(w.src, "vg0"))
			_, err := w.fold()
			code, _ := failure.CodeOf(err)
			require.Equal(t, c.code, code, "%v", err)
			require.ErrorContains(t, err, c.words)
			var f *failure.Error
			require.ErrorAs(t, err, &f)
			require.NotEmpty(t, f.Next)
			require.Equal(t, before, fmt.Sprint(w.lvs(w.src, "vg0")))
		})
	}
}

// A held leg is folded: its snapshot fills like any other.
func TestFoldOfAHeldLeg(t *testing.T) {
	w := pairInSync(t)
	e := w.start(nil)
	require.NoError(t, e.near.setHeld(context.Background(), w.theLeg(), SyncOptions{Dial: e.dial}, true))
	w.change()
	_, err := w.fold()
	require.NoError(t, err)
	e = w.start(nil)
	require.NoError(t, e.near.setHeld(context.Background(), w.theLeg(), SyncOptions{Dial: e.dial}, false))
	e.serving.Wait()
	w.must(doSync)
	require.NoError(t, w.settled())
}

func TestFoldDryRun(t *testing.T) {
	w := pairInSync(t)
	before := w.lvs(w.src, "vg0")
	rep, err := w.start(nil).near.Fold(context.Background(), w.theLeg(), SyncOptions{DryRun: true})
	require.NoError(t, err)
	require.Len(t, rep.Plan, 3)
	require.Equal(t, before, w.lvs(w.src, "vg0"))
}

// killedAt is a sync whose source is killed inside the first command of a step.
func (w *world) killedAt(step string) {
	defer func() { w.step = nil }()
	w.step = func(text string) {
		if len(text) >= len(step) && text[:len(step)] == step {
			w.src.CrashAt(3)
		}
	}
	_, err := w.run(w.start(nil), doSync)
	require.Error(w.t, err)
	require.True(w.t, w.src.Crashed())
	w.restart(nil, nil)
	w.remember()
}

// killedFold is a fold that was killed at the n-th point of its commands; -1: at the last.
func (w *world) killedFold(n int) {
	if n < 0 {
		probe := newWorld(w.t, w.t.TempDir())
		probe.must(doFull)
		probe.change()
		e := probe.start(nil)
		_, err := probe.run(e, doFold)
		require.NoError(w.t, err)
		n = probe.src.Points() - 2
	}
	e := w.start(nil)
	w.src.CrashAt(n)
	_, err := w.run(e, doFold)
	require.Error(w.t, err)
	require.True(w.t, w.src.Crashed())
	w.restart(nil, nil)
	w.remember()
}
