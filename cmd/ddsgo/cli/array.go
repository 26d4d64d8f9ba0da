package cli

import (
	"github.com/spf13/cobra"
)

func newArrayCommand(g *globals, s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "array",
		Short: "Create, change and inspect replicated resources of storage arrays",
		Long: `Create, change and inspect replicated resources of storage arrays.

The verbs of replication (update, swap, failover, ...) stand at the top level: they are the same
for every driver.`,
		Example: `  ddsgo array create svc1 -n
  ddsgo array add svc1 vol7
  ddsgo array inventory hp3par1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLifeCycleCommands(g, s)...)
	cmd.AddCommand(
		newArrayVolumeCommand(g, s),
		newArrayShowCommand(g, s),
		newArrayImagesCommand(g, s),
		newArrayCommandsCommand(g, s),
		newArrayInventoryCommand(g, s),
		newArrayConformanceCommand(g, s),
	)
	return cmd
}
