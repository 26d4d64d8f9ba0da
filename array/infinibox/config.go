package infinibox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// Modes of a resource.
const (
	ModeAsync = "async"
	ModeSync  = "sync"
)

// Site is one box and what it holds of the resource.
type Site struct {
	Name   string // of the site
	Client *Client
	Pool   string // for entities that are created there
	Entity string // name of the entity there; empty: as Config.Entity
}

// Config is one resource.
type Config struct {
	Name     string // of the resource, for next commands; empty: NAME
	Mode     string // ModeAsync or ModeSync
	Kind     string // KindVolume, KindFilesystem or KindGroup
	Entity   string
	Link     string        // name of the link at home
	Interval time.Duration // 0: the box's default
	RPO      time.Duration // 0: the box's default
	MaxAge   time.Duration // older is too_old; 0: not judged
	Sites    [2]Site       // home first
}

// Driver drives one replica. It keeps sessions, and nothing that decisions rest upon.
type Driver struct {
	cfg Config
}

// New checks the configuration. It sends nothing.
func New(cfg Config) (*Driver, error) {
	if cfg.Name == "" {
		cfg.Name = "NAME"
	}
	if cfg.Kind == "" {
		cfg.Kind = KindVolume
	}
	switch {
	case collectionOf(cfg.Kind) == "":
		return nil, fmt.Errorf("entity %q: write %s, %s or %s", cfg.Kind, KindVolume, KindFilesystem, KindGroup)
	case cfg.Mode != ModeAsync && cfg.Mode != ModeSync:
		return nil, fmt.Errorf("mode %q: write %s or %s", cfg.Mode, ModeAsync, ModeSync)
	case cfg.Mode == ModeSync && cfg.Kind == KindFilesystem:
		return nil, errors.New("mode sync: filesystems replicate async only")
	case cfg.Mode == ModeSync && (cfg.Interval != 0 || cfg.RPO != 0):
		return nil, errors.New("interval and rpo are for mode async")
	case cfg.Interval < 0 || cfg.Interval%time.Millisecond != 0 || cfg.RPO < 0 || cfg.RPO%time.Millisecond != 0:
		return nil, fmt.Errorf("interval %s, rpo %s: whole milliseconds of 0 or more", cfg.Interval, cfg.RPO)
	case cfg.RPO != 0 && cfg.RPO <= cfg.Interval:
		return nil, fmt.Errorf("rpo %s must exceed interval %s", cfg.RPO, cfg.Interval)
	case cfg.Entity == "":
		return nil, errors.New("name of the entity is missing")
	}
	for i := range cfg.Sites {
		s := &cfg.Sites[i]
		if s.Name == "" || s.Client == nil {
			return nil, fmt.Errorf("site %d: name or array is missing", i+1)
		}
		if s.Entity == "" {
			s.Entity = cfg.Entity
		}
	}
	if cfg.Sites[0].Name == cfg.Sites[1].Name {
		return nil, fmt.Errorf("both sites are named %s", cfg.Sites[0].Name)
	}
	return &Driver{cfg: cfg}, nil
}

// Close ends the sessions at both boxes.
func (d *Driver) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), logoutTime)
	defer cancel()
	return errors.Join(d.cfg.Sites[0].Client.Close(ctx), d.cfg.Sites[1].Client.Close(ctx))
}

// logoutTime bounds the good-bye to both boxes.
const logoutTime = 5 * time.Second

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities {
	c := array.Capabilities{
		Driver: "infinibox", Mode: d.cfg.Mode, Sites: []string{d.cfg.Sites[0].Name, d.cfg.Sites[1].Name}, MaxAge: d.cfg.MaxAge,
		Verbs: []array.Verb{
			array.Update, array.Break, array.Resume, array.Swap, array.Failover, array.Failback,
			array.Setup, array.Create, array.Delete, array.VolumeCreate, array.VolumeDelete,
		},
		Missing: map[array.Verb]string{
			array.Start:        "for InfiniBox use swap while the boxes see each other, failover when one is lost",
			array.Revert:       "a promotion is undone by failback, which copies only what differs",
			array.Resync:       "every resume copies only what differs; for a full copy delete the replica, then create it on a new target",
			array.VolumeAttach: "map volumes with the box's own tools, replication does not change mappings",
			array.VolumeDetach: "unmap volumes with the box's own tools, replication does not change mappings",
		},
	}
	if d.cfg.Kind == KindGroup {
		c.Verbs = append(c.Verbs, array.Add, array.Remove)
	} else {
		c.Missing[array.Add] = "a " + d.cfg.Kind + " has no members: only consistency groups have"
		c.Missing[array.Remove] = c.Missing[array.Add]
	}
	return c
}

// site is the side of that name.
func (d *Driver) site(name string) (Site, bool) {
	for _, s := range d.cfg.Sites {
		if s.Name == name {
			return s, true
		}
	}
	return Site{}, false
}

func (d *Driver) home() string { return d.cfg.Sites[0].Name }
func (d *Driver) away() string { return d.cfg.Sites[1].Name }

func (d *Driver) peer(site string) string {
	if site == d.home() {
		return d.away()
	}
	return d.home()
}

// command is a ddsgo command for this resource.
func (d *Driver) command(verb string) string { return "ddsgo " + verb + " " + d.cfg.Name }
