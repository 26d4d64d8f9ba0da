package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// Driver makes one LVM leg an array.Driver, so that every verb and every status has one
// shape. Its plan is Reconcile's decision.
type Driver struct {
	Host *Host
	Leg  Leg
	Opt  SyncOptions
	// AtTarget says that this host is the target's: the source is out of reach, and the
	// target is reached without a connection.
	AtTarget bool
	// OnSync gets the report of each sync; may be nil.
	OnSync func(report.Sync)
}

// nativeFacts is the key under which an observation carries the facts for Plan.
const nativeFacts = "facts"

// nativeRefused is set on a target that answers and refuses us: the command that may help.
const nativeRefused = "refused"

// Steps of the driver.
const (
	stepSync    = "sync"
	stepDetail  = "detail" // of stepSync; never done by itself
	stepHold    = "hold"
	stepRelease = "release"
	stepPromote = "promote"
)

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities {
	c := array.Capabilities{Driver: "lvm", Mode: "async", Sites: []string{SiteSource, d.Leg.Site()}, LocalSite: SiteSource, MaxAge: d.Leg.maxDelay(),
		Verbs: []array.Verb{array.Update, array.Break, array.Resume, array.Failover},
		Missing: map[array.Verb]string{
			array.Swap:     "the way back of LVM legs is not built yet: copy back with a resource in the other direction and ddsgo full",
			array.Failback: "the way back of LVM legs is not built yet: copy back with a resource in the other direction and ddsgo full",
			array.Start:    "LVM legs know failover",
			array.Revert:   "a failed-over LVM leg cannot be reverted: copy back with ddsgo full",
			array.Resync:   "for LVM legs it is a verb of its own: ddsgo resync NAME",
			array.Create:   "the first copy of an LVM leg is made by ddsgo full NAME",
		}}
	if d.AtTarget {
		c.LocalSite = d.Leg.Site()
	}
	return c
}

// Observe implements array.Driver. It takes no lock and changes nothing.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	o := array.Observation{At: d.Host.Now().UTC(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	far, dst := d.observeTarget(ctx, &o)
	var f Facts
	var src array.Side
	if d.AtTarget {
		src = array.Side{Site: SiteSource, ObservedAt: o.At, Role: array.RoleUnknown, Error: "a target has no connection to its source"}
	} else {
		var err error
		if src, f, err = d.observeSource(ctx, &o, far.At); err != nil {
			return o, err
		}
	}
	f.Target = far
	if src.Reachable {
		b, err := json.Marshal(f)
		if err != nil {
			return o, err
		}
		src.Native[nativeFacts] = json.RawMessage(b)
	}
	o.Sides = []array.Side{src, dst}
	d.conclude(&o, f, src, dst)
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
	return array.Plan{}, array.Unsupported("", "LVM legs do not know %s", g.Verb)
}

// planUpdate is Reconcile's decision, as a plan.
func (d *Driver) planUpdate(o array.Observation, g array.Goal) (array.Plan, error) {
	if g.DidOK(stepSync) {
		return array.Plan{Reached: true}, nil
	}
	src, dst := o.Side(SiteSource), o.Side(d.Leg.Site())
	if !src.Reachable {
		return array.Plan{}, array.Refuse("", "ddsgo sync "+d.Leg.Resource+" on the source's host", "a sync runs on the source's host")
	}
	if !dst.Reachable {
		return array.Plan{}, unread(dst, "ddsgo sync "+d.Leg.Resource)
	}
	var f Facts
	if raw, ok := src.Native[nativeFacts].(json.RawMessage); !ok || json.Unmarshal(raw, &f) != nil {
		return array.Plan{}, &array.Error{Kind: array.KindInternal, Reason: "the observation carries no facts"}
	}
	action := "adopt the pair that OpenSVC kept, then send what changed"
	var plan []string
	if f.Local.State != LocalMissing || d.Leg.OpenSVCState == "" {
		decision := Reconcile(f)
		if err := decision.Err(f); err != nil {
			return array.Plan{}, err
		}
		action = headline(d.Leg, decision)
		plan = describe(d.Leg, decision)
	}
	step := array.Step{ID: stepSync, Site: SiteSource, Action: action, Command: "sync " + d.Leg.Source + " to " + d.Leg.Name()}
	return array.Plan{Authoritative: SiteSource, Steps: append([]array.Step{step}, details(plan)...)}, nil
}

