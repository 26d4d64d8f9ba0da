package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/replica/image"
	"github.com/ddsgo/ddsgo/transport"
)

// imageOpTime bounds one operation on an image: one that takes a minute is a full or broken pool, not a
// slow one.
const imageOpTime = time.Minute

// imageEnd is the RBD image that a configuration names.
func imageEnd(env environment, c *config.Ceph, device string) (image.End, error) {
	img, err := rbd.ParseImage(device[len(config.ImagePrefix):])
	if err != nil {
		return image.End{}, failure.Usage("%s: %v", device, err)
	}
	cluster := rbd.Cluster{Name: image.DefaultCluster}
	if c != nil {
		cluster.Conf, cluster.User = c.Conf, c.User
		if c.Cluster != "" {
			cluster.Name = c.Cluster
		}
	}
	return image.End{CLI: rbd.NewCLI(cluster, rbd.Times{Op: imageOpTime}, env.runner), Image: img}, nil
}

// imageCopy is the target of a leg that ends on an image.
func imageCopy(env environment, r config.Resource) (*image.Copy, error) {
	t := r.LVM.Targets[0]
	end, err := imageEnd(env, t.Ceph, t.Device)
	if err != nil {
		return nil, err
	}
	dir, err := env.stateDir()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return &image.Copy{End: end, StateDir: dir, Keep: t.Keep, Host: host, Log: env.log, Now: time.Now, Journal: journal.OS{}}, nil
}

// targetDialer connects with the owner of a leg's target: ddsgo on its host, or, for an image, this
// process.
func targetDialer(env environment, r config.Resource) (replica.Dialer, error) {
	if !r.LVM.ToImage() {
		return dialer(env), nil
	}
	c, err := imageCopy(env, r)
	if err != nil {
		return nil, err
	}
	return c.Dial, nil
}

// imageLeg is a leg whose source is an image.
func imageLeg(env environment, r config.Resource, ev replica.Events) (image.Leg, error) {
	l, t := r.LVM, r.LVM.Targets[0]
	end, err := imageEnd(env, l.Ceph, l.Source)
	if err != nil {
		return image.Leg{}, err
	}
	codec, err := engine.ParseCodec(l.Codec)
	if err != nil {
		return image.Leg{}, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	dir, err := env.stateDir()
	if err != nil {
		return image.Leg{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		return image.Leg{}, err
	}
	leg := image.Leg{
		End: end, Resource: r.Name, Target: farEnd(t, dir), Device: t.Device, Rewinds: l.ToImage(),
		StateDir: dir, Codec: codec, ProgressTimeout: l.ProgressTimeout.D(), MaxDelay: l.SyncMaxDelay.D(), Host: host, Events: ev, Now: time.Now,
	}
	if leg.Dial, err = targetDialer(env, r); err != nil {
		return leg, err
	}
	if l.ToImage() {
		leg.Target = transport.Target{}
		to, err := imageEnd(env, t.Ceph, t.Device)
		leg.Device = to.String()
		return leg, err
	}
	return leg, nil
}

// farEnd is where the target's ddsgo runs: on this host it is this program, with this state directory.
func farEnd(t config.LVMTarget, stateDir string) transport.Target {
	far := transport.Target{Host: t.Host, Command: t.Command, StateDir: t.StateDir}
	if t.Host == "" && slices.Equal(t.Command, []string{"ddsgo"}) {
		far.Command = nil
		far.StateDir = cmp.Or(t.StateDir, stateDir)
	}
	return far
}

// openImageLeg makes the driver of a leg whose source is an image.
func openImageLeg(env environment, r config.Resource) (array.Driver, error) {
	leg, err := imageLeg(env, r, env.events(r.Name))
	if err != nil {
		return nil, err
	}
	return &image.Driver{Leg: leg, OnSync: env.onSync}, nil
}

// fullImage is full for a leg whose source is an image.
func fullImage(ctx context.Context, env environment, r config.Resource, ev replica.Events, o fullOptions) (report.Sync, error) {
	leg, err := imageLeg(env, r, ev)
	if err != nil {
		return report.Sync{}, err
	}
	return leg.Full(ctx, o.overwrite, o.dryRun)
}

// notOfImages refuses a verb that works on logical volumes at both ends; fold works on the source alone.
func notOfImages(r config.Resource, verb string) error {
	if !r.LVM.FromImage() && (!r.LVM.ToImage() || verb == "fold") {
		return nil
	}
	return failure.With(failure.CodeUnsupported, r.Name, verb+" is for logical volumes at both ends; one end of this leg is an RBD image", "ddsgo status "+r.Name, nil)
}

// toImage is the resource of this name, where it is a leg that ends on an image.
func toImage(g *globals, s streams, name string) (config.Resource, environment, bool) {
	env, err := g.load(s)
	if err != nil {
		return config.Resource{}, env, false // whoever asks loads it again, and says why
	}
	r, ok := env.cfg.Resources[name]
	return r, env, ok && r.LVM != nil && r.LVM.ToImage()
}

// historyOfImage lists the generations that an image keeps, newest first.
func historyOfImage(ctx context.Context, g *globals, s streams, env environment, r config.Resource) error {
	c, err := imageCopy(env, r)
	if err != nil {
		return err
	}
	kept, err := c.History(ctx)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(s.out, map[string]any{"message_type": "history", "resource": r.Name, "image": c.String(), "generations": kept})
	}
	if len(kept) == 0 {
		fmt.Fprintf(s.out, "%s: the target keeps no generation yet\n", r.Name)
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "GENERATION\tTAKEN\tREAD IT AS\n")
	for _, k := range kept {
		fmt.Fprintf(w, "#%d\t%s\t%s\n", k.Generation.Seq, k.Generation.Time.Local().Format(time.DateTime), c.Image.At(k.Snapshot))
	}
	return w.Flush()
}
