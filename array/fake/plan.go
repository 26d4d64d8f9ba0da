package fake

import (
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// Plan implements array.Driver. Each verb reads from the top: where the goal holds, say
// so; else name the steps that are left, from the first one that is needed now.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	switch g.Verb {
	case array.Create, array.Delete, array.Add, array.Remove:
		return d.planLifeCycle(o, g)
	}
	for _, s := range o.Sides {
		if s.Reachable && s.Role == array.RoleNone {
			return array.Plan{}, array.Refuse("", "ddsgo array create NAME", "the pair does not exist")
		}
	}
	switch g.Verb {
	case array.Update:
		return d.planUpdate(o, g)
	case array.Break:
		return d.planBreak(o)
	case array.Resume:
		return d.planResume(o)
	case array.Failover:
		return d.planFailover(o, g)
	case array.Start:
		if o.Link != array.LinkUp {
			return d.planFailover(o, g)
		}
		return d.planSwap(o, g, false)
	case array.Swap:
		return d.planSwap(o, g, true)
	case array.Failback:
		return d.planFailback(o, g)
	}
	return array.Plan{}, array.Unsupported("", "%s", g.Verb)
}

// step builds a step; native text and arguments cannot differ.
func step(site, action, command string, arg ...string) array.Step {
	a := strings.Join(arg, " ")
	return array.Step{
		ID: command + "@" + site, Site: site, Action: action, Command: strings.TrimSpace("fake -at " + site + " " + command + " " + a),
		Args: map[string]string{"command": command, "arg": a},
	}
}

func reached() (array.Plan, error) { return array.Plan{Reached: true}, nil }

func waitFor(what string) (array.Plan, error) { return array.Plan{Wait: &array.Wait{What: what}}, nil }

// onePrimary is the one primary side, or the reason why there is none.
func onePrimary(o array.Observation) (string, error) {
	if len(o.Primaries()) > 1 {
		return "", array.Refuse("", "ddsgo plan failback NAME --discard SITE", "both sides are primary")
	}
	if p := o.Primary(); p != "" {
		return p, nil
	}
	for _, s := range o.Sides {
		if !s.Reachable {
			return "", array.Unreachable(s.Site, ErrNoReply)
		}
	}
	return "", array.Refuse("", "ddsgo swap NAME --site SITE", "no side is primary: a swap was cut off")
}

func (d *Driver) planUpdate(o array.Observation, g array.Goal) (array.Plan, error) {
	p, err := onePrimary(o)
	if err != nil {
		return array.Plan{}, err
	}
	if o.Link != array.LinkUp {
		return array.Plan{}, array.Unreachable(d.peer(p), ErrNoReply)
	}
	if o.Replication != array.Running {
		return array.Plan{}, array.Refuse("", "ddsgo resume NAME", "replication does not run")
	}
	if d.mode == "sync" {
		if o.AllSynced() && o.Sides[0].Native["equal"] == true {
			return reached()
		}
		return waitFor("the resynchronization")
	}
	return d.planCopy(o, g, p), nil
}

// planCopy brings the secondary up to now. A copy that was on its way when the run began
// does not count: its content is older than the verb.
func (d *Driver) planCopy(o array.Observation, g array.Goal, primary string) array.Plan {
	need := int64(1)
	if b := g.Baseline; b != nil && len(b.Members) > 0 && b.Members[0].Sync == array.Syncing {
		need = 2
	}
	sync := step(primary, "copy now", "sync")
	if g.Did(sync.ID) && moved(o, g) >= need {
		return array.Plan{Reached: true, Authoritative: primary}
	}
	if g.Did(sync.ID) && len(o.Members) > 0 && o.Members[0].Sync == array.Syncing {
		return array.Plan{Wait: &array.Wait{What: "the copy"}, Authoritative: primary}
	}
	return array.Plan{Steps: []array.Step{sync}, Authoritative: primary}
}

// moved is how many copies have ended since the run began.
func moved(o array.Observation, g array.Goal) int64 {
	if g.Baseline == nil || len(o.Members) == 0 || len(g.Baseline.Members) == 0 {
		return 0
	}
	now, then := o.Members[0].SyncPoint, g.Baseline.Members[0].SyncPoint
	if now == nil || then == nil {
		return 0
	}
	return *now - *then
}

