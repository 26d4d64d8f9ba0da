package rbd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// oldStatus is when a report of rbd-mirror is called old. Live daemons report about every 30 s.
const oldStatus = 90 * time.Second

// Observe implements array.Driver. Both clusters are asked at once, always: what one cluster knows
// about the other is old, and looks healthy when the other is dead.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	now := time.Now().UTC()
	var sides [2]array.Side
	var wg sync.WaitGroup
	for i := range sides {
		wg.Go(func() { sides[i] = d.observeSide(ctx, i, now) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return array.Observation{}, err
	}
	o := array.Observation{At: now, Sides: sides[:], Mode: d.cfg.Mode}
	d.assess(&o)
	return o, nil
}

func (d *Driver) observeSide(ctx context.Context, i int, now time.Time) array.Side {
	s := array.Side{Site: d.cfg.Sites[i].Name, ObservedAt: now, Role: array.RoleUnknown}
	f, err := d.read(ctx, i, now)
	if err != nil {
		s.Error = err.Error()
		s.Native = map[string]any{"cluster": f.Cluster, "error_kind": kindName(err)}
		return s
	}
	s.Reachable, s.Native = true, f.native()
	s.Role, s.Writable, s.Writers = array.RoleNone, array.No, array.No
	switch {
	case f.Primary:
		s.Role, s.Writable, s.Writers = array.RolePrimary, array.TriOf(f.Held == nil), array.TriOf(len(f.Watchers) > 0)
	case f.Mirrored:
		s.Role = array.RoleSecondary // its watcher is rbd-mirror
	case f.Exists:
		s.Writable, s.Writers = array.Yes, array.TriOf(len(f.Watchers) > 0)
	}
	return s
}

// kindName is the short name of what went wrong, for reasons and scripts.
func kindName(err error) string {
	for _, k := range []error{ErrNoCluster, ErrNoPermission, ErrUnreachable, ErrTimeout, ErrNoTool, ErrUsage, ErrBadAnswer} {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	return "failed"
}

// pair is an observation with the native parts decoded.
type pair struct {
	o     array.Observation
	facts [2]facts
	prim  int // index of the only primary, -1 when there is none or two
}

func (d *Driver) pair(o array.Observation) pair {
	p := pair{o: o, prim: -1}
	var primaries int
	for i, s := range d.cfg.Sites {
		side := o.Side(s.Name)
		p.facts[i] = fromNative(side.Native)
		if side.Reachable && side.Role == array.RolePrimary {
			p.prim = i
			primaries++
		}
	}
	if primaries != 1 {
		p.prim = -1
	}
	return p
}

func (p pair) reachable(i int) bool { return p.o.Sides[i].Reachable }
func (p pair) bothPrimary() bool    { return p.facts[0].Primary && p.facts[1].Primary }

// caughtUp compares the two sides exactly, never by the reported status: does `to` hold everything
// that `from` has written?
//
//	journal:  the peer's commit position has reached the writer's, in from's own journal
//	snapshot: to holds a complete copy of from's newest mirror snapshot
func (p pair) caughtUp(mode string, from, to int) array.Tri {
	if !p.reachable(from) || !p.reachable(to) {
		return array.Unknown
	}
	a, b := p.facts[from], p.facts[to]
	if !a.Mirrored || !b.Mirrored {
		return array.No
	}
	if mode == ModeJournal {
		if a.Written == nil || b.FirstCopy || a.PeerLost {
			return array.No
		}
		if a.Replayed == nil {
			return array.TriOf(*a.Written == Position{})
		}
		return array.TriOf(!a.Replayed.Before(*a.Written))
	}
	if a.Newest == nil || b.Complete == nil {
		return array.No
	}
	return array.TriOf(b.copyOf(a) && b.Complete.ID >= a.Newest.ID)
}

// copyOf says that the newest complete snapshot here came from that side and not from an earlier life.
func (f facts) copyOf(from facts) bool {
	return f.Complete != nil && (f.Peer == nil || f.Peer.MirrorUUID == "" || f.Complete.From == f.Peer.MirrorUUID)
}

// firstCopy is what is known about the first copy onto a side.
type firstCopy int

const (
	copyUnknown firstCopy = iota // no proof in either direction
	copyRunning                  // proven incomplete
	copyDone                     // proven complete
)

// firstCopyOf judges from that side alone, because it is asked when the other one is dead.
func (f facts) firstCopyOf(mode string) firstCopy {
	if !f.Exists {
		return copyRunning
	}
	if mode == ModeSnapshot {
		if f.Complete != nil || f.Newest != nil {
			return copyDone // it holds a complete snapshot, or was primary itself
		}
		return copyRunning
	}
	label := Status{Description: f.Description}.Description
	switch {
	case f.FirstCopy, strings.HasSuffix(f.State, "+syncing"), strings.HasPrefix(label, "bootstrapping"):
		return copyRunning
	case strings.HasSuffix(f.State, "+replaying") && strings.HasPrefix(label, "replaying"),
		strings.HasPrefix(label, "remote image is not primary"), strings.HasPrefix(label, "local image is primary"),
		strings.HasPrefix(label, "orphan"), f.splitBrain():
		return copyDone
	case strings.HasSuffix(f.State, "+stopped") && f.Updated != "":
		return copyDone // an operator's stop after replaying
	}
	return copyUnknown
}

// assess fills what follows from the two sides.
func (d *Driver) assess(o *array.Observation) {
	p := d.pair(*o)
	o.Link, o.Replication = array.LinkUnknown, array.ReplicationUnknown
	for i := range o.Sides {
		d.sideReasons(o, p, i)
		if f := p.facts[i]; f.Exists && !f.Mirrored && p.facts[1-i].Primary {
			o.Sides[i].Writable = array.Unknown // somebody's own image, or one that rbd-mirror is just making
		}
	}
	if p.bothPrimary() {
		o.Replication = array.ReplicationError
		o.Reasons = append(o.Reasons, array.Reason{
			Code: array.ReasonTwoPrimaries,
			Text: fmt.Sprintf("%s is primary on both clusters: each has writes that the other lacks", d.cfg.Image),
			Next: "ddsgo failback " + d.cfg.Name + " --discard SITE",
		})
		o.Members = []array.Member{d.member(p, array.SyncUnknown)}
		return
	}
	if p.prim < 0 {
		d.assessNoPrimary(o, p)
		return
	}
	d.assessDirection(o, p)
}

func (d *Driver) assessNoPrimary(o *array.Observation, p pair) {
	o.Members = []array.Member{d.member(p, array.SyncUnknown)}
	if !o.AllReachable() {
		return
	}
	o.Replication = array.Stopped
	if p.facts[0].Mirrored && p.facts[1].Mirrored {
		o.Reasons = append(o.Reasons, array.Reason{
			Code: array.ReasonNotStarted,
			Text: "neither side is primary: a change of direction was cut; nobody can write",
			Next: "ddsgo swap " + d.cfg.Name + " --site " + d.cfg.Sites[0].Name,
		})
	}
}

func (d *Driver) member(p pair, sync array.Sync) array.Member {
	return array.Member{Name: d.cfg.Image.String(), Peer: d.cfg.Image.String(), Sync: sync}
}

// assessDirection: exactly one side is primary, the other one is p.prim's copy or is not read.
func (d *Driver) assessDirection(o *array.Observation, p pair) {
	from, to := p.prim, 1-p.prim
	m := d.member(p, array.SyncUnknown)
	if p.reachable(to) {
		m.Sync, m.SyncPoint, m.LastSync = d.progress(p, from, to)
		o.LastSync = m.LastSync
		if m.LastSync != nil {
			lag := max(o.At.Sub(*m.LastSync).Seconds(), 0)
			o.Lag = &lag
		}
		d.assessTarget(o, p, from, to, m.Sync)
	} else {
		m.Sync = array.Stale
		o.Replication = array.ReplicationUnknown
	}
	o.Members = []array.Member{m}
}

// progress says how far the copy is, from the exact counters.
func (d *Driver) progress(p pair, from, to int) (array.Sync, *int64, *time.Time) {
	a, b := p.facts[from], p.facts[to]
	sync := array.Syncing
	if p.caughtUp(d.cfg.Mode, from, to) == array.Yes {
		sync = array.Synced
	}
	if d.cfg.Mode == ModeJournal {
		if a.Replayed == nil || b.FirstCopy {
			return sync, nil, nil
		}
		point := a.Replayed.Tag<<journalTagShift | a.Replayed.Entry
		if sync != array.Synced {
			return sync, &point, nil
		}
		// The commit position may lack the writes of one commit age: that is what is certain.
		t := p.o.At.Add(-d.cfg.CommitAge - commitSlack)
		return sync, &point, &t
	}
	if !b.copyOf(a) {
		return sync, nil, nil
	}
	point := b.Complete.ID
	return sync, &point, d.pointInTime(a, b)
}

// journalTagShift packs a Position into the one number of a sync point: entries stay far below 2^40.
const journalTagShift = 40

// pointInTime is when the content of the newest complete snapshot was taken on the primary: from its
// own snapshot list, else from the daemon's report. The copy's own time stamp would be too late.
func (d *Driver) pointInTime(a, b facts) *time.Time {
	if a.Newest != nil && a.Newest.ID == b.Complete.ID && !a.Newest.Time.IsZero() {
		return &a.Newest.Time
	}
	if _, r := (Status{Description: b.Description}).Replaying(); r.LocalTimestamp > 0 {
		t := time.Unix(r.LocalTimestamp, 0).UTC()
		return &t
	}
	return nil
}

// assessTarget judges the side that receives.
func (d *Driver) assessTarget(o *array.Observation, p pair, from, to int, sync array.Sync) {
	a, b := p.facts[from], p.facts[to]
	reason := func(code array.ReasonCode, next, format string, args ...any) {
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: fmt.Sprintf(format, args...), Next: next})
	}
	name, site := d.cfg.Name, d.cfg.Sites[to].Name
	switch {
	case b.splitBrain():
		o.Replication = array.ReplicationError
		reason(array.ReasonSplitBrain, "ddsgo array resync "+name+" --discard "+site, "split brain: %s has writes that %s lacks; %s", site, d.cfg.Sites[from].Name, b.describe())
	case b.firstCopyOf(d.cfg.Mode) == copyRunning && a.Mirrored:
		o.Replication = array.Initial
		reason(array.ReasonFirstCopy, "", "the first copy onto %s is not complete; %s", site, b.describe())
	case d.held(a, b):
		o.Replication = array.Held
		reason(array.ReasonHeld, "ddsgo resume "+name, "replication of %s is held", d.cfg.Image)
	case a.PeerLost:
		o.Replication = array.ReplicationError
		reason(array.ReasonNotSynced, "ddsgo array resync "+name+" --discard "+site, "the journal has disconnected %s: it fell too far behind", site)
	case d.cfg.Mode == ModeJournal && b.stopped():
		o.Replication = array.Stopped
		reason(array.ReasonSuspended, "ddsgo resume "+name, "rbd-mirror at %s does not replay %s: stopped at its admin socket, or changing direction; %s", site, d.cfg.Image, b.describe())
	case strings.HasPrefix(b.Description, "local image is primary") && sync != array.Synced && b.Socket != "Replaying":
		o.Replication = array.Stopped
		reason(array.ReasonNotStarted, "", "rbd-mirror at %s has not said yet whether it can go on from what it has; %s", site, b.describe())
	case b.daemonGone():
		o.Replication, o.Link = array.Stopped, array.LinkDown
		reason(array.ReasonNotStarted, "ddsgo doctor "+name, "no live rbd-mirror serves %s at %s: %s", d.cfg.Image, site, b.describe())
	default:
		o.Replication = array.Running
		if b.AgeSeconds != nil || b.Socket == "Replaying" {
			o.Link = array.LinkUp
		}
	}
	if d.cfg.Mode == ModeJournal && a.paused() && o.Replication == array.Running {
		reason(array.ReasonHeld, "ddsgo break "+name, "a break was asked for, but rbd-mirror at %s replays: its restart ended the pause; %s", site, b.describe())
	}
	if d.cfg.Mode == ModeSnapshot && o.Replication == array.Running && len(a.Schedules)+len(a.Inherited) == 0 {
		reason(array.ReasonNoPeriod, "ddsgo array setup "+name, "no snapshot schedule on %s: the copy moves only by `ddsgo update`", a.Cluster)
	}
	if b.AgeSeconds != nil && time.Duration(*b.AgeSeconds*float64(time.Second)) > oldStatus && o.Replication == array.Running {
		reason(array.ReasonUnknownValue, "ddsgo doctor "+name, "the report of rbd-mirror at %s is old: %s", site, b.describe())
	}
	if strings.HasPrefix(b.PeerState, "down+") && o.Replication == array.Running {
		reason(array.ReasonUnknownValue, "ddsgo doctor "+name, "no live rbd-mirror at %s: the way back would not work (%s)", d.cfg.Sites[from].Name, b.PeerState)
	}
}

