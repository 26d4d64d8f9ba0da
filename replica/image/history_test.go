package image

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/array/rbd/fakeimage"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
)

var ref = replica.VolumeRef{Resource: "data"}

// cutImport leaves HEAD a mixture: an import died in its middle.
func cutImport(t *testing.T) *world {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	w.change()
	w.dst.CutAt(2, fakeimage.Middle) // the first is the commit of `applying`
	_, err = w.sync()
	require.Error(t, err)
	require.True(t, w.dst.Revive())
	r, err := w.target().Inspect(t.Context())
	require.NoError(t, err)
	require.Equal(t, "applying", r.Condition)
	require.NotEqual(t, w.dst.Content(dstImage, delta.SnapshotName(r.Generation)), w.dst.Content(dstImage, ""), "the import did begin")
	require.Equal(t, array.ReasonApplying, w.status().Reasons[0].Code)
	return w
}

// elsewhere is a host that has never seen the journal.
func (w *world) elsewhere() { w.dir = w.t.TempDir() }

func TestCutImportIsFinishedByItsJournal(t *testing.T) {
	w := cutImport(t)
	instant := w.src.Content(srcImage, "")
	w.src.SetDown(true) // the source is not needed
	_, err := w.target().Promote(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, instant, w.dst.Content(dstImage, ""))
}

func TestCutImportIsFinishedFromAnotherHost(t *testing.T) {
	w := cutImport(t)
	w.elsewhere()
	w.change()
	_, err := w.sync()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
}

// TestCutImportWithoutItsInstant: neither journal nor snapshot are left; only a roll-back helps, and
// only when somebody asks for it.
func TestCutImportWithoutItsInstant(t *testing.T) {
	w := cutImport(t)
	w.elsewhere()
	snaps := w.src.Snapshots(srcImage)
	w.src.RemoveSnapshot(srcImage, snaps[len(snaps)-1])
	_, err := w.sync()
	w.refused(err, failure.CodeNeedFull, "no snapshot of that instant")
	_, err = w.target().Promote(t.Context(), ref)
	w.refused(err, failure.CodeRefused, "no point in time")
	_, err = w.target().Rollback(t.Context(), ref, "")
	require.NoError(t, err)
	_, err = w.sync()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
}

// TestRollback: back to an older generation the copy is held; resumed, it is the newest one again. Cut
// anywhere, the roll-back is finished by whatever runs next.
func TestRollback(t *testing.T) {
	for n := 1; ; n++ {
		for _, cut := range []fakeimage.Cut{fakeimage.Before, fakeimage.Middle, fakeimage.After} {
			w := newWorld(t)
			_, err := w.full()
			require.NoError(t, err)
			first := w.src.Content(srcImage, "")
			w.change()
			rep, err := w.sync()
			require.NoError(t, err)
			newest := w.src.Content(srcImage, "")
			require.NotEqual(t, first, newest)
			_, err = w.target().Rollback(t.Context(), ref, "9999")
			w.refused(err, failure.CodeUsage, "kept are")
			w.dst.CutAt(n, cut)
			_, err = w.target().Rollback(t.Context(), ref, "1")
			died := w.dst.Revive()
			if !died {
				require.NoError(t, err)
			}
			if died && w.status().Condition == "clean" { // before its first commit
				_, err = w.target().Rollback(t.Context(), ref, "1")
				require.NoError(t, err)
			}
			w.change()
			_, err = w.sync()
			w.refused(err, failure.CodeRefused, "held")
			require.Equal(t, first, w.dst.Content(dstImage, ""))
			require.Equal(t, array.Held, w.status().Replication)
			_, err = array.Run(t.Context(), &Driver{Leg: w.leg()}, array.Goal{Verb: array.Resume}, array.Options{Resource: "data"})
			require.NoError(t, err)
			require.Equal(t, newest, w.dst.Content(dstImage, ""))
			require.NotNil(t, rep.Generation)
			_, err = w.sync()
			require.NoError(t, err)
			w.equal(w.src.Content(srcImage, ""))
			if !died {
				require.Greater(t, n, 2)
				return
			}
		}
	}
}

// TestForeignWritesAreDroppedByARollback is the other way out of `suspect`.
func TestForeignWritesAreDroppedByARollback(t *testing.T) {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	w.dst.Write(dstImage, 5, 250)
	require.Equal(t, array.ReasonSuspect, w.status().Reasons[0].Code)
	require.Contains(t, w.status().Reasons[0].Next, "rollback")
	_, err = w.target().Rollback(t.Context(), ref, "")
	require.NoError(t, err)
	w.change()
	_, err = w.sync()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
}

// TestWatchOfADeadImportIsWaitedFor: Ceph remembers a dead client for 30 s.
func TestWatchOfADeadImportIsWaitedFor(t *testing.T) {
	w := cutImport(t)
	w.dst.SetWatchers(dstImage, 4, "192.0.2.1:0/7")
	_, err := w.sync()
	require.NoError(t, err)
	w.equal(w.src.Content(srcImage, ""))
}
