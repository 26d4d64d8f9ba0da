package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

type extractOptions struct {
	cow       string
	source    string
	output    string
	full      bool
	codec     string
	frameSize uint32
	workers   int
	readers   int
	dryRun    bool
	dds       bool // the original's options and report
	rbd       rbdOptions
}

func newExtractCommand(g *globals, s streams) *cobra.Command {
	var o extractOptions
	cmd := &cobra.Command{
		Use:   "extract {--cow DEV | --full} --source DEV [-o FILE] | --rbd POOL/IMAGE [--from SNAP] --to SNAP [-o FILE]",
		Short: "Write what changed in a volume, as a delta",
		Long: `Write the chunks that a snapshot's exception store (--cow) lists as changed, with
the content that --source has for them, as a delta to standard output or a file.

The list comes from the older snapshot, the data from the newer one: writes after
the newer snapshot do not leak in. With --full the whole volume is written; zeros
cost next to nothing.

Where device-mapper can tell, a source that is the live origin, or no snapshot of
the store's origin, is refused, and so is a snapshot that overflowed.

EXAMPLES
  ddsgo extract --cow /dev/mapper/vg-snap1-cow --source /dev/vg/snap2 | ssh dr1 ddsgo merge --dest /dev/vg/data
  ddsgo extract --full --source /dev/vg/snap1 -o data.delta
  ddsgo extract --cow /dev/mapper/vg-snap1-cow --source /dev/vg/snap2 --dry-run
  ddsgo extract --rbd volumes/data --from monday --to tuesday | ssh dr1 ddsgo merge --dest /dev/vg/data

EXIT STATUS
  0 done; 1 failed (no reader accepts what was written); 4 usage; 14 the snapshot
  overflowed or is invalid; 15 refused before the first byte; 130 interrupted`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runExtract(cmd.Context(), g, s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.cow, "cow", "", "exception store of the older snapshot (/dev/mapper/VG-SNAP-cow), or a copy of one")
	f.StringVar(&o.source, "source", "", "the newer snapshot, whose content is sent")
	f.StringVarP(&o.output, "output", "o", "", "write the delta to this file, which appears when it is whole")
	f.BoolVar(&o.full, "full", false, "the whole volume instead of what changed")
	f.StringVar(&o.codec, "codec", "auto", "auto, none, s2 or zstd")
	f.Uint32Var(&o.frameSize, "frame-size", stream.DefaultFrameSize, "content of a frame in bytes")
	f.IntVar(&o.workers, "workers", 0, "encoders (default: one per processor, at most 4)")
	f.IntVar(&o.readers, "readers", 0, "reads in flight (default: 4 on files, 16 on block devices)")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "read the table and report what would be sent")
	o.rbd.addSourceFlags(cmd)
	return cmd
}

func (o *extractOptions) validate(s streams) error {
	switch {
	case o.source == "":
		return failure.Usage("extract: --source is missing: the snapshot whose content is sent")
	case o.full == (o.cow != ""):
		return failure.Usage("extract: give either --cow (what changed) or --full")
	}
	return o.validateTransfer(s)
}

// validateTransfer checks what every source has.
func (o *extractOptions) validateTransfer(s streams) error {
	switch {
	case o.frameSize < stream.MinFrameSize || o.frameSize > stream.MaxFrameSize || o.frameSize%stream.MinFrameSize != 0:
		return failure.Usage("extract: --frame-size %d: want a multiple of %d up to %d", o.frameSize, stream.MinFrameSize, stream.MaxFrameSize)
	}
	if _, err := engine.ParseCodec(o.codec); err != nil {
		return failure.Usage("extract: --%v", err)
	}
	if o.output == "" && !o.dryRun && isTerminal(s.out) {
		return failure.Usage("extract: a delta is binary and standard output is a terminal: use -o FILE or a pipe")
	}
	return nil
}

func runExtract(ctx context.Context, g *globals, s streams, o extractOptions) error {
	if o.rbd.image != "" || o.rbd.from != "" || o.rbd.to != "" {
		return runExtractRBD(ctx, g, s, o)
	}
	if err := o.validate(s); err != nil {
		return err
	}
	src, err := openExtractSource(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // read only
	if o.dryRun {
		return o.plan(g, s, src)
	}
	w, commit, err := openOutput(s, o.output)
	if err != nil {
		return err
	}
	codec, err := engine.ParseCodec(o.codec)
	if err != nil {
		return err
	}
	p := newProgress(g, s)
	r, err := engine.Extract(ctx, w, src, engine.ExtractOptions{Header: src.header, Codec: codec, Workers: o.workers,
		Readers: src.readers(o.readers), Progress: p.show, BeforeTrailer: src.stillValid})
	p.done()
	if err = commit(err); err != nil {
		return transferError(o.source, err)
	}
	return o.print(g, s, r)
}

// plan is --dry-run.
func (o *extractOptions) plan(g *globals, s streams, src *extractSource) error {
	return o.planOf(g, s, src, src.header)
}

func (o *extractOptions) planOf(g *globals, s streams, src engine.Source, h stream.Header) error {
	h, err := engine.CompleteHeader(src, h)
	if err != nil {
		return transferError(o.source, err)
	}
	if g.json {
		return printJSON(s.out, map[string]any{"message_type": report.TypePlan, "verb": "extract", "header": h})
	}
	_, err = fmt.Fprintf(s.out, "would send %d bytes of a volume of %d (%s, set %v)\n  from %v\n  to   %v\n", h.SetBytes, h.VolumeSize, h.Kind, h.SetID, h.From, h.To)
	return err
}

// print reports on standard error: standard output is the delta's.
func (o *extractOptions) print(g *globals, s streams, r report.Extract) error {
	switch {
	case g.json:
		return printJSON(s.err, transferSummary("extract", o.source, r.Seconds, nil, r))
	case !g.verbose || g.quiet:
	case o.dds:
		r.DDS(s.err)
	default:
		r.Text(s.err, "extract")
	}
	return nil
}

// openOutput opens where the delta goes. A file appears under its name when the delta is
// whole and durable; commit gets the error so far and returns what came of it.
func openOutput(s streams, path string) (io.Writer, func(error) error, error) {
	if path == "" || path == "-" {
		signal.Ignore(syscall.SIGPIPE) // a reader that went away is an error with a message, no silent death
		return s.out, func(err error) error { return err }, nil
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // a pipe, /dev/stdout, a tape
		if err != nil {
			return nil, nil, failure.With(failure.CodeFailure, path, "cannot be written", "", err)
		}
		return f, func(err error) error { return firstError(err, f.Close()) }, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return nil, nil, failure.With(failure.CodeFailure, path, "cannot be written", "", err)
	}
	return f, func(err error) error {
		err = firstError(err, f.Chmod(0o600))
		err = firstError(err, f.Sync())
		err = firstError(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			return firstError(err, os.Remove(f.Name()))
		}
		return syncDir(filepath.Dir(path))
	}, nil
}

func firstError(err, next error) error {
	if err != nil {
		return err
	}
	return next
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return firstError(f.Sync(), f.Close())
}
