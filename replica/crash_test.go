package replica

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

var (
	crashAll   = flag.Bool("crash.all", false, "try every point of the crash matrix, not a sample")
	crashSeed  = flag.Uint64("crash.seed", 1, "seed of the sample and of what power cuts lose")
	crashEvery = flag.Uint64("crash.every", 101, "a sample has about one point of so many")
	crashTable = flag.String("crash.table", "", "write the table of the matrix to this file")
	crashOnly  = flag.String("crash.only", "", `try one point: "scenario|end|layer|fate|operation"`)
)

// scenario is a command that a fault meets, and how the world got there.
type scenario struct {
	name    string
	direct  bool
	prepare func(w *world)
	act     func(w *world, e *ends) error
	again   verb // the same command again
}

// scenarios in the order of the table.
func scenarios() []scenario {
	copied := func(w *world) { w.must(doFull); w.change() }
	once := func(v verb) func(*world, *ends) error {
		return func(w *world, e *ends) error { _, err := w.run(e, v); return err }
	}
	return []scenario{
		{"first full copy", false, func(*world) {}, once(doFull), doFull},
		{"full copy, resumed", false, func(w *world) { w.interrupted(doFull, 6) }, once(doFull), doFull},
		{"full --overwrite", false, func(w *world) { copied(w); w.must(doSync); w.change() }, once(doOverwrite), doOverwrite},
		{"sync, journalled", false, copied, once(doSync), doSync},
		{"sync --direct", true, copied, once(doSync), doSync},
		{"resend after a cut", false, func(w *world) { copied(w); w.interrupted(doSync, 5); w.change() }, once(doSync), doSync},
		{"resend after a cut, direct", true, func(w *world) { copied(w); w.interrupted(doSync, 5); w.change() }, once(doSync), doSync},
		{"target ahead (lost answer)", false, func(w *world) { copied(w); w.lostAnswer(); w.change() }, once(doSync), doSync},
		{"recovery: killed lvcreate, origin suspended", false, func(w *world) { copied(w); w.suspended() }, once(doSync), doSync},
		{"recovery: half applied journal", false, func(w *world) { copied(w); w.halfApplied(); w.change() }, once(doSync), doSync},
		{"fold, then sync", false, copied, once(doFoldSync), doSync},
		{"fold of a cut sync, then sync", true, func(w *world) { copied(w); w.interrupted(doSync, 6); w.change() }, once(doFoldSync), doFoldSync},
		{"sync, protect: snapshot", false, func(w *world) { w.guard = true; copied(w) }, once(doSync), doSync},
		{"sync, sub-chunk", false, func(w *world) { w.chunk = largeChunk; copied(w); w.sprinkle(40) }, once(doSync), doSync},
		{"sub-chunk resend after a cut", false, func(w *world) { w.chunk = largeChunk; copied(w); w.interrupted(doSync, 4); w.change() }, once(doSync), doSync},
		{"two syncs in a row", false, copied, func(w *world, e *ends) error {
			if _, err := w.run(e, doSync); err != nil {
				return err
			}
			w.change()
			_, err := w.run(e, doSync)
			return err
		}, doSync},
	}
}

// interrupted runs a command whose link is cut at the n-th message of the source.
func (w *world) interrupted(v verb, n int) {
	e := w.start(&point{"source", layerMessage, n, linkCut})
	_, err := w.run(e, v)
	require.Error(w.t, err)
	require.True(w.t, e.fired())
	w.remember()
}

// lostAnswer is a sync that the target has done and the source does not know of.
func (w *world) lostAnswer() {
	e := w.start(&point{"target", layerMessage, -1, loseAnswer})
	_, err := w.run(e, doSync)
	require.Error(w.t, err)
	require.True(w.t, e.fired())
	w.remember()
	now, err := w.probe()
	require.NoError(w.t, err)
	require.Equal(w.t, string(state.KindClean), now.Condition)
	require.EqualValues(w.t, 2, now.Generation.Seq, "the target is one ahead")
}

