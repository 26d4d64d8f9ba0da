package image

import (
	"time"

	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/transport"
)

// Leg is an image as the source of one target, as configured.
type Leg struct {
	End
	Resource string
	Target   transport.Target // where the target's ddsgo runs; unused for an image
	Device   string           // of the target, as its owner names it
	Rewinds  bool             // the target is an image: it keeps generations
	Dial     replica.Dialer
	StateDir string // for the lock

	Codec           engine.Codec
	ProgressTimeout time.Duration
	MaxDelay        time.Duration
	Host            string // name of this machine, for people
	Events          replica.Events
	Now             func() time.Time
}

// Name is the leg's key: host and device of the target.
func (l Leg) Name() string { return state.LegName(l.Target.Host, l.Device) }

// Site is the target's site name.
func (l Leg) Site() string {
	if l.Target.Host == "" {
		return replica.SiteLocal
	}
	return l.Target.Host
}

// key is the line of metadata of this leg.
func (l Leg) key() string { return "ddsgo.leg." + hash(l.Name(), 16) }

// snapshotName is the name of a new snapshot: no other leg and no other run uses it.
func (l Leg) snapshotName(run string) string {
	return delta.SnapshotPrefix + hash(l.Name(), 8) + "." + run
}

func (l Leg) maxDelay() time.Duration {
	if l.MaxDelay > 0 {
		return l.MaxDelay
	}
	return replica.DefaultMaxDelay
}

// Tracker is what the metadata of a source says of one leg.
type Tracker struct {
	header
	Resource  string   `json:"resource"`
	Target    string   `json:"target"`
	Held      bool     `json:"held,omitempty"`
	Fence     uint64   `json:"fence"` // the target's, when last seen
	Base      *Marker  `json:"base,omitempty"`
	Pending   *Marker  `json:"pending,omitempty"`
	Full      bool     `json:"full,omitempty"` // pending is a full copy
	Drop      []string `json:"drop,omitempty"` // snapshots of ours to be removed
	LastError string   `json:"last_error,omitempty"`
	Host      string   `json:"host"` // that wrote this
}

// Marker is a snapshot of the source. Until its id is known, Generation is zero.
type Marker struct {
	Snapshot   string                `json:"snapshot"`
	Generation generation.Generation `json:"generation"`
}
