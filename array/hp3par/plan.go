package hp3par

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ddsgo/ddsgo/array"
)

// view is an observation in the array's own words.
type view struct {
	array.Observation
	d *Driver
	g array.Goal
}

func (v view) role(site string) role {
	word, _ := v.Side(site).Native["role"].(string)
	return role(word)
}

func (v view) status(site string) string {
	word, _ := v.Side(site).Native["status"].(string)
	return word
}

// started says whether replication runs, or is about to, as far as site's array knows.
func (v view) started(site string) bool {
	s := v.status(site)
	return s == statusStarted || s == statusStarting
}

// step makes the step of an operation at a site.
func (v view) step(site, op, words string) array.Step {
	group := v.d.site(site).Group
	a := act{op: op, group: group}
	text, err := v.d.site(site).Array.t.text(a)
	if err != nil {
		text = err.Error()
	}
	s := array.Step{ID: op + "@" + site, Site: site, Action: words, Command: text, Args: map[string]string{"op": op, "group": group}}
	switch op {
	case opReverse, opRestore, opRestore0:
		to := v.g.Site
		if to == "" {
			to = site
		}
		s.GrantsWrite, s.TakesWrite = to, v.d.peer(to)
	case opFailover:
		s.GrantsWrite = site
	case opRecover:
		s.TakesWrite, s.Overwrites = v.d.peer(site), v.d.peer(site)
	}
	return s
}

func reached() (array.Plan, error) { return array.Plan{Reached: true}, nil }

func waitFor(format string, args ...any) (array.Plan, error) {
	return array.Plan{Wait: &array.Wait{What: fmt.Sprintf(format, args...)}}, nil
}

func steps(from string, s ...array.Step) (array.Plan, error) {
	p := array.Plan{Steps: s, Authoritative: from}
	return p, nil
}

// Plan implements array.Driver.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	v := view{o, d, g}
	if g.Verb == array.Delete && v.absent() {
		return reached()
	}
	if err := v.usable(); err != nil {
		return array.Plan{}, err
	}
	for _, s := range o.Sides {
		if st := v.status(s.Site); s.Reachable && (st == statusStarting || st == statusStopping) {
			return waitFor("group %s to end being %s", v.d.site(s.Site).Group, st)
		}
	}
	switch g.Verb {
	case array.Update:
		return v.update()
	case array.Break:
		return v.halt()
	case array.Resume:
		return v.resume()
	case array.Swap:
		return v.swap()
	case array.Failover:
		return v.failover()
	case array.Start:
		if o.Link != array.LinkUp {
			return v.failover()
		}
		return v.relocate()
	case array.Failback:
		return v.failback()
	case array.Revert:
		return v.revert()
	case array.Delete:
		return v.remove()
	}
	return array.Plan{}, array.Unsupported("", "%s", g.Verb)
}

// usable refuses states that no verb can work with.
func (v view) usable() error {
	for _, s := range v.Sides {
		switch {
		case !s.Reachable:
		case s.Role == array.RoleNone:
			return array.Refuse("", "ddsgo array create "+v.d.c.Name, "group %s does not exist at %s", v.d.site(s.Site).Group, s.Site)
		case s.Role == array.RoleUnknown:
			return array.Refuse("", "ddsgo status "+v.d.c.Name, "role %q at %s is not known to this version", v.role(s.Site), s.Site)
		case v.status(s.Site) == statusFailsafe:
			return array.Refuse("", "ddsgo status "+v.d.c.Name, "group %s at %s is Failsafe: recover or restore it by hand, with the array's manual", v.d.site(s.Site).Group, s.Site)
		}
	}
	return nil
}

// direction is the pair of sites between which data flows. It is an error where there is
// not exactly one primary and one readable secondary.
func (v view) direction() (from, to string, err error) {
	if len(v.Primaries()) > 1 {
		return "", "", array.Refuse("", "ddsgo plan failback "+v.d.c.Name+" --discard SITE", "both sides are primary")
	}
	for _, s := range v.Sides {
		if !s.Reachable {
			return "", "", array.Unreachable(s.Site, errors.Join(ErrNoReply, errors.New(s.Error)))
		}
	}
	from = v.Primary()
	if from == "" {
		return "", "", array.Refuse("", "ddsgo start "+v.d.c.Name+" --site SITE", "no side is primary: a change of direction was cut off")
	}
	return from, v.d.peer(from), nil
}

