package rbd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Modes of mirroring, as `rbd` spells them.
const (
	ModeJournal  = "journal"
	ModeSnapshot = "snapshot"
)

// timeLayout is how rbd prints last_update; children run in UTC.
const timeLayout = "2006-01-02 15:04:05"

// snapTimeLayout is how rbd prints the time of a snapshot.
const snapTimeLayout = "Mon Jan _2 15:04:05 2006"

// PoolMirror is `mirror pool info`.
type PoolMirror struct {
	Mode     string `json:"mode"` // disabled, image, pool
	SiteName string `json:"site_name"`
	Peers    []Peer `json:"peers"`
}

// Peer is one row of the pool's peers.
type Peer struct {
	UUID       string `json:"uuid"`
	Direction  string `json:"direction"` // rx-tx, rx-only, tx-only
	SiteName   string `json:"site_name"`
	MirrorUUID string `json:"mirror_uuid"` // empty until the daemons have met
	ClientName string `json:"client_name"`
}

// Receives says that this side pulls from that peer; a tx-only row is the other side's peer seen from here.
func (p Peer) Receives() bool { return strings.Contains(p.Direction, "rx") }

// RX returns the peer that this side pulls from. There is at most one.
func (p PoolMirror) RX() (Peer, bool) {
	for _, peer := range p.Peers {
		if peer.Receives() {
			return peer, true
		}
	}
	return Peer{}, false
}

// PoolInfo reads the mirroring of a pool.
func (c *CLI) PoolInfo(ctx context.Context, pool string) (PoolMirror, error) {
	return query[PoolMirror](ctx, c, "mirror", "pool", "info", pool)
}

// Info is `rbd info`.
type Info struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	Size     int64    `json:"size"`
	Features []string `json:"features"`
	Parent   *struct {
		Pool     string `json:"pool"`
		Image    string `json:"image"`
		Snapshot string `json:"snapshot"`
	} `json:"parent"`
	JournalID string          `json:"journal"`
	Created   string          `json:"create_timestamp"`
	Mirroring *ImageMirroring `json:"mirroring"`
}

// ImageMirroring is the mirroring of an image.
type ImageMirroring struct {
	Mode     string `json:"mode"`  // absent before Octopus: journal
	State    string `json:"state"` // enabled, disabling; later releases: creating
	GlobalID string `json:"global_id"`
	Primary  bool   `json:"primary"`
}

// UnmarshalJSON refuses an answer without the two keys that decide who may write: a key that is not
// there must not read as "no".
func (m *ImageMirroring) UnmarshalJSON(b []byte) error {
	type plain ImageMirroring
	raw := struct {
		*plain
		Primary *bool `json:"primary"`
	}{plain: (*plain)(m)}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if m.State == "" || raw.Primary == nil && m.State == mirrorEnabled {
		return fmt.Errorf("mirroring without state or primary: %.80q", b)
	}
	m.Primary = raw.Primary != nil && *raw.Primary
	return nil
}

// States of an image's mirroring. Squid has an image that is about to be copied in "creating" (not run).
const (
	mirrorEnabled  = "enabled"
	mirrorCreating = "creating"
)

// Has says whether the image has a feature.
func (i Info) Has(feature string) bool {
	for _, f := range i.Features {
		if f == feature {
			return true
		}
	}
	return false
}

// Mirrored says that mirroring of the image is enabled.
func (i Info) Mirrored() bool {
	return i.Mirroring != nil && (i.Mirroring.State == mirrorEnabled || i.Mirroring.State == mirrorCreating)
}

// IsPrimary says that the cluster calls the image primary, whatever the state of its mirroring.
func (i Info) IsPrimary() bool { return i.Mirroring != nil && i.Mirroring.Primary }

// Info reads an image.
func (c *CLI) Info(ctx context.Context, img Image) (Info, error) {
	return query[Info](ctx, c, "info", img.String())
}

// Status is `mirror image status`: what the rbd-mirror daemons last reported, up to about 30 s old
// and kept for ever when a daemon dies. It is never proof of anything.
type Status struct {
	Name          string       `json:"name"`
	GlobalID      string       `json:"global_id"`
	State         string       `json:"state"`
	Description   string       `json:"description"`
	LastUpdate    string       `json:"last_update"`
	DaemonService *Daemon      `json:"daemon_service"`
	PeerSites     []SiteStatus `json:"peer_sites"`
}

// SiteStatus is what the other site's daemon reported.
type SiteStatus struct {
	SiteName    string `json:"site_name"`
	State       string `json:"state"`
	Description string `json:"description"`
	LastUpdate  string `json:"last_update"`
}

// Daemon is one rbd-mirror daemon.
type Daemon struct {
	InstanceID string `json:"instance_id"`
	DaemonID   string `json:"daemon_id"`
	Hostname   string `json:"hostname"`
}

// Up says that a daemon claimed the image when it last reported.
func (s Status) Up() bool { return strings.HasPrefix(s.State, "up+") }

