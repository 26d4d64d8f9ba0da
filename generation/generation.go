// Package generation names points in time of a volume.
//
// A generation is what a snapshot froze: identified by the snapshot's UUID and a
// sequence number. Sequence numbers order generations of one volume; clocks never do.
// The time is for people and for the lag.
package generation

import (
	"fmt"
	"time"
)

// MaxUUID bounds the length of a UUID that is read from a peer or a disk, in bytes.
const MaxUUID = 128

// Generation identifies one point in time of one volume. The zero value means "none".
type Generation struct {
	UUID string    `json:"uuid"` // of the snapshot logical volume (LVM form, or any unique text)
	Seq  uint64    `json:"seq"`  // 1, 2, 3 ... per source volume
	Time time.Time `json:"time"` // UTC, of the snapshot
	Size int64     `json:"size"` // of the volume at that instant, bytes
}

// IsZero says that g names no point in time.
func (g Generation) IsZero() bool { return g.UUID == "" }

// Same says that both name the same point in time.
func (g Generation) Same(o Generation) bool {
	return g.UUID == o.UUID && g.Seq == o.Seq && g.UUID != ""
}

// String is for people: "#7 (Zd3fOM-..., 2026-01-02T03:04:05Z)".
func (g Generation) String() string {
	if g.IsZero() {
		return "none"
	}
	return fmt.Sprintf("#%d (%s, %s)", g.Seq, g.UUID, g.Time.UTC().Format(time.RFC3339))
}
