package infinibox

import (
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStrict: what a box would not take is an error.
func TestStrict(t *testing.T) {
	l := start(t)
	vol, pool, link := l.volume(1, "vol1"), l.poolID(1), l.linkID(1)
	id, far := l.replicate("vol2", "ASYNC")
	pair := fmt.Sprintf(`{"link_id":%d,"entity_type":"VOLUME","remote_pool_id":%d,"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":%d}]`, link, l.poolID(2), vol)
	for _, c := range []struct {
		status             int
		code               string
		method, path, body string
	}{
		{404, "SIM_UNKNOWN_PATH", "GET", "nonsense", ""},
		{404, "SIM_UNKNOWN_PATH", "GET", "volumes/one", ""},
		{405, "SIM_METHOD_NOT_ALLOWED", "PATCH", "volumes", ""},
		{501, "SIM_NOT_IMPLEMENTED", "GET", "hosts", ""},
		{501, "SIM_NOT_IMPLEMENTED", "POST", fmt.Sprintf("replicas/%d/change_role", id), `{"entity_pairs":[]}`},
		{404, "VOLUME_NOT_FOUND", "GET", "volumes/999", ""},
		{404, "LINK_NOT_FOUND", "GET", "links/999", ""},
		{404, "FILESYSTEM_NOT_FOUND", "GET", fmt.Sprintf("filesystems/%d", vol), ""},
		{400, "SIM_UNKNOWN_FIELD", "GET", "volumes?color=eq%3Ared", ""},
		{400, "SIM_UNKNOWN_FIELD", "GET", "volumes?sort=-color", ""},
		{400, "SIM_UNKNOWN_FIELD", "GET", "volumes?fields=id,color", ""},
		{400, "SIM_INVALID_VALUE", "GET", "volumes?page_size=1001", ""},
		{400, "SIM_INVALID_VALUE", "GET", "volumes?page=0", ""},
		{400, "SIM_UNKNOWN_QUERY", "POST", "pools?force=true", `{}`},
		{400, "SIM_UNKNOWN_FIELD", "POST", "volumes", fmt.Sprintf(`{"name":"x","pool_id":%d,"size":512,"color":1}`, pool)},
		{400, "SIM_INVALID_VALUE", "POST", "volumes", fmt.Sprintf(`{"name":"x","pool_id":"%d","size":512}`, pool)},
		{400, "SIM_INVALID_VALUE", "POST", "volumes", fmt.Sprintf(`{"name":"x","pool_id":%d,"size":513}`, pool)},
		{400, "SIM_INVALID_VALUE", "POST", "volumes", fmt.Sprintf(`{"name":"x","pool_id":%d,"size":512} {}`, pool)},
		{400, "SIM_INVALID_VALUE", "POST", "volumes", `{"name":"x"`},
		{400, "SIM_INVALID_VALUE", "POST", "volumes", `[]`},
		{400, "SIM_INVALID_VALUE", "POST", "volumes", `{"name":"x","size":512}`},
		{409, "SIM_NAME_CONFLICT", "POST", "volumes", fmt.Sprintf(`{"name":"vol1","pool_id":%d,"size":512}`, pool)},
		{409, "SIM_POOL_CAPACITY", "POST", "volumes", fmt.Sprintf(`{"name":"x","pool_id":%d,"size":%d}`, pool, int64(1)<<51)},
		{404, "POOL_NOT_FOUND", "POST", "volumes", `{"name":"x","pool_id":7,"size":512}`},
		{409, "SIM_POOL_NOT_EMPTY", "DELETE", fmt.Sprintf("pools/%d", pool), ""},
		{409, "SIM_LINK_IN_USE", "DELETE", fmt.Sprintf("links/%d", link), ""},
		{409, "SIM_IS_REPLICATED", "DELETE", fmt.Sprintf("volumes/%d", vol+1), ""},
		{400, "SIM_INVALID_VALUE", "POST", fmt.Sprintf("volumes/%d/restore", vol), `{"id":1}`},
		{400, "SIM_INVALID_VALUE", "POST", fmt.Sprintf("replicas/%d/suspend", id), `{"a":1}`},
		{400, "SIM_INVALID_VALUE", "PUT", fmt.Sprintf("replicas/%d", id), `{"sync_interval":60000,"rpo_value":60000}`},
		{400, "SIM_INVALID_VALUE", "PUT", fmt.Sprintf("replicas/%d", id), `{"sync_interval":3}`},
		{400, "SIM_INVALID_VALUE", "PUT", fmt.Sprintf("replicas/%d", id), `{"permanent_failure_wait_interval":0}`},
		{409, "SIM_NOT_SYNC", "POST", fmt.Sprintf("replicas/%d/switch_role", id), ""},
		{409, "SIM_NOT_TARGET", "POST", fmt.Sprintf("replicas/%d/expose_last_consistent_snapshot", id), ""},
		{400, "SIM_INVALID_VALUE", "POST", "replicas", pair + `,"replication_type":"MIRROR"}`},
		{400, "SIM_FEATURE_DISABLED", "POST", "replicas", pair + `,"replication_type":"ACTIVE_ACTIVE"}`},
		{400, "SIM_INVALID_VALUE", "POST", "replicas", pair + `,"replication_type":"SYNC","sync_interval":60000}`},
		{400, "SIM_INVALID_VALUE", "POST", "replicas", pair + `,"local_cg_id":3}`},
		{400, "SIM_UNKNOWN_FIELD", "POST", "replicas", pair + `,"remote_snapshot_suffix":"x"}`}, // 7.2
		{400, "SIM_INVALID_VALUE", "POST", "replicas", strings.Replace(pair, "CREATE", "BASE", 1) + `}`},
		{400, "SIM_INVALID_VALUE", "POST", "replicas", strings.Replace(pair, "CREATE", "NO_BASE_DATA", 1) + `}`},
		{400, "SIM_INVALID_VALUE", "POST", "replicas", strings.Replace(pair, `"entity_pairs":[`, `"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":`+fmt.Sprint(vol)+`},`, 1) + `}`},
		{404, "POOL_NOT_FOUND", "POST", "replicas", strings.Replace(pair, fmt.Sprintf(`"remote_pool_id":%d`, l.poolID(2)), fmt.Sprintf(`"remote_pool_id":%d`, pool), 1) + `}`},
	} {
		t.Run(fmt.Sprintf("%s %s %d", c.method, c.path, c.status), func(t *testing.T) {
			l.t = t
			l.refused(c.status, c.code, 1, c.method, c.path, c.body)
		})
	}
	l.t = t
	require.Equal(t, "TARGET", l.replica(2, far).field("role"))
	require.Len(t, l.ok(2, "GET", "volumes", "").list(), 1, "refused creations leave nothing on the peer")
}

// TestApproval: destroying needs ?approved=true, with the status that a fault chooses.
func TestApproval(t *testing.T) {
	l := start(t)
	vol := l.volume(1, "vol1")
	snap := l.snapshot(1, "volumes", "snap", vol)
	r := l.do(1, "DELETE", fmt.Sprintf("volumes/%d?approved=false", vol), "")
	require.Equal(t, 403, r.Status)
	require.Equal(t, "APPROVAL_REQUIRED_VOLUME_HAS_CHILDREN", r.Error["code"])
	reasons := r.Error["reasons"].([]any)
	require.Len(t, reasons, 1)
	require.NotEmpty(t, reasons[0].(map[string]any)["message"])
	require.Len(t, reasons[0].(map[string]any)["affected_entities"], 1)
	l.fault("ibox1", "approval_status", "409", "", 0)
	r = l.do(1, "POST", fmt.Sprintf("volumes/%d/restore", vol), fmt.Sprint(snap))
	require.Equal(t, 409, r.Status)
	require.Equal(t, "APPROVAL_REQUIRED", r.Error["code"])
	l.ok(1, "POST", fmt.Sprintf("volumes/%d/restore", vol), fmt.Sprint(snap))
	l.ok(1, "DELETE", fmt.Sprintf("volumes/%d", vol), "")
	l.refused(404, "VOLUME_NOT_FOUND", 1, "GET", fmt.Sprintf("volumes/%d", snap), "")
}

// TestCollections: paging, filters, sorting and fields.
func TestCollections(t *testing.T) {
	l := start(t)
	for i := range 61 {
		l.volume(1, fmt.Sprintf("v%02d", i))
	}
	r := l.ok(1, "GET", "volumes", "")
	require.Len(t, r.list(), 50)
	require.Equal(t, map[string]any{"ready": true, "number_of_objects": 61.0, "page_size": 50.0, "pages_total": 2.0, "page": 1.0}, r.Meta)
	require.Len(t, l.ok(1, "GET", "volumes?page=2", "").list(), 11)
	require.Len(t, l.ok(1, "GET", "volumes?page_size=1000&page=1", "").list(), 61)
	names := func(query string) (out []string) {
		for _, v := range l.ok(1, "GET", "volumes?fields=name&"+query, "").list() {
			require.Len(t, v, 1)
			out = append(out, v.(map[string]any)["name"].(string))
		}
		return out
	}
	require.Equal(t, []string{"v60", "v59"}, names("sort=-id&page_size=2"))
	require.Equal(t, []string{"v07"}, names("name=eq%3Av07"))
	require.Equal(t, []string{"v07"}, names("name=v07"))
	require.Equal(t, []string{"v07", "v09"}, names("name=in%3A(v07,v09)"))
	require.Equal(t, []string{"v60"}, names("name=ge:v60"))
	require.Len(t, names("name=like%3Av1"), 10)
	require.Equal(t, []string{"v01", "v02"}, names("name=between:(v01,v02)"))
	require.Empty(t, names("size=lt:1000000000"))
	require.Empty(t, names("parent_id=gt:0"))
	require.Len(t, names("cg_id=eq:null&page_size=1000"), 61)
}

// TestSessions: cookie and Basic, expiry, wrong password.
func TestSessions(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			l := start(t, feature("auth_sessions", on))
			post := func(path, body, cookie string) *http.Response {
				req, err := http.NewRequestWithContext(t.Context(), "POST", l.url(1, path), strings.NewReader(body))
				require.NoError(t, err)
				if cookie != "" {
					req.AddCookie(&http.Cookie{Name: "JSESSIONID", Value: cookie})
				}
				resp, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, resp.Body)
				require.NoError(t, resp.Body.Close())
				return resp
			}
			require.Equal(t, 401, post("users/login?approved=true", `{"username":"admin","password":"no"}`, "").StatusCode)
			require.Equal(t, 401, post("pools", `{}`, "").StatusCode)
			if !on {
				require.Equal(t, 400, post("users/login", `{"username":"admin","password":"123456","clientid":"c"}`, "").StatusCode)
				require.Empty(t, post("users/login", `{"username":"admin","password":"123456"}`, "").Cookies())
				return
			}
			resp := post("users/login?approved=true", `{"username":"infinidat","password":"123456","clientid":"infinisdk.v1"}`, "")
			require.Equal(t, 200, resp.StatusCode)
			require.Len(t, resp.Cookies(), 1)
			cookie := resp.Cookies()[0].Value
			require.Equal(t, 400, post("pools", `{}`, cookie).StatusCode)
			l.fault("ibox1", "expire_session", "", "", 1)
			require.Equal(t, 401, post("pools", `{}`, cookie).StatusCode)
			cookie = post("users/login", `{"username":"admin","password":"123456"}`, "").Cookies()[0].Value
			require.Equal(t, 200, post("users/logout?approved=true", `{}`, cookie).StatusCode)
			require.Equal(t, 401, post("pools", `{}`, cookie).StatusCode)
			for _, e := range l.sim.Journal().Since(0) {
				require.NotContains(t, e.Body, "123456", "the journal hides passwords")
			}
		})
	}
}

