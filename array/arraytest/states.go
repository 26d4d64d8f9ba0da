package arraytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/array"
)

// state is a situation in which every verb is tried.
type state struct {
	name  string
	build func(ctx context.Context, r *rig) error
}

// states are the situations, from the normal one to the worst.
func (r *rig) states() []state {
	return []state{
		{"normal", func(ctx context.Context, r *rig) error { return r.write(ctx, r.home) }},
		{"broken", func(ctx context.Context, r *rig) error {
			return inOrder(func() error { return r.must(ctx, array.Goal{Verb: array.Break}) }, func() error { return r.write(ctx, r.home) })
		}},
		{"link down", func(ctx context.Context, r *rig) error { return r.hurt(r.lab.LinkDown(ctx)) }},
		{"away side gone", func(ctx context.Context, r *rig) error { return r.hurt(r.lab.SiteDown(ctx, r.away)) }},
		{"home side gone", func(ctx context.Context, r *rig) error { return r.hurt(r.lab.SiteDown(ctx, r.home)) }},
		{"swapped", func(ctx context.Context, r *rig) error {
			return inOrder(func() error { return r.must(ctx, r.swap()) }, func() error { return r.write(ctx, r.away) })
		}},
		{"swapped, not started", func(ctx context.Context, r *rig) error {
			g := r.swap()
			g.NoStart = true
			return r.must(ctx, g)
		}},
		{"failed over", failedOver},
		{"lost side back", func(ctx context.Context, r *rig) error {
			return inOrder(func() error { return failedOver(ctx, r) }, func() error { return r.write(ctx, r.away) }, func() error { return r.lab.SiteUp(ctx, r.home) })
		}},
		{"lost side back with own writes", func(ctx context.Context, r *rig) error {
			return inOrder(func() error { return r.write(ctx, r.home) }, func() error { return failedOver(ctx, r) }, func() error { return r.write(ctx, r.away) },
				func() error { return r.lab.SiteUp(ctx, r.home) })
		}},
	}
}

func inOrder(steps ...func() error) error {
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

func failedOver(ctx context.Context, r *rig) error {
	return inOrder(func() error { return r.hurt(r.lab.SiteDown(ctx, r.home)) },
		func() error { return r.must(ctx, array.Goal{Verb: array.Failover, Site: r.away}) })
}

func (r *rig) swap() array.Goal {
	return array.Goal{Verb: array.Swap, Site: r.away, WritersStopped: true}
}

// write writes as the application would; a lab without writes goes on.
func (r *rig) write(ctx context.Context, site string) error {
	if err := r.hurt(r.lab.Write(ctx, site)); err != nil && !errors.Is(err, ErrLeftOut) {
		return fmt.Errorf("write at %s: %w", site, err)
	}
	return nil
}

// must runs a verb that builds a state.
func (r *rig) must(ctx context.Context, g array.Goal) error {
	if ok, why := r.caps.Supports(g.Verb); !ok {
		return fmt.Errorf("%w: %s: %s", ErrLeftOut, g.Verb, why)
	}
	site := r.home
	if g.Site != "" {
		site = g.Site
	}
	e, err := r.verb(ctx, g, hooks{site: site})
	if err != nil {
		return err
	}
	if !e.ok() {
		return broken("%s, to build the state: %s", g.Command("NAME"), e)
	}
	return nil
}

// goals are the verbs with the parameters that are tried in each state.
func (r *rig) goals() []array.Goal {
	goals := []array.Goal{
		{Verb: array.Update}, {Verb: array.Break}, {Verb: array.Resume},
		{Verb: array.Swap, Site: r.home, WritersStopped: true},
		{Verb: array.Swap, Site: r.away, WritersStopped: true},
		{Verb: array.Failover, Site: r.away},
		{Verb: array.Failback, WritersStopped: true},
		{Verb: array.Failback, Prepare: true},
		{Verb: array.Failback, Discard: r.home, WritersStopped: true},
		{Verb: array.Start, Site: r.away},
		{Verb: array.Revert},
	}
	goals = append(goals, r.options.Goals...)
	if r.options.Quick {
		return goals
	}
	goals = append(goals, array.Goal{Verb: array.Failback, WritersStopped: true, NoStart: true},
		array.Goal{Verb: array.Failover, Site: r.home}, array.Goal{Verb: array.Start, Site: r.home},
		array.Goal{Verb: array.Failback, Discard: r.away, WritersStopped: true})
	for _, site := range []string{r.home, r.away} {
		goals = append(goals,
			array.Goal{Verb: array.Swap, Site: site, WritersStopped: true, NoStart: true},
			array.Goal{Verb: array.Failover, Site: site, Force: true},
			array.Goal{Verb: array.Failback, Discard: site, Prepare: true, KeepDiscarded: true},
		)
	}
	return goals
}
