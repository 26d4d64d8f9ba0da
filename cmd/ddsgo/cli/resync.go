package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
)

type resyncOptions struct {
	overwrite bool
	dryRun    bool
	bwlimit   string
}

func newResyncCommand(g *globals, s streams) *cobra.Command {
	var o resyncOptions
	cmd := &cobra.Command{
		Use:   "resync NAME",
		Short: "Rejoin a logical volume and its copy when the chain is broken, sending only what differs",
		Long: `Rejoin a logical volume and its copy when the chain is broken, sending only what differs.

Both ends read their whole volume and compare it by digests; only blocks of 4 KiB that differ are
sent, verified and written through the target's journal. What broke the chain does not
matter: a tracking snapshot that overflowed or is gone, a lost or damaged state on either side, a
target that was rolled back, replaced, written behind ddsgo's back or half written. A run that
was cut is finished by the same command.

The source stays in use: a new snapshot of it is compared, and tracks what changes from then on.
A target that is primary, held or in use, or has a copy of another volume, is refused.

EXIT STATUS
  0   the target equals the new snapshot
  4   wrong usage or configuration
  10  somebody wrote to the target while it was compared; run it again when that has ended
  11  another run works on the volume
  12  the target's host does not answer; run it again
  14  the snapshot overflowed: enlarge snap_size
  15  refused: the target is primary, held, in use, too small, or has another volume's copy`,
		Example: `  ddsgo resync appdata
  ddsgo resync appdata --dry-run
  ddsgo resync appdata --bwlimit 50M`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runResync(cmd.Context(), g, s, o, args[0]) },
	}
	cmd.Flags().BoolVar(&o.overwrite, "overwrite", false, "the copy of another volume that the target holds may go")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done, do nothing")
	cmd.Flags().StringVar(&o.bwlimit, "bwlimit", "", bwlimitUsage)
	return cmd
}

func runResync(ctx context.Context, g *globals, s streams, o resyncOptions, name string) error {
	limit, err := parseBandwidth(o.bwlimit)
	if err != nil {
		return err
	}
	run, err := openLeg(g, s, name, "resync")
	if err != nil {
		return err
	}
	p := newTransfers(g, s)
	defer p.finish()
	opt := replica.ResyncOptions{Limit: limit}
	opt.Dial, opt.Events, opt.Overwrite, opt.DryRun = dialer(run.env), p.events(name), o.overwrite, o.dryRun
	rep, err := run.host.Resync(ctx, run.leg, opt)
	p.finish()
	if o.dryRun && rep.Plan != nil {
		printPlanOf(g, s, name, "resync", rep.Plan)
		return err
	}
	if err != nil {
		return err
	}
	if !g.json && !g.quiet && rep.Compared != nil {
		rep.Compared.Text(s.out, name)
	}
	printSync(g, s, rep)
	return nil
}

// legRun is an LVM resource of the configuration, ready to be worked on.
type legRun struct {
	env  environment
	host *replica.Host
	leg  replica.Leg
}

// openLeg finds the resource; verb is for the refusal of those that are no logical volumes.
func openLeg(g *globals, s streams, name, verb string) (legRun, error) {
	env, err := g.load(s)
	if err != nil {
		return legRun{}, err
	}
	r, err := resource(env.cfg, name)
	switch {
	case err != nil:
		return legRun{}, err
	case r.Driver != config.DriverLVM:
		return legRun{}, failure.With(failure.CodeUnsupported, name, verb+" is for logical volumes; this is a resource of driver "+r.Driver, "ddsgo status "+name, nil)
	}
	if err := notOfImages(r, verb); err != nil {
		return legRun{}, err
	}
	h, err := newHost(env)
	if err != nil {
		return legRun{}, err
	}
	leg, err := legOf(env, r)
	return legRun{env, h, leg}, err
}
