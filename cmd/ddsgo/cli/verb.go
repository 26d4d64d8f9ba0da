package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/ui"
)

// driver is short for the interface that every verb works on.
type driver = array.Driver

// verbOptions are the flags that all mutating verbs share.
type verbOptions struct {
	selection
	dryRun         bool
	force          bool
	discard        string
	keepDiscarded  bool
	writersStopped bool
	prepare        bool
	noStart        bool
	syncFirst      bool
	timeout        string
}

func (o *verbOptions) addFlags(cmd *cobra.Command) {
	o.selection.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "print the plan, do nothing")
	f.BoolVar(&o.force, "force", false, "failover, start: go on although the other side answers and is primary")
	f.StringVar(&o.discard, "discard", "", "the `SITE` whose own writes may be overwritten")
	f.BoolVar(&o.keepDiscarded, "keep-discarded", false, "keep a snapshot of what --discard gives up")
	f.BoolVar(&o.writersStopped, "writers-stopped", false, "swap, failback: the application is stopped, although that cannot be seen")
	f.BoolVar(&o.prepare, "prepare", false, "failback: only bring the home site up to date; the application still runs")
	f.BoolVar(&o.noStart, "no-start", false, "swap, failback: leave replication stopped")
	f.BoolVar(&o.syncFirst, "sync-first", false, "start: copy before the direction is turned round, where the sites are joined")
	f.StringVar(&o.timeout, "timeout", "", "give up after this `TIME` (30s, 10m, 1h); default: none")
}

// check refuses flags that mean nothing to the verb: silently ignored, they would
// promise something.
func (o *verbOptions) check(v array.Verb) (time.Duration, error) {
	for _, f := range []struct {
		set   bool
		name  string
		verbs []array.Verb
	}{
		{o.force, "--force", []array.Verb{array.Failover, array.Start, array.Failback, array.Swap, array.Update, array.Delete, array.Remove, array.Resync, array.VolumeDelete, array.VolumeDetach}},
		{o.prepare, "--prepare", []array.Verb{array.Failback}},
		{o.noStart, "--no-start", []array.Verb{array.Swap, array.Failback, array.Create, array.Add}},
		{o.syncFirst, "--sync-first", []array.Verb{array.Start}},
		{o.discard != "", "--discard", []array.Verb{array.Resume, array.Swap, array.Failover, array.Failback, array.Start, array.Revert, array.Create, array.Add, array.Resync}},
	} {
		if f.set && !contains(f.verbs, v) {
			return 0, failure.Usage("%s means nothing to %s", f.name, v)
		}
	}
	if o.keepDiscarded && o.discard == "" {
		return 0, failure.Usage("--keep-discarded needs --discard SITE")
	}
	if o.timeout == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(o.timeout)
	if err != nil || d == 0 {
		return 0, failure.Usage("--timeout: %q is no duration: write 30s, 10m or 1h", o.timeout)
	}
	return d.D(), nil
}

func contains(verbs []array.Verb, v array.Verb) bool {
	for _, w := range verbs {
		if v == w {
			return true
		}
	}
	return false
}

// goal is the verb with the parameters that the flags give.
func (o *verbOptions) goal(g *globals, env environment, v array.Verb) array.Goal {
	goal := array.Goal{
		Verb: v, LocalSite: env.site, Force: o.force, Discard: o.discard, KeepDiscarded: o.keepDiscarded,
		WritersStopped: o.writersStopped, Prepare: o.prepare, NoStart: o.noStart,
	}
	if o.syncFirst {
		goal.Params = map[string]string{array.ParamSyncFirst: "true"}
	}
	if v == array.Swap || v == array.Failover || v == array.Start {
		goal.Site = g.site
	}
	return goal
}

const verbExitStatus = `
EXIT STATUS
  0   done, or nothing to do
  3   several resources, and some failed
  4   wrong usage or configuration
  11  another ddsgo works on the resource
  12  a side did not answer, or the deadline passed (repeating may help)
  15  refused by state or role, nothing was done
  16  the storage answered with an error
  17  the driver or its mode does not know this verb`

