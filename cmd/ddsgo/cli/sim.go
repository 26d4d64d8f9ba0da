package cli

import "github.com/spf13/cobra"

// newSimCommand is `ddsgo sim`: arrays to try everything on without owning one.
func newSimCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Serve simulated storage arrays to test drivers and scripts against",
		Long: `Serve a pair of simulated storage arrays on local ports: real protocols, real
state machines, faults on demand and a clock that can be advanced. Nothing here
touches a real array or a real volume.

EXAMPLES
  ddsgo sim hp3par --dir /tmp/pair --ready /tmp/pair/ready.json
  ddsgo sim infinibox --dir /tmp/boxes

EXIT STATUS
  0 ended by SIGTERM or an interrupt; 1 cannot serve; 4 wrong usage.`,
	}
	cmd.AddCommand(newSimHP3PARCommand(), newSimInfiniBoxCommand())
	return cmd
}
