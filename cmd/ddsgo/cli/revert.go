package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newRevertCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Revert,
		"Undo a failover whose new primary shall not be used",
		`For storage that can turn roles back without a copy (3PAR); where a write could be lost,
--discard names the site.`,
		`  ddsgo revert svc1`)
}
