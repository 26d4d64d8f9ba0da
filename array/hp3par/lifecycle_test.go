package hp3par_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/report"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

// methods are the ways in which the life cycle is tried.
var methods = []string{"ssh", "wsapi"}

// newLifeBench is a pair with hosts on both arrays, reached by method.
func newLifeBench(t *testing.T, method string, change func(*simulator.Options)) *bench {
	t.Helper()
	b := newBench(t, "async", func(o *simulator.Options) {
		hosts := []simulator.ScenarioHost{{Name: "node1", WWNs: []string{"1000000000000001"}}, {Name: "node2", WWNs: []string{"1000000000000002"}}}
		o.Scenario.Arrays = []simulator.ScenarioArray{
			{Name: "hp3par1.opensvc.com", SystemID: 12345, FirstVV: 31110, Hosts: hosts},
			{Name: "hp3par2.opensvc.com", SystemID: 12346, FirstVV: 31079, Hosts: hosts},
		}
		if change != nil {
			change(o)
		}
	})
	if method == "wsapi" {
		for i := range b.arrays {
			r := b.sim.Ready().Arrays[i]
			a, err := hp3par.NewWSAPI(b.options(i), hp3par.WSAPI{URL: "https://" + r.WSAPI, CAFile: r.CAFile, User: "opensvc", Password: "opensvc"})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, a.Close()) })
			b.arrays[i] = a
		}
	}
	return b
}

// shop is a resource whose group does not exist yet.
func (b *bench) shop(t testing.TB, change func(*hp3par.Config)) *hp3par.Driver {
	t.Helper()
	c := hp3par.Config{Name: "shop", Mode: "async", Now: b.sim.Clock().Now, Sites: [2]hp3par.Site{
		{Name: "site1", Array: b.arrays[0], Group: "Test_RCG", CPG: "CPG1", SnapCPG: "SNAPCPG1"},
		{Name: "site2", Array: b.arrays[1], Group: "Test_RCG.r12345", CPG: "CPG1", SnapCPG: "SNAPCPG1"},
	}}
	if change != nil {
		change(&c)
	}
	d, err := hp3par.New(c)
	require.NoError(t, err)
	return d
}

// svc1 is the resource of the scenario's group, where volumes may be created.
func (b *bench) svc1(t testing.TB) *hp3par.Driver {
	t.Helper()
	c := b.config()
	c.Now = b.sim.Clock().Now
	for i := range c.Sites {
		c.Sites[i].CPG, c.Sites[i].SnapCPG = "CPG1", "SNAPCPG1"
	}
	d, err := hp3par.New(c)
	require.NoError(t, err)
	return d
}

func (b *bench) pursue(t testing.TB, d *hp3par.Driver, g array.Goal, o array.Options) (report.Summary, error) {
	t.Helper()
	b.arrays[0].Forget()
	b.arrays[1].Forget()
	o.Resource, o.Sleep = "shop", b.sleep
	return array.Run(t.Context(), d, g, o)
}

// holdings is what both arrays hold, without what changes by itself.
func (b *bench) holdings() string {
	var out strings.Builder
	for _, a := range b.sim.Snapshot().Arrays {
		for _, g := range a.Groups {
			fmt.Fprintf(&out, "%s group %s %s %s %d %v", a.Name, g.Name, g.Role, g.Status, g.PeriodS, g.Policies)
			for _, m := range g.Members {
				fmt.Fprintf(&out, " %s:%s", m.Local, m.Remote)
			}
			out.WriteByte('\n')
		}
		for _, v := range a.Volumes {
			fmt.Fprintf(&out, "%s volume %s %d %s %s comment %q compressed %v\n", a.Name, v.Name, v.Size, v.Prov, v.Group, v.Comment, v.Compressed)
		}
		for _, x := range a.VLUNs {
			fmt.Fprintf(&out, "%s vlun %s %d %s\n", a.Name, x.Volume, x.LUN, x.Host)
		}
	}
	return out.String()
}

func testRCG(volume string) array.Goal {
	return array.Goal{Verb: array.Create, Volume: volume, Params: map[string]string{"size": "1G"}}
}

