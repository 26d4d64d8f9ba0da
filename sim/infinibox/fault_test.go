package infinibox

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
)

// TestTransportFaults: what comes back when something between client and box is broken.
func TestTransportFaults(t *testing.T) {
	l := start(t)
	body := func(resp *http.Response) string {
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body) // a cut body is what some faults are about
		return string(raw)
	}
	l.fault("ibox1", "http_503", "", "", 1)
	resp := l.raw(1, "GET", "system", "")
	require.Equal(t, 503, resp.StatusCode)
	require.Contains(t, body(resp), "<html>")
	l.ok(1, "GET", "system", "")
	l.fault("ibox1", "html_502", "", "POST", 1)
	l.ok(1, "GET", "system", "")
	resp = l.raw(1, "POST", "pools", `{}`)
	require.Equal(t, 502, resp.StatusCode)
	require.Equal(t, "text/html", resp.Header.Get("Content-Type"))
	require.Contains(t, body(resp), "<html>")
	l.fault("", "error_200", "", "", 1)
	r := l.do(2, "GET", "system", "")
	require.Equal(t, 200, r.Status)
	require.NotNil(t, r.Error["code"])

	pool := fmt.Sprintf(`{"name":"lost","virtual_capacity":%d,"physical_capacity":%d}`, tebi, tebi)
	post := func() error {
		req, err := http.NewRequestWithContext(t.Context(), "POST", l.url(1, "pools"), strings.NewReader(pool))
		require.NoError(t, err)
		req.SetBasicAuth("admin", "123456")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	l.fault("ibox1", "drop_reply", "", "POST /api/rest/pools", 1)
	require.Error(t, post())
	require.Len(t, l.ok(1, "GET", "pools?name=lost", "").list(), 1, "the request was carried out")
	pool = strings.Replace(pool, "lost", "cut", 1)
	l.fault("ibox1", "truncate_body", "", "POST", 1)
	require.ErrorIs(t, post(), io.ErrUnexpectedEOF)

	l.fault("ibox1", "mgmt_down", "", "", 0)
	require.Error(t, post())
	require.Equal(t, "UP", l.ok(2, "GET", fmt.Sprintf("links/%d", l.linkID(2)), "").field("link_state"), "replication goes on")
	l.sim.ClearFaults()
	l.ok(1, "GET", "system", "")
	l.fault("ibox1", "slow_ms", "50", "", 1)
	began := time.Now()
	l.ok(1, "GET", "system", "")
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
}

// TestViewFaults: clocks and words that a client does not expect.
func TestViewFaults(t *testing.T) {
	l := start(t)
	id, _ := l.replicate("vol1", "ASYNC")
	l.fault("ibox1", "field_value", `"HALF_ACTIVE"`, "state", 0)
	require.Equal(t, "HALF_ACTIVE", l.replica(1, id).field("state"))
	l.sim.ClearFaults()
	require.Equal(t, "ACTIVE", l.replica(1, id).field("state"))
	l.fault("ibox1", "peer_down", "", "", 0)
	require.Equal(t, "UNKNOWN", l.ok(1, "GET", fmt.Sprintf("links/%d", l.linkID(1)), "").field("link_state"))
	require.Equal(t, "DOWN", l.ok(2, "GET", fmt.Sprintf("links/%d", l.linkID(2)), "").field("link_state"))
	l.sim.ClearFaults()
	now := l.ok(1, "GET", "system?fields=localtime", "").num("localtime")
	l.fault("ibox1", "clock_offset_s", "-3600", "", 0)
	require.Equal(t, now-3600_000, l.ok(1, "GET", "system?fields=localtime", "").num("localtime"))
	_, err := l.sim.AddFault(control.Fault{Kind: "too_many_cli"})
	require.ErrorIs(t, err, control.ErrBadRequest, "a fault that means nothing here is refused")
}

