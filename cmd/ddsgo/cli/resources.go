package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/run"
)

// selection is which resources a verb is for: names, or all.
type selection struct {
	all      bool
	parallel int
}

// defaultParallel is how many resources are handled at once.
const defaultParallel = 8

func (sel *selection) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&sel.all, "all", false, "all resources of the configuration")
	cmd.Flags().IntVar(&sel.parallel, "parallel", defaultParallel, "how many resources at once")
}

// names resolves the arguments. Every name is checked before anything is done to one.
func (sel *selection) names(ctx context.Context, env environment, args []string, noneIsAll bool) ([]string, error) {
	names, err := sel.resources(env.cfg, args, noneIsAll)
	if err != nil {
		return nil, err
	}
	return eachImage(ctx, env, names)
}

func (sel *selection) resources(cfg *config.Config, args []string, noneIsAll bool) ([]string, error) {
	if sel.parallel < 1 {
		return nil, failure.Usage("--parallel %d: at least 1", sel.parallel)
	}
	if sel.all || len(args) == 0 && noneIsAll {
		if len(args) > 0 {
			return nil, failure.Usage("--all and names exclude each other")
		}
		return cfg.Names(), nil
	}
	if len(args) == 0 {
		return nil, failure.Usage("which resource? give names or --all; known: %s", known(cfg))
	}
	var names []string
	for _, n := range args {
		if !named(cfg, n) {
			return nil, failure.Usage("unknown resource %q; known: %s", n, known(cfg))
		}
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names, nil
}

// resource is the one of that name, or a refusal that names those that there are.
func resource(cfg *config.Config, name string) (config.Resource, error) {
	r, ok := cfg.Resources[name]
	if !ok {
		return r, failure.Usage("unknown resource %q; known: %s", name, known(cfg))
	}
	return r, nil
}

func known(cfg *config.Config) string {
	if len(cfg.Resources) == 0 {
		return "none (the configuration has no resources)"
	}
	return strings.Join(cfg.Names(), ", ")
}

// each calls do for every name, at most parallel at once, and returns when all have
// ended. It keeps the order of names in the results.
func each[T any](parallel int, names []string, do func(name string) T) []T {
	results := make([]T, len(names))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = do(name)
		})
	}
	wg.Wait()
	return results
}

// load reads the configuration and makes what drivers need.
func (g *globals) load(s streams) (environment, error) {
	cfg, err := config.Load(config.Path(g.configPath, os.Getenv))
	if err != nil {
		return environment{}, config.Failure(err)
	}
	return g.environment(s, cfg)
}

func (g *globals) environment(s streams, cfg *config.Config) (environment, error) {
	site := g.site
	if site == "" {
		site = cfg.LocalSite
	}
	if sites := cfg.SiteNames(); g.site != "" && len(sites) > 0 && !slices.Contains(sites, g.site) && !isLVMSite(cfg, g.site) {
		return environment{}, failure.Usage("unknown site %q; known: %s", g.site, strings.Join(sites, ", "))
	}
	log := g.logger(s)
	p := newTransfers(g, s)
	runner := g.runner
	if runner == nil {
		runner = run.OS{Log: log}
	}
	return environment{
		hp3par: newHP3PARPool(),
		events: p.events, onSync: func(rep report.Sync) { p.finish(); printSync(g, s, rep) },
		cfg: cfg, log: log, runner: runner, getenv: os.Getenv, site: site,
		stateDir: func() (string, error) { return config.StateDir(g.stateDir, os.Getenv) },
	}, nil
}

func isLVMSite(cfg *config.Config, site string) bool {
	for _, r := range cfg.Resources {
		if r.LVM != nil && slices.Contains(r.Sites(), site) {
			return true
		}
	}
	return false
}

// logger writes to stderr: warnings, and with -v every command and request.
func (g *globals) logger(s streams) *slog.Logger {
	level := slog.LevelWarn
	if g.verbose {
		level = slog.LevelDebug
	}
	if isTerminal(s.err) {
		return slog.New(tint.NewHandler(s.err, &tint.Options{Level: level}))
	}
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
}

// partial is the error for several resources of which some failed.
func partial(failed, total int) error {
	return failure.With(failure.CodePartial, "", fmt.Sprintf("%d of %d resources failed", failed, total), "", nil)
}

// withOpen hands the driver of a resource to do.
func withOpen[T any](ctx context.Context, g *globals, env environment, name string, do func(driver) (T, error)) (T, error) {
	d, err := g.open(ctx, env, env.cfg.Resources[name])
	if err != nil {
		var zero T
		return zero, err
	}
	defer closeDriver(d)
	return do(d)
}

// closeDriver ends the sessions that a driver keeps at its storage.
func closeDriver(d driver) {
	if c, ok := array.As[io.Closer](d); ok {
		_ = c.Close() // they end by themselves, too
	}
}
