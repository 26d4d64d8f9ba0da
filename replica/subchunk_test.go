package replica

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

const largeChunk = 64 << 10

// sprinkle writes n blocks of 4 KiB here and there; some hold what was there before.
func (w *world) sprinkle(n int) {
	now := w.content(w.src, sourcePath)
	for range n {
		off := int64(w.rng.IntN(w.size/chunkBytes)) * chunkBytes
		b := w.noise(chunkBytes)
		switch w.rng.IntN(6) {
		case 0:
			b = now[off : off+chunkBytes]
		case 1:
			b = make([]byte, chunkBytes)
		}
		w.put(w.src, sourcePath, off, b)
	}
}

// chunked is a pair in sync whose snapshots have chunks of 64 KiB.
func chunked(t *testing.T, size int, leg func(*Leg)) *world {
	t.Helper()
	w := newWorldOf(t, t.TempDir(), size)
	w.leg = func(l *Leg) {
		l.ChunkSize = largeChunk
		if leg != nil {
			leg(l)
		}
	}
	w.must(doFull)
	return w
}

// TestSubChunkWireBytes: all that goes from source to target for scattered writes of 4 KiB is,
// with chunks of 64 KiB, little more than with chunks of 4 KiB.
func TestSubChunkWireBytes(t *testing.T) {
	const size, writes = 32 << 20, 200
	sent := func(leg func(*Leg)) int64 {
		w := chunked(t, size, leg)
		before := w.sent.Load()
		w.sprinkle(writes)
		w.must(doSync)
		require.NoError(t, w.settled())
		return w.sent.Load() - before
	}
	small := sent(func(l *Leg) { l.ChunkSize = 4 << 10 })
	whole := sent(func(l *Leg) { l.SubChunk = SubChunkNever })
	sub := sent(nil)
	always := sent(func(l *Leg) { l.ChunkSize, l.SubChunk = 4<<10, SubChunkAlways })
	t.Logf("bytes from source to target: chunks of 4 KiB %d, of 64 KiB %d, of 64 KiB with sub-chunk deltas %d; 4 KiB with sub_chunk: always %d", small, whole, sub, always)
	require.LessOrEqual(t, float64(sub), 1.2*float64(small))
	require.Greater(t, whole, 5*small)
	require.LessOrEqual(t, always, small)
}

// TestSubChunkSameTarget: on or off, cut or not, the target ends the same.
func TestSubChunkSameTarget(t *testing.T) {
	run := func(mode SubChunk, cut int) []byte {
		w := chunked(t, 4<<20, func(l *Leg) { l.SubChunk = mode })
		for range 3 {
			w.sprinkle(60)
			w.change()
			for n := range cut {
				_, err := w.run(w.start(&point{"source", layerMessage, 2 + n, linkCut}), doSync)
				require.Error(t, err)
			}
			w.must(doSync)
			require.NoError(t, w.settled())
		}
		w.must(doSync) // what was written while a run was cut
		return w.copyNow()
	}
	want := run(SubChunkNever, 0)
	for _, mode := range []SubChunk{SubChunkAuto, SubChunkAlways, SubChunkNever} {
		for cut := range 3 {
			require.True(t, bytes.Equal(want, run(mode, cut)), "%s, %d cuts", mode, cut)
		}
	}
}

// TestSubChunkOnlyOnItsBase: whatever makes it less than certain that the tracking snapshot holds
// what the target holds makes the source send whole chunks.
func TestSubChunkOnlyOnItsBase(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world)
		whole bool
	}{
		"all is well":                 {func(*world) {}, false},
		"after a rotation":            {func(w *world) { w.must(doSync); w.sprinkle(40) }, false},
		"tracker was written to":      {func(w *world) { w.srcWrites = map[string]uint64{w.snap1().Path: 1} }, true},
		"tracker was made writable":   {func(w *world) { w.trackerWritable() }, true},
		"machine was restarted":       {func(w *world) { w.srcBoot++ }, true},
		"target half written":         {func(w *world) { w.halfWritten() }, true},
		"target one ahead":            {func(w *world) { w.lostAnswer(); w.dropSnap2(); w.sprinkle(40) }, true},
		"turned off":                  {func(w *world) { w.leg = func(l *Leg) { l.ChunkSize, l.SubChunk = largeChunk, SubChunkNever } }, true},
		"direct":                      {func(w *world) { w.leg = func(l *Leg) { l.ChunkSize, l.Direct = largeChunk, true } }, true},
		"resend, tracker is there":    {func(w *world) { w.interrupted(doSync, 4) }, false},
		"resend, tracker has overrun": {func(w *world) { w.interrupted(doSync, 4); w.src.Overflow(w.trackerPath()) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := chunked(t, 4<<20, nil)
			w.sprinkle(40)
			c.spoil(w)
			var steps []string
			w.step = func(text string) { steps = append(steps, text) }
			_, err := w.run(w.start(nil), doSync)
			require.NoError(t, err)
			send := slices.IndexFunc(steps, func(s string) bool { return strings.HasPrefix(s, "send ") })
			require.Positive(t, send, "%q", steps)
			require.Equal(t, c.whole, !strings.HasPrefix(steps[send-1], "compare the changed chunks"), "%q", steps)
			require.NoError(t, w.settled())
		})
	}
}

