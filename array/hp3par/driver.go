package hp3par

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// Driver is one Remote Copy group.
type Driver struct {
	c      Config
	shared bool        // the first observation may use a listing made for another resource
	first  bool        // no observation was made yet
	focus  *array.Goal // what observations are for; nil: status
}

var (
	_ array.Driver  = (*Driver)(nil)
	_ array.Shower  = (*Driver)(nil)
	_ array.Focuser = (*Driver)(nil)
)

// Config is one group.
type Config struct {
	Name             string // of the resource, for messages
	Mode             string // async or sync
	Sites            [2]Site
	MaxAge           time.Duration    // sync_max_delay
	ResumeAfterStart bool             // start at the home site resumes replication
	Period           time.Duration    // for create
	Now              func() time.Time // nil: time.Now
}

// Site is one side of the group.
type Site struct {
	Name    string
	Array   *Array
	Group   string
	CPG     string
	SnapCPG string
	Hosts   []string // that shall see the volumes here; none: those that the peer exports to
}

// New returns the driver of a group. It talks to no array.
func New(c Config) (*Driver, error) {
	if c.Mode != "async" && c.Mode != "sync" {
		return nil, fmt.Errorf("%w: mode %q: write async or sync", ErrConfig, c.Mode)
	}
	if c.Sites[0].Name == c.Sites[1].Name || c.Sites[0].Array == nil || c.Sites[1].Array == nil {
		return nil, fmt.Errorf("%w: two sites with one array each are needed", ErrConfig)
	}
	for _, s := range c.Sites {
		if !plainWord.MatchString(s.Group) {
			return nil, fmt.Errorf("%w: sites.%s.group %q is no name of a group", ErrConfig, s.Name, s.Group)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Period != 0 && (c.Period < MinPeriod || c.Period > MaxPeriod) {
		return nil, fmt.Errorf("%w: period %s is not between %s and %s seconds", ErrConfig, c.Period, "300", "31622400")
	}
	return &Driver{c: c, shared: true, first: true}, nil
}

// Warnings are settings that work but not as one may hope.
func (d *Driver) Warnings() []string {
	if d.c.Period > 0 && d.c.MaxAge > 0 && d.c.MaxAge < 2*d.c.Period {
		return []string{fmt.Sprintf("sync_max_delay %s is less than twice the period %s: a healthy group may be older", d.c.MaxAge, d.c.Period)}
	}
	return nil
}

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities {
	return array.Capabilities{
		Driver: "hp3par", Mode: d.c.Mode, Sites: []string{d.c.Sites[0].Name, d.c.Sites[1].Name}, MaxAge: d.c.MaxAge,
		Verbs: []array.Verb{
			array.Update, array.Break, array.Resume, array.Swap, array.Failover, array.Failback, array.Start, array.Revert, array.Delete,
			array.Create, array.Add, array.Remove, array.VolumeCreate, array.VolumeDelete, array.VolumeAttach, array.VolumeDetach,
		},
	}
}

func (d *Driver) site(name string) Site {
	if d.c.Sites[1].Name == name {
		return d.c.Sites[1]
	}
	return d.c.Sites[0]
}

func (d *Driver) peer(name string) string {
	if d.c.Sites[0].Name == name {
		return d.c.Sites[1].Name
	}
	return d.c.Sites[0].Name
}

// Do implements array.Driver: one act.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	with := map[string]string{}
	for k, v := range s.Args {
		with[k] = v
	}
	delete(with, argWhy)
	d.shared = false
	return typed(s.Site, d.site(s.Site).Array.do(ctx, act{op: s.Args["op"], group: s.Args["group"], with: with}))
}

// typed turns what a transport says into an error of the driver interface.
func typed(site string, err error) error {
	var no *rejection
	var quiet *silence
	switch {
	case err == nil:
		return nil
	case errors.As(err, &no) && busyWords.MatchString(no.text):
		// Not repeated here: what keeps the group busy may be what was asked for.
		return &array.Error{Kind: array.KindUnreachable, Site: site, Reason: "the array is busy with the group", Err: err}
	case errors.As(err, &no):
		return array.ArrayError(site, no.rc, "the array refused", err)
	case errors.Is(err, ErrConfig), errors.Is(err, ErrArgument):
		return &array.Error{Kind: array.KindConfig, Site: site, Reason: "cannot be asked", Next: "ddsgo config check", Err: err}
	case errors.As(err, &quiet):
		return array.Unreachable(site, err)
	}
	return array.ArrayError(site, 1, "the answer is not understood", err)
}

// Commands implements array.Commander: every command line that may be sent for the group.
func (d *Driver) Commands(method string) ([]string, error) {
	if err := sendsLines(method); err != nil {
		return nil, err
	}
	out := []string{showGroups, showLinks, showExports}
	for _, s := range d.c.Sites {
		for _, op := range groupOps() {
			line, err := act{op: op, group: s.Group}.cli()
			if err != nil {
				return nil, err
			}
			out = append(out, line)
		}
	}
	return out, nil
}

// groupOps are the operations that the replication verbs use.
func groupOps() []string {
	return []string{opStart, opStop, opStopPeer, opSync, opFailover, opRecover, opRestore, opRestore0, opReverse, opRevert, opNatural, opRemove}
}
