package fake

import (
	"context"
	"errors"

	"github.com/ddsgo/ddsgo/array"
)

// Driver drives a Pair. It keeps nothing between calls: what it must know is in the
// observation and in the goal.
type Driver struct {
	pair  *Pair
	sites [2]string
	mode  string
}

// NewDriver returns a driver for p.
func NewDriver(p *Pair) *Driver {
	d := &Driver{pair: p, sites: p.options.Sites, mode: "async"}
	if p.options.Sync {
		d.mode = "sync"
	}
	return d
}

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities {
	return array.Capabilities{
		Driver: "fake", Mode: d.mode, Sites: d.sites[:],
		Verbs: []array.Verb{
			array.Update, array.Break, array.Resume, array.Swap, array.Failover, array.Failback, array.Start,
			array.Create, array.Delete, array.Add, array.Remove,
		},
		Missing: map[array.Verb]string{array.Revert: "a promotion without writes is undone by failback here"},
	}
}

// Observe implements array.Driver: it asks both sides, and takes silence for an answer.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	if err := ctx.Err(); err != nil {
		return array.Observation{}, err
	}
	o := array.Observation{At: d.pair.Now(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	for _, site := range d.sites {
		a, err := d.pair.Show(site)
		if err != nil {
			o.Sides = append(o.Sides, array.Side{Site: site, Role: array.RoleUnknown, Error: err.Error()})
			continue
		}
		o.Sides = append(o.Sides, sideOf(site, a))
		common(&o, a)
	}
	return o, nil
}

// sideOf translates what one side says about itself.
func sideOf(site string, a Answer) array.Side {
	s := array.Side{
		Site: site, Reachable: true, ObservedAt: a.Time, Role: array.RoleSecondary, Writable: array.TriOf(a.Primary), Writers: array.TriOf(a.Open),
		Native: map[string]any{"last": a.Last, "own": a.OwnData, "equal": a.Equal, "queued": a.Queued, "parted": a.Parted},
	}
	if a.Primary {
		s.Role = array.RolePrimary
	}
	if !a.Exists {
		s.Role, s.Writable = array.RoleNone, array.Unknown
	}
	return s
}

// common fills what either side can tell about the pair.
func common(o *array.Observation, a Answer) {
	o.Mode, o.Link = a.Mode, array.LinkDown
	if a.Link {
		o.Link = array.LinkUp
	}
	switch {
	case !a.Exists:
		o.Replication = array.Stopped
		o.Reasons = []array.Reason{{Code: array.ReasonAbsent, Text: "the pair does not exist"}}
		return
	case a.Running && a.Link:
		o.Replication = array.Running
	case a.Held:
		o.Replication = array.Held
	default:
		o.Replication = array.Stopped
	}
	sync := array.Stale
	switch {
	case a.Copying:
		sync = array.Syncing
	case a.Equal, a.Running && a.Link:
		sync = array.Synced
	}
	at := a.SyncedAt
	o.LastSync, o.Members = &at, nil
	for _, name := range a.Members {
		m := array.Member{Name: name, Peer: name, Sync: sync, LastSync: &at}
		if a.Mode == "async" {
			m.SyncPoint = &a.Point
		}
		o.Members = append(o.Members, m)
	}
}

// Do implements array.Driver: one native command.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.pair.Command(s.Site, s.Args["command"], s.Args["arg"])
	switch {
	case errors.Is(err, ErrNoReply):
		return array.Unreachable(s.Site, err)
	case errors.Is(err, ErrRejected):
		return array.ArrayError(s.Site, 1, "rejected: "+s.Command, err)
	}
	return err
}
