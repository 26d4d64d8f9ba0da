package hp3par_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

// stages are the changes of a goal, in order, as what a fault of the simulator matches.
func (b *bench) stages(t *testing.T, d *hp3par.Driver, g array.Goal) []string {
	t.Helper()
	before := len(b.sim.Journal().Since(0))
	_, err := b.pursue(t, d, g, array.Options{})
	require.NoError(t, err)
	var out []string
	for _, e := range b.sim.Journal().Since(0)[before:] {
		switch {
		case e.Method == "GET" || strings.HasPrefix(e.Path, "/api/v1/credentials") || strings.HasPrefix(e.Command, "show"):
		case e.Method != "":
			out = append(out, e.Method+" "+strings.SplitN(e.Path, "?", 2)[0]+" "+e.Body)
		default:
			out = append(out, e.Command)
		}
	}
	return out
}

// lifeGoal is a goal of the life cycle with what there is before it.
type lifeGoal struct {
	name  string
	open  func(b *bench, t testing.TB) *hp3par.Driver
	setup []array.Goal
	goal  array.Goal
	// final: from this stage on the goal is not rolled back but gone on with.
	final string
}

func lifeGoals() []lifeGoal {
	shop := func(b *bench, t testing.TB) *hp3par.Driver { return b.shop(t, nil) }
	svc1 := func(b *bench, t testing.TB) *hp3par.Driver { return b.svc1(t) }
	return []lifeGoal{
		{name: "create with its group", open: shop, goal: testRCG("Vol")},
		{name: "join a started group", open: svc1, goal: testRCG("Vol")},
		{name: "join a stopped group", open: svc1, setup: []array.Goal{{Verb: array.Break}}, goal: testRCG("Vol")},
		{name: "add a volume that exists", open: svc1, setup: []array.Goal{{Verb: array.VolumeCreate, Volume: "Vol", Params: map[string]string{"size": "1G"}}},
			goal: array.Goal{Verb: array.Add, Volume: "Vol"}},
		{name: "remove a member", open: svc1, setup: []array.Goal{testRCG("Vol")}, goal: array.Goal{Verb: array.Remove, Volume: "Vol"}, final: "dismiss"},
		{name: "delete a member", open: svc1, setup: []array.Goal{testRCG("Vol")}, goal: array.Goal{Verb: array.VolumeDelete, Volume: "Vol", Force: true}, final: "dismiss"},
		{name: "delete the last member", open: shop, setup: []array.Goal{testRCG("Vol")}, goal: array.Goal{Verb: array.VolumeDelete, Volume: "Vol", Force: true}, final: "dismiss"},
		{name: "attach", open: svc1, setup: []array.Goal{attachGoal("node1", "")}, goal: attachGoal("node2", "5s")},
	}
}

func (c lifeGoal) bench(t *testing.T, method string) (*bench, string) {
	t.Helper()
	b := newLifeBench(t, method, nil)
	for _, g := range c.setup {
		_, err := b.pursue(t, c.open(b, t), g, array.Options{})
		require.NoError(t, err, g.Verb)
	}
	require.NoError(t, b.sim.Advance(minute)) // first copies end
	return b, b.holdings()
}

// isDismiss says whether a stage is the one after which a removal is only gone on with.
func (c lifeGoal) rollsBack(stages []string, n int) bool {
	if c.final == "" {
		return true
	}
	for i, s := range stages {
		if strings.Contains(s, "dismissrcopyvv") || strings.Contains(s, `"action":2`) || strings.HasPrefix(s, "DELETE /api/v1/remotecopygroups/") && strings.Contains(s, "/volumes/") {
			return n <= i
		}
	}
	return true
}

// S0.8: whichever stage an array refuses, nothing is left of the stages before it, and the group
// is started or stopped as it was; the same command, when the array does not refuse any more,
// reaches the goal.
func TestRefusedStageIsRolledBack(t *testing.T) {
	for _, method := range methods {
		for _, c := range lifeGoals() {
			t.Run(method+"/"+c.name, func(t *testing.T) {
				b, _ := c.bench(t, method)
				stages := b.stages(t, c.open(b, t), c.goal)
				reached := b.holdings()
				require.NotEmpty(t, stages)
				for n, stage := range stages {
					b, before := c.bench(t, method)
					b.refuseOnce(t, stage)
					s, err := b.pursue(t, c.open(b, t), c.goal, array.Options{})
					unmark := strings.Contains(stage, `-comment ""`) || strings.Contains(stage, `{"comment":""}`)
					switch {
					case unmark:
						require.NoError(t, err, "%s: a note that stays is told, not rolled back", stage)
						require.NotEmpty(t, s.Warnings)
					case c.rollsBack(stages, n):
						require.ErrorContains(t, err, "Not today.", stage)
						require.Equal(t, before, b.holdings(), "stage %d, %s: %v\n%s", n, stage, err, strings.Join(b.changes(), "\n"))
					default:
						require.ErrorContains(t, err, "Not today.", stage)
					}
					_, err = b.pursue(t, c.open(b, t), c.goal, array.Options{})
					require.NoError(t, err, stage)
					require.Equal(t, reached, b.holdings(), stage)
				}
			})
		}
	}
}

