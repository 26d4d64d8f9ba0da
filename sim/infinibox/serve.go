package infinibox

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/sim/control"
)

const (
	sessionCookie = "JSESSIONID"
	maxBody       = 1 << 20
	// autoStep is how long a request takes on an Auto clock, so that a client
	// that polls sees time pass without waiting for it.
	autoStep = 100 * time.Millisecond
)

// front serves one box on one transport.
type front struct {
	w         *world
	index     int
	transport string
	journal   *control.Journal
}

// answer is what goes back to the client.
type answer struct {
	status int
	body   []byte
	cookie string
	html   bool
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(rw http.ResponseWriter, hr *http.Request) {
	name := boxName(f.index)
	body, err := io.ReadAll(http.MaxBytesReader(rw, hr.Body, maxBody))
	user, _, _ := hr.BasicAuth()
	seq := f.journal.Begin(control.Entry{
		Time: f.w.clock.Now().UTC(), Array: name, Transport: f.transport, User: user,
		Method: hr.Method, Path: hr.URL.RequestURI(), Body: masked(body),
	})
	if err != nil {
		f.write(rw, seq, failed(invalid("body: %v", err)))
		return
	}
	subject := hr.Method + " " + hr.URL.RequestURI()
	take := func(kind string) bool { _, on := f.w.faults.Take(name, kind, subject); return on }
	if slow, on := f.w.faults.Take(name, faultSlow, subject); on {
		select {
		case <-hr.Context().Done():
		case <-time.After(slow.Milliseconds()):
		}
	}
	switch {
	case take(fault503):
		f.write(rw, seq, answer{status: http.StatusServiceUnavailable, html: true, body: []byte("<html><body>503 Service Unavailable</body></html>")})
		return
	case take(fault502):
		f.write(rw, seq, answer{status: http.StatusBadGateway, html: true, body: []byte("<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>")})
		return
	case take(faultError200):
		a := failed(fail(http.StatusInternalServerError, "SIM_INTERNAL_ERROR", "injected error with HTTP status 200"))
		a.status = http.StatusOK
		f.write(rw, seq, a)
		return
	}
	a := f.answer(hr, body, take(faultExpire))
	if take(faultDropReply) {
		f.journal.End(seq, -1)
		panic(http.ErrAbortHandler) // net/http cuts the connection
	}
	if take(faultTruncate) {
		f.journal.End(seq, a.status)
		rw.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(a.status)
		_, _ = rw.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(rw).Flush() // else the abort would swallow the half, too
		panic(http.ErrAbortHandler)
	}
	f.write(rw, seq, a)
}

// masked hides passwords in what the journal keeps.
func masked(body []byte) string {
	var o map[string]any
	if json.Unmarshal(body, &o) != nil || o["password"] == nil {
		return string(body)
	}
	o["password"] = "***"
	hidden, _ := json.Marshal(o) // came from JSON
	return string(hidden)
}

// answer authenticates and carries a request out.
func (f *front) answer(hr *http.Request, body []byte, expire bool) answer {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.w.clock.Mode() == control.Auto {
		_ = f.w.clock.Advance(autoStep) // not negative
	}
	f.w.settle()
	b := f.w.boxes[f.index]
	if expire {
		clear(b.sessions)
	}
	path, ok := strings.CutPrefix(hr.URL.Path, "/api/rest/")
	if !ok {
		return failed(fail(http.StatusNotFound, "SIM_UNKNOWN_PATH", "there is no %s", hr.URL.Path))
	}
	r := &request{
		box: b, method: hr.Method, path: strings.TrimSuffix(path, "/"), query: hr.URL.Query(), body: body,
		grant: hr.Header.Get("X-Remote-Authorization"),
	}
	if r.user = b.authenticate(hr); r.user == "" && r.path != "users/login" {
		return failed(fail(http.StatusUnauthorized, "UNAUTHORIZED", "Authentication is required"))
	}
	if c, err := hr.Cookie(sessionCookie); err == nil {
		r.segment = c.Value
	}
	if r.path == "users/logout" {
		delete(b.sessions, r.segment)
	}
	result, page, apiErr := f.w.dispatch(r)
	f.w.watch()
	if apiErr != nil {
		return failed(apiErr)
	}
	a := succeeded(result, page)
	if r.path == "users/login" && f.w.opt.feature(featureSessions) {
		a.cookie = b.openSession(r.user)
	}
	return a
}

type metadata struct {
	Ready   bool `json:"ready"`
	Objects *int `json:"number_of_objects,omitempty"`
	Size    *int `json:"page_size,omitempty"`
	Pages   *int `json:"pages_total,omitempty"`
	Page    *int `json:"page,omitempty"`
}

type envelope struct {
	Result   any        `json:"result"`
	Error    *errorBody `json:"error"`
	Metadata metadata   `json:"metadata"`
}

type errorBody struct {
	Code     string   `json:"code"`
	Message  string   `json:"message"`
	Severity string   `json:"severity"`
	IsRemote bool     `json:"is_remote"`
	Reasons  []reason `json:"reasons"`
	Data     any      `json:"data"`
}

func succeeded(result any, p *paging) answer {
	e := envelope{Result: result, Metadata: metadata{Ready: true}}
	if p != nil {
		e.Metadata.Objects, e.Metadata.Size, e.Metadata.Pages, e.Metadata.Page = &p.objects, &p.size, &p.pages, &p.page
	}
	body, err := json.Marshal(e)
	if err != nil {
		return failed(fail(http.StatusInternalServerError, "SIM_INTERNAL_ERROR", "answer cannot be encoded: %v", err))
	}
	return answer{status: http.StatusOK, body: body}
}

func failed(e *apiError) answer {
	reasons := e.reasons
	if reasons == nil {
		reasons = []reason{}
	}
	body, err := json.Marshal(envelope{
		Error:    &errorBody{Code: e.code, Message: e.message, Severity: "ERROR", IsRemote: e.isRemote, Reasons: reasons},
		Metadata: metadata{Ready: true},
	})
	if err != nil {
		body = []byte(`{"result":null,"error":{"code":"SIM_INTERNAL_ERROR"},"metadata":{"ready":true}}`)
	}
	return answer{status: e.status, body: body}
}

func (f *front) write(rw http.ResponseWriter, seq uint64, a answer) {
	f.journal.End(seq, a.status)
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	if a.html {
		h.Set("Content-Type", "text/html")
	}
	h.Set("X-INFINIDAT-VERSION", f.w.opt.Version)
	if a.cookie != "" {
		http.SetCookie(rw, &http.Cookie{Name: sessionCookie, Value: a.cookie, Path: "/", HttpOnly: true})
	}
	rw.WriteHeader(a.status)
	_, _ = rw.Write(a.body) // a client that left gets nothing
}
