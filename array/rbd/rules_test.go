package rbd_test

import (
	"context"
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
	"github.com/ddsgo/ddsgo/internal/run"
)

// strict is the fake behind a gate that every command line of every test has to pass.
type strict struct {
	t     *testing.T
	world *fakerbd.World
}

// movers are the verbs that print progress on standard error unless they are told not to.
var movers = []string{"cp", "flatten", "rm"}

func (s strict) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	line := strings.Join(c.Args, " ")
	if c.Name == "rbd" {
		for _, want := range []string{"--client-mount-timeout", "--rados-mon-op-timeout", "--rados-osd-op-timeout", "--log-to-stderr=true", "--cluster"} {
			if !slices.Contains(c.Args, want) {
				s.t.Errorf("rbd without %s: %s", want, line)
			}
		}
		for _, verb := range movers {
			if slices.Contains(c.Args, verb) && !slices.Contains(c.Args, "schedule") && !slices.Contains(c.Args, "lock") && !slices.Contains(c.Args, "--no-progress") {
				s.t.Errorf("%s without --no-progress: %s", verb, line)
			}
		}
		for _, a := range c.Args {
			if a == name { // POOL/IMAGE always; options --pool P --image I are two words of their own
				if i := slices.Index(c.Args, a); c.Args[i-1] != "--image" {
					s.t.Errorf("an image without its pool: %s", line)
				}
			}
		}
	}
	if strings.Contains(line, "connect-timeout") || strings.Contains(line, "pool enable "+pool+" pool") {
		s.t.Errorf("never sent: %s %s", c.Name, line)
	}
	return s.world.Run(ctx, c)
}

// sent lists the calls since the mark that hold the words.
func (b *bed) sent(mark int, words string) []string {
	return slices.DeleteFunc(b.world.Calls()[mark:], func(c string) bool { return !strings.Contains(c, words) })
}

func (b *bed) mark() int { return len(b.world.Calls()) }

// Between the demotion and the promotion another hand makes the old side primary again. Ceph would
// let the promotion pass: the driver asks first, in the same step.
func TestPromotionAsksTheOtherSideFirst(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		mark := b.mark()
		foreign := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Primary}, rbd.Times{}, b.world)
		_, err := array.Run(t.Context(), b.drv, array.Goal{Verb: array.Swap, Site: site2}, array.Options{Resource: "img", Timeout: 10 * time.Minute,
			BeforeStep: func(_ int, s array.Step) error {
				if strings.HasPrefix(s.ID, "promote") {
					return rbd.CallForTest(t.Context(), foreign, "mirror", "image", "promote", pool+"/"+name)
				}
				return nil
			}})
		require.ErrorContains(t, err, "has become primary meanwhile")
		require.Empty(t, b.sent(mark, fakerbd.Secondary+" mirror image promote"))
		require.Equal(t, []string{site1}, b.observe().Primaries())
	})
}

// A pool whose daemon was killed goes on saying "health OK"; the driver's verdict does not rest on it.
func TestPoolSummaryIsNotTheVerdict(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		b.world.SetDaemon(fakerbd.Secondary, false)
		h, err := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Secondary}, rbd.Times{}, b.world).PoolStatus(t.Context(), pool)
		require.NoError(t, err)
		require.Equal(t, "OK", h.Summary.Health)
		o := b.observe()
		require.Equal(t, array.Stopped, o.Replication)
		require.Contains(t, reasons(o), "no live rbd-mirror")
	})
}

func reasons(o array.Observation) string {
	var all []string
	for _, r := range o.Reasons {
		all = append(all, r.Text)
	}
	return strings.Join(all, "; ")
}