// TestFixtures compares with bytes that were captured from, or documented for,
// the vendor's SDK.
func TestFixtures(t *testing.T) {
	l := start(t)
	require.JSONEq(t, `{"result":"7.1","error":null,"metadata":{"ready":true}}`, string(l.ok(1, "GET", "system/version", "").Raw))
	require.JSONEq(t, `{"result":{"version":"7.1"},"error":null,"metadata":{"ready":true}}`, string(l.ok(1, "GET", "system?fields=version", "").Raw))
	require.JSONEq(t, `{"result":{"name":"ibox2","serial_number":2222},"error":null,"metadata":{"ready":true}}`, string(l.ok(2, "GET", "system?fields=name,serial_number", "").Raw))
	require.JSONEq(t, `{"result":[],"error":null,"metadata":{"ready":true,"number_of_objects":0,"page_size":50,"pages_total":0,"page":1}}`, string(l.ok(1, "GET", "replicas?role=eq%3ASOURCE", "").Raw))
	require.JSONEq(t, `{"result":null,"error":{"code":"VOLUME_NOT_FOUND","message":"volume 7 does not exist","severity":"ERROR","is_remote":false,"reasons":[],"data":null},"metadata":{"ready":true}}`,
		string(l.do(1, "GET", "volumes/7", "").Raw))
	require.Equal(t, "7.1", l.ok(1, "GET", "system", "").Header.Get("X-INFINIDAT-VERSION"))
	pool := l.ok(1, "POST", "pools", `{"name":"pool_1","virtual_capacity":1000000000000,"physical_capacity":1000000000000}`)
	require.Equal(t, int64(1000000000000), pool.num("free_virtual_space"))
	features := map[string]bool{}
	for _, f := range l.ok(1, "GET", "_features", "").list() {
		features[f.(map[string]any)["name"].(string)] = f.(map[string]any)["enabled"].(bool)
	}
	require.True(t, features["replica_auto_create"] && features["api/auth_sessions"] && features["sync_replication"])
	require.False(t, features["active_active"])
}

// TestIndependence: the simulator shares nothing with what it tests.
func TestIndependence(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	for _, file := range files {
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		require.NoError(t, err)
		for _, imp := range f.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if strings.HasPrefix(path, "github.com/ddsgo/ddsgo/") {
				require.Equal(t, "github.com/ddsgo/ddsgo/sim/control", path, file)
			}
		}
	}
}
