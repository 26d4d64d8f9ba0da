package image

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd/fakeimage"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
)

func TestLegCarriesEveryPointInTime(t *testing.T) {
	w := newWorld(t)
	_, err := w.sync()
	w.refused(err, failure.CodeNeedFull, "no first copy")
	_, err = w.full()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
	_, err = w.full()
	w.refused(err, failure.CodeRefused, "already holds")
	for n := range 6 {
		w.change()
		switch n {
		case 2:
			w.src.Resize(srcImage, 40)
			w.src.Resize(srcImage, 50)
		case 3:
			w.src.Resize(srcImage, 96)
		}
		rep, err := w.sync()
		require.NoError(t, err, n)
		require.NotNil(t, rep.Generation)
		w.equal(w.src.Content(srcImage, ""))
		require.Len(t, w.src.Snapshots(srcImage), 1, "the base and nothing else")
		require.LessOrEqual(t, len(w.dst.Snapshots(dstImage)), 3, "keep")
	}
	_, err = w.leg().Full(t.Context(), true, false)
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
}

// TestKilledAnywhereTheSameCommandFinishes cuts a first copy and syncs at every change of either
// image, before it, in its middle and after it. What readers take is always a point in time.
func TestKilledAnywhereTheSameCommandFinishes(t *testing.T) {
	for _, full := range []bool{true, false} {
		for _, end := range []string{"source", "target"} {
			for _, cut := range []fakeimage.Cut{fakeimage.Before, fakeimage.Middle, fakeimage.After} {
				t.Run(fmt.Sprintf("full=%v/%s/%d", full, end, cut), func(t *testing.T) {
					n := 1
					for ; cutOnce(t, full, end, cut, n); n++ {
						require.Less(t, n, 40)
					}
					require.Greater(t, n, 3, "it was cut at least three times")
				})
			}
		}
	}
}

// cutOnce cuts the n-th change; false: there were fewer.
func cutOnce(t *testing.T, full bool, end string, cut fakeimage.Cut, n int) bool {
	w := newWorld(t)
	run := func() error { _, err := w.full(); return err }
	before := w.src.Content(srcImage, "")
	if !full {
		require.NoError(t, run())
		for range 4 { // so that something is pruned
			w.change()
			_, err := w.sync()
			require.NoError(t, err)
		}
		before = w.src.Content(srcImage, "")
		w.change()
		run = func() error { _, err := w.sync(); return err }
	}
	at := w.src
	if end == "target" {
		at = w.dst
	}
	at.CutAt(n, cut)
	err := run()
	if !at.Revive() {
		require.NoError(t, err)
		return false
	}
	instant := w.src.Content(srcImage, "")
	if o := w.status(); o.Condition == "clean" {
		held := w.dst.Content(dstImage, lastOf(w, o))
		require.True(t, string(held) == string(before) || string(held) == string(instant), "n=%d: readers get a mixture", n)
	}
	w.change() // the application goes on
	if again := run(); again != nil {
		if code, _ := failure.CodeOf(again); full && code == failure.CodeRefused {
			_, again = w.sync() // the copy had arrived
		}
		require.NoError(t, again, "n=%d, first error %v", n, err)
	}
	if full { // a full copy that went on is of its old snapshot
		_, err := w.sync()
		require.NoError(t, err, "n=%d", n)
	}
	w.equal(w.src.Content(srcImage, ""))
	require.Len(t, w.src.Snapshots(srcImage), 1, "n=%d: leftovers %v", n, w.src.Snapshots(srcImage))
	require.LessOrEqual(t, len(w.dst.Snapshots(dstImage)), 3)
	require.Equal(t, array.Running, w.status().Replication)
	return true
}

func lastOf(w *world, o array.Observation) string {
	read, _ := o.Side(replica.SiteLocal).Native["read"].(string)
	return read[len(w.target().String())+1:]
}

