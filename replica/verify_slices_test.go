package replica

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
	"github.com/ddsgo/ddsgo/resync"
	"github.com/ddsgo/ddsgo/state"
)

const (
	largeBytes  = 2*resync.WindowSize + 3<<20 // three windows
	largeSource = "/dev/big/data"
	largeTarget = "/dev/big/copy"
)

// largeWorld is a world whose pair is larger than two windows of a hash exchange.
func largeWorld(t *testing.T) *world {
	w := newWorld(t, t.TempDir())
	for m, name := range map[*lvmfake.Machine]string{w.src: "data", w.dst: "copy"} {
		m.AddVG("big", 8*largeBytes)
		m.AddLV("big", name, largeBytes)
	}
	w.put(w.src, largeSource, 70<<20, bytes.Repeat([]byte("content"), 4096))
	w.leg = func(l *Leg) {
		l.Source, l.Device = largeSource, largeTarget
		l.SnapSize = func(int64) int64 { return 8 << 20 }
	}
	_, err := w.runLarge(w.startLarge(), doFull)
	require.NoError(t, err)
	return w
}

// startLarge makes processes that know the large pair; a slice is one window.
func (w *world) startLarge() *ends {
	e := w.start(nil)
	e.far.Slice = time.Nanosecond
	for h, path := range map[*Host]string{e.near: largeSource, e.far: largeTarget} {
		m := map[string]*lvmfake.Machine{largeSource: w.src, largeTarget: w.dst}[path]
		id := w.identity(m, path)
		h.Identify = func(asked string) (state.Identity, error) {
			if asked != path {
				return state.Identity{}, os.ErrNotExist
			}
			return id, nil
		}
	}
	return e
}

func (w *world) runLarge(e *ends, v verb) (report.Sync, error) { return w.run(e, v) }

func (w *world) verifyLarge(ctx context.Context, ev Events) (report.Verify, error) {
	e := w.startLarge()
	rep, err := e.near.Verify(ctx, w.theLeg(), VerifyOptions{SyncOptions: SyncOptions{Dial: e.dial, Events: ev}})
	e.serving.Wait()
	return rep, err
}

// TestVerifyYields: a sync that comes while a volume is verified runs between two slices, and the
// pass ends at the newer generation without a false difference.
func TestVerifyYields(t *testing.T) {
	w := largeWorld(t)
	var syncing sync.WaitGroup
	var once sync.Once
	var syncErr error
	ev := Events{Progress: func(phase string, done, _, _ int64) {
		once.Do(func() { // the first slice holds both locks now
			w.put(w.src, largeSource, 5<<20, []byte("written while the volume is verified"))
			w.put(w.src, largeSource, 90<<20, []byte("and here, where it was not compared yet"))
			syncing.Go(func() { _, syncErr = w.runLarge(w.startLarge(), doSync) })
		})
	}}
	rep, err := w.verifyLarge(t.Context(), ev)
	require.NoError(t, err)
	syncing.Wait()
	require.NoError(t, syncErr)
	require.Empty(t, rep.Differing)
	require.EqualValues(t, 2, rep.Generation.Seq, "the pass went on with the newer generation")
	require.EqualValues(t, largeBytes, rep.ComparedBytes)
}

// TestVerifyGoesOn: a pass that was cut goes on behind the last slice that was recorded.
func TestVerifyGoesOn(t *testing.T) {
	w := largeWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.verifyLarge(ctx, Events{Progress: func(_ string, done, _, _ int64) {
		if done > resync.WindowSize {
			cancel()
		}
	}})
	require.Error(t, err)
	rep, err := w.verifyLarge(t.Context(), Events{})
	require.NoError(t, err)
	require.EqualValues(t, resync.WindowSize, rep.From)
	require.EqualValues(t, largeBytes-resync.WindowSize, rep.ComparedBytes)
	rep, err = w.verifyLarge(t.Context(), Events{})
	require.NoError(t, err)
	require.Zero(t, rep.From, "a complete pass is followed by a new one")
}

// TestResyncInSlices: a write to the target between two slices of a resync is noticed, and
// nothing is written onto it.
func TestResyncInSlices(t *testing.T) {
	w := largeWorld(t)
	e := w.startLarge()
	var once sync.Once
	ev := Events{Progress: func(_ string, done, _, _ int64) {
		if done > resync.WindowSize {
			once.Do(func() { w.written.Add(1) })
		}
	}}
	open := e.far.OpenDevice
	wrote := false
	e.far.OpenDevice = func(path string, o blockdev.Options) (blockdev.Device, error) {
		wrote = wrote || o.Write
		return open(path, o)
	}
	_, err := e.near.Resync(t.Context(), w.theLeg(), ResyncOptions{SyncOptions: SyncOptions{Dial: e.dial, Events: ev}})
	e.serving.Wait()
	require.ErrorContains(t, err, "somebody wr")
	require.False(t, wrote)
	e = w.startLarge()
	_, err = e.near.Resync(t.Context(), w.theLeg(), ResyncOptions{SyncOptions: SyncOptions{Dial: e.dial}})
	require.NoError(t, err)
	e.serving.Wait()
	require.Equal(t, w.content(w.src, largeSource), w.content(w.dst, largeTarget))
}

// A limited comparison holds the locks no longer than others wait for them.
func TestSliceEnd(t *testing.T) {
	const gib = 1 << 30
	require.EqualValues(t, gib, sliceEnd(0, gib, 0))
	require.EqualValues(t, 5<<20+500<<20, sliceEnd(5<<20, gib, 50<<20))
	require.EqualValues(t, resync.StripeSize, sliceEnd(0, gib, 64<<10))
	require.EqualValues(t, 7000, sliceEnd(4096, 7000, 64<<10))
}

// TestVerifyLimited: slices that are no whole windows come to the same result.
func TestVerifyLimited(t *testing.T) {
	t.Parallel()
	w := pairInSync(t)
	w.flip(1_500_000)
	began := time.Now()
	rep, err := w.verify(VerifyOptions{Limit: 200 << 10, Repair: true}) // one stripe in a slice
	require.NoError(t, err)
	require.Greater(t, time.Since(began), 4*time.Second, "a new slice does not forget the limit")
	require.Equal(t, []report.Range{{Offset: 1_500_000 &^ (hashBlock - 1), Length: hashBlock}}, rep.Differing)
	require.NoError(t, w.settled())
}
