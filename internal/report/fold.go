package report

import (
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/generation"
)

// Fold is one run of `ddsgo fold`.
type Fold struct {
	Resource     string                 `json:"resource"`
	Run          string                 `json:"run"`
	Generation   *generation.Generation `json:"generation"`    // that the new tracking snapshot froze; null: none was made
	ChangedBytes int64                  `json:"changed_bytes"` // in the sets that this run saved
	Sets         int                    `json:"sets"`          // that the next sync unites with the tracking snapshot's table
	Seconds      float64                `json:"seconds"`
	Plan         []string               `json:"plan,omitempty"` // --dry-run: what would be done
}

// Line is the summary for a log or a terminal.
func (f *Fold) Line(w io.Writer) {
	fmt.Fprintf(w, "%s: folded: %s of changes are kept in %d changed sets, the tracking snapshot is new (%.1f s)\n", f.Resource, iBytes(f.ChangedBytes), f.Sets, f.Seconds)
}