// TestRemotePermission: what touches the peer needs the peer's credentials.
func TestRemotePermission(t *testing.T) {
	l := start(t)
	id, _ := l.replicate("vol1", "ASYNC")
	l.fault("ibox1", "remote_permission", "", "", 0)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	path := fmt.Sprintf("remote/%d/api/rest/pools?name=p2", l.linkID(1))
	require.Equal(t, "REMOTE_PERMISSION_REQUIRED", l.refused(403, "REMOTE_PERMISSION_REQUIRED", 1, "GET", path, "").Error["code"])
	require.Equal(t, 403, l.do(1, "GET", path, "", "X-Remote-Authorization", basic("admin:no")).Status)
	require.Len(t, l.ok(1, "GET", path, "", "X-Remote-Authorization", basic("admin:123456")).list(), 1)
	l.refused(403, "REMOTE_PERMISSION_REQUIRED", 1, "DELETE", fmt.Sprintf("replicas/%d", id), "")
	l.ok(1, "POST", fmt.Sprintf("replicas/%d/suspend", id), "")
	l.ok(1, "DELETE", fmt.Sprintf("replicas/%d", id), "", "X-Remote-Authorization", basic("infinidat:123456"))
	l.fault("", "link_down", "", "", 0)
	require.Equal(t, true, l.refused(409, "SIM_REMOTE_UNREACHABLE", 1, "GET", path, "").Error["is_remote"])
}

// TestSnapshotsToTarget: a snapshot made with replicate_to_async_target arrives with the next job.
func TestSnapshotsToTarget(t *testing.T) {
	l := start(t, func(o *Options) { o.Version = "7.3" })
	vol := l.volume(1, "vol1")
	l.refused(409, "SIM_NOT_REPLICATED_WITH_SNAPSHOTS", 1, "POST", "volumes?replicate_to_async_target=True", fmt.Sprintf(`{"name":"s","parent_id":%d}`, vol))
	id := l.ok(1, "POST", "replicas", fmt.Sprintf(`{"link_id":%d,"entity_type":"VOLUME","remote_pool_id":%d,"including_snapshots":true,"snapshots_retention":3600,"remote_snapshot_suffix":"_dr","entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":%d}]}`, l.linkID(1), l.poolID(2), vol)).id()
	l.advance(5 * time.Second)
	l.write(1, "vol1", "snap")
	l.ok(1, "POST", "volumes?replicate_to_async_target=True", fmt.Sprintf(`{"name":"s","parent_id":%d}`, vol))
	l.write(1, "vol1", "next")
	l.act(1, id, "sync")
	l.advance(2 * time.Second)
	require.Equal(t, "next", l.read(2, "vol1", 4))
	require.Equal(t, "snap", l.read(2, "s_dr", 4))
	l.refused(400, "SIM_INVALID_VALUE", 1, "POST", "volumes?replicate_to_async_target=maybe", fmt.Sprintf(`{"name":"s2","parent_id":%d}`, vol))
}

// TestActiveActive replicas exist only to be seen.
func TestActiveActive(t *testing.T) {
	l := start(t, feature("active_active", true))
	id, far := l.replicate("vol1", "ACTIVE_ACTIVE")
	require.Equal(t, "SYNCHRONIZED", l.replica(1, id).field("sync_state"))
	l.write(1, "vol1", "one")
	require.Equal(t, "one", l.read(2, "vol1", 3))
	l.write(2, "vol1", "two")
	require.Equal(t, "two", l.read(1, "vol1", 3))
	l.refused(501, "SIM_NOT_IMPLEMENTED", 2, "POST", fmt.Sprintf("replicas/%d/change_role", far), `null`)
	require.Empty(t, l.sim.Violations())
}

// TestFiles: with Files the volumes are files that anybody may write and read.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	l := start(t, func(o *Options) { o.Dir, o.Files = dir, true })
	id, _ := l.replicate("vol1", "ASYNC")
	l.advance(5 * time.Second)
	source, target := filepath.Join(dir, "ibox1", "vol1.img"), filepath.Join(dir, "ibox2", "vol1.img")
	f, err := os.OpenFile(source, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("hello"), 700_000_000)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	l.act(1, id, "sync")
	l.advance(2 * time.Second)
	got := make([]byte, 5)
	f, err = os.Open(target)
	require.NoError(t, err)
	_, err = f.ReadAt(got, 700_000_000)
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, "hello", string(got))
	require.Equal(t, int64(1_000_000_000), info.Size())

	gone := l.ok(1, "DELETE", fmt.Sprintf("replicas/%d", id), "")
	require.NotNil(t, gone.pairField("_remote_reclaimed_snapshot_id"))
	left, err := filepath.Glob(filepath.Join(dir, "*", ".internal", "*"))
	require.NoError(t, err)
	require.Empty(t, left, "what jobs kept is removed with the replica")
	require.NoError(t, l.sim.Reset())
	_, err = os.Stat(source)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestFileContentAgrees runs the same writes on both kinds of content.
