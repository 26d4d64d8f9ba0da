package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

type watchOptions struct {
	all               bool
	once              bool
	interval, horizon string
}

func newWatchCommand(g *globals, s streams) *cobra.Command {
	var o watchOptions
	cmd := &cobra.Command{
		Use:   "watch NAME... | --all",
		Short: "Watch the snapshots of sources and keep them from overflowing",
		Long: `Watch the snapshots of sources and keep them from overflowing.

Every two seconds the fill of each snapshot is read and its end forecast from the rate of the last
looks. While at least three intervals are left, or when it is 90 % full, ddsgo does the first of
these that is possible, and says so:

  extend  the snapshot, by snap_extend.step or as much as the rate calls for, up to snap_extend.max;
          room for the next sync's snapshot is left free in the volume group
  fold    save its table as a changed set and go on with a new snapshot (see ddsgo fold)
  warn    with what is missing

A source that another run works on is left to that run: sync, full, resync and verify watch their
snapshots themselves while they transfer. Without --once it runs until it gets SIGTERM
(dist/systemd/ddsgo-watch.service). With --once it looks twice, one interval apart, does what is
needed, and ends: for a timer or cron, whose period belongs into --horizon.

EXIT STATUS
  0   every snapshot is good, or was helped
  4   wrong usage or configuration
  14  --once: a snapshot overflowed, or is about to and nothing can be done
  15  --once: the source or its state cannot be read`,
		Example: `  ddsgo watch --all
  ddsgo watch appdata --once --horizon 10m
  ddsgo watch --all --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return runWatch(cmd.Context(), g, s, o, args) },
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "every logical volume of the configuration whose source is on this host")
	cmd.Flags().BoolVar(&o.once, "once", false, "look twice and end")
	cmd.Flags().StringVar(&o.interval, "interval", "2s", "`TIME` between two looks")
	cmd.Flags().StringVar(&o.horizon, "horizon", "", "act when a snapshot is full within this `TIME`; default: four intervals, eight where only a fold helps")
	return cmd
}

func runWatch(ctx context.Context, g *globals, s streams, o watchOptions, args []string) error {
	var opt replica.WatchOptions
	var err error
	if opt.Interval, err = positive("--interval", o.interval); err != nil {
		return err
	}
	if opt.Horizon, err = positive("--horizon", o.horizon); err != nil {
		return err
	}
	env, err := g.load(s)
	if err != nil {
		return err
	}
	legs, err := watchedLegs(env, o.all, args)
	if err != nil {
		return err
	}
	h, err := newHost(env)
	if err != nil {
		return err
	}
	p := newTransfers(g, s)
	defer p.finish()
	opt.Once, opt.Events = o.once, p.events
	opt.Report = func(r report.Watch) { printWatch(g, s, r) }
	return h.Watch(ctx, legs, opt)
}

// watchedLegs are the legs whose source is here; with --all, others are left out.
func watchedLegs(env environment, all bool, names []string) ([]replica.Leg, error) {
	cfg := env.cfg
	switch {
	case all && len(names) > 0:
		return nil, failure.Usage("--all and names exclude each other")
	case all:
		names = cfg.Names()
	case len(names) == 0:
		return nil, failure.Usage("which resource? give names or --all; known: %s", known(cfg))
	}
	var legs []replica.Leg
	for _, name := range names {
		r, err := resource(cfg, name)
		switch {
		case err != nil:
			return nil, err
		case r.Driver != config.DriverLVM && all:
			continue
		case r.Driver != config.DriverLVM:
			return nil, failure.With(failure.CodeUnsupported, name, "watch is for logical volumes; this is a resource of driver "+r.Driver, "ddsgo status "+name, nil)
		case r.LVM.FromImage() && all:
			continue
		case r.LVM.FromImage():
			return nil, failure.With(failure.CodeUnsupported, name, "watch is for logical volumes; snapshots of an RBD image do not overflow", "ddsgo status "+name, nil)
		}
		leg, err := legOf(env, r)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(leg.Source); err != nil && all {
			continue
		}
		legs = append(legs, leg)
	}
	if len(legs) == 0 {
		return nil, failure.Refused("", "no logical volume of the configuration has its source on this host", "ddsgo config show")
	}
	return legs, nil
}

// positive reads a duration of a flag; empty is zero.
func positive(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d == 0 {
		return 0, failure.Usage("%s: %q is no duration: write 2s, 10m or 1h", flag, text)
	}
	return d.D(), nil
}

func printWatch(g *globals, s streams, r report.Watch) {
	switch {
	case g.json:
		b, err := json.Marshal(struct {
			MessageType string `json:"message_type"`
			report.Watch
		}{"watch", r})
		if err == nil {
			fmt.Fprintf(s.out, "%s\n", b)
		}
	case g.quiet && r.Action == "none":
	default:
		r.Line(s.out)
	}
}
