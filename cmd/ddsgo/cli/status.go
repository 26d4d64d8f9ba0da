package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/ui"
)

type statusOptions struct {
	selection
	timeout string
}

func newStatusCommand(g *globals, s streams) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status [NAME... | --all]",
		Short: "Show every resource as both of its sides see it",
		Long: `Show every resource as both of its sides see it.

Nothing is changed. One row for each resource; below one that is not up, why, and the command
that helps. Without names: all. -v adds sides and members. On a host without configuration, the
copies that its state directory holds are listed.

EXIT STATUS
  0  every side was read
  3  some side was not read
  4  wrong usage or configuration`,
		Example: `  ddsgo status
  ddsgo status svc1 -v
  ddsgo status --all --json --parallel 16`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStatus(cmd.Context(), g, s, &o, args)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.timeout, "timeout", "2m", "give up on a resource after this `TIME`")
	return cmd
}

func runStatus(ctx context.Context, g *globals, s streams, o *statusOptions, args []string) error {
	timeout, err := config.ParseDuration(o.timeout)
	if err != nil || timeout == 0 {
		return failure.Usage("--timeout: %q is no duration: write 30s, 10m or 1h", o.timeout)
	}
	st := report.Status{SchemaVersion: report.SchemaVersion, GeneratedAt: time.Now().UTC(), Resources: []report.Resource{}}
	env, err := g.load(s)
	switch {
	case err == nil:
		if env.site != "" {
			st.Site = &env.site
		}
		names, err := o.names(ctx, env, args, true)
		if err != nil {
			return err
		}
		st.Resources = each(o.parallel, names, func(name string) report.Resource {
			return g.statusOf(ctx, env, name, timeout.D())
		})
	case len(args) == 0 && g.localCopies != nil && errors.Is(noConfig(g), config.ErrNoConfig):
		if st.Resources, err = g.localCopies(ctx, g, s); err != nil {
			return err
		}
	default:
		return err
	}
	if err := printStatus(g, s, st); err != nil {
		return err
	}
	if !st.Complete() {
		return failure.With(failure.CodePartial, "", "not every side was read", "", nil)
	}
	return nil
}

// noConfig says whether there is no configuration at all.
func noConfig(g *globals) error {
	_, err := config.Load(config.Path(g.configPath, os.Getenv))
	return err
}

// statusOf observes one resource. Whatever goes wrong is part of its status.
func (g *globals) statusOf(ctx context.Context, env environment, name string, timeout time.Duration) report.Resource {
	r := env.cfg.Resources[name]
	caps := array.Capabilities{Driver: r.Driver, Mode: r.Mode(), Sites: r.Sites(), MaxAge: r.SyncMaxDelay().D()}
	d, err := g.open(ctx, env, r)
	if err != nil {
		return array.ReportError(name, caps, err)
	}
	defer closeDriver(d)
	caps = d.Capabilities()
	if caps.MaxAge == 0 {
		caps.MaxAge = r.SyncMaxDelay().D()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o, err := d.Observe(ctx)
	if err != nil {
		return array.ReportError(name, caps, err)
	}
	return array.Report(name, caps, o, env.site, time.Now())
}

func printStatus(g *globals, s streams, st report.Status) error {
	if g.json {
		b, err := json.Marshal(st)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		_, err = fmt.Fprintf(s.out, "%s\n", b)
		return err
	}
	if g.quiet {
		return nil
	}
	return ui.Status(s.out, st, ui.StatusOptions{Color: isTerminal(s.out) && os.Getenv("NO_COLOR") == "", Verbose: g.verbose})
}
