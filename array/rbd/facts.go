package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Keys of the image metadata that ddsgo writes. They live with the image and mirroring carries them
// to the other side, so either site can finish what the other began.
const (
	metaPaused   = "ddsgo.paused"   // break: JSON of the schedules that resume puts back
	metaFeatures = "ddsgo.features" // features that setup added, comma-separated
	metaSync     = "ddsgo.sync"     // update: the journal position that the peer has to reach
	metaWritable = "ddsgo.writable" // proof of a write after a promotion
	metaCreated  = "ddsgo.created"  // the image was made by array create
	metaProbe    = "ddsgo."         // prefix of all
)

// syncSnapPrefix starts the name of the snapshot that a journal-mode first copy works from. On the
// target it is there exactly as long as that copy is incomplete.
const syncSnapPrefix = ".rbd-mirror."

// facts is what one cluster said about the image; the native part of a side.
type facts struct {
	Cluster   string `json:"cluster"`
	PoolFound bool   `json:"pool_found"`
	PoolMode  string `json:"pool_mode"`
	Peer      *Peer  `json:"peer,omitempty"` // the one this side pulls from
	PeerRows  int    `json:"peer_rows"`
	Senders   []Peer `json:"tx_only_peers,omitempty"` // rows that the other side's rbd-mirror made here

	Exists   bool     `json:"exists"`
	ID       string   `json:"id,omitempty"`
	Size     int64    `json:"size,omitempty"`
	Features []string `json:"features,omitempty"`
	Journal  string   `json:"journal,omitempty"` // id of the image's journal
	Mirrored bool     `json:"mirrored"`
	Mode     string   `json:"mode,omitempty"`
	GlobalID string   `json:"global_id,omitempty"`
	Primary  bool     `json:"primary"`

	State       string   `json:"state,omitempty"`
	Description string   `json:"description,omitempty"`
	Updated     string   `json:"last_update,omitempty"` // RFC 3339
	AgeSeconds  *float64 `json:"status_age_seconds,omitempty"`
	PeerState   string   `json:"peer_state,omitempty"` // the other site's, as stored here
	HasDaemon   bool     `json:"has_daemon"`           // a daemon reported this image and was up

	Written   *Position `json:"journal_written,omitempty"`  // own writer's commit position
	Replayed  *Position `json:"journal_replayed,omitempty"` // the peer's
	PeerLost  bool      `json:"journal_peer_disconnected,omitempty"`
	FirstCopy bool      `json:"first_copy_snapshot,omitempty"`

	Newest      *mirrorSnap `json:"newest_primary_snapshot,omitempty"`  // primary or demoted, taken here
	Complete    *mirrorSnap `json:"newest_complete_snapshot,omitempty"` // copied here, complete
	Copying     bool        `json:"snapshot_copy_incomplete,omitempty"`
	Schedules   []Schedule  `json:"schedules,omitempty"`
	Inherited   []Schedule  `json:"inherited_schedules,omitempty"`
	UserSnaps   int         `json:"user_snapshots,omitempty"`
	ParentImage string      `json:"parent,omitempty"`

	Watchers []string          `json:"watchers,omitempty"`
	Held     *Lock             `json:"lock_of_rbd_mirror,omitempty"` // on a primary: a daemon that cannot let go
	Meta     map[string]string `json:"meta,omitempty"`
	Kept     []string          `json:"kept_copies,omitempty"`
	Socket   string            `json:"rbd_mirror,omitempty"` // live state behind the admin socket
	SockErr  string            `json:"rbd_mirror_error,omitempty"`
}

// mirrorSnap is a mirror snapshot: ID is the primary's id on either side.
type mirrorSnap struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time,omitzero"`
	Local   int64     `json:"local_id,omitempty"` // id in the cluster that was asked
	Demoted bool      `json:"demoted,omitempty"`
	From    string    `json:"from,omitempty"` // mirror uuid of the side it was copied from
	Size    int64     `json:"size,omitempty"`
}

func (f facts) has(feature string) bool { return Info{Features: f.Features}.Has(feature) }

func (f facts) splitBrain() bool {
	return Status{Description: f.Description}.SplitBrain() && strings.HasSuffix(f.State, "+error")
}

func (f facts) paused() bool { _, ok := f.Meta[metaPaused]; return ok }

