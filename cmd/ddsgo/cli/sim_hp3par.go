package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// newSimHP3PARCommand is `ddsgo sim hp3par`.
func newSimHP3PARCommand() *cobra.Command {
	var opt hp3par.Options
	var profile, scenario, ready string
	cmd := &cobra.Command{
		Use:   "hp3par --dir DIR",
		Short: "Serve a simulated pair of HPE 3PAR arrays until SIGTERM",
		Long: `Serve two HPE 3PAR arrays that replicate to each other with Remote Copy: ssh
command line, WSAPI over HTTPS and over HTTP, and a control API that injects
faults, advances the clock, and reads and writes volumes as a host would. Users
are opensvc (password opensvc, role super) and browse (browse).

When everything is served, one JSON line with all addresses is printed, and
written to the --ready file. With --port-base N the ports are N (ssh), N+1
(https) and N+2 (http) of the first array, N+10 to N+12 of the second, N+20
control.

EXAMPLES
  ddsgo sim hp3par --dir /tmp/pair
  ddsgo sim hp3par --dir /tmp/pair --port-base 9000 --profile alletra-10.5
  ddsgo sim hp3par --dir /tmp/pair --files --scenario twenty-groups.json
  curl -d '{"kind":"link_down"}' http://127.0.0.1:9020/v1/fault

EXIT STATUS
  0 ended by a signal; 1 a port or the directory cannot be used; 4 a flag or the
  scenario makes no sense.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			opt.Profile = hp3par.Profile(profile)
			if opt.Scenario, err = hp3par.LoadScenario(scenario); err != nil {
				return failure.Usage("--scenario: %v", err)
			}
			ctx := cmd.Context()
			sim, err := hp3par.Start(ctx, opt)
			if errors.Is(err, hp3par.ErrOptions) || errors.Is(err, hp3par.ErrScenario) {
				return failure.Usage("%v", err)
			}
			if err != nil {
				return failure.With(failure.CodeFailure, "sim hp3par", "cannot start", "", err)
			}
			if err := control.Announce(cmd.OutOrStdout(), ready, sim.Ready()); err != nil {
				_ = sim.Close() // the first error is the one to report
				return failure.With(failure.CodeFailure, "sim hp3par", "cannot announce", "", err)
			}
			<-ctx.Done()
			return sim.Close()
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Dir, "dir", "", "directory for keys, certificates and volume files (required)")
	f.StringVar(&opt.Listen, "listen", "127.0.0.1", "address to listen on")
	f.IntVar(&opt.PortBase, "port-base", 0, "first port number (default: any free ports)")
	f.StringVar(&profile, "profile", string(hp3par.Profile3PAR), "3par-3.x or alletra-10.5")
	f.StringVar(&scenario, "scenario", "default", "what exists at the start: default, empty or a JSON file")
	f.BoolVar(&opt.Files, "files", false, "volumes are sparse files DIR/volumes/ARRAY/NAME, copied at each sync")
	f.StringVar(&ready, "ready", "", "file that gets the ready line, by rename")
	return cmd
}
