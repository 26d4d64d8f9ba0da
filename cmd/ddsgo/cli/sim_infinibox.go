package cli

import (
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/infinibox"
)

// newSimInfiniBoxCommand is `ddsgo sim infinibox`.
func newSimInfiniBoxCommand() *cobra.Command {
	var opt infinibox.Options
	var ready string
	var features []string
	cmd := &cobra.Command{
		Use:   "infinibox --dir DIR",
		Short: "Serve two simulated Infinidat InfiniBox systems until SIGTERM",
		Long: `Serve two related InfiniBox systems, ibox1 and ibox2, over HTTP and HTTPS, with a
control API that injects faults, moves the clock and reads and writes volumes as
a host would. Users are admin and infinidat, password 123456.

When everything is served, one JSON line with all addresses is printed, and
written to the --ready file. With --port-base N the ports are N+1 (https) and N+2
(http) of ibox1, N+11 and N+12 of ibox2, N+20 control.

EXAMPLES
  ddsgo sim infinibox --dir /tmp/ibox
  ddsgo sim infinibox --dir /tmp/ibox --port-base 8000 --scenario empty
  ddsgo sim infinibox --dir /tmp/ibox --files --version 7.3.10 --feature replica_auto_create=off

EXIT STATUS
  0 ended by a signal; 1 a port or the directory cannot be used; 4 a flag makes no sense.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.Features = map[string]bool{}
			for _, f := range features {
				name, on, err := infinibox.ParseFeature(f)
				if err != nil {
					return failure.Usage("--feature: %v", err)
				}
				opt.Features[name] = on
			}
			if err := opt.Validate(); err != nil {
				return failure.Usage("%v", err)
			}
			ctx := cmd.Context()
			sim, err := infinibox.Start(ctx, opt)
			if err != nil {
				return failure.With(failure.CodeFailure, "sim infinibox", "cannot start", "", err)
			}
			if err := control.Announce(cmd.OutOrStdout(), ready, sim.Ready()); err != nil {
				_ = sim.Close() // the first error is the one to report
				return failure.With(failure.CodeFailure, "sim infinibox", "cannot announce", "", err)
			}
			<-ctx.Done()
			return sim.Close()
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Dir, "dir", "", "directory for CA files and volumes (required)")
	f.StringVar(&opt.Listen, "listen", "127.0.0.1", "address to listen on")
	f.IntVar(&opt.PortBase, "port-base", 0, "first port number (default: any free ports)")
	f.StringVar(&opt.Scenario, "scenario", infinibox.ScenarioLinked, "what exists at the start: linked or empty")
	f.StringVar(&opt.Version, "version", infinibox.DefaultVersion, "product version that the boxes report")
	f.StringArrayVar(&features, "feature", nil, "NAME=on|off: replica_auto_create, auth_sessions, sync_replication, active_active")
	f.BoolVar(&opt.Files, "files", false, "volumes are sparse files DIR/BOX/NAME.img, copied at each sync")
	f.StringVar(&ready, "ready", "", "file that gets the ready line, by rename")
	return cmd
}
