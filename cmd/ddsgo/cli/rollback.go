package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
)

type rollbackOptions struct {
	to     string
	dryRun bool
}

func newRollbackCommand(g *globals, s streams) *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Set the copy of a leg that ends on an RBD image back to one of its generations",
		Long: `Set the copy of a leg that ends on an RBD image back to one of its generations.

Every sync leaves a snapshot of the copy; the newest ones are kept (keep in the configuration). The
image becomes equal to the newest of them, or to the one that --to names; what was written to it
since is lost. That cures a copy that others wrote to, and one whose cut import cannot be finished
because journal and source snapshot are both gone. Where the image is then not the newest generation,
it is held: sync refuses until ddsgo resume, which makes it the newest one again.

A roll-back that was cut is finished by the next command, whichever that is.

EXIT STATUS
  0   the image equals the generation
  4   wrong usage or configuration, or no such generation
  11  another ddsgo writes the image
  12  the cluster does not answer
  15  refused: the image is primary, in use, or has no generation
  17  the leg does not end on an RBD image`,
		Example: `  ddsgo rollback offsite
  ddsgo rollback offsite --to 41
  ddsgo rollback offsite --to ddsgo.0f3a9c1e5b7d2f4a6c8e -n`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runRollback(cmd.Context(), g, s, o, args[0]) },
	}
	cmd.Flags().StringVar(&o.to, "to", "", "the `GENERATION`: its number or its snapshot (default: the newest)")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print which generation it would be, do nothing")
	return cmd
}

func runRollback(ctx context.Context, g *globals, s streams, o rollbackOptions, name string) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	r, err := resource(env.cfg, name)
	switch {
	case err != nil:
		return err
	case r.LVM == nil || !r.LVM.ToImage():
		return failure.With(failure.CodeUnsupported, name, "only a copy on an RBD image keeps generations to go back to", "ddsgo status "+name, nil)
	}
	c, err := imageCopy(env, r)
	if err != nil {
		return err
	}
	ref := replica.VolumeRef{Device: c.String(), Resource: name}
	set, verb := c.Rollback, "is set back"
	if o.dryRun {
		set, verb = c.Find, "would be set back"
	}
	k, err := set(ctx, ref, o.to)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(s.out, map[string]any{"message_type": "summary", "resource": name, "verb": "rollback", "result": "done", "dry_run": o.dryRun,
			"exit_code": 0, "image": c.String(), "snapshot": k.Snapshot, "generation": k.Generation})
	}
	if g.quiet {
		return nil
	}
	_, err = fmt.Fprintf(s.out, "%s: %s %s to generation %v, %s\n", name, c, verb, k.Generation, k.Snapshot)
	return err
}
