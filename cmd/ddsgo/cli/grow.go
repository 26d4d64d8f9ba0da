package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/replica"
)

type growOptions struct {
	size         string
	extendTarget bool
	dryRun       bool
	bwlimit      string
}

func newGrowCommand(g *globals, s streams) *cobra.Command {
	var o growOptions
	cmd := &cobra.Command{
		Use:   "grow NAME",
		Short: "Bring a logical volume and its copy to a larger size",
		Long: `Bring a logical volume and its copy to a larger size.

LVM does not extend an active volume that has snapshots. There are two ways:

  - Extend the source while it is inactive (lvchange -an, lvextend, lvchange -ay), then run ddsgo
    grow. The snapshot survives with the old size and the chain goes on: what changed is sent, and
    the whole new range, because what lies there is not known. Nothing is compared. A plain
    ddsgo sync does the same.
  - ddsgo grow --size, for a source that stays in use: a last sync, the snapshots are removed, the
    source is extended, a new snapshot is taken and both volumes are compared by hash.

The target must be large enough before anything begins; --extend-target lets ddsgo lvextend it on
its host. --dry-run prints the steps, what is read and sent, and how long that takes at least.
A run that was cut is finished by the same command; ddsgo resync does it too. The file
system on the source is left to you.

EXIT STATUS
  0   source and copy have the new size, or had it already
  4   wrong usage or configuration
  10  the chain is broken: ddsgo resync NAME first
  11  another run works on the volume
  12  the target's host does not answer; run it again
  14  a snapshot overflowed: enlarge snap_size, then run it again
  15  refused: the target is too small, no room in a volume group, or somebody's snapshot is in the way`,
		Example: `  ddsgo grow appdata --size 200G --extend-target --dry-run
  ddsgo grow appdata --size +50G --extend-target
  ddsgo grow appdata`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runGrow(cmd.Context(), g, s, o, args[0]) },
	}
	cmd.Flags().StringVar(&o.size, "size", "", "new `SIZE` of the source: 200G, or +50G for so much more; default: it was extended already")
	cmd.Flags().BoolVar(&o.extendTarget, "extend-target", false, "lvextend the target where it is too small")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "print the steps and what they cost, do nothing")
	cmd.Flags().StringVar(&o.bwlimit, "bwlimit", "", bwlimitUsage)
	return cmd
}

func runGrow(ctx context.Context, g *globals, s streams, o growOptions, name string) error {
	limit, err := parseBandwidth(o.bwlimit)
	if err != nil {
		return err
	}
	run, err := openLeg(g, s, name, "grow")
	if err != nil {
		return err
	}
	opt := replica.GrowOptions{ExtendTarget: o.extendTarget, Limit: limit}
	if opt.Size, err = newSize(o.size, func() (int64, error) { return sizeOf(run.leg.Source) }); err != nil {
		return err
	}
	p := newTransfers(g, s)
	defer p.finish()
	opt.Dial, opt.Events, opt.DryRun = dialer(run.env), p.events(name), o.dryRun
	rep, err := run.host.Grow(ctx, run.leg, opt)
	if o.dryRun && rep.Plan != nil {
		printPlanOf(g, s, name, "grow", rep.Plan)
		return err
	}
	if err != nil {
		return err
	}
	p.finish()
	printGrow(g, s, rep)
	return nil
}

// newSize reads --size; with a sign it is relative to what now returns.
func newSize(text string, now func() (int64, error)) (int64, error) {
	if text == "" {
		return 0, nil
	}
	rest, more := strings.CutPrefix(text, "+")
	n, err := config.ParseSize(rest)
	if err != nil || n == 0 {
		return 0, failure.Usage("--size: %q is no size: write 200G, or +50G for so much more", text)
	}
	if !more {
		return int64(n), nil
	}
	size, err := now()
	return size + int64(n), err
}

// sizeOf is the size of a block device.
func sizeOf(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, failure.With(failure.CodeRefused, path, "the source cannot be used", "check source in the configuration", err)
	}
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

func printGrow(g *globals, s streams, rep report.Grow) {
	switch {
	case g.quiet:
	case g.json:
		b, err := json.Marshal(struct {
			MessageType string `json:"message_type"`
			report.Grow
		}{"report", rep})
		if err == nil {
			fmt.Fprintf(s.out, "%s\n", b)
		}
	default:
		rep.Line(s.out)
	}
}
