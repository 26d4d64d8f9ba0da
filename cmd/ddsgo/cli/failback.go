package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newFailbackCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Failback,
		"Make the home site primary again",
		`First, with the application still running at the other site:
  ddsgo failback NAME --prepare [--discard SITE]
brings the home site up to date. Then stop the application and run failback without --prepare.
Writes that exist on one side only are overwritten only where --discard names that site; the
plan shows the last common point in time.`,
		`  ddsgo plan failback svc1 --discard site1
  ddsgo failback svc1 --prepare --discard site1 --keep-discarded
  ddsgo failback svc1 --writers-stopped`)
}
