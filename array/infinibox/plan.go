package infinibox

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/ddsgo/ddsgo/array"
)

// Plan implements array.Driver. Each verb reads from the top: where the goal holds, say
// so; else name the steps that are left, from the first one that is needed now.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	switch g.Verb {
	case array.Setup, array.Create, array.Delete, array.Add, array.Remove, array.VolumeCreate, array.VolumeDelete:
		return d.planLifeCycle(o, g)
	}
	lost := ""
	if g.Verb == array.Failover && g.Force {
		lost = d.peer(g.Site) // it may answer what it likes
	}
	if err := d.guard(o, lost); err != nil {
		return array.Plan{}, err
	}
	switch g.Verb {
	case array.Update:
		return d.planUpdate(o, g)
	case array.Break:
		return d.planBreak(o)
	case array.Resume:
		return d.planResume(o)
	case array.Swap:
		return d.planSwap(o, g, g.Site)
	case array.Failover:
		return d.planFailover(o, g)
	case array.Failback:
		return d.planFailback(o, g)
	}
	return array.Plan{}, array.Unsupported("", "%s", g.Verb)
}

func reached() (array.Plan, error) { return array.Plan{Reached: true}, nil }

func steps(authoritative string, s ...array.Step) (array.Plan, error) {
	return array.Plan{Steps: s, Authoritative: authoritative}, nil
}

// guard refuses what is shown and never acted on, and what cannot be understood. A side
// that is given up as lost need not be understood.
func (d *Driver) guard(o array.Observation, lost string) error {
	var known []*replica
	for _, s := range o.Sides {
		if !s.Reachable || s.Site == lost && (s.Native[nativeKey] == nil || factsOf(o, s.Site).Replica == nil) {
			continue
		}
		f := factsOf(o, s.Site)
		switch {
		case s.Native[nativeKey] == nil:
			return &array.Error{Kind: array.KindArray, Site: s.Site, Reason: "answers, but cannot be understood: " + s.Error, Next: d.command("array show")}
		case f.Replica == nil:
			return array.Refuse("", d.command("array create"), "%s has no replica of %s %s", s.Site, d.cfg.Kind, d.cfg.Entity)
		}
		if err := d.handled(s.Site, f); err != nil {
			return err
		}
		known = append(known, f.Replica)
	}
	if len(known) == 2 && (number(known[0].RemoteReplicaID) != known[1].ID || number(known[1].RemoteReplicaID) != known[0].ID) {
		return array.Refuse("", d.command("array show"), "replicas %d and %d are not partners of each other", known[0].ID, known[1].ID)
	}
	return nil
}

// handled refuses concurrent and ACTIVE_ACTIVE replicas.
func (d *Driver) handled(site string, f *facts) error {
	if why := f.Replica.foreign(); why != "" {
		return array.Unsupported(d.command("array show"), "%s: %s is shown, never acted on", site, why)
	}
	if len(f.Others) > 0 {
		return array.Unsupported(d.command("array show"), "%s: the %s has %d more replica(s): concurrent replication is shown, never acted on", site, d.cfg.Kind, len(f.Others))
	}
	return nil
}

// oneSource is the SOURCE, or the reason why there is not exactly one.
func (d *Driver) oneSource(o array.Observation) (string, *replica, error) {
	switch p := o.Primaries(); {
	case len(p) > 1:
		return "", nil, array.Refuse("", "ddsgo plan failback "+d.cfg.Name+" --discard SITE", "both sides are SOURCE: their contents have parted")
	case len(p) == 1:
		return p[0], factsOf(o, p[0]).Replica, nil
	}
	for _, s := range o.Sides {
		if !s.Reachable {
			return "", nil, d.silent(s)
		}
	}
	return "", nil, array.Refuse("", d.command("swap")+" --site SITE", "no side is SOURCE: a role change was cut off")
}

func (d *Driver) silent(s array.Side) error {
	return &array.Error{Kind: array.KindUnreachable, Site: s.Site, Reason: "cannot be read: " + s.Error, Next: d.command("status")}
}

// linked refuses what needs the link.
func (d *Driver) linked(o array.Observation, what string) error {
	if o.Link == array.LinkUp {
		return nil
	}
	return &array.Error{Kind: array.KindUnreachable, Reason: fmt.Sprintf("the link between the boxes is %s, and %s needs it", o.Link, what), Next: d.command("status")}
}

func (d *Driver) planUpdate(o array.Observation, g array.Goal) (array.Plan, error) {
	p, r, err := d.oneSource(o)
	if err == nil {
		err = d.linked(o, "update")
	}
	if err != nil {
		return array.Plan{}, err
	}
	switch word(r.State) {
	case wordActive:
	case wordSuspended, wordAutoSuspended:
		return array.Plan{}, array.Refuse("", d.command("resume"), "replication is %s", word(r.State))
	default:
		return array.Plan{}, d.unknown(p, "state", word(r.State))
	}
	return d.planCurrent(g, p, r)
}

