package hp3par_test

import (
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

// Members come and go at the primary, wherever that is; not while the roles are reversed.
func TestAddWhereThePrimaryIs(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	_, err := b.pursue(t, b.svc1(t), array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true}, array.Options{})
	require.NoError(t, err)
	_, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.Add, Volume: "Vol", Params: map[string]string{"size": "1G"}}, array.Options{})
	require.NoError(t, err)
	require.Contains(t, b.changes(), "hp3par2 admitrcopyvv -createvv Vol MYRCG.r12345 hp3par1.opensvc.com:Vol")
	require.NoError(t, b.sim.Advance(minute))
	_, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.Swap, Site: "site1", WritersStopped: true}, array.Options{})
	require.NoError(t, err)
	_, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.Failover, Site: "site2", Force: true}, array.Options{})
	require.NoError(t, err)
	before := b.holdings()
	for _, verb := range []array.Verb{array.Add, array.Remove, array.VolumeDelete} {
		s, err := b.pursue(t, b.svc1(t), array.Goal{Verb: verb, Volume: "Vol", Force: true}, array.Options{})
		require.ErrorContains(t, err, "Primary-Rev")
		require.Equal(t, report.ResultRefused, s.Result)
	}
	require.Equal(t, before, b.holdings())
}

// Modes other than the default one, and a group without members.
func TestCreateGroups(t *testing.T) {
	for _, method := range methods {
		b := newLifeBench(t, method, nil)
		sync := func(c *hp3par.Config) { c.Mode = "sync" }
		s, err := b.pursue(t, b.shop(t, sync), array.Goal{Verb: array.Create}, array.Options{})
		require.NoError(t, err)
		require.Equal(t, "ddsgo array add shop VOLUME --size SIZE", s.Info["next"])
		_, err = b.pursue(t, b.shop(t, sync), array.Goal{Verb: array.Add, Volume: "Vol", Params: map[string]string{"size": "1G"}}, array.Options{})
		require.NoError(t, err)
		require.Contains(t, b.holdings(), "hp3par1.opensvc.com group Test_RCG Primary Started 0 [auto_recover] Vol:Vol\n")
		require.Equal(t, "Sync", b.group(t, "Test_RCG").Mode)
		_, err = b.pursue(t, b.shop(t, sync), array.Goal{Verb: array.Delete}, array.Options{})
		require.NoError(t, err)

		streaming := func(c *hp3par.Config) {
			for i, group := range []string{"Stream", "Stream.r12345"} {
				c.Sites[i].Group = group
			}
		}
		g := testRCG("Vol2")
		g.Params["mode"] = "streaming"
		_, err = b.pursue(t, b.shop(t, streaming), g, array.Options{})
		require.NoError(t, err)
		require.Equal(t, "Async", b.group(t, "Stream").Mode)
		s, err = b.pursue(t, b.shop(t, streaming), g, array.Options{})
		require.NoError(t, err)
		require.Equal(t, report.ResultNothingToDo, s.Result)
	}
}

func (b *bench) group(t *testing.T, name string) simulator.StateGroup {
	t.Helper()
	g, ok := b.sim.Snapshot().Group(0, name)
	require.True(t, ok)
	return g
}

// S0.10 and S0.11 with one command each: stop and failover, then recover and restore.
func TestFailoverAndFailbackInOneCommand(t *testing.T) {
	b := newBench(t, "async", nil)
	b.run(t, array.Goal{Verb: array.Failover, Site: "site2", Force: true})
	b.run(t, array.Goal{Verb: array.Failback, Discard: "site1", WritersStopped: true})
	require.Equal(t, []string{
		"hp3par1 stoprcopygroup -f MYRCG",
		"hp3par2 setrcopygroup failover -f -waittask MYRCG.r12345",
		"hp3par2 setrcopygroup recover -f -waittask MYRCG.r12345",
		"hp3par2 syncrcopy -w MYRCG.r12345",
		"hp3par2 setrcopygroup restore -f -waittask MYRCG.r12345",
	}, b.changes())
	require.Empty(t, b.sim.Violations())
}

// Volumes that are no members: at either side, made once, deleted once, never by another's name.
func TestPlainVolumes(t *testing.T) {
	for _, method := range methods {
		b := newLifeBench(t, method, nil)
		before := b.holdings()
		at := map[string]string{"site": "site2", "size": "1G"}
		for _, want := range []string{report.ResultDone, report.ResultNothingToDo} {
			s, err := b.pursue(t, b.svc1(t), array.Goal{Verb: array.VolumeCreate, Volume: "Plain", Params: at}, array.Options{})
			require.NoError(t, err)
			require.Equal(t, want, s.Result)
		}
		require.Contains(t, b.holdings(), "hp3par2.opensvc.com volume Plain 1073741824 tpvv  comment \"\"")
		_, err := b.pursue(t, b.svc1(t), array.Goal{Verb: array.VolumeCreate, Volume: "Plain", Params: map[string]string{"site": "site2", "size": "2G"}}, array.Options{})
		require.ErrorContains(t, err, "exists at site2 with 1024 MiB, not 2048")
		s, err := b.pursue(t, b.svc1(t), array.Goal{Verb: array.VolumeDelete, Volume: "Plain"}, array.Options{})
		require.NoError(t, err)
		require.Equal(t, report.ResultNothingToDo, s.Result, "there is none at the primary's side")
		_, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.VolumeDelete, Volume: "Plain", Params: map[string]string{"site": "site2"}}, array.Options{})
		require.NoError(t, err)
		require.Equal(t, before, b.holdings())
		_, err = b.pursue(t, b.shop(t, nil), array.Goal{Verb: array.VolumeDelete, Volume: volume, Force: true}, array.Options{})
		require.ErrorContains(t, err, "is a member of group MYRCG", "another resource's volume")
		require.Equal(t, before, b.holdings())
	}
}

// --no-start leaves replication stopped, and says how it is started.
func TestCreateWithoutStart(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	g := testRCG("Vol")
	g.NoStart = true
	for _, want := range []string{report.ResultDone, report.ResultNothingToDo} {
		s, err := b.pursue(t, b.shop(t, nil), g, array.Options{})
		require.NoError(t, err)
		require.Equal(t, want, s.Result)
		require.Equal(t, "ddsgo resume shop", s.Info["next"])
	}
	require.NotEqual(t, "Started", b.group(t, "Test_RCG").Status)
	_, err := b.pursue(t, b.shop(t, nil), array.Goal{Verb: array.Resume}, array.Options{})
	require.NoError(t, err)
	require.Equal(t, "Started", b.group(t, "Test_RCG").Status)
}
