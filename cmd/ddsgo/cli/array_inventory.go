package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// printed is an inventory that has a form for people.
type printed interface {
	Print(w io.Writer) error
	Complete() bool
}

func newArrayInventoryCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "inventory ARRAY",
		Short: "Print what an array holds: system, nodes, pools, ports, volumes",
		Long: `Print what an array holds: system, nodes, pools, ports, volumes. ARRAY is a name under
"arrays" of the configuration.

3PAR: tables in the columns of the array's own command line, whatever the method is; --json for
scripts. Behind a proxy the rule's service is "inventory", and what no rule allows is left out
and named. InfiniBox: JSON.

EXIT STATUS
  0   printed
  3   printed, and the array refused a part
  4   unknown array
  12  the array did not answer
  16  the array refused every question
  17  arrays of this type cannot be listed`,
		Example: `  ddsgo array inventory hp3par1
  ddsgo array inventory hp3par1 --json | jq -r '.sections.volumes.rows[] | select(.Prov == "snp") | .Name'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runArrayInventory(cmd.Context(), g, s, args[0]) },
	}
}

func runArrayInventory(ctx context.Context, g *globals, s streams, name string) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	a, ok := env.cfg.Arrays[name]
	if !ok {
		return failure.Usage("unknown array %q; known: %s", name, strings.Join(slices.Sorted(maps.Keys(env.cfg.Arrays)), ", "))
	}
	list := inventories()[a.Type]
	if list == nil {
		return failure.With(failure.CodeUnsupported, a.Name, "arrays of type "+a.Type+" cannot be listed", "", nil)
	}
	what, err := list(ctx, env, a)
	if _, coded := failure.CodeOf(err); coded {
		return err
	}
	if err != nil {
		return failure.With(array.KindOf(err).ExitCode(), a.Name, "inventory", "", err)
	}
	tables, human := what.(printed)
	if human && !g.json {
		err = tables.Print(s.out)
	} else {
		err = printIndented(s.out, what)
	}
	if err == nil && human && !tables.Complete() {
		return failure.With(failure.CodePartial, a.Name, "not everything was read", "", nil)
	}
	return err
}

func printIndented(w io.Writer, what any) error {
	b, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}
