package infinibox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sdk behaves like the vendor's Python SDK on the wire: Basic until the features
// are known, then a cookie session, approved=true on every call but GET.
type sdk struct {
	l      *lab
	box    int
	client *http.Client
	basic  bool
}

func (l *lab) sdk(box int) *sdk {
	jar, err := cookiejar.New(nil)
	require.NoError(l.t, err)
	s := &sdk{l: l, box: box, client: &http.Client{Jar: jar}, basic: true}
	s.call("GET", "_features", nil)
	require.Equal(l.t, "7.1", s.call("GET", "system?fields=version", nil).field("version"))
	s.basic = false
	roles := s.call("POST", "users/login", map[string]any{"username": "admin", "password": "123456", "clientid": "infinisdk.v200.host.user.1"}).field("roles")
	require.Equal(l.t, []any{"ADMIN"}, roles)
	s.call("GET", "system", nil)
	return s
}

func (s *sdk) call(method, path string, body any) *reply {
	t := s.l.t
	t.Helper()
	if method != "GET" {
		path += "?approved=true"
	}
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.l.url(s.box, path), in)
	require.NoError(t, err)
	if body != nil {
		req.Header.Set("Content-type", "application/json")
	}
	if s.basic {
		req.SetBasicAuth("admin", "123456")
	}
	resp, err := s.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	r := &reply{t: t, what: method + " " + path, Status: resp.StatusCode, Header: resp.Header, Raw: raw}
	require.NoError(t, json.Unmarshal(raw, r))
	require.Equal(t, 200, r.Status, "%s: %s", r.what, raw)
	return r
}

type object1 = map[string]any

// TestVendorSDKWalk repeats, request by request, what the SDK sends from the
// construction of two systems to the deletion of a replica.
func TestVendorSDKWalk(t *testing.T) {
	l := start(t, func(o *Options) { o.Scenario = ScenarioEmpty })
	a, b := l.sdk(1), l.sdk(2)

	interfaces := a.call("GET", "network/interfaces", nil).list()
	space := a.call("POST", "network/spaces", object1{"name": "rmr", "service": "RMR_SERVICE", "interfaces": []any{interfaces[0].(object1)["id"]},
		"network_config": object1{"netmask": 19, "network": "127.0.0.1", "default_gateway": "127.0.0.1"}}).id()
	a.call("POST", fmt.Sprintf("network/spaces/%d/ips", space), "127.0.0.5")
	remoteSpaces := b.call("GET", "network/spaces", nil).list()
	remoteIP := remoteSpaces[0].(object1)["ips"].([]any)[0].(object1)["ip_address"]
	link := a.call("POST", "links", object1{"name": "link_x", "local_replication_network_space_id": space, "remote_host": remoteIP})
	require.Equal(t, float64(2222), link.field("remote_system_serial_number"))
	require.Equal(t, link.id(), b.call("GET", fmt.Sprintf("links/%d", link.num("remote_link_id")), nil).num("remote_link_id"))
	require.Equal(t, "ACTIVE", a.call("GET", fmt.Sprintf("links/%d?fields=link_mode", link.id()), nil).field("link_mode"))

	pool := a.call("POST", "pools", object1{"name": "pool_1", "virtual_capacity": 1000000000000, "physical_capacity": 1000000000000}).id()
	remotePool := b.call("POST", "pools", object1{"name": "pool_1", "virtual_capacity": 1000000000000, "physical_capacity": 1000000000000}).id()
	vol := a.call("POST", "volumes", object1{"name": "vol_1", "pool_id": pool, "size": 1000000000, "provtype": "THICK"}).id()
	r := a.call("POST", "replicas", object1{"link_id": link.id(), "entity_type": "VOLUME", "remote_pool_id": remotePool,
		"entity_pairs": []any{object1{"remote_base_action": "CREATE", "local_entity_id": vol, "remote_entity_id": nil}}})
	path := fmt.Sprintf("replicas/%d", r.id())
	require.Equal(t, "ASYNC", a.call("GET", path+"?fields=replication_type", nil).field("replication_type"))
	l.advance(5 * time.Second)
	a.call("POST", path+"/change_type_to_sync", object1{})
	require.Equal(t, "SYNC", a.call("GET", path+"?fields=replication_type", nil).field("replication_type"))
	a.call("POST", path+"/change_type_to_async", object1{})
	a.call("PUT", path, object1{"sync_interval": 60000})
	require.Len(t, a.call("GET", fmt.Sprintf("replicas?local_entity_id=eq%%3A%d", vol), nil).list(), 1)
	require.Len(t, a.call("GET", fmt.Sprintf("remote/%d/api/rest/replicas/%d", link.id(), r.num("remote_replica_id")), nil).field("entity_pairs"), 1)
	a.call("POST", path+"/suspend", nil)
	require.Equal(t, "SUSPENDED", a.call("GET", path+"?fields=state", nil).field("state"))
	a.call("POST", path+"/change_role", json.RawMessage("null"))
	b.call("POST", fmt.Sprintf("replicas/%d/change_role", r.num("remote_replica_id")), json.RawMessage("null"))
	b.call("POST", fmt.Sprintf("replicas/%d/resume", r.num("remote_replica_id")), nil)
	l.advance(5 * time.Second)
	gone := b.call("DELETE", fmt.Sprintf("replicas/%d", r.num("remote_replica_id")), nil)
	require.NotNil(t, gone.pairField("_local_reclaimed_snapshot_id"), "retention is the default with replica_auto_create")
	a.call("DELETE", fmt.Sprintf("links/%d", link.id()), nil)
	require.Empty(t, b.call("GET", "links", nil).list())
	a.call("POST", "users/logout", object1{})
}