// settleNatural are the steps after which both arrays agree about the natural direction. No content is
// touched.
func (v view) settleNatural() []array.Step {
	var odd []string
	for _, s := range v.Sides {
		if v.role(s.Site).reversed() {
			odd = append(odd, s.Site)
		}
	}
	if len(odd) != 1 || !v.AllReachable() || len(v.Primaries()) != 1 {
		return nil
	}
	return []array.Step{v.step(odd[0], opNatural, "make the present roles the natural ones")}
}

func (v view) linked(to string) error {
	if v.Link != array.LinkUp {
		return &array.Error{Kind: array.KindUnreachable, Site: to, Reason: "the link between the arrays is " + string(v.Link), Next: "ddsgo status " + v.d.c.Name}
	}
	return nil
}

// update brings the copy up to now.
func (v view) update() (array.Plan, error) {
	from, to, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(to); err != nil {
		return array.Plan{}, err
	}
	if !v.started(from) {
		return array.Plan{}, array.Refuse("", "ddsgo resume "+v.d.c.Name, "group %s is %s, not Started", v.d.site(from).Group, v.status(from))
	}
	p, done := v.copyNow(from)
	p.Reached = done
	return p, nil
}

// syncedAt is when the newest point of the group began; 0: unknown.
func (v view) syncedAt() int64 {
	if len(v.Members) == 0 || v.Members[0].SyncPoint == nil {
		return 0
	}
	return *v.Members[0].SyncPoint
}

func (v view) any(s array.Sync) bool {
	for _, m := range v.Members {
		if m.Sync == s {
			return true
		}
	}
	return false
}

// copyNow is what is left to do until the secondary holds a point that began after the verb. A
// transfer that is under way does not count: it began before.
func (v view) copyNow(from string) (array.Plan, bool) {
	p := array.Plan{Authoritative: from}
	if v.Mode == modeSync {
		if v.AllSynced() {
			return p, true
		}
		p.Wait = v.transfer()
		return p, false
	}
	sync := v.step(from, opSync, "copy now and wait")
	sync.Args["after"] = strconv.FormatInt(v.syncedAt(), 10)
	sent := false
	for _, done := range v.g.Done {
		if done.ID != sync.ID || done.Outcome == array.OutcomeError {
			continue
		}
		sent = true
		before, err := strconv.ParseInt(done.Args["after"], 10, 64)
		if err == nil && v.syncedAt() > before {
			return p, true
		}
	}
	if v.any(array.Syncing) || sent && v.g.ObservedSince < 3 {
		p.Wait = v.transfer()
		return p, false
	}
	p.Steps = []array.Step{sync}
	return p, false
}

func (v view) transfer() *array.Wait {
	return &array.Wait{What: "the transfer of group " + v.d.site(v.Primary()).Group}
}

// halt stops replication (break).
func (v view) halt() (array.Plan, error) {
	if len(v.Primaries()) > 1 && !v.started(v.Sides[0].Site) && !v.started(v.Sides[1].Site) {
		return reached()
	}
	p := v.Primary()
	if p == "" {
		_, _, err := v.direction()
		return array.Plan{}, err
	}
	if !v.started(p) {
		return reached()
	}
	return steps("", v.step(p, opStop, "stop replication"))
}

// resume goes on in the present direction.
func (v view) resume() (array.Plan, error) {
	from, to, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if v.started(from) {
		return reached()
	}
	if err := v.linked(to); err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Authoritative: from, Steps: append(v.settleNatural(), v.step(from, opStart, "start replication"))}
	v.mayLose(&p, to)
	return p, nil
}

// mayLose: a side that was primary when the other was failed over may hold writes of its own. The
// array does not tell.
func (v view) mayLose(p *array.Plan, site string) {
	if v.role(site) != secondaryRev && v.role(site) != primary || v.started(site) {
		return
	}
	if v.role(v.d.peer(site)) != primaryRev {
		return
	}
	for i := range p.Steps {
		if op := p.Steps[i].Args["op"]; op == opStart || op == opRecover {
			p.Steps[i].Overwrites = site
		}
	}
	p.Overwrites = append(p.Overwrites, array.Overwrite{Site: site, LastCommon: v.LastSync})
}

// swap makes g.Site primary and loses nothing.
func (v view) swap() (array.Plan, error) {
	to := v.g.Site
	if v.Primary() == to {
		return v.restart()
	}
	return v.move(to, true)
}

// restart starts replication at the end of a swap, where that is possible and wanted.
func (v view) restart() (array.Plan, error) {
	p := v.Primary()
	peer := v.d.peer(p)
	plain := v.role(p) == primary && v.role(peer) == secondary
	if v.g.NoStart || v.started(p) || v.Link != array.LinkUp || !v.AllReachable() || !plain {
		return reached()
	}
	return steps(p, v.step(p, opStart, "start replication"))
}