func TestFileContentAgrees(t *testing.T) {
	stores := []contentStore{memoryStore{}, &fileStore{dir: t.TempDir()}}
	const size = 1 << 20
	for _, s := range stores {
		a, err := s.create("ibox1", "a", size)
		require.NoError(t, err)
		b, err := s.create("ibox1", "b", size)
		require.NoError(t, err)
		empty, err := a.empty()
		require.NoError(t, err)
		require.True(t, empty)
		require.NoError(t, a.writeAt([]byte("abc"), 8190))
		same, err := a.equal(b)
		require.NoError(t, err)
		require.False(t, same)
		c, err := a.clone(internalPrefix + "1")
		require.NoError(t, err)
		require.NoError(t, a.writeAt([]byte("\x00\x00\x00"), 8190))
		empty, err = a.empty()
		require.NoError(t, err)
		require.True(t, empty, "written zeros are empty")
		same, err = a.equal(b)
		require.NoError(t, err)
		require.True(t, same)
		p := make([]byte, 5)
		require.NoError(t, c.readAt(p, 8189))
		require.Equal(t, "\x00abc\x00", string(p))
		require.NoError(t, b.copyFrom(c))
		same, err = b.equal(c)
		require.NoError(t, err)
		require.True(t, same)
		require.NoError(t, c.remove())
	}
}

// TestControlAPI drives the simulator as a foreign program would, over HTTP and
// HTTPS with the CA file.
func TestControlAPI(t *testing.T) {
	l := start(t)
	ready := l.sim.Ready()
	call := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ready.Control+path, strings.NewReader(body))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(raw)
	}
	id, _ := l.replicate("vol1", "ASYNC")
	data := base64.StdEncoding.EncodeToString([]byte("data"))
	status, _ := call("POST", "/v1/io", `{"array":"ibox1","volume":"vol1","op":"write","offset":0,"data_b64":"`+data+`"}`)
	require.Equal(t, 200, status)
	status, _ = call("POST", "/v1/io", `{"array":"ibox2","volume":"vol1","op":"write","offset":0,"data_b64":"`+data+`"}`)
	require.Equal(t, 409, status)
	status, _ = call("POST", "/v1/clock", `{"advance_s":2}`)
	require.Equal(t, 200, status)
	l.act(1, id, "sync")
	status, _ = call("POST", "/v1/clock", `{"advance_s":2}`)
	require.Equal(t, 200, status)
	status, answer := call("POST", "/v1/io", `{"array":"ibox2","volume":"vol1","op":"read","offset":0,"length":4}`)
	require.Equal(t, 200, status)
	require.Contains(t, answer, data)
	_, answer = call("GET", "/v1/state", "")
	require.True(t, json.Valid([]byte(answer)))
	require.Contains(t, answer, `"role":"TARGET"`)
	_, answer = call("GET", "/v1/journal", "")
	require.Contains(t, answer, `"method":"POST","path":"/api/rest/replicas?approved=true"`)
	status, _ = call("POST", "/v1/reset", "")
	require.Equal(t, 200, status)
	require.Empty(t, l.ok(1, "GET", "replicas", "").list())

	ca, err := os.ReadFile(ready.Arrays[1].CAFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+ready.Arrays[1].HTTPS+"/api/rest/system?fields=serial_number", nil)
	require.NoError(t, err)
	req.SetBasicAuth("admin", "123456")
	resp, err := client.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, string(raw), "2222")
	client.CloseIdleConnections()
}

