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
	cmd := &cobra.Command{
		Use:   "commands NAME",
		Short: "Print every native command that the driver may send for a resource, for allow-lists",
		Long: `Print every native command that the driver may send for a resource, for allow-lists.

EXIT STATUS
  0   printed
  4   unknown resource or method
  17  the driver sends no commands that could be listed`,
		Example: `  ddsgo array commands svc1 --method proxy`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := g.openNamed(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			c, ok := array.As[array.Commander](d)
			if !ok {
				return failure.With(failure.CodeUnsupported, args[0], "driver "+d.Capabilities().Driver+" has no list of commands", "ddsgo plan "+args[0], nil)
			}
			lines, err := c.Commands(method)
			if err != nil {
				return failure.With(failure.CodeUsage, args[0], "commands", "", err)
			}
			return printCommands(g, s, args[0], lines)
		},
	}
	cmd.Flags().StringVar(&method, "method", "", "as sent by this `METHOD` (proxy, ssh, cli, wsapi); default: the configured one")
	return cmd
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
