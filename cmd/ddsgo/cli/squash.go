package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
)

type squashOptions struct {
	output string
	codec  string
}

func newSquashCommand(g *globals, s streams) *cobra.Command {
	var o squashOptions
	cmd := &cobra.Command{
		Use:   "squash [-o FILE] DELTA...",
		Short: "Turn a chain of deltas into one",
		Long: `Write one delta that does what the given ones do, one after the other. Each must
begin at the generation where the one before it ends; the first may be a full
copy. Every delta is verified as a whole before anything is written.

EXAMPLES
  ddsgo squash -o week.delta mon.delta tue.delta wed.delta
  ddsgo squash full.delta mon.delta | ssh dr1 ddsgo merge --dest /dev/vg/data

EXIT STATUS
  0 done; 1 failed; 4 usage; 13 a delta is cut or damaged; 15 they form no chain`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runSquash(cmd.Context(), g, s, o, args) },
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write the delta to this file, which appears when it is whole")
	cmd.Flags().StringVar(&o.codec, "codec", "auto", "auto, none, s2 or zstd")
	return cmd
}

func runSquash(ctx context.Context, g *globals, s streams, o squashOptions, args []string) error {
	codec, err := engine.ParseCodec(o.codec)
	if err != nil {
		return failure.Usage("squash: --%v", err)
	}
	if o.output == "" && isTerminal(s.out) {
		return failure.Usage("squash: a delta is binary and standard output is a terminal: use -o FILE or a pipe")
	}
	var deltas []engine.Stored
	for _, name := range args {
		f, err := os.Open(name)
		if err != nil {
			return failure.With(failure.CodeFailure, name, "cannot read the delta", "", err)
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil || !st.Mode().IsRegular() {
			return failure.With(failure.CodeUsage, name, "squash reads deltas that are files", "store the delta first: ddsgo extract -o FILE", err)
		}
		deltas = append(deltas, engine.Stored{Name: name, File: f, Size: st.Size()})
	}
	w, commit, err := openOutput(s, o.output)
	if err != nil {
		return err
	}
	p := newProgress(g, s)
	r, err := engine.Squash(ctx, w, deltas, engine.ExtractOptions{Codec: codec, Progress: p.show})
	p.done()
	err = commit(err)
	if errors.Is(err, engine.ErrChain) {
		return failure.With(failure.CodeRefused, args[0], "cannot be squashed", "ddsgo inspect shows where each delta begins and ends", err)
	}
	if err != nil {
		return transferError(args[0], err)
	}
	switch {
	case g.json:
		return printJSON(s.err, transferSummary("squash", o.output, r.Seconds, nil, r))
	case g.verbose && !g.quiet:
		r.Text(s.err, "squash")
	}
	return nil
}
