package arraytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// rig is one suite at work on one lab.
type rig struct {
	lab      Lab
	options  Options
	caps     array.Capabilities
	home     string
	away     string
	verbs    int
	families int    // verbs in a state that were reached
	turn     int    // which of the variants is tried next, with Options.Quick
	clean    bool   // nothing has happened since the resource was brought home
	harm     int    // how many entries of the storage's own notes were read
	noWay    string // why no verb led home and the resource was made anew; empty: it never was
}

// picture is what the suite compares before and after a verb.
type picture struct {
	seen    array.Observation
	content map[string]string // of the sides that can be read
}

// ended is how a verb ended.
type ended struct {
	sum   report.Summary
	err   error
	steps []report.Step
}

func (e ended) ok() bool { return e.err == nil }

// String is for messages.
func (e ended) String() string {
	if e.ok() {
		return fmt.Sprintf("%s after %d step(s)", e.sum.Result, e.sum.Steps)
	}
	return fmt.Sprintf("%s, exit %d: %s", e.sum.Result, e.sum.ExitCode, e.sum.Reason)
}

// hooks change how a verb runs.
type hooks struct {
	site  string // where it runs; empty: home
	wrap  func(array.Driver) array.Driver
	after func(n int, s array.Step) error
	// before is called before each step, after its observation and plan.
	before  func(n int, s array.Step) error
	timeout time.Duration
}

// verb runs one goal.
func (r *rig) verb(ctx context.Context, g array.Goal, h hooks) (ended, error) {
	if h.site == "" {
		h.site = r.home
	}
	d, err := r.lab.Open(ctx, h.site)
	if err != nil {
		return ended{}, fmt.Errorf("open at %s: %w", h.site, err)
	}
	if h.wrap != nil {
		d = h.wrap(d)
	}
	if h.timeout == 0 {
		h.timeout = r.options.Timeout
	}
	g.LocalSite = h.site
	r.verbs++
	r.clean = false
	var e ended
	e.sum, e.err = array.Run(ctx, d, g, array.Options{
		Resource: "NAME", Timeout: h.timeout, Sleep: r.lab.Sleep, BeforeStep: h.before, AfterStep: h.after,
		OnStep: func(s report.Step) { e.steps = append(e.steps, s) },
	})
	return e, nil
}

// observe is what the driver says now.
func (r *rig) observe(ctx context.Context) (array.Observation, error) {
	d, err := r.lab.Open(ctx, r.home)
	if err != nil {
		return array.Observation{}, fmt.Errorf("open: %w", err)
	}
	o, err := d.Observe(ctx)
	o.Normalize()
	return o, err
}

// look takes a picture.
func (r *rig) look(ctx context.Context) (picture, error) {
	o, err := r.observe(ctx)
	if err != nil {
		return picture{}, fmt.Errorf("observe: %w", err)
	}
	p := picture{seen: o, content: map[string]string{}}
	for _, s := range o.Sides {
		if !s.Reachable {
			continue
		}
		if text, err := r.lab.Read(ctx, s.Site); err == nil {
			p.content[s.Site] = text
		}
	}
	return p, nil
}

func (r *rig) peer(site string) string {
	if site == r.home {
		return r.away
	}
	return r.home
}

// maxWayHome is how many verbs may lie between any state and the normal one.
const maxWayHome = 10

// hurt remembers that something was done to the storage.
func (r *rig) hurt(err error) error {
	r.clean = false
	return err
}

// goHome mends link and sides and brings the resource into its normal state with the
// verbs alone.
func (r *rig) goHome(ctx context.Context) error {
	for _, mend := range []func() error{
		func() error { return r.lab.SiteUp(ctx, r.home) }, func() error { return r.lab.SiteUp(ctx, r.away) }, func() error { return r.lab.LinkUp(ctx) },
	} {
		if err := mend(); err != nil && !errors.Is(err, ErrLeftOut) {
			return fmt.Errorf("mend the storage: %w", err)
		}
	}
	var tried []string
	for range maxWayHome {
		o, err := r.observe(ctx)
		if err != nil {
			return fmt.Errorf("observe: %w", err)
		}
		g, untidy := r.tidy(o)
		normal := !untidy && o.Primary() == r.home && o.Side(r.away).Role == array.RoleSecondary && o.Replication == array.Running
		if normal && r.clean {
			return nil
		}
		goals := r.wayFrom(o)
		switch {
		case untidy:
			goals = []array.Goal{g}
		case normal || o.Primary() == r.home && o.Replication == array.Initial: // the first copy is waited for
			goals = []array.Goal{{Verb: array.Update}}
		}
		advanced := false
		for _, g := range goals {
			e, err := r.verb(ctx, g, hooks{})
			if err != nil {
				return err
			}
			tried = append(tried, g.Command("NAME")+": "+e.String())
			r.clean = normal && e.ok()
			if advanced = e.ok(); advanced {
				break
			}
		}
		if advanced {
			continue
		}
		if remade, err := r.remake(ctx, o); remade || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := r.lab.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return broken("no way home; tried: %v", tried)
}

// remake makes the resource anew where the driver has no way home. Only a promoted away
// side excuses that: from every other state the verbs lead back.
func (r *rig) remake(ctx context.Context, o array.Observation) (bool, error) {
	ok, why := r.caps.Supports(array.Failback)
	m, can := r.lab.(Remaker)
	if ok || !can || o.Side(r.away).Role != array.RolePrimary {
		return false, nil
	}
	r.noWay = why
	if err := m.Remake(ctx); err != nil {
		return false, fmt.Errorf("make the resource anew: %w", err)
	}
	return true, nil
}

// wayFrom are the verbs that an administrator would try, the gentlest first.
func (r *rig) wayFrom(o array.Observation) []array.Goal {
	back := array.Goal{Verb: array.Failback, WritersStopped: true}
	lossy, other := back, back
	lossy.Discard, other.Discard = r.home, r.away
	if o.Primary() == r.home {
		return []array.Goal{{Verb: array.Resume}, back, other, lossy}
	}
	return []array.Goal{back, lossy, other}
}

// typed says that an exit code is one with which a verb may end.
func typed(code int) bool {
	switch code {
	case failure.CodeOK, failure.CodeUnreachable, failure.CodeRefused, failure.CodeArray, failure.CodeUnsupported:
		return true
	}
	return false
}
