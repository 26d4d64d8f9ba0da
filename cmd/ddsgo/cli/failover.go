package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
)

func newFailoverCommand(g *globals, s streams) *cobra.Command {
	return newVerbCommand(g, s, array.Failover,
		"Make --site primary because the other side is lost",
		`What the other side wrote after the last complete copy is missing at the new primary. Failover
is refused while the other side answers and is primary or writable: stop the application
there and use swap, or --force.

For a logical volume, failover is typed on the host of the copy, and that host cannot see the
source: this refusal cannot protect you there. Make sure first that nothing writes to the source
any more; what it writes from now on is a second history, and only one of the two survives.`,
		`  ddsgo status svc1
  ddsgo failover svc1 --site site2`)
}
