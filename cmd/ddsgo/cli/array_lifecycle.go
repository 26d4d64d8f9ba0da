package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// lifeCycleOptions are the flags of verbs that create and remove.
type lifeCycleOptions struct {
	verbOptions
	params []string
	size   string
	host   string

	cloneOf        string
	flatten        bool
	deletePeerCopy bool

	conflictDelay string
}

// volumeUse says whether a verb takes a VOLUME.
type volumeUse int

const (
	noVolume volumeUse = iota
	mayVolume
	mustVolume
)

func newLifeCycleCommands(g *globals, s streams) []*cobra.Command {
	return []*cobra.Command{
		newLifeCycleCommand(g, s, array.Setup, "setup NAME", noVolume, "Make what both sides need before the first resource: peers, links",
			`  ddsgo array setup img -n`),
		newLifeCycleCommand(g, s, array.Create, "create NAME [VOLUME]", mayVolume, "Create the replicated resource on both sides",
			`  ddsgo array create svc1 -n
  ddsgo array create svc1
  ddsgo array create svc1 vol7 --size 10G --param provisioning=dedup      # hp3par: volume, group, copy`),
		newLifeCycleCommand(g, s, array.Delete, "delete NAME", noVolume, "End replication and remove what create made; the source volume stays",
			`  ddsgo array delete svc1 -n`),
		newLifeCycleCommand(g, s, array.Add, "add NAME VOLUME", mustVolume, "Add a volume to the resource",
			`  ddsgo array add svc1 vol7
  ddsgo array add svc1 vol8 --size 10G                                    # hp3par: and create it`),
		newLifeCycleCommand(g, s, array.Remove, "remove NAME VOLUME", mustVolume, "Take a volume out of the resource; its source stays",
			`  ddsgo array remove svc1 vol7`),
		newLifeCycleCommand(g, s, array.Resync, "resync NAME [VOLUME]", mayVolume, "Copy everything again; the side that is overwritten is named with --discard",
			`  ddsgo array resync img --discard site1`),
	}
}

func newLifeCycleCommand(g *globals, s streams, v array.Verb, use string, vol volumeUse, short, examples string) *cobra.Command {
	var o lifeCycleOptions
	cmd := &cobra.Command{
		Use: use, Short: short, Example: examples,
		Long: short + ".\n\nEvery stage that fails undoes the stages before it; run again, the verb goes on where it stands.\n" + verbExitStatus,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLifeCycle(cmd.Context(), g, s, &o, v, vol, args)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *lifeCycleOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "print the plan, do nothing")
	f.BoolVar(&o.force, "force", false, "go on where the driver asks for confirmation")
	f.StringVar(&o.discard, "discard", "", "the `SITE` whose own content may be overwritten")
	f.BoolVar(&o.keepDiscarded, "keep-discarded", false, "keep a snapshot of what --discard gives up")
	f.BoolVar(&o.noStart, "no-start", false, "create, add (hp3par): leave replication stopped")
	f.StringVar(&o.timeout, "timeout", "", "give up after this `TIME`; default: none")
	f.StringVar(&o.size, "size", "", "`SIZE` of a volume to create (10G)")
	f.StringVar(&o.host, "host", "", "the `HOST` to attach to or detach from")
	f.StringVar(&o.cloneOf, "clone-of", "", "create (rbd): a clone of `POOL/IMAGE@SNAP`")
	f.BoolVar(&o.flatten, "flatten", false, "create --clone-of: copy what the clone shares with its parent")
	f.BoolVar(&o.deletePeerCopy, "delete-peer-copy", false, "delete (rbd): yes, the other side's image goes too")
	f.StringVar(&o.conflictDelay, "conflict-delay", "", "volume attach (hp3par): how long another host may keep the volume before it is cut off (30s; a bare number is seconds)")
	f.StringArrayVar(&o.params, "param", nil, "`KEY=VALUE` for the driver; may be repeated")
}

func runLifeCycle(ctx context.Context, g *globals, s streams, o *lifeCycleOptions, v array.Verb, vol volumeUse, args []string) error {
	timeout, err := o.check(v)
	if err != nil {
		return err
	}
	if (o.cloneOf != "" || o.flatten) && v != array.Create || o.deletePeerCopy && v != array.Delete {
		return failure.Usage("--clone-of and --flatten are for create, --delete-peer-copy is for delete: %s does not know them", v)
	}
	if o.conflictDelay != "" && v != array.VolumeAttach {
		return failure.Usage("--conflict-delay means nothing to %s", v)
	}
	volume, err := volumeArg(v, vol, args)
	if err != nil {
		return err
	}
	params, err := o.parameters()
	if err != nil {
		return err
	}
	env, err := g.load(s)
	if err != nil {
		return err
	}
	if r, known := env.cfg.Resources[args[0]]; o.noStart && known && r.Driver != config.DriverHP3PAR {
		return failure.Usage("--no-start: driver %s starts replication when it creates it", r.Driver)
	}
	o.parallel = 1
	names, err := o.names(ctx, env, args[:1], false)
	if err != nil {
		return err
	}
	return pursue(ctx, g, s, env, pursuit{
		names: names, parallel: 1, dryRun: o.dryRun, timeout: timeout,
		goal: func(string) array.Goal {
			goal := o.goal(g, env, v)
			goal.Volume, goal.Params = volume, params
			return goal
		},
	})
}

func volumeArg(v array.Verb, use volumeUse, args []string) (string, error) {
	switch {
	case use == mustVolume && len(args) < 2:
		return "", failure.Usage("%s needs NAME and VOLUME", v)
	case use == noVolume && len(args) > 1:
		return "", failure.Usage("%s takes one NAME, and no volume (%q)", v, args[1])
	case len(args) < 2:
		return "", nil
	}
	if args[1] == "" || strings.HasPrefix(args[1], "-") {
		return "", failure.Usage("%q is no name of a volume", args[1])
	}
	return args[1], nil
}

// parameters are --size, --host and --param together.
func (o *lifeCycleOptions) parameters() (map[string]string, error) {
	out := map[string]string{}
	for _, p := range o.params {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, failure.Usage("--param %q: write KEY=VALUE", p)
		}
		if _, twice := out[k]; twice {
			return nil, failure.Usage("--param %s is given twice", k)
		}
		out[k] = v
	}
	if o.size != "" {
		out["size"] = o.size
	}
	if o.host != "" {
		out["host"] = o.host
	}
	if o.conflictDelay != "" {
		out[hp3par.ParamDelay] = o.conflictDelay
	}
	if o.cloneOf != "" {
		out[rbd.ParamCloneOf] = o.cloneOf
	}
	for param, set := range map[string]bool{rbd.ParamFlatten: o.flatten, rbd.ParamDeletePeerCopy: o.deletePeerCopy} {
		if set {
			out[param] = "yes"
		}
	}
	return out, nil
}
