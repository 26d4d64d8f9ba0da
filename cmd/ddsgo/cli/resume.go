package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newResumeCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Resume,
		"Let replication go on in the direction it had",
		`Resume never changes the direction: after a failover, use failback or swap.`,
		`  ddsgo resume svc1`)
}
