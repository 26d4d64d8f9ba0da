package hp3par

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// seen is one side of the group as its array shows it.
type seen struct {
	site  string
	err   error // the array was not read
	here  bool  // the group exists there
	g     group
	link  array.Link
	facts *facts // nil: the verb needs none
	asked time.Time
}

// Observe implements array.Driver: both arrays are asked at once.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	var sides [2]seen
	var wg sync.WaitGroup
	for i, s := range d.c.Sites {
		wg.Go(func() { sides[i] = d.look(ctx, s) })
	}
	wg.Wait()
	d.shared, d.first = false, false
	if ctx.Err() != nil {
		return array.Observation{}, context.Cause(ctx)
	}
	for _, s := range sides {
		if errors.Is(s.err, ErrConfig) {
			return array.Observation{}, typed(s.site, s.err)
		}
	}
	o := array.Observation{At: d.c.Now(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	for _, s := range sides {
		o.Sides = append(o.Sides, s.side())
		o.Link = joinLink(o.Link, s)
	}
	d.judge(&o, sides)
	return o, nil
}

func (d *Driver) look(ctx context.Context, s Site) seen {
	l, err := s.Array.list(ctx, d.shared)
	out := seen{site: s.Name, err: err, asked: time.Now()}
	if err != nil {
		return out
	}
	out.g, out.here = l.groups[s.Group]
	target := d.site(d.peer(s.Name)).Array.Name
	if out.here {
		target = out.g.target
	}
	out.link = array.LinkUnknown
	if up, known := l.linkUp(target); known {
		out.link = array.LinkDown
		if up {
			out.link = array.LinkUp
		}
	}
	if d.focus != nil && (lifeCycleOfVolumes(d.focus.Verb) || d.focus.Verb.ChangesDirection()) {
		out.facts, out.err = d.readFacts(ctx, s, l)
	}
	return out
}

// joinLink: a link is up when every array that was read says so.
func joinLink(so array.Link, s seen) array.Link {
	switch {
	case s.err != nil || s.link == array.LinkUnknown:
		return so
	case so == array.LinkDown || s.link == array.LinkDown:
		return array.LinkDown
	}
	return array.LinkUp
}

// side is what a side looks like for everybody.
func (s seen) side() array.Side {
	out := array.Side{Site: s.site, Role: array.RoleUnknown, ObservedAt: s.asked}
	if s.err != nil {
		out.Error = s.err.Error()
		return out
	}
	out.Reachable = true
	if !s.here {
		out.Role, out.Writable = array.RoleNone, array.Unknown
		if s.facts != nil {
			out.Native = map[string]any{nativeFacts: s.facts}
		}
		return out
	}
	out.Native = map[string]any{
		"group": s.g.name, "target": s.g.target, "role": string(s.g.role), "status": s.g.status, "mode": s.g.mode, "policies": s.g.policies,
	}
	if s.facts != nil {
		out.Native[nativeFacts] = s.facts
	}
	switch {
	case s.g.role.primary():
		out.Role, out.Writable = array.RolePrimary, array.Yes
	case s.g.role.secondary():
		out.Role, out.Writable = array.RoleSecondary, array.No
	}
	if len(s.g.members) == 0 && out.Writable == array.No {
		out.Writable = array.Unknown // of an empty group: its volumes are not the group's, or not yet
	}
	return out
}

// judge fills what follows from both sides together.
func (d *Driver) judge(o *array.Observation, sides [2]seen) {
	add := func(code array.ReasonCode, format string, args ...any) {
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	speaker := d.speaker(sides)
	for _, s := range sides {
		if s.err == nil && !s.here {
			add(array.ReasonAbsent, "group %s does not exist on %s", d.site(s.site).Group, d.site(s.site).Array.Name)
		}
	}
	if speaker == nil {
		if len(o.Reasons) > 0 {
			o.Replication = array.Stopped
		}
		return
	}
	g := speaker.g
	o.Mode = g.mode
	o.Replication = replicationOf(sides, o.Link)
	d.members(o, *speaker)
	d.reasons(o, sides, *speaker, add)
}

// speaker is the side that knows most: the primary one, else any that has the group.
func (d *Driver) speaker(sides [2]seen) *seen {
	var best *seen
	for i := range sides {
		s := &sides[i]
		if s.err != nil || !s.here {
			continue
		}
		newer := best == nil || s.g.role == primaryRev || s.g.role.primary() && !best.g.role.primary()
		if newer {
			best = s
		}
	}
	return best
}

func replicationOf(sides [2]seen, link array.Link) array.Replication {
	so := array.ReplicationUnknown
	for _, s := range sides {
		if s.err != nil || !s.here {
			continue
		}
		now := statusMeans(s.g, link)
		if so == array.ReplicationUnknown || s.g.role.primary() && now != array.ReplicationUnknown || now == array.ReplicationError {
			so = now
		}
	}
	return so
}

func statusMeans(g group, link array.Link) array.Replication {
	if !g.role.primary() && !g.role.secondary() {
		return array.ReplicationError
	}
	switch g.status {
	case statusStarted, statusStarting:
		if link == array.LinkDown {
			return array.Stopped
		}
		if g.firstCopy() {
			return array.Initial
		}
		return array.Running
	case statusFailsafe:
		return array.ReplicationError
	case statusNew, statusStopped, statusStopping, "Restart", "Backup", "Logging":
		return array.Stopped
	}
	return array.ReplicationUnknown
}

// firstCopy: a volume is being copied that never was complete.
func (g group) firstCopy() bool {
	for _, m := range g.members {
		if m.sync == "New" || m.sync == "Syncing" && m.last.none() && g.mode != modeSync {
			return true
		}
	}
	return false
}

var syncWords = map[string]array.Sync{
	"Synced": array.Synced, "Syncing": array.Syncing, "New": array.Stale, "New-PreSynced": array.Stale, "New-SyncFromSnap": array.Stale,
	"NotSynced": array.Stale, "Stale": array.Stale, "Stopped": array.Stale,
}

// members fills volumes and times. Last-Sync, which only the primary shows, is the instant that the
// secondary holds; a volume's own time is when its transfer ended.
func (d *Driver) members(o *array.Observation, s seen) {
	point := s.g.lastSync
	if !point.at.IsZero() {
		at := point.at
		o.LastSync = &at
	}
	for _, m := range s.g.members {
		out := array.Member{Name: m.local, Peer: m.remote, Sync: array.SyncUnknown}
		if w, ok := syncWords[m.sync]; ok {
			out.Sync = w
		}
		if !m.last.at.IsZero() {
			at := m.last.at
			out.LastSync = &at
			if point.none() && (o.LastSync == nil || at.Before(*o.LastSync)) {
				o.LastSync = &at
			}
		}
		if wall := groupPoint(s.g, m); wall != 0 {
			out.SyncPoint = &wall
		}
		o.Members = append(o.Members, out)
	}
}

// groupPoint is the point that counts for a volume, 0 if there is none: the group's Last-Sync, or where
// an array does not show it, the end of the volume's own last transfer. Both move with each transfer
// that began after the other side was read.
func groupPoint(g group, m member) int64 {
	if g.mode == modeSync || g.lastSync.wall != 0 {
		return g.lastSync.wall
	}
	return m.last.wall
}
