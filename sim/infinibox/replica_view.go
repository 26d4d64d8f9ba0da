package infinibox

import (
	"time"
)

// replicaView shows a replica with every field that the vendor's SDK and CSI
// driver read.
func (b *box) replicaView(r *replica) view {
	localID, localName := r.localEntity(b)
	remoteID, remoteName, remoteGroupName, remotePoolName := b.mirrored(r)
	groupName := any(nil)
	if g := b.groups[r.localGroup]; g != nil && r.localGroup != 0 {
		groupName = g.name
	}
	poolName := any(nil)
	if p := b.pools[r.localPool]; p != nil {
		poolName = p.name
	}
	pairs := make([]any, 0, len(r.pairs))
	for _, p := range r.pairs {
		pairs = append(pairs, b.pairView(r, p))
	}
	v := view{
		"id": r.id, "_version": int64(1), "description": textOrNil(r.description), "remote_replica_id": r.remoteID, "link_id": r.link, "role": r.role,
		"entity_type": r.entity, "replication_type": r.kind, "base_action": textOrNil(r.baseAction),
		"local_entity_id": localID, "local_entity_name": localName, "remote_entity_id": remoteID, "remote_entity_name": remoteName,
		"local_cg_id": nullable(r.localGroup), "local_cg_name": groupName, "remote_cg_id": nullable(r.remoteGroup), "remote_cg_name": remoteGroupName,
		"local_pool_id": r.localPool, "local_pool_name": poolName, "remote_pool_id": r.remotePool, "remote_pool_name": remotePoolName,
		"entity_pairs": pairs, "including_snapshots": r.includingSnapshots, "snapshots_retention": fromPointer(r.snapshotsRetention),
		"remote_snapshot_suffix": textOrNil(r.snapshotSuffix), "lock_remote_snapshot_retention": fromPointer(r.lockRetain),
		"created_at": r.createdAt, "updated_at": r.updatedAt, "started_at": fromPointer(r.startedAt), "last_synchronized": fromPointer(r.lastSync),
		"restore_point": fromPointer(r.restore), "sync_duration": r.syncDuration, "_consistent_guid": textOrNil(r.guid),
		"temporary_failure_retry_interval": r.retryInterval, "temporary_failure_retry_count": r.retryCount,
		"permanent_failure_wait_interval": r.permanentWait, "concurrent_replica": b.concurrent(r), "staging_area_allocated_size": int64(0),
		"is_preferred": boolOrNil(r.preferred), "_local_reclaimed_sg_id": nil, "_remote_reclaimed_sg_id": nil, "mobility_source": nil,
		"_assigned_sync_remote_ips": nil, "_assigned_remote_ip": nil, "_is_internal_source": nil, "_enabled": true, "suspended_from_local": nil,
		"reserved_for_infinisafe": false, "_snapshot_guid": nil, "_snapshot_time": nil, "_next_consistent_guid": nil, "domino": nil,
	}
	b.scheduleView(r, v)
	b.progressView(r, v)
	return v
}

func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func boolOrNil(p *bool) any {
	if p == nil {
		return nil
	}
	return *p
}

// concurrent: a dataset of the replica is in another replica too.
func (b *box) concurrent(r *replica) bool {
	for _, p := range r.pairs {
		if d := b.datasets[p.local]; d != nil && len(b.replicasOf(d)) > 1 {
			return true
		}
	}
	return false
}

// scheduleView adds what only ASYNC replicas have.
func (b *box) scheduleView(r *replica, v view) {
	v["sync_interval"], v["rpo_value"], v["rpo_type"], v["rpo_state"] = nil, nil, nil, nil
	v["next_job_start_time"], v["next_restore_point"] = nil, nil
	if r.kind != typeAsync {
		return
	}
	v["sync_interval"], v["rpo_value"], v["rpo_type"] = r.interval, r.rpo, "TIME"
	if r.role != roleSource {
		return
	}
	v["rpo_state"] = "OK"
	since := r.createdAt
	if r.restore != nil {
		since = *r.restore
	}
	if b.now()-since > r.rpo {
		v["rpo_state"] = "LAGGING"
	}
	if r.state == stateActive && !r.nextJob.IsZero() {
		v["next_job_start_time"] = b.millis(r.nextJob)
		v["next_restore_point"] = b.millis(r.nextJob)
	}
}

