package replica

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/transport"
)

// worldLab is a world under the conformance suite: both machines in memory, the real
// driver, the real session between them.
type worldLab struct {
	t       *testing.T
	dir     string
	w       *world
	turns   int
	mu      sync.Mutex
	down    map[string]bool
	cut     bool
	remakes int
}

var _ arraytest.Remaker = (*worldLab)(nil)

func newWorldLab(t *testing.T) *worldLab {
	dir, err := os.MkdirTemp(shm(), "ddsgo-conformance")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	l := &worldLab{t: t, dir: dir, down: map[string]bool{}}
	require.NoError(t, l.Remake(t.Context()))
	return l
}

// Remake implements arraytest.Remaker: new volumes, and a first full copy.
func (l *worldLab) Remake(context.Context) error {
	l.remakes++
	l.w = newWorld(l.t, fmt.Sprintf("%s/%d", l.dir, l.remakes))
	_, err := l.w.run(l.w.start(nil), doFull)
	return err
}

var errDown = &os.PathError{Op: "reach", Path: "the host", Err: syscall.EHOSTDOWN}

// reach says whether a side is there.
func (l *worldLab) reach(site string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down[site] {
		return errDown
	}
	return nil
}

// Open makes the driver of the source's host; where that host is lost, the one that is
// left to an administrator: the target's.
func (l *worldLab) Open(_ context.Context, site string) (array.Driver, error) {
	e := l.w.start(nil)
	l.t.Cleanup(e.serving.Wait)
	l.watch(e.near, SiteSource)
	l.watch(e.far, SiteLocal)
	if l.reach(SiteSource) != nil {
		return &Driver{Host: e.far, Leg: l.w.theLeg(), AtTarget: true}, nil
	}
	if site == SiteLocal {
		return nil, fmt.Errorf("%w: a leg is driven from its source's host while that lives", arraytest.ErrLeftOut)
	}
	dial := func(ctx context.Context, t transport.Target) (Connection, error) {
		l.mu.Lock()
		cut := l.cut || l.down[SiteLocal]
		l.mu.Unlock()
		if cut {
			return nil, errDown
		}
		return e.dial(ctx, t)
	}
	return &Driver{Host: e.near, Leg: l.w.theLeg(), Opt: SyncOptions{Dial: dial}}, nil
}

// watch lets a host lose its volumes when its side dies under a driver at work.
func (l *worldLab) watch(h *Host, site string) {
	identify := h.Identify
	h.Identify = func(path string) (state.Identity, error) {
		if err := l.reach(site); err != nil {
			return state.Identity{}, err
		}
		return identify(path)
	}
}

func (l *worldLab) set(change func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	return nil
}

func (l *worldLab) SiteDown(_ context.Context, site string) error {
	return l.set(func() { l.down[site] = true })
}

func (l *worldLab) SiteUp(_ context.Context, site string) error {
	return l.set(func() { l.down[site] = false })
}

func (l *worldLab) LinkDown(context.Context) error { return l.set(func() { l.cut = true }) }
func (l *worldLab) LinkUp(context.Context) error   { return l.set(func() { l.cut = false }) }

// side is the volume of a site.
func (l *worldLab) side(site string) (*lvmfake.Machine, string) {
	if site == SiteSource {
		return l.w.src, sourcePath
	}
	return l.w.dst, targetPath
}

// Read hashes a volume; of the target, the part that is a copy.
func (l *worldLab) Read(_ context.Context, site string) (string, error) {
	m, path := l.side(site)
	sum := sha256.Sum256(l.w.content(m, path)[:volumeBytes])
	return hex.EncodeToString(sum[:]), nil
}

// Write writes to the volume itself: what it accepts is LVM's permission, not a flag of
// this test.
func (l *worldLab) Write(_ context.Context, site string) error {
	m, path := l.side(site)
	d, err := m.Open(path)
	if err != nil {
		return err
	}
	l.turns++
	_, err = d.WriteAt(fmt.Appendf(nil, "write %08d", l.turns), int64(l.turns%64)*chunkBytes)
	if err = errors.Join(err, d.Close()); errors.Is(err, syscall.EPERM) {
		return arraytest.ErrReadOnly
	}
	return err
}

// Foreign is another operator's command on the source's host, which may fail as any may.
func (l *worldLab) Foreign(ctx context.Context, verb string) error {
	if l.reach(SiteSource) != nil {
		return nil // nobody can type it there
	}
	d, err := l.Open(ctx, SiteSource)
	if err == nil {
		_, _ = array.Run(ctx, d, array.Goal{Verb: array.Verb(verb)}, array.Options{Resource: "app", Sleep: l.Sleep})
	}
	return err
}

func (l *worldLab) Sleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }

// TestConformance runs the whole suite on a pair of machines in memory.
func TestConformance(t *testing.T) {
	l := newWorldLab(t)
	began := time.Now()
	rep, err := arraytest.Run(t.Context(), l, arraytest.Options{Quick: testing.Short()})
	require.NoError(t, err)
	why := map[string]int{}
	for _, c := range rep.Results {
		switch c.Outcome {
		case arraytest.Failed:
			t.Errorf("%s: %s", c.Case, c.Detail)
		case arraytest.LeftOut:
			why[c.Detail]++
		}
	}
	for text, n := range why {
		t.Logf("left out, %d cases: %s", n, text)
	}
	require.NotZero(t, rep.Count(arraytest.Passed))
	t.Logf("%d cases passed, %d failed, %d left out; %d verbs, %d resources made, %s", rep.Count(arraytest.Passed), rep.Count(arraytest.Failed),
		rep.Count(arraytest.LeftOut), rep.Verbs, l.remakes, time.Since(began).Round(time.Millisecond))
}

// TestFailoverKilled kills a failover on the target's host at every LVM command; the same
// command then finishes it, and what it calls writable takes a write.
func TestFailoverKilled(t *testing.T) {
	fired := 0
	for n := 0; ; n++ {
		l := newWorldLab(t)
		require.NoError(t, l.SiteDown(t.Context(), SiteSource))
		p := &point{"target", layerCommand, n, killBefore}
		d := &Driver{Host: l.w.start(p).far, Leg: l.w.theLeg(), AtTarget: true}
		failover := array.Goal{Verb: array.Failover, Site: SiteLocal}
		_, err := array.Run(t.Context(), d, failover, array.Options{Resource: "app", Sleep: l.Sleep})
		if err == nil {
			break
		}
		fired++
		l.w.dst.Restart()
		again, err := l.Open(t.Context(), SiteLocal)
		require.NoError(t, err)
		_, err = array.Run(t.Context(), again, failover, array.Options{Resource: "app", Sleep: l.Sleep})
		require.NoError(t, err, "killed at command %d", n)
		require.NoError(t, l.Write(t.Context(), SiteLocal), "killed at command %d", n)
	}
	require.Greater(t, fired, 3)
	t.Logf("killed at %d places", fired)
}