// native turns facts into the map that an observation carries; fromNative turns it back. The way
// through JSON makes an observation that was stored or sent equal to a fresh one.
func (f facts) native() map[string]any {
	b, err := json.Marshal(f)
	if err != nil {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(b, &m) != nil {
		return nil
	}
	return m
}

func fromNative(m map[string]any) facts {
	var f facts
	if b, err := json.Marshal(m); err == nil {
		_ = json.Unmarshal(b, &f) // what cannot be read stays zero, that is: not proven
	}
	return f
}

// read asks one cluster for everything. An error means that the cluster could not be read at all;
// a missing pool or image is a fact.
func (d *Driver) read(ctx context.Context, i int, now time.Time) (facts, error) {
	c, img := d.cli[i], d.cfg.Image
	f := facts{Cluster: d.cfg.Sites[i].Cluster.Name, PoolFound: true}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.readPool(gctx, c, img.Pool) })
	var info Info
	g.Go(func() (err error) {
		info, err = c.Info(gctx, img)
		if errors.Is(err, ErrNoPool) || errors.Is(err, ErrNoImage) {
			return nil
		}
		f.Exists = err == nil
		return err
	})
	if err := g.Wait(); err != nil || !f.Exists {
		return f, err
	}
	f.setInfo(info)
	return f, d.readImage(ctx, i, &f, now)
}

func (f *facts) readPool(ctx context.Context, c *CLI, pool string) error {
	p, err := c.PoolInfo(ctx, pool)
	if errors.Is(err, ErrNoPool) {
		f.PoolFound = false
		return nil
	}
	f.PoolMode, f.PeerRows = p.Mode, len(p.Peers)
	if rx, ok := p.RX(); ok {
		f.Peer = &rx
	}
	for _, row := range p.Peers {
		if !row.Receives() {
			f.Senders = append(f.Senders, row)
		}
	}
	return err
}

func (f *facts) setInfo(i Info) {
	f.ID, f.Size, f.Features, f.Journal = i.ID, i.Size, i.Features, i.JournalID
	if i.Parent != nil {
		f.ParentImage = Image{Pool: i.Parent.Pool, Name: i.Parent.Image}.At(i.Parent.Snapshot)
	}
	f.Mirrored = i.Mirrored()
	if i.Mirroring != nil {
		f.Mode, f.GlobalID, f.Primary = i.Mirroring.Mode, i.Mirroring.GlobalID, i.IsPrimary()
		f.FirstCopy = i.Mirroring.State == mirrorCreating
		if f.Mode == "" {
			f.Mode = ModeJournal
		}
	}
}

// readImage reads the rest, concurrently. The image may vanish meanwhile (a resync recreates it):
// that is the fact "does not exist".
func (d *Driver) readImage(ctx context.Context, i int, f *facts, now time.Time) error {
	c, img := d.cli[i], d.cfg.Image
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	g.Go(func() (err error) { f.Meta, err = c.Meta(gctx, img); return err })
	g.Go(func() error {
		snaps, err := c.Snapshots(gctx, img)
		f.setSnapshots(snaps)
		return err
	})
	if f.Mirrored {
		g.Go(func() error {
			s, err := c.ImageStatus(gctx, img)
			if errors.Is(err, ErrNotMirrored) {
				return nil
			}
			f.setStatus(s, now)
			return err
		})
	}
	if f.has("journaling") {
		g.Go(func() error {
			j, err := c.Journal(gctx, img)
			f.setJournal(j)
			return err
		})
	}
	if f.Mode == ModeSnapshot || d.cfg.Mode == ModeSnapshot {
		g.Go(func() (err error) { f.Schedules, f.Inherited, err = c.Schedules(gctx, img); return err })
	}
	if d.cfg.Sites[i].Cluster.MirrorSocket != "" {
		g.Go(func() error {
			var err error
			if f.Socket, err = c.Replaying(gctx, img); err != nil {
				f.SockErr = err.Error() // never worth more than a reason: the status goes on
			}
			return nil
		})
	}
	err := g.Wait()
	if err == nil { // not beside the other calls: some of them open the image for writing, for an instant
		err = d.readUsers(ctx, c, f)
	}
	if errors.Is(err, ErrNoImage) {
		*f = facts{Cluster: f.Cluster, PoolFound: true, PoolMode: f.PoolMode, Peer: f.Peer, PeerRows: f.PeerRows}
		return nil
	}
	return err
}

// watchAgain is how long a watcher has to stay to count as somebody who uses the image: commands that
// only look, ours and others', open it for a shorter time.
const watchAgain = 300 * time.Millisecond

