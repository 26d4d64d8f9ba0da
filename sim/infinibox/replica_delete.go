package infinibox

import "fmt"

// common is the content of the last point in time that both sides had, nil when
// there is none here any more.
func (b *box) common(x *replica, p *pair) content {
	switch {
	case p.base != nil:
		return p.base
	case x.role == roleTarget, x.kind == typeSync && x.syncState == syncSynchronized:
		return b.datasets[p.local].data
	}
	return nil
}

// retain makes snapshots of the last common point in time. It returns the id of
// the snapshot group of a group replica.
func (b *box) retain(x *replica, word string) (groupID *int64, err *apiError) {
	if x.restore == nil {
		return nil, nil
	}
	guids := map[int64]string{}
	for _, p := range x.pairs {
		if b.common(x, p) == nil || p.restore == nil && x.kind == typeAsync {
			return nil, nil
		}
		guids[p.local] = fmt.Sprintf("%s-%d", x.guid, min(p.local, p.remote))
	}
	suffix := fmt.Sprintf("_%s_%d", word, b.lastID+1)
	if x.entity == entityGroup {
		s := &group{name: b.groups[x.localGroup].name + suffix, guid: x.guid, class: typeSnapshot, parent: x.localGroup, pool: x.localPool}
		if err := b.addGroup(s); err != nil {
			return nil, err
		}
		groupID = &s.id
	}
	for _, p := range x.pairs {
		d := b.datasets[p.local]
		s := &dataset{name: d.name + suffix, writeProtected: true, ssd: d.ssd, guid: guids[p.local]}
		if groupID != nil {
			s.group = *groupID
		}
		if err := b.snapshotOf(d, s, b.common(x, p)); err != nil {
			return nil, err
		}
		p.reclaimed = &s.id
	}
	return groupID, nil
}

func exposeSnapshot(r *request) (any, *apiError) {
	b := r.box
	x, err := b.findReplica(r.id)
	if err != nil {
		return nil, err
	}
	if x.role != roleTarget {
		return nil, conflict("NOT_TARGET", "expose_last_consistent_snapshot is for the TARGET, replica %d is %s", x.id, x.role)
	}
	groupID, err := b.retain(x, "exposed")
	if err != nil {
		return nil, err
	}
	v := b.replicaView(x)
	v["_local_reclaimed_sg_id"] = fromPointer(groupID)
	for _, p := range x.pairs {
		p.reclaimed = nil // belongs to this answer only
	}
	return v, nil
}

// deletion is what the queries of DELETE replicas say.
type deletion struct {
	retain, remoteError, onTarget, noCredentials, onLocal bool
}

func (r *request) deletion() (d deletion, err *apiError) {
	for key, to := range map[string]*bool{
		"retain_staging_area": &d.retain, "force_if_remote_error": &d.remoteError, "force_on_target": &d.onTarget,
		"force_if_no_remote_credentials": &d.noCredentials, "force_on_local": &d.onLocal, "keep_serial_on_local": new(bool),
	} {
		absent := key == "retain_staging_area" && r.box.w.opt.feature(featureAutoCreate)
		if *to, err = r.flag(key, absent); err != nil {
			return d, err
		}
	}
	return d, nil
}

// withPeer decides whether the other box takes part.
func (r *request) withPeer(x *replica, d deletion) (*replica, *apiError) {
	if x.role == roleTarget && !d.onTarget && !d.onLocal {
		return nil, conflict("IS_TARGET", "replica %d is TARGET: delete it on the SOURCE, or with force_on_target", x.id)
	}
	if d.onLocal {
		return nil, nil
	}
	if err := r.box.reachPeer(); err != nil {
		if d.remoteError {
			return nil, nil
		}
		return nil, err
	}
	if err := r.remotePermission(); err != nil {
		if d.noCredentials {
			return nil, nil
		}
		return nil, err
	}
	there, _ := r.box.other(x) // gone there: nothing to do there
	return there, nil
}

func deleteReplica(r *request) (any, *apiError) {
	b := r.box
	x, err := b.findReplica(r.id)
	if err != nil {
		return nil, err
	}
	d, err := r.deletion()
	if err != nil {
		return nil, err
	}
	there, err := r.withPeer(x, d)
	if err != nil {
		return nil, err
	}
	var groupID, farGroupID *int64
	if d.retain {
		if groupID, err = b.retain(x, "retained"); err != nil {
			return nil, err
		}
		if there != nil {
			if farGroupID, err = b.peer().retain(there, "retained"); err != nil {
				return nil, remote(err)
			}
		}
	}
	for _, p := range x.pairs {
		if there == nil {
			break
		}
		if far := there.counterpart(p); far != nil {
			p.peerReclaim = far.reclaimed
		}
	}
	shown := b.replicaView(x)
	shown["_local_reclaimed_sg_id"], shown["_remote_reclaimed_sg_id"] = fromPointer(groupID), fromPointer(farGroupID)
	b.dropReplica(x)
	if there != nil {
		b.peer().dropReplica(there)
	}
	return shown, nil
}

func (b *box) dropReplica(x *replica) {
	b.dropJob(x)
	for _, p := range x.pairs {
		_ = p.setBase(nil) // internal content, nobody else has it
	}
	delete(b.replicas, x.id)
}
