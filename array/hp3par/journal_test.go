package hp3par_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// verbCase is a verb with the commands that it sends, in this order, and no others. "1" and "2" are the
// arrays; the group is left out, because each array has one.
type verbCase struct {
	name   string
	before func(t *testing.T, b *bench)
	goal   array.Goal
	config func(c *hp3par.Config)
	exit   int
	cli    []string
	wsapi  []string // action of each request; empty: as the act is not known there
}

func verbCases() []verbCase {
	do := func(g array.Goal) func(t *testing.T, b *bench) { return func(t *testing.T, b *bench) { b.run(t, g) } }
	lost := func(t *testing.T, b *bench) {
		require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	}
	failedOver := func(t *testing.T, b *bench) {
		lost(t, b)
		b.run(t, array.Goal{Verb: array.Failover, Site: "site2"})
		b.sim.ClearFaults("hp3par1.opensvc.com", "array_down")
	}
	const stop1, stop2 = "1 stoprcopygroup -f", "2 stoprcopygroup -f"
	swapped := do(array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true})
	return []verbCase{
		{name: "update", goal: array.Goal{Verb: array.Update}, cli: []string{"1 syncrcopy -w"}, wsapi: []string{"1 PUT 5"}},
		{name: "update, swapped", before: swapped, goal: array.Goal{Verb: array.Update}, cli: []string{"2 syncrcopy -w"}, wsapi: []string{"2 PUT 5"}},
		{name: "update, stopped", before: do(array.Goal{Verb: array.Break}), goal: array.Goal{Verb: array.Update}, exit: failure.CodeRefused},
		{name: "break", goal: array.Goal{Verb: array.Break}, cli: []string{stop1}, wsapi: []string{"1 PUT 4"}},
		{name: "break again", before: do(array.Goal{Verb: array.Break}), goal: array.Goal{Verb: array.Break}},
		{name: "resume", before: do(array.Goal{Verb: array.Break}), goal: array.Goal{Verb: array.Resume}, cli: []string{"1 startrcopygroup"}, wsapi: []string{"1 PUT 3"}},
		{name: "resume, started", goal: array.Goal{Verb: array.Resume}},
		{
			name: "swap", goal: array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true},
			cli:   []string{"1 syncrcopy -w", stop1, "2 setrcopygroup reverse -f -waittask", "2 startrcopygroup"},
			wsapi: []string{"1 PUT 5", "1 PUT 4", "2 POST 6", "2 PUT 3"},
		},
		{
			name: "swap, not started", goal: array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true, NoStart: true},
			cli:   []string{"1 syncrcopy -w", stop1, "2 setrcopygroup reverse -f -waittask"},
			wsapi: []string{"1 PUT 5", "1 PUT 4", "2 POST 6"},
		},
		{name: "swap to where it is", goal: array.Goal{Verb: array.Swap, Site: "site1", WritersStopped: true}},
		{
			name: "swap back", before: swapped, goal: array.Goal{Verb: array.Swap, Site: "site1", WritersStopped: true},
			cli:   []string{"2 syncrcopy -w", stop2, "1 setrcopygroup reverse -f -waittask", "1 startrcopygroup"},
			wsapi: []string{"2 PUT 5", "2 PUT 4", "1 POST 6", "1 PUT 3"},
		},
		{
			name: "start", goal: array.Goal{Verb: array.Start, Site: "site2"},
			cli: []string{stop1, "2 setrcopygroup reverse -f -waittask"}, wsapi: []string{"1 PUT 4", "2 POST 6"},
		},
		{
			name: "start, stopped before", before: do(array.Goal{Verb: array.Break}), goal: array.Goal{Verb: array.Start, Site: "site2"},
			cli: []string{"2 setrcopygroup reverse -f -waittask"}, wsapi: []string{"2 POST 6"},
		},
		{
			name: "start --sync-first", goal: array.Goal{Verb: array.Start, Site: "site2", Params: map[string]string{array.ParamSyncFirst: "true"}},
			cli: []string{"1 syncrcopy -w", stop1, "2 setrcopygroup reverse -f -waittask"}, wsapi: []string{"1 PUT 5", "1 PUT 4", "2 POST 6"},
		},
		{
			name: "start at the home site, resume_after_start", before: do(array.Goal{Verb: array.Start, Site: "site2"}),
			config: func(c *hp3par.Config) { c.ResumeAfterStart = true }, goal: array.Goal{Verb: array.Start, Site: "site1"},
			cli: []string{"1 setrcopygroup reverse -f -waittask", "1 startrcopygroup"}, wsapi: []string{"1 POST 6", "1 PUT 3"},
		},
		{
			name: "start away from home, resume_after_start", config: func(c *hp3par.Config) { c.ResumeAfterStart = true },
			goal: array.Goal{Verb: array.Start, Site: "site2"}, cli: []string{stop1, "2 setrcopygroup reverse -f -waittask"}, wsapi: []string{"1 PUT 4", "2 POST 6"},
		},
		{
			name: "start, split", before: lost, goal: array.Goal{Verb: array.Start, Site: "site2"},
			cli: []string{"2 setrcopygroup failover -f -waittask"}, wsapi: []string{"2 POST 7"},
		},
		{
			name: "start --sync-first, split", before: lost, goal: array.Goal{Verb: array.Start, Site: "site2", Params: map[string]string{array.ParamSyncFirst: "true"}},
			cli: []string{"2 setrcopygroup failover -f -waittask"}, wsapi: []string{"2 POST 7"},
		},
		{name: "failover", before: lost, goal: array.Goal{Verb: array.Failover, Site: "site2"}, cli: []string{"2 setrcopygroup failover -f -waittask"}, wsapi: []string{"2 POST 7"}},
		{name: "failover of a live peer", goal: array.Goal{Verb: array.Failover, Site: "site2"}, exit: failure.CodeRefused},
		{
			name: "failover --force", goal: array.Goal{Verb: array.Failover, Site: "site2", Force: true},
			cli: []string{stop1, "2 setrcopygroup failover -f -waittask"}, wsapi: []string{"1 PUT 4", "2 POST 7"},
		},
		{
			name: "failback --prepare", before: failedOver, goal: array.Goal{Verb: array.Failback, Prepare: true, Discard: "site1"},
			cli: []string{"2 setrcopygroup recover -f -waittask", "2 syncrcopy -w"}, wsapi: []string{"2 POST 9", "2 PUT 5"},
		},
		{
			name: "failback", before: func(t *testing.T, b *bench) {
				failedOver(t, b)
				b.run(t, array.Goal{Verb: array.Failback, Prepare: true, Discard: "site1"})
			}, goal: array.Goal{Verb: array.Failback, WritersStopped: true},
			cli: []string{"2 syncrcopy -w", "2 setrcopygroup restore -f -waittask"}, wsapi: []string{"2 PUT 5", "2 POST 10"},
		},
		{name: "failback without a word about the old primary's writes", before: failedOver, goal: array.Goal{Verb: array.Failback, WritersStopped: true}, exit: failure.CodeRefused},
		{
			name: "failback where the roles are natural", before: swapped, goal: array.Goal{Verb: array.Failback, WritersStopped: true},
			cli:   []string{"2 syncrcopy -w", stop2, "1 setrcopygroup reverse -f -waittask", "1 startrcopygroup"},
			wsapi: []string{"2 PUT 5", "2 PUT 4", "1 POST 6", "1 PUT 3"},
		},
		{
			name: "revert", before: failedOver, goal: array.Goal{Verb: array.Revert, Discard: "site2"},
			cli: []string{"2 setrcopygroup reverse -f -waittask -stopgroups -local -current"}, wsapi: []string{"2 POST 6"},
		},
		{name: "revert without a word about the writes", before: failedOver, goal: array.Goal{Verb: array.Revert}, exit: failure.CodeRefused},
		{name: "revert, not failed over", goal: array.Goal{Verb: array.Revert}},
		{name: "delete", goal: array.Goal{Verb: array.Delete}, cli: []string{stop1, "1 removercopygroup -f"}, wsapi: []string{"1 PUT 4", "1 DELETE"}},
	}
}