// TestOptions: nonsense is refused before a port is opened.
func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {Dir: "d", Scenario: "x"}, {Dir: "d", Version: "seven"}, {Dir: "d", Version: "7"}, {Dir: "d", PortBase: -1},
		{Dir: "d", Features: map[string]bool{"x": true}},
	} {
		require.Error(t, o.Validate(), "%+v", o)
	}
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Clock: "fast"})
	require.Error(t, err)
	for _, s := range []string{"x", "x=on", "active_active=1", "active_active"} {
		_, _, err := ParseFeature(s)
		require.Error(t, err, s)
	}
	name, on, err := ParseFeature("active_active=on")
	require.NoError(t, err)
	require.True(t, on && name == "active_active")
}

// TestMiscellany: the smaller calls.
func TestMiscellany(t *testing.T) {
	l := start(t)
	a, b := l.volume(1, "a"), l.volume(1, "b")
	snaps := l.ok(1, "POST", "volumes/group_snapshot", fmt.Sprintf(`{"snap_prefix":"s_","snap_suffix":null,"entities":[{"id":%d},{"id":%d}]}`, a, b)).list()
	require.Equal(t, "s_b", snaps[1].(object1)["name"])
	require.Equal(t, float64(b), snaps[1].(object1)["parent_id"])
	snap := int64(snaps[0].(object1)["id"].(float64))
	l.write(1, "a", "new")
	l.ok(1, "POST", fmt.Sprintf("volumes/%d/refresh", snap), fmt.Sprintf(`{"source_id":%d}`, a))
	require.Equal(t, "new", l.read(1, "s_a", 3))
	require.Error(t, l.tryWrite(1, "s_a", "x"), "snapshots are write protected")
	l.ok(1, "PUT", fmt.Sprintf("volumes/%d", snap), `{"write_protected":false}`)
	l.write(1, "s_a", "yes")
	require.Positive(t, l.ok(1, "POST", "volumes/delete_simulation", fmt.Sprintf(`{"entities":[%d]}`, a)).num("space_reclaimable"))
	l.refused(409, "SIM_NOT_A_REPLICATION_SNAPSHOT", 1, "POST", fmt.Sprintf("volumes/%d/own_snapshot", snap), `{"name":"mine"}`)
	l.ok(1, "PUT", fmt.Sprintf("volumes/%d", a), `{"name":"renamed","size":2000000000}`)
	l.refused(409, "SIM_SHRINK", 1, "PUT", fmt.Sprintf("volumes/%d", a), `{"size":1000000000}`)
	require.Empty(t, l.ok(1, "GET", fmt.Sprintf("volumes/%d/luns", a), "").list())
	require.Len(t, l.ok(1, "GET", "datasets?type=eq:MASTER", "").list(), 2)
	pool := l.ok(1, "POST", "pools", `{"name":"second","virtual_capacity":1500000000,"physical_capacity":1500000000}`).id()
	l.refused(409, "SIM_POOL_CAPACITY", 1, "POST", fmt.Sprintf("volumes/%d/move", a), fmt.Sprintf(`{"pool_id":%d,"with_capacity":false}`, pool))
	require.Equal(t, "second", l.ok(1, "POST", fmt.Sprintf("volumes/%d/move", b), fmt.Sprintf(`{"pool_id":%d,"with_capacity":false}`, pool)).field("pool_name"))
	l.ok(1, "POST", fmt.Sprintf("pools/%d/lock", pool), "")
	l.refused(409, "SIM_POOL_LOCKED", 1, "POST", "volumes", fmt.Sprintf(`{"name":"x","pool_id":%d,"size":512}`, pool))
	l.ok(1, "PUT", "system/name/", `"prod"`)
	require.Equal(t, "prod", l.ok(2, "GET", fmt.Sprintf("links/%d", l.linkID(2)), "").field("remote_system_name"))
	l.ok(1, "POST", fmt.Sprintf("links/%d/set_witness_address", l.linkID(1)), `{"witness_address":"192.0.2.99"}`)
	require.Equal(t, "192.0.2.99", l.ok(2, "GET", fmt.Sprintf("links/%d", l.linkID(2)), "").field("witness_address"))
	l.ok(1, "POST", fmt.Sprintf("links/%d/refresh", l.linkID(1)), `{}`)
}
