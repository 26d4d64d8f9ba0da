package hp3par

import (
	"errors"
	"fmt"

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

// Plan implements array.Driver. Verbs that may change the direction end with the list of what is
// still to be exported.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	v := view{o, d, g}
	if lifeCycleOfVolumes(g.Verb) {
		return v.lifeCycle()
	}
	p, err := v.planReplication()
	if err == nil && p.Reached && g.Verb.ChangesDirection() {
		p.Result = v.toExport()
	}
	return p, err
}

// planReplication plans a verb of replication, or delete.
func (v view) planReplication() (array.Plan, error) {
	o := v.Observation
	if v.g.Verb == array.Delete && v.absent() {
		return reached()
	}
	if err := v.usable(); err != nil {
		return array.Plan{}, err
	}
	for _, s := range o.Sides {
		between := v.status(s.Site) == statusStarting || v.status(s.Site) == statusStopping
		if between && o.Side(v.d.peer(s.Site)).Reachable { // alone, a side may never get any further
			return waitFor("group %s to end being %s", v.d.site(s.Site).Group, v.status(s.Site))
		}
	}
	p, err := v.plan()
	if err == nil && len(p.Steps) > 0 && v.mayStillCome(p.Steps[0]) {
		return array.Plan{Authoritative: p.Authoritative, Wait: &array.Wait{What: "the effect of " + p.Steps[0].Command + ", to which no reply came"}}, nil
	}
	return p, err
}

// settleLooks is how often both sides are read, at growing intervals (16 s in all), before a change of
// direction without a reply is sent again: to an array that is about to do it, the second one would
// turn it back.
const settleLooks = 8

func (v view) mayStillCome(s array.Step) bool {
	if len(v.g.Done) == 0 || v.g.ObservedSince >= settleLooks {
		return false
	}
	last := v.g.Done[len(v.g.Done)-1]
	switch last.Args["op"] {
	case opFailover, opRecover, opRestore, opRestore0, opReverse, opRevert, opNatural:
		return last.ID == s.ID && last.Outcome == array.OutcomeLost
	}
	return false // said twice, it does no harm
}

func (v view) plan() (array.Plan, error) {
	switch v.g.Verb {
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
		if v.Link != array.LinkUp {
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
	return array.Plan{}, array.Unsupported("", "%s", v.g.Verb)
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
		return "", "", v.twoPrimaries("")
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
