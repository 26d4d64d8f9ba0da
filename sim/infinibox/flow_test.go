package infinibox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCreateVariants walks S4.1 to S4.5: every way to make a replica, in plain HTTP.
func TestCreateVariants(t *testing.T) {
	for _, kind := range []string{"ASYNC", "SYNC"} {
		t.Run("new target, entity_pairs, "+kind, func(t *testing.T) {
			l := start(t)
			id, far := l.replicate("vol1", kind)
			here, there := l.replica(1, id), l.replica(2, far)
			require.Equal(t, "SOURCE", here.field("role"))
			require.Equal(t, "TARGET", there.field("role"))
			require.Equal(t, kind, here.field("replication_type"))
			require.Equal(t, "ACTIVE", here.field("state"))
			require.Nil(t, there.field("state"), "state is only meaningful on the SOURCE")
			require.Equal(t, id, there.num("remote_replica_id"))
			require.Equal(t, "VOLUME", here.field("entity_type"))
			remoteVolume := int64(here.pairField("remote_entity_id").(float64))
			require.Equal(t, "vol1", l.ok(2, "GET", fmt.Sprintf("volumes/%d", remoteVolume), "").field("name"))
			require.Equal(t, true, l.ok(2, "GET", fmt.Sprintf("volumes/%d", remoteVolume), "").field("rmr_target"))
		})
	}
	t.Run("new target, flat body", func(t *testing.T) {
		l := start(t)
		vol := l.volume(1, "vol1")
		r := l.ok(1, "POST", "replicas", fmt.Sprintf(`{"sync_interval":240000,"description":"d","entity_type":"VOLUME","local_entity_id":%d,"replication_type":"ASYNC","base_action":"NEW","link_id":%d,"rpo_value":300000,"remote_pool_id":%d}`, vol, l.linkID(1), l.poolID(2)))
		require.Equal(t, "NEW", r.field("base_action"))
		require.Equal(t, int64(240000), r.num("sync_interval"))
		require.Equal(t, vol, r.num("local_entity_id"))
	})
	t.Run("flat body is unknown without the feature, pairs are not", func(t *testing.T) {
		l := start(t, feature("replica_auto_create", false))
		vol := l.volume(1, "vol1")
		l.refused(400, "SIM_UNKNOWN_FIELD", 1, "POST", "replicas", fmt.Sprintf(`{"entity_type":"VOLUME","local_entity_id":%d,"base_action":"NEW","link_id":%d,"remote_pool_id":%d,"entity_pairs":[]}`, vol, l.linkID(1), l.poolID(2)))
		id, _ := l.replicate("vol2", "ASYNC")
		require.NotZero(t, id)
	})
	t.Run("filesystem", func(t *testing.T) {
		l := start(t)
		fs := l.filesystem(1, "fs1")
		body := fmt.Sprintf(`{"link_id":%d,"entity_type":"FILESYSTEM","remote_pool_id":%d,"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":%d,"remote_entity_id":null,"remote_entity_name":"fs_dr"}]`, l.linkID(1), l.poolID(2), fs)
		l.refused(409, "SIM_TYPE_NOT_SUPPORTED", 1, "POST", "replicas", body+`,"replication_type":"SYNC"}`)
		r := l.ok(1, "POST", "replicas", body+`}`)
		require.Equal(t, "fs_dr", r.pairField("remote_entity_name"))
		l.advance(5 * time.Second)
		l.refused(409, "SIM_TYPE_NOT_SUPPORTED", 1, "POST", fmt.Sprintf("replicas/%d/change_type_to_sync", r.id()), `{}`)
	})
	t.Run("existing formatted target", func(t *testing.T) {
		l := start(t)
		here, there := l.volume(1, "vol1"), l.volume(2, "other")
		body := fmt.Sprintf(`{"link_id":%d,"entity_type":"VOLUME","entity_pairs":[{"remote_base_action":"NO_BASE_DATA","local_entity_id":%d,"remote_entity_id":%d}]}`, l.linkID(1), here, there)
		l.write(2, "other", "data")
		require.Equal(t, true, l.refused(409, "SIM_TARGET_NOT_EMPTY", 1, "POST", "replicas", body).Error["is_remote"])
		l.write(2, "other", "\x00\x00\x00\x00")
		r := l.ok(1, "POST", "replicas", body)
		require.Equal(t, there, int64(r.pairField("remote_entity_id").(float64)))
		l.refused(409, "SIM_ALREADY_REPLICATED", 1, "POST", "replicas", body)
	})
	t.Run("base snapshots", func(t *testing.T) {
		l := start(t)
		here, there := l.volume(1, "vol1"), l.volume(2, "vol1")
		l.write(1, "vol1", "same")
		l.write(2, "vol1", "diff")
		sHere, sThere := l.snapshot(1, "volumes", "s", here), l.snapshot(2, "volumes", "s", there)
		body := `{"link_id":%d,"entity_type":"VOLUME","entity_pairs":[{"local_base_action":"BASE","remote_base_action":"BASE","local_entity_id":%d,"remote_entity_id":%d,"local_base_entity_id":%d,"remote_base_entity_id":%d}]}`
		l.refused(409, "SIM_BASE_DIFFERS", 1, "POST", "replicas", fmt.Sprintf(body, l.linkID(1), here, there, sHere, sThere))
		l.write(2, "vol1", "same")
		s2 := l.snapshot(2, "volumes", "s2", there)
		r := l.ok(1, "POST", "replicas", fmt.Sprintf(body, l.linkID(1), here, there, sHere, s2))
		require.Equal(t, sHere, int64(r.pairField("local_base_entity_id").(float64)))
	})
	t.Run("take_snap", func(t *testing.T) {
		l := start(t)
		here, there := l.volume(1, "vol1"), l.volume(2, "vol1")
		r := l.ok(1, "POST", "replicas", fmt.Sprintf(`{"link_id":%d,"entity_type":"VOLUME","entity_pairs":[{"local_base_action":"TAKE_SNAP","remote_base_action":"TAKE_SNAP","local_entity_id":%d,"remote_entity_id":%d}]}`, l.linkID(1), here, there))
		base := int64(r.pairField("remote_base_entity_id").(float64))
		require.Equal(t, there, l.ok(2, "GET", fmt.Sprintf("volumes/%d", base), "").num("parent_id"))
	})
}

