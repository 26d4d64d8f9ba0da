package hp3par_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// An array whose management alone is dead still replicates: it is alive, and made read-only only by force,
// through the other array.
func TestFailoverOfAnArrayWithoutManagement(t *testing.T) {
	b := newBench(t, "async", nil)
	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "mgmt_down", true))
	g := array.Goal{Verb: array.Failover, Site: "site2"}
	s, err := array.Run(t.Context(), b.driver(t), g, array.Options{Resource: "svc1", Sleep: b.sleep})
	require.ErrorContains(t, err, "it is alive")
	require.Equal(t, failure.CodeRefused, s.ExitCode)
	require.Equal(t, "stop the application at site1, then: ddsgo failover svc1 --site site2 --force", s.Next)
	require.Empty(t, b.changes())

	g.Force = true
	b.run(t, g)
	require.Equal(t, []string{"hp3par2 stoprcopygroup -f -remote MYRCG.r12345", "hp3par2 setrcopygroup failover -f -waittask MYRCG.r12345"}, b.changes())
	b.checkJournal(t)

	b = newBench(t, "async", nil)
	over(t, b, "wsapi")
	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "mgmt_down", true))
	s, err = array.Run(t.Context(), b.driver(t), g, array.Options{Resource: "svc1", Sleep: b.sleep})
	require.ErrorContains(t, err, "use method ssh", "the WSAPI has no such request")
	require.Equal(t, failure.CodeUsage, s.ExitCode)
	require.Empty(t, b.changes())
}

// What another operator has begun is neither repeated nor turned back.
func TestReverseThatIsUnderWay(t *testing.T) {
	for _, transport := range []string{"ssh", "wsapi"} {
		b := newBench(t, "async", nil)
		operator := b.arrays
		over(t, b, transport)
		b.run(t, array.Goal{Verb: array.Break})
		require.NoError(t, operator[1].Command(t.Context(), "setrcopygroup reverse -f MYRCG.r12345"))
		s := b.run(t, array.Goal{Verb: array.Start, Site: "site2"})
		require.Equal(t, report.ResultDone, s.Result)
		o := b.observe(t)
		require.Equal(t, []string{"site2"}, o.Primaries())
		require.Equal(t, "Primary", o.Sides[1].Native["role"], "once, not three times")
		tasks := 0
		for _, e := range b.sim.Journal().Since(0) {
			if e.RC == 0 && len(e.Command) > 21 && e.Command[:21] == "setrcopygroup reverse" || e.RC == 200 && actionOf(e.Body) == " 6" {
				tasks++
			}
		}
		require.Equal(t, 1, tasks, b.changes())
	}
}

// A task that the array itself gives up is an error, never success; the same verb again finishes.
func TestTasksThatFail(t *testing.T) {
	lost := func(t *testing.T, b *bench) {
		require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	}
	failedOver := func(t *testing.T, b *bench) {
		lost(t, b)
		b.run(t, array.Goal{Verb: array.Failover, Site: "site2"})
		b.sim.ClearFaults("hp3par1.opensvc.com", "array_down")
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, b *bench)
		goal   array.Goal
		site   string
	}{
		"sync":     {nil, array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true}, "site2"},
		"reverse":  {nil, array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true}, "site2"},
		"failover": {lost, array.Goal{Verb: array.Failover, Site: "site2"}, "site2"},
		"recover":  {failedOver, array.Goal{Verb: array.Failback, Discard: "site1", WritersStopped: true}, "site1"},
		"restore":  {failedOver, array.Goal{Verb: array.Failback, Discard: "site1", WritersStopped: true}, "site1"},
	} {
		for _, transport := range []string{"ssh", "wsapi"} {
			t.Run(name+"/"+transport, func(t *testing.T) {
				b := newBench(t, "async", nil)
				over(t, b, transport)
				if c.before != nil {
					c.before(t, b)
				}
				b.fault(t, "task_fail", true, name, 1)
				b.arrays[0].Forget()
				b.arrays[1].Forget()
				s, err := array.Run(t.Context(), b.driver(t), c.goal, array.Options{Resource: "svc1", Sleep: b.sleep})
				_, left := b.sim.Faults().Active("hp3par2.opensvc.com", "task_fail")
				require.False(t, left, "the fault has struck")
				if err != nil {
					require.Contains(t, []int{failure.CodeArray, failure.CodeRefused, failure.CodeFailure}, s.ExitCode, "%v", err)
					b.run(t, c.goal)
				}
				require.Equal(t, []string{c.site}, b.observe(t).Primaries())
			})
		}
	}
}
