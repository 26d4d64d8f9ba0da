package replica

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/transport"
)

// The stated load of these tests: stores of 2 MiB, made for 100 KiB per second between syncs of
// ten seconds and transfers of as long. The application writes three times as much.
const (
	statedStore = 2 << 20
	statedRate  = 100 << 10
	realRate    = 3 * statedRate
)

// busyWorld has a large source with small snapshots, in sync.
func busyWorld(t *testing.T, extend bool) *world {
	w := newWorldOf(t, t.TempDir(), 16<<20)
	w.leg = func(l *Leg) {
		l.SnapSize = func(int64) int64 { return statedStore }
		if extend {
			l.SnapExtend = Extension{Step: func(int64) int64 { return 1 << 20 }, Max: func(o int64) int64 { return o }}
		}
	}
	w.must(doFull)
	return w
}

// hurry writes to fresh places of the source at realRate until it is told to stop.
func (w *world) hurry() (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		const step = 100 * time.Millisecond
		n := realRate / 10 / chunkBytes
		for at := 0; ; at = (at + n) % (w.size/chunkBytes - n) {
			select {
			case <-end:
				return
			case <-time.After(step):
			}
			w.block(at, n, byte(at))
		}
	})
	return func() { close(end); done.Wait() }
}

// slow lets each message of the source take a while.
type slow struct {
	Connection
	each time.Duration
}

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(s.each) // in a bubble of synctest
	return s.Connection.Write(p)
}

func (e *ends) slowly(each time.Duration) Dialer {
	return func(ctx context.Context, t transport.Target) (Connection, error) {
		c, err := e.dial(ctx, t)
		return slow{c, each}, err
	}
}

// overSlowLink is a sync of 8 MiB of changes over a link that takes half a minute for them.
func (w *world) overSlowLink(v verb) (steps []string, err error) {
	stop := w.hurry()
	w.put(w.src, sourcePath, 8<<20, w.noise(1<<20))
	e := w.start(nil)
	var mu sync.Mutex
	ev := Events{Step: func(text string) { mu.Lock(); steps = append(steps, text); mu.Unlock() }}
	opt := SyncOptions{Dial: e.slowly(1500 * time.Millisecond), Events: ev, Overwrite: true}
	if v == doSync {
		_, err = e.near.Sync(context.Background(), w.theLeg(), opt)
	} else {
		_, err = e.near.Full(context.Background(), w.theLeg(), opt)
	}
	stop()
	e.serving.Wait()
	time.Sleep(time.Minute) // until the last goodbye is through
	return steps, err
}

func has(steps []string, prefix string) bool {
	for _, s := range steps {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// TestTransferExtendsItsSnapshot: at three times the stated rate, with space in the group and
// leave to use it, a transfer ends well.
func TestTransferExtendsItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busyWorld(t, true)
		steps, err := w.overSlowLink(doSync)
		require.NoError(t, err, "%q", steps)
		require.True(t, has(steps, "extend "), "%q", steps)
		require.NoError(t, w.settled())
		require.NoError(t, w.repair(doSync))
	})
}

// TestTransferFolds: without leave to extend, the transfer is ended, the chain folded, and what
// is then sent is right.
func TestTransferFolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busyWorld(t, false)
		stop := w.hurry()
		var once sync.Once
		w.step = nil
		e := w.start(nil)
		var steps []string
		var mu sync.Mutex
		ev := Events{Step: func(text string) {
			mu.Lock()
			steps = append(steps, text)
			mu.Unlock()
			if strings.HasPrefix(text, "fold: ") {
				once.Do(stop) // the rush is over
			}
		}}
		w.put(w.src, sourcePath, 8<<20, w.noise(1<<20))
		_, err := e.near.Sync(context.Background(), w.theLeg(), SyncOptions{Dial: e.slowly(1500 * time.Millisecond), Events: ev})
		e.serving.Wait()
		time.Sleep(time.Minute) // until the last goodbye is through
		once.Do(stop)
		require.NoError(t, err, "%q", steps)
		require.True(t, has(steps, "fold: "), "%q", steps)
		require.NoError(t, w.settled())
		require.NoError(t, w.repair(doSync))
	})
}

// TestTransferNeverSettles: an application that never gives the transfer the time that it needs
// costs the transfer, not the chain.
func TestTransferNeverSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busyWorld(t, true)
		w.eatSpace(statedStore) // room for snap2, and no more
		before := w.copyNow()
		_, err := w.overSlowLink(doSync)
		require.ErrorContains(t, err, "written faster than it can be sent")
		require.True(t, bytes.Equal(before, w.copyNow()), "the target is what it was")
		w.remember()
		w.must(doSync)
		require.NoError(t, w.settled())
		require.NoError(t, w.repair(doSync))
	})
}