// progressView adds state and jobs; a TARGET has none.
func (b *box) progressView(r *replica, v view) {
	v["state"], v["state_reason"], v["state_description"] = nil, nil, nil
	v["jobs"], v["job_state"], v["is_initial"], v["pending_job_count"] = []any{}, nil, false, int64(0)
	v["progress"], v["throughput"] = nil, int64(0)
	v["sync_state"], v["async_mode"], v["latency"] = nil, nil, nil
	if r.role == roleTarget {
		return
	}
	v["state"], v["is_initial"], v["pending_job_count"] = r.state, r.initial, int64(r.pending)
	if r.reason != "" {
		v["state_reason"], v["state_description"] = r.reason, describe(r.reason)
	}
	if r.kind != typeAsync {
		v["sync_state"], v["async_mode"], v["latency"] = r.syncState, false, int64(0)
	}
	if r.state == stateActive {
		v["job_state"] = "IDLE"
	}
	if r.job == nil {
		return
	}
	v["progress"] = r.job.percent()
	jobs := []any{b.jobView(r, r.job.id, r.job.state(), r.job.initial, r.job.start)}
	for i := range r.pending {
		jobs = append(jobs, b.jobView(r, r.job.id+int64(i)+1, "PENDING", false, time.Time{}))
	}
	v["jobs"], v["job_state"] = jobs, r.job.state()
}

func (b *box) jobView(r *replica, id int64, state string, initial bool, start time.Time) view {
	startTime := any(nil)
	if !start.IsZero() {
		startTime = b.millis(start)
	}
	return view{"id": id, "state": state, "is_initial": initial, "type": r.kind, "start_time": startTime, "end_time": nil}
}

func (j *job) state() string {
	switch {
	case !j.stalled.IsZero():
		return "STALLED"
	case j.initial:
		return "INITIALIZING"
	}
	return "REPLICATING"
}

func (j *job) percent() int64 {
	if j.duration <= 0 {
		return 99
	}
	return min(99, int64(100*j.done/j.duration))
}

// Reasons of AUTO_SUSPENDED; the words are this package's own.
const (
	reasonLinkLost   = "SIM_LINK_LOST"
	reasonJobFailed  = "SIM_JOB_FAILED"
	reasonNoPeer     = "SIM_REMOTE_REPLICA_MISSING"
	reasonPeerRole   = "SIM_REMOTE_IS_NOT_TARGET"
	reasonBadContent = "SIM_CONTENT_ERROR"
)

func describe(reason string) string {
	switch reason {
	case reasonLinkLost:
		return "The remote system could not be reached for too long"
	case reasonJobFailed:
		return "The replication job failed"
	case reasonNoPeer:
		return "The replica does not exist on the remote system"
	case reasonPeerRole:
		return "The replica on the remote system is not a TARGET"
	}
	return "The content could not be copied"
}

func (b *box) pairView(r *replica, p *pair) view {
	local, localName, remoteName := any(nil), any(nil), any(nil)
	if d := b.datasets[p.local]; d != nil {
		localName = d.name
		local = view{"id": d.id, "name": d.name, "dataset_type": d.kind, "type": d.class, "size": d.size, "pool_id": d.pool}
	}
	if d := b.peer().datasets[p.remote]; d != nil {
		remoteName = d.name
	}
	progress := any(nil)
	if r.job != nil && r.role == roleSource {
		progress = r.job.percent()
	}
	return view{
		"id": p.id, "remote_pair_id": p.remoteID, "replica_id": r.id, "local_entity_id": p.local, "remote_entity_id": p.remote,
		"local_entity_name": localName, "remote_entity_name": remoteName, "local_entity": local, "local_base_action": textOrNil(p.localAction),
		"remote_base_action": textOrNil(p.action), "local_base_entity_id": fromPointer(p.localBase), "remote_base_entity_id": fromPointer(p.remoteBase),
		"progress": progress, "last_synchronized": fromPointer(p.lastSync), "restore_point": fromPointer(p.restore), "duration": r.syncDuration,
		"is_initial": r.initial && r.role == roleSource, "_consistent_guid": textOrNil(p.guid), "_next_consistent_guid": nil,
		"_local_reclaimed_snapshot_id": fromPointer(p.reclaimed), "_remote_reclaimed_snapshot_id": fromPointer(p.peerReclaim),
		"_reclaimed_snapshot_guid": nil, "_reclaimed_snapshot_time": nil, "_cg_guid": nil, "_cg_consistent_guid": nil, "_target_old_ro_state": false,
		"_sync_job_committed": r.job == nil, "_local_pair_guid": nil, "_local_base_diffable_id": nil, "_remote_base_diffable_id": nil,
		"_session_snapshots_id": nil, "_report_entity_id": nil, "_report_system_serial_number": nil, "_active_active_port_bit": nil,
	}
}