// Each verb sends exactly what docs/hp3par.md says, by command line and by WSAPI.
func TestEachVerbSendsExactly(t *testing.T) {
	for _, c := range verbCases() {
		for _, transport := range []string{"ssh", "wsapi"} {
			t.Run(c.name+"/"+transport, func(t *testing.T) {
				b := newBench(t, "async", nil)
				over(t, b, transport)
				if c.before != nil {
					c.before(t, b)
				}
				told := len(b.changes())
				cfg := b.config()
				if c.config != nil {
					c.config(&cfg)
				}
				d, err := hp3par.New(cfg)
				require.NoError(t, err)
				b.arrays[0].Forget()
				b.arrays[1].Forget()
				s, err := array.Run(t.Context(), d, c.goal, array.Options{Resource: "svc1", Sleep: b.sleep})
				require.Equal(t, c.exit, s.ExitCode, "%v", err)
				want := c.cli
				if transport == "wsapi" {
					want = c.wsapi
				}
				got := b.changes()[told:]
				for i := range got {
					got[i] = strings.NewReplacer("hp3par1 ", "1 ", "hp3par2 ", "2 ", " MYRCG.r12345", "", " MYRCG", "").Replace(got[i])
				}
				require.Equal(t, append([]string{}, want...), append([]string{}, got...))
				b.checkJournal(t)
			})
		}
	}
}