// TestTransferWithoutSpace: a first copy cannot be folded. The run warns, says what happened, and
// what an invalid snapshot gave is never taken for a copy.
func TestTransferWithoutSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busyWorld(t, true)
		w.eatSpace(statedStore)
		steps, err := w.overSlowLink(doFull)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeOverflow, code, "%v", err)
		require.True(t, has(steps, "warning: "), "%q", steps)
		r, err := w.probe()
		require.NoError(t, err)
		require.Equal(t, string(state.KindInconsistent), r.Condition)
		_, err = w.resync(ResyncOptions{})
		require.NoError(t, err)
		require.NoError(t, w.settled())
		require.NoError(t, w.repair(doSync))
	})
}

// eatSpace leaves so many bytes free in the source's group.
func (w *world) eatSpace(left int64) {
	lvs, err := (&lvm.LVM{Runner: w.src}).Report(context.Background(), "vg0")
	require.NoError(w.t, err)
	now, _ := lvm.ByUUID(lvs, w.origin().UUID)
	w.src.AddLV("vg0", "other-large", now.VGFree-left)
}

// watchFor runs the watch between syncs for a while.
func (w *world) watchFor(d time.Duration) (seen []report.Watch) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	err := w.start(nil).near.Watch(ctx, []Leg{w.theLeg()}, WatchOptions{Report: func(r report.Watch) { seen = append(seen, r) }})
	require.NoError(w.t, err)
	return seen
}

// actions is the sorted-out list of what was done.
func actions(seen []report.Watch) string {
	count := map[string]int{}
	for _, r := range seen {
		count[r.Action]++
	}
	return fmt.Sprint(count)
}

// TestWatchBetweenSyncs: an application that writes three times as much as the snapshots were
// made for never breaks the chain as long as the group has space.
func TestWatchBetweenSyncs(t *testing.T) {
	for _, extend := range []bool{true, false} {
		t.Run(fmt.Sprint("extend=", extend), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := busyWorld(t, extend)
				stop := w.hurry()
				seen := w.watchFor(2 * time.Minute)
				stop()
				require.NotContains(t, actions(seen), "warning", "%+v", seen)
				require.NotContains(t, actions(seen), "invalid", "%+v", seen)
				want := map[bool]string{true: "extended", false: "folded"}[extend]
				require.Contains(t, actions(seen), want)
				w.remember()
				w.must(doSync)
				require.NoError(t, w.settled())
				require.NoError(t, w.repair(doSync))
			})
		})
	}
}

// TestWatchWithoutSpace warns once, says what overflowed, and a resync rejoins.
func TestWatchWithoutSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busyWorld(t, true)
		w.eatSpace(0)
		stop := w.hurry()
		seen := w.watchFor(time.Minute)
		stop()
		require.Contains(t, actions(seen), "warning:1")
		require.Contains(t, actions(seen), "invalid")
		_, err := w.run(w.start(nil), doSync)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeNeedFull, code, "%v", err)
		_, err = w.resync(ResyncOptions{})
		require.ErrorContains(t, err, "no room for the two snapshots of vg0/data: 4194304 bytes needed, volume group vg0 has 2097152 free")
		l := &lvm.LVM{Runner: w.src}
		large, err := l.Find(context.Background(), "/dev/vg0/other-large")
		require.NoError(t, err)
		require.NoError(t, l.Remove(context.Background(), large))
		_, err = w.resync(ResyncOptions{})
		require.NoError(t, err)
		require.NoError(t, w.settled())
	})
}

// TestWatchOnce looks twice and tells everything; a lost snapshot is its error.
func TestWatchOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := busyWorld(t, false)
		once := func() (seen []report.Watch, err error) {
			err = w.start(nil).near.Watch(context.Background(), []Leg{w.theLeg()}, WatchOptions{Once: true, Horizon: time.Minute, Report: func(r report.Watch) { seen = append(seen, r) }})
			return seen, err
		}
		seen, err := once()
		require.NoError(t, err)
		require.Len(t, seen, 1)
		require.Equal(t, "none", seen[0].Action)
		require.Nil(t, seen[0].SecondsLeft)
		stop := w.hurry()
		seen, err = once() // full within the minute
		stop()
		require.NoError(t, err)
		require.Equal(t, "folded", seen[0].Action)
		w.src.Overflow(w.snap1().Path)
		seen, err = once()
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeOverflow, code, "%v", err)
		require.Equal(t, "invalid", seen[0].Action)
	})
}