// move makes to primary instead of its peer: copy, stop, turn round, start.
func (v view) move(to string, copyFirst bool) (array.Plan, error) {
	if v.Primary() == "" && len(v.Primaries()) == 0 && v.AllReachable() {
		return v.promoteCut(to)
	}
	from, _, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(from); err != nil {
		return array.Plan{}, err
	}
	if mend := v.settleNatural(); mend != nil {
		return steps(from, mend...)
	}
	if v.role(from) == primaryRev {
		return v.moveReversed(from, to)
	}
	var p array.Plan
	if copyFirst {
		stopped := v.g.DidOK(opStop + "@" + from)
		if !v.started(from) && !stopped {
			return steps(from, append([]array.Step{v.step(from, opStart, "start replication")}, v.turn(from, to)...)...)
		}
		var done bool
		if p, done = v.copyNow(from); !stopped && !done && p.Wait != nil {
			return p, nil
		}
		if stopped {
			p.Steps = nil
		}
	}
	p.Authoritative, p.Wait = from, nil
	p.Steps = append(p.Steps, v.turn(from, to)...)
	return p, nil
}

// turn are the last steps of a planned change of direction.
func (v view) turn(from, to string) []array.Step {
	var out []array.Step
	if v.started(from) || !v.g.Did(opStop+"@"+from) && v.g.Verb != array.Start {
		out = append(out, v.step(from, opStop, "stop replication"))
	}
	out = append(out, v.step(to, opReverse, "turn the direction round"))
	if v.startsAfter() {
		out = append(out, v.step(to, opStart, "start replication"))
	}
	return out
}

func (v view) startsAfter() bool {
	if v.g.Verb == array.Start {
		return v.d.c.ResumeAfterStart && v.g.Site == v.g.HomeSite
	}
	return !v.g.NoStart
}

// moveReversed goes back to the natural direction after a failover.
func (v view) moveReversed(from, to string) (array.Plan, error) {
	if !v.started(from) {
		p := array.Plan{Authoritative: from, Steps: []array.Step{v.step(from, opRecover, "copy the writes since the failover back")}}
		p.Steps[0].TakesWrite = ""
		v.mayLose(&p, to)
		return p, nil
	}
	p, done := v.copyNow(from)
	if !done && p.Wait != nil {
		return p, nil
	}
	op := opRestore
	if !v.startsAfter() {
		op = opRestore0
	}
	p.Wait = nil
	p.Steps = append(p.Steps, v.step(from, op, "make the natural primary primary again"))
	return p, nil
}

// promoteCut makes to primary where nobody is: the second half of something that was cut off.
func (v view) promoteCut(to string) (array.Plan, error) {
	s := v.step(to, opRevert, "make it primary")
	s.GrantsWrite = to
	p, err := steps(to, s)
	p.Warnings = []string{"no side is primary; " + to + " goes on with the content that it has"}
	return p, err
}

// relocate is start with the sites joined: the seed's stop, and reverse on this side.
func (v view) relocate() (array.Plan, error) {
	to := v.g.Site
	if v.Primary() == to {
		if v.startsAfter() {
			return v.restart()
		}
		return reached()
	}
	p, err := v.move(to, v.g.Params["sync_first"] == "true")
	if err == nil && v.LastSync != nil && len(p.Steps) > 0 && v.Mode != modeSync {
		p.Warnings = append(p.Warnings, "writes after "+v.LastSync.UTC().Format("2006-01-02T15:04:05Z")+" (LAST-SYNC) are not at "+to)
	}
	return p, err
}

// failover makes g.Site primary without the other side.
func (v view) failover() (array.Plan, error) {
	to := v.g.Site
	from := v.d.peer(to)
	s, peer := v.Side(to), v.Side(from)
	if s.Role == array.RolePrimary {
		return reached()
	}
	if !s.Reachable {
		return array.Plan{}, array.Unreachable(to, errors.Join(ErrNoReply, errors.New(s.Error)))
	}
	p := array.Plan{Authoritative: to, Warnings: []string{"writes after " + v.lastCommon() + " (LAST-SYNC) are not at " + to}}
	if v.started(to) {
		stop := v.step(from, opStop, "stop replication")
		if !peer.Reachable {
			if !v.g.Force {
				forced := v.g
				forced.Force = true
				return p, array.Refuse("R1", "stop the application at "+from+", then: "+forced.Command(v.d.c.Name),
					"%s cannot be read, but replication from it still runs: it is alive", from)
			}
			stop = v.step(to, opStopPeer, "stop replication from this side")
		}
		p.Steps = append(p.Steps, stop)
	}
	if v.role(to) == secondaryRev {
		// It was primary once, and the array fails over only the natural secondary.
		back := v.step(to, opRevert, "make it primary again")
		back.GrantsWrite = to
		p.Steps = append(p.Steps, back)
		return p, nil
	}
	p.Steps = append(p.Steps, v.step(to, opFailover, "make it primary"))
	return p, nil
}

