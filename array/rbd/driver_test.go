package rbd_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

const (
	site1, site2 = "site1", "site2"
	pool, name   = "volumes", "test"
)

// bed is a resource on the fake, inside a synctest bubble: waiting costs nothing.
type bed struct {
	t     *testing.T
	world *fakerbd.World
	drv   *rbd.Driver
	mode  string
}

func newBed(t *testing.T, mode string, change ...func(*rbd.Config)) *bed {
	t.Helper()
	return newBedOn(t, fakerbd.New(pool), mode, name, change...)
}

// newBedOn is a resource on clusters that others use as well.
func newBedOn(t *testing.T, w *fakerbd.World, mode, image string, change ...func(*rbd.Config)) *bed {
	t.Helper()
	cfg := rbd.Config{
		Name: "img", Image: rbd.Image{Pool: pool, Name: image}, Mode: mode, Runner: strict{t, w},
		Sites: [2]rbd.Site{
			{Name: site1, Cluster: rbd.Cluster{Name: fakerbd.Primary, MirrorSocket: fakerbd.Primary}},
			{Name: site2, Cluster: rbd.Cluster{Name: fakerbd.Secondary, MirrorSocket: fakerbd.Secondary}},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	drv, err := rbd.New(cfg)
	require.NoError(t, err)
	return &bed{t: t, world: w, drv: drv, mode: mode}
}

func (b *bed) run(g array.Goal) (report.Summary, error) {
	b.t.Helper()
	return array.Run(b.t.Context(), b.drv, g, array.Options{Resource: "img", Timeout: 10 * time.Minute})
}

func (b *bed) must(g array.Goal) report.Summary {
	b.t.Helper()
	s, err := b.run(g)
	require.NoError(b.t, err, "%s; calls:\n%s", g.Verb, strings.Join(lastCalls(b.world, 12), "\n"))
	return s
}

func lastCalls(w *fakerbd.World, n int) []string {
	c := w.Calls()
	return c[max(0, len(c)-n):]
}

func (b *bed) refused(g array.Goal, code int, words ...string) report.Summary {
	b.t.Helper()
	s, err := b.run(g)
	require.Error(b.t, err)
	got, _ := failure.CodeOf(err)
	require.Equal(b.t, code, got, "%v", err)
	for _, w := range words {
		require.Contains(b.t, err.Error()+" "+s.Next, w)
	}
	return s
}

// ready is a mirrored image whose first copy is done.
func (b *bed) ready(content string) {
	b.t.Helper()
	b.world.Make(fakerbd.Primary, pool, name, []byte(content))
	b.must(array.Goal{Verb: array.Setup})
	b.must(array.Goal{Verb: array.Update})
	b.same(content)
}

func (b *bed) write(cluster, content string) {
	b.t.Helper()
	require.NoError(b.t, b.world.Write(cluster, pool, name, []byte(content)))
}

func (b *bed) same(content string) {
	b.t.Helper()
	require.Equal(b.t, content, string(b.world.Content(fakerbd.Primary, pool, name)), "primary cluster")
	require.Equal(b.t, content, string(b.world.Content(fakerbd.Secondary, pool, name)), "secondary cluster")
}

func (b *bed) observe() array.Observation {
	b.t.Helper()
	o, err := b.drv.Observe(b.t.Context())
	require.NoError(b.t, err)
	return o
}

func bothModes(t *testing.T, f func(t *testing.T, mode string)) {
	t.Helper()
	for _, mode := range []string{rbd.ModeJournal, rbd.ModeSnapshot} {
		t.Run(mode, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, mode) }) })
	}
}

func TestPlannedChangesLoseNothing(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("one")
		require.Equal(t, report.ResultNothingToDo, b.must(array.Goal{Verb: array.Setup}).Result)
		b.write(fakerbd.Primary, "two")
		b.must(array.Goal{Verb: array.Swap, Site: site2})
		b.same("two")
		require.Equal(t, site2, b.observe().Primary())
		require.Error(t, b.world.Write(fakerbd.Primary, pool, name, []byte("x")))
		b.write(fakerbd.Secondary, "three")
		b.must(array.Goal{Verb: array.Update})
		b.same("three")
		b.write(fakerbd.Secondary, "four")
		b.must(array.Goal{Verb: array.Failback})
		b.same("four")
		require.Equal(t, report.ResultNothingToDo, b.must(array.Goal{Verb: array.Failback}).Result)
	})
}