// Each of the five conditions by itself keeps the resync from being sent.
func TestResyncIsNotSentWithoutItsFiveConditions(t *testing.T) {
	for what, spoil := range map[string]func(b *bed) (g array.Goal, code int){
		"the peer does not answer": func(b *bed) (array.Goal, int) {
			b.world.SetDown(fakerbd.Primary, true)
			return array.Goal{Discard: site2}, failure.CodeUnreachable
		},
		"nobody is primary": func(b *bed) (array.Goal, int) {
			cli := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Primary}, rbd.Times{}, b.world)
			require.NoError(b.t, rbd.CallForTest(b.t.Context(), cli, "mirror", "image", "demote", pool+"/"+name))
			return array.Goal{Discard: site2}, failure.CodeRefused
		},
		"the side is primary": func(*bed) (array.Goal, int) { return array.Goal{Discard: site1}, failure.CodeRefused },
		"a first copy runs": func(b *bed) (array.Goal, int) {
			b.world.SetFirstCopyTicks(1_000_000)
			cli := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Secondary}, rbd.Times{}, b.world)
			require.NoError(b.t, rbd.CallForTest(b.t.Context(), cli, "mirror", "image", "resync", pool+"/"+name))
			require.Eventually(b.t, func() bool { return b.observe().Replication == array.Initial }, time.Minute, time.Second)
			return array.Goal{Discard: site2}, failure.CodeUnreachable // waits for that copy, until its deadline
		},
		"--discard is missing": func(*bed) (array.Goal, int) { return array.Goal{}, failure.CodeRefused },
	} {
		t.Run(what, func(t *testing.T) {
			bothModes(t, func(t *testing.T, mode string) {
				b := newBed(t, mode)
				b.ready("x")
				g, code := spoil(b)
				g.Verb = array.Resync
				mark := b.mark()
				_, err := array.Run(t.Context(), b.drv, g, array.Options{Resource: "img", Timeout: 3 * time.Minute})
				require.Error(t, err)
				got, _ := failure.CodeOf(err)
				require.Equal(t, code, got, "%v", err)
				require.Empty(t, b.sent(mark, "mirror image resync"))
			})
		})
	}
}

// A peer that stops being primary between the look and the step: nothing would be copied, and the
// resync would stay armed. It is not sent.
func TestResyncAsksTheOtherSideFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeSnapshot)
		b.ready("x")
		mark := b.mark()
		foreign := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Primary}, rbd.Times{}, b.world)
		_, err := array.Run(t.Context(), b.drv, array.Goal{Verb: array.Resync, Discard: site2}, array.Options{Resource: "img", Timeout: time.Minute,
			BeforeStep: func(int, array.Step) error {
				return rbd.CallForTest(t.Context(), foreign, "mirror", "image", "demote", pool+"/"+name)
			}})
		require.ErrorContains(t, err, "no longer primary")
		require.Empty(t, b.sent(mark, "mirror image resync"))
	})
}

// The way back: no peer, or no live daemon where the data would have to flow to.
func TestChangesOfDirectionWarnWhenNothingWouldFlowBack(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		for what, c := range map[string]struct {
			spoil func(b *bed)
			words string
		}{
			"peer":   {func(b *bed) { b.world.RemovePeer(fakerbd.Primary, pool) }, "no peer to receive from"},
			"daemon": {func(b *bed) { b.world.SetDaemon(fakerbd.Primary, false) }, "no live rbd-mirror at site1"},
		} {
			b := newBed(t, mode)
			b.ready("x")
			c.spoil(b)
			s := b.must(array.Goal{Verb: array.Swap, Site: site2})
			require.Contains(t, strings.Join(s.Warnings, " "), c.words, what)
		}
		b := newBed(t, mode)
		b.ready("x")
		b.world.SetDown(fakerbd.Primary, true)
		s := b.must(array.Goal{Verb: array.Failover, Site: site2})
		require.Contains(t, strings.Join(s.Warnings, " "), "was not read: whether the way back")
		require.Contains(t, strings.Join(s.Warnings, " "), "did not send")
	})
}

