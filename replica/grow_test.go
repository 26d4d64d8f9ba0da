package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
)

const largerBytes = volumeBytes + 1<<20

func (w *world) grow(e *ends, opt GrowOptions) (report.Grow, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	opt.Dial, opt.Events = e.dial, Events{Step: w.step}
	rep, err := e.near.Grow(ctx, w.theLeg(), opt)
	e.serving.Wait()
	return rep, err
}

// grewInactive grows the source as an administrator does while nobody uses it. The new range
// holds what was on the disk before.
func (w *world) grewInactive() {
	l, ctx := &lvm.LVM{Runner: w.src}, context.Background()
	lv := w.origin()
	require.NoError(w.t, l.SetActive(ctx, lv, false, false))
	require.NoError(w.t, l.Extend(ctx, lv, largerBytes))
	require.NoError(w.t, l.SetActive(ctx, lv, true, false))
	w.put(w.src, sourcePath, volumeBytes, w.noise(largerBytes-volumeBytes))
	require.EqualValues(w.t, volumeBytes, w.snap1().OriginSize, "the snapshot keeps its size")
}

// larger tells the world that the source has the new size now.
func (w *world) larger() {
	w.size = largerBytes
	w.foreign["tail"] = w.foreign["tail"][min(len(w.foreign["tail"]), largerBytes-volumeBytes):]
}

// shrinkTarget gives the target exactly the source's size, so that it must grow too.
func exactTarget(t *testing.T) *world {
	w := newWorld(t, t.TempDir())
	l, ctx := &lvm.LVM{Runner: w.dst}, context.Background()
	lv, err := l.Find(ctx, targetPath)
	require.NoError(t, err)
	require.NoError(t, l.Remove(ctx, lv))
	w.dst.AddLV("vg1", "copy", volumeBytes)
	w.dstID = w.identity(w.dst, targetPath)
	w.fill(w.dst, targetPath, volumeBytes)
	w.foreign["tail"] = nil
	w.must(doFull)
	w.change()
	return w
}

// TestGrowInactive: the chain goes on, the whole new range is sent, nothing is hashed. A plain
// sync does the same.
func TestGrowInactive(t *testing.T) {
	for _, plain := range []bool{false, true} {
		w := pairInSync(t)
		w.grewInactive()
		w.block(3, 2, 'x')
		if plain {
			rep, err := w.run(w.start(nil), doSync)
			require.NoError(t, err)
			require.EqualValues(t, largerBytes-volumeBytes+2*chunkBytes, rep.Transfer.ChangedBytes)
		} else {
			rep, err := w.grow(w.start(nil), GrowOptions{})
			require.NoError(t, err)
			require.Equal(t, pathDelta, rep.Path)
			require.EqualValues(t, volumeBytes, rep.FromBytes)
			require.EqualValues(t, largerBytes, rep.ToBytes)
			require.EqualValues(t, largerBytes-volumeBytes+2*chunkBytes, rep.Last.Transfer.ChangedBytes)
			require.Nil(t, rep.Last.Compared)
		}
		w.larger()
		require.NoError(t, w.settled())
		require.NoError(t, w.repair(doSync))
		rep, err := w.grow(w.start(nil), GrowOptions{})
		require.NoError(t, err)
		require.Equal(t, pathNone, rep.Path)
	}
}

// TestGrowInUse: the origin stays active; the pair is rejoined by hash.
func TestGrowInUse(t *testing.T) {
	w := exactTarget(t)
	_, err := w.grow(w.start(nil), GrowOptions{Size: largerBytes})
	var f *failure.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, failure.CodeRefused, f.Code)
	require.Contains(t, f.Next, "ddsgo grow app --extend-target")
	require.Contains(t, f.Next, fmt.Sprintf("lvextend -L %db %s", largerBytes, targetPath))
	require.EqualValues(t, volumeBytes, w.origin().Size, "refused before anything was done")

	plan, err := w.grow(w.start(nil), GrowOptions{Size: largerBytes, ExtendTarget: true, SyncOptions: SyncOptions{DryRun: true}})
	require.NoError(t, err)
	text := strings.Join(plan.Plan, "\n")
	for _, words := range []string{"lvextend local:/dev/vg1/copy from 2097152 to 3145728", "sync, so that", "remove the snapshots", "lvextend /dev/vg0/data", "by digests", "each end reads 3.0 MiB", "at least"} {
		require.Contains(t, text, words)
	}
	require.EqualValues(t, volumeBytes, w.origin().Size)

	rep, err := w.grow(w.start(nil), GrowOptions{Size: largerBytes, ExtendTarget: true})
	require.NoError(t, err)
	require.Equal(t, pathHash, rep.Path)
	require.NotNil(t, rep.Last.Compared)
	require.EqualValues(t, largerBytes, rep.Last.Compared.ComparedBytes)
	w.larger()
	require.NoError(t, w.settled())
	require.NoError(t, w.repair(doSync))
}

// TestGrowKilled kills a grow at every point of every command, on both ends and on both paths:
// the same command finishes it.
func TestGrowKilled(t *testing.T) {
	every := 9
	if *crashAll {
		every = 1
	}
	for _, inUse := range []bool{false, true} {
		for _, end := range []string{"source", "target"} {
			t.Run(fmt.Sprintf("in use %v, %s killed", inUse, end), func(t *testing.T) {
				points := 0
				for n := 1; ; n += every {
					if !growKilledAt(t, inUse, end, n) {
						break
					}
					points++
				}
				require.Greater(t, points, 4)
				t.Logf("%d points", points)
			})
		}
	}
}