func TestHeldLeg(t *testing.T) {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	run := func(v array.Verb) error {
		_, err := array.Run(t.Context(), &Driver{Leg: w.leg()}, array.Goal{Verb: v}, array.Options{Resource: "data"})
		return err
	}
	require.NoError(t, run(array.Break))
	require.NoError(t, run(array.Break), "again: nothing to do")
	require.Equal(t, array.Held, w.status().Replication)
	w.change()
	w.refused(run(array.Update), failure.CodeRefused, "held")
	require.NoError(t, run(array.Resume))
	require.NoError(t, run(array.Update))
	w.equal(w.src.Content(srcImage, ""))
	require.NoError(t, run(array.Resume), "not held: nothing to do")
}

func TestFailoverStopsReplication(t *testing.T) {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	_, err = array.Run(t.Context(), &Driver{Leg: w.leg()}, array.Goal{Verb: array.Failover, Site: replica.SiteLocal, Force: true}, array.Options{Resource: "data"})
	require.NoError(t, err)
	_, err = w.sync()
	w.refused(err, failure.CodeRefused, "primary")
	_, err = w.leg().Full(t.Context(), true, false)
	w.refused(err, failure.CodeRefused, "primary")
	_, err = w.target().Rollback(t.Context(), replica.VolumeRef{Resource: "data"}, "")
	w.refused(err, failure.CodeRefused, "primary")
	require.Equal(t, array.ReasonTwoPrimaries, w.status().Reasons[0].Code)
}

// TestRefusedBeforeTheFirstByte: whatever is wrong with the target, nothing of it is written.
func TestRefusedBeforeTheFirstByte(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*world)
		code  int
		words string
	}{
		"watcher":           {func(w *world) { w.dst.SetWatchers(dstImage, 0, "192.0.2.1:0/7") }, failure.CodeRefused, "in use"},
		"foreign lock":      {func(w *world) { w.dst.SetLock(dstImage, "mine") }, failure.CodeRefused, `lock "mine"`},
		"non-primary":       {func(w *world) { w.dst.SetMirror(dstImage, "non-primary") }, failure.CodeRefused, "non-primary"},
		"full pool":         {func(w *world) { w.dst.SetFree(100) }, failure.CodeRefused, "the pool is full"},
		"cluster down":      {func(w *world) { w.dst.SetDown(true) }, failure.CodeUnreachable, "does not answer"},
		"written":           {func(w *world) { w.dst.Write(dstImage, 3, 77) }, failure.CodeNeedFull, "suspect"},
		"resized":           {func(w *world) { w.dst.Resize(dstImage, 70) }, failure.CodeNeedFull, "suspect"},
		"base removed":      {func(w *world) { w.dst.RemoveSnapshot(dstImage, w.dst.Snapshots(dstImage)[0]) }, failure.CodeNeedFull, "suspect"},
		"image gone":        {func(w *world) { w.dst.Remove(dstImage) }, failure.CodeNeedFull, "never received"},
		"another image":     {func(w *world) { w.dst.Clone(dstImage, "p/tmp"); w.dst.Remove(dstImage); w.dst.Clone("p/tmp", dstImage) }, failure.CodeRefused, "cannot be believed"},
		"garbage":           {func(w *world) { w.dst.Meta(dstImage, CopyKey, "{") }, failure.CodeRefused, "cannot be believed"},
		"source's garbage":  {func(w *world) { w.src.Meta(srcImage, w.leg().key(), "{}") }, failure.CodeRefused, "cannot be believed"},
		"source's base":     {func(w *world) { w.src.RemoveSnapshot(srcImage, w.src.Snapshots(srcImage)[0]) }, failure.CodeNeedFull, "no snapshot of that instant"},
		"source mirrored":   {func(w *world) { w.src.SetMirror(srcImage, "non-primary") }, failure.CodeRefused, "non-primary side"},
		"source image gone": {func(w *world) { w.src.Remove(srcImage) }, failure.CodeRefused, "no such image"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.full()
			require.NoError(t, err)
			w.src.Write(srcImage, 1, 99)
			c.spoil(w)
			was, snaps := w.dst.Content(dstImage, ""), w.dst.Snapshots(dstImage)
			_, err = w.sync()
			w.refused(err, c.code, c.words)
			w.dst.SetDown(false)
			require.Equal(t, was, w.dst.Content(dstImage, ""))
			require.Equal(t, snaps, w.dst.Snapshots(dstImage))
		})
	}
}

