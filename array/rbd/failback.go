package rbd

import (
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// failback makes the home site primary again. Where both sides were written, --discard names the one
// whose writes are lost; the other one is copied back first.
func (pl *planner) failback() error {
	const home, away = 0, 1
	if pl.p.prim == home && pl.g.Discard != pl.name(away) && !pl.p.facts[away].splitBrain() {
		return pl.arrived(home)
	}
	if err := pl.bothRead(); err != nil {
		return err
	}
	if err := pl.present(); err != nil {
		return err
	}
	if pl.p.bothPrimary() {
		return pl.reunite()
	}
	if pl.p.prim == home { // the other side is being discarded
		switch {
		case pl.p.facts[away].splitBrain():
			return pl.recopy(away)
		case pl.judged(away):
			pl.Reached = true
		}
		return nil
	}
	if pl.p.prim < 0 {
		return pl.moveTo(home)
	}
	loser := 1 - pl.p.prim
	if pl.p.facts[loser].splitBrain() {
		return pl.recopy(loser)
	}
	if !pl.g.Prepare && pl.d.held(pl.p.facts[pl.p.prim], pl.p.facts[loser]) {
		return pl.moveTo(home)
	}
	if pl.byHand(loser) {
		pl.add(pl.socketStep(loser, stepStart, "go on replaying", "start"))
		return nil
	}
	if pl.judged(loser) {
		if pl.g.Prepare {
			return pl.prepare(loser)
		}
		return pl.moveTo(home)
	}
	return nil
}

// byHand: somebody stopped the replay at the admin socket, and long enough ago to have been reported;
// a change of direction would wait for ever.
func (pl *planner) byHand(i int) bool {
	f := pl.p.facts[i]
	return pl.d.cfg.Mode == ModeJournal && f.Socket == "Stopped" && !pl.d.held(pl.p.facts[1-i], f) &&
		f.State == "up+stopped" && strings.HasPrefix(f.Description, "stopped")
}

// judged waits until rbd-mirror at that side has said whether it can go on from what it has. Its
// report is up to 30 s old: "local image is primary" is the word of the time before the demotion.
func (pl *planner) judged(i int) bool {
	f := pl.p.facts[i]
	switch {
	case !f.Exists || f.firstCopyOf(pl.d.cfg.Mode) == copyRunning:
		pl.wait("the copy onto %s (%s)", pl.name(i), f.describe())
		return false
	case strings.HasPrefix(f.Description, "replaying"), f.Socket == "Replaying" && !strings.HasPrefix(f.Description, "local image is primary"):
		return true
	case pl.p.caughtUp(pl.d.cfg.Mode, 1-i, i) == array.Yes && !strings.HasPrefix(f.Description, "local image is primary"):
		return true
	}
	pl.wait("rbd-mirror at %s to find out whether it can go on (%s)", pl.name(i), f.describe())
	return false
}

// prepare ends where the home site is an exact copy; the application still runs on the other one.
func (pl *planner) prepare(to int) error {
	if err := pl.flowing(1-to, to); err != nil {
		return err
	}
	pl.Authoritative = pl.name(1 - to)
	if pl.d.cfg.Mode == ModeSnapshot {
		pl.updateSnapshot(1-to, to)
	} else {
		pl.updateJournal(1-to, to)
	}
	return nil
}

// reunite: both sides are primary. The one that --discard names is demoted; rbd-mirror then finds the
// split brain, and the next observation leads to recopy.
func (pl *planner) reunite() error {
	loser, err := pl.discarded()
	if err != nil {
		return err
	}
	pl.Authoritative = pl.name(1 - loser)
	pl.Overwrites = []array.Overwrite{pl.loss(loser)}
	pl.add(pl.demoteStep(loser))
	pl.keepSteps(loser)
	pl.add(pl.resyncStep(loser))
	return nil
}

// discarded is the side that --discard names.
func (pl *planner) discarded() (int, error) {
	for i, s := range pl.d.cfg.Sites {
		if pl.g.Discard == s.Name {
			return i, nil
		}
	}
	next := "ddsgo " + string(pl.g.Verb) + " " + pl.d.cfg.Name + " --discard " + pl.name(0)
	return 0, array.Refuse("R3", next, "both sides of %s have writes of their own: --discard SITE (%s or %s) says whose are lost; --keep-discarded copies them first",
		pl.d.cfg.Image, pl.name(0), pl.name(1))
}

// recopy replaces one side's content. Everything that makes it safe is in this observation: the peer
// answers and is primary, this side is demoted, no first copy runs, and --discard names it.
func (pl *planner) recopy(loser int) error {
	img, winner := pl.d.cfg.Image, 1-loser
	l, w := pl.p.facts[loser], pl.p.facts[winner]
	switch {
	case !pl.p.reachable(winner) || !w.Primary:
		return array.Refuse("", "ddsgo status "+pl.d.cfg.Name, "resync of %s at %s needs %s to answer and to be primary", img, pl.name(loser), pl.name(winner))
	case l.Primary:
		return array.Refuse("", "ddsgo failback "+pl.d.cfg.Name+" --discard "+pl.name(loser), "%s is primary: it is never resynced", pl.name(loser))
	case !l.Exists || l.firstCopyOf(pl.d.cfg.Mode) == copyRunning:
		pl.wait("the copy onto %s (%s)", pl.name(loser), l.describe())
		return nil
	case pl.g.DidOK(stepResync + ":" + pl.name(loser)), pl.g.Did(stepResync+":"+pl.name(loser)) && pl.renewed(loser):
		pl.wait("rbd-mirror at %s to begin the copy (%s)", pl.name(loser), l.describe())
		return nil
	}
	named, err := pl.discarded()
	if err != nil {
		return err
	}
	if named != loser {
		return array.Refuse("R3", "ddsgo "+string(pl.g.Verb)+" "+pl.d.cfg.Name+" --discard "+pl.name(loser), "%s is primary and lives on: only %s can be discarded", pl.name(named), pl.name(loser))
	}
	if l.UserSnaps > 0 {
		pl.warn("%d snapshots at %s are deleted with the image", l.UserSnaps, pl.name(loser))
	}
	pl.Authoritative = pl.name(winner)
	pl.Overwrites = []array.Overwrite{pl.loss(loser)}
	pl.keepSteps(loser)
	pl.add(pl.resyncStep(loser))
	return nil
}

func (pl *planner) resyncStep(i int) array.Step {
	s := pl.d.step(i, stepResync, "copy everything again from the other side", "mirror", "image", "resync", pl.d.cfg.Image.String())
	s.Overwrites = s.Site
	return s
}

// loss is what the plan destroys at a side.
func (pl *planner) loss(i int) array.Overwrite {
	o := array.Overwrite{Site: pl.name(i)}
	if f := pl.p.facts[i]; f.Complete != nil && !f.Complete.Time.IsZero() {
		o.LastCommon = &f.Complete.Time
	}
	if pl.g.KeepDiscarded {
		o.Kept = pl.kept(i).String()
	}
	return o
}

// kept names the copy of a discarded image by its id, which is new after every resync.
func (pl *planner) kept(i int) Image {
	return Image{Pool: pl.d.cfg.Image.Pool, Name: pl.d.cfg.Image.Name + ".discarded." + pl.p.facts[i].ID}
}

// keepSteps copies first, under a name that says it is incomplete.
func (pl *planner) keepSteps(i int) {
	if !pl.g.KeepDiscarded || pl.g.DidOK(stepKeepDone+":"+pl.name(i)) {
		return
	}
	full := pl.kept(i)
	partial := Image{Pool: full.Pool, Name: full.Name + ".partial"}
	if !pl.g.DidOK(stepKeep + ":" + pl.name(i)) {
		pl.add(pl.d.step(i, stepKeep, "copy what is going to be discarded", "cp", "--no-progress", pl.d.cfg.Image.String(), partial.String()))
	}
	pl.add(pl.d.step(i, stepKeepDone, "give the copy its name", "rename", partial.String(), full.String()))
}

// renewed says that the image is another one than at the beginning: a resync recreates it.
func (pl *planner) renewed(i int) bool {
	f := pl.p.facts[i]
	return f.Exists && pl.g.Baseline != nil && pl.d.pair(*pl.g.Baseline).facts[i].ID != f.ID
}

// resync is the life-cycle verb: the side that --discard names becomes a copy of the other one.
func (pl *planner) resync() error {
	if err := pl.bothRead(); err != nil {
		return err
	}
	if err := pl.present(); err != nil {
		return err
	}
	if pl.p.bothPrimary() {
		return pl.reunite()
	}
	loser, err := pl.discarded()
	if err != nil {
		return err
	}
	if pl.copiedAgain(loser) {
		switch {
		case pl.p.caughtUp(pl.d.cfg.Mode, 1-loser, loser) == array.Yes:
			pl.Reached = true
		case pl.d.cfg.Mode == ModeJournal && pl.p.facts[loser].firstCopyOf(ModeJournal) == copyDone:
			pl.Reached = pl.replayed(1-loser, loser) // of an image in use the positions need not be equal at any time
		default:
			pl.wait("everything to be copied to %s (%s)", pl.name(loser), pl.p.facts[loser].describe())
		}
		return nil
	}
	return pl.recopy(loser)
}

// copiedAgain: this run's resync has made a new image, and no first copy is seen to run.
func (pl *planner) copiedAgain(loser int) bool {
	l := pl.p.facts[loser]
	return pl.g.Did(stepResync+":"+pl.name(loser)) && pl.renewed(loser) && pl.p.prim == 1-loser &&
		l.firstCopyOf(pl.d.cfg.Mode) != copyRunning && !l.splitBrain()
}
