package array

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// scripted is a driver whose parts a test writes. seen counts observations, did the steps.
type scripted struct {
	caps    Capabilities
	observe func(n int) Observation
	plan    func(o Observation, g Goal) (Plan, error)
	do      func(n int, s Step) error
	seen    int
	did     []string
}

func (s *scripted) Capabilities() Capabilities { return s.caps }

func (s *scripted) Observe(context.Context) (Observation, error) {
	s.seen++
	return s.observe(s.seen), nil
}

func (s *scripted) Plan(o Observation, g Goal) (Plan, error) { return s.plan(o, g) }

func (s *scripted) Do(_ context.Context, st Step) error {
	s.did = append(s.did, st.ID)
	if s.do == nil {
		return nil
	}
	return s.do(len(s.did), st)
}

func everyVerb() Capabilities {
	return Capabilities{Driver: "scripted", Mode: "async", Sites: []string{"a", "b"}, Verbs: append(ReplicationVerbs(), LifeCycleVerbs()...)}
}

// pairOf is a running pair with its primary at a.
func pairOf() Observation {
	return Observation{Link: LinkUp, Replication: Running, Sides: []Side{
		{Site: "a", Reachable: true, Role: RolePrimary, Writable: Yes, Writers: No},
		{Site: "b", Reachable: true, Role: RoleSecondary, Writable: No, Writers: No},
	}}
}

func always(o Observation) func(int) Observation { return func(int) Observation { return o } }

func plans(steps ...Step) func(Observation, Goal) (Plan, error) {
	return func(Observation, Goal) (Plan, error) { return Plan{Steps: steps}, nil }
}

// hasty is an Options without real sleeping.
func hasty() Options {
	return Options{Resource: "r", Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

// Each refusal comes before the first step.
func TestRulesRefuse(t *testing.T) {
	grant := Step{ID: "promote", Site: "b", Action: "promote", GrantsWrite: "b"}
	both := Step{ID: "reverse", Site: "b", Action: "reverse", GrantsWrite: "b", TakesWrite: "a"}
	for name, c := range map[string]struct {
		goal Goal
		see  func(*Observation)
		step Step
		code int
		want string
		next string
	}{
		"R1 failover, peer is primary": {Goal{Verb: Failover, Site: "b"}, nil, grant, 15, "a answers and is primary", "ddsgo swap r --site b"},
		"R1 failover, link down": {Goal{Verb: Failover, Site: "b"}, func(o *Observation) { o.Link = LinkDown }, grant, 15, "a answers and is primary",
			"stop the application at a, then: ddsgo failover r --site b --force"},
		"R1 failover, peer is writable": {Goal{Verb: Failover, Site: "b"}, func(o *Observation) { o.Sides[0].Role = RoleSecondary }, grant, 15, "a answers and is writable", ""},
		"R1 start, split":               {Goal{Verb: Start, Site: "b"}, func(o *Observation) { o.Link = LinkDown }, grant, 15, "a answers and is primary", ""},
		"target gone":                   {Goal{Verb: Failover, Site: "b"}, func(o *Observation) { o.Sides[1] = Side{Site: "b", Error: "dark"} }, grant, 12, "b: cannot be read, and shall become primary: dark", ""},
		"swap, peer gone": {Goal{Verb: Swap, Site: "b"}, func(o *Observation) { o.Sides[0] = Side{Site: "a", Error: "dark"} }, both, 12, "swap needs both sides",
			"ddsgo plan failover r --site b"},
		"R2 grants before it takes": {Goal{Verb: Swap, Site: "b"}, nil, grant, 15, "a still accepts writes", ""},
		"R3 nobody agreed": {Goal{Verb: Resync}, nil, Step{ID: "x", Overwrites: "b"}, 15, "b holds writes that exist only there (last common point: unknown)",
			"ddsgo array resync r --discard b"},
		"R3 the other one agreed": {Goal{Verb: Resync, Discard: "a"}, nil, Step{ID: "x", Overwrites: "b"}, 15, "--discard names a", ""},
		"R6 what is lost is in use": {Goal{Verb: Resync, Discard: "b"}, func(o *Observation) { o.Sides[1].Writers = Yes }, Step{ID: "x", Overwrites: "b"}, 15,
			"b is in use and would be overwritten", ""},
		"R5 resume moves write access": {Goal{Verb: Resume}, nil, both, 1, "which never changes the direction", ""},
		"R6 writers are seen":          {Goal{Verb: Swap, Site: "b", WritersStopped: true}, func(o *Observation) { o.Sides[0].Writers = Yes }, both, 15, "a is in use", ""},
		"R6 writers are not visible": {Goal{Verb: Swap, Site: "b"}, func(o *Observation) { o.Sides[0].Writers = Unknown }, both, 15, "cannot be seen",
			"stop the application at a, then: ddsgo swap r --site b --writers-stopped"},
		"no site":            {Goal{Verb: Swap}, nil, both, 4, "swap needs the site that shall be primary", ""},
		"unknown site":       {Goal{Verb: Swap, Site: "c"}, nil, both, 4, `unknown site "c"; known: a, b`, ""},
		"failback elsewhere": {Goal{Verb: Failback, Site: "b"}, nil, both, 4, "failback makes the home site a primary", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := pairOf()
			if c.see != nil {
				c.see(&o)
			}
			d := &scripted{caps: everyVerb(), observe: always(o), plan: plans(c.step)}
			sum, err := Run(t.Context(), d, c.goal, hasty())
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.code, sum.ExitCode)
			code, _ := failure.CodeOf(err)
			require.Equal(t, c.code, code)
			require.Empty(t, d.did)
			if c.next != "" {
				require.Equal(t, c.next, sum.Next)
			}
		})
	}
}

