package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
)

type conformanceOptions struct {
	driver   string
	fault    string
	thorough bool
	only     string
}

func newArrayConformanceCommand(g *globals, s streams) *cobra.Command {
	var o conformanceOptions
	cmd := &cobra.Command{
		Use:   "conformance --driver NAME --config FILE [--fault CMD]",
		Short: "Try a driver in every situation; this DESTROYS the content of its resource",
		Long: `Try a driver in every situation; this DESTROYS the content of its resource.

Every verb is run from every state, twice, stopped after each step and run again from either
site, without replies, and with the world changing in between. The configuration names one
resource of that driver: a throw-away one.

CMD hurts the storage. It is split at blanks, not given to a shell, and run with one of
  site_down SITE   site_up SITE   link_down   link_up
  read SITE        prints a text that is equal for equal contents
  write SITE       writes something new; exit 15: the side does not accept writes
  foreign VERB     what another operator's break or resume would do
Exit 17 means: cannot do that. Cases that need it are then listed as left out, and so are all of
them without CMD.

EXIT STATUS
  0  no case failed
  1  a case failed
  4  wrong usage or configuration`,
		Example: `  ddsgo array conformance --driver twofiles --config test.yaml --fault "./twofiles-fault /tmp/a /tmp/b"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runConformance(cmd.Context(), g, s, &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.driver, "driver", "", "`NAME` of the driver (required)")
	f.StringVar(&o.fault, "fault", "", "`CMD` that hurts the storage")
	f.BoolVar(&o.thorough, "thorough", false, "every disturbance at every step")
	f.StringVar(&o.only, "only", "", "only cases whose name holds this `TEXT`")
	_ = cmd.MarkFlagRequired("driver")
	return cmd
}

func runConformance(ctx context.Context, g *globals, s streams, o *conformanceOptions) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	name, err := onlyResourceOf(env.cfg, o.driver)
	if err != nil {
		return err
	}
	lab := &commandLab{g: g, env: env, name: name, fault: strings.Fields(o.fault)}
	log := func(text string) {
		if g.verbose {
			fmt.Fprintf(s.err, "%s\n", text)
		}
	}
	rep, err := arraytest.Run(ctx, lab, arraytest.Options{Quick: !o.thorough, Log: log, Only: o.only})
	if printErr := printConformance(g, s, rep); printErr != nil {
		return printErr
	}
	if err != nil {
		return failure.With(failure.CodeFailure, name, "the suite could not go on", "", err)
	}
	if n := rep.Count(arraytest.Failed); n > 0 || rep.Count(arraytest.Passed) == 0 {
		return failure.With(failure.CodeFailure, name, fmt.Sprintf("%d of %d cases failed", n, len(rep.Results)), "", nil)
	}
	return nil
}

// onlyResourceOf is the one resource of a driver: the suite destroys content, so it
// never picks one of several.
func onlyResourceOf(cfg *config.Config, driver string) (string, error) {
	var names []string
	for _, n := range cfg.Names() {
		if cfg.Resources[n].Driver == driver {
			names = append(names, n)
		}
	}
	if len(names) != 1 {
		return "", failure.Usage("the configuration has %d resources of driver %q; conformance needs exactly one, a throw-away one (known: %s)", len(names), driver, known(cfg))
	}
	return names[0], nil
}

func printConformance(g *globals, s streams, rep arraytest.Report) error {
	if g.json {
		b, err := json.Marshal(rep)
		if err != nil {
			return fmt.Errorf("conformance: %w", err)
		}
		_, err = fmt.Fprintf(s.out, "%s\n", b)
		return err
	}
	for _, r := range rep.Results {
		if r.Outcome != arraytest.Passed {
			fmt.Fprintf(s.out, "%s: %s: %s\n", strings.ReplaceAll(r.Outcome, "_", " "), r.Case, r.Detail)
		}
	}
	_, err := fmt.Fprintf(s.out, "%d passed, %d failed, %d left out; %d verbs were run\n", rep.Count(arraytest.Passed), rep.Count(arraytest.Failed), rep.Count(arraytest.LeftOut), rep.Verbs)
	return err
}

// commandLab hurts a resource with an external command.
type commandLab struct {
	g     *globals
	env   environment
	name  string
	fault []string
	kept  array.Driver // of a plug-in, which has no memory between calls anyway
}

// Open implements arraytest.Lab.
func (l *commandLab) Open(ctx context.Context, _ string) (array.Driver, error) {
	if l.kept != nil {
		return l.kept, nil
	}
	r := l.env.cfg.Resources[l.name]
	d, err := l.g.open(ctx, l.env, r)
	if err == nil && r.Plugin != nil {
		l.kept = d
	}
	return d, err
}

// Exit codes of the fault command.
const (
	faultReadOnly = failure.CodeRefused
	faultLeftOut  = failure.CodeUnsupported
)

func (l *commandLab) run(ctx context.Context, args ...string) (string, error) {
	if len(l.fault) == 0 {
		return "", fmt.Errorf("%w: no --fault CMD", arraytest.ErrLeftOut)
	}
	res, err := l.env.runner.Run(ctx, run.Cmd{Name: l.fault[0], Args: append(append([]string{}, l.fault[1:]...), args...)})
	var exit *run.ExitError
	switch {
	case err == nil:
		return strings.TrimSpace(string(res.Stdout)), nil
	case errors.As(err, &exit) && exit.ExitCode == faultLeftOut:
		return "", fmt.Errorf("%w: %s", arraytest.ErrLeftOut, strings.Join(args, " "))
	case errors.As(err, &exit) && exit.ExitCode == faultReadOnly:
		return "", arraytest.ErrReadOnly
	}
	return "", err
}

// SiteDown implements arraytest.Lab.
func (l *commandLab) SiteDown(ctx context.Context, site string) error {
	_, err := l.run(ctx, "site_down", site)
	return err
}

// SiteUp implements arraytest.Lab.
func (l *commandLab) SiteUp(ctx context.Context, site string) error {
	_, err := l.run(ctx, "site_up", site)
	return err
}

// LinkDown implements arraytest.Lab.
func (l *commandLab) LinkDown(ctx context.Context) error {
	_, err := l.run(ctx, "link_down")
	return err
}

// LinkUp implements arraytest.Lab.
func (l *commandLab) LinkUp(ctx context.Context) error {
	_, err := l.run(ctx, "link_up")
	return err
}

// Read implements arraytest.Lab.
func (l *commandLab) Read(ctx context.Context, site string) (string, error) {
	return l.run(ctx, "read", site)
}

// Write implements arraytest.Lab.
func (l *commandLab) Write(ctx context.Context, site string) error {
	_, err := l.run(ctx, "write", site)
	return err
}

// Foreign implements arraytest.Lab.
func (l *commandLab) Foreign(ctx context.Context, verb string) error {
	_, err := l.run(ctx, "foreign", verb)
	return err
}

// Sleep implements arraytest.Lab.
func (l *commandLab) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
