package array

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// summary tells how the run ended.
func (r *runner) summary(ctx context.Context, err error) report.Summary {
	s := report.Summary{
		MessageType: report.TypeSummary, Resource: r.options.Resource, Verb: string(r.goal.Verb),
		Steps: len(r.goal.Done), Warnings: withNew(r.warned, r.plan.Warnings), Info: r.plan.Result,
	}
	switch {
	case err == nil && len(r.goal.Done) == 0 && !r.waited():
		s.Result = report.ResultNothingToDo
	case err == nil:
		s.Result = report.ResultDone
	default:
		r.explain(ctx, err, &s)
	}
	return s
}

// waited says that the goal did not hold at the first observation and was reached by
// waiting alone.
func (r *runner) waited() bool { return r.goal.Last != nil }

// explain fills result, exit code, reason and next from an error.
func (r *runner) explain(ctx context.Context, err error, s *report.Summary) {
	s.Result, s.Reason = report.ResultFailed, err.Error()
	again := r.goal.Command(r.options.Resource)
	kind := KindOf(err)
	s.ExitCode = kind.ExitCode()
	if code, ok := failure.CodeOf(err); ok && kind == KindInternal {
		s.ExitCode = code // a driver of ddsgo's own (LVM) brings codes that arrays do not have
	}
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errDeadline):
		s.ExitCode, s.Next = failure.CodeUnreachable, again
		s.Reason = fmt.Sprintf("deadline of %s passed", r.options.Timeout)
		if r.plan.Wait != nil {
			s.Reason += " while waiting for " + r.plan.Wait.What
		}
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		s.ExitCode, s.Reason, s.Next = failure.CodeInterrupted, "interrupted", again
	default:
		s.Next = nextFrom(err)
		if s.Next == "" && (kind == KindUnreachable || errors.Is(err, ErrStopped)) {
			s.Next = again
		}
		if s.Next == "" && kind != KindConfig {
			s.Next = "ddsgo status " + r.options.Resource
		}
	}
	if kind != KindRefused && kind != KindUnsupported && s.ExitCode != failure.CodeRefused {
		r.tellDone(s)
		return
	}
	if slices.ContainsFunc(r.goal.Done, func(d DoneStep) bool { return d.Outcome != OutcomeError }) {
		s.ExitCode = failure.CodeFailure // "refused" promises that nothing was done
		r.tellDone(s)
		return
	}
	s.Result = report.ResultRefused
	if kind == KindUnsupported {
		s.Result = report.ResultUnsupported
	}
}

func (r *runner) tellDone(s *report.Summary) {
	if n := len(r.goal.Done); n > 0 {
		s.Reason = fmt.Sprintf("stopped after %d step(s): %s", n, s.Reason)
	}
}

func nextFrom(err error) string {
	var ref *Refusal
	if errors.As(err, &ref) {
		return ref.Next
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Next
	}
	var f *failure.Error
	if errors.As(err, &f) {
		return f.Next
	}
	return ""
}

// Preview is what Run would do now: the same observation, plan and rules, without a
// step. The error is as that of Run; the plan is valid in every case.
func Preview(ctx context.Context, d Driver, g Goal, o Options) (report.Plan, error) {
	r := newRunner(d, o)
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, errDeadline)
		defer cancel()
	}
	g, err := resolve(o.Resource, r.caps, g)
	r.goal = g
	if err == nil {
		focus(d, g)
		err = r.preview(ctx)
	}
	sum := r.summary(ctx, err)
	p := report.Plan{
		MessageType: report.TypePlan, Resource: o.Resource, Verb: string(g.Verb), Site: r.goal.Site, Result: sum.Result,
		Authoritative: r.plan.Authoritative, Warnings: append([]string{}, r.plan.Warnings...),
		Overwrites: []report.Overwrite{}, Steps: []report.PlanStep{},
		ExitCode: sum.ExitCode, Reason: sum.Reason, Next: sum.Next,
	}
	if err == nil && !r.plan.Reached {
		p.Result = report.ResultDone
	}
	for i, s := range r.plan.Steps {
		p.Steps = append(p.Steps, report.PlanStep{N: i + 1, Site: s.Site, Action: s.Action, Command: s.Command})
	}
	for _, ow := range r.plan.Overwrites {
		p.Overwrites = append(p.Overwrites, report.Overwrite{Site: ow.Site, LastCommon: rfc3339(ow.LastCommon), Kept: ow.Kept, Allowed: g.Discard == ow.Site})
	}
	if p.ExitCode == failure.CodeOK {
		return p, nil
	}
	return p, endError(p.ExitCode, o.Resource, p.Reason, p.Next, err)
}

func (r *runner) preview(ctx context.Context) error {
	o, err := r.observe(ctx)
	if err != nil {
		return err
	}
	if r.plan, err = r.driver.Plan(o, r.goal); err != nil {
		return err
	}
	if r.plan.Reached {
		return checkReached(r.caps, o, r.goal)
	}
	if err := checkPlan(r.options.Resource, r.caps, o, r.goal, r.plan); err != nil {
		return err
	}
	if len(r.plan.Steps) > 0 {
		return checkStep(r.options.Resource, o, r.goal, r.plan.Steps[0])
	}
	return nil
}

func rfc3339(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := t.UTC().Format(time.RFC3339)
	return &s
}