// SplitBrain says that the daemon refuses to replicate because both sides were written.
func (s Status) SplitBrain() bool { return strings.HasPrefix(s.Description, "split-brain") }

// Replay is the JSON tail of a "replaying" description, of either mode.
type Replay struct {
	EntriesBehind    *int64 `json:"entries_behind_primary"`
	State            string `json:"replay_state"`
	SyncingPercent   *int   `json:"syncing_percent"`
	LocalTimestamp   int64  `json:"local_snapshot_timestamp"`
	RemoteTimestamp  int64  `json:"remote_snapshot_timestamp"`
	LastSyncSeconds  *int64 `json:"last_snapshot_sync_seconds"`
	SyncingTimestamp int64  `json:"syncing_snapshot_timestamp"`
	// seconds_until_synced is not read: real daemons print garbage there.
}

// Replaying splits the description into its label and the numbers behind it.
func (s Status) Replaying() (label string, r Replay) {
	label, _ = jsonTail(s.Description, &r)
	return label, r
}

// Updated is the time of the last report; zero when there was none.
func (s Status) Updated() time.Time { return parseTime(timeLayout, s.LastUpdate) }

func parseTime(layout, s string) time.Time {
	t, err := time.ParseInLocation(layout, s, time.UTC)
	if err != nil {
		return time.Time{}
	}
	return t
}

// ImageStatus reads what the daemons say about an image.
func (c *CLI) ImageStatus(ctx context.Context, img Image) (Status, error) {
	return query[Status](ctx, c, "mirror", "image", "status", img.String())
}

// PoolHealth is `mirror pool status --verbose`.
type PoolHealth struct {
	Summary struct {
		Health       string         `json:"health"`
		DaemonHealth string         `json:"daemon_health"`
		States       map[string]int `json:"states"`
	} `json:"summary"`
	Daemons []struct {
		ServiceID string   `json:"service_id"`
		ClientID  string   `json:"client_id"`
		Hostname  string   `json:"hostname"`
		Version   string   `json:"ceph_version"`
		Leader    bool     `json:"leader"`
		Health    string   `json:"health"`
		Callouts  []string `json:"callouts"`
	} `json:"daemons"`
	Images []Status `json:"images"`
}

// PoolStatus reads the status of every mirrored image of a pool in one call.
func (c *CLI) PoolStatus(ctx context.Context, pool string) (PoolHealth, error) {
	return query[PoolHealth](ctx, c, "mirror", "pool", "status", pool, "--verbose")
}

// Watchers lists the addresses of clients that have the image open for writing.
func (c *CLI) Watchers(ctx context.Context, img Image) ([]string, error) {
	type answer struct {
		Watchers []struct {
			Address string `json:"address"`
		} `json:"watchers"`
	}
	a, err := query[answer](ctx, c, "status", img.String())
	var out []string
	for _, w := range a.Watchers {
		out = append(out, w.Address)
	}
	return out, err
}

// Lock is who holds the exclusive lock of an image.
type Lock struct {
	ID      string `json:"id"`
	Locker  string `json:"locker"`
	Address string `json:"address"`
}

// Locks lists the holders of the image's lock: none or one.
func (c *CLI) Locks(ctx context.Context, img Image) ([]Lock, error) {
	return query[[]Lock](ctx, c, "lock", "ls", img.String())
}

// Meta reads the image's metadata. It lives in the image, and mirroring carries it to the peer.
func (c *CLI) Meta(ctx context.Context, img Image) (map[string]string, error) {
	out, err := c.call(ctx, "image-meta", "list", img.String(), "--format", "json")
	if err != nil || len(strings.TrimSpace(string(out))) == 0 { // rbd prints nothing at all for none
		return nil, err
	}
	var m map[string]string
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, fmt.Errorf("cluster %s: image-meta list %s: %w: %w", c.cluster.Name, img, ErrBadAnswer, err)
	}
	return m, nil
}

// ListRow is one row of `ls -l`: an image or one of its snapshots.
type ListRow struct {
	Image    string `json:"image"`
	ID       string `json:"id"`
	Size     int64  `json:"size"`
	Snapshot string `json:"snapshot"`
	LockType string `json:"lock_type"`
}

// List lists the images of a pool with one call; rows of snapshots are left out.
func (c *CLI) List(ctx context.Context, pool string) ([]ListRow, error) {
	rows, err := query[[]ListRow](ctx, c, "ls", "-l", pool)
	var out []ListRow
	for _, r := range rows {
		if r.Snapshot == "" {
			out = append(out, r)
		}
	}
	return out, err
}

// Replaying asks the live rbd-mirror behind the admin socket: "Replaying", "Stopped", ...
// Unlike Status this is the present state, but it does not know of a first copy that still runs.
func (c *CLI) Replaying(ctx context.Context, img Image) (string, error) {
	out, err := c.mirrorSocket(ctx, "rbd", "mirror", "status", img.String())
	if err != nil {
		return "", err
	}
	var a struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return "", fmt.Errorf("cluster %s: admin socket: %w: %w", c.cluster.Name, ErrBadAnswer, err)
	}
	return a.State, nil
}