// refuseOnce makes the array refuse a stage once.
func (b *bench) refuseOnce(t *testing.T, stage string) {
	t.Helper()
	text, err := json.Marshal("Not today.")
	require.NoError(t, err)
	_, err = b.sim.Faults().Add(fault{Array: "hp3par1.opensvc.com", Kind: "refuse", Value: text, Match: stage, Count: 1})
	require.NoError(t, err)
}

// Killed between any two steps, the same command finishes, as another process would.
func TestKilledLifeCycleIsFinished(t *testing.T) {
	for _, method := range methods {
		for _, c := range lifeGoals() {
			t.Run(method+"/"+c.name, func(t *testing.T) {
				b, _ := c.bench(t, method)
				stages := b.stages(t, c.open(b, t), c.goal)
				reached := b.holdings()
				for n := 1; n <= len(stages); n++ {
					b, _ := c.bench(t, method)
					_, err := b.pursue(t, c.open(b, t), c.goal, array.Options{AfterStep: func(k int, _ array.Step) error {
						if k == n {
							return array.ErrStopped
						}
						return nil
					}})
					require.ErrorIs(t, err, array.ErrStopped, "step %d", n)
					_, err = b.pursue(t, c.open(b, t), c.goal, array.Options{})
					require.NoError(t, err, "after step %d: %s", n, stages[n-1])
					require.Equal(t, reached, b.holdings(), "after step %d: %s", n, stages[n-1])
				}
			})
		}
	}
}

// Killed, and then refused: what the killed run had made is rolled back, too.
func TestKilledThenRefusedIsRolledBack(t *testing.T) {
	for _, c := range lifeGoals()[:4] {
		t.Run(c.name, func(t *testing.T) {
			b, _ := c.bench(t, "ssh")
			stages := b.stages(t, c.open(b, t), c.goal)
			for n := 1; n < len(stages)-1; n++ {
				b, before := c.bench(t, "ssh")
				_, err := b.pursue(t, c.open(b, t), c.goal, array.Options{AfterStep: func(k int, _ array.Step) error {
					if k == n {
						return array.ErrStopped
					}
					return nil
				}})
				require.ErrorIs(t, err, array.ErrStopped)
				b.refuseOnce(t, stages[n])
				_, err = b.pursue(t, c.open(b, t), c.goal, array.Options{})
				require.ErrorContains(t, err, "Not today.")
				require.Equal(t, before, b.holdings(), "killed after %s, refused %s\n%s", stages[n-1], stages[n], strings.Join(b.changes(), "\n"))
			}
		})
	}
}

// A reply that is lost is followed by a read: done or not done, no stage is sent twice that was done.
func TestLostReplyIsFollowedByARead(t *testing.T) {
	for _, method := range methods {
		for _, c := range lifeGoals() {
			t.Run(method+"/"+c.name, func(t *testing.T) {
				b, _ := c.bench(t, method)
				stages := b.stages(t, c.open(b, t), c.goal)
				reached := b.holdings()
				for _, stage := range stages {
					b, _ := c.bench(t, method)
					match := stage
					if method == "wsapi" {
						match = strings.Join(strings.Fields(stage)[:2], " ")
					}
					_, err := b.sim.Faults().Add(fault{Array: "hp3par1.opensvc.com", Kind: "drop_reply", Match: match, Count: 1})
					require.NoError(t, err)
					before := len(b.changes())
					_, err = b.pursue(t, c.open(b, t), c.goal, array.Options{})
					require.NoError(t, err, stage)
					require.Equal(t, reached, b.holdings(), stage)
					require.Len(t, b.changes()[before:], len(stages), "%s was sent twice", stage)
				}
			})
		}
	}
}

// An array that dies in the middle leaves what it leaves; when it is back, the same command ends it.
func TestArrayDiesInTheMiddle(t *testing.T) {
	for _, c := range lifeGoals() {
		for i, name := range []string{"hp3par1.opensvc.com", "hp3par2.opensvc.com"} {
			t.Run(fmt.Sprintf("%s/array %d", c.name, i+1), func(t *testing.T) {
				b, _ := c.bench(t, "ssh")
				stages := b.stages(t, c.open(b, t), c.goal)
				reached := b.holdings()
				for n := range stages {
					b, _ := c.bench(t, "ssh")
					_, err := b.pursue(t, c.open(b, t), c.goal, array.Options{BeforeStep: func(k int, _ array.Step) error {
						if k == n+1 {
							return b.sim.AddFault(name, "array_down", true)
						}
						return nil
					}})
					b.sim.ClearFaults(name, "array_down")
					require.NoError(t, b.sim.Advance(minute))
					t.Logf("%s: %v", stages[n], err)
					_, err = b.pursue(t, c.open(b, t), c.goal, array.Options{})
					require.NoError(t, err, "down before %s", stages[n])
					require.Equal(t, reached, b.holdings(), "down before %s\n%s", stages[n], strings.Join(b.changes(), "\n"))
				}
			})
		}
	}
}

