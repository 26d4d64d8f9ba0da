package rbd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Snapshot is one row of `snap ls --all`.
type Snapshot struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Size      int64     `json:"size"`
	Protected yesNo     `json:"protected"`
	Timestamp string    `json:"timestamp"`
	Namespace Namespace `json:"namespace"`
}

// UnmarshalJSON refuses a snapshot that does not say what it is: one that is overlooked may be the newest.
func (s *Snapshot) UnmarshalJSON(b []byte) error {
	type plain Snapshot
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return err
	}
	if s.ID <= 0 || s.Name == "" || s.Namespace.Type == "" {
		return fmt.Errorf("snapshot without id, name or namespace: %.80q", b)
	}
	return nil
}

// Namespace is the kind of a snapshot and, for mirror snapshots, their state.
type Namespace struct {
	Type              string `json:"type"`  // user, mirror, trash, group
	State             string `json:"state"` // primary, non-primary, demoted, non-primary (demoted)
	Complete          bool   `json:"complete"`
	PrimaryMirrorUUID string `json:"primary_mirror_uuid"`
	PrimarySnapID     int64  `json:"primary_snap_id"`
	LastCopied        int64  `json:"last_copied_object_number"`
}

// copied says that mirroring brought the snapshot here. Each of the three signs suffices: one that is
// taken for this side's own would prove that the side had been primary.
func (s Snapshot) copied() bool {
	return s.Namespace.PrimaryMirrorUUID != "" || strings.Contains(s.Namespace.State, "non-primary") || strings.HasPrefix(s.Name, ".mirror.non_primary.")
}

// Time is when the snapshot was taken; zero when unreadable.
func (s Snapshot) Time() time.Time { return parseTime(snapTimeLayout, s.Timestamp) }

// yesNo accepts booleans and the strings "true" and "false" that rbd prints instead.
type yesNo bool

func (y *yesNo) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	v, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("want true or false, got %.20q", b)
	}
	*y = yesNo(v)
	return nil
}

// Snapshots lists all snapshots of an image, mirroring's own included.
func (c *CLI) Snapshots(ctx context.Context, img Image) ([]Snapshot, error) {
	return query[[]Snapshot](ctx, c, "snap", "ls", "--all", img.String())
}

// Schedule is one interval of mirror snapshots.
type Schedule struct {
	Interval string `json:"interval"`
	Start    string `json:"start_time,omitempty"`
}

// scheduleRow is one level of `mirror snapshot schedule ls -R`: "-" stands for "all".
type scheduleRow struct {
	Pool  string     `json:"pool"`
	Image string     `json:"image"`
	Items []Schedule `json:"items"`
}

// Schedules lists the image's own schedules, and those it would inherit from its pool or the cluster.
func (c *CLI) Schedules(ctx context.Context, img Image) (own, inherited []Schedule, err error) {
	rows, err := query[[]scheduleRow](ctx, c, "mirror", "snapshot", "schedule", "ls", "-R")
	for _, r := range rows {
		switch {
		case r.Pool == img.Pool && r.Image == img.Name:
			own = append(own, r.Items...)
		case r.Image == "-" && (r.Pool == img.Pool || r.Pool == "-"):
			inherited = append(inherited, r.Items...)
		}
	}
	return own, inherited, err
}