// newVerbCommand makes the command of one verb of replication.
func newVerbCommand(g *globals, s streams, v array.Verb, short, long, examples string, aliases ...string) *cobra.Command {
	var o verbOptions
	cmd := &cobra.Command{
		Use: string(v) + " NAME... | --all", Aliases: aliases, Short: short, Long: short + ".\n\n" + long + "\n" + verbExitStatus,
		Example: examples,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerb(cmd.Context(), g, s, &o, v, args)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func runVerb(ctx context.Context, g *globals, s streams, o *verbOptions, v array.Verb, args []string) error {
	timeout, err := o.check(v)
	if err != nil {
		return err
	}
	env, err := g.load(s)
	if err != nil {
		return err
	}
	names, err := o.names(ctx, env, args, false)
	if err != nil {
		return err
	}
	return pursue(ctx, g, s, env, pursuit{
		names: names, parallel: o.parallel, dryRun: o.dryRun, timeout: timeout,
		goal: func(string) array.Goal { return o.goal(g, env, v) },
	})
}

// pursuit is one goal for each of several resources.
type pursuit struct {
	names    []string
	parallel int
	dryRun   bool
	timeout  time.Duration
	goal     func(name string) array.Goal
}

// pursue brings every resource to its goal; one failure does not stop the others.
func pursue(ctx context.Context, g *globals, s streams, env environment, p pursuit) error {
	if !p.dryRun {
		if _, err := env.stateDir(); err != nil {
			return err
		}
	}
	out := ui.NewVerbs(s.out, s.err, ui.VerbOptions{JSON: g.json, Quiet: g.quiet, Progress: g.progress})
	errs := each(max(p.parallel, 1), p.names, func(name string) error {
		if p.dryRun {
			return preview(ctx, g, env, name, p, out)
		}
		err := pursueOne(ctx, g, env, name, p, out)
		if err != nil && len(p.names) > 1 && !g.json {
			printError(s, err)
		}
		return err
	})
	if len(errs) == 1 {
		return errs[0]
	}
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if failed > 0 {
		return partial(failed, len(errs))
	}
	return nil
}

// pursueOne runs one resource's verb under its lock.
func pursueOne(ctx context.Context, g *globals, env environment, name string, p pursuit, out *ui.Verbs) error {
	sum, err := locked(env, name, func() (report.Summary, error) {
		return withOpen(ctx, g, env, name, func(d driver) (report.Summary, error) {
			return array.Run(ctx, d, p.goal(name), array.Options{Resource: name, Timeout: p.timeout, OnStep: out.Step, OnWait: out.Wait,
				OnWarning: func(text string) { out.Warning(name, text) }})
		})
	})
	if err != nil && sum.MessageType == "" { // it did not come to a run
		sum = notRun(ctx, name, p.goal(name).Verb, err)
	}
	out.Summary(sum)
	return err
}

// notRun is the summary of a verb that could not begin.
func notRun(ctx context.Context, name string, v array.Verb, err error) report.Summary {
	sum := report.Summary{MessageType: report.TypeSummary, Resource: name, Verb: string(v), Result: report.ResultFailed, ExitCode: exitCode(ctx, err), Reason: err.Error()}
	var f *failure.Error
	if errors.As(err, &f) {
		sum.Next = f.Next
	}
	return sum
}

func preview(ctx context.Context, g *globals, env environment, name string, p pursuit, out *ui.Verbs) error {
	plan, err := withOpen(ctx, g, env, name, func(d driver) (report.Plan, error) {
		return array.Preview(ctx, d, p.goal(name), array.Options{Resource: name, Timeout: p.timeout})
	})
	if plan.MessageType == "" {
		return err
	}
	out.Plan(plan)
	return err
}

// locked holds the resource's lock while do runs, so that two verbs on this host never
// work on one resource.
func locked[T any](env environment, name string, do func() (T, error)) (T, error) {
	var zero T
	dir, err := env.stateDir()
	if err != nil {
		return zero, err
	}
	path := filepath.Join(dir, "resource-"+name+".lock")
	l := flock.New(path)
	ok, err := l.TryLock()
	if err != nil {
		return zero, failure.With(failure.CodeFailure, name, "lock "+path, "", err)
	}
	if !ok {
		return zero, failure.With(failure.CodeLocked, name, "another ddsgo works on it (lock "+path+")", "fuser -v "+path, nil)
	}
	defer func() { _ = l.Unlock() }()
	return do()
}

// printError tells a person of an error that does not end the command.
func printError(s streams, err error) {
	fmt.Fprintf(s.err, "ddsgo: %v\n", err)
	var f *failure.Error
	if errors.As(err, &f) && f.Next != "" {
		fmt.Fprintf(s.err, "next: %s\n", f.Next)
	}
}

// verbNamed is the verb of replication with this name or alias.
func verbNamed(name string) (array.Verb, bool) {
	if name == "sync" {
		return array.Update, true
	}
	for _, v := range array.ReplicationVerbs() {
		if string(v) == name {
			return v, true
		}
	}
	return "", false
}

func verbNames() string {
	var names []string
	for _, v := range array.ReplicationVerbs() {
		names = append(names, string(v))
	}
	return strings.Join(names, ", ")
}
