package image

import (
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/replica"
)

// TrackerState says how much of the source's own memory could be read.
type TrackerState int

// The line of metadata of a leg on its source image.
const (
	TrackerMissing TrackerState = iota
	TrackerDamaged              // unreadable, or of another image: refused, never guessed around
	TrackerLoaded
)

var trackerNames = [...]string{"missing", "damaged", "loaded"}

func (s TrackerState) String() string { return trackerNames[s] }

// SnapshotFact is a snapshot that the tracker names.
type SnapshotFact struct {
	Name       string // empty: the tracker names none
	Generation generation.Generation
	Present    bool
}

// Facts is everything that Reconcile looks at.
type Facts struct {
	Resource string
	Tracker  TrackerState
	Why      string // damaged: in words
	Held     bool
	Base     SnapshotFact
	Pending  SnapshotFact // of an unfinished run
	Full     bool         // the unfinished run is a full copy
	Old      []string     // snapshots of ours that are there and serve no longer
	Mirrored bool         // the source is the non-primary side of a mirror
	Target   replica.TargetFacts
	Rewinds  bool // the target keeps generations and can go back to one
}
