package rbd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verdict is what the reports of both sides add up to. They are reports: VerdictOK says that nothing
// in them is wrong and that none is old, not that the copy is exact.
type Verdict string

// Verdicts, from the best to the worst.
const (
	VerdictOK      Verdict = "ok"
	VerdictNone    Verdict = "not_mirrored"
	VerdictWarn    Verdict = "warn"    // replicates slowly, not yet, not at present, or nobody says so
	VerdictError   Verdict = "error"   // will not go on by itself
	VerdictUnknown Verdict = "unknown" // a side was not read
)

// ImageSummary is one image of a pool as the daemons last reported it.
type ImageSummary struct {
	Image    string                  `json:"image"`
	GlobalID string                  `json:"global_id"`
	Verdict  Verdict                 `json:"verdict"`
	Why      []string                `json:"why"`
	Primary  []string                `json:"primary"` // sites whose daemon calls the image primary
	Sides    map[string]SideReported `json:"sides"`   // by site
}

// SideReported is what one cluster's daemon said, and how long ago. It is no proof: it may be 30 s old
// when all is well, and any age when the daemon is gone. Size and Lock are the cluster's own word,
// where they were asked for.
type SideReported struct {
	State         string   `json:"state"`
	Description   string   `json:"description"`
	AgeSeconds    *float64 `json:"age_seconds"`
	EntriesBehind *int64   `json:"entries_behind"` // journal mode
	LagSeconds    *float64 `json:"lag_seconds"`    // snapshot mode: between the newest snapshot and the copied one
	Size          *int64   `json:"size"`
	Lock          string   `json:"lock"` // excl, shared or none
}

// OverviewOptions of Overview.
type OverviewOptions struct {
	// List asks for size and lock of every image, mirrored or not: one call more for each cluster.
	List bool
}

// Overview lists every mirrored image of a pool with one call for each cluster (two with List), however
// many images there are. A cluster that does not answer is an error beside what the other one said.
func Overview(ctx context.Context, pool string, sites [2]Site, clis [2]*CLI, o OverviewOptions) ([]ImageSummary, error) {
	var health [2]PoolHealth
	var rows [2][]ListRow
	var errs [2]error
	var wg sync.WaitGroup
	now := time.Now()
	for i := range sites {
		wg.Go(func() {
			health[i], errs[i] = clis[i].PoolStatus(ctx, pool)
			if errs[i] == nil && o.List {
				rows[i], errs[i] = clis[i].List(ctx, pool)
			}
			if errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", sites[i].Name, errs[i])
			}
		})
	}
	wg.Wait()
	sum := summaries{index: map[string]int{}}
	for i, s := range sites {
		for _, img := range health[i].Images {
			row := sum.row(img.Name)
			row.GlobalID, row.Sides[s.Name] = img.GlobalID, reported(img, now)
		}
		for _, l := range rows[i] {
			row := sum.row(l.Image)
			side := row.Sides[s.Name]
			side.Size, side.Lock = &l.Size, lockWord(l.LockType)
			row.Sides[s.Name] = side
		}
	}
	for k := range sum.rows {
		sum.rows[k].judge(sites, errs)
	}
	slices.SortFunc(sum.rows, func(a, b ImageSummary) int { return strings.Compare(a.Image, b.Image) })
	return sum.rows, errors.Join(errs[0], errs[1])
}

// summaries are the rows under construction.
type summaries struct {
	index map[string]int
	rows  []ImageSummary
}

func (s *summaries) row(image string) *ImageSummary {
	k, ok := s.index[image]
	if !ok {
		k = len(s.rows)
		s.index[image] = k
		s.rows = append(s.rows, ImageSummary{Image: image, Sides: map[string]SideReported{}, Why: []string{}, Primary: []string{}})
	}
	return &s.rows[k]
}

// lockWord is how `ls -l` names a lock in its table.
func lockWord(lockType string) string {
	switch lockType {
	case "":
		return "none"
	case "exclusive":
		return "excl"
	}
	return lockType
}

func reported(s Status, now time.Time) SideReported {
	label, r := s.Replaying()
	out := SideReported{State: s.State, Description: label, EntriesBehind: r.EntriesBehind}
	if t := s.Updated(); !t.IsZero() {
		age := max(now.Sub(t).Seconds(), 0)
		out.AgeSeconds = &age
	}
	if r.LocalTimestamp > 0 && r.RemoteTimestamp > 0 {
		lag := max(float64(r.RemoteTimestamp-r.LocalTimestamp), 0)
		out.LagSeconds = &lag
	}
	return out
}

// saysPrimary: the daemon's word, kept after its death.
func (s SideReported) saysPrimary() bool {
	return strings.HasSuffix(s.State, "+stopped") && s.Description == "local image is primary"
}

// judge adds up what both sides reported.
func (r *ImageSummary) judge(sites [2]Site, errs [2]error) {
	if r.GlobalID == "" {
		r.Verdict = VerdictNone
		return
	}
	r.Verdict = VerdictOK
	for i, s := range sites {
		if errs[i] != nil {
			r.say(VerdictUnknown, "%s was not read", s.Name)
			continue
		}
		r.judgeSide(s.Name, sites[1-i].Name)
	}
	switch {
	case len(r.Primary) > 1:
		r.say(VerdictError, "reported primary at both sites")
	case len(r.Primary) == 0 && errs[0] == nil && errs[1] == nil:
		r.say(VerdictWarn, "no site reports that it is primary")
	}
}

func (r *ImageSummary) judgeSide(site, other string) {
	side := r.Sides[site]
	if side.State == "" {
		r.say(VerdictWarn, "not mirrored at %s", site)
		return
	}
	if side.saysPrimary() {
		r.Primary = append(r.Primary, site)
	}
	switch {
	case strings.HasSuffix(side.State, "+error"):
		r.say(VerdictError, "%s: %s", site, side.Description)
	case strings.HasPrefix(side.State, "down+"):
		r.say(VerdictWarn, "no live rbd-mirror at %s: nothing flows from %s to it", site, other)
	case side.saysPrimary() || strings.HasSuffix(side.State, "+replaying"):
	default:
		r.say(VerdictWarn, "%s: %s (%s)", site, side.State, side.Description)
	}
	if side.AgeSeconds != nil && time.Duration(*side.AgeSeconds*float64(time.Second)) > oldStatus {
		r.say(VerdictWarn, "the report of %s is %.0f s old", site, *side.AgeSeconds)
	}
}

// say keeps the worst verdict: an error that was reported stays one when the other side is silent.
func (r *ImageSummary) say(v Verdict, format string, args ...any) {
	r.Why = append(r.Why, fmt.Sprintf(format, args...))
	if rank(v) > rank(r.Verdict) {
		r.Verdict = v
	}
}

func rank(v Verdict) int {
	return slices.Index([]Verdict{VerdictOK, VerdictWarn, VerdictUnknown, VerdictError}, v)
}
