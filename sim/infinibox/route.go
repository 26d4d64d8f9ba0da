package infinibox

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// request is one call of the REST API, after authentication.
type request struct {
	box     *box
	user    string
	method  string
	path    string // below /api/rest/, without slashes around
	query   url.Values
	body    []byte
	remote  bool   // came over the link
	grant   string // X-Remote-Authorization
	id      int64  // {id} of the pattern
	member  int64  // {member} of the pattern
	segment string // {name} of the pattern
}

type (
	// handler answers a call about one object or an action.
	handler func(*request) (any, *apiError)
	// lister returns a collection and the kind's zero object, for its field names.
	lister func(*request) ([]view, view, *apiError)
)

// route is one path of the API.
type route struct {
	method  string
	pattern string
	do      handler
	list    lister
	queries []string // besides approved, and fields of one object
	approve bool     // needs ?approved=true
	peer    bool     // touches the other box: may need X-Remote-Authorization
	noBody  bool     // takes no body
}

// notBuiltPaths are parts of the real API, by first segment.
var notBuiltPaths = []string{
	"hosts", "clusters", "host_clusters", "exports", "shares", "users", "ldap", "config", "events", "metadata", "metrics", "qos",
	"tenants", "treeqs", "plugins", "fc", "initiators", "notifications", "san_clients", "services", "external_services", "search",
	"snapshot_policies", "kms", "active_directory", "certificates", "components", "nlm", "rg_replicas", "replication_groups", "s3",
}

// match compares a path with a pattern and fills in the request's ids.
func (r *request) match(pattern string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(r.path, "/")
	if len(want) != len(have) {
		return false
	}
	var id, member int64
	var name string
	for i, w := range want {
		var err error
		switch w {
		case "{id}":
			id, err = strconv.ParseInt(have[i], 10, 64)
		case "{member}":
			member, err = strconv.ParseInt(have[i], 10, 64)
		case "{name}":
			name = have[i]
		default:
			if w != have[i] {
				return false
			}
		}
		if err != nil {
			return false
		}
	}
	r.id, r.member, r.segment = id, member, name
	return true
}

// dispatch finds the route and carries the request out.
func (w *world) dispatch(r *request) (any, *paging, *apiError) {
	if rest, ok := strings.CutPrefix(r.path, "remote/"); ok {
		return w.passthrough(r, rest)
	}
	sawPath := false
	for _, rt := range routes {
		if !r.match(rt.pattern) {
			continue
		}
		sawPath = true
		if rt.method == r.method {
			return rt.serve(r)
		}
	}
	first, _, _ := strings.Cut(r.path, "/")
	switch {
	case sawPath:
		return nil, nil, fail(http.StatusMethodNotAllowed, "SIM_METHOD_NOT_ALLOWED", "%s is not allowed on /api/rest/%s", r.method, r.path)
	case slices.Contains(notBuiltPaths, first):
		return nil, nil, notBuilt("/api/rest/%s", first)
	}
	return nil, nil, fail(http.StatusNotFound, "SIM_UNKNOWN_PATH", "there is no /api/rest/%s", r.path)
}

func (rt route) serve(r *request) (any, *paging, *apiError) {
	if rt.list != nil {
		all, fields, err := rt.list(r)
		if err != nil {
			return nil, nil, err
		}
		page, p, err := collection(all, fields, r.query)
		if err != nil {
			return nil, nil, err
		}
		if page == nil {
			page = []view{}
		}
		return page, &p, nil
	}
	if err := rt.check(r); err != nil {
		return nil, nil, err
	}
	result, err := rt.do(r)
	if err != nil {
		return nil, nil, err
	}
	if v, ok := result.(view); ok && r.method == http.MethodGet {
		if result, err = selectFields(v, r.query); err != nil {
			return nil, nil, err
		}
	}
	return result, nil, nil
}

