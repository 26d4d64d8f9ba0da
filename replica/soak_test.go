package replica

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

var (
	soakSeed  = flag.Uint64("soak.seed", 1, "first seed of the soak")
	soakSeeds = flag.Int("soak.seeds", 4, "how many seeds one after the other, unless -soak.time says how long")
	soakSteps = flag.Int("soak.steps", 30, "operations per seed")
	soakTime  = flag.Duration("soak.time", 0, "go on with further seeds for so long")
)

// TestSoakInMemory does what users, machines and bad luck do to a pair, at random and one after the
// other: writes, syncs, full copies, verifications, rejoins, holds, each of them with a fault at
// a random operation of either end, faults on top of unfinished recoveries, and damage. After each
// step the target is the generation that it claims or is marked. Whatever was left undone, a user
// who does what the refusals say has a pair in sync again after at most three commands; and where
// nothing but syncs was disturbed, one plain sync does it.
func TestSoakInMemory(t *testing.T) {
	began := time.Now()
	for n := 0; n < *soakSeeds || time.Since(began) < *soakTime; n++ {
		seed := *soakSeed + uint64(n)
		s := newSoak(t, seed)
		for step := range *soakSteps {
			if err := s.step(); err != nil {
				t.Fatalf("seed %d, step %d (-soak.seed %d -soak.seeds 1): %v\nthe steps:\n  %s", seed, step, seed, err, strings.Join(s.trail, "\n  "))
			}
		}
		if err := s.heal(); err != nil {
			t.Fatalf("seed %d, at its end (-soak.seed %d -soak.seeds 1): %v\nthe steps:\n  %s", seed, seed, err, strings.Join(s.trail, "\n  "))
		}
		s.count(t, n)
	}
}

// soak is one pair and what happened to it since it was last in sync.
type soak struct {
	w     *world
	rng   *rand.Rand
	trail []string
	kept  []string // UUIDs of remembered snapshots, oldest first

	// What a plain sync may demand depends on what was disturbed since all was well.
	syncsOnly bool
	held      bool
	damaged   bool // from outside: the next command will notice
	counts    map[string]int

	backup *putBack // of the target, with a chain of kept sets since; nil: none
	since  int      // operations since, each of which may have made a set
}

func newSoak(t *testing.T, seed uint64) *soak {
	dir, err := os.MkdirTemp(shm(), "ddsgo-soak")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &soak{w: newWorld(t, dir), rng: rand.New(rand.NewPCG(seed, 11)), counts: map[string]int{}, syncsOnly: true}
	s.w.rng = rand.New(rand.NewPCG(seed, 12))
	s.w.initial = s.w.copyNow()
	s.w.must(doFull)
	return s
}

func (s *soak) count(t *testing.T, n int) {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(s.counts)) {
		words = append(words, fmt.Sprintf("%s %d", k, s.counts[k]))
	}
	t.Logf("seed number %d: %s", n, strings.Join(words, ", "))
}

// step is one operation, and what must hold after it.
func (s *soak) step() error {
	ops := []struct {
		weight int
		do     func() error
	}{
		{4, s.writes},
		{6, func() error { return s.disturbed("sync", s.syncs) }},
		{3, func() error { return s.disturbed("fold", s.folds) }},
		{3, func() error { return s.disturbed("verify", s.verifies) }},
		{2, func() error { return s.disturbed("verify --repair", s.repairs) }},
		{2, func() error { s.syncsOnly = false; return s.disturbed("resync", s.resyncs) }},
		{1, func() error { s.syncsOnly = false; return s.disturbed("full --overwrite", s.overwrites) }},
		{1, s.holds},
		{2, s.damages},
		{2, s.rots},
		{2, s.putsBack},
		{4, s.heal},
	}
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	at := s.rng.IntN(total)
	for _, o := range ops {
		if at -= o.weight; at < 0 {
			if err := o.do(); err != nil {
				return err
			}
			return s.honest()
		}
	}
	return nil
}

func (s *soak) say(format string, args ...any) {
	s.trail = append(s.trail, fmt.Sprintf(format, args...))
}

// shuffle changes what a configuration may say from one run to the next.
func (s *soak) shuffle() {
	direct, codec := s.rng.IntN(4) == 0, []engine.Codec{engine.CodecNone, engine.CodecS2, engine.CodecZstd, engine.CodecAuto}[s.rng.IntN(4)]
	pieces := []SubChunk{SubChunkAuto, SubChunkAlways, SubChunkNever}[s.rng.IntN(3)]
	s.w.leg = func(l *Leg) { l.Direct, l.Codec, l.SubChunk = direct, codec, pieces }
}