func TestForcedFailover(t *testing.T) {
	done := false
	d := &scripted{caps: everyVerb(), observe: func(int) Observation {
		o := pairOf()
		if done {
			o.Sides[1].Role, o.Sides[1].Writable = RolePrimary, Yes
		}
		return o
	}, plan: func(o Observation, g Goal) (Plan, error) {
		if o.Side(g.Site).Role == RolePrimary {
			return Plan{Reached: true}, nil
		}
		return Plan{Steps: []Step{{ID: "promote", Site: g.Site, GrantsWrite: g.Site}}}, nil
	}, do: func(int, Step) error { done = true; return nil }}
	sum, err := Run(t.Context(), d, Goal{Verb: Failover, LocalSite: "b", Force: true}, hasty())
	require.NoError(t, err)
	require.Equal(t, report.ResultDone, sum.Result)
	require.Equal(t, 1, sum.Steps)
}

func TestUnsupported(t *testing.T) {
	c := everyVerb()
	c.Verbs, c.Missing = []Verb{Update}, map[Verb]string{Break: "it cannot pause"}
	d := &scripted{caps: c, observe: always(pairOf()), plan: plans()}
	sum, err := Run(t.Context(), d, Goal{Verb: Break}, hasty())
	require.ErrorContains(t, err, "break: it cannot pause")
	require.Equal(t, 17, sum.ExitCode)
	require.Equal(t, report.ResultUnsupported, sum.Result)
	require.Zero(t, d.seen)
}

func withPoint(point int64) Observation {
	o := pairOf()
	o.Members = []Member{{Name: "v", Sync: Synced, SyncPoint: &point}}
	return o
}

// R4: a driver that calls an update done is believed only when the point has moved.
func TestSyncPointHasToMove(t *testing.T) {
	claim := func(_ Observation, g Goal) (Plan, error) {
		if g.Did("sync") {
			return Plan{Reached: true}, nil
		}
		return Plan{Steps: []Step{{ID: "sync", Site: "a"}}}, nil
	}
	d := &scripted{caps: everyVerb(), plan: claim, observe: func(n int) Observation {
		if n < 6 {
			return withPoint(7)
		}
		return withPoint(8)
	}}
	sum, err := Run(t.Context(), d, Goal{Verb: Update}, hasty())
	require.NoError(t, err)
	require.Equal(t, 6, d.seen)
	require.Equal(t, []string{"sync"}, d.did)
	require.Equal(t, report.ResultDone, sum.Result)

	d = &scripted{caps: everyVerb(), plan: claim, observe: always(withPoint(7))}
	sum, err = Run(t.Context(), d, Goal{Verb: Update}, hasty())
	require.ErrorContains(t, err, "did not move past the one before (R4)")
	require.Equal(t, 16, sum.ExitCode)
}