// check applies what is common to all calls: queries, body, approval, remote permission.
func (rt route) check(r *request) *apiError {
	for key, values := range r.query {
		ok := slices.Contains(rt.queries, key) || (key == "approved" && r.method != http.MethodGet) ||
			(key == "fields" && r.method == http.MethodGet)
		if !ok {
			return fail(http.StatusBadRequest, "SIM_UNKNOWN_QUERY", "unknown query %q for %s /api/rest/%s", key, r.method, r.path)
		}
		if len(values) != 1 {
			return invalid("query %q is given %d times", key, len(values))
		}
	}
	if approved := r.query.Get("approved"); r.query.Has("approved") && approved != "true" && approved != "false" {
		return invalid("approved=%q: expected true or false", approved)
	}
	body := strings.TrimSpace(string(r.body))
	if rt.noBody && body != "" && body != "null" && body != "{}" {
		return invalid("%s /api/rest/%s takes no body, got %s", r.method, r.path, body)
	}
	if rt.approve && !r.approved() {
		return r.approvalRequired("APPROVAL_REQUIRED", reason{Message: "This operation cannot be undone: " + r.method + " /api/rest/" + r.path, Affected: []affectedEntity{}})
	}
	if rt.peer {
		return r.remotePermission()
	}
	return nil
}

func (r *request) approved() bool { return r.query.Get("approved") == "true" }

func (r *request) approvalRequired(code string, reasons ...reason) *apiError {
	status := http.StatusForbidden
	if f, on := r.box.w.faults.Active(r.box.name, faultApproval); on && f.Number() != 0 {
		status = int(f.Number())
	}
	e := fail(status, code, "The operation requires approval")
	e.reasons = reasons
	return e
}

// remotePermission is fault remote_permission: credentials of the peer are needed.
func (r *request) remotePermission() *apiError {
	if !r.box.fault(faultRemotePerm) {
		return nil
	}
	user, password, ok := parseBasic(r.grant)
	if name, value, multi := strings.Cut(strings.TrimPrefix(r.grant, "Basic "), "="); !ok && multi && r.box.w.opt.atLeast(8, 4) && name == r.box.peer().title {
		user, password, ok = parseBasic("Basic " + value)
	}
	if !ok || !validUser(user, password) {
		return fail(http.StatusForbidden, "REMOTE_PERMISSION_REQUIRED", "Permission of the remote system %s is required", r.box.peer().title)
	}
	return nil
}

// flag reads a boolean query; the vendor's SDK writes both true and True.
func (r *request) flag(key string, absent bool) (bool, *apiError) {
	if !r.query.Has(key) {
		return absent, nil
	}
	switch r.query.Get(key) {
	case "true", "True":
		return true, nil
	case "false", "False":
		return false, nil
	}
	return false, invalid("%s=%q: expected true or false", key, r.query.Get(key))
}

// passthrough carries a request of remote/LINK/api/rest/PATH out on the other box.
func (w *world) passthrough(r *request, rest string) (any, *paging, *apiError) {
	idText, path, _ := strings.Cut(rest, "/")
	path, ok := strings.CutPrefix(path, "api/rest/")
	id, err := strconv.ParseInt(idText, 10, 64)
	if err != nil || !ok || strings.HasPrefix(path, "remote/") {
		return nil, nil, fail(http.StatusNotFound, "SIM_UNKNOWN_PATH", "expected /api/rest/remote/LINK_ID/api/rest/PATH")
	}
	if _, ok := r.box.links[id]; !ok {
		return nil, nil, notFound("link", id)
	}
	if err := r.box.reachPeer(); err != nil {
		return nil, nil, err
	}
	if err := r.remotePermission(); err != nil {
		return nil, nil, err
	}
	there := *r
	there.box, there.path, there.remote = r.box.peer(), path, true
	result, p, apiErr := w.dispatch(&there)
	return result, p, remote(apiErr)
}

// reachPeer fails when the link is down.
func (b *box) reachPeer() *apiError {
	if b.w.linkUp() {
		return nil
	}
	return remote(conflict("REMOTE_UNREACHABLE", "the remote system %s cannot be reached over the link", b.peer().title))
}
