package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newSwapCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Swap,
		"Make --site primary as planned, losing nothing",
		`Both sides must answer. The copy is brought up to date, the old side loses write access, the
new one gets it, replication starts in the new direction. Writers must be stopped first:
where that cannot be seen, --writers-stopped says so. Where the site is primary already,
there is nothing to do.`,
		`  ddsgo plan swap svc1 --site site2
  ddsgo swap svc1 --site site2
  ddsgo swap svc1 --site site2 --writers-stopped --no-start`)
}
