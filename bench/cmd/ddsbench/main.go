// Command ddsbench measures ddsgo beside its peers and compares with the goals. See package bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/dustin/go-humanize"

	"github.com/ddsgo/ddsgo/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ddsbench:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (code int, err error) {
	flags := flag.NewFlagSet("ddsbench", flag.ContinueOnError)
	ddsgo := flags.String("ddsgo", "bin/ddsgo", "the program to measure")
	dir := flags.String("dir", "/dev/shm", "where the files go; should be tmpfs")
	disk := flags.String("disk", "/var/tmp", "where volumes go that have to be read from a disk")
	size := flags.String("size", "1GiB", "size of the volumes")
	large := flags.String("large", "256GiB", "size of the large sparse volume")
	rounds := flags.Int("rounds", 5, "interleaved rounds; the median counts")
	jsonFile := flags.String("json", "", "also write the report here, as JSON")
	only := flags.String("only", "", "run only groups whose name contains this")
	require := flags.Bool("require", false, "exit 1 if a goal is not reached")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0, nil
		}
		return 4, nil
	}
	suite := &bench.Suite{Rounds: *rounds, Only: *only, Disk: *disk, Progress: func(s string) { fmt.Fprintln(os.Stderr, s) }}
	for text, to := range map[string]*int64{*size: &suite.Size, *large: &suite.Large} {
		n, err := humanize.ParseBytes(text)
		if err != nil || n < 64<<20 || n > 1<<40 || n%bench.BlockSize != 0 {
			return 4, fmt.Errorf("size %q: want 64MiB to 1TiB: %w", text, errors.Join(err, errors.ErrUnsupported))
		}
		*to = int64(n)
	}
	if *rounds < 1 || flags.NArg() > 0 {
		return 4, errors.New("at least one round, and no arguments; see -h")
	}
	if suite.Ddsgo, err = filepath.Abs(*ddsgo); err != nil {
		return 1, err
	}
	if _, err := os.Stat(suite.Ddsgo); err != nil {
		return 4, fmt.Errorf("%w: run make build first", err)
	}
	if suite.Dir, err = os.MkdirTemp(*dir, "ddsbench-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(suite.Dir)) }()
	report, err := suite.Run(ctx)
	if err != nil {
		return 1, err
	}
	report.WriteText(os.Stdout)
	if *jsonFile != "" {
		if err := writeJSON(report, *jsonFile); err != nil {
			return 1, err
		}
	}
	if n := report.Missed(); n > 0 && *require {
		return 1, fmt.Errorf("%d goals were not reached", n)
	}
	return 0, nil
}

func writeJSON(r *bench.Report, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJSON(f), f.Close())
}
