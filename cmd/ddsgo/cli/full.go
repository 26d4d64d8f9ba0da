package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

type fullOptions struct {
	overwrite bool
	dryRun    bool
}

func newFullCommand(g *globals, s streams) *cobra.Command {
	var o fullOptions
	cmd := &cobra.Command{
		Use:   "full NAME",
		Short: "Make the first copy of a logical volume, or make it anew",
		Long: `Make the first copy of a logical volume, or make it anew.

A read-only snapshot of the source, a logical volume or an RBD image, is copied as a whole; runs of
zeros are not sent. The source stays in use. The target is marked inconsistent before the first byte
and clean after the last one is on disk. A copy that was cut goes on where the target's last fsync
was, when the same command runs again; one that ends on an RBD image begins anew.

A target that holds a good copy is refused, because sync would send only what changed.
--overwrite destroys that copy.

EXIT STATUS
  0   the target equals the snapshot
  4   wrong usage or configuration
  11  another run works on the volume
  12  the target's host does not answer; run it again
  14  the snapshot overflowed: enlarge snap_size
  15  refused: the target holds a copy, is in use, primary, or too small`,
		Example: `  ddsgo full appdata
  ddsgo full appdata --dry-run
  ddsgo full appdata --overwrite`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runFull(cmd.Context(), g, s, o, args[0]) },
	}
	cmd.Flags().BoolVar(&o.overwrite, "overwrite", false, "destroy the good copy that the target holds")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done, do nothing")
	return cmd
}

func runFull(ctx context.Context, g *globals, s streams, o fullOptions, name string) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	r, err := resource(env.cfg, name)
	switch {
	case err != nil:
		return err
	case r.Driver != config.DriverLVM:
		return failure.With(failure.CodeUnsupported, name, "full copies are for logical volumes; this is a resource of driver "+r.Driver, "ddsgo array create "+name, nil)
	}
	p := newTransfers(g, s)
	defer p.finish()
	full := fullVolume
	if r.LVM.FromImage() {
		full = fullImage
	}
	rep, err := full(ctx, env, r, p.events(name), o)
	if o.dryRun && rep.Plan != nil {
		printPlanLines(g, s, name, rep.Plan)
		return err
	}
	if err != nil {
		return err
	}
	p.finish()
	printSync(g, s, rep)
	return nil
}

// fullVolume is full for a leg whose source is a logical volume.
func fullVolume(ctx context.Context, env environment, r config.Resource, ev replica.Events, o fullOptions) (report.Sync, error) {
	h, err := newHost(env)
	if err != nil {
		return report.Sync{}, err
	}
	leg, err := legOf(env, r)
	if err != nil {
		return report.Sync{}, err
	}
	dial, err := targetDialer(env, r)
	if err != nil {
		return report.Sync{}, err
	}
	return h.Full(ctx, leg, replica.SyncOptions{Dial: dial, Events: ev, Overwrite: o.overwrite, DryRun: o.dryRun})
}

// printPlanLines prints the steps of a full copy.
func printPlanLines(g *globals, s streams, name string, steps []string) {
	for i, step := range steps {
		if g.json {
			if b, err := json.Marshal(map[string]any{"message_type": "plan", "resource": name, "verb": "full", "n": i + 1, "action": step}); err == nil {
				fmt.Fprintf(s.out, "%s\n", b)
			}
			continue
		}
		fmt.Fprintf(s.out, "%2d. %s\n", i+1, step)
	}
}
