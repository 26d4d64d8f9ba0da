package infinibox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ddsgo/ddsgo/array"
)

func (d *Driver) planLifeCycle(o array.Observation, g array.Goal) (array.Plan, error) {
	if err := d.knownParams(g); err != nil {
		return array.Plan{}, err
	}
	for _, s := range o.Sides {
		switch {
		case !s.Reachable && !(g.Verb == array.Delete && g.Force) && g.Verb != array.VolumeCreate && g.Verb != array.VolumeDelete:
			return array.Plan{}, d.silent(s)
		case s.Reachable && s.Native[nativeKey] == nil:
			return array.Plan{}, &array.Error{Kind: array.KindArray, Site: s.Site, Reason: "answers, but cannot be understood: " + s.Error, Next: d.command("array show")}
		}
		if f := factsOf(o, s.Site); f.Replica != nil {
			if err := d.handled(s.Site, f); err != nil {
				return array.Plan{}, err
			}
		}
	}
	if err := d.unapproved(g); err != nil {
		return array.Plan{}, err
	}
	switch g.Verb {
	case array.Setup:
		return d.planSetup(o)
	case array.Create:
		return d.planCreate(o, g)
	case array.Delete:
		return d.planDelete(o, g)
	case array.Add, array.Remove:
		return d.planMember(o, g)
	}
	return d.planVolume(g)
}

// unapproved ends a run whose last step the box wants to have approved.
func (d *Driver) unapproved(g array.Goal) error {
	if len(g.Done) == 0 || g.Force {
		return nil
	}
	last := g.Done[len(g.Done)-1]
	if last.Outcome != array.OutcomeError || !strings.Contains(last.Error, codeApproval) {
		return nil
	}
	forced := g
	forced.Force = true
	return &array.Error{Kind: array.KindArray, Reason: last.Error, RC: 0, Next: forced.Command(d.cfg.Name)}
}

// knownParams refuses a parameter that means nothing to the verb.
func (d *Driver) knownParams(g array.Goal) error {
	known := map[array.Verb][]string{
		array.Create:       {paramTarget, paramLocalSnapshot, paramRemoteSnapshot, paramMembers, paramSize},
		array.Delete:       {paramTarget, paramRetain},
		array.Add:          {paramRemote},
		array.Remove:       {paramRetain},
		array.VolumeCreate: {paramSize, paramSite, paramFrom},
		array.VolumeDelete: {paramSite},
	}[g.Verb]
	for k := range g.Params {
		if !slices.Contains(known, k) {
			return &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("parameter %q means nothing to %s of an InfiniBox resource; known: %s", k, g.Verb, strings.Join(known, ", "))}
		}
	}
	return nil
}

// planSetup makes the link.
func (d *Driver) planSetup(o array.Observation) (array.Plan, error) {
	if l := factsOf(o, d.home()).Link; l != nil {
		return array.Plan{Reached: true, Result: map[string]string{"link": l.Name, "link_state": word(l.State)}}, nil
	}
	if d.cfg.Link == "" {
		return array.Plan{}, &array.Error{Kind: array.KindConfig, Reason: "link is missing: name the link that shall be made"}
	}
	return steps("", d.specialStep(specialLink, d.home(), "make link "+d.cfg.Link+" to the box of "+d.away(), "POST "+apiRoot+"links "+quote(d.cfg.Link)))
}

// specialStep is a step whose request needs names looked up.
func (d *Driver) specialStep(name, site, action, command string) array.Step {
	return array.Step{ID: stepID(name, site), Site: site, Action: action, Command: command, Args: map[string]string{argSpecial: name}}
}

func (d *Driver) planCreate(o array.Observation, g array.Goal) (array.Plan, error) {
	here, there := factsOf(o, d.home()), factsOf(o, d.away())
	target := g.Params[paramTarget]
	if target == "" {
		target = targetNew
	}
	if here.Replica != nil || there.Replica != nil {
		return d.planConform(o, g)
	}
	if err := d.checkShape(o, target); err != nil {
		return array.Plan{}, err
	}
	if here.Link == nil {
		return array.Plan{}, array.Refuse("", d.command("array setup"), "%s has no link %q", d.home(), d.cfg.Link)
	}
	if err := d.linked(o, "create"); err != nil {
		return array.Plan{}, err
	}
	if undo, err := d.rollBack(o, g); undo != nil || err != nil {
		return array.Plan{Steps: undo}, err
	}
	if here.Entity == nil {
		return d.planSource(o, g, target)
	}
	step, err := d.createStep(o, g, target)
	if err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Steps: []array.Step{step}, Authoritative: d.home()}
	if step.Overwrites != "" {
		p.Overwrites = []array.Overwrite{{Site: step.Overwrites}}
	}
	return p, nil
}

// createStep is the one request that makes both sides of the replica.
func (d *Driver) createStep(o array.Observation, g array.Goal, target string) (array.Step, error) {
	var body creation
	var err error
	switch target {
	case targetExisting:
		body, err = d.bodyExisting(o, g)
	case targetBase:
		body, err = d.bodyBase(o, g)
	default:
		body, err = d.bodyNew(o)
	}
	if err != nil {
		return array.Step{}, err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return array.Step{}, &array.Error{Kind: array.KindInternal, Reason: "body of the replica", Err: err}
	}
	s := request(stepCreate, d.home(), "replicate "+d.cfg.Kind+" "+d.cfg.Entity+" to "+d.away(), "POST", "replicas", string(raw))
	if target == targetBase {
		s.Overwrites = d.away() // what it holds beyond its base is lost
	}
	return s, nil
}

