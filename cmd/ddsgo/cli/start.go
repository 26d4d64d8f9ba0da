package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newStartCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Start,
		"Make --site primary: a relocation while the sites are joined, a failover when they are split",
		`For clusters that start a service on a node and expect its disks to follow (3PAR). Joined, the
group is stopped on the primary's array and reversed. Split, the rules of failover hold.

What was written since the last complete copy is not there, and start says so before it does
anything. With --sync-first the copy is brought up to date before, where the sites are joined.`,
		`  ddsgo start svc1 --site site2
  ddsgo start svc1 --site site2 --sync-first
  ddsgo start --all --site site2 --parallel 4`)
}