// TestConsistencyGroup covers S4.4: groups, members, their snapshots and replicas.
func TestConsistencyGroup(t *testing.T) {
	l := start(t)
	a, b, c := l.volume(1, "a"), l.volume(1, "b"), l.volume(1, "c")
	cg := l.ok(1, "POST", "cgs", fmt.Sprintf(`{"name":"cg","pool_id":%d}`, l.poolID(1))).id()
	l.ok(1, "POST", fmt.Sprintf("cgs/%d/members", cg), fmt.Sprintf(`{"dataset_id":%d}`, a))
	l.ok(1, "POST", fmt.Sprintf("cgs/%d/members", cg), fmt.Sprintf(`{"dataset_id":%d}`, b))
	r := l.ok(1, "POST", "replicas", fmt.Sprintf(`{"link_id":%d,"entity_type":"CONSISTENCY_GROUP","local_cg_id":%d,"remote_pool_id":%d,"entity_pairs":[
		{"remote_base_action":"CREATE","local_entity_id":%d,"remote_entity_id":null},{"remote_base_action":"CREATE","local_entity_id":%d,"remote_entity_id":null}]}`, l.linkID(1), cg, l.poolID(2), a, b))
	require.Equal(t, "cg", r.field("remote_cg_name"))
	remoteCG := r.num("remote_cg_id")
	require.Equal(t, true, l.ok(1, "GET", fmt.Sprintf("cgs/%d", cg), "").field("is_replicated"))
	require.Len(t, l.ok(2, "GET", fmt.Sprintf("cgs/%d/members", remoteCG), "").list(), 2)
	l.refused(409, "SIM_IN_CONSISTENCY_GROUP", 1, "POST", fmt.Sprintf("cgs/%d/members", cg), fmt.Sprintf(`{"dataset_id":%d}`, a))

	// a member that joins later is replicated too, and both members move together
	l.ok(1, "POST", fmt.Sprintf("cgs/%d/members", cg), fmt.Sprintf(`{"dataset_id":%d,"replication_pair_info":{"remote_base_action":"NO_BASE_DATA","remote_entity_id":%d}}`, c, l.volume(2, "c_dr")))
	l.advance(5 * time.Second)
	l.write(1, "a", "one")
	l.write(1, "c", "two")
	l.act(1, r.id(), "sync")
	require.Equal(t, "\x00\x00\x00", l.read(2, "a", 3), "nothing shows before the job ends")
	l.advance(2 * time.Second)
	require.Equal(t, "one", l.read(2, "a", 3))
	require.Equal(t, "two", l.read(2, "c_dr", 3))

	// snapshot group: created on the source, restored
	sg := l.ok(1, "POST", "cgs", fmt.Sprintf(`{"parent_id":%d,"name":"sg","snap_prefix":"p_","snap_suffix":null}`, cg)).id()
	require.Len(t, l.ok(1, "GET", fmt.Sprintf("cgs/%d/members", sg), "").list(), 3)
	l.write(1, "a", "bad")
	l.ok(1, "POST", fmt.Sprintf("cgs/%d/restore", cg), fmt.Sprintf(`{"source_id":%d}`, sg))
	require.Equal(t, "one", l.read(1, "a", 3))

	exposed := l.act(2, r.num("remote_replica_id"), "expose_last_consistent_snapshot")
	require.Len(t, l.ok(2, "GET", fmt.Sprintf("cgs/%d/members", exposed.num("_local_reclaimed_sg_id")), "").list(), 3)

	l.ok(1, "DELETE", fmt.Sprintf("cgs/%d/members/%d", cg, b), "")
	require.Len(t, l.ok(2, "GET", fmt.Sprintf("cgs/%d/members", remoteCG), "").list(), 2)
	l.refused(409, "SIM_IS_REPLICATED", 1, "DELETE", fmt.Sprintf("cgs/%d", cg), "")
	deleted := l.ok(1, "DELETE", fmt.Sprintf("replicas/%d?retain_staging_area=true", r.id()), "")
	require.Equal(t, "CONSISTENCY_GROUP", deleted.field("entity_type"))
	require.NotNil(t, deleted.field("_local_reclaimed_sg_id"))
	require.NotNil(t, deleted.field("_remote_reclaimed_sg_id"))
}

