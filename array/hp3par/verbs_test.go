package hp3par_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

// changes are the commands that a test made the arrays do, each with its array.
func (b *bench) changes() []string {
	var out []string
	for _, e := range b.sim.Journal().Since(0) {
		switch {
		case e.Method == "GET" || strings.HasPrefix(e.Path, "/api/v1/credentials"):
		case e.Method != "":
			out = append(out, e.Array[:7]+" "+e.Method+actionOf(e.Body))
		case e.Command == "exit" || strings.HasPrefix(e.Command, "show") || strings.HasPrefix(e.Command, "setclienv"):
		default:
			out = append(out, e.Array[:7]+" "+e.Command)
		}
	}
	return out
}

// actionOf is the number of a WSAPI request's action.
func actionOf(body string) string {
	var what struct {
		Action int `json:"action"`
	}
	if json.Unmarshal([]byte(body), &what) != nil || what.Action == 0 {
		return ""
	}
	return " " + strconv.Itoa(what.Action)
}

func (b *bench) run(t *testing.T, g array.Goal) report.Summary {
	t.Helper()
	d := b.driver(t)
	b.arrays[0].Forget()
	b.arrays[1].Forget()
	s, err := array.Run(t.Context(), d, g, array.Options{Resource: "svc1", Sleep: b.sleep})
	require.NoError(t, err)
	return s
}

// The relocation of OpenSVC's documentation, command for command.
func TestRelocation(t *testing.T) {
	b := newBench(t, "async", nil)
	b.run(t, array.Goal{Verb: array.Update})
	b.run(t, array.Goal{Verb: array.Start, Site: "site2"})
	b.run(t, array.Goal{Verb: array.Resume})
	require.Equal(t, []string{
		"hp3par1 syncrcopy -w MYRCG",
		"hp3par1 stoprcopygroup -f MYRCG",
		"hp3par2 setrcopygroup reverse -f -waittask MYRCG.r12345",
		"hp3par2 startrcopygroup MYRCG.r12345",
	}, b.changes())
	require.Empty(t, b.sim.Violations())
}

// With the first array gone, start alone is enough.
func TestDisaster(t *testing.T) {
	b := newBench(t, "async", nil)
	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	s := b.run(t, array.Goal{Verb: array.Start, Site: "site2"})
	require.Equal(t, report.ResultDone, s.Result)
	require.Equal(t, []string{"hp3par2 setrcopygroup failover -f -waittask MYRCG.r12345"}, b.changes())
}

// Two primaries: the one that was failed over stays what it is; the old one, which nobody told, is
// not handed out a second time, by force neither.
func TestTwoPrimaries(t *testing.T) {
	b := newBench(t, "async", nil)
	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	b.run(t, array.Goal{Verb: array.Failover, Site: "site2"})
	b.sim.ClearFaults("hp3par1.opensvc.com", "array_down")
	before := b.changes()
	for _, verb := range []array.Verb{array.Failover, array.Start} {
		require.Equal(t, report.ResultNothingToDo, b.run(t, array.Goal{Verb: verb, Site: "site2"}).Result)
		for _, force := range []bool{false, true} {
			s, err := array.Run(t.Context(), b.driver(t), array.Goal{Verb: verb, Site: "site1", Force: force}, array.Options{Resource: "svc1", Sleep: b.sleep})
			require.Equal(t, failure.CodeRefused, s.ExitCode, "%s: %v", verb, err)
			require.Equal(t, "ddsgo plan failback svc1 --discard SITE", s.Next)
		}
	}
	require.Equal(t, before, b.changes())
}

// What the Docker plug-in's documentation lets a person type.
func TestFailoverAndBack(t *testing.T) {
	b := newBench(t, "async", nil)
	b.run(t, array.Goal{Verb: array.Failover, Site: "site2", Force: true})
	b.run(t, array.Goal{Verb: array.Failback, Prepare: true, Discard: "site1"})
	b.run(t, array.Goal{Verb: array.Failback, WritersStopped: true})
	got := b.changes()
	require.Equal(t, []string{
		"hp3par1 stoprcopygroup -f MYRCG",
		"hp3par2 setrcopygroup failover -f -waittask MYRCG.r12345",
		"hp3par2 setrcopygroup recover -f -waittask MYRCG.r12345",
	}, got[:3])
	require.Equal(t, "hp3par2 setrcopygroup restore -f -waittask MYRCG.r12345", got[len(got)-1])
	require.Empty(t, b.sim.Violations())
}

func TestRevertAndResumeAfterStart(t *testing.T) {
	b := newBench(t, "async", nil)
	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	b.run(t, array.Goal{Verb: array.Failover, Site: "site2"})
	b.sim.ClearFaults("hp3par1.opensvc.com", "array_down")
	b.run(t, array.Goal{Verb: array.Revert, Discard: "site2"})
	got := b.changes()
	require.Equal(t, "hp3par2 setrcopygroup reverse -f -waittask -stopgroups -local -current MYRCG.r12345", got[1])

	b = newBench(t, "async", nil)
	b.run(t, array.Goal{Verb: array.Start, Site: "site2"})
	c := b.config()
	c.ResumeAfterStart = true
	d, err := hp3par.New(c)
	require.NoError(t, err)
	_, err = array.Run(t.Context(), d, array.Goal{Verb: array.Start, Site: "site1"}, array.Options{Resource: "svc1", Sleep: b.sleep})
	require.NoError(t, err)
	got = b.changes()
	require.Equal(t, "hp3par1 startrcopygroup MYRCG", got[len(got)-1])
}