// S0.7: a replicated volume makes its group where there is none, and joins it where there is one.
func TestCreateReplicatedVolume(t *testing.T) {
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			b := newLifeBench(t, method, nil)
			s, err := b.pursue(t, b.shop(t, nil), testRCG("Test_RCG_Vol"), array.Options{})
			require.NoError(t, err)
			require.Equal(t, report.ResultDone, s.Result)
			if method == "ssh" {
				require.Equal(t, []string{
					"hp3par1 createvv -tpvv -snp_cpg SNAPCPG1 -comment ddsgo:shop:new.nogroup CPG1 Test_RCG_Vol 1024m",
					"hp3par1 creatercopygroup -usr_cpg CPG1 hp3par2.opensvc.com:CPG1 -snp_cpg SNAPCPG1 hp3par2.opensvc.com:SNAPCPG1 Test_RCG hp3par2.opensvc.com:periodic",
					"hp3par1 setrcopygroup period 900s hp3par2.opensvc.com Test_RCG",
					"hp3par1 setrcopygroup pol auto_recover Test_RCG",
					"hp3par1 admitrcopyvv -createvv Test_RCG_Vol Test_RCG hp3par2.opensvc.com:Test_RCG_Vol",
					"hp3par1 startrcopygroup Test_RCG",
					`hp3par1 setvv -comment "" Test_RCG_Vol`,
				}, b.changes())
			}
			require.NoError(t, b.sim.Advance(minute))
			g, ok := b.sim.Snapshot().Group(0, "Test_RCG")
			require.True(t, ok)
			require.Equal(t, "Started", g.Status)
			require.Equal(t, 900, g.PeriodS, "the default sync_period of the Docker plug-in")
			require.Equal(t, []simulator.StateMember{{Local: "Test_RCG_Vol", Remote: "Test_RCG_Vol", Sync: "Synced"}}, g.Members)
			before := b.changes()
			s, err = b.pursue(t, b.shop(t, nil), testRCG("Test_RCG_Vol"), array.Options{})
			require.NoError(t, err)
			require.Equal(t, report.ResultNothingToDo, s.Result)
			require.Equal(t, before, b.changes())

			second := testRCG("Second")
			second.Params = map[string]string{"size": "2G", "provisioning": "dedup", "compression": "True"}
			_, err = b.pursue(t, b.shop(t, nil), second, array.Options{})
			require.NoError(t, err)
			full := array.Goal{Verb: array.Add, Volume: "Third", Params: map[string]string{"size": "512MiB", "provisioning": "full", "remote": "Third_R"}}
			_, err = b.pursue(t, b.shop(t, nil), full, array.Options{})
			require.NoError(t, err)
			for _, want := range []string{
				"hp3par1.opensvc.com group Test_RCG Primary Started 900 [auto_recover] Test_RCG_Vol:Test_RCG_Vol Second:Second Third:Third_R\n",
				"hp3par1.opensvc.com volume Second 2147483648 tdvv Test_RCG comment \"\" compressed true\n",
				"hp3par2.opensvc.com volume Second 2147483648 tdvv Test_RCG.r12345 comment \"\" compressed true\n",
				"hp3par1.opensvc.com volume Third 536870912 full Test_RCG comment \"\" compressed false\n",
				"hp3par2.opensvc.com volume Third_R 536870912 full Test_RCG.r12345",
			} {
				require.Contains(t, b.holdings(), want)
			}
		})
	}
}

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

// What the target array refuses is rolled back at the source.
func TestTargetRefuses(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	before := b.holdings()
	for name, c := range map[string]struct {
		change func(*hp3par.Config)
		goal   array.Goal
		want   string
	}{
		"no such CPG at the target": {func(c *hp3par.Config) { c.Sites[1].CPG = "NOSUCH" }, testRCG("Vol"), "CPG NOSUCH does not exist"},
		"no such CPG at the source": {func(c *hp3par.Config) { c.Sites[0].CPG = "NOSUCH" }, testRCG("Vol"), "CPG NOSUCH does not exist"},
		"the array names the group otherwise": {func(c *hp3par.Config) { c.Sites[1].Group = "Test_RCG.r99" }, testRCG("Vol"),
			"Test_RCG.r12345: write that, not Test_RCG.r99"},
		"too small":              {nil, array.Goal{Verb: array.Create, Volume: "Vol", Params: map[string]string{"size": "1M"}}, "below range"},
		"name too long":          {nil, testRCG("A23456789012345678901234567890123456789"), "exceeds 31 characters"},
		"a member of another":    {nil, array.Goal{Verb: array.Create, Volume: "VV_SVC1_ROOT"}, "volume VV_SVC1_ROOT is in group MYRCG"},
		"no volume and no size":  {nil, array.Goal{Verb: array.Create, Volume: "Vol"}, "has no volume Vol"},
		"compressed and full":    {nil, array.Goal{Verb: array.Create, Volume: "Vol", Params: map[string]string{"size": "1G", "provisioning": "full", "compression": "true"}}, "compression"},
		"unknown provisioning":   {nil, array.Goal{Verb: array.Create, Volume: "Vol", Params: map[string]string{"size": "1G", "provisioning": "thick"}}, "thin, dedup or full"},
		"a name that is a shell": {nil, testRCG("Vol;ls"), "no name that an array takes"},
		"no group":               {nil, array.Goal{Verb: array.Add, Volume: "Vol"}, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.pursue(t, b.shop(t, c.change), c.goal, array.Options{})
			require.ErrorContains(t, err, c.want)
			require.Equal(t, before, b.holdings())
		})
	}
}

