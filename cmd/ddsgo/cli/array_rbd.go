package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
)

// imageSeparator stands between the name of a resource with several images and one of them.
const imageSeparator = ":"

// allImages in a resource's images stands for every mirrored image of the pool.
const allImages = "*"

// listTime bounds the question which images a pool mirrors.
const listTime = 30 * time.Second

func openRBD(_ context.Context, env environment, r config.Resource) (array.Driver, error) {
	cfg, err := rbdConfig(env, r)
	if err != nil {
		return nil, err
	}
	d, err := rbd.New(cfg)
	if err != nil {
		return nil, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	return d, nil
}

// rbdConfig is the driver's configuration of a resource with one image.
func rbdConfig(env environment, r config.Resource) (rbd.Config, error) {
	if len(r.RBD.Images) != 1 || r.RBD.Images[0] == allImages {
		return rbd.Config{}, failure.Usage("resource %s has several images: name one, as %s%sIMAGE", r.Name, r.Name, imageSeparator)
	}
	cfg := rbd.Config{
		Name: r.Name, Image: rbd.Image{Pool: r.RBD.Pool, Name: r.RBD.Images[0]}, Mode: r.RBD.Mode,
		LocalSite: env.site, Schedules: r.RBD.Schedules, MaxAge: r.RBD.SyncMaxDelay.D(), Runner: env.runner,
	}
	for i, s := range r.RBD.Sites {
		cfg.Sites[i] = rbd.Site{Name: s.Name, Cluster: rbdCluster(s.Of), PeerUser: s.Of.PeerUser}
	}
	if !slices.Contains(r.Sites(), env.site) {
		cfg.LocalSite = ""
	}
	return cfg, nil
}

func rbdCluster(s config.RBDSite) rbd.Cluster {
	c := rbd.Cluster{Name: s.Cluster, Conf: s.Conf, User: s.User, MirrorSocket: s.MirrorAdminSocket}
	if c.Name == "" { // found by its configuration alone: /etc/ceph/NAME.conf
		c.Name = strings.TrimSuffix(s.Conf[strings.LastIndex(s.Conf, "/")+1:], ".conf")
	}
	return c
}

// named says whether a name is a resource, or RESOURCE:IMAGE of one with several images, which then
// becomes a resource of its own: one bad image never stops the others.
func named(cfg *config.Config, name string) bool {
	if _, ok := cfg.Resources[name]; ok {
		return true
	}
	parent, img, ok := strings.Cut(name, imageSeparator)
	r := cfg.Resources[parent]
	if !ok || r.RBD == nil || !slices.Contains(r.RBD.Images, img) && !slices.Contains(r.RBD.Images, allImages) {
		return false
	}
	addImage(cfg, r, img)
	return true
}

// eachImage replaces the names of resources with several images by those of their images.
func eachImage(ctx context.Context, env environment, names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		images, err := imagesOf(ctx, env.cfg, n, env.runner)
		if err != nil {
			return nil, err
		}
		out = append(out, images...)
	}
	return out, nil
}

func addImage(cfg *config.Config, r config.Resource, img string) string {
	one, part := *r.RBD, r
	one.Images, part.RBD, part.Name = []string{img}, &one, r.Name+imageSeparator+img
	cfg.Resources[part.Name] = part
	return part.Name
}

// imagesOf are the names that a resource stands for: itself, or one for each of its images.
func imagesOf(ctx context.Context, cfg *config.Config, name string, runner run.Runner) ([]string, error) {
	r := cfg.Resources[name]
	if r.RBD == nil || len(r.RBD.Images) == 1 && r.RBD.Images[0] != allImages {
		return []string{name}, nil
	}
	images := slices.Clone(r.RBD.Images)
	if i := slices.Index(images, allImages); i >= 0 {
		found, err := mirroredImages(ctx, r, runner)
		if err != nil {
			return nil, err
		}
		images = append(slices.Delete(images, i, i+1), found...)
	}
	slices.Sort(images)
	var names []string
	for _, img := range slices.Compact(images) {
		names = append(names, addImage(cfg, r, img))
	}
	if len(names) == 0 {
		return nil, failure.Refused(name, "no image of pool "+r.RBD.Pool+" is mirrored", "ddsgo array setup "+name+imageSeparator+"IMAGE")
	}
	return names, nil
}

// mirroredImages are those that any cluster mirrors: after a disaster one of them does not answer, and an
// image that lost its copy is on one of them only. Only when neither answers is there no list.
func mirroredImages(ctx context.Context, r config.Resource, runner run.Runner) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var errs [2]error
	var names [2][]string
	var wg sync.WaitGroup
	for i, s := range r.RBD.Sites {
		wg.Go(func() {
			st, err := rbd.NewCLI(rbdCluster(s.Of), rbd.Times{}, runner).PoolStatus(ctx, r.RBD.Pool)
			errs[i] = err
			for _, img := range st.Images {
				names[i] = append(names[i], img.Name)
			}
		})
	}
	wg.Wait()
	if errs[0] != nil && errs[1] != nil {
		for _, known := range []error{rbd.ErrNotMirrored, rbd.ErrNoPool} {
			if errors.Is(errs[0], known) && errors.Is(errs[1], known) {
				return nil, failure.With(failure.CodeRefused, r.Name, "pool "+r.RBD.Pool+": "+known.Error()+" on either cluster", "ddsgo doctor "+r.Name+imageSeparator+"IMAGE", errs[0])
			}
		}
		return nil, failure.With(failure.CodeUnreachable, r.Name, "which images are mirrored cannot be read", "ddsgo doctor "+r.Name+imageSeparator+"IMAGE", errors.Join(errs[0], errs[1]))
	}
	return append(names[0], names[1]...), nil
}
