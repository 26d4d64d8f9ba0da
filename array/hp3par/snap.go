package hp3par

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// SnapDriver is a set of snapshots on one array that update refreshes: driver hp3parsnap.
// It has one side, which is called like its array, and no roles.
type SnapDriver struct {
	c      SnapConfig
	shared bool // the first observation may use a listing made for another resource
}

var _ array.Driver = (*SnapDriver)(nil)

// SnapConfig is one set of snapshots.
type SnapConfig struct {
	Name      string // of the resource, for messages
	Array     *Array
	Snapshots []string      // vv_names
	MaxAge    time.Duration // sync_max_delay
	Now       func() time.Time
}

// NewSnap returns the driver of a set of snapshots. It talks to no array.
func NewSnap(c SnapConfig) (*SnapDriver, error) {
	if len(c.Snapshots) == 0 {
		return nil, fmt.Errorf("%w: vv_names is empty", ErrConfig)
	}
	seen := map[string]bool{}
	for _, n := range c.Snapshots {
		switch {
		case strings.HasPrefix(n, "set:"):
			return nil, fmt.Errorf("%w: vv_names: %q is a set; name its snapshots, so that each can be checked", ErrConfig, n)
		case !plainWord.MatchString(n):
			return nil, fmt.Errorf("%w: vv_names: %q is no name of a volume", ErrConfig, n)
		case seen[n]:
			return nil, fmt.Errorf("%w: vv_names: %q stands there twice", ErrConfig, n)
		}
		seen[n] = true
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &SnapDriver{c: c, shared: true}, nil
}

// Capabilities implements array.Driver.
func (d *SnapDriver) Capabilities() array.Capabilities {
	c := array.Capabilities{
		Driver: "hp3parsnap", Mode: "snapshot", Sites: []string{d.c.Array.Name}, LocalSite: d.c.Array.Name, MaxAge: d.c.MaxAge,
		Verbs: []array.Verb{array.Update}, Missing: map[array.Verb]string{},
	}
	for _, v := range array.ReplicationVerbs() {
		if v != array.Update {
			c.Missing[v] = "hp3parsnap refreshes snapshots on one array: there is no other side and no direction, only update"
		}
	}
	for _, v := range array.LifeCycleVerbs() {
		c.Missing[v] = "hp3parsnap refreshes snapshots that exist: make and remove them with createsv and removevv"
	}
	return c
}

func (d *SnapDriver) transport() volumeTransport { return d.c.Array.t.(volumeTransport) }

// Observe implements array.Driver.
func (d *SnapDriver) Observe(ctx context.Context) (array.Observation, error) {
	l, err := d.c.Array.listVolumes(ctx, d.shared)
	d.shared = false
	if ctx.Err() != nil {
		return array.Observation{}, context.Cause(ctx)
	}
	if e := typed(d.c.Array.Name, err); e != nil && array.KindOf(e) == array.KindConfig {
		return array.Observation{}, e
	}
	o := array.Observation{At: time.Now(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	side := array.Side{Site: d.c.Array.Name, Role: array.RoleUnknown, ObservedAt: o.At}
	if err != nil {
		side.Error = err.Error()
		o.Sides = []array.Side{side}
		return o, nil
	}
	side.Reachable, side.Role = true, array.RoleNone
	side.Native = map[string]any{"licences": l.licences}
	if !l.clock.none() {
		side.Native[nativeClock] = l.clock.text
		side.Native["clock_ahead_seconds"] = l.ahead.Seconds()
	}
	o.Sides = []array.Side{side}
	o.Replication = array.Running
	d.judge(&o, l)
	return o, nil
}

// nativeClock is where an observation keeps what the array's clock showed.
const nativeClock = "clock"

// judge fills members, ages and reasons.
func (d *SnapDriver) judge(o *array.Observation, l volumeListing) {
	add := func(code array.ReasonCode, format string, args ...any) {
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	if !l.licensed(licenceSnapshots) {
		o.Replication = array.Stopped
		add(array.ReasonNotStarted, "%s has no licence %s: nothing can be refreshed", d.c.Array.Name, licenceSnapshots)
	}
	if l.clock.err != nil {
		add(array.ReasonUnknownValue, "the clock of %s: %v", d.c.Array.Name, l.clock.err)
	}
	for _, n := range d.c.Snapshots {
		m := array.Member{Name: n, Sync: array.SyncUnknown}
		v, here := l.volumes[n]
		switch {
		case !here:
			add(array.ReasonAbsent, "%s does not exist on %s", n, d.c.Array.Name)
		case v.prov != provSnapshot:
			add(array.ReasonAbsent, "%s is no snapshot (Prov %s): it is never refreshed", n, v.prov)
		default:
			m.Sync = array.Synced
			d.point(o, &m, v)
			d.aged(o, l, v, add)
		}
		o.Members = append(o.Members, m)
	}
}

// point fills the instant that a snapshot holds; the oldest one is the resource's.
func (d *SnapDriver) point(o *array.Observation, m *array.Member, v volume) {
	if v.created.wall != 0 {
		wall := v.created.wall
		m.SyncPoint = &wall
	}
	if v.created.at.IsZero() {
		return
	}
	at := v.created.at
	m.LastSync = &at
	if o.LastSync == nil || at.Before(*o.LastSync) {
		o.LastSync = &at
	}
}

// aged judges a snapshot's age; the oldest one's is the resource's.
func (d *SnapDriver) aged(o *array.Observation, l volumeListing, v volume, add func(array.ReasonCode, string, ...any)) {
	age, known := l.age(v, d.c.Now())
	if !known {
		err := v.created.err
		if err == nil {
			err = fmt.Errorf("%w: CreationTime %q", ErrOutput, v.created.text)
		}
		add(array.ReasonUnknownValue, "%s: its age is not known: %v", v.name, err)
		return
	}
	if seconds := age.Seconds(); o.Lag == nil || seconds > *o.Lag {
		o.Lag = &seconds
	}
	if d.c.MaxAge > 0 && age > d.c.MaxAge {
		add(array.ReasonTooOld, "%s is %s old, allowed are %s", v.name, age, d.c.MaxAge)
	}
}

// Plan implements array.Driver: what was not refreshed by this run is refreshed.
func (d *SnapDriver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	if ok, why := d.Capabilities().Supports(g.Verb); !ok {
		return array.Plan{}, array.Unsupported("ddsgo status "+d.c.Name, "%s: %s", g.Verb, why)
	}
	side := o.Side(d.c.Array.Name)
	if !side.Reachable {
		return array.Plan{}, &array.Error{Kind: array.KindUnreachable, Site: side.Site, Reason: "cannot be read: " + side.Error, Next: "ddsgo status " + d.c.Name}
	}
	for _, r := range o.Reasons {
		switch r.Code {
		case array.ReasonAbsent, array.ReasonNotStarted:
			return array.Plan{}, array.Refuse("", "ddsgo status "+d.c.Name, "%s", r.Text)
		}
	}
	var p array.Plan
	for _, names := range d.transport().refreshSteps(d.c.Snapshots) {
		if d.refreshed(o, g, names) {
			continue
		}
		if len(g.Done) == 0 && sameSecond(o, names) {
			return array.Plan{Wait: &array.Wait{What: "the array's clock to pass the snapshots' time, which tells whole seconds"}}, nil
		}
		text, err := d.transport().refreshText(names)
		if err != nil {
			return p, typed(side.Site, err)
		}
		p.Steps = append(p.Steps, array.Step{
			ID: refreshID(names), Site: side.Site, Action: "refresh " + strings.Join(names, ", "), Command: text,
			Args: map[string]string{"snapshots": strings.Join(names, " ")},
		})
	}
	p.Reached = len(p.Steps) == 0
	return p, nil
}

func refreshID(names []string) string { return "refresh " + strings.Join(names, " ") }

// refreshed says that all of names are newer than when this run began. Where an array
// shows no time that can be read, its word counts.
func (d *SnapDriver) refreshed(o array.Observation, g array.Goal, names []string) bool {
	if g.Baseline == nil || !g.Did(refreshID(names)) {
		return false
	}
	for _, n := range names {
		before, now := snapshotPoint(*g.Baseline, n), snapshotPoint(o, n)
		switch {
		case before == nil || now == nil:
			if !g.DidOK(refreshID(names)) {
				return false
			}
		case *now <= *before:
			return false
		}
	}
	return true
}

func snapshotPoint(o array.Observation, member string) *int64 {
	for _, m := range o.Members {
		if m.Name == member {
			return m.SyncPoint
		}
	}
	return nil
}

// sameSecond says that a snapshot was made in the second that the array's clock shows: a
// refresh within it could not be told from none.
func sameSecond(o array.Observation, names []string) bool {
	text, _ := o.Sides[0].Native[nativeClock].(string)
	if len(text) < len(calendar) {
		return false
	}
	at, err := time.Parse(calendar, text[:len(calendar)])
	if err != nil {
		return false
	}
	for _, n := range names {
		if p := snapshotPoint(o, n); p != nil && *p == at.Unix() {
			return true
		}
	}
	return false
}

// Do implements array.Driver.
func (d *SnapDriver) Do(ctx context.Context, s array.Step) error {
	d.shared = false
	d.c.Array.forget()
	defer d.c.Array.forget()
	return typed(s.Site, d.transport().refresh(ctx, strings.Fields(s.Args["snapshots"])))
}

// Commands implements array.Commander: every command line that may be sent.
func (d *SnapDriver) Commands(method string) ([]string, error) {
	if err := sendsLines(method); err != nil {
		return nil, err
	}
	update, err := (&commandLine{}).refreshText(d.c.Snapshots)
	if err != nil {
		return nil, err
	}
	return []string{showSnapshots, showLicences, showClock, update}, nil
}

// sendsLines refuses a method that has no command lines to list.
func sendsLines(method string) error {
	switch method {
	case "", "ssh", "cli", "proxy":
		return nil
	}
	return fmt.Errorf("%w: method %q sends no command lines: choose ssh, cli or proxy", ErrConfig, method)
}
