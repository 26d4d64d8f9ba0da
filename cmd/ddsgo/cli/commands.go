package cli

import "github.com/spf13/cobra"

// commands lists every verb, in the order in which help shows them.
func commands(g *globals, s streams) []*cobra.Command {
	return []*cobra.Command{
		newStatusCommand(g, s),
		newFullCommand(g, s),
		newUpdateCommand(g, s),
		newVerifyCommand(g, s),
		newResyncCommand(g, s),
		newGrowCommand(g, s),
		newFoldCommand(g, s),
		newWatchCommand(g, s),
		newHistoryCommand(g, s),
		newBreakCommand(g, s),
		newResumeCommand(g, s),
		newRollbackCommand(g, s),
		newSwapCommand(g, s),
		newFailoverCommand(g, s),
		newFailbackCommand(g, s),
		newStartCommand(g, s),
		newRevertCommand(g, s),
		newPlanCommand(g, s),
		newDoctorCommand(g, s),
		newArrayCommand(g, s),
		newConfigCommand(g, s),
		newServeCommand(g, s),
		newProxyCommand(s),
		newRecoverCommand(g, s),
		newExtractCommand(g, s),
		newMergeCommand(g, s),
		newInspectCommand(g, s),
		newSquashCommand(g, s),
		newDDSCommand(g, s),
		newSimCommand(),
	}
}
