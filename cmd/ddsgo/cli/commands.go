package cli

import "github.com/spf13/cobra"

// commands lists every verb, in the order in which help shows them.
func commands(g *globals, s streams) []*cobra.Command {
	return []*cobra.Command{}
}
