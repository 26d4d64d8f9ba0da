package replica

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// resync and verify run the two verbs in fresh processes.
func (w *world) resync(opt ResyncOptions) (rep report.Sync, err error) {
	e := w.start(nil)
	opt.Dial = e.dial
	rep, err = e.near.Resync(context.Background(), w.theLeg(), opt)
	e.serving.Wait()
	return rep, err
}

func (w *world) verify(opt VerifyOptions) (rep report.Verify, err error) {
	e := w.start(nil)
	opt.Dial = e.dial
	rep, err = e.near.Verify(context.Background(), w.theLeg(), opt)
	e.serving.Wait()
	return rep, err
}

// pairInSync is a world after a full copy and a sync.
func pairInSync(t *testing.T) *world {
	w := newWorld(t, t.TempDir())
	w.must(doFull)
	w.change()
	w.must(doSync)
	require.NoError(t, w.settled())
	return w
}

// snap1 is the tracking snapshot.
func (w *world) snap1() lvm.LV {
	for _, v := range w.lvs(w.src, "vg0") {
		if v.Snapshot() {
			return v
		}
	}
	w.t.Fatal("no snapshot")
	return lvm.LV{}
}

// flip changes one bit of the target, without anybody noticing.
func (w *world) flip(off int64) {
	b := w.content(w.dst, targetPath)[off : off+1]
	w.allowWrites(true)
	w.put(w.dst, targetPath, off, []byte{b[0] ^ 4})
	w.allowWrites(false)
}

// scribble writes to the target as an administrator might.
func (w *world) scribble() {
	w.allowWrites(true)
	w.put(w.dst, targetPath, 12345, []byte("this is not what was here"))
	w.written.Add(1)
	w.allowWrites(false)
}

func (w *world) allowWrites(on bool) {
	l := &lvm.LVM{Runner: w.dst}
	lv, err := l.Find(context.Background(), targetPath)
	require.NoError(w.t, err)
	p := lvm.ReadOnly
	if on {
		p = lvm.Writable
	}
	require.NoError(w.t, l.SetPermission(context.Background(), lv, p))
}

// spoil overwrites the state file of a volume.
func (m *memFiles) spoil() {
	for p, f := range m.live {
		if strings.HasSuffix(p, "state.json") {
			f.data = bytes.Replace(f.data, []byte("role"), []byte("r0le"), 1)
		}
	}
}

// differing is how many bytes of 4 KiB blocks differ between the source and the target now.
func (w *world) differing() (n int64) {
	a, b := w.content(w.src, sourcePath), w.copyNow()
	for off := 0; off < volumeBytes; off += hashBlock {
		if !bytes.Equal(a[off:off+hashBlock], b[off:off+hashBlock]) {
			n += hashBlock
		}
	}
	return n
}

func (w *world) removeSnapshot() {
	require.NoError(w.t, (&lvm.LVM{Runner: w.src}).Remove(context.Background(), w.snap1()))
}

// damages are ways to break a chain. code is what a sync says; 0: it notices nothing.
func damages() map[string]struct {
	code   int
	damage func(*world)
} {
	type d = struct {
		code   int
		damage func(*world)
	}
	return map[string]d{
		"tracking snapshot overflowed": {failure.CodeNeedFull, func(w *world) { w.src.Overflow(w.snap1().Path) }},
		"tracking snapshot removed":    {failure.CodeNeedFull, func(w *world) { w.removeSnapshot() }},
		"source's state directory lost": {failure.CodeRefused, func(w *world) {
			w.srcFiles = newMemFiles()
		}},
		"source's state damaged": {failure.CodeRefused, func(w *world) { w.srcFiles.spoil() }},
		"target's state directory lost": {failure.CodeRefused, func(w *world) {
			w.dstFiles = newMemFiles()
		}},
		"target's state damaged":     {failure.CodeRefused, func(w *world) { w.dstFiles.spoil() }},
		"target written by somebody": {failure.CodeNeedFull, func(w *world) { w.scribble() }},
		"target found wrong by verify": {failure.CodeNeedFull, func(w *world) {
			w.flip(777_777)
			_, err := w.verify(VerifyOptions{})
			require.Error(w.t, err)
		}},
		"target rolled back with its state, changed sets lost": {failure.CodeNeedFull, func(w *world) {
			old, files := w.content(w.dst, targetPath), w.dstFiles.copy()
			tags := w.lvs(w.dst, "vg1")[0].Tags
			w.must(doSync)
			w.allowWrites(true)
			w.put(w.dst, targetPath, 0, old)
			w.allowWrites(false)
			w.written.Store(0)
			w.boot++
			w.dstFiles = files
			w.retag(w.dst, targetPath, tags)
			sets, err := filepath.Glob(filepath.Join(w.dir, "src", "volumes", "*", "sets", "*"))
			require.NoError(w.t, err)
			require.NotEmpty(w.t, sets)
			for _, f := range sets {
				require.NoError(w.t, os.Remove(f))
			}
		}},
		"target's tags changed by hand": {failure.CodeRefused, func(w *world) {
			w.retag(w.dst, targetPath, []string{"ddsgo.role=secondary", "ddsgo.fence=0", "ddsgo.cond=clean", "ddsgo.gen=nonsense:9"})
		}},
		"source's tags lost": {failure.CodeRefused, func(w *world) { w.retag(w.src, sourcePath, nil) }},
		"target replaced by an empty volume": {failure.CodeNeedFull, func(w *world) {
			w.retag(w.dst, targetPath, nil)
			w.dstFiles = newMemFiles()
			w.allowWrites(true)
			w.put(w.dst, targetPath, 0, make([]byte, volumeBytes))
			w.allowWrites(false)
		}},
		"full copy over it was cut": {failure.CodeNeedFull, func(w *world) { w.cutFull() }},
	}
}

