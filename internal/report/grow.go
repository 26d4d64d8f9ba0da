package report

import (
	"fmt"
	"io"
	"time"
)

// Grow is one run of `ddsgo grow`.
type Grow struct {
	Resource  string `json:"resource"`
	FromBytes int64  `json:"from_bytes"` // size of the copy before: that of the last generation
	ToBytes   int64  `json:"to_bytes"`   // size of the source and of the copy after
	// Path is delta (the chain goes on), hash (both ends are compared) or none (nothing to do).
	Path           string   `json:"path"`
	TargetBytes    int64    `json:"target_bytes"` // of the target's volume when the run began
	SendBytes      int64    `json:"send_bytes"`   // estimate: the least that is sent before compression
	ReadBytes      int64    `json:"read_bytes"`   // that each end reads
	AtLeastSeconds float64  `json:"at_least_seconds"`
	Last           *Sync    `json:"last,omitempty"` // the transfer that ended it
	Seconds        float64  `json:"seconds"`
	Plan           []string `json:"plan,omitempty"` // --dry-run: what would be done
}

// Line is the summary for a log or a terminal.
func (g *Grow) Line(w io.Writer) {
	if g.Path == "none" {
		fmt.Fprintf(w, "%s: nothing to do: source and copy have %s\n", g.Resource, iBytes(g.ToBytes))
		return
	}
	fmt.Fprintf(w, "%s: grown from %s to %s (%.1f s)\n", g.Resource, iBytes(g.FromBytes), iBytes(g.ToBytes), g.Seconds)
}

// Estimate tells what a plan costs.
func (g *Grow) Estimate() string {
	return fmt.Sprintf("each end reads %s; at least %s are sent before compression; at least %s at the speed at which the source was just read",
		iBytes(g.ReadBytes), iBytes(g.SendBytes), time.Duration(g.AtLeastSeconds*float64(time.Second)).Round(time.Second))
}
