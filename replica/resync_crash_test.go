package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/state"
)

// hashScenario is a hash exchange that is interrupted at every operation.
type hashScenario struct {
	name    string
	prepare func(*world)
	act     func(*world, *ends) error
	// unseen says that a target which claims to be clean cannot know yet that it is not.
	unseen func(*world, probeReply) bool
}

func hashScenarios() []hashScenario {
	resync := func(w *world, e *ends) error {
		_, err := e.near.Resync(context.Background(), w.theLeg(), ResyncOptions{SyncOptions: SyncOptions{Dial: e.dial}})
		e.serving.Wait()
		return err
	}
	verify := func(w *world, e *ends) error {
		_, err := e.near.Verify(context.Background(), w.theLeg(), VerifyOptions{SyncOptions: SyncOptions{Dial: e.dial}, Repair: true})
		e.serving.Wait()
		return err
	}
	never := func(*world, probeReply) bool { return false }
	return []hashScenario{
		{"resync, tracker overflowed", func(w *world) { w.src.Overflow(w.snap1().Path); w.change() }, resync, never},
		{"resync, target without a state", func(w *world) { w.retag(w.dst, targetPath, nil); w.dstFiles = newMemFiles(); w.change() }, resync, never},
		{"resync, source without a state", func(w *world) { w.retag(w.src, sourcePath, nil); w.srcFiles = newMemFiles(); w.change() }, resync, never},
		{"verify --repair", func(w *world) { w.flip(700_000) }, verify, func(_ *world, r probeReply) bool { return r.Verified == nil }},
		{"sub-chunk delta onto a base that was written", wrongBase, syncAndRepair, func(w *world, r probeReply) bool { return r.Generation.UUID == w.base }},
	}
}

// TestHashCrashes interrupts resync and verify --repair at their operations, on either end: the
// copy never says clean when it is not, and the same command, run again, ends the work. A
// sample, or all with -crash.all.
func TestHashCrashes(t *testing.T) {
	for _, s := range hashScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			points := 0
			last := s.lengths(t)
			for _, end := range []string{"source", "target"} {
				for _, l := range layersOf(end) {
					for _, f := range fatesOf(l) {
						for n := range last[end][l] {
							p := point{end, l, n, f}
							if !chosen(s.name, p) {
								continue
							}
							points++
							if err := s.try(t, p); err != nil {
								t.Errorf("%s, %v (-crash.only '%s|%s|%s|%s|%d'):\n%v", s.name, p, s.name, end, l, f, n, err)
							}
						}
					}
				}
			}
			t.Logf("%d points", points)
		})
	}
}

func (s hashScenario) world(t *testing.T, dir string) *world {
	w := newWorld(t, dir)
	w.must(doFull)
	w.change()
	w.must(doSync)
	s.prepare(w)
	return w
}

func (s hashScenario) lengths(t *testing.T) map[string]map[layer]int {
	w := s.world(t, t.TempDir())
	e := w.start(nil)
	require.NoError(t, s.act(w, e))
	require.NoError(t, w.settled())
	near, far := e.srcGate.seen, e.dstGate.seen
	near[layerCommand], far[layerCommand] = w.src.Points(), w.dst.Points()
	return map[string]map[layer]int{"source": near, "target": far}
}

func (s hashScenario) try(t *testing.T, p point) error {
	dir, err := os.MkdirTemp(shm(), "ddsgo-hash")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	w := s.world(t, dir)
	e := w.start(&p)
	runErr := s.act(w, e)
	fired := e.fired()
	if fired && runErr == nil && kills(p) && !lastBreath(p) {
		return errors.New("a killed command reports success")
	}
	w.restart(&p, rand.New(rand.NewPCG(*crashSeed, uint64(p.N))))
	if err := w.honest(s.unseen); err != nil {
		return fmt.Errorf("after the crash (%w): %w", runErr, err)
	}
	wait := w.writer()
	if err := s.act(w, w.start(nil)); err != nil {
		return fmt.Errorf("the same command again: %w\n(the run before: %w)", err, runErr)
	}
	if err := errors.Join(wait(), w.settled()); err != nil {
		return fmt.Errorf("after the same command again: %w\n(the run before: %w)", err, runErr)
	}
	w.change()
	if _, err := w.run(w.start(nil), doSync); err != nil {
		return fmt.Errorf("the sync after that: %w", err)
	}
	return w.settled()
}

// honest: a target that says clean is the snapshot that it names, unless that cannot be known.
func (w *world) honest(unseen func(*world, probeReply) bool) error {
	w.remember()
	r, err := w.probe()
	if err != nil {
		return err
	}
	if r.Damaged {
		return fmt.Errorf("the target's state is damaged: %s", r.Detail)
	}
	want, known := w.snapshots[r.Generation.UUID]
	if r.Condition != string(state.KindClean) || known && bytes.Equal(w.copyNow(), want) {
		return nil
	}
	if unseen(w, r) {
		return nil
	}
	return fmt.Errorf("the target says clean at %v, and is not", r.Generation)
}