// TestGroupOnExistingGroup needs a pair for every member.
func TestGroupOnExistingGroup(t *testing.T) {
	l := start(t)
	a, far := l.volume(1, "a"), l.volume(2, "a")
	cg := l.ok(1, "POST", "cgs", fmt.Sprintf(`{"name":"cg","pool_id":%d}`, l.poolID(1))).id()
	cg2 := l.ok(2, "POST", "cgs", fmt.Sprintf(`{"name":"cg","pool_id":%d}`, l.poolID(2))).id()
	l.ok(1, "POST", fmt.Sprintf("cgs/%d/members", cg), fmt.Sprintf(`{"dataset_id":%d}`, a))
	l.ok(2, "POST", fmt.Sprintf("cgs/%d/members", cg2), fmt.Sprintf(`{"dataset_id":%d}`, far))
	head := fmt.Sprintf(`{"link_id":%d,"entity_type":"CONSISTENCY_GROUP","local_cg_id":%d,"remote_cg_id":%d,"entity_pairs":`, l.linkID(1), cg, cg2)
	l.refused(409, "SIM_MEMBERS_DIFFER", 1, "POST", "replicas", head+`[]}`)
	r := l.ok(1, "POST", "replicas", head+fmt.Sprintf(`[{"remote_base_action":"NO_BASE_DATA","local_entity_id":%d,"remote_entity_id":%d}]}`, a, far))
	require.Equal(t, cg2, r.num("remote_cg_id"))
	require.Equal(t, cg, l.replica(2, r.num("remote_replica_id")).num("remote_cg_id"))
}

// TestJobs: jobs take virtual time, show progress, and move the restore point.
func TestJobs(t *testing.T) {
	l := start(t)
	l.fault("ibox1", "task_seconds", "10", "", 0)
	id, far := l.replicate("vol1", "ASYNC")
	l.advance(4 * time.Second)
	r := l.replica(1, id)
	require.Equal(t, "INITIALIZING", r.field("job_state"))
	require.Equal(t, true, r.field("is_initial"))
	require.Equal(t, int64(40), r.num("progress"))
	require.Nil(t, r.field("last_synchronized"))
	l.refused(409, "SIM_INITIALIZING", 1, "POST", fmt.Sprintf("replicas/%d/change_type_to_sync", id), `{}`)
	require.Nil(t, l.act(2, far, "expose_last_consistent_snapshot").pairField("_local_reclaimed_snapshot_id"))
	l.refused(409, "SIM_REMOTE_IS_SOURCE", 2, "POST", fmt.Sprintf("replicas/%d/change_role", far), `null`)

	l.advance(6 * time.Second)
	r = l.replica(1, id)
	require.Equal(t, "IDLE", r.field("job_state"))
	require.Equal(t, false, r.field("is_initial"))
	require.Empty(t, r.field("jobs"))
	require.Equal(t, int64(10000), r.num("last_synchronized")-r.num("restore_point"))
	require.Equal(t, r.num("restore_point"), l.replica(2, far).num("restore_point"))

	// a sync during a sync waits its turn
	l.act(1, id, "sync")
	require.Equal(t, int64(1), l.act(1, id, "sync").num("pending_job_count"))
	before := l.replica(1, id).num("restore_point")
	l.advance(20 * time.Second)
	r = l.replica(1, id)
	require.Equal(t, int64(0), r.num("pending_job_count"))
	require.Equal(t, int64(20000), r.num("restore_point")-before)

	// and every interval starts one
	l.ok(1, "PUT", fmt.Sprintf("replicas/%d", id), `{"sync_interval":60000,"rpo_value":120000}`)
	l.write(1, "vol1", "tick")
	l.advance(71 * time.Second)
	require.Equal(t, "tick", l.read(2, "vol1", 4))
}

