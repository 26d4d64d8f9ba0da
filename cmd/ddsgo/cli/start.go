package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newStartCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Start,
		"Make --site primary: a relocation while the sites are joined, a failover when they are split",
		`For clusters that start a service on a node and expect its disks to follow (3PAR). Joined, the
group is stopped on the primary's array and reversed. Split, the rules of failover hold.`,
		`  ddsgo start svc1 --site site2`)
}
