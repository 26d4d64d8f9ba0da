package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// hp3parPool holds the arrays of one run: all resources of an array share its sessions
// and its listing.
type hp3parPool struct {
	mu     sync.Mutex
	arrays map[string]*hp3par.Array
}

func newHP3PARPool() *hp3parPool { return &hp3parPool{arrays: map[string]*hp3par.Array{}} }

// get returns the array; service is the resource for which a proxy is asked.
func (p *hp3parPool) get(env environment, a config.Array, service string) (*hp3par.Array, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := a.Name
	if a.Method == "proxy" {
		key += "\x00" + service // a proxy's rules are per service
	}
	if have := p.arrays[key]; have != nil {
		return have, nil
	}
	made, err := newHP3PARArray(env, a, service)
	if err != nil {
		next := fmt.Sprintf("see method, username, key, password_file (or %s) of array %s", a.PasswordVariable(), a.Name)
		return nil, failure.With(failure.CodeUsage, a.At.String(), "array "+a.Name, next, err)
	}
	p.arrays[key] = made
	return made, nil
}

func newHP3PARArray(env environment, a config.Array, service string) (*hp3par.Array, error) {
	o := hp3par.Options{Name: a.Name, Timezones: a.Timezones, MaxCLI: a.MaxCLI}
	password, err := a.Password(env.getenv)
	if err != nil {
		return nil, err
	}
	switch a.Method {
	case "cli":
		return hp3par.NewProgram(o, hp3par.Program{Path: a.CLI, System: a.Name, PwFile: a.PWF, Runner: env.runner})
	case "proxy":
		return hp3par.NewProxy(o, hp3par.Proxy{URL: hp3parURL(a, 443), CAFile: a.CAFile, KeyFile: a.Key, Service: service, UUID: password})
	case "wsapi":
		return hp3par.NewWSAPI(o, hp3par.WSAPI{URL: hp3parURL(a, 8080), CAFile: a.CAFile, User: a.Username, Password: password})
	}
	port := a.Port
	if port == 0 {
		port = 22
	}
	known := a.KnownHosts
	if home, err := os.UserHomeDir(); known == "" && err == nil {
		known = filepath.Join(home, ".ssh", "known_hosts")
	}
	reach := hp3par.SSH{
		Address: net.JoinHostPort(a.Manager, strconv.Itoa(port)), User: a.Username, KeyFile: a.Key, Password: password, KnownHosts: known,
	}
	if a.Piped {
		return hp3par.NewPiped(o, reach)
	}
	return hp3par.NewSSH(o, reach)
}

func hp3parURL(a config.Array, port int) string {
	if len(a.URL) > 0 {
		return a.URL[0]
	}
	if a.Port != 0 {
		port = a.Port
	}
	return "https://" + net.JoinHostPort(a.Manager, strconv.Itoa(port))
}

func openHP3PAR(_ context.Context, env environment, r config.Resource) (array.Driver, error) {
	c := r.HP3PAR
	cfg := hp3par.Config{
		Name: r.Name, Mode: c.Mode, MaxAge: c.SyncMaxDelay.D(), Period: c.Period.D(), ResumeAfterStart: c.ResumeAfterStart == "prod",
	}
	for i, s := range c.Sites {
		a, err := env.hp3par.get(env, env.cfg.Arrays[s.Of.Array], r.Name)
		if err != nil {
			return nil, err
		}
		cfg.Sites[i] = hp3par.Site{Name: s.Name, Array: a, Group: s.Of.Group, CPG: s.Of.CPG, SnapCPG: s.Of.SnapCPG, Hosts: s.Of.Hosts}
	}
	d, err := hp3par.New(cfg)
	if err != nil {
		return nil, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	for _, w := range d.Warnings() {
		env.log.Warn(w, "resource", r.Name)
	}
	return d, nil
}

func openHP3PARSnap(_ context.Context, env environment, r config.Resource) (array.Driver, error) {
	c := r.HP3PARSnap
	a, err := env.hp3par.get(env, env.cfg.Arrays[c.Array], r.Name)
	if err != nil {
		return nil, err
	}
	d, err := hp3par.NewSnap(hp3par.SnapConfig{Name: r.Name, Array: a, Snapshots: c.VVNames, MaxAge: c.SyncMaxDelay.D()})
	if err != nil {
		return nil, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	return d, nil
}

// inventoryService is the service that a proxy's rules for inventories are for.
const inventoryService = "inventory"

func listHP3PAR(ctx context.Context, env environment, a config.Array) (any, error) {
	h, err := env.hp3par.get(env, a, inventoryService)
	if err != nil {
		return nil, err
	}
	i, err := h.Inventory(ctx)
	if closed := h.Close(); err == nil && closed != nil {
		env.log.Debug("closing "+a.Name, "err", closed)
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}
