package cli

import (
	"context"
	"log/slog"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/plugin"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/replica"
)

// environment is what the constructor of a driver may use besides its resource.
type environment struct {
	cfg      *config.Config
	log      *slog.Logger
	runner   run.Runner
	getenv   func(string) string
	site     string                 // where ddsgo runs; empty: none is set
	stateDir func() (string, error) // makes sure that it can be written
	events   func(resource string) replica.Events
	onSync   func(report.Sync)
	hp3par   *hp3parPool // the arrays of this run
}

// openDriver makes the driver of one resource. It talks to no storage.
type openDriver func(ctx context.Context, env environment, r config.Resource) (array.Driver, error)

// drivers are the drivers that are built in, by the name that the configuration uses.
// Every other name is a plug-in.
func drivers() map[string]openDriver {
	return map[string]openDriver{
		config.DriverLVM:        openLVM,
		config.DriverRBD:        openRBD,
		config.DriverInfiniBox:  openInfiniBox,
		config.DriverHP3PAR:     openHP3PAR,
		config.DriverHP3PARSnap: openHP3PARSnap,
	}
}

// listArray lists what an array holds, for `ddsgo array inventory`.
type listArray func(ctx context.Context, env environment, a config.Array) (any, error)

// inventories are the arrays that can be listed, by type.
func inventories() map[string]listArray {
	return map[string]listArray{
		config.DriverInfiniBox: listInfiniBox,
		config.DriverHP3PAR:    listHP3PAR,
	}
}

// open makes the driver of a resource, with logging around it.
func (g *globals) open(ctx context.Context, env environment, r config.Resource) (array.Driver, error) {
	d, err := g.openBare(ctx, env, r)
	if err != nil {
		return nil, err
	}
	return array.WithLog(d, env.log.With("resource", r.Name)), nil
}

func (g *globals) openBare(ctx context.Context, env environment, r config.Resource) (array.Driver, error) {
	if open := g.drivers[r.Driver]; open != nil {
		return open(ctx, env, r)
	}
	if r.Plugin == nil {
		return nil, failure.With(failure.CodeUsage, r.At.String(), "driver "+r.Driver+" is not part of this build", "", nil)
	}
	d, err := plugin.Open(ctx, plugin.Options{
		Name: r.Driver, Dirs: env.cfg.Plugins.Dirs, AllowPath: env.cfg.Plugins.AllowPath,
		Resource: plugin.Resource{Name: r.Name, Mode: r.Plugin.Mode, Sites: r.Sites(), SiteConfig: siteConfig(r), Config: r.Plugin.Config},
		MaxAge:   r.Plugin.SyncMaxDelay.D(), Log: env.log,
	})
	if err != nil {
		return nil, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	return d, nil
}

func siteConfig(r config.Resource) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, s := range r.Plugin.Sites {
		out[s.Name] = s.Of
	}
	return out
}
