package arraytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// variant is one way to get between a verb and its end.
type variant struct {
	name string
	run  func(context.Context) error
}

// variants are all ways for a verb of so many steps; with Options.Quick, one of each
// kind, another one for each verb.
func (r *rig) variants(g array.Goal, steps int) []variant {
	var stopped, lost, disturbed []variant
	for n := 1; n <= steps; n++ {
		for _, site := range []string{r.home, r.away} {
			stopped = append(stopped, variant{fmt.Sprintf("stopped after step %d, run again at %s", n, site), func(ctx context.Context) error { return r.caseStopped(ctx, g, n, site) }})
		}
		for _, acted := range []bool{true, false} {
			lost = append(lost, variant{fmt.Sprintf("no reply to step %d (done: %t)", n, acted), func(ctx context.Context) error { return r.caseLost(ctx, g, n, acted) }})
		}
		for _, d := range r.disturbances() {
			disturbed = append(disturbed, variant{fmt.Sprintf("%s before step %d", d.name, n), func(ctx context.Context) error { return r.caseDisturbed(ctx, g, n, d) }})
		}
	}
	if !r.options.Quick || steps == 0 {
		return append(append(stopped, lost...), disturbed...)
	}
	r.turn++
	one := func(v []variant) variant { return v[r.turn%len(v)] }
	return []variant{one(stopped), one(lost), one(disturbed)}
}

// errStop stops a run as a kill would.
var errStop = errors.New("killed by the suite")

// caseStopped kills the verb after a step and runs it again, at either site.
func (r *rig) caseStopped(ctx context.Context, g array.Goal, n int, site string) error {
	before, err := r.look(ctx)
	if err != nil {
		return err
	}
	e, err := r.verb(ctx, g, hooks{after: func(k int, _ array.Step) error {
		if k == n {
			return errStop
		}
		return nil
	}})
	if err != nil {
		return err
	}
	if !errors.Is(e.err, errStop) {
		return broken("it took other steps than before: %s", e)
	}
	middle, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.checkSafe(ctx, g, before, middle); err != nil {
		return err
	}
	second, err := r.verb(ctx, g, hooks{site: site})
	if err != nil {
		return err
	}
	if !second.ok() {
		return broken("not finished by the same verb: %s", second)
	}
	second.sum.Result = "done" // of both runs together
	return r.checkEnd(ctx, g, before, second)
}

// lossy is a driver whose nth step gets no reply.
type lossy struct {
	array.Driver
	n     int
	acted bool // the step is done all the same
	count int
}

// Unwrap lets optional interfaces of the driver be found.
func (l *lossy) Unwrap() array.Driver { return l.Driver }

// Do implements array.Driver.
func (l *lossy) Do(ctx context.Context, s array.Step) error {
	l.count++
	if l.count != l.n {
		return l.Driver.Do(ctx, s)
	}
	if l.acted {
		if err := l.Driver.Do(ctx, s); err != nil {
			return err
		}
	}
	return array.Unreachable(s.Site, errors.New("reply lost by the suite"))
}

// caseLost takes the reply to one step away: the verb finishes all the same.
func (r *rig) caseLost(ctx context.Context, g array.Goal, n int, acted bool) error {
	before, err := r.look(ctx)
	if err != nil {
		return err
	}
	e, err := r.verb(ctx, g, hooks{wrap: func(d array.Driver) array.Driver { return &lossy{Driver: d, n: n, acted: acted} }})
	if err != nil {
		return err
	}
	if !e.ok() {
		return broken("not finished: %s", e)
	}
	return r.checkEnd(ctx, g, before, e)
}

// disturbance is what may happen between two steps.
type disturbance struct {
	name string
	do   func(context.Context) error
}

func (r *rig) disturbances() []disturbance {
	return []disturbance{
		{"another operator breaks", func(ctx context.Context) error { return r.lab.Foreign(ctx, "break") }},
		{"another operator resumes", func(ctx context.Context) error { return r.lab.Foreign(ctx, "resume") }},
		{"the link flaps", func(ctx context.Context) error { return errors.Join(r.lab.LinkDown(ctx), r.lab.LinkUp(ctx)) }},
		{"the link goes down", func(ctx context.Context) error { return r.lab.LinkDown(ctx) }},
		{"the home side dies", func(ctx context.Context) error { return r.lab.SiteDown(ctx, r.home) }},
		{"the away side dies", func(ctx context.Context) error { return r.lab.SiteDown(ctx, r.away) }},
	}
}

// caseDisturbed lets something happen after the observation and before the step. The
// verb may end in any typed way, but safely; mended, the resource finds home.
func (r *rig) caseDisturbed(ctx context.Context, g array.Goal, n int, d disturbance) error {
	before, err := r.look(ctx)
	if err != nil {
		return err
	}
	var failed error
	e, err := r.verb(ctx, g, hooks{timeout: r.options.Timeout, before: func(k int, _ array.Step) error {
		if k == n {
			failed = d.do(ctx)
		}
		return nil
	}})
	if err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if code := e.sum.ExitCode; !typed(code) && code != failure.CodeFailure {
		return broken("ends with exit %d: %s", code, e.sum.Reason)
	}
	after, err := r.look(ctx)
	if err != nil {
		return err
	}
	return r.checkSafe(ctx, g, before, after)
}

// stuck is a driver one of whose calls never returns by itself.
type stuck struct {
	array.Driver
	observe bool
}

// Unwrap lets optional interfaces of the driver be found.
func (s stuck) Unwrap() array.Driver { return s.Driver }

// Observe implements array.Driver.
func (s stuck) Observe(ctx context.Context) (array.Observation, error) {
	if s.observe {
		<-ctx.Done()
		return array.Observation{}, ctx.Err()
	}
	return s.Driver.Observe(ctx)
}

// Do implements array.Driver.
func (s stuck) Do(ctx context.Context, _ array.Step) error {
	<-ctx.Done()
	return ctx.Err()
}

// deadlineAfter is short: what is tested is that it ends a run at all.
const deadlineAfter = time.Second

// deadlines: a verb ends at its deadline, whatever hangs.
func (r *rig) deadlines(ctx context.Context, rep *Report) error {
	normal := r.states()[0]
	for _, v := range []struct {
		name    string
		observe bool
	}{{"an observation hangs", true}, {"a step hangs", false}} {
		name := "deadline: " + v.name
		if !strings.Contains(name, r.options.Only) || !r.picked(name) {
			continue
		}
		if _, err := r.try(ctx, rep, normal, name, func(ctx context.Context) error {
			start := time.Now()
			g := r.swap()
			if ok, _ := r.caps.Supports(array.Swap); !ok {
				g = array.Goal{Verb: array.Update}
			}
			e, err := r.verb(ctx, g, hooks{timeout: deadlineAfter, wrap: func(d array.Driver) array.Driver { return stuck{d, v.observe} }})
			if err != nil {
				return err
			}
			if e.sum.ExitCode != failure.CodeUnreachable {
				return broken("not exit 12, but %s", e)
			}
			if took := time.Since(start); took > deadlineAfter+10*time.Second {
				return broken("the deadline of %s ended the run after %s", deadlineAfter, took)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
