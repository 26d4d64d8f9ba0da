package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/internal/version"
)

// globals are the flags that every verb understands.
type globals struct {
	configPath string
	stateDir   string
	site       string
	json       bool
	quiet      bool
	verbose    bool
	progress   string

	drivers map[string]openDriver
	// runner runs external programs; nil: the real ones.
	runner run.Runner
	// localCopies lists what this host's state directory holds, for a status without
	// configuration.
	localCopies func(ctx context.Context, g *globals, s streams) ([]report.Resource, error)
}

// streams are the process's standard streams; tests replace them.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// Main runs one command line and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s := streams{in, out, errOut}
	if filepath.Base(args[0]) == "dds" {
		args = append([]string{args[0], "dds"}, args[1:]...)
	}
	g := &globals{localCopies: localCopies, drivers: drivers()}
	root := newRoot(g, s)
	root.SetArgs(rewriteDDS(args[1:]))
	err := root.ExecuteContext(ctx)
	return finish(ctx, g, s, err)
}

// Root is the command tree, for the generator of the man pages.
func Root() *cobra.Command {
	return newRoot(&globals{drivers: drivers()}, streams{os.Stdin, os.Stdout, os.Stderr})
}

func newRoot(g *globals, s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "ddsgo",
		Short:         "Block-level asynchronous replication of logical volumes and storage arrays",
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	f := root.PersistentFlags()
	f.StringVar(&g.configPath, "config", "", "configuration file (default $DDSGO_CONFIG or /etc/ddsgo/ddsgo.yaml)")
	f.StringVar(&g.stateDir, "state-dir", "", "state, spool, stamps and locks (default $DDSGO_STATE_DIR or /var/lib/ddsgo)")
	f.StringVar(&g.site, "site", "", "the site that this host belongs to (default local_site of the configuration)")
	f.BoolVar(&g.json, "json", false, "machine-readable output, one JSON object per line")
	f.BoolVar(&g.quiet, "quiet", false, "print nothing but errors")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "print the report of what was done")
	f.StringVar(&g.progress, "progress", "auto", "progress output: auto, never or json")
	root.AddCommand(commands(g, s)...)
	return root
}
