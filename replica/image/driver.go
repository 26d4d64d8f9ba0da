package image

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

// Driver makes a Leg an array.Driver. Its plan is Reconcile's decision.
type Driver struct {
	Leg    Leg
	OnSync func(report.Sync) // gets the report of each sync; may be nil
}

// DriverName is what status and messages call it.
const DriverName = "leg"

// nativeFacts is the key under which an observation carries the facts for Plan.
const nativeFacts = "facts"

// Steps of the driver.
const (
	stepSync    = "sync"
	stepDetail  = "detail" // of stepSync; never done by itself
	stepHold    = "hold"
	stepRelease = "release"
	stepPromote = "promote"
)

var _ array.Driver = (*Driver)(nil)

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities {
	const back = "the way back of a leg is a resource in the other direction and ddsgo full"
	return array.Capabilities{Driver: DriverName, Mode: "async", Sites: []string{replica.SiteSource, d.Leg.Site()}, LocalSite: replica.SiteSource, MaxAge: d.Leg.maxDelay(),
		Verbs: []array.Verb{array.Update, array.Break, array.Resume, array.Failover},
		Missing: map[array.Verb]string{
			array.Swap: back, array.Failback: back, array.Revert: back,
			array.Start:  "legs know failover",
			array.Resync: "a leg from an RBD image is made anew by ddsgo full NAME --overwrite",
			array.Create: "the first copy of a leg is made by ddsgo full NAME",
		}}
}

// Observe implements array.Driver. It takes no lock and changes nothing.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	o := array.Observation{At: d.Leg.Now().UTC(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	s := &source{leg: d.Leg}
	src := array.Side{Site: replica.SiteSource, ObservedAt: o.At, Role: array.RoleUnknown, Native: map[string]any{}}
	if err := Explain(d.Leg.End, s.load(ctx)); err != nil {
		src.Error = err.Error()
	} else {
		d.observeSource(ctx, s, &o, &src)
	}
	dst := d.observeTarget(ctx, s, &o)
	if !src.Reachable {
		s.far.Source = "" // whose copy it should be is not known
	}
	f := s.facts()
	if !dst.Reachable {
		f.Target = replica.TargetFacts{Condition: replica.TargetUnreachable, Detail: dst.Error}
	}
	if src.Reachable {
		b, err := json.Marshal(f)
		if err != nil {
			return o, err
		}
		src.Native[nativeFacts] = json.RawMessage(b)
	}
	o.Sides = []array.Side{src, dst}
	d.conclude(&o, f, src)
	return o, nil
}

// Plan implements array.Driver.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	switch g.Verb {
	case array.Update:
		return d.planUpdate(o, g)
	case array.Break:
		return d.planHold(o, g)
	case array.Resume:
		return d.planRelease(o, g)
	case array.Failover:
		return d.planFailover(o, g)
	}
	return array.Plan{}, array.Unsupported("", "legs do not know %s", g.Verb)
}

// facts are what the observation carries.
func (d *Driver) facts(o array.Observation) (Facts, error) {
	var f Facts
	src := o.Side(replica.SiteSource)
	if !src.Reachable {
		return f, &array.Error{Kind: array.KindUnreachable, Site: src.Site, Reason: src.Error}
	}
	if raw, ok := src.Native[nativeFacts].(json.RawMessage); !ok || json.Unmarshal(raw, &f) != nil {
		return f, &array.Error{Kind: array.KindInternal, Reason: "the observation carries no facts"}
	}
	return f, nil
}

// planUpdate is Reconcile's decision, as a plan.
func (d *Driver) planUpdate(o array.Observation, g array.Goal) (array.Plan, error) {
	if g.DidOK(stepSync) {
		return array.Plan{Reached: true}, nil
	}
	f, err := d.facts(o)
	if err != nil {
		return array.Plan{}, err
	}
	if dst := o.Side(d.Leg.Site()); !dst.Reachable {
		return array.Plan{}, &array.Error{Kind: array.KindUnreachable, Site: dst.Site, Reason: dst.Error, Next: "ddsgo sync " + d.Leg.Resource + " when it answers"}
	}
	decision := Reconcile(f)
	if err := decision.Err(f); err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Authoritative: replica.SiteSource, Steps: []array.Step{{ID: stepSync, Site: replica.SiteSource, Action: headline(d.Leg, decision), Command: "sync " + d.Leg.String() + " to " + d.Leg.Name()}}}
	for _, text := range describe(d.Leg, decision) {
		p.Steps = append(p.Steps, array.Step{ID: stepDetail, Site: replica.SiteSource, Action: text})
	}
	return p, nil
}

// headline is the one line that a finished sync is told by.
func headline(l Leg, d Decision) string {
	if d.Verdict == VerdictStart {
		return "send what changed since " + d.From.String() + " to " + l.Name()
	}
	return "finish an interrupted sync, then send what changed since, to " + l.Name()
}

