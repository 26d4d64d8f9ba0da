package infinibox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
)

// pair is a started simulator with a plain HTTP client, which knows nothing of
// the package's types.
type lab struct {
	t   *testing.T
	sim *Sim
}

// reply is one answer of a box.
type reply struct {
	t      *testing.T
	what   string
	Status int
	Header http.Header
	Raw    []byte
	Result any            `json:"result"`
	Error  map[string]any `json:"error"`
	Meta   map[string]any `json:"metadata"`
}

func start(t *testing.T, change ...func(*Options)) *lab {
	t.Helper()
	opt := Options{Dir: t.TempDir(), Clock: control.Manual}
	for _, f := range change {
		f(&opt)
	}
	sim, err := Start(t.Context(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return &lab{t: t, sim: sim}
}

func feature(name string, on bool) func(*Options) {
	return func(o *Options) {
		if o.Features == nil {
			o.Features = map[string]bool{}
		}
		o.Features[name] = on
	}
}

func (l *lab) url(box int, path string) string {
	return "http://" + l.sim.Ready().Arrays[box-1].HTTP + "/api/rest/" + path
}

// raw sends one request with Basic credentials.
func (l *lab) raw(box int, method, path, body string, header ...string) *http.Response {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.url(box, path), bytes.NewReader([]byte(body)))
	require.NoError(l.t, err)
	req.SetBasicAuth("admin", "123456")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(l.t, err, "%s %s", method, path)
	return resp
}

func (l *lab) do(box int, method, path, body string, header ...string) *reply {
	l.t.Helper()
	resp := l.raw(box, method, path, body, header...)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(l.t, err)
	r := &reply{t: l.t, what: fmt.Sprintf("box %d %s %s %s", box, method, path, body), Status: resp.StatusCode, Header: resp.Header, Raw: raw}
	require.NoError(l.t, json.Unmarshal(raw, r), "%s: %s", r.what, raw)
	return r
}

// ok sends a request that must succeed; non-GET requests are approved as the
// vendor's SDK does it.
func (l *lab) ok(box int, method, path, body string, header ...string) *reply {
	l.t.Helper()
	if method != "GET" {
		if bytes.ContainsRune([]byte(path), '?') {
			path += "&approved=true"
		} else {
			path += "?approved=true"
		}
	}
	r := l.do(box, method, path, body, header...)
	require.Equal(l.t, 200, r.Status, "%s: %s", r.what, r.Raw)
	require.Nil(l.t, r.Error)
	return r
}

// refused sends an approved request that must fail.
func (l *lab) refused(status int, code string, box int, method, path, body string) *reply {
	l.t.Helper()
	if method != "GET" {
		if bytes.ContainsRune([]byte(path), '?') {
			path += "&approved=true"
		} else {
			path += "?approved=true"
		}
	}
	r := l.do(box, method, path, body)
	require.Equal(l.t, status, r.Status, "%s: %s", r.what, r.Raw)
	require.Equal(l.t, code, r.Error["code"], "%s: %s", r.what, r.Raw)
	require.Nil(l.t, r.Result)
	return r
}

func (r *reply) object() map[string]any {
	r.t.Helper()
	o, ok := r.Result.(map[string]any)
	require.True(r.t, ok, "%s: result is not an object: %s", r.what, r.Raw)
	return o
}

func (r *reply) list() []any {
	r.t.Helper()
	o, ok := r.Result.([]any)
	require.True(r.t, ok, "%s: result is not a list: %s", r.what, r.Raw)
	return o
}

func (r *reply) field(name string) any {
	r.t.Helper()
	v, ok := r.object()[name]
	require.True(r.t, ok, "%s: no field %q", r.what, name)
	return v
}

func (r *reply) num(name string) int64 {
	r.t.Helper()
	n, ok := r.field(name).(float64)
	require.True(r.t, ok, "%s: %q is %v", r.what, name, r.field(name))
	return int64(n)
}

func (r *reply) id() int64 { return r.num("id") }

// pairField returns a field of the only entity pair.
func (r *reply) pairField(name string) any {
	r.t.Helper()
	pairs := r.field("entity_pairs").([]any)
	require.Len(r.t, pairs, 1)
	v, ok := pairs[0].(map[string]any)[name]
	require.True(r.t, ok, "no field %q in the pair", name)
	return v
}

func (l *lab) advance(d time.Duration) {
	l.t.Helper()
	require.NoError(l.t, l.sim.Advance(d))
}

func (l *lab) fault(array, kind, value, match string, count int) {
	l.t.Helper()
	_, err := l.sim.AddFault(control.Fault{Array: array, Kind: kind, Value: json.RawMessage(value), Match: match, Count: count})
	require.NoError(l.t, err)
}

func (l *lab) write(box int, volume, text string) {
	l.t.Helper()
	require.NoError(l.t, l.tryWrite(box, volume, text))
}

func (l *lab) tryWrite(box int, volume, text string) error {
	_, err := l.sim.IO(l.t.Context(), control.IORequest{Array: boxName(box - 1), Volume: volume, Op: "write", Offset: 4090, Data: []byte(text)})
	return err
}

func (l *lab) read(box int, volume string, n int64) string {
	l.t.Helper()
	data, err := l.sim.IO(l.t.Context(), control.IORequest{Array: boxName(box - 1), Volume: volume, Op: "read", Offset: 4090, Length: n})
	require.NoError(l.t, err)
	return string(data)
}

// poolID returns the id of the scenario's pool.
func (l *lab) poolID(box int) int64 {
	l.t.Helper()
	pools := l.ok(box, "GET", fmt.Sprintf("pools?name=eq%%3Ap%d&fields=id", box), "").list()
	require.Len(l.t, pools, 1)
	return int64(pools[0].(map[string]any)["id"].(float64))
}

func (l *lab) linkID(box int) int64 {
	l.t.Helper()
	links := l.ok(box, "GET", "links?name=link1", "").list()
	require.Len(l.t, links, 1)
	return int64(links[0].(map[string]any)["id"].(float64))
}

func (l *lab) volume(box int, name string) int64 {
	l.t.Helper()
	return l.ok(box, "POST", "volumes", fmt.Sprintf(`{"name":%q,"pool_id":%d,"size":1000000000,"provtype":"THIN"}`, name, l.poolID(box))).id()
}

func (l *lab) filesystem(box int, name string) int64 {
	l.t.Helper()
	return l.ok(box, "POST", "filesystems", fmt.Sprintf(`{"name":%q,"pool_id":%d,"size":1000000000,"provtype":"THIN"}`, name, l.poolID(box))).id()
}

func (l *lab) snapshot(box int, kind, name string, parent int64) int64 {
	l.t.Helper()
	return l.ok(box, "POST", kind, fmt.Sprintf(`{"name":%q,"parent_id":%d}`, name, parent)).id()
}

// replicate makes a replica of a new volume with a new target.
func (l *lab) replicate(name, replicationType string) (source, target int64) {
	l.t.Helper()
	id := l.volume(1, name)
	r := l.ok(1, "POST", "replicas", fmt.Sprintf(
		`{"link_id":%d,"entity_type":"VOLUME","remote_pool_id":%d,"replication_type":%q,"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":%d,"remote_entity_id":null}]}`,
		l.linkID(1), l.poolID(2), replicationType, id))
	return r.id(), r.num("remote_replica_id")
}

func (l *lab) replica(box int, id int64) *reply {
	l.t.Helper()
	return l.ok(box, "GET", fmt.Sprintf("replicas/%d", id), "")
}

func (l *lab) act(box int, id int64, action string) *reply {
	l.t.Helper()
	return l.ok(box, "POST", fmt.Sprintf("replicas/%d/%s", id, action), "")
}
