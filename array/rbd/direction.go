package rbd

import (
	"slices"

	"github.com/ddsgo/ddsgo/array"
)

// takeover promotes a side that the other one has been demoted for, unforced: librbd itself refuses
// until it holds everything. Then a write proves that the side is really writable.
func (pl *planner) takeover(to int) {
	from := 1 - to
	if pl.byHand(to) { // it would never learn of the demotion
		pl.add(pl.socketStep(to, stepStart, "go on replaying", "start"), pl.promoteStep(to, false), pl.proveStep(to))
		return
	}
	if pl.p.caughtUp(pl.d.cfg.Mode, from, to) == array.No && !pl.p.facts[from].Primary && pl.p.facts[from].Mirrored && !pl.ownsNewest(to) {
		pl.wait("%s to hold everything that %s wrote (%s)", pl.name(to), pl.name(from), pl.p.facts[to].describe())
		return
	}
	pl.add(pl.promoteStep(to, false), pl.proveStep(to))
}

// ownsNewest says that the side was itself the last primary (a swap cut between demote and promote may
// be finished in either direction). In journal mode that shows in caughtUp: positions of two journals
// do not compare.
func (pl *planner) ownsNewest(i int) bool {
	a := pl.p.facts[i]
	return pl.d.cfg.Mode == ModeSnapshot && a.Newest != nil && a.Newest.Demoted && (a.Complete == nil || a.Newest.Local > a.Complete.Local)
}

func (pl *planner) promoteStep(i int, force bool) array.Step {
	args, id, action := []string{"mirror", "image", "promote"}, stepPromote, "promote"
	if force {
		args, id, action = append(args, "--force"), stepForce, "promote without the other side's consent"
	}
	s := pl.d.step(i, id, action, append(args, pl.d.cfg.Image.String())...)
	s.GrantsWrite = s.Site
	return s
}

// arrived ends a planned change: proven, and with --no-start held.
func (pl *planner) arrived(to int) error {
	pl.settled(to)
	if !pl.Reached || !pl.g.NoStart || !pl.g.Did(stepPromote+":"+pl.name(to)) {
		return nil
	}
	pl.Reached = false
	return pl.pause()
}

// proveStep writes a line of metadata: the smallest write that goes the way of all writes (exclusive
// lock, journal) and touches no data. A promotion's exit status alone does not prove it.
func (pl *planner) proveStep(i int) array.Step {
	return pl.d.step(i, stepProve, "prove that the image is writable", "image-meta", "set", pl.d.cfg.Image.String(), metaWritable, pl.name(i))
}

func (pl *planner) demoteStep(i int) array.Step {
	s := pl.d.step(i, stepDemote, "demote: the image becomes read-only here", "mirror", "image", "demote", pl.d.cfg.Image.String())
	s.TakesWrite = s.Site
	return s
}

// settled ends a change of direction: the promotion of this run, or one that left a daemon's lock
// behind, has to be proven by a write. Where that is refused while rbd-mirror holds the lock, the lock
// is taken from it (Ceph then blocklists the daemon, which starts afresh).
func (pl *planner) settled(i int) {
	site := pl.name(i)
	held := pl.p.facts[i].Held
	promoted := pl.g.Did(stepPromote+":"+site) || pl.g.Did(stepForce+":"+site)
	if i := slices.IndexFunc(pl.g.Done, func(s array.DoneStep) bool { return s.ID == stepUnlock+":"+site }); i >= 0 {
		pl.warn("rbd-mirror at %s (%s) hangs on the dead peer and was blocklisted: restart it (kill -9: it may ignore TERM)", site, pl.g.Done[i].Args["locker"])
	}
	if pl.g.DidOK(stepProve+":"+site) || !promoted && held == nil {
		pl.Reached = true
		return
	}
	refused := slices.ContainsFunc(pl.g.Done, func(s array.DoneStep) bool {
		return s.ID == stepProve+":"+site && s.Outcome == array.OutcomeError
	})
	if held != nil && refused && !pl.g.DidOK(stepUnlock+":"+site) {
		s := pl.d.step(i, stepUnlock, "take the image's lock from the rbd-mirror that cannot let go", "lock", "rm", pl.d.cfg.Image.String(), held.ID, held.Locker)
		s.GrantsWrite, s.Args["locker"] = site, held.Locker
		pl.add(s)
	}
	pl.add(pl.proveStep(i))
}

// swap makes g.Site primary, losing nothing: update, demote, everything replayed, promote.
func (pl *planner) swap() error {
	return pl.moveTo(pl.target())
}

func (pl *planner) target() int {
	site := pl.g.Site
	if site == "" {
		site = pl.g.LocalSite
	}
	return pl.d.site(site)
}

func (pl *planner) moveTo(to int) error {
	from := 1 - to
	if pl.p.prim == to {
		return pl.arrived(to)
	}
	if err := pl.bothRead(); err != nil {
		return err
	}
	if err := pl.present(); err != nil {
		return err
	}
	if pl.p.bothPrimary() {
		return pl.twoPrimaries()
	}
	pl.Authoritative = pl.name(from)
	if pl.p.prim < 0 {
		pl.takeover(to)
		return nil
	}
	if pl.d.held(pl.p.facts[from], pl.p.facts[to]) { // a change of direction ends a break
		if err := pl.release(from, to); err != nil {
			return err
		}
		pl.foresee(from, to)
		return nil
	}
	if err := pl.flowing(from, to); err != nil {
		return err
	}
	if !pl.p.facts[to].Exists || pl.p.facts[to].firstCopyOf(pl.d.cfg.Mode) != copyDone {
		pl.wait("the first copy onto %s (%s)", pl.name(to), pl.p.facts[to].describe())
		return nil
	}
	if pl.byHand(to) {
		pl.add(pl.socketStep(to, stepStart, "go on replaying", "start"))
		return nil
	}
	if pl.d.cfg.Mode == ModeJournal && !pl.replayed(from, to) {
		if len(pl.Steps) > 0 {
			pl.foresee(from, to)
		}
		return nil
	}
	if pl.d.cfg.Mode == ModeSnapshot { // so that little is left to copy while nobody can write
		pl.updateSnapshot(from, to)
		if !pl.Reached {
			pl.foresee(from, to)
			return nil
		}
		pl.Reached = false
	}
	pl.wayBack(from, to)
	pl.foresee(from, to)
	return nil
}