// R4 without a point: two successive observations after the act.
func TestSynchronousNeedsTwoObservations(t *testing.T) {
	synced, stale := pairOf(), pairOf()
	synced.Members, stale.Members = []Member{{Name: "v", Sync: Synced}}, []Member{{Name: "v", Sync: Stale}}
	sequence := []Observation{synced, synced, stale, synced, synced, stale}
	d := &scripted{caps: everyVerb(), observe: func(n int) Observation { return sequence[n-1] }, plan: func(_ Observation, g Goal) (Plan, error) {
		if g.Did("sync") {
			return Plan{Reached: true}, nil
		}
		return Plan{Steps: []Step{{ID: "sync", Site: "a"}}}, nil
	}}
	_, err := Run(t.Context(), d, Goal{Verb: Update}, hasty())
	require.NoError(t, err)
	require.Equal(t, 5, d.seen, "synced, stale and synced again do not count")
}

// R7: after a lost reply the observation decides.
func TestLostReply(t *testing.T) {
	acted := false
	d := &scripted{caps: everyVerb(), observe: func(int) Observation {
		o := pairOf()
		if acted {
			o.Replication = Held
		}
		return o
	}, plan: func(o Observation, _ Goal) (Plan, error) {
		if o.Replication == Held {
			return Plan{Reached: true}, nil
		}
		return Plan{Steps: []Step{{ID: "stop", Site: "a", Action: "stop"}}}, nil
	}, do: func(int, Step) error { acted = true; return Unreachable("a", errors.New("reset")) }}
	var rcs []int
	o := hasty()
	o.OnStep = func(s report.Step) { rcs = append(rcs, s.RC) }
	sum, err := Run(t.Context(), d, Goal{Verb: Break}, o)
	require.NoError(t, err)
	require.Equal(t, 1, sum.Steps, "not repeated")
	require.Equal(t, []int{-1}, rcs)

	d = &scripted{caps: everyVerb(), observe: always(pairOf()), plan: plans(Step{ID: "stop", Site: "a", Action: "stop"}),
		do: func(int, Step) error { return Unreachable("a", errors.New("reset")) }}
	sum, err = Run(t.Context(), d, Goal{Verb: Break}, hasty())
	require.ErrorContains(t, err, "no reply to 5 attempts to stop")
	require.Equal(t, 12, sum.ExitCode)
	require.Equal(t, "ddsgo break r", sum.Next)
	require.Equal(t, 10, d.seen, "two observations before each repeat, so that it rests on what is true then")
}

// The storage said no: the run goes on only if the step is needed no more.
func TestArrayError(t *testing.T) {
	no := ArrayError("a", 7, "it is full", nil)
	d := &scripted{caps: everyVerb(), observe: always(pairOf()), plan: plans(Step{ID: "stop", Site: "a"}), do: func(int, Step) error { return no }}
	sum, err := Run(t.Context(), d, Goal{Verb: Break}, hasty())
	require.ErrorContains(t, err, "it is full")
	require.Equal(t, 16, sum.ExitCode)
	require.Equal(t, report.ResultFailed, sum.Result)
	require.Len(t, d.did, 1)
	require.ErrorAs(t, err, new(*Error))

	d = &scripted{caps: everyVerb(), do: func(int, Step) error { return no }, observe: func(n int) Observation {
		o := pairOf()
		if n > 1 {
			o.Replication = Held // another operator was faster
		}
		return o
	}, plan: func(o Observation, _ Goal) (Plan, error) {
		if o.Replication == Held {
			return Plan{Reached: true}, nil
		}
		return Plan{Steps: []Step{{ID: "stop", Site: "a"}}}, nil
	}}
	_, err = Run(t.Context(), d, Goal{Verb: Break}, hasty())
	require.NoError(t, err)
}