// The peer has an image of that name already, which nobody mirrors: rbd-mirror would never replace it.
func TestSetupLeavesThePeersOwnImageAlone(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.world.Connect(pool)
		b.world.Make(fakerbd.Primary, pool, name, []byte("ours"))
		b.world.Make(fakerbd.Secondary, pool, name, []byte("theirs"))
		b.refused(array.Goal{Verb: array.Setup, Params: map[string]string{rbd.ParamSite: site1}}, failure.CodeRefused, "of its own", "rename")
		require.Empty(t, b.sent(0, "mirror image enable"))
		cli := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Primary}, rbd.Times{}, b.world)
		for _, args := range [][]string{{"feature", "enable", pool + "/" + name, "journaling"}, {"mirror", "image", "enable", pool + "/" + name, mode}} {
			require.NoError(t, rbd.CallForTest(t.Context(), cli, args...))
		}
		b.refused(array.Goal{Verb: array.Update}, failure.CodeRefused, "not mirrored")
		b.refused(array.Goal{Verb: array.Setup}, failure.CodeRefused, "of its own")
		require.Equal(t, "theirs", string(b.world.Content(fakerbd.Secondary, pool, name)))
	})
}

// One rbd-mirror is quicker than setup: the other side has a row of its name, and refuses a second one.
func TestSetupTurnsATxOnlyPeerRound(t *testing.T) {
	for _, ticks := range []int{0, 3, 6} { // before the look, and between the look and the step
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, rbd.ModeJournal)
			b.world.SetMeetTicks(ticks)
			b.world.Make(fakerbd.Primary, pool, name, []byte("x"))
			_, err := array.Run(t.Context(), b.drv, array.Goal{Verb: array.Setup}, array.Options{AfterStep: func(n int, _ array.Step) error {
				if n == 3 { // both pools and the first peer
					return array.ErrStopped
				}
				return nil
			}})
			require.ErrorIs(t, err, array.ErrStopped)
			b.must(array.Goal{Verb: array.Setup})
			require.NotEmpty(t, b.sent(0, "peer set"))
			b.must(array.Goal{Verb: array.Swap, Site: site2})
			b.must(array.Goal{Verb: array.Failback})
			b.same("x")
		})
	}
}

// A wait that could not end is refused: nobody pulls where the copy is.
func TestUpdateNeedsAPeerThatReceives(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		b.write(fakerbd.Primary, "y")
		b.world.RemovePeer(fakerbd.Secondary, pool)
		b.refused(array.Goal{Verb: array.Update}, failure.CodeRefused, "no peer to receive from", "ddsgo array setup")
		b.refused(array.Goal{Verb: array.Swap, Site: site2}, failure.CodeRefused, "no peer to receive from")
		require.Equal(t, site1, b.observe().Primary())
	})
}

// A client that was killed, or never flushes: rbd-mirror replays its last writes, but does not commit
// its position, for ever. Every verb ends all the same, and loses nothing.
func TestWritesWithoutAFlush(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		b.world.SetFlush(false)
		b.write(fakerbd.Primary, "one")
		b.must(array.Goal{Verb: array.Update})
		b.same("one")
		b.write(fakerbd.Primary, "two")
		b.must(array.Goal{Verb: array.Swap, Site: site2})
		b.same("two")
		b.write(fakerbd.Secondary, "three")
		b.must(array.Goal{Verb: array.Failback})
		b.same("three")
		b.write(fakerbd.Primary, "four")
		b.must(array.Goal{Verb: array.Resync, Discard: site2})
		b.must(array.Goal{Verb: array.Update}) // in snapshot mode a resync copies the newest snapshot
		b.same("four")
		b.write(fakerbd.Primary, "lost")
		b.world.SetDown(fakerbd.Primary, true)
		b.must(array.Goal{Verb: array.Failover, Site: site2})
		b.write(fakerbd.Secondary, "five")
		b.world.SetDown(fakerbd.Primary, false)
		b.must(array.Goal{Verb: array.Failback, Discard: site1, Prepare: true})
		b.same("five")
		b.write(fakerbd.Secondary, "six")
		b.must(array.Goal{Verb: array.Failback})
		b.same("six")
	})
}