// TestSyncReplica: writes show on the target at once; the link decides.
func TestSyncReplica(t *testing.T) {
	l := start(t)
	id, far := l.replicate("vol1", "SYNC")
	require.Equal(t, "INITIALIZING", l.replica(1, id).field("sync_state"))
	l.refused(409, "SIM_NOT_SYNCHRONIZED", 1, "POST", fmt.Sprintf("replicas/%d/switch_role", id), "")
	l.advance(3 * time.Second)
	require.Equal(t, "SYNCHRONIZED", l.replica(1, id).field("sync_state"))
	l.write(1, "vol1", "live")
	require.Equal(t, "live", l.read(2, "vol1", 4))
	require.Error(t, l.tryWrite(2, "vol1", "no"))

	l.act(1, id, "switch_role")
	require.Equal(t, "TARGET", l.replica(1, id).field("role"))
	require.Equal(t, "SOURCE", l.replica(2, far).field("role"))
	require.Error(t, l.tryWrite(1, "vol1", "no"))
	l.write(2, "vol1", "back")
	require.Equal(t, "back", l.read(1, "vol1", 4))

	l.fault("", "link_down", "", "", 0)
	l.write(2, "vol1", "lone")
	require.Equal(t, "OUT_OF_SYNC", l.replica(2, far).field("sync_state"))
	require.Equal(t, "back", l.read(1, "vol1", 4))
	l.sim.ClearFaults()
	l.advance(3 * time.Second)
	require.Equal(t, "SYNCHRONIZED", l.replica(2, far).field("sync_state"))
	require.Equal(t, "lone", l.read(1, "vol1", 4))
}

// TestChangeType is S4.6.
func TestChangeType(t *testing.T) {
	l := start(t)
	id, _ := l.replicate("vol1", "ASYNC")
	l.advance(3 * time.Second)
	require.Equal(t, "SYNC", l.ok(1, "POST", fmt.Sprintf("replicas/%d/change_type_to_sync", id), `{}`).field("replication_type"))
	require.Nil(t, l.replica(1, id).field("sync_interval"))
	l.advance(3 * time.Second)
	require.Equal(t, "SYNCHRONIZED", l.replica(1, id).field("sync_state"))
	l.refused(409, "SIM_SAME_TYPE", 1, "POST", fmt.Sprintf("replicas/%d/change_type_to_sync", id), `{}`)
	r := l.ok(1, "POST", fmt.Sprintf("replicas/%d/change_type_to_async", id), `{}`)
	require.Equal(t, "ASYNC", r.field("replication_type"))
	require.Nil(t, r.field("sync_state"))
}

// TestDeleteRetain: the snapshots that a deletion leaves are bases of a new replica.
func TestDeleteRetain(t *testing.T) {
	l := start(t)
	id, far := l.replicate("vol1", "ASYNC")
	l.write(1, "vol1", "v1")
	l.act(1, id, "sync")
	l.advance(10 * time.Second)
	l.write(1, "vol1", "v2")
	here, there := l.replica(1, id), int64(l.replica(1, id).pairField("remote_entity_id").(float64))
	l.refused(409, "SIM_IS_TARGET", 2, "DELETE", fmt.Sprintf("replicas/%d", far), "")
	gone := l.ok(1, "DELETE", fmt.Sprintf("replicas/%d?retain_staging_area=true", id), "")
	a, b := int64(gone.pairField("_local_reclaimed_snapshot_id").(float64)), int64(gone.pairField("_remote_reclaimed_snapshot_id").(float64))
	snap := l.ok(1, "GET", fmt.Sprintf("volumes/%d", a), "")
	require.Equal(t, snap.field("rmr_snapshot_guid"), l.ok(2, "GET", fmt.Sprintf("volumes/%d", b), "").field("rmr_snapshot_guid"))
	require.Equal(t, "v1", l.read(1, snap.field("name").(string), 2))
	l.refused(404, "REPLICA_NOT_FOUND", 2, "GET", fmt.Sprintf("replicas/%d", far), "")
	l.write(2, "vol1", "free")
	l.ok(1, "POST", "replicas", fmt.Sprintf(`{"link_id":%d,"entity_type":"VOLUME","entity_pairs":[{"local_base_action":"BASE","remote_base_action":"BASE","local_entity_id":%d,"remote_entity_id":%d,"local_base_entity_id":%d,"remote_base_entity_id":%d}]}`,
		l.linkID(1), here.num("local_entity_id"), there, a, b))
	l.advance(5 * time.Second)
	require.Equal(t, "v2", l.read(2, "vol1", 2))
}
