package report

import (
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// SchemaVersion is raised when a key changes its meaning or goes away.
const SchemaVersion = 1

// Status is what `ddsgo status --json` prints.
type Status struct {
	SchemaVersion int        `json:"schema_version"`
	GeneratedAt   time.Time  `json:"generated_at"`
	Site          *string    `json:"site"` // of this host; null where none is set
	Resources     []Resource `json:"resources"`
}

// States of a resource.
const (
	StateUp      = "up"      // replicating as configured
	StateWarn    = "warn"    // works, but Reasons tell what is amiss
	StateDown    = "down"    // the copy cannot be relied upon
	StateUnknown = "unknown" // nothing could be read
)

// Resource is the status of one resource.
type Resource struct {
	Name        string                 `json:"name"`
	Driver      string                 `json:"driver"`
	Mode        string                 `json:"mode"`
	State       string                 `json:"state"`       // up, warn, down, unknown
	Role        string                 `json:"role"`        // of this site (of the home site where none is set): primary, secondary; or none, both, unknown
	Reversed    bool                   `json:"reversed"`    // the home site is not primary
	Link        string                 `json:"link"`        // up, down, unknown
	Replication string                 `json:"replication"` // running, held, stopped, initial, error, unknown
	Condition   *string                `json:"condition"`   // LVM: clean, applying, inconsistent, suspect, held
	Generation  *generation.Generation `json:"generation"`  // LVM
	LastSync    *time.Time             `json:"last_sync"`   // the instant that the copy holds
	LagSeconds  *float64               `json:"lag_seconds"`
	BytesLeft   *int64                 `json:"bytes_left"`
	Sides       []Side                 `json:"sides"`
	Members     []Member               `json:"members"`
	Reasons     []Reason               `json:"reasons"`
	Next        *string                `json:"next"` // the command to run now; null where nothing is to be done
}

// Side is one copy.
type Side struct {
	Site       string         `json:"site"`
	Reachable  bool           `json:"reachable"`
	ObservedAt *time.Time     `json:"observed_at"`
	Role       string         `json:"role"`
	Writable   *bool          `json:"writable"` // null: unknown
	Native     map[string]any `json:"native"`
}

// Member is one volume of a resource.
type Member struct {
	Name     string     `json:"name"`
	Peer     string     `json:"peer"`
	Sync     string     `json:"sync"` // synced, syncing, stale, unknown
	LastSync *time.Time `json:"last_sync"`
}

// Reason says why a resource is not up.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Complete says that every side of every resource was read.
func (s Status) Complete() bool {
	for _, r := range s.Resources {
		if len(r.Sides) == 0 {
			return false
		}
		for _, side := range r.Sides {
			if !side.Reachable {
				return false
			}
		}
	}
	return true
}
