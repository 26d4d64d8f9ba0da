package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/ui"
)

func newPlanCommand(g *globals, s streams) *cobra.Command {
	var o verbOptions
	cmd := &cobra.Command{
		Use:   "plan [VERB] NAME... | --all",
		Short: "Print what a verb would do now, without doing it",
		Long: `Print what a verb would do now, without doing it.

The plan is the one that the verb walks: every native command, the side whose content survives,
and what would be overwritten. Without a VERB, every verb is shown: what is possible in the
present state, and why the rest is not.

VERB is one of ` + verbNames() + `.

EXIT STATUS
  As that of the verb: 0 where it would be done, 15 where it would be refused, 12 where a side
  does not answer. Without a VERB: 0, or 3 where a resource could not be read.`,
		Example: `  ddsgo plan svc1
  ddsgo plan failover svc1 --site site2
  ddsgo plan failback svc1 --discard site1 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if v, ok := verbNamed(args[0]); ok && (len(args) > 1 || o.all) {
					o.dryRun = true
					return runVerb(cmd.Context(), g, s, &o, v, args[1:])
				}
			}
			return planEverything(cmd.Context(), g, s, &o, args)
		},
	}
	o.addFlags(cmd)
	return cmd
}

// planEverything shows every verb for the present state of each resource.
func planEverything(ctx context.Context, g *globals, s streams, o *verbOptions, args []string) error {
	env, err := g.load(s)
	if err != nil {
		return err
	}
	names, err := o.names(ctx, env, args, false)
	if err != nil {
		return err
	}
	out := ui.NewVerbs(s.out, s.err, ui.VerbOptions{JSON: g.json, Progress: "never"})
	unread := 0
	for _, name := range names {
		plans, err := withOpen(ctx, g, env, name, func(d driver) ([]report.Plan, error) {
			return previewAll(ctx, g, env, name, d, o)
		})
		if err != nil {
			printError(s, err)
			unread++
		}
		for _, p := range plans {
			out.Plan(p)
		}
	}
	if unread > 0 {
		return partial(unread, len(names))
	}
	return nil
}

func previewAll(ctx context.Context, g *globals, env environment, name string, d driver, o *verbOptions) ([]report.Plan, error) {
	var plans []report.Plan
	for _, v := range array.ReplicationVerbs() {
		goal := o.goal(g, env, v)
		caps := d.Capabilities()
		if ok, _ := caps.Supports(v); !ok {
			continue
		}
		if o.prepare && v != array.Failback {
			goal.Prepare = false
		}
		p, err := array.Preview(ctx, d, goal, array.Options{Resource: name})
		if err != nil && ctx.Err() != nil {
			return plans, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}
