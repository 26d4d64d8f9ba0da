package replica

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// A transfer that is cut again and again sends little more than one that is not.
func TestCutTransfersGoOn(t *testing.T) {
	const size, cuts = 32 << 20, 5
	for _, c := range []struct {
		name   string
		verb   verb
		direct bool
		perCut int
	}{
		{"journalled delta", doSync, false, 2 << 20},
		// What was written since the last fsync is sent again, and what waited to be written.
		{"direct delta", doSync, true, 6 << 20},
		{"full copy", doFull, false, 6 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorldOf(t, t.TempDir(), size)
			w.leg = func(l *Leg) { l.Direct = c.direct }
			if c.verb == doSync {
				w.must(doFull)
			}
			w.put(w.src, sourcePath, 0, w.noise(size)) // all of it is new
			w.sent.Store(0)
			for n := range cuts {
				e := w.start(&point{"source", layerMessage, 3 + size/cuts/(256<<10), linkCut})
				_, err := w.run(e, c.verb)
				require.Error(t, err, "cut %d", n)
				require.True(t, e.fired())
				require.Less(t, w.sent.Load(), int64(n+1)*(size/cuts+1<<20))
			}
			before := w.sent.Load()
			w.change() // the delta that is resumed does not know of it
			e := w.start(nil)
			_, err := w.run(e, c.verb)
			require.NoError(t, err)
			t.Logf("sent %d bytes in %d cut runs, %d in the last", before, cuts, w.sent.Load()-before)
			require.LessOrEqual(t, w.sent.Load(), int64(size*105/100+cuts*c.perCut+1<<20), "bytes from source to target; 1 MiB are the changes since")
			require.NoError(t, w.settled())
			require.NoError(t, w.repair(doSync))
		})
	}
}

// Cut any number of times, at any message, a delta costs at most 1.05 times its bytes and 2 MiB for
// each cut, and the target ends right. A sub-chunk delta too.
func TestCutAnywhere(t *testing.T) {
	const size = 16 << 20
	transfer := func(t *testing.T, sub bool, places []int) (sent int64, cuts int) {
		w := newWorldOf(t, t.TempDir(), size)
		w.leg = func(l *Leg) {
			if l.Codec = engine.CodecNone; sub {
				l.ChunkSize = largeChunk
			}
		}
		w.must(doFull)
		if sub {
			w.sprinkle(2500)
		} else {
			w.put(w.src, sourcePath, 0, w.noise(size))
		}
		w.sent.Store(0)
		for _, n := range places {
			e := w.start(&point{"source", layerMessage, n, linkCut})
			if _, err := w.run(e, doSync); err == nil {
				break // it came to its end before the cut
			}
			require.True(t, e.fired())
			cuts++
		}
		w.must(doSync)
		require.NoError(t, w.settled())
		return w.sent.Load(), cuts
	}
	for _, sub := range []bool{false, true} {
		whole, _ := transfer(t, sub, nil)
		for seed := range uint64(2) {
			rng := rand.New(rand.NewPCG(seed, 9))
			places := make([]int, 2+rng.IntN(12))
			for i := range places {
				places[i] = rng.IntN(16)
			}
			sent, cuts := transfer(t, sub, places)
			t.Logf("sub-chunk %v: delta of %d bytes, %d cuts, %d sent", sub, whole, cuts, sent)
			require.Greater(t, cuts, 1)
			require.LessOrEqual(t, float64(sent), 1.05*float64(whole)+float64(cuts)*(2<<20))
		}
	}
}

// A target that stops (SIGSTOP, a black hole) ends the run within the progress time-out,
// and the next run goes on.
func TestStoppedTarget(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			w := copied(t)
			w.leg = func(l *Leg) { l.ProgressTimeout = 30 * time.Second }
			e := w.start(nil)
			stopped := make(chan struct{})
			e.dstGate.stop(n, stopped)
			began := time.Now()
			_, err := e.near.Sync(context.Background(), w.theLeg(), SyncOptions{Dial: e.dial})
			require.Error(t, err)
			code, _ := failure.CodeOf(err)
			require.Equal(t, failure.CodeUnreachable, code, "%v", err)
			require.LessOrEqual(t, time.Since(began), 70*time.Second, "handshake or progress time-out")
			close(stopped) // it goes on
			e.serving.Wait()
			_, err = w.afterCrash()
			require.NoError(t, err)
			w.initial = nil
			require.NoError(t, w.repair(doSync))
		})
	}
}

// A session that a newer one has taken over ends long before its delta does: many of them shall
// not fill the disk.
func TestRevokedSessionStops(t *testing.T) {
	const size = 56 << 20
	w := newWorldOf(t, t.TempDir(), size)
	w.leg = func(l *Leg) { l.Codec = engine.CodecNone }
	w.must(doFull)
	w.put(w.src, sourcePath, 0, w.noise(size))
	w.sent.Store(0)
	e := w.start(nil)
	var once sync.Once
	progress := func(_ string, _, _, sent int64) {
		if sent > 8<<20 {
			once.Do(func() {
				_, err := w.start(nil).far.Store.Volume(w.dstID, nil).BeginSession("somebody else")
				require.NoError(t, err)
			})
		}
	}
	_, err := e.near.Sync(t.Context(), w.theLeg(), SyncOptions{Dial: e.dial, Events: Events{Progress: progress}})
	e.serving.Wait()
	require.ErrorContains(t, err, "revoked")
	require.Less(t, w.sent.Load(), int64(40<<20))
	require.NoError(t, w.repair(doSync))
}

// Two syncs of one volume never overlap.
func TestTwoSyncsAtOnce(t *testing.T) {
	w := copied(t)
	var second error
	var once sync.Once
	w.step = func(text string) {
		if strings.HasPrefix(text, "send ") {
			once.Do(func() { _, second = w.run(w.start(nil), doSync) })
		}
	}
	w.must(doSync)
	code, _ := failure.CodeOf(second)
	require.Equal(t, failure.CodeLocked, code, "%v", second)
	require.ErrorContains(t, second, "another run is at work")
	require.NoError(t, w.settled())
}