// unread is why a target could not be read: it does not answer, or it does and refuses us.
func unread(dst array.Side, again string) error {
	if next, ok := dst.Native[nativeRefused].(string); ok {
		return array.Refuse("", next, "%s: %s", dst.Site, dst.Error)
	}
	return &array.Error{Kind: array.KindUnreachable, Site: dst.Site, Reason: dst.Error, Next: again + " when it answers"}
}

// details are what the one step does inside, for people who ask for the plan. Sync does
// them under one lock and one connection, and finishes them itself after a kill.
func details(plan []string) []array.Step {
	steps := make([]array.Step, len(plan))
	for i, text := range plan {
		steps[i] = array.Step{ID: stepDetail, Site: SiteSource, Action: text}
	}
	return steps
}

// planHold holds the leg. Whether the target answers does not matter for that.
func (d *Driver) planHold(o array.Observation, g array.Goal) (array.Plan, error) {
	if g.DidOK(stepHold) || o.Replication == array.Held {
		return array.Plan{Reached: true}, nil
	}
	if d.AtTarget {
		return array.Plan{}, d.elsewhere(g)
	}
	if src := o.Side(SiteSource); !src.Reachable {
		return array.Plan{}, &array.Error{Kind: array.KindUnreachable, Site: src.Site, Reason: src.Error}
	} else if src.Role == array.RoleNone {
		return array.Plan{}, array.Refuse("", "ddsgo full "+d.Leg.Resource, "nothing is replicated yet")
	}
	return array.Plan{Steps: []array.Step{{ID: stepHold, Site: SiteSource, Action: "hold the leg: no sync until it is resumed", Command: "state " + d.Leg.Source + " held"}}}, nil
}

// planRelease releases the leg. A leg that is not held and does not run either needs
// something else than a release, and says what.
func (d *Driver) planRelease(o array.Observation, g array.Goal) (array.Plan, error) {
	dst := o.Side(d.Leg.Site())
	switch {
	case o.Replication == array.Running || o.Replication == array.Initial:
		return array.Plan{Reached: true}, nil
	case d.AtTarget:
		return array.Plan{}, d.elsewhere(g)
	case !o.Side(SiteSource).Reachable:
		return array.Plan{}, &array.Error{Kind: array.KindUnreachable, Site: SiteSource, Reason: o.Side(SiteSource).Error}
	case !dst.Reachable:
		return array.Plan{}, unread(dst, "ddsgo resume "+d.Leg.Resource)
	case dst.Role == array.RolePrimary:
		return array.Plan{}, array.Refuse("", "ddsgo status "+d.Leg.Resource, "%s was promoted: nothing is sent to a primary", dst.Site)
	case o.Replication != array.Held:
		return array.Plan{}, notHeld(d.Leg, o)
	}
	return array.Plan{Steps: []array.Step{{ID: stepRelease, Site: SiteSource, Action: "release the leg", Command: "state " + d.Leg.Source + " released"}}}, nil
}

// elsewhere refuses what only the source's host can do.
func (d *Driver) elsewhere(g array.Goal) error {
	return array.Refuse("", "ddsgo "+string(g.Verb)+" "+d.Leg.Resource+" on the source's host", "a leg is held and released on the source's host")
}

// notHeld is why a leg does not run although nobody holds it.
func notHeld(leg Leg, o array.Observation) error {
	if len(o.Reasons) > 0 {
		return array.Refuse("", o.Reasons[0].Next, "the leg is not held; %s", o.Reasons[0].Text)
	}
	return array.Refuse("", "ddsgo status "+leg.Resource, "the leg is not held, and its replication is %s", o.Replication)
}