// replayed says that the journal has arrived: by the positions, which are equal some seconds after the
// last write. Where that write had no flush behind it, they never are: rbd-mirror commits what it has
// replayed up to the last flush only. A note in the image is written after it, and does flush.
func (pl *planner) replayed(from, to int) bool {
	a := pl.p.facts[from]
	if pl.p.caughtUp(ModeJournal, from, to) == array.Yes {
		return true
	}
	if _, ok := pl.marked(a); ok || pl.g.Baseline != nil && pl.p.o.At.Sub(pl.g.Baseline.At) >= unflushedAfter*pl.settle() {
		reached := pl.Reached
		pl.updateJournal(from, to)
		arrived := pl.Reached
		pl.Reached = reached
		return arrived
	}
	pl.wait("%s to replay the journal up to %s (now %s)", pl.name(to), positionOr(a.Written), positionOr(a.Replayed))
	return false
}

// unflushedAfter is how many times the settling time of a journal passes before a position that does
// not move is put down to a missing flush.
const unflushedAfter = 2

// foresee lists the steps from the demotion on.
func (pl *planner) foresee(from, to int) {
	if pl.Wait != nil {
		return
	}
	pl.add(pl.demoteStep(from), pl.promoteStep(to, false), pl.proveStep(to))
}

// wayBack warns when, after this verb, nothing would replicate in the other direction.
func (pl *planner) wayBack(from, to int) {
	a := pl.p.facts[from]
	pl.cloneWarning()
	if !pl.p.reachable(from) {
		pl.warn("%s was not read: whether the way back has a peer and a live rbd-mirror is not known", pl.name(from))
		return
	}
	if a.Peer == nil {
		pl.warn("%s has no peer to receive from: after this, nothing flows back (ddsgo array setup %s)", pl.name(from), pl.d.cfg.Name)
	}
	if !a.HasDaemon && a.Socket == "" {
		pl.warn("no live rbd-mirror at %s: after this, nothing flows back until one runs (%s)", pl.name(from), a.describe())
	}
	if pl.d.cfg.Mode == ModeSnapshot && len(pl.p.facts[to].Schedules)+len(pl.p.facts[to].Inherited) == 0 {
		pl.warn("no snapshot schedule at %s: after this, the copy moves only by `ddsgo update`", pl.name(to))
	}
}

// failover makes g.Site primary although the other side is lost.
func (pl *planner) failover() error {
	to := pl.target()
	from := 1 - to
	t, name := pl.p.facts[to], pl.d.cfg.Name
	if s := pl.p.o.Sides[to]; !s.Reachable {
		return &array.Error{Kind: array.KindUnreachable, Site: s.Site, Reason: "the side to be promoted was not read: " + s.Error, Next: "ddsgo status " + name}
	}
	if t.Primary {
		pl.settled(to)
		return nil
	}
	if err := pl.present(); err != nil {
		return err
	}
	if pl.p.facts[from].Primary && !pl.g.Force {
		return array.Refuse("R1", "ddsgo swap "+name+" --site "+pl.name(to), "%s answers and is primary", pl.name(from))
	}
	if err := pl.firstCopyDone(to); err != nil {
		return err
	}
	pl.wayBack(from, to)
	if pl.p.reachable(from) && pl.p.facts[from].Mirrored && !pl.p.facts[from].Primary && !t.splitBrain() {
		pl.Authoritative = pl.name(from)
		pl.takeover(to) // demoted: a planned change was cut; nothing needs to be lost
		if pl.Wait == nil || !pl.g.Force {
			return nil
		}
		pl.Wait = nil
	}
	pl.Authoritative = pl.name(to)
	pl.warn("writes that %s did not send are not at %s; going back will discard them (failback --discard %s)", pl.name(from), pl.name(to), pl.name(from))
	force := pl.promoteStep(to, true)
	if pl.p.facts[from].Primary {
		force.Args["over_primary"] = "yes" // --force: the operator knows that the other one answers
	}
	pl.add(force, pl.proveStep(to))
	return nil
}

// firstCopyDone refuses a failover onto a copy that was never complete. --force passes only what is
// unproven, never what is proven incomplete.
func (pl *planner) firstCopyDone(to int) error {
	t := pl.p.facts[to]
	switch t.firstCopyOf(pl.d.cfg.Mode) {
	case copyRunning:
		return array.Refuse("", "ddsgo status "+pl.d.cfg.Name, "the first copy onto %s never completed: its content is useless; %s", pl.name(to), t.describe())
	case copyUnknown:
		if !pl.g.Force {
			return array.Refuse("", "ddsgo failover "+pl.d.cfg.Name+" --force", "nothing proves that the first copy onto %s ever completed; %s", pl.name(to), t.describe())
		}
		pl.warn("nothing proves that the first copy onto %s ever completed", pl.name(to))
	}
	return nil
}