// S0.12: the last member's deletion removes the group, with both volumes; others stay replicated.
func TestDeleteReplicatedVolume(t *testing.T) {
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			b := newLifeBench(t, method, nil)
			empty := b.holdings()
			for _, v := range []string{"One", "Two"} {
				_, err := b.pursue(t, b.shop(t, nil), testRCG(v), array.Options{})
				require.NoError(t, err)
			}
			s, err := b.pursue(t, b.shop(t, nil), array.Goal{Verb: array.VolumeDelete, Volume: "One"}, array.Options{})
			require.Error(t, err, "its copy goes, too: that is not done without a word")
			require.Equal(t, "ddsgo array volume delete shop One --force", s.Next)
			for _, v := range []string{"One", "Two"} {
				_, err = b.pursue(t, b.shop(t, nil), array.Goal{Verb: array.VolumeDelete, Volume: v, Force: true}, array.Options{})
				require.NoError(t, err)
				if v == "One" {
					g, ok := b.sim.Snapshot().Group(0, "Test_RCG")
					require.True(t, ok)
					require.Equal(t, "Started", g.Status, "the other member goes on")
				}
			}
			require.Equal(t, empty, b.holdings())
			s, err = b.pursue(t, b.shop(t, nil), array.Goal{Verb: array.VolumeDelete, Volume: "Two", Force: true}, array.Options{})
			require.NoError(t, err)
			require.Equal(t, report.ResultNothingToDo, s.Result)
		})
	}
}

// A copy that exists is overwritten only if somebody names its side.
func TestExistingCopyNeedsDiscard(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	d := func() *hp3par.Driver { return b.svc1(t) }
	_, err := b.pursue(t, d(), testRCG("Vol"), array.Options{})
	require.NoError(t, err)
	_, err = b.pursue(t, d(), array.Goal{Verb: array.Remove, Volume: "Vol"}, array.Options{})
	require.NoError(t, err)
	s, err := b.pursue(t, d(), array.Goal{Verb: array.Add, Volume: "Vol"}, array.Options{})
	require.Error(t, err)
	require.Equal(t, "ddsgo array add shop Vol --discard site2", s.Next)
	_, err = b.pursue(t, d(), array.Goal{Verb: array.Add, Volume: "Vol", Discard: "site2"}, array.Options{})
	require.NoError(t, err)
	_, err = b.pursue(t, d(), array.Goal{Verb: array.Remove, Volume: "Vol", Params: map[string]string{"copy": "delete"}}, array.Options{})
	require.NoError(t, err)
	require.NotContains(t, b.holdings(), "hp3par2.opensvc.com volume Vol ")
}

// What a proxy's administrator is given for the verbs on a volume is all that they send.
func TestVolumeCommands(t *testing.T) {
	for _, c := range lifeGoals() {
		t.Run(c.name, func(t *testing.T) {
			b, _ := c.bench(t, "ssh")
			setup := len(b.sim.Journal().Since(0))
			g := c.goal
			g.Params = map[string]string{"size": "1G"}
			if c.goal.Verb == array.VolumeAttach {
				g.Params = map[string]string{"host": "node2", "lun": "0"}
			}
			allowed, err := c.open(b, t).VolumeCommands("proxy", g)
			require.NoError(t, err)
			_, err = b.pursue(t, c.open(b, t), c.goal, array.Options{})
			require.NoError(t, err)
			for _, e := range b.sim.Journal().Since(0)[setup:] {
				command := strings.TrimSuffix(e.Command, " -csvtable -nohdtot")
				if strings.HasPrefix(command, "removevlun") {
					continue // the other host's, which the array chose
				}
				require.Contains(t, allowed, command)
			}
		})
	}
	b := newLifeBench(t, "ssh", nil)
	_, err := b.svc1(t).VolumeCommands("wsapi", array.Goal{Volume: "Vol"})
	require.Error(t, err)
}