func (d *Driver) planBreak(o array.Observation) (array.Plan, error) {
	if o.Replication == array.Held {
		return reached()
	}
	p, err := onePrimary(o)
	if err != nil {
		return array.Plan{}, err
	}
	return array.Plan{Steps: []array.Step{step(p, "stop replication", "stop")}}, nil
}

func (d *Driver) planResume(o array.Observation) (array.Plan, error) {
	p, err := onePrimary(o)
	if err != nil {
		return array.Plan{}, err
	}
	if o.Replication == array.Running {
		return reached()
	}
	if o.Link != array.LinkUp {
		return array.Plan{}, array.Unreachable(d.peer(p), ErrNoReply)
	}
	if native(o, p, "parted") {
		return array.Plan{}, array.Refuse("", "ddsgo plan failback NAME --discard SITE", "the contents have parted")
	}
	return array.Plan{Steps: []array.Step{step(p, "start replication", "start")}, Authoritative: p}, nil
}

func (d *Driver) planFailover(o array.Observation, g array.Goal) (array.Plan, error) {
	s, peer := o.Side(g.Site), o.Side(d.peer(g.Site))
	if s.Role == array.RolePrimary {
		return reached()
	}
	if !s.Reachable {
		return array.Plan{}, array.Unreachable(g.Site, ErrNoReply)
	}
	p := array.Plan{Authoritative: g.Site, Warnings: []string{"writes since the last copy are lost at " + g.Site}}
	if peer.Reachable && peer.Role == array.RolePrimary && o.Replication == array.Running {
		p.Steps = append(p.Steps, step(peer.Site, "stop replication", "stop"))
	}
	promote := step(g.Site, "make it primary", "promote", "-f")
	promote.GrantsWrite = g.Site
	p.Steps = append(p.Steps, promote)
	return p, nil
}

// planSwap moves the primary to g.Site: copy, demote, let it drain, promote, start.
func (d *Driver) planSwap(o array.Observation, g array.Goal, copyFirst bool) (array.Plan, error) {
	to, from := g.Site, d.peer(g.Site)
	switch {
	case len(o.Primaries()) > 1:
		return array.Plan{}, array.Refuse("", "ddsgo plan failback NAME --discard SITE", "both sides are primary")
	case o.Primary() == to:
		return d.planRestart(o, g)
	case o.Primary() == from:
		return d.planDemote(o, g, copyFirst)
	case !o.AllReachable():
		return array.Plan{}, array.Unreachable(from, ErrNoReply)
	}
	promote := step(to, "make it primary", "promote")
	promote.GrantsWrite = to
	p := array.Plan{Steps: []array.Step{promote}, Authoritative: from}
	if native(o, from, "last") && !native(o, from, "equal") {
		if o.Link != array.LinkUp {
			return array.Plan{}, array.Unreachable(to, ErrNoReply)
		}
		return array.Plan{Wait: &array.Wait{What: "the demoted side to drain"}, Authoritative: from}, nil
	}
	p.Steps = append(p.Steps, d.startStep(g)...)
	return p, nil
}

// planRestart starts replication in the new direction, unless somebody holds it.
func (d *Driver) planRestart(o array.Observation, g array.Goal) (array.Plan, error) {
	if o.Replication == array.Stopped && !g.NoStart && o.Link == array.LinkUp && !native(o, g.Site, "parted") {
		return array.Plan{Steps: d.startStep(g), Authoritative: g.Site}, nil
	}
	return reached()
}

func (d *Driver) startStep(g array.Goal) []array.Step {
	if g.NoStart {
		return nil
	}
	return []array.Step{step(g.Site, "start replication", "start")}
}

// planDemote begins a swap: the last copy before nobody can write any more.
func (d *Driver) planDemote(o array.Observation, g array.Goal, copyFirst bool) (array.Plan, error) {
	to, from := g.Site, d.peer(g.Site)
	switch {
	case !o.AllReachable():
		return array.Plan{}, array.Unreachable(to, ErrNoReply)
	case o.Link != array.LinkUp:
		return array.Plan{}, array.Refuse("", "ddsgo status NAME", "the link is down, the copy at %s cannot be brought up to date", to)
	case native(o, to, "parted"):
		return array.Plan{}, array.Refuse("", "ddsgo plan failback NAME --discard SITE", "the contents have parted")
	case o.Replication != array.Running:
		return array.Plan{}, array.Refuse("", "ddsgo resume NAME", "replication does not run")
	}
	p := array.Plan{Authoritative: from}
	if copyFirst && d.mode == "async" {
		p = d.planCopy(o, g, from)
		if p.Wait != nil {
			return p, nil
		}
		p.Reached = false
	}
	demote := step(from, "take write access", "demote")
	demote.TakesWrite = from
	promote := step(to, "make it primary", "promote")
	promote.GrantsWrite = to
	p.Steps = append(append(p.Steps, demote, promote), d.startStep(g)...)
	return p, nil
}

