package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newUpdateCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Update,
		"Bring the copy up to now and wait until it is complete",
		`It is complete when the storage's own counter has moved past the one read before, not when
a command says so. Update never changes the direction and never resumes what was broken.`,
		`  ddsgo update svc1
  ddsgo sync --all --parallel 4 --timeout 1h --json`, "sync")
}
