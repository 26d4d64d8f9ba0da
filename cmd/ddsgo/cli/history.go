package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/replica"
)

func newHistoryCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "history NAME",
		Short: "List the undo deltas that the target of a leg keeps",
		Long: `List the undo deltas that the target of a leg keeps.

With history: N in the resource, the target keeps what each of its last N syncs has overwritten,
as deltas of their own in its spool directory. Listed are those that lead back from what the target
holds now, newest first, each with the point in time that it leads to. They are ordinary deltas:
ddsgo inspect shows one, and ddsgo merge writes it to a copy of the target.

A target that is an RBD image keeps its last generations as snapshots (keep: N): those are listed
instead, to be read as POOL/IMAGE@SNAPSHOT or gone back to by ddsgo rollback.

EXIT STATUS
  0   listed, also where there is none
  4   wrong usage or configuration
  12  the target's host does not answer
  13  an undo delta is damaged`,
		Example: `  ddsgo history appdata
  ddsgo history appdata --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runHistory(cmd.Context(), g, s, args[0]) },
	}
}

func runHistory(ctx context.Context, g *globals, s streams, name string) error {
	if r, env, ok := toImage(g, s, name); ok {
		return historyOfImage(ctx, g, s, env, r)
	}
	run, err := openLeg(g, s, name, "history")
	if err != nil {
		return err
	}
	d := &replica.Driver{Host: run.host, Leg: run.leg, AtTarget: atTarget(run.leg)}
	d.Opt = replica.SyncOptions{Dial: dialer(run.env)}
	list, err := d.History(ctx)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(s.out, map[string]any{"message_type": "history", "resource": name, "undo": list})
	}
	if len(list) == 0 {
		fmt.Fprintf(s.out, "%s: the target keeps no undo delta (history: N in the configuration)\n", name)
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "LEADS TO\tTAKEN\tFROM\tSIZE\n")
	for _, u := range list {
		fmt.Fprintf(w, "#%d\t%s\t#%d\t%s\n", u.To.Seq, u.Time.Local().Format(time.DateTime), u.From.Seq, humanize.IBytes(uint64(u.Bytes)))
	}
	return w.Flush()
}
