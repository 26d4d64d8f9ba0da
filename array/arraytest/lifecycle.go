package arraytest

import (
	"context"
	"slices"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// LifeCycler is a Lab whose resource may be taken apart and made anew with verbs. Without
// it the cases of the life cycle are left out.
type LifeCycler interface {
	LifeCycle() LifeCycle
}

// LifeCycle is how the resource of a lab is made and taken apart.
type LifeCycle struct {
	Create array.Goal
	// Before lists the verbs that a storage wants before Delete, for instance a break.
	Before []array.Goal
	Delete array.Goal
	// Spare is a volume that may become a member and be removed again; empty: the
	// resource has no members that come and go.
	Spare string
}

// lifeCycle is that of the lab, if it has one and the driver knows both verbs.
func (r *rig) lifeCycle() (LifeCycle, bool) {
	l, ok := r.lab.(LifeCycler)
	if !ok {
		return LifeCycle{}, false
	}
	create, _ := r.caps.Supports(array.Create)
	del, _ := r.caps.Supports(array.Delete)
	return l.LifeCycle(), create && del
}

// situation is a state with the verbs that are tried in it.
type situation struct {
	state
	goals []array.Goal
}

// lifeCycleSituations are the states between "is not there" and the normal one.
func (r *rig) lifeCycleSituations(l LifeCycle) []situation {
	before := func(ctx context.Context, r *rig) error {
		steps := []func() error{func() error { return r.write(ctx, r.home) }}
		for _, g := range l.Before {
			steps = append(steps, func() error { return r.must(ctx, g) })
		}
		return inOrder(steps...)
	}
	absent := func(ctx context.Context, r *rig) error {
		return inOrder(func() error { return before(ctx, r) }, func() error { return r.must(ctx, l.Delete) })
	}
	gone := func(ctx context.Context, r *rig) error {
		return inOrder(func() error { return absent(ctx, r) }, func() error { return r.hurt(r.lab.SiteDown(ctx, r.away)) })
	}
	all := []situation{
		{state{"normal", r.states()[0].build}, []array.Goal{l.Create, l.Delete}},
		{state{"to be deleted", before}, []array.Goal{l.Delete}},
		{state{"absent", absent}, append([]array.Goal{l.Create, l.Delete}, r.goals()...)},
		{state{"absent, away side gone", gone}, []array.Goal{l.Create}},
	}
	if l.Spare == "" {
		return all
	}
	add, remove := array.Goal{Verb: array.Add, Volume: l.Spare}, array.Goal{Verb: array.Remove, Volume: l.Spare}
	with := func(ctx context.Context, r *rig) error { return r.must(ctx, add) }
	return append(all,
		situation{state{"without the spare", r.states()[0].build}, []array.Goal{add, remove}},
		situation{state{"with the spare", with}, []array.Goal{add, remove}},
		situation{state{"absent", absent}, []array.Goal{add, remove}})
}

// lifeCycleCases is the name of all of them where they are left out.
const lifeCycleCases = "life cycle"

// lifeCycles tries the verbs of the life cycle.
func (r *rig) lifeCycles(ctx context.Context, rep *Report) error {
	l, ok := r.lifeCycle()
	if !ok && !(strings.Contains(lifeCycleCases, r.options.Only) && r.picked(lifeCycleCases)) {
		return nil // nobody asked for them
	}
	if !ok {
		rep.Results = append(rep.Results, Result{Case: lifeCycleCases, Outcome: LeftOut, Detail: "the lab or the driver does not make and delete the resource"})
		return nil
	}
	for _, s := range r.lifeCycleSituations(l) {
		for _, g := range s.goals {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.family(ctx, rep, s.state, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// absent says that both sides answer and neither has a role.
func absent(o array.Observation) bool {
	return o.AllReachable() && !slices.ContainsFunc(o.Sides, func(s array.Side) bool { return s.Role != array.RoleNone })
}

func hasMember(o array.Observation, name string) bool {
	return slices.ContainsFunc(o.Members, func(m array.Member) bool { return m.Name == name })
}

// tidy is the verb that brings what the life cycle left back to the normal state.
func (r *rig) tidy(o array.Observation) (array.Goal, bool) {
	l, ok := r.lifeCycle()
	switch {
	case !ok:
	case absent(o):
		return l.Create, true
	case l.Create.Volume != "" && o.AllReachable() && len(o.Members) == 0: // create was cut off before its member came
		return l.Create, true
	case l.Spare != "" && hasMember(o, l.Spare):
		return array.Goal{Verb: array.Remove, Volume: l.Spare}, true
	}
	return array.Goal{}, false
}

// checkLifeCycle: a verb of the life cycle that is done has reached what it promises.
func (r *rig) checkLifeCycle(g array.Goal, before, after picture) error {
	o := after.seen
	switch g.Verb {
	case array.Create:
		if o.Primary() != r.home || o.Side(r.away).Role != array.RoleSecondary {
			return broken("create is done, but %s is %s and %s is %s", r.home, o.Side(r.home).Role, r.away, o.Side(r.away).Role)
		}
		if was, is := before.content[r.home], after.content[r.home]; was != is && was != "" {
			return broken("create changed the content of %s from %s to %s", r.home, short(was), short(is))
		}
	case array.Delete:
		if !absent(o) {
			return broken("delete is done, but %s is %s and %s is %s", r.home, o.Side(r.home).Role, r.away, o.Side(r.away).Role)
		}
	case array.Add, array.Remove:
		if hasMember(o, g.Volume) != (g.Verb == array.Add) {
			return broken("%s %s is done, but the members are %v", g.Verb, g.Volume, o.Members)
		}
	}
	return nil
}
