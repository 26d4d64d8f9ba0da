package infinibox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/infinibox"
	"github.com/ddsgo/ddsgo/sim/control"
	simbox "github.com/ddsgo/ddsgo/sim/infinibox"
)

// planned are the verbs that lose nothing.
func planned() []array.Goal {
	return []array.Goal{
		{Verb: array.Update}, {Verb: array.Break}, {Verb: array.Resume},
		{Verb: array.Swap, Site: site1, WritersStopped: true}, {Verb: array.Swap, Site: site2, WritersStopped: true},
		{Verb: array.Swap, Site: site2, WritersStopped: true, NoStart: true},
		{Verb: array.Failback, WritersStopped: true}, {Verb: array.Failback, Prepare: true}, {Verb: array.Create},
		{Verb: array.Failover, Site: site1}, {Verb: array.Failover, Site: site2}, // refused while the SOURCE answers
	}
}

// TestPlannedVerbsLoseNothing drives random planned verbs, kills between their steps,
// other operators and dead links and boxes' management. However it goes: never do both
// sides accept writes, and the last write that was accepted is on the present SOURCE.
func TestPlannedVerbsLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds: left out with -short")
	}
	rapid.Check(t, func(rt *rapid.T) {
		mode := rapid.SampledFrom([]string{infinibox.ModeAsync, infinibox.ModeSync}).Draw(rt, "mode")
		sim, err := simbox.Start(t.Context(), simbox.Options{Dir: t.TempDir(), Clock: control.Auto})
		require.NoError(rt, err)
		defer func() { require.NoError(rt, sim.Close()) }()
		b := &bed{t: t, sim: sim}
		b.config = infinibox.Config{
			Mode: mode, Kind: infinibox.KindVolume, Entity: "vol1", Link: "link1",
			Sites: [2]infinibox.Site{{Name: site1, Pool: "p1"}, {Name: site2, Pool: "p2"}},
		}
		b.replicated()
		defer func() {
			for _, d := range b.opened {
				_ = d.Close()
			}
		}()
		last := ""
		for n := range rapid.IntRange(1, 15).Draw(rt, "acts") {
			switch rapid.IntRange(0, 6).Draw(rt, "act") {
			case 0:
				text := fmt.Sprintf("write %d", n)
				accepted := 0
				for box := range 2 {
					if b.write(box, "vol1", text) == nil {
						accepted++
						last = text
					}
				}
				require.LessOrEqual(rt, accepted, 1, "both sides accept writes")
			case 1:
				b.fault(-1, rapid.SampledFrom([]string{"link_down", "stalled_job"}).Draw(rt, "fault"), nil, 0)
			case 2:
				sim.ClearFaults()
			case 3:
				require.NoError(rt, lab{b}.Foreign(t.Context(), rapid.SampledFrom([]string{"break", "resume"}).Draw(rt, "foreign")))
			default:
				g := rapid.SampledFrom(planned()).Draw(rt, "goal")
				kill := rapid.IntRange(1, 9).Draw(rt, "kill after")
				_, _ = array.Run(t.Context(), b.driver(), g, array.Options{Resource: "NAME", Timeout: 5 * time.Second, Sleep: b.sleep, AfterStep: func(k int, _ array.Step) error {
					if k == kill {
						return errKilled
					}
					return nil
				}})
			}
			w := b.world()
			require.Empty(rt, w.Violations)
			require.Empty(rt, w.TwoSources)
			if p := b.observe().Primary(); p != "" {
				require.Equal(rt, last, b.read(boxOf(p), "vol1"), "on %s", p)
			}
		}
	})
}