// Delete ends replication and keeps the volumes.
func TestDelete(t *testing.T) {
	b := newBench(t, "async", nil)
	b.run(t, array.Goal{Verb: array.Delete})
	require.Equal(t, []string{"hp3par1 stoprcopygroup -f MYRCG", "hp3par1 removercopygroup -f MYRCG"}, b.changes())
	require.Equal(t, report.ResultNothingToDo, b.run(t, array.Goal{Verb: array.Delete}).Result)
	require.Equal(t, []string{"absent", "absent", "not_started"}, codes(b.status(t, nil)))
	_, err := lab{b}.Read(t.Context(), "site2")
	require.NoError(t, err, "the volumes stay")
}

func (b *bench) status(t *testing.T, change func(*hp3par.Config)) report.Resource {
	t.Helper()
	c := b.config()
	if change != nil {
		change(&c)
	}
	d, err := hp3par.New(c)
	require.NoError(t, err)
	b.arrays[0].Forget()
	b.arrays[1].Forget()
	o, err := d.Observe(t.Context())
	require.NoError(t, err)
	return array.Report("svc1", d.Capabilities(), o, "site1", b.sim.Clock().Now())
}

func codes(r report.Resource) []string {
	out := []string{}
	for _, why := range r.Reasons {
		out = append(out, why.Code)
	}
	return out
}

// Each rule of the status has its own code.
func TestStatusReasons(t *testing.T) {
	for name, c := range map[string]struct {
		mode    string
		group   func(*simulator.ScenarioGroup)
		config  func(*hp3par.Config)
		fault   func(t *testing.T, b *bench)
		state   string
		reasons []string
	}{
		"healthy":         {state: "up", reasons: []string{}},
		"healthy sync":    {mode: "sync", state: "up", reasons: []string{}},
		"stopped":         {group: func(g *simulator.ScenarioGroup) { g.State = "stopped" }, state: "warn", reasons: []string{"not_started", "not_synced"}},
		"failsafe":        {group: func(g *simulator.ScenarioGroup) { g.State = "failsafe" }, state: "down", reasons: []string{"not_started", "not_started", "not_synced"}},
		"wrong mode":      {config: func(c *hp3par.Config) { c.Mode = "sync" }, state: "warn", reasons: []string{"wrong_mode"}},
		"no period":       {group: func(g *simulator.ScenarioGroup) { g.PeriodS = 0 }, state: "warn", reasons: []string{"no_period"}},
		"no auto_recover": {group: func(g *simulator.ScenarioGroup) { g.Policies = nil }, state: "warn", reasons: []string{"no_auto_recover"}},
		"too old":         {config: func(c *hp3par.Config) { c.MaxAge = 30 * time.Second }, state: "warn", reasons: []string{"too_old"}},
		"absent":          {config: func(c *hp3par.Config) { c.Sites[1].Group = "MYRCG.r1" }, state: "down", reasons: []string{"absent"}},
		"one array silent": {fault: func(t *testing.T, b *bench) {
			require.NoError(t, b.sim.AddFault("hp3par2.opensvc.com", "mgmt_down", true))
		}, state: "warn", reasons: []string{"unreachable"}},
		"unknown zone": {fault: func(t *testing.T, b *bench) {
			require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "timezone", "XYZ=+03:00"))
		}, state: "warn", reasons: []string{"unknown_value"}},
		"zone of the table": {fault: func(t *testing.T, b *bench) {
			require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "timezone", "CET"))
		},
			config: func(c *hp3par.Config) { c.MaxAge = 10 * time.Minute }, state: "up", reasons: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			mode := c.mode
			if mode == "" {
				mode = "async"
			}
			b := newBench(t, mode, func(o *simulator.Options) {
				if c.group != nil {
					c.group(&o.Scenario.Groups[0])
				}
			})
			if c.fault != nil {
				c.fault(t, b)
			}
			r := b.status(t, c.config)
			require.Equal(t, c.reasons, codes(r), "%+v", r.Reasons)
			require.Equal(t, c.state, r.State)
		})
	}
}

// What an administrator puts into the proxy's rules. The conformance runs prove that nothing else is
// ever sent.
func TestCommands(t *testing.T) {
	d := newBench(t, "async", nil).driver(t)
	got, err := d.Commands("proxy")
	require.NoError(t, err)
	want := []string{"showrcopy groups", "showrcopy links", "showvlun -t"}
	for _, group := range []string{"MYRCG", "MYRCG.r12345"} {
		want = append(want, "startrcopygroup "+group, "stoprcopygroup -f "+group, "stoprcopygroup -f -remote "+group, "syncrcopy -w "+group,
			"setrcopygroup failover -f -waittask "+group, "setrcopygroup recover -f -waittask "+group, "setrcopygroup restore -f -waittask "+group,
			"setrcopygroup restore -f -waittask -nostart "+group, "setrcopygroup reverse -f -waittask "+group,
			"setrcopygroup reverse -f -waittask -stopgroups -local -current "+group, "setrcopygroup reverse -f -waittask -natural -local "+group,
			"removercopygroup -f "+group)
	}
	require.Equal(t, want, got)
	_, err = d.Commands("wsapi")
	require.ErrorIs(t, err, hp3par.ErrConfig)
}