func TestDisasterAndReturn(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("common")
		b.refused(array.Goal{Verb: array.Failover, Site: site2}, failure.CodeRefused, "R1")
		b.write(fakerbd.Primary, "unsent")
		b.world.SetDown(fakerbd.Primary, true)
		b.refused(array.Goal{Verb: array.Swap, Site: site2}, failure.CodeUnreachable, "plan failover")
		b.must(array.Goal{Verb: array.Failover, Site: site2})
		require.Equal(t, report.ResultNothingToDo, b.must(array.Goal{Verb: array.Failover, Site: site2}).Result)
		b.write(fakerbd.Secondary, "after")
		b.world.SetDown(fakerbd.Primary, false)

		o := b.observe()
		require.Len(t, o.Primaries(), 2)
		require.Equal(t, array.ReplicationError, o.Replication)
		b.refused(array.Goal{Verb: array.Failback}, failure.CodeRefused, "--discard")
		old := b.world.ID(fakerbd.Primary, pool, name)
		b.must(array.Goal{Verb: array.Failback, Discard: site1, KeepDiscarded: true, Prepare: true})
		b.same("after")
		require.NotEqual(t, old, b.world.ID(fakerbd.Primary, pool, name), "a resync makes a new image")
		require.Equal(t, "unsent", string(b.world.Content(fakerbd.Primary, pool, name+".discarded."+old)))
		require.Equal(t, site2, b.observe().Primary(), "prepare leaves the application where it is")
		b.write(fakerbd.Secondary, "last")
		b.must(array.Goal{Verb: array.Failback})
		b.same("last")
		require.Equal(t, site1, b.observe().Primary())
	})
}

// The other way round: what the old primary has is kept, the survivor's writes are given up.
func TestFailbackMayDiscardTheSurvivor(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("common")
		b.write(fakerbd.Primary, "home")
		b.world.SetDown(fakerbd.Primary, true)
		b.must(array.Goal{Verb: array.Failover, Site: site2})
		b.write(fakerbd.Secondary, "away")
		b.world.SetDown(fakerbd.Primary, false)
		b.must(array.Goal{Verb: array.Failback, Discard: site2})
		b.must(array.Goal{Verb: array.Update})
		b.same("home")
	})
}

// Break: production writes on, the copy stays what it was, resume catches up. Nobody is demoted and
// the peer's image is not deleted.
func TestBreakHoldsTheCopyAndNothingElse(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode, func(c *rbd.Config) {
			if mode == rbd.ModeSnapshot {
				c.Schedules = []string{"1h", "5m"}
			}
		})
		b.ready("old")
		id := b.world.ID(fakerbd.Secondary, pool, name)
		from := len(b.world.Calls())
		b.must(array.Goal{Verb: array.Break})
		require.Equal(t, report.ResultNothingToDo, b.must(array.Goal{Verb: array.Break}).Result)
		b.write(fakerbd.Primary, "new")
		for range 30 {
			o := b.observe()
			require.Equal(t, array.Held, o.Replication)
		}
		require.Equal(t, "old", string(b.world.Content(fakerbd.Secondary, pool, name)))
		require.Equal(t, id, b.world.ID(fakerbd.Secondary, pool, name))
		b.refused(array.Goal{Verb: array.Update}, failure.CodeRefused, "held", "ddsgo resume")
		b.must(array.Goal{Verb: array.Resume})
		b.must(array.Goal{Verb: array.Update})
		b.same("new")
		for _, c := range b.world.Calls()[from:] {
			require.NotContains(t, c, "demote")
			require.NotContains(t, c, "disable")
		}
		if mode == rbd.ModeSnapshot {
			native := b.observe().Side(site1).Native
			require.Len(t, native["schedules"], 2, "resume puts both schedules back")
		}
	})
}

func TestJournalPauseEndedByARestartIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.ready("old")
		b.must(array.Goal{Verb: array.Break})
		b.world.SetDaemon(fakerbd.Secondary, false)
		b.world.SetDaemon(fakerbd.Secondary, true)
		o := b.observe()
		require.Equal(t, array.Running, o.Replication)
		require.True(t, slices.ContainsFunc(o.Reasons, func(r array.Reason) bool {
			return r.Code == array.ReasonHeld && strings.Contains(r.Text, "restart ended the pause")
		}), "%+v", o.Reasons)
	})
}

func TestInheritedScheduleCannotBePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeSnapshot)
		b.ready("old")
		_, err := b.drv.Capabilities(), error(nil)
		require.NoError(t, err)
		cli := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Primary}, rbd.Times{}, b.world)
		require.NoError(t, rbd.CallForTest(t.Context(), cli, "mirror", "snapshot", "schedule", "add", "--pool", pool, "1h"))
		b.refused(array.Goal{Verb: array.Break}, failure.CodeUnsupported, "inherits")
	})
}

func TestJournalBreakNeedsASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal, func(c *rbd.Config) { c.Sites[0].Cluster.MirrorSocket, c.Sites[1].Cluster.MirrorSocket = "", "" })
		b.ready("x")
		b.refused(array.Goal{Verb: array.Break}, failure.CodeUnsupported, "mirror_admin_socket")
	})
}

func TestFailoverOntoAnIncompleteFirstCopyIsRefused(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.world.SetFirstCopyTicks(1_000_000)
		b.world.Make(fakerbd.Primary, pool, name, []byte("x"))
		b.must(array.Goal{Verb: array.Setup})
		require.Equal(t, array.Initial, b.observe().Replication)
		b.world.SetDown(fakerbd.Primary, true)
		for _, force := range []bool{false, true} {
			b.refused(array.Goal{Verb: array.Failover, Site: site2, Force: force}, failure.CodeRefused, "first copy")
		}
	})
}

// A promotion whose exit status was 0 but which is not writable: the driver waits, and when rbd-mirror
// keeps the lock, takes it. A failover that was killed in that state is finished by another one.
func TestPromotionIsBelievedAfterAWrite(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		for _, kill := range []bool{false, true} {
			b := newBed(t, mode)
			b.ready("x")
			b.world.SetDown(fakerbd.Primary, true)
			b.world.BreakPromotion(fakerbd.Secondary, pool, name, 1_000_000)
			g := array.Goal{Verb: array.Failover, Site: site2}
			if kill {
				_, err := array.Run(t.Context(), b.drv, g, array.Options{AfterStep: func(int, array.Step) error { return errors.New("killed") }})
				require.ErrorContains(t, err, "killed")
				require.Equal(t, array.No, b.observe().Side(site2).Writable)
			}
			s := b.must(g)
			require.Contains(t, strings.Join(s.Warnings, " "), "hangs on the dead peer")
			b.write(fakerbd.Secondary, "y")
		}
	})
}

func TestPoolModeIsNeverSwitched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.world.Make(fakerbd.Primary, pool, name, []byte("x"))
		b.world.SetPoolMode(fakerbd.Secondary, pool, "pool")
		b.refused(array.Goal{Verb: array.Setup}, failure.CodeRefused, "never switches")
		for _, c := range b.world.Calls() {
			require.NotContains(t, c, "enable")
		}
	})
}

func TestSetupRemembersAndDeleteRemovesOnlyWhatItAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.ready("x") // made with exclusive-lock, without journaling
		s := b.refused(array.Goal{Verb: array.Delete}, failure.CodeRefused, "--delete-peer-copy")
		require.Equal(t, report.ResultRefused, s.Result)
		require.NotEmpty(t, b.world.ID(fakerbd.Secondary, pool, name))
		b.must(array.Goal{Verb: array.Delete, Params: map[string]string{rbd.ParamDeletePeerCopy: "yes"}})
		require.Empty(t, b.world.ID(fakerbd.Secondary, pool, name), "Ceph deletes the peer's copy")
		f := b.observe().Side(site1).Native["features"]
		require.Contains(t, f, "exclusive-lock")
		require.NotContains(t, f, "journaling")
		require.Equal(t, "x", string(b.world.Content(fakerbd.Primary, pool, name)), "the primary's image stays")
	})
}

func TestCreateAndClone(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.refused(array.Goal{Verb: array.Create}, failure.CodeRefused, "--size")
		b.must(array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamSize: "64M"}})
		b.must(array.Goal{Verb: array.Update})
		require.Equal(t, report.ResultNothingToDo, b.must(array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamSize: "64M"}}).Result)

		clone := newBed(t, mode)
		clone.world.Make(fakerbd.Primary, pool, "golden", []byte("gold"))
		clone.world.AddUserSnapshot(fakerbd.Primary, pool, "golden", "v1")
		g := array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamCloneOf: pool + "/golden@v1"}}
		_, err := clone.run(g)
		require.ErrorContains(t, err, "parent")
		require.Empty(t, clone.world.ID(fakerbd.Primary, pool, name))
		g.Params[rbd.ParamFlatten] = "yes"
		clone.must(g)
		clone.must(array.Goal{Verb: array.Update})
		clone.same("gold")
	})
}

func TestResyncNeedsItsConditions(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		b.refused(array.Goal{Verb: array.Resync}, failure.CodeRefused, "--discard")
		b.refused(array.Goal{Verb: array.Resync, Discard: site1}, failure.CodeRefused, "primary")
		b.world.SetDown(fakerbd.Primary, true)
		b.refused(array.Goal{Verb: array.Resync, Discard: site2}, failure.CodeUnreachable)
		b.world.SetDown(fakerbd.Primary, false)
		old := b.world.ID(fakerbd.Secondary, pool, name)
		b.must(array.Goal{Verb: array.Resync, Discard: site2})
		require.NotEqual(t, old, b.world.ID(fakerbd.Secondary, pool, name))
		b.same("x")
	})
}