// planFailback makes home primary. Where both sides are primary, one of them loses its
// own writes first: home, or the site that the operator names.
func (d *Driver) planFailback(o array.Observation, g array.Goal) (array.Plan, error) {
	home, away := g.HomeSite, d.peer(g.HomeSite)
	if o.Primary() == home && !native(o, home, "parted") {
		return d.planRestart(o, g)
	}
	if !o.AllReachable() || o.Link != array.LinkUp {
		return array.Plan{}, array.Unreachable(away, ErrNoReply)
	}
	loser := home
	if g.Discard != "" {
		loser = g.Discard
	}
	winner := d.peer(loser)
	if len(o.Primaries()) > 1 || o.Primary() == winner && native(o, loser, "own") {
		return d.planRejoin(o, g, loser, winner)
	}
	if o.Primary() == home {
		return array.Plan{}, array.Refuse("R3", "ddsgo plan failback NAME --discard "+away, "the contents have parted, and %s survives only if told so", home)
	}
	if o.Primary() == away && o.Replication != array.Running {
		return array.Plan{Steps: []array.Step{step(away, "start replication", "start")}, Authoritative: away}, nil
	}
	if g.Prepare {
		if o.Primary() != away {
			return array.Plan{}, array.Refuse("", "ddsgo failback NAME", "no side is primary: nothing is left to prepare")
		}
		return d.planUpdate(o, g)
	}
	return d.planSwap(o, g, true)
}

// planRejoin makes the loser a secondary without own writes, and copies to it.
func (d *Driver) planRejoin(o array.Observation, g array.Goal, loser, winner string) (array.Plan, error) {
	p := array.Plan{Authoritative: winner}
	undo := step(loser, "drop its own writes", "undo")
	if g.KeepDiscarded {
		undo = step(loser, "drop its own writes, keeping a snapshot", "undo", "-keep")
	}
	if native(o, loser, "own") {
		undo.Overwrites = loser
		ow := array.Overwrite{Site: loser, LastCommon: o.LastSync}
		if g.KeepDiscarded {
			ow.Kept = "the snapshot at " + loser
		}
		p.Overwrites = []array.Overwrite{ow}
	}
	if o.Side(loser).Role == array.RolePrimary {
		demote := step(loser, "take write access", "demote")
		demote.TakesWrite = loser
		p.Steps = append(p.Steps, demote)
	}
	if undo.Overwrites != "" {
		p.Steps = append(p.Steps, undo)
	}
	p.Steps = append(p.Steps, step(winner, "start replication", "start"))
	return p, nil
}

func (d *Driver) planLifeCycle(o array.Observation, g array.Goal) (array.Plan, error) {
	home := d.sites[0]
	exists := o.Side(home).Role != array.RoleNone
	member := false
	for _, m := range o.Members {
		member = member || m.Name == g.Volume
	}
	if !o.AllReachable() {
		return array.Plan{}, array.Unreachable(home, ErrNoReply)
	}
	one := func(s array.Step) (array.Plan, error) { return array.Plan{Steps: []array.Step{s}}, nil }
	switch g.Verb {
	case array.Create:
		if exists {
			return reached()
		}
		return one(step(home, "create the pair", "create"))
	case array.Delete:
		if !exists {
			return reached()
		}
		if o.Replication == array.Running {
			return array.Plan{}, array.Refuse("", "ddsgo break NAME", "replication is running")
		}
		return one(step(home, "delete the pair", "delete"))
	case array.Add:
		if member {
			return reached()
		}
		return one(step(home, "add "+g.Volume, "add", g.Volume))
	}
	if !member {
		return reached()
	}
	return one(step(home, "remove "+g.Volume, "remove", g.Volume))
}

func (d *Driver) peer(site string) string {
	if site == d.sites[0] {
		return d.sites[1]
	}
	return d.sites[0]
}

// native is a fact that a side told in its own words.
func native(o array.Observation, site, key string) bool {
	v, _ := o.Side(site).Native[key].(bool)
	return v
}
