package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

func newFoldCommand(g *globals, s streams) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "fold NAME",
		Short: "Give a leg a fresh tracking snapshot without its target, so that its chain outlives an outage",
		Long: `Give a leg a fresh tracking snapshot without its target, so that its chain outlives an outage.

A new snapshot is made, the old one's table is saved as a changed set, a small file, and the old
snapshot goes. The target is not asked and nothing is sent: the next sync sends the union of all
changed sets since what the target holds. A generation that an interrupted sync left is taken
into the chain. A leg that is held may be folded. Killed at any moment, the same command or a
sync goes on. For a pair adopted from OpenSVC the agent's file is right again after the next
sync. Until the next sync there is no snapshot of what the target holds: verify waits.

ddsgo watch folds by itself when a snapshot fills and may not or cannot be extended.

EXIT STATUS
  0   done: the tracking snapshot is empty again
  4   wrong usage or configuration
  10  the chain is broken already: ddsgo resync NAME
  11  another run works on the volume
  14  the tracking snapshot overflowed while its table was read: ddsgo resync NAME
  15  refused: no room for the new snapshot, or the first copy is not finished`,
		Example: `  ddsgo fold appdata
  ddsgo fold appdata --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runFold(cmd.Context(), g, s, args[0], dryRun) },
	}
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "print what would be done, do nothing")
	return cmd
}

func runFold(ctx context.Context, g *globals, s streams, name string, dryRun bool) error {
	run, err := openLeg(g, s, name, "fold")
	if err != nil {
		return err
	}
	p := newTransfers(g, s)
	defer p.finish()
	rep, err := run.host.Fold(ctx, run.leg, replica.SyncOptions{Events: p.events(name), DryRun: dryRun})
	if dryRun && rep.Plan != nil {
		printPlanOf(g, s, name, "fold", rep.Plan)
		return err
	}
	if err != nil {
		return err
	}
	printFold(g, s, rep)
	return nil
}

func printFold(g *globals, s streams, rep report.Fold) {
	switch {
	case g.quiet:
	case g.json:
		b, err := json.Marshal(struct {
			MessageType string `json:"message_type"`
			report.Fold
		}{"report", rep})
		if err == nil {
			fmt.Fprintf(s.out, "%s\n", b)
		}
	default:
		rep.Line(s.out)
	}
}