// What a stopped synchronous group has not sent is missing, too; one that runs misses nothing.
func TestStartOfASynchronousGroup(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		b := newBench(t, "sync", nil)
		var want []string
		if stopped {
			require.NoError(t, b.sim.Advance(time.Minute))
			b.run(t, array.Goal{Verb: array.Break})
			want = []string{"writes after 2014-03-25T15:14:47Z (LAST-SYNC) are not at site2"}
		}
		s := b.run(t, array.Goal{Verb: array.Start, Site: "site2"})
		require.Equal(t, want, s.Warnings)
	}
}

// The secondary's array does not know when the last transfer began, and ddsgo does not pretend to.
func TestFailoverTellsWhatIsMissing(t *testing.T) {
	b := newBench(t, "async", nil)
	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	s := b.run(t, array.Goal{Verb: array.Failover, Site: "site2"})
	require.Equal(t, []string{"what was written since the transfer that ended at 2014-03-25T15:12:48Z (LAST-SYNC) began is not at site2"}, s.Warnings)
	b = newBench(t, "async", nil)
	s = b.run(t, array.Goal{Verb: array.Failover, Site: "site2", Force: true})
	require.Equal(t, []string{"writes after 2014-03-25T15:12:47Z (LAST-SYNC) are not at site2"}, s.Warnings)
}

// A person reads what will be missing before the first command, not after the last.
func TestStartWarnsBeforeItActs(t *testing.T) {
	for first, warns := range map[string]string{
		"false": "writes after 2014-03-25T15:12:47Z (LAST-SYNC) are not at site2",
		"true":  "writes after 2014-03-25T15:13:47Z (LAST-SYNC) are not at site2", // the instant of its own copy
	} {
		b := newBench(t, "async", nil)
		var said []string
		_, err := array.Run(t.Context(), b.driver(t), array.Goal{Verb: array.Start, Site: "site2", Params: map[string]string{array.ParamSyncFirst: first}}, array.Options{
			Resource: "svc1", Sleep: b.sleep, OnWarning: func(text string) { said = append(said, text) },
			BeforeStep: func(_ int, s array.Step) error {
				if !strings.HasPrefix(s.Command, "syncrcopy") {
					require.Equal(t, []string{warns}, said, "before %s", s.Command)
				}
				return nil
			},
		})
		require.NoError(t, err)
	}
}