// suspended is a sync that was killed inside lvcreate, while the origin was suspended.
func (w *world) suspended() {
	l := &lvm.LVM{Runner: w.src}
	defer func() { w.step = nil }()
	for n := range 40 {
		w.step = func(text string) {
			if strings.HasPrefix(text, "snapshot ") {
				w.src.CrashAt(n + 1)
			}
		}
		_, err := w.run(w.start(nil), doSync)
		require.Error(w.t, err)
		w.restart(nil, nil)
		info, err := l.DM().Info(context.Background(), lvm.DMName("vg0", "data"))
		require.NoError(w.t, err)
		if info.Suspended {
			return
		}
	}
	w.t.Fatal("no kill left the origin suspended")
}

// halfApplied is a target that was killed in the middle of writing its journal.
func (w *world) halfApplied() {
	before := w.copyNow()
	for n := range 50 {
		_, _ = w.run(w.start(&point{"target", layerDevice, n, killInside}), doSync)
		w.remember()
		if r, err := w.probe(); err == nil && r.Condition == string(state.KindApplying) && !bytes.Equal(before, w.copyNow()) {
			return
		}
	}
	w.t.Fatal("no kill left a journal half applied")
}

// fatesOf lists what can happen at a layer. "After" an operation is "before" the next one,
// except for messages, whose receiver goes on; a machine's points at commands are before,
// inside and after already.
func fatesOf(l layer) []fate {
	switch l {
	case layerMessage:
		return []fate{killBefore, killAfter, killBoth, linkCut, linkAfter, powerCut}
	case layerSet:
		return []fate{killBefore, killInside, killBoth, failOnce, failStays}
	case layerJournal, layerDevice:
		return []fate{killBefore, killInside, killBoth, failOnce, failStays, powerCut}
	}
	return []fate{killBefore, killBoth, failOnce, failStays, powerCut}
}

func layersOf(end string) []layer {
	if end == "source" {
		return []layer{layerCommand, layerState, layerSet, layerDevice, layerMessage}
	}
	return []layer{layerCommand, layerState, layerJournal, layerDevice, layerMessage}
}

// TestCrashMatrix lets every operation of both ends fail, one after the other, and runs the
// same command again. Without -crash.all it tries a sample.
func TestCrashMatrix(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a world is a few large buffers
	tab := newTable()
	t.Run("matrix", func(t *testing.T) {
		for _, s := range scenarios() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				matrixOf(t, s, tab)
			})
		}
	})
	require.NotZero(t, tab.points(), "the matrix tried nothing")
	t.Logf("%d points", tab.points())
	if *crashTable != "" {
		how := fmt.Sprintf("Tried was a sample of one point in %d (seed %d).", *crashEvery, *crashSeed)
		if *crashAll {
			how = fmt.Sprintf("Tried was every point (seed of what power cuts lose: %d).", *crashSeed)
		}
		require.NoError(t, os.WriteFile(*crashTable, []byte(tab.markdown(how)), 0o644))
	}
}

func matrixOf(t *testing.T, s scenario, tab *table) {
	failures, last := 0, lengths(t, s)
	for _, end := range []string{"source", "target"} {
		for _, l := range layersOf(end) {
			for _, f := range fatesOf(l) {
				for n := 0; ; n++ {
					p := point{end, l, n, f}
					if !chosen(s.name, p) {
						if n > last[end][l] {
							break
						}
						continue
					}
					began := time.Now()
					o, err := tryPoint(t, s, p)
					if d := time.Since(began); d > slowPoint {
						t.Logf("slow: %v, %v: %v", s.name, p, d)
					}
					tab.add(s.name, p, o, err)
					if err != nil {
						t.Errorf("%s, %v (-crash.only '%s|%s|%s|%s|%d'):\n%v", s.name, p, s.name, end, l, f, n, err)
						if failures++; failures > 20 {
							t.Fatal("too many")
						}
					}
					if !o.fired {
						break
					}
				}
			}
		}
	}
}

