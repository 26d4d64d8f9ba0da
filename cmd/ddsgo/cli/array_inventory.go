package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newArrayInventoryCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "inventory ARRAY",
		Short: "Print what an array holds, as JSON",
		Long: `Print what an array holds, as JSON. ARRAY is a name under "arrays" of the configuration.

EXIT STATUS
  0   printed
  4   unknown array
  12  the array did not answer
  17  arrays of this type cannot be listed`,
		Example: `  ddsgo array inventory hp3par1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env, err := g.load(s)
			if err != nil {
				return err
			}
			a, ok := env.cfg.Arrays[args[0]]
			if !ok {
				return failure.Usage("unknown array %q; known: %s", args[0], strings.Join(slices.Sorted(maps.Keys(env.cfg.Arrays)), ", "))
			}
			list := inventories()[a.Type]
			if list == nil {
				return failure.With(failure.CodeUnsupported, a.Name, "arrays of type "+a.Type+" cannot be listed", "", nil)
			}
			what, err := list(cmd.Context(), env, a)
			if err != nil {
				return failure.With(array.KindOf(err).ExitCode(), a.Name, "inventory", "", err)
			}
			b, err := json.MarshalIndent(what, "", "  ")
			if err != nil {
				return fmt.Errorf("inventory: %w", err)
			}
			_, err = fmt.Fprintf(s.out, "%s\n", b)
			return err
		},
	}
}