// A stage that cannot be undone either is told, with what is left to do; the next run ends it.
func TestUndoThatIsRefused(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	b.refuseOnce(t, "admitrcopyvv")
	b.refuseOnce(t, "removercopygroup")
	s, err := b.pursue(t, b.shop(t, nil), testRCG("Vol"), array.Options{})
	require.ErrorContains(t, err, "left to do: removercopygroup -f Test_RCG; removevv -f Vol")
	require.Equal(t, "ddsgo array create shop Vol --param size=1G", s.Next)
	require.Contains(t, b.holdings(), `comment "ddsgo:shop:new.nogroup"`)
	_, err = b.pursue(t, b.shop(t, nil), testRCG("Vol"), array.Options{})
	require.NoError(t, err)
	require.NotContains(t, b.holdings(), "ddsgo:")
}

// A host that was cut off for an export that the array then refuses gets its own back, and if that
// is refused, too, it is told.
func TestExportThatIsRefused(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	g := attachGoal("node1", "")
	g.Params["lun"] = "7"
	_, err := b.pursue(t, b.svc1(t), g, array.Options{})
	require.NoError(t, err)
	b.refuseOnce(t, "createvlun VV_SVC1_ROOT auto node2")
	_, err = b.pursue(t, b.svc1(t), attachGoal("node2", "1s"), array.Options{})
	require.ErrorContains(t, err, "everything was undone")
	require.Contains(t, b.holdings(), "vlun VV_SVC1_ROOT 7 node1")
	b.refuseOnce(t, "createvlun VV_SVC1_ROOT auto node2")
	b.refuseOnce(t, "createvlun VV_SVC1_ROOT 7 node1")
	_, err = b.pursue(t, b.svc1(t), attachGoal("node2", "1s"), array.Options{})
	require.ErrorContains(t, err, "createvlun VV_SVC1_ROOT 7 node1 could not be done either")
}

// Arrays differ: exit status 0 for everything, header rows, options that are not shown or not quoted,
// another zone, newer systems. The life cycle ends the same on all of them.
func TestLifeCycleOnOtherArrays(t *testing.T) {
	for _, c := range []struct {
		kind    string
		profile simulator.Profile
		value   any
	}{{kind: "exit_zero", value: true}, {kind: "header_rows", value: true}, {kind: "options", value: "empty"}, {kind: "options", value: "bare"},
		{kind: "timezone", value: "CET"}, {kind: "role_numbers", value: "number"}, {profile: "alletra-10.5"}} {
		for _, method := range methods {
			t.Run(fmt.Sprintf("%s%s %v/%s", c.kind, c.profile, c.value, method), func(t *testing.T) {
				b := newLifeBench(t, method, func(o *simulator.Options) { o.Profile = c.profile })
				if c.kind != "" {
					require.NoError(t, b.sim.AddFault("", c.kind, c.value))
				}
				open := func() *hp3par.Driver {
					return b.shop(t, func(c *hp3par.Config) { c.Sites[0].SnapCPG, c.Sites[1].SnapCPG = "", "" })
				}
				empty := b.holdings()
				for _, g := range []array.Goal{
					testRCG("One"), {Verb: array.Add, Volume: "Two", Params: map[string]string{"size": "1G", "provisioning": "dedup"}},
					{Verb: array.VolumeAttach, Volume: "One", Params: map[string]string{"host": "node1"}},
					{Verb: array.VolumeAttach, Volume: "One", Params: map[string]string{"host": "node2", "conflict_delay": "2s"}},
				} {
					_, err := b.pursue(t, open(), g, array.Options{})
					require.NoError(t, err, g.Verb)
				}
				require.NoError(t, b.sim.Advance(minute))
				require.Contains(t, b.holdings(), "hp3par1.opensvc.com group Test_RCG Primary Started 900 [auto_recover] One:One Two:Two\n")
				require.Contains(t, b.holdings(), "vlun One 0 node2\n")
				before := b.holdings()
				_, err := b.pursue(t, open(), array.Goal{Verb: array.Add, Volume: "Three", Params: map[string]string{"size": "1M"}}, array.Options{})
				require.ErrorContains(t, err, "below range")
				require.Equal(t, before, b.holdings())
				for _, g := range []array.Goal{
					{Verb: array.VolumeDetach, Volume: "One", Params: map[string]string{"host": "node2"}},
					{Verb: array.Remove, Volume: "Two", Params: map[string]string{"copy": "delete"}}, {Verb: array.VolumeDelete, Volume: "Two"},
					{Verb: array.VolumeDelete, Volume: "One", Force: true},
				} {
					_, err := b.pursue(t, open(), g, array.Options{})
					require.NoError(t, err, g.Verb)
				}
				require.Equal(t, empty, b.holdings())
			})
		}
	}
}