func (d *Driver) planFailover(o array.Observation, g array.Goal) (array.Plan, error) {
	dst := o.Side(d.Leg.Site())
	if g.Site != d.Leg.Site() {
		if o.Side(SiteSource).Role == array.RolePrimary && dst.Role != array.RolePrimary {
			return array.Plan{Reached: true}, nil
		}
		return array.Plan{}, array.Unsupported("ddsgo status "+d.Leg.Resource, "the source's side cannot be failed over to")
	}
	if dst.Role == array.RolePrimary && dst.Writable == array.Yes {
		return array.Plan{Reached: true}, nil
	}
	step := array.Step{ID: stepPromote, Site: d.Leg.Site(), Action: "make " + d.Leg.Device + " primary and writable", Command: "promote " + d.Leg.Device, GrantsWrite: d.Leg.Site()}
	p := array.Plan{Authoritative: d.Leg.Site(), Steps: []array.Step{step}}
	if o.LastSync != nil {
		p.Warnings = append(p.Warnings, "writes after "+o.LastSync.UTC().Format("2006-01-02 15:04:05 UTC")+" are not on "+d.Leg.Site())
	}
	return p, nil
}

// Do implements array.Driver.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	switch s.ID {
	case stepSync:
		rep, err := d.Host.Sync(ctx, d.Leg, d.Opt)
		if err == nil && d.OnSync != nil {
			d.OnSync(rep)
		}
		return err
	case stepHold, stepRelease:
		return d.Host.setHeld(ctx, d.Leg, d.Opt, s.ID == stepHold)
	case stepPromote:
		return d.promote(ctx)
	}
	return &array.Error{Kind: array.KindInternal, Reason: "unknown step " + s.ID}
}

// promote makes the target primary, through a session or, on its own host, directly.
func (d *Driver) promote(ctx context.Context) error {
	ref := VolumeRef{Device: d.Leg.Device, Resource: d.Leg.Resource}
	if d.AtTarget {
		t, err := d.Host.openTarget(ctx, ref, "promote "+ref.Resource)
		if err != nil {
			return err
		}
		_, err = t.promote(ctx)
		return errors.Join(err, t.release())
	}
	return d.withTarget(ctx, func(c *session.Conn) error {
		var reply promoteReply
		return c.Call(ctx, opPromote, ref, &reply, nil)
	})
}

// withTarget runs do on a session of its own.
func (d *Driver) withTarget(ctx context.Context, do func(*session.Conn) error) error {
	conn, err := d.Opt.Dial(ctx, d.Leg.Target)
	if err != nil {
		return unreachable(d.Leg, err)
	}
	o := d.Opt.Session
	o.ProgressTimeout, o.Log, o.Host = d.Leg.progressTimeout(), d.Host.Log, d.Host.Name
	c, err := session.Connect(ctx, conn, o)
	if err != nil {
		return errors.Join(unreachable(d.Leg, conn.Explain(err)), conn.Close())
	}
	err = conn.Explain(do(c))
	return errors.Join(err, c.Close(), conn.Close())
}

// setHeld sets or clears the mark that keeps syncs away, and releases a held target.
func (h *Host) setHeld(ctx context.Context, leg Leg, opt SyncOptions, held bool) error {
	s, err := h.openSource(ctx, leg, opt.Events, "hold "+leg.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	if s.docErr != nil {
		return failure.With(failure.CodeRefused, leg.Resource, "its state cannot be read", "ddsgo full "+leg.Resource, s.docErr)
	}
	if !held {
		if err := s.connect(ctx, opt); err != nil {
			return err
		}
		if s.far.Condition == string(state.KindHeld) {
			if err := s.call(ctx, opRelease, s.ref(), &s.far); err != nil {
				return err
			}
		}
	}
	return s.commit(ctx, func(d *state.Document) { s.setCursor(d, func(l *state.Leg) { l.Held = held }) })
}

func (d *Driver) String() string { return fmt.Sprintf("lvm %s -> %s", d.Leg.Source, d.Leg.Name()) }
