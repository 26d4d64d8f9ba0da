package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newRecoverCommand(g *globals, s streams) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "recover --all",
		Short: "Finish what a crash of this host left in its target volumes",
		Long: `Finish what a crash of this host left in its target volumes.

Committed journals are written to their volumes; no source is needed. Run at boot before file systems
are mounted (ddsgo-recover.service). Running it at any other time does no harm.

EXIT STATUS
  0  every target of this host is a point in time, or says itself that it is not
  3  some could not be brought forward`,
		Example: "  ddsgo recover --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !all {
				return failure.Usage("recover needs --all")
			}
			return runRecover(cmd.Context(), g, s)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every volume that the state directory knows")
	return cmd
}

func runRecover(ctx context.Context, g *globals, s streams) error {
	env, err := g.environment(s, &config.Config{})
	if err != nil {
		return err
	}
	h, err := newHost(env)
	if err != nil {
		return err
	}
	results, err := h.RecoverAll(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
			fmt.Fprintf(s.err, "ddsgo: %s: %v\n", r.Device, r.Err)
			continue
		}
		if !g.quiet {
			fmt.Fprintf(s.out, "%s: %s\n", r.Device, r.Condition)
		}
	}
	if failed > 0 {
		return partial(failed, len(results))
	}
	return nil
}