// cutFull is a full copy over a good one that was cut in its middle.
func (w *world) cutFull() {
	for n := 0; ; n++ {
		_, err := w.run(w.start(&point{"source", layerMessage, n, linkCut}), doOverwrite)
		require.Error(w.t, err, "the copy came to its end before it was cut")
		if r, err := w.probe(); err == nil && r.Condition == string(state.KindInconsistent) {
			return
		}
	}
}

func (m *memFiles) copy() *memFiles {
	n := newMemFiles()
	for p, f := range m.live {
		c := &memFile{bytes.Clone(f.data), bytes.Clone(f.data)}
		n.live[p], n.durable[p] = c, c
	}
	return n
}

// retag replaces all tags of a volume.
func (w *world) retag(m run.Runner, path string, tags []string) {
	l := &lvm.LVM{Runner: m}
	lv, err := l.Find(context.Background(), path)
	require.NoError(w.t, err)
	require.NoError(w.t, l.SetTags(context.Background(), lv, tags, lv.Tags))
}

// TestResyncRejoins: whatever broke the chain, one resync mends it, sends little more than what
// differs, and the next sync is an incremental one again.
func TestResyncRejoins(t *testing.T) {
	var rows damageRows
	defer func() { rows.write(t) }()
	for name, d := range damages() {
		t.Run(name, func(t *testing.T) {
			w := pairInSync(t)
			d.damage(w)
			w.put(w.src, sourcePath, 100*chunkBytes, bytes.Repeat([]byte("application"), 1000))
			_, err := w.run(w.start(nil), doSync)
			require.Error(t, err, "a sync must not believe this pair")
			code, _ := failure.CodeOf(err)
			require.Equal(t, d.code, code, "%v", err)
			var f *failure.Error
			require.ErrorAs(t, err, &f)
			differ, before := w.differing(), w.sent.Load()
			rep, err := w.resync(ResyncOptions{})
			require.NoError(t, err)
			require.NoError(t, w.settled())
			require.Equal(t, differ, rep.Compared.DifferingBytes)
			require.LessOrEqual(t, w.sent.Load()-before, differ*11/10+rep.Compared.DigestBytes+16<<10, "bytes on the wire")
			w.remember()
			w.change()
			next := w.must(doSync)
			require.NoError(t, w.settled())
			require.Less(t, next.Transfer.ChangedBytes, int64(volumeBytes), "an incremental sync")
			rows.add(name, code, rep)
		})
	}
}

// TestResyncRefuses: nothing is written where the copy is somebody's.
func TestResyncRefuses(t *testing.T) {
	cases := map[string]struct {
		prepare func(w *world)
		words   string
	}{
		"promoted": {func(w *world) { w.promote() }, "primary"},
		"held":     {func(w *world) { w.hold() }, "held"},
		"mounted": {func(w *world) {
			w.held = []blockdev.Holder{{Kind: blockdev.HeldByMount, Detail: "/mnt"}}
		}, "in use"},
		"another volume's copy": {func(w *world) { w.otherSource() }, "another volume"},
		"foreign snapshot under our name": {func(w *world) {
			w.removeSnapshot()
			_, err := (&lvm.LVM{Runner: w.src}).CreateSnapshot(context.Background(), w.origin(), lvm.SnapshotSpec{Name: "data_osvc_snap1", Size: 1 << 20})
			require.NoError(w.t, err)
		}, "not ddsgo's"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := pairInSync(t)
			c.prepare(w)
			w.change()
			before := w.content(w.dst, targetPath)
			_, err := w.resync(ResyncOptions{})
			var f *failure.Error
			require.ErrorAs(t, err, &f)
			require.Equal(t, failure.CodeRefused, f.Code)
			require.ErrorContains(t, err, c.words)
			require.NotEmpty(t, f.Next)
			require.Equal(t, before, w.content(w.dst, targetPath))
		})
	}
}

func (w *world) origin() lvm.LV {
	lv, err := (&lvm.LVM{Runner: w.src}).Find(context.Background(), sourcePath)
	require.NoError(w.t, err)
	return lv
}

