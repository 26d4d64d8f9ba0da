package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newArrayShowCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Print a resource in its storage's own words, as JSON",
		Long: `Print a resource in its storage's own words, as JSON.

EXIT STATUS
  0   printed
  4   unknown resource
  12  the storage did not answer`,
		Example: `  ddsgo array show svc1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := g.openNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			defer closeDriver(d)
			return show(cmd.Context(), s, args[0], d)
		},
	}
}

// openNamed loads the configuration and makes the driver of one resource.
func (g *globals) openNamed(ctx context.Context, s streams, name string) (array.Driver, error) {
	env, err := g.load(s)
	if err != nil {
		return nil, err
	}
	sel := selection{parallel: 1}
	if _, err := sel.names(ctx, env, []string{name}, false); err != nil {
		return nil, err
	}
	return g.open(ctx, env, env.cfg.Resources[name])
}

// show prints what the driver has to tell; a driver that has no more than its
// observation shows that.
func show(ctx context.Context, s streams, name string, d array.Driver) error {
	var what any
	var err error
	if sh, ok := array.As[array.Shower](d); ok {
		what, err = sh.Show(ctx)
	} else {
		what, err = d.Observe(ctx)
	}
	if err != nil {
		return failure.With(array.KindOf(err).ExitCode(), name, "cannot be shown", "ddsgo status "+name, err)
	}
	b, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	_, err = fmt.Fprintf(s.out, "%s\n", b)
	return err
}