// "refused" promises that nothing was done; after a step it is a failure.
func TestRefusedAfterAStepIsAFailure(t *testing.T) {
	d := &scripted{caps: everyVerb(), observe: always(pairOf()), plan: func(_ Observation, g Goal) (Plan, error) {
		if g.Did("one") {
			return Plan{}, Refuse("", "ddsgo status r", "no further")
		}
		return Plan{Steps: []Step{{ID: "one", Site: "a"}}}, nil
	}}
	sum, err := Run(t.Context(), d, Goal{Verb: Break}, hasty())
	require.ErrorContains(t, err, "stopped after 1 step(s): no further")
	require.Equal(t, report.ResultFailed, sum.Result)
	require.Equal(t, 1, sum.ExitCode)
}

func TestAnotherHandTurnsTheDirection(t *testing.T) {
	d := &scripted{caps: everyVerb(), observe: func(n int) Observation {
		o := withPoint(7)
		if n > 1 {
			o.Sides[0].Role, o.Sides[1].Role = RoleSecondary, RolePrimary
		}
		return o
	}, plan: plans(Step{ID: "sync", Site: "a"})}
	_, err := Run(t.Context(), d, Goal{Verb: Update}, hasty())
	require.ErrorContains(t, err, "another hand is at work")
}

func TestDriverThatLiesAboutTheGoal(t *testing.T) {
	d := &scripted{caps: everyVerb(), observe: always(pairOf()), plan: func(Observation, Goal) (Plan, error) { return Plan{Reached: true}, nil }}
	_, err := Run(t.Context(), d, Goal{Verb: Swap, Site: "b"}, hasty())
	require.ErrorContains(t, err, "b is not a writable primary")
	d.plan = plans()
	_, err = Run(t.Context(), d, Goal{Verb: Swap, Site: "b"}, hasty())
	require.ErrorContains(t, err, "plans nothing")
}

// A wait ends at the deadline, in the time that the deadline says.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{caps: everyVerb(), observe: always(pairOf()), plan: func(Observation, Goal) (Plan, error) {
			return Plan{Wait: &Wait{What: "the copy"}}, nil
		}}
		start := time.Now()
		sum, err := Run(t.Context(), d, Goal{Verb: Update}, Options{Resource: "r", Timeout: 10 * time.Minute})
		require.ErrorContains(t, err, "deadline of 10m0s passed while waiting for the copy")
		require.Equal(t, 12, sum.ExitCode)
		require.Equal(t, 10*time.Minute, time.Since(start))
		require.Equal(t, "ddsgo update r", sum.Next)
		require.Less(t, d.seen, 130, "it waits longer and longer, up to 5 s")
	})
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &scripted{caps: everyVerb(), observe: always(pairOf()), plan: plans(Step{ID: "s", Site: "a"}), do: func(int, Step) error { cancel(); return ctx.Err() }}
	sum, err := Run(ctx, d, Goal{Verb: Break}, hasty())
	require.Error(t, err)
	require.Equal(t, 130, sum.ExitCode)
}

func TestDecorators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		tries := 0
		inner := &flaky{scripted: &scripted{caps: everyVerb()}, observe: func(ctx context.Context) error {
			if tries++; tries < 3 {
				return Unreachable("a", errors.New("reset"))
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		d := WithLog(WithRetry(WithDeadline(inner, time.Second, time.Minute), 3, time.Second), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		_, err := d.Observe(t.Context())
		require.ErrorContains(t, err, "no reply within 1s")
		require.Equal(t, KindUnreachable, KindOf(err))
		require.Equal(t, 3, tries)
		require.Contains(t, log.String(), "observed")
		found, ok := As[*flaky](d)
		require.True(t, ok)
		require.Same(t, inner, found)
		_, ok = As[Commander](d)
		require.False(t, ok)
	})
}

type flaky struct {
	*scripted
	observe func(ctx context.Context) error
}

func (f *flaky) Observe(ctx context.Context) (Observation, error) {
	return Observation{}, f.observe(ctx)
}
