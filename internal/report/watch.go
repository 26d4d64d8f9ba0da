package report

import (
	"fmt"
	"io"
	"time"
)

// Watch is one look of `ddsgo watch` at a snapshot, and what was done about it.
type Watch struct {
	Resource       string   `json:"resource"`
	Snapshot       string   `json:"snapshot"` // device-mapper name
	UsedBytes      int64    `json:"used_bytes"`
	TotalBytes     int64    `json:"total_bytes"`
	BytesPerSecond int64    `json:"bytes_per_second"`
	SecondsLeft    *float64 `json:"seconds_left"` // until it is full at that rate; null: it is not filling
	Action         string   `json:"action"`       // none, extended, folded, warning, invalid
	Detail         string   `json:"detail"`
}

// Line is one line for a log or a terminal.
func (w *Watch) Line(out io.Writer) {
	fmt.Fprintf(out, "%s: %s", w.Resource, w.Snapshot)
	if w.TotalBytes > 0 {
		fmt.Fprintf(out, " %.1f %% of %s", 100*float64(w.UsedBytes)/float64(w.TotalBytes), iBytes(w.TotalBytes))
	}
	if w.SecondsLeft != nil {
		fmt.Fprintf(out, ", filling at %s/s, full in %s", iBytes(w.BytesPerSecond), time.Duration(*w.SecondsLeft*float64(time.Second)).Round(time.Second))
	}
	if w.Action != "none" {
		fmt.Fprintf(out, ": %s", w.Action)
	}
	if w.Detail != "" {
		fmt.Fprintf(out, ": %s", w.Detail)
	}
	fmt.Fprintln(out)
}