// atTarget opens the target on its own host.
func (w *world) atTarget(do func(*target) error) {
	e := w.start(nil)
	t, err := e.far.openTarget(context.Background(), VolumeRef{Device: targetPath, Resource: "app", Source: w.srcID.String()}, "test")
	require.NoError(w.t, err)
	require.NoError(w.t, do(t))
	require.NoError(w.t, t.release())
}

func (w *world) promote() {
	w.atTarget(func(t *target) error { _, err := t.promote(context.Background()); return err })
}

func (w *world) hold() {
	w.atTarget(func(t *target) error {
		return t.commit(context.Background(), func(d *state.Document) { d.Condition = state.Held(d.Condition.At, "rolled back") })
	})
}

func (w *world) otherSource() {
	w.atTarget(func(t *target) error {
		return t.commit(context.Background(), func(d *state.Document) {
			d.Source = &state.SourceIdentity{ID: "lv-other", Host: "elsewhere", Name: "/dev/x"}
		})
	})
}

// TestResyncOverwrites takes over the copy of another volume when the user says so.
func TestResyncOverwrites(t *testing.T) {
	w := pairInSync(t)
	w.otherSource()
	w.change()
	_, err := w.resync(ResyncOptions{SyncOptions: SyncOptions{Overwrite: true}})
	require.NoError(t, err)
	require.NoError(t, w.settled())
}

// TestResyncCut: a resync that is cut at any message leaves the copy as it was, or done, and
// the next resync finishes it.
func TestResyncCut(t *testing.T) {
	for n := 0; ; n += 3 {
		w := pairInSync(t)
		w.src.Overflow(w.snap1().Path)
		w.change()
		before := w.copyNow()
		e := w.start(&point{"source", layerMessage, n, linkCut})
		_, err := e.near.Resync(t.Context(), w.theLeg(), ResyncOptions{SyncOptions: SyncOptions{Dial: e.dial}})
		e.serving.Wait()
		if !e.fired() {
			require.NoError(t, err)
			require.Greater(t, n, 10)
			return
		}
		w.remember()
		r, err := w.probe()
		require.NoError(t, err)
		if r.Condition == string(state.KindClean) && bytes.Equal(w.copyNow(), before) {
			require.NotNil(t, w.snapshots)
		}
		_, err = w.resync(ResyncOptions{})
		require.NoError(t, err, "cut at message %d", n)
		require.NoError(t, w.settled(), "cut at message %d", n)
	}
}

// TestResyncDryRun changes nothing at all.
func TestResyncDryRun(t *testing.T) {
	w := pairInSync(t)
	w.removeSnapshot()
	before := len(w.src.Commands())
	rep, err := w.resync(ResyncOptions{SyncOptions: SyncOptions{DryRun: true}})
	require.NoError(t, err)
	require.Contains(t, strings.Join(rep.Plan, "\n"), "by digests")
	for _, c := range w.src.Commands()[before:] {
		require.False(t, strings.Contains(c, "lvcreate") || strings.Contains(c, "lvremove") || strings.Contains(c, "lvchange"), c)
	}
}

// TestSetsArePruned: hash exchanges leave no files behind for ever.
func TestSetsArePruned(t *testing.T) {
	w := pairInSync(t)
	for range 3 {
		w.change()
		_, err := w.resync(ResyncOptions{})
		require.NoError(t, err)
	}
	left, err := filepath.Glob(filepath.Join(w.dir, "src", "volumes", "*", "sets", ".*"))
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = os.Stat(w.dir)
	require.NoError(t, err)
}

// TestResyncAdopts: a pair that OpenSVC kept, whose two ends name different snapshots, so that
// a sync cannot adopt it.
func TestResyncAdopts(t *testing.T) {
	w := newWorld(t, t.TempDir())
	osvc := filepath.Join(w.dir, "osvc.state")
	w.leg = func(l *Leg) { l.OpenSVCState = osvc }
	_, err := (&lvm.LVM{Runner: w.src}).CreateSnapshot(context.Background(), w.origin(), lvm.SnapshotSpec{Name: "data_osvc_snap1", Size: 1 << 20})
	require.NoError(t, err)
	w.put(w.dst, targetPath, 0, w.content(w.src, sourcePath))
	w.change()
	require.NoError(t, state.WriteOpenSVC(osvc, state.OpenSVC{Time: time.Unix(1_700_000_000, 0), UUID: "another-snapshot"}))
	_, err = w.run(w.start(nil), doSync)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeNeedFull, code, "%v", err)
	differ := w.differing()
	rep, err := w.resync(ResyncOptions{})
	require.NoError(t, err)
	require.Equal(t, differ, rep.Compared.DifferingBytes)
	require.NoError(t, w.settled())
	now, err := state.ReadOpenSVC(osvc)
	require.NoError(t, err)
	require.Equal(t, w.snap1().UUID, now.UUID, "the agent's file names the new snapshot")
}
