package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

type verifyOptions struct {
	repair  bool
	dryRun  bool
	bwlimit string
}

func newVerifyCommand(g *globals, s streams) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify NAME",
		Short: "Compare the copy of a logical volume with what it claims to hold, block by block",
		Long: `Compare the copy of a logical volume with what it claims to hold, block by block.

The tracking snapshot on the source has exactly the content that the target claims to have. Both
ends read their own volume past the page cache and exchange digests; content stays where it is.
Locks are held for at most ten seconds at a time, a sync goes on in between, and a pass that was
cut goes on where it was. Status tells how far and at which generation the copy was verified.

A block that differs makes the target suspect: syncs stop until it is repaired. --repair sends the
differing blocks, nothing else, through the target's journal, and compares them again. A suspect
target without any difference becomes clean.

EXIT STATUS
  0   no difference, or all of them repaired
  1   blocks still differ after they were written: look at the target's disk
  4   wrong usage or configuration
  10  the target differs and is marked suspect, or cannot be compared with this source
  11  another run works on the volume
  12  the target's host does not answer; run it again
  14  the tracking snapshot overflowed meanwhile
  15  refused: a sync has to finish first, or the target is primary`,
		Example: `  ddsgo verify appdata
  ddsgo verify appdata --bwlimit 100M
  ddsgo verify appdata --repair --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runVerify(cmd.Context(), g, s, o, args[0]) },
	}
	cmd.Flags().BoolVar(&o.repair, "repair", false, "send the blocks that differ, and compare them again")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done, do nothing")
	cmd.Flags().StringVar(&o.bwlimit, "bwlimit", "", bwlimitUsage)
	return cmd
}

const bwlimitUsage = "bytes per second that each end reads while comparing, such as 50M (default no limit)"

func runVerify(ctx context.Context, g *globals, s streams, o verifyOptions, name string) error {
	limit, err := parseBandwidth(o.bwlimit)
	if err != nil {
		return err
	}
	run, err := openLeg(g, s, name, "verify")
	if err != nil {
		return err
	}
	p := newTransfers(g, s)
	defer p.finish()
	opt := replica.VerifyOptions{Repair: o.repair, Limit: limit}
	opt.Dial, opt.Events, opt.DryRun = dialer(run.env), p.events(name), o.dryRun
	rep, err := run.host.Verify(ctx, run.leg, opt)
	p.finish()
	switch {
	case o.dryRun && rep.Plan != nil:
		printPlanOf(g, s, name, "verify", rep.Plan)
	case err == nil || len(rep.Differing) > 0:
		printVerify(g, s, rep)
	}
	return err
}

// printVerify prints the report; also of a pass that found differences and is an error.
func printVerify(g *globals, s streams, rep report.Verify) {
	switch {
	case g.quiet:
	case g.json:
		b, err := json.Marshal(struct {
			MessageType string `json:"message_type"`
			report.Verify
		}{"report", rep})
		if err == nil {
			fmt.Fprintf(s.out, "%s\n", b)
		}
	default:
		rep.Text(s.out)
	}
}

// printPlanOf prints the steps that a verb would do.
func printPlanOf(g *globals, s streams, name, verb string, steps []string) {
	for i, step := range steps {
		if !g.json {
			fmt.Fprintf(s.out, "%2d. %s\n", i+1, step)
			continue
		}
		if b, err := json.Marshal(map[string]any{"message_type": "plan", "resource": name, "verb": verb, "n": i + 1, "action": step}); err == nil {
			fmt.Fprintf(s.out, "%s\n", b)
		}
	}
}

// minBandwidth is the least that makes sense: a stripe of 1 MiB must come through at a time.
const minBandwidth = 64 << 10

// parseBandwidth reads "50M" as 50 MiB per second; empty is no limit.
func parseBandwidth(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	unit := text
	if last := text[len(text)-1]; last != 'B' && last != 'b' && (last < '0' || last > '9') {
		unit = text + "iB" // K, M and G are powers of two here, as for snap_size
	}
	n, err := humanize.ParseBytes(unit)
	if err != nil || n < minBandwidth || n > 1<<50 {
		return 0, failure.Usage("--bwlimit %q: want bytes per second, such as 50M, at least 64K", text)
	}
	return int64(n), nil
}
