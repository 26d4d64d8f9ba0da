package replica

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/state"
)

// TestVerifyEqual: a good copy has no difference, although the source is written to, and the
// target says how far and at which generation it was compared.
func TestVerifyEqual(t *testing.T) {
	w := pairInSync(t)
	w.change() // the live source is ahead; the snapshot is what counts
	rep, err := w.verify(VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, rep.Differing)
	require.EqualValues(t, volumeBytes, rep.ComparedBytes)
	require.EqualValues(t, volumeBytes, rep.Until)
	r, err := w.probe()
	require.NoError(t, err)
	require.Equal(t, "clean", r.Condition)
	require.True(t, r.Verified.Generation.Same(*rep.Generation))
	require.False(t, r.Verified.Complete.IsZero())
	require.NoError(t, w.settled())
}

// TestVerifyFindsOneBit: one bit flipped on the target is found at its exact block, the
// target becomes suspect, syncs stop, and a repair of one block makes it good.
func TestVerifyFindsOneBit(t *testing.T) {
	for _, off := range []int64{0, 1_234_567, volumeBytes - 1} {
		w := pairInSync(t)
		w.flip(off)
		want := []report.Range{{Offset: off &^ (hashBlock - 1), Length: hashBlock}}
		rep, err := w.verify(VerifyOptions{})
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeNeedFull, code)
		require.ErrorContains(t, err, "1 blocks")
		require.Equal(t, want, rep.Differing)
		r, err := w.probe()
		require.NoError(t, err)
		require.Equal(t, "suspect", r.Condition)
		_, err = w.run(w.start(nil), doSync)
		code, _ = failure.CodeOf(err)
		require.Equal(t, failure.CodeNeedFull, code, "a sync onto a wrong copy")

		sent := w.sent.Load()
		rep, err = w.verify(VerifyOptions{Repair: true})
		require.NoError(t, err)
		require.Equal(t, want, rep.Differing)
		require.True(t, rep.Repaired)
		require.EqualValues(t, hashBlock, rep.Repair.Transfer.ChangedBytes, "one block")
		require.Less(t, w.sent.Load()-sent, int64(16<<10))
		require.NoError(t, w.settled())
		w.change()
		w.must(doSync)
		require.NoError(t, w.settled())
	}
}

// TestVerifyClearsSuspicion: a write behind our back that changed nothing, or was undone.
func TestVerifyClearsSuspicion(t *testing.T) {
	w := pairInSync(t)
	w.written.Add(1)
	_, err := w.run(w.start(nil), doSync)
	require.ErrorContains(t, err, "behind ddsgo's back")
	_, err = w.verify(VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, w.settled())
	w.change()
	w.must(doSync)
}

// TestVerifyIsNotFooled: somebody who writes while the volume is compared keeps it suspect, and
// no repair is written onto content that was not compared.
func TestVerifyIsNotFooled(t *testing.T) {
	for _, repair := range []bool{false, true} {
		w := pairInSync(t)
		w.flip(5000)
		w.scribble()
		e := w.start(nil)
		e.far.OpenDevice = counting(e.far.OpenDevice, func() { w.written.Add(1) })
		_, err := e.near.Verify(t.Context(), w.theLeg(), VerifyOptions{SyncOptions: SyncOptions{Dial: e.dial}, Repair: repair})
		e.serving.Wait()
		require.Error(t, err)
		r, err := w.probe()
		require.NoError(t, err)
		require.Equal(t, "suspect", r.Condition)
	}
}

// counting tells of each device that is closed.
func counting(open func(string, blockdev.Options) (blockdev.Device, error), closed func()) func(string, blockdev.Options) (blockdev.Device, error) {
	return func(path string, o blockdev.Options) (blockdev.Device, error) {
		d, err := open(path, o)
		if err == nil && o.Direct {
			d = tellsClose{d, closed}
		}
		return d, err
	}
}

type tellsClose struct {
	blockdev.Device
	closed func()
}

func (c tellsClose) Close() error { c.closed(); return c.Device.Close() }

// TestVerifyRefuses says what has to be done first.
func TestVerifyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*world)
		code    int
		words   string
	}{
		"never copied":                 {nil, failure.CodeNeedFull, "full"},
		"tracking snapshot overflowed": {func(w *world) { w.src.Overflow(w.snap1().Path) }, failure.CodeNeedFull, "overflowed"},
		"tracking snapshot gone":       {func(w *world) { w.removeSnapshot() }, failure.CodeNeedFull, "cannot be read"},
		"a sync was cut":               {func(w *world) { w.unheard() }, failure.CodeRefused, "holds"},
		"promoted":                     {func(w *world) { w.promote() }, failure.CodeRefused, "primary"},
		"another volume's copy":        {func(w *world) { w.otherSource() }, failure.CodeRefused, "another volume"},
		"source's state damaged":       {func(w *world) { w.srcFiles.spoil() }, failure.CodeRefused, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			if c.prepare != nil {
				w = pairInSync(t)
				w.change()
				c.prepare(w)
			}
			before := w.content(w.dst, targetPath)
			_, err := w.verify(VerifyOptions{Repair: true})
			var f *failure.Error
			require.ErrorAs(t, err, &f)
			require.Equal(t, c.code, f.Code, "%v", err)
			require.ErrorContains(t, err, c.words)
			require.NotEmpty(t, f.Next)
			require.Equal(t, before, w.content(w.dst, targetPath))
		})
	}
}