// An image with no feature that journal mode needs: both are added, noted, and later removed again.
func TestAddedFeaturesAreRememberedAcrossAKill(t *testing.T) {
	for kill := range 4 {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, rbd.ModeJournal)
			b.world.Make(fakerbd.Primary, pool, name, []byte("x"), "layering")
			_, err := array.Run(t.Context(), b.drv, array.Goal{Verb: array.Setup}, array.Options{AfterStep: func(n int, _ array.Step) error {
				if n == kill+4 { // after the pool's four steps
					return array.ErrStopped
				}
				return nil
			}})
			require.ErrorIs(t, err, array.ErrStopped)
			b.must(array.Goal{Verb: array.Setup})
			b.must(array.Goal{Verb: array.Update})
			require.Subset(t, b.observe().Side(site1).Native["features"], []any{"exclusive-lock", "journaling"})
			b.must(array.Goal{Verb: array.Delete, Params: map[string]string{rbd.ParamDeletePeerCopy: "yes"}})
			require.Equal(t, []any{"layering"}, b.observe().Side(site1).Native["features"])
		})
	}
}

// What is given up is copied before it is overwritten, under a name that says when it is whole.
func TestKeepDiscardedCopiesFirst(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		mark := b.mark()
		b.must(array.Goal{Verb: array.Resync, Discard: site2, KeepDiscarded: true})
		var order []string
		for _, c := range b.world.Calls()[mark:] {
			for _, word := range []string{" cp ", " rename ", " resync "} {
				if strings.Contains(c, word) {
					order = append(order, strings.TrimSpace(word))
				}
			}
		}
		require.Equal(t, []string{"cp", "rename", "resync"}, order)
	})
}

// Nothing that ddsgo does to an image is a disable, except the delete that says what it deletes.
func TestOnlyDeleteDisables(t *testing.T) {
	bothModes(t, func(t *testing.T, mode string) {
		b := newBed(t, mode)
		b.ready("x")
		id := b.world.ID(fakerbd.Secondary, pool, name)
		for _, g := range []array.Goal{
			{Verb: array.Break}, {Verb: array.Resume}, {Verb: array.Setup}, {Verb: array.Update},
			{Verb: array.Swap, Site: site2}, {Verb: array.Failback},
		} {
			b.must(g)
		}
		b.refused(array.Goal{Verb: array.Delete}, failure.CodeRefused, "--delete-peer-copy")
		require.Empty(t, b.sent(0, "mirror image disable"))
		require.Equal(t, id, b.world.ID(fakerbd.Secondary, pool, name))
		require.Equal(t, report.ResultDone, b.must(array.Goal{Verb: array.Delete, Params: map[string]string{rbd.ParamDeletePeerCopy: "yes"}}).Result)
	})
}

// What is worth knowing by hand: peers with UUID and direction, journal id, locks.
func TestShowHasWhatTheToolsPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.ready("x")
		what, err := b.drv.Show(t.Context())
		require.NoError(t, err)
		sides, ok := what.([2]rbd.Shown)
		require.True(t, ok)
		for _, s := range sides {
			require.NotEmpty(t, s.Pool.Peers[0].UUID)
			require.Equal(t, "rx-tx", s.Pool.Peers[0].Direction)
			require.NotEmpty(t, s.Image.JournalID)
			require.True(t, s.Image.Mirrored())
		}
		require.True(t, sides[0].Image.IsPrimary())
		require.False(t, sides[1].Image.IsPrimary())
		b.world.SetDown(fakerbd.Secondary, true)
		what, err = b.drv.Show(t.Context())
		require.NoError(t, err)
		require.Contains(t, what.([2]rbd.Shown)[1].Error, rbd.ErrUnreachable.Error())
		b.world.SetDown(fakerbd.Primary, true)
		_, err = b.drv.Show(t.Context())
		require.Equal(t, array.KindUnreachable, array.KindOf(err))
	})
}
