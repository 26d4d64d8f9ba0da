package arraytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/report"
)

// Run runs every case. The error says why the suite could not go on; cases that fail are
// in the report.
func Run(ctx context.Context, lab Lab, o Options) (Report, error) {
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	r := &rig{lab: lab, options: o}
	var rep Report
	d, err := lab.Open(ctx, "")
	if err != nil {
		return rep, fmt.Errorf("open: %w", err)
	}
	r.caps = d.Capabilities()
	if len(r.caps.Sites) != 2 {
		return rep, fmt.Errorf("capabilities name %d sites, not 2", len(r.caps.Sites))
	}
	r.home, r.away = r.caps.Sites[0], r.caps.Sites[1]
	for _, s := range r.states() {
		for _, g := range r.goals() {
			if err := ctx.Err(); err != nil {
				return rep, err
			}
			if err := r.family(ctx, &rep, s, g); err != nil {
				return rep, err
			}
		}
	}
	if err := r.lifeCycles(ctx, &rep); err != nil {
		return rep, err
	}
	if err := r.deadlines(ctx, &rep); err != nil {
		return rep, err
	}
	err = r.goHome(ctx)
	if r.noWay != "" {
		rep.Results = append(rep.Results, Result{Case: "way home after a failover", Outcome: LeftOut, Detail: fmt.Sprintf("failback: %s; the lab made the resource anew", r.noWay)})
	}
	rep.Verbs = r.verbs
	return rep, err
}

// family is one verb in one state: whole, then stopped, deprived and disturbed at each
// of its steps.
func (r *rig) family(ctx context.Context, rep *Report, s state, g array.Goal) error {
	name := s.name + ": " + strings.TrimPrefix(g.Command("NAME"), "ddsgo ")
	if !strings.Contains(name, r.options.Only) || !r.picked(name) {
		return nil
	}
	if r.families++; r.options.Parts > 1 && r.families%r.options.Parts != r.options.Part%r.options.Parts {
		return nil
	}
	var whole ended
	ok, err := r.try(ctx, rep, s, name, func(ctx context.Context) error {
		var err error
		whole, err = r.caseWhole(ctx, g)
		return err
	})
	if err != nil || !ok || whole.sum.Result != report.ResultDone {
		return err
	}
	for _, v := range r.variants(g, whole.sum.Steps) {
		if !r.picked(name + ", " + v.name) {
			continue
		}
		if _, err := r.try(ctx, rep, s, name+", "+v.name, v.run); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) picked(name string) bool { return r.options.Pick == nil || r.options.Pick(name) }

// try builds the state, runs one case, and goes home. The error is one after which the
// suite cannot go on.
func (r *rig) try(ctx context.Context, rep *Report, s state, name string, run func(context.Context) error) (bool, error) {
	if r.options.Log != nil {
		r.options.Log(name)
	}
	err := r.goHome(ctx)
	if err != nil {
		return false, fmt.Errorf("before %q: %w", name, err)
	}
	if err = s.build(ctx, r); err == nil {
		err = run(ctx)
	}
	res := Result{Case: name, Outcome: Passed}
	var b *brokenError
	switch {
	case errors.As(err, &b):
		res.Outcome, res.Detail = Failed, b.text
	case errors.Is(err, ErrLeftOut):
		res.Outcome, res.Detail = LeftOut, err.Error()
	case err != nil:
		return false, fmt.Errorf("%s: %w", name, err)
	}
	home := r.goHome(ctx)
	if harm := r.newHarm(); harm != "" && res.Outcome != Failed {
		res.Outcome, res.Detail = Failed, harm
	}
	if home != nil && res.Outcome != Failed {
		res.Outcome, res.Detail = Failed, home.Error()
	}
	rep.Results = append(rep.Results, res)
	if n := r.options.MaxFailures; n > 0 && rep.Count(Failed) >= n {
		return false, fmt.Errorf("%w: %d", ErrTooMany, n)
	}
	return res.Outcome == Passed, nil
}

// newHarm is what the storage has noted since the last call.
func (r *rig) newHarm() string {
	w, ok := r.lab.(Witness)
	if !ok {
		return ""
	}
	all := w.Harm()
	fresh := all[r.harm:]
	r.harm = len(all)
	return strings.Join(fresh, "; ")
}

// caseWhole previews the verb, runs it, checks it, and runs it again.
func (r *rig) caseWhole(ctx context.Context, g array.Goal) (ended, error) {
	before, err := r.look(ctx)
	if err != nil {
		return ended{}, err
	}
	d, err := r.lab.Open(ctx, r.home)
	if err != nil {
		return ended{}, fmt.Errorf("open: %w", err)
	}
	plan, _ := array.Preview(ctx, d, g, array.Options{Resource: "NAME"})
	still, err := r.look(ctx)
	if err != nil {
		return ended{}, err
	}
	if err := unchanged(before, still); err != nil {
		return ended{}, fmt.Errorf("plan: %w", err)
	}
	e, err := r.verb(ctx, g, hooks{})
	if err != nil {
		return e, err
	}
	if err := r.checkEnd(ctx, g, before, e); err != nil {
		return e, err
	}
	if len(plan.Steps) > 0 && len(e.steps) > 0 && plan.Steps[0].Command != e.steps[0].Command {
		return e, broken("the plan began with %q, the verb with %q", plan.Steps[0].Command, e.steps[0].Command)
	}
	return e, r.again(ctx, g, e)
}

// again: a verb that is done finds nothing to do, one that was refused is refused.
func (r *rig) again(ctx context.Context, g array.Goal, first ended) error {
	second, err := r.verb(ctx, g, hooks{})
	if err != nil {
		return err
	}
	if err := consistent(second); err != nil {
		return fmt.Errorf("run again: %w", err)
	}
	copies := g.Verb == array.Update || g.Verb == array.Failback && g.Prepare
	switch {
	case !first.ok() && second.sum.ExitCode != first.sum.ExitCode:
		return broken("run again: exit %d at first, then %s", first.sum.ExitCode, second)
	case first.ok() && !second.ok():
		return broken("run again: %s at first, then %s", first.sum.Result, second)
	case first.ok() && !copies && (second.sum.Result != report.ResultNothingToDo || second.sum.Steps != 0):
		return broken("run again: not nothing_to_do, but %s: %v", second, second.steps)
	}
	return nil
}
