package hp3par

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/sim/control"
)

const (
	maxAPIBody  = 1 << 20
	sessionIdle = 15 * time.Minute // of simulated time
	sessionName = "X-HP3PAR-WSAPI-SessionKey"
)

// wsapi is the web services API of one array.
type wsapi struct {
	m         *machine
	a         int
	journal   *control.Journal
	transport string // https or http
	sessions  *sessions
}

// sessions are an array's WSAPI sessions, common to HTTP and HTTPS.
type sessions struct {
	mu   sync.Mutex
	keys map[string]*session
}

type session struct {
	user string
	used time.Time
}

// call is one request on its way through the handlers.
type call struct {
	m     *machine
	a     *array
	user  string
	query url.Values
	body  []byte
	args  []string // path parameters
}

// reply is a successful answer; body nil means none.
type reply struct {
	status   int
	location string
	body     any
}

// route is one resource with method.
type route struct {
	method, path string // path segments; * is a parameter
	query        []string
	writes       bool
	handle       func(c *call) (reply, *opError)
}

func (s *wsapi) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.m.mu.Lock()
	a := s.m.arrays[s.a]
	s.m.mu.Unlock()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	subject := r.Method + " " + r.URL.Path
	entry := control.Entry{Time: s.m.clock.Now().UTC(), Array: a.name, Transport: s.transport, Method: r.Method, Path: r.URL.RequestURI(), Body: maskSecrets(body)}
	entry.User = s.sessions.name(r.Header.Get(sessionName))
	seq := s.journal.Begin(entry)
	if f, ok := s.m.faults.Take(a.name, "slow_ms", subject); ok {
		pause(r.Context(), f.Milliseconds())
	}
	if _, ok := s.m.faults.Take(a.name, "http_503", subject); ok {
		s.journal.End(seq, http.StatusServiceUnavailable)
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
		return
	}
	var out reply
	refused := errInput("", "%v", err)
	if err == nil {
		_, drop := s.m.faults.Take(a.name, "drop_reply", subject)
		if f, ok := s.m.faults.Take(a.name, "refuse", subject+" "+string(body)); ok {
			refused = refuse(9096, http.StatusForbidden, "%s", f.Text())
		} else {
			out, refused = s.dispatch(r, a, subject, body)
		}
		if drop {
			s.journal.End(seq, statusOf(out, refused))
			panic(http.ErrAbortHandler) // net/http cuts the connection, silently
		}
	}
	s.journal.End(seq, statusOf(out, refused))
	writeReply(w, out, refused)
}

func statusOf(out reply, refused *opError) int {
	if refused != nil {
		return refused.http
	}
	return out.status
}

func writeReply(w http.ResponseWriter, out reply, refused *opError) {
	w.Header().Set("Content-Type", "application/json")
	if refused != nil {
		doc := map[string]any{"code": refused.code, "desc": refused.desc}
		if refused.ref != "" {
			doc["ref"] = refused.ref
		}
		w.WriteHeader(refused.http)
		_ = json.NewEncoder(w).Encode(doc) // a client that left reads nothing
		return
	}
	if out.location != "" {
		w.Header().Set("Location", out.location)
	}
	if out.body == nil {
		w.WriteHeader(out.status)
		return
	}
	w.WriteHeader(out.status)
	_ = json.NewEncoder(w).Encode(out.body)
}