// disturbed runs a command with a fault at a random operation.
func (s *soak) disturbed(name string, act func(*ends) error) error {
	s.shuffle()
	end := []string{"source", "target"}[s.rng.IntN(2)]
	layers := layersOf(end)
	l := layers[s.rng.IntN(len(layers))]
	fates := fatesOf(l)
	p := &point{end, l, s.rng.IntN(map[layer]int{layerCommand: 50, layerState: 40, layerSet: 4, layerJournal: 40, layerDevice: 20, layerMessage: 12}[l]), fates[s.rng.IntN(len(fates))]}
	s.w.remember()
	e := s.w.start(p)
	err := act(e)
	fired := e.fired()
	if !fired {
		p = nil
	}
	s.w.restart(p, rand.New(rand.NewPCG(s.rng.Uint64(), 1)))
	s.counts[name]++
	if fired {
		s.counts["faults"]++
		s.say("%s, %v: %v", name, p, err)
		return nil
	}
	s.say("%s, no fault: %v", name, err)
	if name == "sync" && err != nil && s.syncsOnly && !s.held {
		return fmt.Errorf("a sync without a fault: %w", err)
	}
	return nil
}

// writes is the application, unless it has to wait: a killed lvcreate may have left the origin
// suspended until the next run.
func (s *soak) writes() error {
	info, err := (&lvm.LVM{Runner: s.w.src}).DM().Info(context.Background(), lvm.DMName("vg0", "data"))
	if err == nil && !info.Suspended {
		s.w.change()
	}
	return err
}

func (s *soak) syncs(e *ends) error { s.since++; _, err := s.w.run(e, doSync); return err }

func (s *soak) folds(e *ends) error {
	s.since++
	_, err := e.near.Fold(context.Background(), s.w.theLeg(), SyncOptions{})
	return err
}

func (s *soak) overwrites(e *ends) error { _, err := s.w.run(e, doOverwrite); return err }

func (s *soak) resyncs(e *ends) error {
	_, err := e.near.Resync(context.Background(), s.w.theLeg(), ResyncOptions{SyncOptions: SyncOptions{Dial: e.dial}})
	e.serving.Wait()
	return err
}

func (s *soak) verifies(e *ends) error { return s.verifyWith(e, false, nil) }

func (s *soak) repairs(e *ends) error { return s.verifyWith(e, true, nil) }

func (s *soak) verifyWith(e *ends, repair bool, rep *report.Verify) error {
	r, err := e.near.Verify(context.Background(), s.w.theLeg(), VerifyOptions{SyncOptions: SyncOptions{Dial: e.dial}, Repair: repair})
	e.serving.Wait()
	if rep != nil {
		*rep = r
	}
	return err
}

// holds: while the target is held nothing reaches it.
func (s *soak) holds() error {
	if err := s.heal(); err != nil {
		return err
	}
	s.say("hold")
	s.counts["hold"]++
	s.w.ask(opHold)
	s.w.change()
	before := s.w.copyNow()
	s.held = true
	defer func() { s.held = false }()
	for name, act := range map[string]func(*ends) error{"sync": s.syncs, "resync": s.resyncs} {
		err := act(s.w.start(nil))
		var f *failure.Error
		if !errors.As(err, &f) || f.Code != failure.CodeRefused || f.Next == "" {
			return fmt.Errorf("a %s to a held target: %w", name, err)
		}
	}
	if !bytes.Equal(before, s.w.copyNow()) {
		return errors.New("a held target was written")
	}
	s.w.ask(opRelease)
	return nil
}

// damages breaks the chain as administrators and disks do.
func (s *soak) damages() error {
	if err := s.heal(); err != nil {
		return err
	}
	s.w.change()
	all := damages()
	names := slices.Sorted(maps.Keys(all))
	name := names[s.rng.IntN(len(names))]
	s.say("damage: %s", name)
	s.counts["damage"]++
	s.syncsOnly = false
	s.w.remember()
	all[name].damage(s.w)
	s.damaged = true
	return nil
}

