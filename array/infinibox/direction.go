package infinibox

import (
	"fmt"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// planSwap makes to the SOURCE, losing nothing.
func (d *Driver) planSwap(o array.Observation, g array.Goal, to string) (array.Plan, error) {
	from := d.peer(to)
	switch {
	case len(o.Primaries()) > 1:
		return array.Plan{}, array.Refuse("", "ddsgo plan failback "+d.cfg.Name+" --discard SITE", "both sides are SOURCE: their contents have parted")
	case o.Primary() == to:
		return d.planHolds(o, g, to)
	}
	for _, site := range []string{from, to} {
		if s := o.Side(site); !s.Reachable {
			return array.Plan{}, d.silent(s)
		}
	}
	old, next := factsOf(o, from).Replica, factsOf(o, to).Replica
	if o.Primary() == from {
		if err := d.linked(o, "swap"); err != nil {
			return array.Plan{}, err
		}
		if old.Type == wordSync {
			return d.planSwitch(o, g, from, to)
		}
		return d.planHandOver(o, g, from, to)
	}
	if next.neverCopied() {
		return array.Plan{}, array.Refuse("", d.command("swap")+" --site "+from, "%s has never been synchronized", to)
	}
	p := array.Plan{Steps: []array.Step{promoteStep(to, next)}, Authoritative: from}
	if !g.NoStart {
		p.Steps = append(p.Steps, resumeStep(to, next))
	}
	return p, nil
}

// planHolds: the site is SOURCE already. What is left is to start replication in the
// new direction, and never to undo an operator's break.
func (d *Driver) planHolds(o array.Observation, g array.Goal, site string) (array.Plan, error) {
	r := factsOf(o, site).Replica
	switch {
	case g.NoStart && word(r.State) == wordActive && g.Did(stepID(stepSwitch, d.peer(site))):
		return steps("", suspendStep(site, r))
	case g.NoStart, word(r.State) == wordActive:
		return reached()
	}
	ours := word(r.State) == wordAutoSuspended || r.freshlyPromoted() || g.Did(stepID(stepPromote, site)) || g.Did(stepID(stepDemote, d.peer(site)))
	if ours && o.Link == array.LinkUp && o.Side(d.peer(site)).Role == array.RoleSecondary {
		return steps(site, resumeStep(site, r))
	}
	text := fmt.Sprintf("%s is SOURCE, but replication is %s: %s", site, word(r.State), d.command("resume"))
	return array.Plan{Reached: true, Warnings: []string{text}}, nil
}

// planSwitch exchanges the roles of a SYNC replica, when both sides are equal.
func (d *Driver) planSwitch(o array.Observation, g array.Goal, from, to string) (array.Plan, error) {
	old := factsOf(o, from).Replica
	switch word(old.State) {
	case wordActive:
	case wordSuspended, wordAutoSuspended:
		return steps(from, resumeStep(from, old), switchStep(from, to, old))
	default:
		return array.Plan{}, d.unknown(from, "state", word(old.State))
	}
	p, err := d.planCurrent(g, from, old)
	if err != nil || !p.Reached {
		return p, err
	}
	p.Reached = false
	p.Steps = []array.Step{switchStep(from, to, old)}
	if g.NoStart {
		p.Steps = append(p.Steps, suspendStep(to, factsOf(o, to).Replica))
	}
	return p, nil
}

// planHandOver moves an ASYNC replica: update, suspend, the old SOURCE gives up its
// role, the new one takes it, resume. An interrupted run begins with a fresh update:
// nothing tells a later run what was copied before the suspension.
func (d *Driver) planHandOver(o array.Observation, g array.Goal, from, to string) (array.Plan, error) {
	old, next := factsOf(o, from).Replica, factsOf(o, to).Replica
	if err := d.refusedRole(g, from, old); err != nil {
		return array.Plan{}, err
	}
	rest := []array.Step{demoteStep(from, old), promoteStep(to, next)}
	if !g.NoStart {
		rest = append(rest, resumeStep(to, next))
	}
	state := word(old.State)
	stopped := state == wordSuspended || state == wordAutoSuspended
	switch {
	case stopped && d.refused(g, from):
		return steps(from, resumeStep(from, old))
	case stopped && d.copied(g, from, old):
		return steps(from, rest...)
	case stopped:
		return steps(from, append([]array.Step{resumeStep(from, old), syncStep(from, old), suspendStep(from, old)}, rest...)...)
	case state != wordActive:
		return array.Plan{}, d.unknown(from, "state", state)
	}
	p, err := d.planCurrent(g, from, old)
	if err != nil {
		return p, err
	}
	if p.Wait != nil {
		p.Warnings = []string{then(append([]array.Step{syncStep(from, old), suspendStep(from, old)}, rest...))}
		return p, nil
	}
	p.Reached = false
	p.Steps = append(append(p.Steps, suspendStep(from, old)), rest...)
	return p, nil
}

// then tells what follows a wait: a plan that waits has no steps.
func then(steps []array.Step) string {
	words := make([]string, 0, len(steps))
	for _, s := range steps {
		words = append(words, s.Site+": "+s.Action)
	}
	return "after the wait: " + strings.Join(words, "; ")
}

// refused says that the box answered our last step, taking the role of the SOURCE, with
// an error.
func (d *Driver) refused(g array.Goal, from string) bool {
	if len(g.Done) == 0 {
		return false
	}
	last := g.Done[len(g.Done)-1]
	return last.ID == stepID(stepDemote, from) && last.Outcome == array.OutcomeError
}

// refusedRole ends a run whose role change was refused, after replication was resumed.
// The order is never turned round: that would be two SOURCEs for a moment.
func (d *Driver) refusedRole(g array.Goal, from string, old *replica) error {
	if n := len(g.Done); n < 2 || g.Done[n-1].ID != stepID(stepResume, from) || g.Done[n-2].ID != stepID(stepDemote, from) || g.Done[n-2].Outcome != array.OutcomeError || word(old.State) != wordActive {
		return nil
	}
	return &array.Error{
		Kind: array.KindArray, Site: from, Next: d.command("status"),
		Reason: "the box does not let the SOURCE become TARGET while the link is up; the order is never turned round, replication was resumed as it was: " + g.Done[len(g.Done)-2].Error,
	}
}

// planFailover makes a TARGET whose SOURCE is lost writable.
func (d *Driver) planFailover(o array.Observation, g array.Goal) (array.Plan, error) {
	to, from := o.Side(g.Site), o.Side(d.peer(g.Site))
	if !to.Reachable {
		return array.Plan{}, d.silent(to)
	}
	r := factsOf(o, to.Site).Replica
	if to.Role == array.RolePrimary {
		p := array.Plan{Reached: true, Result: pointInTime(r)}
		if g.Did(stepID(stepPromote, to.Site)) {
			p.Warnings = []string{shows(to.Site, from.Site, r)}
		}
		if from.Reachable && from.Role == array.RolePrimary {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is SOURCE too: %s --discard SITE", from.Site, d.command("plan failback")))
		}
		return p, nil
	}
	if r.neverCopied() {
		return array.Plan{}, array.Refuse("", d.command("status"), "%s has never been synchronized: there is nothing to fail over to", to.Site)
	}
	p := array.Plan{Authoritative: to.Site, Warnings: []string{shows(to.Site, from.Site, r)}}
	if from.Reachable && from.Role == array.RolePrimary {
		p.Steps = d.takeOver(o, from.Site)
		p.Warnings = append(p.Warnings, fmt.Sprintf("what %s wrote since is kept there until replication is resumed", from.Site))
	}
	p.Steps = append(p.Steps, promoteStep(to.Site, r))
	return p, nil
}

// takeOver takes write access from a SOURCE that still answers; only --force comes here.
func (d *Driver) takeOver(o array.Observation, from string) []array.Step {
	old := factsOf(o, from).Replica
	demote := demoteStep(from, old)
	if s := word(old.State); s == wordSuspended || s == wordAutoSuspended {
		return []array.Step{demote}
	}
	return []array.Step{suspendStep(from, old), demote}
}

// shows tells people what a promoted copy holds.
func shows(to, from string, r *replica) string {
	t := instant(r.point())
	if t == nil {
		return to + " holds a copy of an unknown time"
	}
	return fmt.Sprintf("%s holds the content of %s; what %s wrote later is not there", to, t.Format(time.RFC3339), from)
}

// pointInTime tells what a promoted copy shows.
func pointInTime(r *replica) map[string]string {
	t := instant(r.point())
	if t == nil {
		return nil
	}
	return map[string]string{"restore_point": t.Format(time.RFC3339Nano)}
}

// planFailback makes home the SOURCE again. Where both sides are SOURCE, one of them
// loses its own writes first: home, or the site that the operator names.
func (d *Driver) planFailback(o array.Observation, g array.Goal) (array.Plan, error) {
	home, away := d.home(), d.away()
	if len(o.Primaries()) < 2 && o.Primary() == home {
		return d.planHolds(o, g, home)
	}
	for _, site := range []string{home, away} {
		if s := o.Side(site); !s.Reachable {
			return array.Plan{}, d.silent(s)
		}
	}
	if err := d.linked(o, "failback"); err != nil {
		return array.Plan{}, err
	}
	if len(o.Primaries()) > 1 {
		loser := home
		if g.Discard != "" {
			loser = g.Discard
		}
		return d.planRejoin(o, g, loser)
	}
	if !g.Prepare {
		return d.planSwap(o, g, home)
	}
	if o.Primary() != away {
		return array.Plan{}, array.Refuse("", d.command("failback"), "no side is SOURCE: nothing is left to prepare")
	}
	r := factsOf(o, away).Replica
	if s := word(r.State); s == wordSuspended || s == wordAutoSuspended {
		return steps(away, resumeStep(away, r))
	}
	return d.planUpdate(o, g)
}

// planRejoin makes the loser of two SOURCEs a TARGET, and lets the winner resume.
func (d *Driver) planRejoin(o array.Observation, g array.Goal, loser string) (array.Plan, error) {
	winner := d.peer(loser)
	lost, kept := factsOf(o, loser).Replica, factsOf(o, winner).Replica
	p := array.Plan{Authoritative: winner}
	ow := array.Overwrite{Site: loser, LastCommon: instant(lost.point())}
	if g.KeepDiscarded {
		keep, name := d.keepStep(o, g, loser)
		ow.Kept = name + " at " + loser
		if !g.DidOK(keep.ID) {
			p.Steps = append(p.Steps, keep)
		}
	}
	p.Overwrites = []array.Overwrite{ow}
	if word(lost.State) == wordActive {
		p.Steps = append(p.Steps, suspendStep(loser, lost))
	}
	demote := demoteStep(loser, lost)
	demote.Overwrites = loser // from here on nothing but the snapshot tells that it had writes of its own
	p.Steps = append(p.Steps, demote)
	if s := word(kept.State); s != wordActive {
		p.Steps = append(p.Steps, resumeStep(winner, kept))
	}
	return p, nil
}

// keepStep takes a snapshot of what --discard gives up. Its name ends in the time of
// the run's first observation, which a plan made before the run cannot know: there and
// in the command it reads TIME.
func (d *Driver) keepStep(o array.Observation, g array.Goal, loser string) (array.Step, string) {
	at := o.At
	if g.Baseline != nil {
		at = g.Baseline.At // the same name in every plan of a run
	}
	e := factsOf(o, loser).Entity
	body := func(when string) (name, text string) {
		name = e.Name + "-discarded-" + when
		if d.cfg.Kind == KindGroup {
			return name, fmt.Sprintf(`{"name":%s,"parent_id":%d,"snap_suffix":%s}`, quote(name), e.ID, quote("-discarded-"+when))
		}
		return name, fmt.Sprintf(`{"name":%s,"parent_id":%d}`, quote(name), e.ID)
	}
	shown, text := body("TIME")
	s := d.specialStep(specialKeep, loser, "keep its content in snapshot "+shown, "POST "+apiRoot+collectionOf(d.cfg.Kind)+" "+text)
	s.Args[argVolume], s.Args[argBody] = body(at.UTC().Format("20060102T150405.000Z"))
	return s, shown
}
