package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func newArrayCommandsCommand(g *globals, s streams) *cobra.Command {
	var method string
	var o lifeCycleOptions
	cmd := &cobra.Command{
		Use:   "commands NAME [VOLUME]",
		Short: "Print every native command that the driver may send for a resource, for allow-lists",
		Long: `Print every native command that the driver may send for a resource, for allow-lists.

With VOLUME, what the verbs on that volume may send is printed, too (hp3par): with --size, how it is
created, with --host, how it is exported.

EXIT STATUS
  0   printed
  4   unknown resource or method
  17  the driver sends no commands that could be listed`,
		Example: `  ddsgo array commands svc1 --method proxy
  ddsgo array commands svc1 vol7 --method proxy --size 10G --host node1`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := g.openNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			c, ok := array.As[array.Commander](d)
			if !ok {
				return failure.With(failure.CodeUnsupported, args[0], "driver "+d.Capabilities().Driver+" has no list of commands", "ddsgo plan "+args[0], nil)
			}
			lines, err := commandsOf(d, c, method, &o, args)
			if err != nil {
				return failure.With(failure.CodeUsage, args[0], "commands", "", err)
			}
			return printCommands(g, s, args[0], lines)
		},
	}
	cmd.Flags().StringVar(&method, "method", "", "as sent by this `METHOD` (proxy, ssh, cli, wsapi); default: the configured one")
	cmd.Flags().StringVar(&o.size, "size", "", "`SIZE` of VOLUME, where it is to be created")
	cmd.Flags().StringVar(&o.host, "host", "", "the `HOST` that VOLUME is exported to")
	cmd.Flags().StringArrayVar(&o.params, "param", nil, "`KEY=VALUE` as for the verb; may be repeated")
	return cmd
}

// commandsOf lists what the driver may send, for one volume or for the resource alone.
func commandsOf(d driver, c array.Commander, method string, o *lifeCycleOptions, args []string) ([]string, error) {
	params, err := o.parameters()
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		if len(params) > 0 {
			return nil, failure.Usage("--size, --host and --param are for a VOLUME")
		}
		return c.Commands(method)
	}
	v, ok := array.As[array.VolumeCommander](d)
	if !ok {
		return nil, failure.Usage("driver %s lists no commands for a single volume", d.Capabilities().Driver)
	}
	return v.VolumeCommands(method, array.Goal{Volume: args[1], Params: params})
}

func printCommands(g *globals, s streams, name string, lines []string) error {
	if g.json {
		b, err := json.Marshal(map[string]any{"schema_version": 1, "resource": name, "commands": lines})
		if err != nil {
			return fmt.Errorf("commands: %w", err)
		}
		_, err = fmt.Fprintf(s.out, "%s\n", b)
		return err
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(s.out, l); err != nil {
			return err
		}
	}
	return nil
}
