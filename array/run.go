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

// Options of Run. The zero value is usable.
type Options struct {
	Resource string        // name, for messages and next commands
	Timeout  time.Duration // 0: none

	OnWarning func(text string) // before the first step of the plan that warns
	OnStep    func(report.Step) // after each step
	OnWait    func(report.Wait) // before each wait

	// BeforeStep and AfterStep stop the run where they return an error; tests kill it
	// there.
	BeforeStep func(n int, s Step) error
	AfterStep  func(n int, s Step) error

	Now   func() time.Time                           // nil: time.Now
	Sleep func(context.Context, time.Duration) error // nil: a timer
}

// Limits of a run. They end a run that leads nowhere even where no deadline is set.
const (
	pollFirst    = 200 * time.Millisecond // the first wait between two observations
	pollLongest  = 5 * time.Second        // and the longest
	maxAttempts  = 5                      // of one step that never shows
	maxSilent    = 5                      // observations in a row in which Plan misses a side
	maxUnsettled = 30                     // observations in a row in which R4 does not hold
)

// errDeadline is the cause of a context that Options.Timeout ended.
var errDeadline = errors.New("deadline passed")

// Run brings one resource to a goal: observe, plan, check the rules, do the first step,
// observe again. The error is nil for report.ResultDone and report.ResultNothingToDo;
// otherwise it is a *failure.Error with the exit code, and errors.As finds the *Refusal
// or *Error in it. The summary is valid in every case.
func Run(ctx context.Context, d Driver, g Goal, o Options) (report.Summary, error) {
	r := newRunner(d, o)
	start := r.now()
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, errDeadline)
		defer cancel()
	}
	g, err := resolve(o.Resource, r.caps, g)
	r.goal = g
	if err == nil {
		focus(d, g)
		err = r.run(ctx)
	}
	s := r.summary(ctx, err)
	s.Seconds = r.now().Sub(start).Seconds()
	if s.ExitCode == failure.CodeOK {
		return s, nil
	}
	return s, endError(s.ExitCode, o.Resource, s.Reason, s.Next, err)
}

// ended is the end of a run for people and exit codes, with the cause for errors.As.
type ended struct {
	forPeople *failure.Error
	cause     error
}

// Error is the text for people.
func (e *ended) Error() string { return e.forPeople.Error() }

// Unwrap returns both, the one for people first.
func (e *ended) Unwrap() []error { return []error{e.forPeople, e.cause} }

// endError does not tell the cause's text a second time: the reason is made from it.
func endError(code int, subject, reason, next string, cause error) error {
	return &ended{&failure.Error{Code: code, Subject: subject, Reason: reason, Next: next}, cause}
}

// runner is one run of one verb.
type runner struct {
	driver  Driver
	caps    Capabilities
	options Options
	goal    Goal
	plan    Plan     // the newest
	warned  []string // by the plans whose steps were done

	attempts  map[string]int // per step
	cooled    bool           // waited before another attempt
	failed    *Error         // the storage's answer to the step just done
	failedID  string
	silent    int // plans in a row that missed a side
	unsettled int // observations in a row in which R4 does not hold
	poll      time.Duration
}

func newRunner(d Driver, o Options) *runner {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &runner{driver: d, caps: d.Capabilities(), options: o, attempts: map[string]int{}, poll: pollFirst}
}

