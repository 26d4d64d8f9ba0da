package infinibox

import (
	"fmt"

	"github.com/ddsgo/ddsgo/array"
)

// judgeReplica fills replication, members and times. The SOURCE knows them; without
// one, the TARGET tells at least how old its content is.
func (d *Driver) judgeReplica(o *array.Observation) {
	var source, target *replica
	for _, s := range o.Sides {
		f := factsOf(*o, s.Site)
		switch {
		case f.Replica == nil:
		case f.Replica.Role == wordSource && source == nil:
			source = f.Replica
		case f.Replica.Role == wordTarget:
			target = f.Replica
		}
	}
	shown := source
	if shown == nil {
		shown = target
	}
	if shown == nil {
		return
	}
	o.Mode = word(&shown.Type)
	age := shown
	if target != nil {
		age = target // it is its content that matters
	}
	o.LastSync = instant(age.point())
	switch {
	case len(o.Primaries()) > 1:
		o.Replication = array.Stopped // each SOURCE for itself
	case source != nil:
		o.Replication = d.replication(o, source)
	case o.AllReachable():
		o.Replication = array.Stopped // two TARGETs: a role change was cut off
		d.addOnce(o, array.ReasonNotStarted, "both sides are TARGET: a role change was cut off", d.command("swap")+" --site "+d.home())
	}
	d.judgeMembers(o, source, shown)
	if o.Replication == array.Running && shown.Type == wordSync && word(shown.SyncState) == wordSynchronized {
		zero := 0.0
		o.Lag = &zero
	}
}

// replication translates state and sync_state of the SOURCE.
func (d *Driver) replication(o *array.Observation, r *replica) array.Replication {
	if r.foreign() != "" {
		return array.ReplicationUnknown
	}
	switch word(r.State) {
	case wordSuspended:
		return array.Held
	case wordAutoSuspended:
		text := "the box suspended it by itself"
		if w := word(r.StateReason); w != "" {
			text += ": " + *r.StateReason
		}
		if r.StateDescription != nil {
			text += " (" + *r.StateDescription + ")"
		}
		d.addOnce(o, array.ReasonNotStarted, text, "")
		return array.Stopped
	case wordActive:
	default:
		d.addOnce(o, array.ReasonUnknownValue, fmt.Sprintf("state %q of replica %d is not known to this version", word(r.State), r.ID), d.command("array show"))
		return array.ReplicationUnknown
	}
	if o.Link != array.LinkUp {
		d.addOnce(o, array.ReasonNotSynced, "the link is "+string(o.Link)+": nothing is sent", "")
	}
	if r.stalled() {
		d.addOnce(o, array.ReasonNotSynced, "the job is STALLED", "")
	}
	if truth(r.AsyncMode) {
		d.addOnce(o, array.ReasonWrongMode, "the SYNC replica fell back to asynchronous mode", "")
	}
	if r.initial() {
		return array.Initial
	}
	return array.Running
}

// judgeMembers lists the pairs as the home box names them.
func (d *Driver) judgeMembers(o *array.Observation, source, shown *replica) {
	at := d.home()
	if factsOf(*o, at).Replica == nil {
		at = d.away()
	}
	local := factsOf(*o, at)
	if local.Replica == nil {
		return
	}
	sync := d.memberSync(o, source)
	for _, p := range local.Replica.Pairs {
		m := array.Member{Sync: sync, LastSync: instant(shown.point())}
		m.Name = nameOf(local, p.LocalEntityID, p.LocalName)
		m.Peer = nameOf(factsOf(*o, d.peer(at)), p.RemoteEntityID, p.RemoteName)
		if at == d.away() {
			m.Name, m.Peer = m.Peer, m.Name
		}
		if shown.Type == wordAsync {
			m.SyncPoint = shown.point()
		}
		o.Members = append(o.Members, m)
	}
}

func nameOf(f *facts, id int64, told *string) string {
	for _, e := range f.Members {
		if e.ID == id {
			return e.Name
		}
	}
	if f.Entity != nil && f.Entity.ID == id {
		return f.Entity.Name
	}
	if told != nil && *told != "" {
		return *told
	}
	return fmt.Sprintf("id %d", id)
}

// memberSync is how the copies compare with the source; only the SOURCE knows.
func (d *Driver) memberSync(o *array.Observation, r *replica) array.Sync {
	switch {
	case r == nil || r.foreign() != "":
		return array.SyncUnknown
	case word(r.State) != wordActive || o.Link == array.LinkDown:
		return array.Stale
	case r.Type == wordSync:
		return d.syncState(o, r)
	}
	switch word(r.JobState) {
	case "", "IDLE":
		return array.Synced
	case "REPLICATING", "INITIALIZING", "PENDING":
		return array.Syncing
	case "STALLED":
		return array.Stale
	}
	d.addOnce(o, array.ReasonUnknownValue, fmt.Sprintf("job_state %q is not known to this version", word(r.JobState)), d.command("array show"))
	return array.SyncUnknown
}

func (d *Driver) syncState(o *array.Observation, r *replica) array.Sync {
	switch word(r.SyncState) {
	case wordSynchronized:
		return array.Synced
	case "SYNC_IN_PROGRESS", "INITIALIZING", "INITIALIZING_PENDING":
		return array.Syncing
	case "OUT_OF_SYNC", "LAGGING", "SYNC_STALLED":
		return array.Stale
	}
	d.addOnce(o, array.ReasonUnknownValue, fmt.Sprintf("sync_state %q is not known to this version", word(r.SyncState)), d.command("array show"))
	return array.SyncUnknown
}