func TestWritersAreSeenAndDaemonsAreNotWriters(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		b.world.Open(fakerbd.Primary, pool, name)
		b.refused(array.Goal{Verb: array.Swap, Site: site2}, failure.CodeRefused, "R6")
		b.world.Shut(fakerbd.Primary, pool, name)
		b.must(array.Goal{Verb: array.Swap, Site: site2})
	})
}

// A run killed after any step is finished by the same verb, and never ends in two primaries.
func TestKilledAfterEveryStep(t *testing.T) {
	killed := errors.New("killed")
	bothModes(t, func(t *testing.T, mode string) {
		for n := 1; ; n++ {
			b := newBed(t, mode)
			b.ready("x")
			b.write(fakerbd.Primary, "y")
			g := array.Goal{Verb: array.Swap, Site: site2}
			_, err := array.Run(t.Context(), b.drv, g, array.Options{Resource: "img", AfterStep: func(i int, _ array.Step) error {
				if i == n {
					return killed
				}
				return nil
			}})
			if err == nil {
				require.Greater(t, n, 2)
				return
			}
			require.ErrorIs(t, err, killed)
			require.LessOrEqual(t, len(b.observe().Primaries()), 1)
			b.must(g)
			b.same("y")
			require.Equal(t, site2, b.observe().Primary())
		}
	})
}

// callsPerSide is the most that one look at one side of an image may take.
const callsPerSide = 9

func TestBadInputIsNamed(t *testing.T) {
	cases := []struct {
		name   string
		change func(*rbd.Config)
		spoil  func(*bed)
		code   int
		words  []string
	}{
		{"no image", nil, func(b *bed) {}, failure.CodeRefused, []string{"no image", "ddsgo array create"}},
		{"no pool", func(c *rbd.Config) { c.Image.Pool = "nopool" }, nil, failure.CodeRefused, []string{`no pool "nopool"`}},
		{"no cluster", func(c *rbd.Config) { c.Sites[1].Cluster.Name = "nosuch" }, nil, failure.CodeUnreachable, []string{"no such cluster"}},
		{"no permission", func(c *rbd.Config) { c.Sites[1].Cluster.User = "nobody" }, nil, failure.CodeUnreachable, []string{"no permission"}},
		{"not mirrored", nil, func(b *bed) { b.world.Make(fakerbd.Primary, pool, name, []byte("x")) }, failure.CodeRefused, []string{"not mirrored", "ddsgo array setup"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change := c.change
				if change == nil {
					change = func(*rbd.Config) {}
				}
				b := newBed(t, rbd.ModeJournal, change)
				b.world.Connect(pool)
				if c.spoil != nil {
					c.spoil(b)
				}
				begin, before := time.Now(), len(b.world.Calls())
				s := b.refused(array.Goal{Verb: array.Update}, c.code, c.words...)
				require.Less(t, time.Since(begin), time.Second)
				require.NotEmpty(t, s.Next)
				// One look at each side, whose calls run side by side: at 0.1 s a call less than a second.
				require.LessOrEqual(t, len(b.world.Calls())-before, 2*callsPerSide)
			})
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := rbd.Config{Name: "r", Image: rbd.Image{Pool: "p", Name: "i"}, Mode: rbd.ModeJournal,
		Sites: [2]rbd.Site{{Name: "a", Cluster: rbd.Cluster{Name: "x"}}, {Name: "b", Cluster: rbd.Cluster{Name: "y"}}}}
	_, err := rbd.New(good)
	require.NoError(t, err)
	for what, spoil := range map[string]func(*rbd.Config){
		"mode":         func(c *rbd.Config) { c.Mode = "pool" },
		"pool name":    func(c *rbd.Config) { c.Image.Pool = "a/b" },
		"option":       func(c *rbd.Config) { c.Image.Name = "-x" },
		"one cluster":  func(c *rbd.Config) { c.Sites[1].Cluster = c.Sites[0].Cluster },
		"one site":     func(c *rbd.Config) { c.Sites[1].Name = "a" },
		"no cluster":   func(c *rbd.Config) { c.Sites[0].Cluster.Name = "" },
		"schedules":    func(c *rbd.Config) { c.Schedules = []string{"1h"} },
		"cluster name": func(c *rbd.Config) { c.Sites[0].Cluster.Name = "--x" },
	} {
		bad := good
		spoil(&bad)
		_, err := rbd.New(bad)
		var e *array.Error
		require.ErrorAs(t, err, &e, what)
		require.Equal(t, array.KindConfig, e.Kind)
	}
}