// TestSDKFields: every field that the SDK reads from a replica, link, volume,
// pool, group and network space is there.
func TestSDKFields(t *testing.T) {
	l := start(t)
	id, _ := l.replicate("vol1", "ASYNC")
	cg := l.ok(1, "POST", "cgs", fmt.Sprintf(`{"name":"cg","pool_id":%d}`, l.poolID(1))).id()
	fs := l.filesystem(1, "fs")
	for path, fields := range map[string]string{
		fmt.Sprintf("replicas/%d", id):                                          "id,description,updated_at,created_at,link_id,entity_pairs,entity_type,remote_pool_id,remote_replica_id,role,progress,jobs,job_state,pending_job_count,throughput,restore_point,last_synchronized,_consistent_guid,state,state_description,state_reason,is_initial,sync_interval,rpo_value,rpo_state,rpo_type,remote_cg_id,remote_cg_name,local_cg_id,local_cg_name,local_pool_id,local_pool_name,remote_pool_name,staging_area_allocated_size,replication_type,sync_state,sync_duration,async_mode,latency,domino,_assigned_sync_remote_ips,next_job_start_time,next_restore_point,permanent_failure_wait_interval,temporary_failure_retry_interval,temporary_failure_retry_count,started_at,is_preferred,local_entity_id,remote_entity_id,local_entity_name,remote_entity_name,base_action,concurrent_replica",
		fmt.Sprintf("links/%d", l.linkID(1)):                                    "id,name,local_replication_network_space_id,remote_link_id,remote_host,remote_system_name,remote_system_serial_number,link_state,state_description,is_local_link_ready_for_sync,async_only,resiliency_mode,witness_address,local_witness_state,link_mode",
		fmt.Sprintf("pools/%d", l.poolID(1)):                                    "id,name,virtual_capacity,physical_capacity,owners,allocated_physical_space,free_physical_space,free_virtual_space,physical_capacity_critical,physical_capacity_warning,reserved_capacity,created_at,updated_at,ssd_enabled,compression_enabled,capacity_savings,max_extend,state,volumes_count,snapshots_count,filesystems_count,filesystem_snapshots_count,entities_count,qos_policies,tenant_id",
		"volumes/" + fmt.Sprint(int64(l.replica(1, id).num("local_entity_id"))): "id,dataset_type,num_blocks,size,used,allocated,tree_allocated,pool_id,type,family_id,provtype,created_at,updated_at,ssd_enabled,write_protected,compression_enabled,compression_suppressed,capacity_savings,depth,mapped,has_children,rmr_source,rmr_target,rmr_snapshot_guid,qos_policy_id,qos_shared_policy_id,pool_name,lock_expires_at,lock_state,rmr_active_active_peer,replica_ids,tenant_id,name,serial,udid,cg_id,parent_id,data_snapshot_guid,paths_available",
		fmt.Sprintf("filesystems/%d", fs):                                       "parent_id,name,root_mode,atime_mode,_is_established,data_snapshot_guid,snapdir_name,visible_in_snapdir,snapdir_accessible",
		fmt.Sprintf("cgs/%d", cg):                                               "id,name,type,pool_id,parent_id,is_replicated,members_count,created_at,updated_at,rmr_snapshot_guid,pool_name,lock_expires_at,lock_state,tenant_id",
		"system":                                                                "id,operational_state,security,name,serial_number,version,release,model",
	} {
		l.ok(1, "GET", path+"?fields="+fields, "")
	}
	l.ok(1, "GET", "network/spaces?fields=id,name,network_config,interfaces,service,ips,properties,automatic_ip_failback,mtu,rate_limit,tenant_id", "")
	require.Equal(t, "742b0f000000457", l.ok(1, "GET", "volumes?fields=serial", "").list()[0].(object1)["serial"].(string)[:15])
}