func (v view) lastCommon() string {
	if v.LastSync == nil {
		return "an unknown instant"
	}
	return v.LastSync.UTC().Format("2006-01-02T15:04:05Z")
}

// failback makes the home site primary again.
func (v view) failback() (array.Plan, error) {
	home, away := v.g.HomeSite, v.d.peer(v.g.HomeSite)
	if len(v.Primaries()) > 1 {
		return v.rejoin(home, away)
	}
	if v.Primary() == home {
		return v.restart()
	}
	if v.g.Prepare {
		return v.prepare(home, away)
	}
	return v.move(home, true)
}

// prepare brings home up to date while the application runs on the other side.
func (v view) prepare(home, away string) (array.Plan, error) {
	if _, _, err := v.direction(); err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(home); err != nil {
		return array.Plan{}, err
	}
	if v.started(away) {
		p, done := v.copyNow(away)
		p.Reached = done
		return p, nil
	}
	if v.role(away) == primaryRev && v.role(home) == secondaryRev {
		return v.moveReversed(away, home)
	}
	return steps(away, append(v.settleNatural(), v.step(away, opStart, "start replication"))...)
}

// rejoin ends two primaries: the side named by --discard, else home, becomes a copy.
func (v view) rejoin(home, away string) (array.Plan, error) {
	if err := v.linked(home); err != nil {
		return array.Plan{}, err
	}
	loser := home
	if v.g.Discard != "" {
		loser = v.g.Discard
	}
	winner := v.d.peer(loser)
	p := array.Plan{Authoritative: winner, Overwrites: []array.Overwrite{{Site: loser, LastCommon: v.LastSync}}}
	if v.role(winner) == primaryRev {
		p.Steps = []array.Step{v.step(winner, opRecover, "copy the writes since the failover back")}
		return p, nil
	}
	if v.role(loser) != primaryRev {
		return p, array.Refuse("", "ddsgo status "+v.d.c.Name, "both sides are plain Primary: the array's manual says how such groups are taken apart")
	}
	drop := v.step(loser, opRevert, "take write access")
	drop.TakesWrite, drop.Overwrites = loser, loser
	p.Steps = []array.Step{drop, v.step(winner, opStart, "start replication")}
	return p, nil
}

// revert undoes a failover that wrote nothing.
func (v view) revert() (array.Plan, error) {
	for _, s := range v.Sides {
		if v.role(s.Site) != primaryRev {
			continue
		}
		if v.started(s.Site) {
			return array.Plan{}, array.Refuse("", "ddsgo failback "+v.d.c.Name, "replication from %s runs already: its writes are on both sides", s.Site)
		}
		return v.revertFrom(s.Site)
	}
	for _, s := range v.Sides { // the first half was done before a cut
		if v.role(s.Site) == secondaryRev && v.role(v.d.peer(s.Site)) == secondary {
			return v.promoteCut(s.Site)
		}
	}
	if _, _, err := v.direction(); err != nil {
		return array.Plan{}, err
	}
	return reached()
}

func (v view) revertFrom(site string) (array.Plan, error) {
	peer := v.d.peer(site)
	take := v.step(site, opRevert, "give write access up again")
	take.TakesWrite = site
	p := array.Plan{Authoritative: peer, Steps: []array.Step{take}, Overwrites: []array.Overwrite{{Site: site, LastCommon: v.LastSync}}}
	if v.role(peer) == secondaryRev {
		give := v.step(peer, opRevert, "make it primary again")
		give.GrantsWrite = peer
		p.Steps = append(p.Steps, give)
	}
	return p, nil
}

// absent says that both arrays were read and neither has the group.
func (v view) absent() bool {
	for _, s := range v.Sides {
		if !s.Reachable || s.Role != array.RoleNone {
			return false
		}
	}
	return true
}

// remove ends replication: the group goes, the volumes of both sides stay.
func (v view) remove() (array.Plan, error) {
	from, to, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(to); err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Authoritative: from}
	if v.started(from) {
		p.Steps = append(p.Steps, v.step(from, opStop, "stop replication"))
	}
	p.Steps = append(p.Steps, v.step(from, opRemove, "remove the group from both arrays"))
	return p, nil
}