// held says whether a break is in force. In journal mode only the daemon knows; in snapshot mode it
// is the absence of schedules together with the mark that break left.
func (d *Driver) held(from, to facts) bool {
	if d.cfg.Mode == ModeSnapshot {
		return from.paused() && len(from.Schedules) == 0 && len(from.Inherited) == 0
	}
	return from.paused() && to.stopped()
}

// stopped: the daemon of a target does not replay. That is a break, somebody at its admin socket, or,
// for some seconds, a change of direction; only the note that break leaves tells which.
func (f facts) stopped() bool {
	if f.Socket != "" {
		return f.Socket == "Stopped"
	}
	return f.State == "up+stopped" && strings.HasPrefix(f.Description, "stopped")
}

// daemonGone: the daemon's last report says so, and its socket, where there is one, does not answer.
func (f facts) daemonGone() bool { return !f.HasDaemon && f.Updated != "" && f.Socket == "" }

// sideReasons names what is wrong with one side by itself.
func (d *Driver) sideReasons(o *array.Observation, p pair, i int) {
	side, f, cfg := o.Sides[i], p.facts[i], d.cfg.Sites[i]
	reason := func(code array.ReasonCode, next, format string, args ...any) {
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: cfg.Name + ": " + fmt.Sprintf(format, args...), Next: next})
	}
	switch {
	case !side.Reachable:
		kind, _ := side.Native["error_kind"].(string)
		reason(array.ReasonUnreachable, nextFor(kind, cfg.Cluster), "%s", side.Error)
	case !f.PoolFound:
		reason(array.ReasonAbsent, "ceph --cluster "+cfg.Cluster.Name+" osd pool ls", "cluster %s has no pool %q", cfg.Cluster.Name, d.cfg.Image.Pool)
	case f.PoolMode == "disabled":
		reason(array.ReasonAbsent, "ddsgo array setup "+d.cfg.Name, "mirroring of pool %q is off in cluster %s", d.cfg.Image.Pool, cfg.Cluster.Name)
	case !f.Exists && !p.facts[1-i].Mirrored:
		reason(array.ReasonAbsent, "ddsgo array create "+d.cfg.Name, "cluster %s has no image %s", cfg.Cluster.Name, d.cfg.Image)
	case f.Exists && !f.Mirrored:
		reason(array.ReasonAbsent, "ddsgo array setup "+d.cfg.Name, "image %s of cluster %s is not mirrored", d.cfg.Image, cfg.Cluster.Name)
	case f.Mirrored && f.Mode != d.cfg.Mode:
		reason(array.ReasonWrongMode, "", "image %s is mirrored in mode %s, configured is %s", d.cfg.Image, f.Mode, d.cfg.Mode)
	case f.PoolMode == "image" && f.Peer == nil:
		reason(array.ReasonNotStarted, "ddsgo array setup "+d.cfg.Name, "pool %q of cluster %s has no peer to receive from", d.cfg.Image.Pool, cfg.Cluster.Name)
	}
	if f.Held != nil {
		reason(array.ReasonUnknownValue, "ddsgo failover "+d.cfg.Name+" --site "+cfg.Name, "primary, but rbd-mirror (%s) still holds the image's lock: nobody can write", f.Held.Locker)
	}
	if f.Mirrored && f.Mode == ModeSnapshot && f.ParentImage != "" {
		reason(array.ReasonSuspect, "rbd --cluster "+cfg.Cluster.Name+" flatten "+d.cfg.Image.String()+", then: ddsgo array resync "+d.cfg.Name+" --discard SITE", "a clone of %s: %s", f.ParentImage, cloneTrap)
	}
	if f.PoolMode == "pool" {
		reason(array.ReasonWrongMode, "", "pool %q of cluster %s is mirrored as a whole (mode pool); ddsgo needs mode image and never switches it", d.cfg.Image.Pool, cfg.Cluster.Name)
	}
}

// nextFor is the command that shows what is wrong with reaching a cluster.
func nextFor(kind string, c Cluster) string {
	switch kind {
	case ErrNoCluster.Error():
		if c.Conf != "" {
			return "ls -l " + c.Conf
		}
		return "ls -l /etc/ceph/" + c.Name + ".conf"
	case ErrNoPermission.Error():
		user := c.User
		if user == "" {
			user = "admin"
		}
		return "ceph --cluster " + c.Name + " auth get client." + user
	case ErrNoTool.Error():
		return "apt-get install ceph-common"
	}
	return "ceph --cluster " + c.Name + " --connect-timeout 5 status"
}
