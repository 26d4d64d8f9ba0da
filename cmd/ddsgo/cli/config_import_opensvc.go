package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/config/opensvc"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newConfigImportOpenSVCCommand(s streams) *cobra.Command {
	var unit string
	cmd := &cobra.Command{
		Use:   "opensvc FILE...",
		Short: "Translate arrays and sync sections (hp3par, hp3parsnap, dds) of an OpenSVC agent",
		Long: `Translate arrays and sync sections (hp3par, hp3parsnap, dds) of an OpenSVC agent to a
configuration on standard output; what has no counterpart is told on standard error.

FILEs are node.conf or cluster.conf, for the arrays, and service files (svc1.conf of today or
svc1.env of 2014); give those that belong together in one call. A resource is called after its
service's file. Sites are called after a node of each: set local_site, or use --site.

A number without a unit has meant minutes and seconds in its time: say which with --bare-unit.
A dds section becomes an adopted pair: the next update goes on where the agent stopped.

EXIT STATUS
  0  translated, perhaps with notes
  4  a mistake, told with file, line and key, or nothing to translate`,
		Example: `  ddsgo config import opensvc /etc/opensvc/node.conf /etc/opensvc/svc1.conf --bare-unit seconds > /etc/ddsgo/ddsgo.yaml
  ddsgo config import opensvc busybox.opensvc.com.env > /etc/ddsgo/conf.d/busybox.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return importOpenSVC(s, args, unit) },
	}
	cmd.Flags().StringVar(&unit, "bare-unit", "", "what durations without a unit mean: minutes or seconds (`UNIT`)")
	return cmd
}

func importOpenSVC(s streams, paths []string, unit string) error {
	units := map[string]time.Duration{"": 0, "minutes": time.Minute, "seconds": time.Second}
	bare, ok := units[unit]
	if !ok {
		return failure.Usage("--bare-unit %q: write minutes or seconds", unit)
	}
	var files []opensvc.File
	for _, p := range paths {
		text, err := readForeign(s, p)
		if err != nil {
			return failure.With(failure.CodeUsage, p, "cannot be read", "", err)
		}
		files = append(files, opensvc.File{Name: p, Text: text})
	}
	res, err := opensvc.Import(files, opensvc.Options{BareUnit: bare})
	for _, n := range res.Notes {
		fmt.Fprintf(s.err, "note: %s\n", n)
	}
	var mistakes config.List
	if errors.As(err, &mistakes) {
		return failure.With(failure.CodeUsage, "opensvc", mistakes.Error(), "", nil)
	}
	if err != nil {
		return err
	}
	_, err = s.out.Write(res.YAML)
	return err
}

// maxForeign bounds a file of another program, in bytes.
const maxForeign = 8 << 20

// readForeign reads a file; - is standard input.
func readForeign(s streams, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(s.in, maxForeign))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxForeign))
}