// readUsers finds who has the image open, without the rbd-mirror daemons and passers-by. A primary
// whose lock a daemon holds is not writable: after a forced promotion the daemon of this side may
// wait for the dead one for ever, and keeps the lock meanwhile.
func (d *Driver) readUsers(ctx context.Context, c *CLI, f *facts) error {
	all, err := c.Watchers(ctx, d.cfg.Image)
	if err != nil || len(all) == 0 || !f.Primary {
		f.Watchers = all
		return err
	}
	daemons, err := c.mirrorDaemons(ctx, d.cfg.Image.Pool)
	if err != nil {
		f.Watchers = all //nolint:nilerr // who they are is not known: taken for users, the safe side
		return nil
	}
	if slices.ContainsFunc(all, func(w string) bool { return slices.Contains(daemons, w) }) {
		locks, err := c.Locks(ctx, d.cfg.Image)
		if err != nil {
			return err
		}
		if len(locks) > 0 && slices.Contains(daemons, locks[0].Address) {
			f.Held = &locks[0]
		}
	}
	f.Watchers, err = c.staying(ctx, d.cfg.Image, slices.DeleteFunc(all, func(w string) bool { return slices.Contains(daemons, w) }))
	return err
}

// staying are those of the watchers that are still there after watchAgain.
func (c *CLI) staying(ctx context.Context, img Image, seen []string) ([]string, error) {
	if len(seen) == 0 {
		return nil, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(watchAgain):
	}
	again, err := c.Watchers(ctx, img)
	return slices.DeleteFunc(seen, func(w string) bool { return !slices.Contains(again, w) }), err
}

// Users lists who has the image open, without passers-by and, where they can be told, rbd-mirror.
func (c *CLI) Users(ctx context.Context, img Image) ([]string, error) {
	all, err := c.Watchers(ctx, img)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if daemons, err := c.mirrorDaemons(ctx, img.Pool); err == nil {
		all = slices.DeleteFunc(all, func(w string) bool { return slices.Contains(daemons, w) })
	}
	return c.staying(ctx, img, all)
}

func (f *facts) setStatus(s Status, now time.Time) {
	f.State, f.Description = s.State, s.Description
	f.HasDaemon = s.Up() && s.DaemonService != nil
	if t := s.Updated(); !t.IsZero() {
		age := max(now.Sub(t).Seconds(), 0)
		f.Updated, f.AgeSeconds = t.Format(time.RFC3339), &age
	}
	for _, p := range s.PeerSites {
		f.PeerState = p.State
	}
}

// setJournal finds the writer's position and that of the peer this side has; before the daemons have
// met, any one other client is the peer.
func (f *facts) setJournal(j JournalStatus) {
	if _, pos, ok := j.Client(""); ok {
		f.Written = &pos
	}
	peer := ""
	if f.Peer != nil {
		peer = f.Peer.MirrorUUID
	}
	for _, c := range j.Clients {
		if c.ID == "" || peer != "" && c.ID != peer {
			continue
		}
		if _, pos, ok := j.Client(c.ID); ok {
			f.Replayed = &pos
		}
		f.PeerLost = c.State == "disconnected"
	}
}

func (f *facts) setSnapshots(snaps []Snapshot) {
	for _, s := range snaps {
		switch {
		case s.Namespace.Type == "mirror" && s.copied():
			if !s.Namespace.Complete || s.Namespace.PrimaryMirrorUUID == "" || s.Namespace.PrimarySnapID == 0 {
				f.Copying = true
			} else if f.Complete == nil || s.ID > f.Complete.Local {
				f.Complete = &mirrorSnap{
					ID: s.Namespace.PrimarySnapID, Local: s.ID, Time: s.Time(), Size: s.Size,
					From: s.Namespace.PrimaryMirrorUUID, Demoted: strings.Contains(s.Namespace.State, "demoted"),
				}
			}
		case s.Namespace.Type == "mirror":
			if f.Newest == nil || s.ID > f.Newest.ID {
				f.Newest = &mirrorSnap{ID: s.ID, Local: s.ID, Time: s.Time(), Demoted: s.Namespace.State == "demoted", Size: s.Size}
			}
		case strings.HasPrefix(s.Name, syncSnapPrefix):
			f.FirstCopy = true
		default:
			f.UserSnaps++
		}
	}
}

// describe is the status in words, with its age: it may be old, and old ones look healthy.
func (f facts) describe() string {
	label, _ := jsonTail(f.Description, new(Replay))
	if f.AgeSeconds == nil {
		return fmt.Sprintf("%s (%s), never reported", f.State, label)
	}
	return fmt.Sprintf("%s (%s), reported %.0f s ago", f.State, label, *f.AgeSeconds)
}