// planSource makes the source volume first, where its size is given.
func (d *Driver) planSource(o array.Observation, g array.Goal, target string) (array.Plan, error) {
	size, err := d.size(g)
	if err != nil {
		return array.Plan{}, err
	}
	if size == 0 || d.cfg.Kind == KindGroup {
		return array.Plan{}, array.Refuse("", "ddsgo array create "+d.cfg.Name+" --size SIZE", "%s has no %s %q", d.home(), d.cfg.Kind, d.cfg.Entity)
	}
	f := factsOf(o, d.home())
	if f.Pool == nil {
		return array.Plan{}, &array.Error{Kind: array.KindConfig, Site: d.home(), Reason: fmt.Sprintf("pool %q does not exist: a new source needs sites.%s.pool", d.cfg.Sites[0].Pool, d.home())}
	}
	if target == targetNew && factsOf(o, d.away()).Pool == nil {
		_, err := d.bodyNew(o)
		return array.Plan{}, err
	}
	body := fmt.Sprintf(`{"name":%s,"pool_id":%d,"size":%d,"provtype":"THIN"}`, quote(d.cfg.Entity), f.Pool.ID, size)
	return steps("", request(stepSource, d.home(), "create "+d.cfg.Kind+" "+d.cfg.Entity, "POST", collectionOf(d.cfg.Kind), body))
}

// sector is what sizes are multiples of.
const sector = 512

func (d *Driver) size(g array.Goal) (int64, error) {
	text := g.Params[paramSize]
	if text == "" {
		return 0, nil
	}
	// As everywhere in ddsgo, and as with LVM, K, M and G are powers of 1024.
	iec := strings.TrimSuffix(strings.ToUpper(text), "IB")
	iec = strings.TrimSuffix(iec, "B")
	if iec != "" && strings.ContainsAny(iec[len(iec)-1:], "KMGTP") {
		iec += "iB"
	}
	n, err := humanize.ParseBytes(iec)
	if err != nil || n == 0 || n%sector != 0 || n > 1<<60 {
		return 0, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("size %q: write 10G or 512MiB, a multiple of %d bytes", text, sector)}
	}
	return int64(n), nil
}

// rollBack takes back the source volume that this run made, when the replica was
// refused, and then ends the run with the box's reason.
func (d *Driver) rollBack(o array.Observation, g array.Goal) ([]array.Step, error) {
	i := slices.IndexFunc(g.Done, func(s array.DoneStep) bool {
		return s.ID == stepID(stepCreate, d.home()) && s.Outcome == array.OutcomeError
	})
	if i < 0 || !g.DidOK(stepID(stepSource, d.home())) {
		return nil, nil
	}
	f := factsOf(o, d.home())
	if g.Did(stepID(stepUndo, d.home())) || f.Entity == nil {
		return nil, &array.Error{Kind: array.KindArray, Site: d.home(), Reason: "not replicated, and what was made is removed again: " + g.Done[i].Error, Next: g.Command(d.cfg.Name)}
	}
	undo := approved(request(stepUndo, d.home(), "remove the "+d.cfg.Kind+" that this run made", "DELETE", fmt.Sprintf("%s/%d", collectionOf(d.cfg.Kind), f.Entity.ID), ""))
	return []array.Step{undo}, nil
}

// planConform brings type, interval and RPO of an existing replica in line with the
// configuration.
func (d *Driver) planConform(o array.Observation, g array.Goal) (array.Plan, error) {
	if err := d.guard(o, ""); err != nil {
		return array.Plan{}, err
	}
	p, r, err := d.oneSource(o)
	if err != nil {
		return array.Plan{}, err
	}
	if want := strings.ToUpper(d.cfg.Mode); r.Type != want {
		if err := d.checkShape(o, targetNew); err != nil {
			return array.Plan{}, err
		}
		if err := d.linked(o, "the change of type"); err != nil {
			return array.Plan{}, err
		}
		if err := d.stuck(g, p, r); err != nil {
			return array.Plan{}, err
		}
		if r.initial() {
			return array.Plan{Wait: progress(r), Authoritative: p}, nil
		}
		name := "change_type_to_" + d.cfg.Mode
		return steps(p, approved(request(name, p, "change the type to "+want, "POST", fmt.Sprintf("replicas/%d/%s", r.ID, name), d.typeBody())))
	}
	interval, rpo := d.cfg.Interval.Milliseconds(), d.cfg.RPO.Milliseconds()
	if interval != 0 && interval != number(r.Interval) || rpo != 0 && rpo != number(r.RPO) {
		return steps("", request("schedule", p, "set interval and RPO", "PUT", fmt.Sprintf("replicas/%d", r.ID), d.scheduleBody()))
	}
	if g.NoStart && word(r.State) == wordActive && g.Did(stepID(stepCreate, d.home())) {
		return steps("", suspendStep(p, r))
	}
	return array.Plan{Reached: true, Result: map[string]string{"replica": fmt.Sprint(r.ID), "type": r.Type}}, nil
}

// typeBody: a change to ASYNC brings its schedule along.
func (d *Driver) typeBody() string {
	if d.cfg.Mode == ModeAsync {
		return d.scheduleBody()
	}
	return "{}"
}

func (d *Driver) scheduleBody() string {
	var parts []string
	if d.cfg.Interval != 0 {
		parts = append(parts, fmt.Sprintf(`"sync_interval":%d`, d.cfg.Interval.Milliseconds()))
	}
	if d.cfg.RPO != 0 {
		parts = append(parts, fmt.Sprintf(`"rpo_value":%d`, d.cfg.RPO.Milliseconds()))
	}
	return "{" + strings.Join(parts, ",") + "}"
}