// TestSubChunkOntoForeignWrites: the target was written behind our back, and no counter shows it.
// The chunks that a delta builds on are sent whole in the same session, the sync says so with an
// error, and the target stays suspect until all of it was compared.
func TestSubChunkOntoForeignWrites(t *testing.T) {
	w := chunked(t, 4<<20, nil)
	const at, elsewhere = 10*largeChunk + 30_000, 50*largeChunk + 7
	w.put(w.src, sourcePath, 10*largeChunk, w.noise(chunkBytes))
	w.put(w.src, sourcePath, 20*largeChunk, w.noise(chunkBytes))
	w.flip(at)
	w.flip(elsewhere)
	sent := w.sent.Load()
	rep, err := w.run(w.start(nil), doSync)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeNeedFull, code, "%v", err)
	require.ErrorContains(t, err, "1 chunks were not what ddsgo had written there")
	var f *failure.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, "ddsgo verify app --repair", f.Next)
	require.EqualValues(t, largeChunk, rep.Transfer.ChangedBytes, "one chunk went whole")
	require.Less(t, w.sent.Load()-sent, int64(largeChunk+2*chunkBytes+8<<10))

	w.remember()
	r, err := w.probe()
	require.NoError(t, err)
	require.Equal(t, string(state.KindSuspect), r.Condition)
	want := bytes.Clone(w.snapshots[r.Generation.UUID])
	want[elsewhere] ^= 4
	require.True(t, bytes.Equal(want, w.copyNow()), "all that changed is right; what nobody has looked at is as it was")
	require.NoError(t, w.noLeftovers())

	_, err = w.run(w.start(nil), doSync)
	code, _ = failure.CodeOf(err)
	require.Equal(t, failure.CodeNeedFull, code, "a suspect target takes no delta")
	vrep, err := w.verify(VerifyOptions{Repair: true})
	require.NoError(t, err)
	require.Len(t, vrep.Differing, 1)
	require.NoError(t, w.settled())
	w.sprinkle(20)
	w.must(doSync)
	require.NoError(t, w.settled())
}

// TestSubChunkOntoAnotherVolume: more differs than one answer can list.
func TestSubChunkOntoAnotherVolume(t *testing.T) {
	const chunk, size = 8 << 10, (maxDiffers + 300) * 8 << 10
	w := chunked(t, size, func(l *Leg) { l.ChunkSize = chunk })
	for off := int64(0); off < size; off += chunk {
		w.put(w.src, sourcePath, off, w.noise(512))
	}
	w.allowWrites(true)
	w.put(w.dst, targetPath, 0, w.noise(size))
	w.allowWrites(false)
	_, err := w.run(w.start(nil), doSync)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeNeedFull, code, "%v", err)
	w.remember()
	r, err := w.probe()
	require.NoError(t, err)
	want, have := w.snapshots[r.Generation.UUID], w.copyNow()
	for off := 0; off < size; off += chunk {
		require.True(t, bytes.Equal(want[off:off+chunk], have[off:off+chunk]), "chunk %d was sent whole", off/chunk)
	}
	require.Equal(t, string(state.KindSuspect), r.Condition)
}

// wrongBase is a target with two wrong bits: one where the next delta builds on it, one elsewhere.
func wrongBase(w *world) {
	w.leg = func(l *Leg) { l.ChunkSize = largeChunk }
	w.must(doSync) // this snapshot has large chunks
	w.base = w.snap1().UUID
	w.put(w.src, sourcePath, 3*largeChunk, w.noise(chunkBytes))
	w.put(w.src, sourcePath, 9*largeChunk, w.noise(chunkBytes))
	w.flip(3*largeChunk + 50_000)
	w.flip(20*largeChunk + 1)
}

// syncAndRepair does what the messages say.
func syncAndRepair(w *world, e *ends) error {
	_, err := w.run(e, doSync)
	if code, _ := failure.CodeOf(err); err != nil && code != failure.CodeNeedFull {
		return err
	}
	if _, err := w.verify(VerifyOptions{Repair: true}); err != nil {
		return fmt.Errorf("verify --repair: %w", err)
	}
	_, err = w.run(w.start(nil), doSync)
	return err
}

// halfWritten is a target that lost its journal in the middle of it.
func (w *world) halfWritten() {
	w.halfApplied()
	require.NoError(w.t, w.spool.Remove("/spool/"+w.dstID.String()+"/committed/"+w.dstID.String()+".delta"))
}

// trackerPath is the device of the snapshot that the document names.
func (w *world) trackerPath() string {
	s, err := w.start(nil).near.lookAtSource(w.t.Context(), w.theLeg())
	require.NoError(w.t, err)
	lv, ok := lvm.ByUUID(w.lvs(w.src, "vg0"), s.doc.Tracking.UUID)
	require.True(w.t, ok)
	return lv.Path
}

// trackerWritable is what an administrator does who wants to look into a snapshot.
func (w *world) trackerWritable() {
	l := &lvm.LVM{Runner: w.src}
	require.NoError(w.t, l.SetPermission(w.t.Context(), w.snap1(), lvm.Writable))
}

// dropSnap2 loses the newest snapshot.
func (w *world) dropSnap2() {
	l := &lvm.LVM{Runner: w.src}
	tracker := w.trackerPath()
	for _, v := range w.lvs(w.src, "vg0") {
		if v.Snapshot() && v.Path != tracker {
			require.NoError(w.t, l.Remove(w.t.Context(), v))
		}
	}
}