// TestForeignTargets: a first copy goes onto an empty image, or where --overwrite says so.
func TestForeignTargets(t *testing.T) {
	w := newWorld(t)
	w.dst.Create(dstImage, 10)
	w.dst.Write(dstImage, 1, 1)
	_, err := w.full()
	w.refused(err, failure.CodeRefused, "not a copy of ddsgo's")
	w.dst.Write(dstImage, 1, 0)
	_, err = w.full()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))

	other := w.leg()
	other.Image.Name = "second"
	w.src.Create("p/second", 8)
	_, err = other.Full(t.Context(), false, false)
	w.refused(err, failure.CodeRefused, "")
	w.dst.Meta(dstImage, CopyKey, "garbage")
	_, err = other.Full(t.Context(), false, false)
	w.refused(err, failure.CodeRefused, "")
	_, err = other.Full(t.Context(), true, false)
	require.NoError(t, err)
	w.equal(w.src.Content("p/second", ""))
}

func TestDryRunTouchesNothing(t *testing.T) {
	w := newWorld(t)
	rep, err := w.leg().Full(t.Context(), false, true)
	require.NoError(t, err)
	require.NotEmpty(t, rep.Plan)
	require.Empty(t, w.src.Snapshots(srcImage))
	require.Nil(t, w.dst.Content(dstImage, ""))
	_, err = w.full()
	require.NoError(t, err)
	base := w.src.Snapshots(srcImage)
	rep, err = w.leg().Sync(t.Context(), true)
	require.NoError(t, err)
	require.Contains(t, rep.Plan[0], "take a snapshot")
	require.Equal(t, base, w.src.Snapshots(srcImage))
}

// TestTheSourceClusterIsLost is what a copy is for: no --force is needed, and nothing is called wrong.
func TestTheSourceClusterIsLost(t *testing.T) {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	want := w.src.Content(srcImage, "")
	w.src.SetDown(true)
	o := w.status()
	require.False(t, o.Side(replica.SiteSource).Reachable)
	require.Equal(t, "clean", o.Condition)
	require.Equal(t, array.Running, o.Replication)
	require.Empty(t, o.Reasons)
	run := func(v array.Verb) error {
		_, err := array.Run(t.Context(), &Driver{Leg: w.leg()}, array.Goal{Verb: v, Site: replica.SiteLocal}, array.Options{Resource: "data"})
		return err
	}
	w.refused(run(array.Update), failure.CodeUnreachable, "does not answer")
	require.NoError(t, run(array.Failover))
	require.Equal(t, want, w.dst.Content(dstImage, ""))
	require.Equal(t, array.RolePrimary, w.status().Side(replica.SiteLocal).Role)
	require.NoError(t, run(array.Failover), "again: nothing to do")

	w.src.SetDown(false)
	w.refused(run(array.Update), failure.CodeRefused, "primary")
}

// TestTheTargetClusterIsLost: nothing is changed at the source, and the next sync goes on.
func TestTheTargetClusterIsLost(t *testing.T) {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	w.dst.SetDown(true)
	o := w.status()
	require.Equal(t, array.LinkDown, o.Link)
	require.False(t, o.AllReachable())
	base := w.src.Snapshots(srcImage)
	_, err = w.sync()
	w.refused(err, failure.CodeUnreachable, "does not answer")
	require.Equal(t, base, w.src.Snapshots(srcImage))
	w.dst.SetDown(false)
	w.change()
	_, err = w.sync()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
}
