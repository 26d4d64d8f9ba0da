package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newBreakCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Break,
		"Pause replication; both sides stay as they are",
		`The source goes on serving its application, the copy keeps its last point in time, until
"ddsgo resume". Nothing is deleted.`,
		`  ddsgo break svc1`)
}