// rots flips a bit of the target that nobody notices: the next verification must find the block,
// this one and no other, and repair it.
func (s *soak) rots() error {
	if err := s.heal(); err != nil {
		return err
	}
	off := int64(s.rng.IntN(s.w.size))
	s.say("a bit flips at %d", off)
	s.counts["flip"]++
	s.w.flip(off)
	var rep report.Verify
	err := s.verifyWith(s.w.start(nil), false, &rep)
	want := []report.Range{{Offset: off &^ (hashBlock - 1), Length: hashBlock}}
	if code, _ := failure.CodeOf(err); code != failure.CodeNeedFull || !slices.Equal(rep.Differing, want) {
		return fmt.Errorf("verify found %v, want %v: %w", rep.Differing, want, err)
	}
	s.syncsOnly = false
	return s.disturbed("verify --repair", s.repairs)
}

// backUp copies the target now and then. A chain that was rejoined by hash leads no further back.
func (s *soak) backUp() {
	s.since++
	if s.backup == nil || !s.syncsOnly || s.rng.IntN(4) == 0 {
		b := s.w.keepTarget()
		s.backup, s.since = &b, 0
	}
}

// putsBack restores the target, state and all, to what it was some generations ago: a plain sync
// brings it up to date.
func (s *soak) putsBack() error {
	if err := s.heal(); err != nil || s.backup == nil || s.since >= state.KeepSets {
		return err
	}
	s.say("the target is put back, %d operations", s.since)
	s.counts["put back"]++
	s.w.restoreTarget(*s.backup)
	s.backup = nil
	s.w.change()
	return s.heal()
}

// heal is a user who runs sync, and then whatever the refusal says.
func (s *soak) heal() error {
	s.shuffle()
	for range 4 {
		err := s.syncs(s.w.start(nil))
		if err == nil {
			s.say("sync")
			s.counts["healed"]++
			s.backUp()
			s.syncsOnly, s.damaged = true, false
			s.w.remember()
			return s.w.settled()
		}
		var f *failure.Error
		if s.syncsOnly || !errors.As(err, &f) || f.Next == "" {
			return fmt.Errorf("the next sync: %w", err)
		}
		s.say("sync: %v; next: %s", err, f.Next)
		if err := s.follow(f.Next); err != nil {
			return fmt.Errorf("advice %q: %w", f.Next, err)
		}
	}
	return errors.New("the refusals' advice leads nowhere")
}

// follow runs the first command that a refusal names.
func (s *soak) follow(next string) error {
	e := s.w.start(nil)
	switch {
	case strings.HasPrefix(next, "ddsgo resync app"):
		return s.resyncs(e)
	case strings.HasPrefix(next, "ddsgo verify app --repair"):
		return s.repairs(e)
	case strings.HasPrefix(next, "ddsgo full app --overwrite"):
		return s.overwrites(e)
	case strings.HasPrefix(next, "ddsgo full app"):
		_, err := s.w.run(e, doFull)
		return err
	case strings.HasPrefix(next, "ddsgo sync app"):
		return nil
	}
	return errors.New("this is no command that could be run")
}

// honest: a target that says clean is the generation that it names.
func (s *soak) honest() error {
	s.w.remember()
	if s.damaged {
		ref := VolumeRef{Device: targetPath, Resource: "app", Source: s.w.srcID.String()}
		if err := s.w.connected(func(c *session.Conn) error { return c.Call(context.Background(), opProbe, ref, nil, nil) }); err != nil {
			return err
		}
	}
	r, err := s.w.probe()
	if err != nil {
		return err
	}
	if r.Damaged {
		if s.syncsOnly {
			return fmt.Errorf("the target's state is damaged: %s", r.Detail)
		}
		return nil
	}
	s.forget(r.Generation.UUID)
	want, known := s.w.snapshots[r.Generation.UUID]
	if r.Condition != string(state.KindClean) || known && bytes.Equal(s.w.copyNow(), want) {
		return s.w.foreignUntouched()
	}
	return fmt.Errorf("the target says clean at %v (known: %v), and is not", r.Generation, known)
}

// forget drops the content of old snapshots.
func (s *soak) forget(claimed string) {
	for u := range s.w.snapshots {
		if !slices.Contains(s.kept, u) {
			s.kept = append(s.kept, u)
		}
	}
	for len(s.kept) > 16 {
		if s.kept[0] != claimed {
			delete(s.w.snapshots, s.kept[0])
		} else {
			s.kept = append(s.kept, claimed)
		}
		s.kept = s.kept[1:]
	}
}