// lengths counts the operations of a run without faults.
func lengths(t *testing.T, s scenario) map[string]map[layer]int {
	w := s.world(t, t.TempDir())
	e := w.start(nil)
	require.NoError(t, s.act(w, e))
	near, far := e.srcGate.seen, e.dstGate.seen
	near[layerCommand], far[layerCommand] = w.src.Points(), w.dst.Points()
	return map[string]map[layer]int{"source": near, "target": far}
}

// world is where the scenario begins.
func (s scenario) world(t *testing.T, dir string) *world {
	w := newWorld(t, dir)
	w.initial = w.copyNow()
	w.leg = func(l *Leg) { l.Direct, l.ChunkSize, l.Guard = s.direct, w.chunk, w.guard }
	s.prepare(w)
	return w
}

// slowPoint is how long a point may take without a word.
const slowPoint = 500 * time.Millisecond

// chosen says whether a point is in the sample.
func chosen(name string, p point) bool {
	key := fmt.Sprintf("%s|%s|%s|%s|%d", name, p.End, p.Layer, p.Fate, p.N)
	switch {
	case *crashOnly != "":
		return key == *crashOnly
	case *crashAll:
		return true
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d|%s", *crashSeed, key)
	return h.Sum64()%*crashEvery == 0
}

// outcome of one point.
type outcome struct {
	fired    bool
	survived bool   // the run itself succeeded
	holds    string // what the target held before the next run
}

// tryPoint builds the scenario's world, lets the point happen, and checks what is left and
// that the same command repairs it.
func tryPoint(t *testing.T, s scenario, p point) (o outcome, err error) {
	dir, err := os.MkdirTemp(shm(), "ddsgo-crash")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	w := s.world(t, dir)
	e := w.start(&p)
	if *crashOnly != "" {
		w.step = func(text string) { t.Log("  " + text) }
	}
	runErr := s.act(w, e)
	o.fired, o.survived = e.fired(), runErr == nil
	if *crashOnly != "" {
		t.Logf("the run: %v", runErr)
	}
	switch {
	case !o.fired && runErr != nil:
		return o, fmt.Errorf("a run without a fault failed: %w", runErr)
	case o.fired && o.survived && kills(p) && !lastBreath(p):
		return o, errors.New("a killed command reports success")
	}
	if !o.fired {
		w.restart(nil, nil)
		return o, w.settled()
	}
	w.restart(&p, rand.New(rand.NewPCG(*crashSeed, uint64(p.N))))
	if o.holds, err = w.afterCrash(); err != nil {
		return o, fmt.Errorf("after the crash (%w): %w", runErr, err)
	}
	again := s.again
	if again == doFull && w.complete() {
		again = doSync // whatever the killed run could say of it
	}
	if err := w.repair(again); err != nil {
		return o, fmt.Errorf("%w\n(the run before: %w)", err, runErr)
	}
	return o, nil
}

// kills says that the source's process does not live on.
func kills(p point) bool {
	return p.End == "source" && p.Fate != failOnce && p.Fate != failStays && p.Fate != linkCut && p.Fate != linkAfter
}

// lastBreath: the goodbye of a session may be lost without harm.
func lastBreath(p point) bool { return p.Layer == layerMessage || p.Layer == layerState }

// repair runs the command again beside a writer, and then a plain sync of further changes.
func (w *world) repair(again verb) error {
	wait := w.writer()
	_, err := w.run(w.start(nil), again)
	if err != nil {
		return fmt.Errorf("the next %s: %w", again, err)
	}
	if err := wait(); err != nil {
		return err
	}
	if err := w.settled(); err != nil {
		return fmt.Errorf("after the next %s: %w", again, err)
	}
	w.change()
	if _, err := w.run(w.start(nil), doSync); err != nil {
		return fmt.Errorf("the sync after that: %w", err)
	}
	if err := w.settled(); err != nil {
		return fmt.Errorf("after the sync after that: %w", err)
	}
	if string(w.copyNow()) != string(w.content(w.src, sourcePath)) {
		return errors.New("the target is not the source, which nobody writes to")
	}
	return nil
}