func (d *Driver) unknown(site, field, value string) error {
	return &array.Error{Kind: array.KindArray, Site: site, Reason: fmt.Sprintf("%s is %q, which this version does not know", field, value), Next: d.command("array show")}
}

// maxStalled is how many observations in a row may show a job that does not move
// before a verb gives up: at 5 s each, about two minutes.
const maxStalled = 30

// planCurrent brings the copy of an ACTIVE replica up to now. A job that runs already
// is older than the verb: it is waited for, then one of our own is asked for, and the
// restore point has to pass the one of that moment.
func (d *Driver) planCurrent(g array.Goal, site string, r *replica) (array.Plan, error) {
	if r.Type == wordSync {
		return d.planSynchronized(g, site, r)
	}
	if d.copied(g, site, r) {
		return array.Plan{Reached: true, Authoritative: site}, nil
	}
	if err := d.stuck(g, site, r); err != nil {
		return array.Plan{}, err
	}
	switch word(r.JobState) {
	case "", "IDLE", "REPLICATING", "INITIALIZING", "PENDING", "STALLED":
	default:
		return array.Plan{}, d.unknown(site, "job_state", word(r.JobState))
	}
	if r.busy() {
		return array.Plan{Wait: progress(r), Authoritative: site}, nil
	}
	return steps(site, syncStep(site, r))
}

// stuck ends the wait for a job that does not move.
func (d *Driver) stuck(g array.Goal, site string, r *replica) error {
	if !r.stalled() || g.ObservedSince <= maxStalled {
		return nil
	}
	return &array.Error{Kind: array.KindArray, Site: site, Reason: fmt.Sprintf("the job of replica %d is STALLED", r.ID), Next: d.command("status")}
}

// progress is what a run waits for while a job is under way.
func progress(r *replica) *array.Wait {
	what := "the running job"
	switch {
	case r.stalled():
		what = "the job, which is STALLED"
	case r.initial():
		what = "the first copy"
	}
	w := &array.Wait{What: what}
	if r.Progress != nil {
		w.Done, w.Total = int64(*r.Progress), 100
	}
	return w
}

// copied says that a job which this run asked for has ended.
func (d *Driver) copied(g array.Goal, site string, r *replica) bool {
	for _, done := range slices.Backward(g.Done) {
		if done.ID != stepID(stepSync, site) {
			continue
		}
		before, err := strconv.ParseInt(done.Args[argPoint], 10, 64)
		return err == nil && number(r.point()) > before
	}
	return false
}

// planSynchronized waits for a SYNC replica to be equal.
func (d *Driver) planSynchronized(g array.Goal, site string, r *replica) (array.Plan, error) {
	if err := d.stuck(g, site, r); err != nil {
		return array.Plan{}, err
	}
	switch word(r.SyncState) {
	case wordSynchronized:
		if !truth(r.AsyncMode) {
			return array.Plan{Reached: true, Authoritative: site}, nil
		}
	case "SYNC_IN_PROGRESS", "INITIALIZING", "INITIALIZING_PENDING":
		return array.Plan{Wait: progress(r), Authoritative: site}, nil
	case "OUT_OF_SYNC", "LAGGING", "SYNC_STALLED":
	default:
		return array.Plan{}, d.unknown(site, "sync_state", word(r.SyncState))
	}
	if g.ObservedSince > maxStalled {
		return array.Plan{}, &array.Error{Kind: array.KindArray, Site: site, Reason: fmt.Sprintf("replica %d stays %s", r.ID, word(r.SyncState)), Next: d.command("status")}
	}
	return array.Plan{Wait: &array.Wait{What: "SYNCHRONIZED, it is " + word(r.SyncState)}, Authoritative: site}, nil
}

func (d *Driver) planBreak(o array.Observation) (array.Plan, error) {
	p, r, err := d.oneSource(o)
	if err != nil {
		return array.Plan{}, err
	}
	if word(r.State) == wordSuspended {
		return reached()
	}
	return steps("", suspendStep(p, r))
}

func (d *Driver) planResume(o array.Observation) (array.Plan, error) {
	p, r, err := d.oneSource(o)
	if err != nil {
		return array.Plan{}, err
	}
	switch word(r.State) {
	case wordActive:
		return reached()
	case wordSuspended, wordAutoSuspended:
	default:
		return array.Plan{}, d.unknown(p, "state", word(r.State))
	}
	if err := d.linked(o, "resume"); err != nil {
		return array.Plan{}, err
	}
	return steps(p, resumeStep(p, r))
}