func growKilledAt(t *testing.T, inUse bool, end string, n int) (fired bool) {
	w := exactTarget(t)
	opt := GrowOptions{ExtendTarget: true, Size: largerBytes}
	if !inUse {
		w.grewInactive()
		opt.Size = 0
	}
	e := w.start(&point{end, layerCommand, n - 1, killBefore})
	_, err := w.grow(e, opt)
	fired = e.fired()
	if !fired {
		require.NoError(t, err)
		w.restart(nil, nil)
		w.larger()
		require.NoError(t, w.settled())
		return false
	}
	w.restart(nil, nil)
	w.remember()
	_, err = w.grow(w.start(nil), opt)
	require.NoError(t, err, "after a kill at point %d", n)
	w.larger()
	require.NoError(t, w.settled(), "after a kill at point %d", n)
	w.change()
	w.must(doSync)
	require.NoError(t, w.settled(), "after a kill at point %d", n)
	return true
}

// TestGrowRefuses before anything is done.
func TestGrowRefuses(t *testing.T) {
	cases := map[string]struct {
		prepare func(w *world)
		opt     GrowOptions
		code    int
		words   string
	}{
		"smaller":              {func(*world) {}, GrowOptions{Size: 1 << 20}, failure.CodeRefused, "not made smaller"},
		"no room":              {func(w *world) { w.eatSpace(2 << 20) }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeRefused, "no room"},
		"no room at the far":   {func(w *world) { w.eatTarget() }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeRefused, "no room to enlarge"},
		"chain broken":         {func(w *world) { w.src.Overflow(w.snap1().Path) }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeNeedFull, "overflowed"},
		"target promoted":      {func(w *world) { w.promote() }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeRefused, "primary"},
		"somebody's snapshot":  {func(w *world) { w.foreignSnapshot() }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeRefused, "not ddsgo's"},
		"key without the verb": {func(w *world) { w.far = func(h *Host) { h.Allow = &Allow{Devices: []string{targetPath}} } }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeRefused, "this key may not extend"},
		"another volume there": {func(w *world) { w.otherSource() }, GrowOptions{Size: largerBytes, ExtendTarget: true}, failure.CodeRefused, "another volume"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := exactTarget(t)
			c.prepare(w)
			_, err := w.grow(w.start(nil), c.opt)
			code, _ := failure.CodeOf(err)
			require.Equal(t, c.code, code, "%v", err)
			require.ErrorContains(t, err, c.words)
			var f *failure.Error
			require.ErrorAs(t, err, &f)
			require.NotEmpty(t, f.Next)
			require.EqualValues(t, volumeBytes, w.origin().Size)
		})
	}
}

func (w *world) eatTarget() {
	lvs, err := (&lvm.LVM{Runner: w.dst}).Report(context.Background(), "vg1")
	require.NoError(w.t, err)
	w.dst.AddLV("vg1", "other-large", lvs[0].VGFree)
}

func (w *world) foreignSnapshot() {
	_, err := (&lvm.LVM{Runner: w.src}).CreateSnapshot(context.Background(), w.origin(), lvm.SnapshotSpec{Name: "other-backup", Size: 1 << 20})
	require.NoError(w.t, err)
}

func TestNextGrowth(t *testing.T) {
	broken := errors.New("reconcile's words")
	base := growthFacts{resource: "r", size: 10, want: 10, base: 10, target: 10, free: 100, stores: 10}
	with := func(change func(*growthFacts)) growthFacts { f := base; change(&f); return f }
	cases := []struct {
		name string
		f    growthFacts
		step growthStep
		err  string
	}{
		{"nothing to do", base, growDone, ""},
		{"grown inactive", with(func(f *growthFacts) { f.base = 8 }), growSync, ""},
		{"grown inactive, target too small", with(func(f *growthFacts) { f.base, f.target = 8, 8 }), growDone, "too small"},
		{"target may be extended", with(func(f *growthFacts) { f.base, f.target, f.extendTarget = 8, 8, true }), growTarget, ""},
		{"to grow in use", with(func(f *growthFacts) { f.want, f.target = 20, 20 }), growSync, ""},
		{"synced", with(func(f *growthFacts) { f.want, f.target, f.synced = 20, 20, true }), growSource, ""},
		{"killed before lvextend", with(func(f *growthFacts) { f.want, f.target, f.noChain, f.cut = 20, 20, broken, true }), growSource, ""},
		{"killed after lvextend", with(func(f *growthFacts) { f.noChain, f.cut = broken, true }), growRejoin, ""},
		{"chain broken otherwise", with(func(f *growthFacts) { f.noChain = broken }), growDone, "reconcile's words"},
		{"smaller", with(func(f *growthFacts) { f.want = 9 }), growDone, "not made smaller"},
		{"no room", with(func(f *growthFacts) { f.want, f.target, f.free = 20, 20, 19 }), growDone, "no room"},
		{"just room", with(func(f *growthFacts) { f.want, f.target, f.free = 20, 20, 20 }), growSync, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			step, err := nextGrowth(c.f)
			require.Equal(t, c.step, step)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}