// unheard is a sync whose answer the source never gets.
func (w *world) unheard() {
	before, err := w.probe()
	require.NoError(w.t, err)
	for n := 0; ; n++ {
		_, err := w.run(w.start(&point{"target", layerMessage, n, linkCut}), doSync)
		r, probeErr := w.probe()
		require.NoError(w.t, probeErr)
		if r.Generation.Seq > before.Generation.Seq {
			require.Error(w.t, err)
			return
		}
	}
}

// TestVerifyHeld: a held copy is compared too, and stays held.
func TestVerifyHeld(t *testing.T) {
	w := pairInSync(t)
	w.hold()
	_, err := w.verify(VerifyOptions{})
	require.NoError(t, err)
	r, err := w.probe()
	require.NoError(t, err)
	require.Equal(t, string(state.KindHeld), r.Condition)
	w.flip(9000)
	_, err = w.verify(VerifyOptions{})
	require.Error(t, err)
	r, err = w.probe()
	require.NoError(t, err)
	require.Equal(t, string(state.KindHeld), r.Condition)
	require.Contains(t, r.Detail, "1 blocks")
}

// TestVerifySurvivesCuts: cut at any message, the copy is never wrongly called clean, and
// the same command finishes.
func TestVerifySurvivesCuts(t *testing.T) {
	for n := 0; ; n += 2 {
		w := pairInSync(t)
		w.flip(123_456)
		e := w.start(&point{"source", layerMessage, n, linkCut})
		_, err := e.near.Verify(context.Background(), w.theLeg(), VerifyOptions{SyncOptions: SyncOptions{Dial: e.dial}, Repair: true})
		e.serving.Wait()
		if !e.fired() {
			require.NoError(t, err)
			require.Greater(t, n, 5)
			return
		}
		equal := bytes.Equal(w.copyNow(), w.content(w.src, w.snap1().Path))
		r, err := w.probe()
		require.NoError(t, err)
		found := r.Verified != nil
		require.False(t, found && !equal && r.Condition == "clean", "a copy that is known to be wrong says clean")
		_, err = w.verify(VerifyOptions{Repair: true})
		require.NoError(t, err, "cut at message %d", n)
		require.NoError(t, w.settled(), "cut at message %d", n)
	}
}

// TestMergeTakesTheStamp: what a sync writes after a verification is not verified any more, and
// nothing else; a repair and the next pass give it back.
func TestMergeTakesTheStamp(t *testing.T) {
	w := pairInSync(t)
	verified := func() int64 {
		r, err := w.probe()
		require.NoError(t, err)
		return r.Verified.Bytes(volumeBytes)
	}
	_, err := w.verify(VerifyOptions{})
	require.NoError(t, err)
	require.EqualValues(t, volumeBytes, verified())
	w.must(doSync)
	require.EqualValues(t, volumeBytes, verified(), "nothing was written")
	w.put(w.src, sourcePath, 1<<20+4096, []byte("one block in the second MiB"))
	w.must(doSync)
	require.EqualValues(t, 1<<20, verified())
	w.flip(5000)
	_, err = w.verify(VerifyOptions{Repair: true})
	require.NoError(t, err)
	require.EqualValues(t, volumeBytes, verified())
	w.leg = func(l *Leg) { l.Direct = true }
	w.change()
	w.must(doSync)
	r, err := w.probe()
	require.NoError(t, err)
	require.Nil(t, r.Verified, "a direct write keeps no stamp")
}

// TestVerifyReadsIdly: the disks serve others first while a verification reads, and only then.
func TestVerifyReadsIdly(t *testing.T) {
	w := pairInSync(t)
	idle := func(run func(*ends)) (reads, idle int64) {
		var all, low atomic.Int64
		e := w.start(nil)
		for _, h := range []*Host{e.near, e.far} {
			open := h.OpenDevice
			h.OpenDevice = func(path string, o blockdev.Options) (blockdev.Device, error) {
				d, err := open(path, o)
				if err != nil || !o.Direct {
					return d, err
				}
				return watchedReads{d, func() {
					all.Add(1)
					if blockdev.IdleNow() {
						low.Add(1)
					}
				}}, nil
			}
		}
		run(e)
		e.serving.Wait()
		return all.Load(), low.Load()
	}
	reads, low := idle(func(e *ends) {
		_, err := e.near.Verify(t.Context(), w.theLeg(), VerifyOptions{SyncOptions: SyncOptions{Dial: e.dial}})
		require.NoError(t, err)
	})
	require.Positive(t, reads)
	require.Equal(t, reads, low)
	w.removeSnapshot()
	reads, low = idle(func(e *ends) {
		_, err := e.near.Resync(t.Context(), w.theLeg(), ResyncOptions{SyncOptions: SyncOptions{Dial: e.dial}})
		require.NoError(t, err)
	})
	require.Positive(t, reads)
	require.Zero(t, low, "a rejoin is in a hurry")
}

type watchedReads struct {
	blockdev.Device
	read func()
}

func (w watchedReads) ReadAt(p []byte, off int64) (int, error) {
	w.read()
	return w.Device.ReadAt(p, off)
}