func (r *runner) now() time.Time { return r.options.Now() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// run is the loop of the package comment.
func (r *runner) run(ctx context.Context) error {
	for {
		o, err := r.observe(ctx)
		if err != nil {
			return err
		}
		done, err := r.next(ctx, o)
		if done || err != nil {
			return err
		}
		r.goal.Last = &o
	}
}

// observe reads both sides and keeps what the rules compare with.
func (r *runner) observe(ctx context.Context) (Observation, error) {
	if err := context.Cause(ctx); err != nil {
		return Observation{}, err
	}
	o, err := r.driver.Observe(ctx)
	if err != nil {
		return o, err
	}
	o.Normalize()
	r.goal.ObservedSince++
	if r.goal.Baseline == nil {
		r.goal.Baseline = &o
	}
	if was, is := r.goal.Baseline.Primary(), o.Primary(); r.goal.Verb.KeepsDirection() && was != "" && is != "" && was != is {
		return o, &Error{Kind: KindInternal, Reason: fmt.Sprintf("the direction changed during %s: %s was primary, now %s is; another hand is at work", r.goal.Verb, was, is), Next: "ddsgo status " + r.options.Resource}
	}
	return o, nil
}

// next plans from an observation and does the first step, or waits.
func (r *runner) next(ctx context.Context, o Observation) (done bool, err error) {
	p, err := r.driver.Plan(o, r.goal)
	if err != nil {
		return false, r.planError(ctx, err)
	}
	r.silent, r.plan = 0, p
	if p.Reached {
		return r.reached(ctx, o)
	}
	if err := checkPlan(r.options.Resource, r.caps, o, r.goal, p); err != nil {
		return false, err
	}
	if len(p.Steps) == 0 {
		if p.Wait == nil {
			return false, &Error{Kind: KindInternal, Reason: fmt.Sprintf("driver %s plans nothing for %s, and it is not reached", r.caps.Driver, r.goal.Verb)}
		}
		return false, r.wait(ctx, *p.Wait)
	}
	return false, r.step(ctx, o, p.Steps[0])
}

// planError waits for a side that fell silent in the middle of a run; every other error
// ends it.
func (r *runner) planError(ctx context.Context, err error) error {
	r.silent++
	if len(r.goal.Done) == 0 || KindOf(err) != KindUnreachable || r.silent > maxSilent {
		return err
	}
	return r.wait(ctx, Wait{What: "an answer: " + err.Error()})
}

// reached believes the driver when the roles and R4 do.
func (r *runner) reached(ctx context.Context, o Observation) (bool, error) {
	if err := checkReached(r.caps, o, r.goal); err != nil {
		return false, err
	}
	if settled(o, r.goal) {
		return true, nil
	}
	if r.unsettled++; r.unsettled > maxUnsettled {
		return false, &Error{Kind: KindArray, Reason: "the storage calls it done, but its own sync point did not move past the one before (R4)", Next: "ddsgo status " + r.options.Resource}
	}
	return false, r.wait(ctx, Wait{What: "the storage's own sync point to move"})
}

func (r *runner) wait(ctx context.Context, w Wait) error {
	if r.options.OnWait != nil {
		line := report.Wait{MessageType: report.TypeWait, Resource: r.options.Resource, What: w.What}
		if w.Total > 0 {
			line.Done, line.Total = &w.Done, &w.Total
		}
		r.options.OnWait(line)
	}
	d := r.poll
	r.poll = min(2*r.poll, pollLongest)
	return r.options.Sleep(ctx, d)
}

// warn tells what is about to be done, before it is.
func (r *runner) warn() {
	all := withNew(r.warned, r.plan.Warnings)
	if r.options.OnWarning != nil {
		for _, text := range all[len(r.warned):] {
			r.options.OnWarning(text)
		}
	}
	r.warned = all
}

// step does one step. A step without a reply is not an error here: the next
// observation tells what became of it (R7).
func (r *runner) step(ctx context.Context, o Observation, s Step) error {
	if r.failed != nil && r.failedID == s.ID {
		return r.failed // the storage said no, and the step is still needed
	}
	if r.attempts[s.ID] > 0 && !r.cooled {
		return r.cool(ctx, s)
	}
	if err := checkStep(r.options.Resource, o, r.goal, s); err != nil {
		return err
	}
	r.cooled = false
	r.warn()
	r.attempts[s.ID]++
	r.poll = pollFirst
	n := len(r.goal.Done) + 1
	if r.options.BeforeStep != nil {
		if err := r.options.BeforeStep(n, s); err != nil {
			return fmt.Errorf("before step %d: %w", n, err)
		}
	}
	start := r.now()
	err := r.driver.Do(ctx, s)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	done := DoneStep{Step: s, At: start, Outcome: outcome(err)}
	if err != nil {
		done.Error = err.Error()
	}
	r.goal.Done, r.goal.ObservedSince, r.unsettled = append(r.goal.Done, done), 0, 0
	r.emit(done, n, err, r.now().Sub(start))
	if r.options.AfterStep != nil {
		if stop := r.options.AfterStep(n, s); stop != nil {
			return fmt.Errorf("after step %d: %w", n, stop)
		}
	}
	return r.afterStep(ctx, s, err)
}

// withNew appends the texts that are not there yet.
func withNew(all, more []string) []string {
	for _, w := range more {
		if !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	return all
}

// cool waits before a step is done again, and lets the run observe once more: the step
// rests on what is true then.
func (r *runner) cool(ctx context.Context, s Step) error {
	if r.attempts[s.ID] >= maxAttempts {
		last := r.goal.Done[len(r.goal.Done)-1]
		if last.Outcome == OutcomeLost {
			return &Error{Kind: KindUnreachable, Site: s.Site, Reason: fmt.Sprintf("no reply to %d attempts to %s: %s", maxAttempts, s.Action, last.Error)}
		}
		return &Error{Kind: KindArray, Site: s.Site, Reason: fmt.Sprintf("confirmed %d attempts to %s, without effect", maxAttempts, s.Action), Next: "ddsgo status " + r.options.Resource}
	}
	r.cooled = true
	r.poll = pollFirst << r.attempts[s.ID]
	return r.wait(ctx, Wait{What: "another attempt to " + s.Action})
}

// afterStep decides whether an error of a step ends the run.
func (r *runner) afterStep(ctx context.Context, s Step, err error) error {
	r.failed, r.failedID = nil, ""
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	switch KindOf(err) {
	case KindUnreachable:
		return nil
	case KindArray:
		r.failedID = s.ID
		if !errors.As(err, &r.failed) {
			return err
		}
		return nil
	}
	return err
}

func outcome(err error) Outcome {
	_, coded := failure.CodeOf(err)
	switch {
	case err == nil:
		return OutcomeOK
	case coded && KindOf(err) == KindInternal:
		return OutcomeError // a driver of ddsgo's own says exactly what happened
	case KindOf(err) == KindArray || KindOf(err) == KindRefused || KindOf(err) == KindUnsupported || KindOf(err) == KindConfig:
		return OutcomeError
	}
	return OutcomeLost
}

func (r *runner) emit(d DoneStep, n int, err error, took time.Duration) {
	if r.options.OnStep == nil {
		return
	}
	rc := 0
	switch {
	case d.Outcome == OutcomeLost:
		rc = -1
	case err != nil:
		rc = 1
		var e *Error
		if errors.As(err, &e) && e.RC != 0 {
			rc = e.RC
		}
	}
	r.options.OnStep(report.Step{MessageType: report.TypeStep, Resource: r.options.Resource, N: n, Site: d.Site, Action: d.Action, Command: d.Command, RC: rc, Seconds: took.Seconds()})
}
