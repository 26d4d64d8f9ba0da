package report

import (
	"fmt"
	"io"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// Sync is the report of a sync or a full copy of one leg.
type Sync struct {
	Resource   string                 `json:"resource"`
	Run        string                 `json:"run"`
	Generation *generation.Generation `json:"generation"`         // that the target now holds; null: none was sent
	Transfer   *Extract               `json:"transfer"`           // what the source sent; null: nothing
	Merge      *Merge                 `json:"merge"`              // what the target did
	Compared   *Compared              `json:"compared,omitempty"` // resync: the hash exchange before
	Seconds    float64                `json:"seconds"`
	Plan       []string               `json:"plan,omitempty"` // --dry-run: what would be done
}

// Add records one transfer; a run that first finishes an interrupted one has two, and the
// last one counts.
func (s *Sync) Add(g generation.Generation, sent Extract, merged Merge) {
	s.Generation, s.Transfer, s.Merge = &g, &sent, &merged
}

// Line is the summary for a log or a terminal.
func (s *Sync) Line(w io.Writer) {
	if s.Generation == nil || s.Transfer == nil {
		fmt.Fprintf(w, "%s: nothing was sent (%.1f s)\n", s.Resource, s.Seconds)
		return
	}
	t := s.Transfer
	fmt.Fprintf(w, "%s: target is at generation #%d of %s: %s changed, %s sent, %.1f s\n", s.Resource, s.Generation.Seq,
		s.Generation.Time.Local().Format(time.DateTime), iBytes(t.ChangedBytes), iBytes(t.SentBytes), s.Seconds)
}