// dispatch finds the route, checks session and role, and runs the handler with
// the lock held.
func (s *wsapi) dispatch(r *http.Request, a *array, subject string, body []byte) (reply, *opError) {
	path := strings.Trim(r.URL.Path, "/")
	if path == "api" && r.Method == http.MethodGet {
		p := a.profile
		return reply{status: 200, body: map[string]any{"major": 1, "minor": p.wsapiMinor, "revision": 0, "build": p.wsapiBuild}}, nil
	}
	rest, ok := strings.CutPrefix(path, "api/v1/")
	if !ok {
		return reply{}, errNotSimulated(subject)
	}
	if name, isLogin := strings.CutPrefix(rest, "credentials"); isLogin {
		return s.credentials(r, a, strings.Trim(name, "/"), body)
	}
	rt, args, err := findRoute(r.Method, rest)
	if err != nil {
		return reply{}, err
	}
	user, err := s.authorize(r, a, subject)
	if err != nil {
		return reply{}, err
	}
	q := r.URL.Query()
	for key := range q {
		if !slices.Contains(rt.query, key) {
			return reply{}, errInput(key, "invalid input: unknown query %s", key)
		}
	}
	if rt.writes {
		if err := s.m.mayWrite(a, user); err != nil {
			return reply{}, asOpError(err)
		}
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.settle()
	return rt.handle(&call{m: s.m, a: a, user: user, query: q, body: body, args: args})
}

func findRoute(method, path string) (route, []string, *opError) {
	want := strings.Split(path, "/")
	for _, rt := range apiRoutes() {
		if rt.method != method {
			continue
		}
		if args, ok := matchPath(strings.Split(rt.path, "/"), want); ok {
			return rt, args, nil
		}
	}
	return route{}, nil, errNotSimulated(method + " /api/v1/" + path)
}

func matchPath(pattern, path []string) ([]string, bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	var args []string
	for i, p := range pattern {
		switch {
		case p == "*" && path[i] != "":
			args = append(args, path[i])
		case p != path[i]:
			return nil, false
		}
	}
	return args, true
}

// authorize returns the user of the request's session.
func (s *wsapi) authorize(r *http.Request, a *array, subject string) (string, *opError) {
	key := r.Header.Get(sessionName)
	if _, ok := s.m.faults.Take(a.name, "expire_session", subject); ok {
		s.sessions.remove(key)
	}
	if user, ok := s.sessions.use(key, s.m.clock.Now()); ok {
		return user, nil
	}
	return "", refuse(6, http.StatusForbidden, "invalid session key")
}

func (s *wsapi) credentials(r *http.Request, a *array, key string, body []byte) (reply, *opError) {
	switch {
	case r.Method == http.MethodPost && key == "":
		var in struct {
			User        string `json:"user"`
			Password    string `json:"password"`
			SessionType *int   `json:"sessionType"`
		}
		if err := decode(body, &in); err != nil {
			return reply{}, err
		}
		s.m.mu.Lock()
		u := a.users[in.User]
		s.m.mu.Unlock()
		if u == nil || u.password != in.Password {
			return reply{}, refuse(5, http.StatusForbidden, "invalid username or password")
		}
		key := s.sessions.add(in.User, s.m.clock.Now())
		return reply{status: http.StatusCreated, location: "/api/v1/credentials/" + key, body: map[string]string{"key": key}}, nil
	case r.Method == http.MethodDelete && key != "":
		if !s.sessions.remove(key) {
			return reply{}, refuse(6, http.StatusForbidden, "invalid session key")
		}
		return reply{status: http.StatusOK}, nil
	}
	return reply{}, errNotSimulated(r.Method + " " + r.URL.Path)
}

func newSessions() *sessions { return &sessions{keys: map[string]*session{}} }

func (s *sessions) add(user string, now time.Time) string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	key := "0-" + hex.EncodeToString(raw[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key] = &session{user: user, used: now}
	return key
}

func (s *sessions) use(key string, now time.Time) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.keys[key]
	if x == nil || now.Sub(x.used) > sessionIdle {
		delete(s.keys, key)
		return "", false
	}
	x.used = now
	return x.user, true
}

func (s *sessions) name(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.keys[key]; x != nil {
		return x.user
	}
	return ""
}

func (s *sessions) remove(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.keys[key]
	delete(s.keys, key)
	return ok
}

func (s *sessions) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keys)
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// decode reads exactly one JSON object into v, which lists every known key.
func decode(body []byte, v any) *opError {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one JSON value")
	}
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind):
		return &opError{code: 39, http: 400, desc: "invalid input: wrong type", ref: kind.Field}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return errInput(name, "invalid input: unknown parameter %s", name)
	}
	return errInput("", "invalid input: %v", err)
}

// maskSecrets replaces the password in a request body for the journal.
func maskSecrets(body []byte) string {
	var doc map[string]json.RawMessage
	if json.Unmarshal(body, &doc) != nil || doc["password"] == nil {
		return string(body)
	}
	doc["password"] = json.RawMessage(`"***"`)
	masked, err := json.Marshal(doc)
	if err != nil {
		return "***"
	}
	return string(masked)
}