func (d *Driver) planHold(o array.Observation, g array.Goal) (array.Plan, error) {
	f, err := d.facts(o)
	switch {
	case err != nil:
		return array.Plan{}, err
	case f.Held || g.DidOK(stepHold):
		return array.Plan{Reached: true}, nil
	case f.Tracker == TrackerMissing:
		return array.Plan{}, array.Refuse("", "ddsgo full "+d.Leg.Resource, "nothing is replicated yet")
	case f.Tracker == TrackerDamaged:
		return array.Plan{}, Reconcile(f).Err(f)
	}
	return array.Plan{Steps: []array.Step{{ID: stepHold, Site: replica.SiteSource, Action: "hold the leg: no sync until it is resumed", Command: "image-meta " + d.Leg.String() + " held"}}}, nil
}

func (d *Driver) planRelease(o array.Observation, _ array.Goal) (array.Plan, error) {
	f, err := d.facts(o)
	if err != nil {
		return array.Plan{}, err
	}
	dst := o.Side(d.Leg.Site())
	switch {
	case o.Replication == array.Running || o.Replication == array.Initial:
		return array.Plan{Reached: true}, nil
	case !dst.Reachable:
		return array.Plan{}, &array.Error{Kind: array.KindUnreachable, Site: dst.Site, Reason: dst.Error, Next: "ddsgo resume " + d.Leg.Resource + " when it answers"}
	case dst.Role == array.RolePrimary:
		return array.Plan{}, array.Refuse("", "ddsgo status "+d.Leg.Resource, "%s was promoted: nothing is sent to a primary", dst.Site)
	case !f.Held && f.Target.Condition != replica.TargetHeld:
		if len(o.Reasons) > 0 {
			return array.Plan{}, array.Refuse("", o.Reasons[0].Next, "the leg is not held; %s", o.Reasons[0].Text)
		}
		return array.Plan{}, array.Refuse("", "ddsgo status "+d.Leg.Resource, "the leg is not held, and its replication is %s", o.Replication)
	}
	return array.Plan{Steps: []array.Step{{ID: stepRelease, Site: replica.SiteSource, Action: "release the leg", Command: "image-meta " + d.Leg.String() + " released"}}}, nil
}

func (d *Driver) planFailover(o array.Observation, g array.Goal) (array.Plan, error) {
	dst := o.Side(d.Leg.Site())
	if g.Site != d.Leg.Site() {
		if src := o.Side(replica.SiteSource); !src.Reachable {
			return array.Plan{}, &array.Error{Kind: array.KindUnreachable, Site: src.Site, Reason: src.Error}
		} else if src.Role == array.RolePrimary && dst.Role != array.RolePrimary {
			return array.Plan{Reached: true}, nil
		}
		return array.Plan{}, array.Unsupported("ddsgo status "+d.Leg.Resource, "the source's side cannot be failed over to")
	}
	if dst.Role == array.RolePrimary && dst.Writable == array.Yes {
		return array.Plan{Reached: true}, nil
	}
	p := array.Plan{Authoritative: dst.Site, Steps: []array.Step{{ID: stepPromote, Site: dst.Site, Action: "make " + d.Leg.Device + " primary and writable", Command: "promote " + d.Leg.Device, GrantsWrite: dst.Site}}}
	if o.LastSync != nil {
		p.Warnings = append(p.Warnings, "writes after "+o.LastSync.UTC().Format("2006-01-02 15:04:05 UTC")+" are not on "+dst.Site)
	}
	return p, nil
}

// Do implements array.Driver.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	switch s.ID {
	case stepSync:
		rep, err := d.Leg.Sync(ctx, false)
		if err == nil && d.OnSync != nil {
			d.OnSync(rep)
		}
		return err
	case stepHold, stepRelease:
		return d.Leg.setHeld(ctx, s.ID == stepHold)
	case stepPromote:
		return d.Leg.promote(ctx)
	}
	return &array.Error{Kind: array.KindInternal, Reason: "unknown step " + s.ID}
}

// setHeld sets or clears the mark that keeps syncs away, and releases a held target.
func (l Leg) setHeld(ctx context.Context, held bool) (err error) {
	s, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.docErr != nil {
		return Reconcile(s.facts()).Err(s.facts())
	}
	if !held {
		if err := s.connect(ctx); err != nil {
			return err
		}
		if replica.TargetFactsOf(s.far, s.id).Condition == replica.TargetHeld {
			if err := s.call(ctx, replica.OpRelease, s.ref(), &s.far); err != nil {
				return err
			}
		}
	}
	return s.commit(ctx, func(d *Tracker) { d.Held = held })
}

// promote makes the target primary. The source is not needed for it.
func (l Leg) promote(ctx context.Context) error {
	var r replica.PromoteReply
	return l.ask(ctx, replica.OpPromote, &r)
}
