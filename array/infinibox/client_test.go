package infinibox

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
)

// server answers with a function; requests without credentials are refused.
func server(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(s.Close)
	return s
}

func ok(w http.ResponseWriter, result string) {
	_, _ = fmt.Fprintf(w, `{"result":%s,"error":null,"metadata":{"ready":true}}`, result)
}

func access(addresses ...string) Access {
	return Access{Name: "box", Addresses: addresses, Username: "u", Password: "p", Deadline: 2 * time.Second}
}

func newClient(t *testing.T, a Access) *Client {
	t.Helper()
	c, err := NewClient(a)
	require.NoError(t, err)
	return c
}

func getText(ctx context.Context, c *Client) (string, error) {
	var out string
	_, err := c.do(ctx, call{method: "GET", path: "x"}, &out)
	return out, err
}

// plain is a box without sessions that answers "fine" to everything else.
func plain(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/rest/_features" {
		ok(w, `[]`)
		return
	}
	ok(w, `"fine"`)
}

// TestAddresses: 503 and lost connections lead to another management address.
func TestAddresses(t *testing.T) {
	good := server(t, plain)
	busy := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html>busy</html>")
	})
	var cutCount atomic.Int32
	cut := server(t, func(w http.ResponseWriter, _ *http.Request) {
		cutCount.Add(1)
		panic(http.ErrAbortHandler)
	})
	dead := "http://" + deadAddress(t)
	html := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>login page</html>") })
	for name, first := range map[string]string{"503": busy.URL, "dead": dead, "cut": cut.URL, "html": html.URL} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, access(first, good.URL))
			text, err := getText(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, "fine", text)
			require.Equal(t, 1, c.current, "the good one is remembered")
		})
	}
	_, err := getText(t.Context(), newClient(t, access(busy.URL, dead)))
	require.Error(t, err)
	require.Equal(t, array.KindUnreachable, array.KindOf(typed("s", err)))

	// What may have been done is never sent to another address.
	c := newClient(t, access(good.URL, cut.URL))
	_, err = getText(t.Context(), c)
	require.NoError(t, err)
	c.current = 1
	before := cutCount.Load()
	_, err = c.do(t.Context(), call{method: "POST", path: "replicas"}, nil)
	require.ErrorIs(t, err, ErrNoReply)
	require.Equal(t, before+1, cutCount.Load())
	// What was not sent is.
	c = newClient(t, access(dead, good.URL))
	_, err = c.do(t.Context(), call{method: "POST", path: "replicas"}, nil)
	require.NoError(t, err)
}

func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// sessions is a box with sessions, which may be ended.
type sessions struct {
	logins atomic.Int32
	valid  atomic.Int32 // requests that a session lasts
	refuse bool
}

func (s *sessions) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/api/rest/_features":
		ok(w, `[{"name":"api/auth_sessions","version":0,"enabled":true}]`)
		return
	case r.URL.Path == "/api/rest/users/login":
		var body map[string]string
		_ = json.NewDecoder(r.Body).Decode(&body)
		if s.refuse || body["username"] != "u" || body["password"] != "p" || body["clientid"] == "" || r.URL.RawQuery != "approved=true" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.logins.Add(1)
		s.valid.Store(2)
		http.SetCookie(w, &http.Cookie{Name: "ANYNAME", Value: "1", Path: "/"})
		ok(w, `{}`)
		return
	}
	if _, err := r.Cookie("ANYNAME"); err != nil || s.valid.Add(-1) < 0 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	ok(w, `"fine"`)
}

// TestSessions: one login, one more when the session has expired, and no endless loop.
func TestSessions(t *testing.T) {
	var s sessions
	c := newClient(t, access(server(t, s.answer).URL))
	for range 5 {
		_, err := getText(t.Context(), c)
		require.NoError(t, err)
	}
	require.Equal(t, int32(3), s.logins.Load(), "each session lasted for two requests")
	s.refuse = true
	s.valid.Store(0)
	_, err := getText(t.Context(), c)
	require.ErrorIs(t, err, ErrUnauthorized)
	require.Equal(t, int32(3), s.logins.Load())
	require.Equal(t, http.StatusUnauthorized, typedRC(err))
}

func typedRC(err error) int {
	var e *array.Error
	if errors.As(typed("s", err), &e) {
		return e.RC
	}
	return 0
}

// TestBasic: without sessions, or without a cookie, each request has credentials.
func TestBasic(t *testing.T) {
	for _, feature := range []string{`[]`, `[{"name":"api_auth_sessions","enabled":false}]`, `[{"name":"api/auth_sessions","enabled":true}]`} {
		c := newClient(t, access(server(t, func(w http.ResponseWriter, r *http.Request) {
			user, password, given := r.BasicAuth()
			switch {
			case r.URL.Path == "/api/rest/users/login":
				ok(w, `{}`) // and no cookie
			case !given || user != "u" || password != "p":
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path == "/api/rest/_features":
				ok(w, feature)
			default:
				ok(w, `"fine"`)
			}
		}).URL))
		_, err := getText(t.Context(), c)
		require.NoError(t, err, feature)
	}
}

// TestDeadline: a box that never answers costs the deadline, not for ever; and the
// context ends it at once.
func TestDeadline(t *testing.T) {
	release := make(chan struct{})
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	a := access(s.URL)
	a.Deadline = 50 * time.Millisecond
	_, err := getText(t.Context(), newClient(t, a))
	require.ErrorIs(t, err, ErrNoReply)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = getText(ctx, newClient(t, access(s.URL, s.URL, s.URL)))
	require.ErrorIs(t, err, context.Canceled)
}

// TestTLS: the certificate is verified, by the CA file or not at all.
func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(plain))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	_, err := getText(t.Context(), newClient(t, access(s.URL)))
	require.ErrorContains(t, err, "certificate")
	require.ErrorIs(t, err, ErrNotSent)
	a := access(s.URL)
	a.Insecure = true
	_, err = getText(t.Context(), newClient(t, a))
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	a = access(s.URL)
	a.CAFile = ca
	_, err = getText(t.Context(), newClient(t, a))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(ca, []byte("nothing"), 0o600))
	_, err = NewClient(a)
	require.ErrorContains(t, err, "holds no certificate")
}

// TestRedirect: credentials do not follow to another host.
func TestRedirect(t *testing.T) {
	var asked atomic.Bool
	other := server(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	c := newClient(t, access(server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }).URL))
	_, err := getText(t.Context(), c)
	require.ErrorIs(t, err, ErrBadAnswer)
	require.False(t, asked.Load())
}

// TestPaging reads every page once, and does not believe in endless ones.
func TestPaging(t *testing.T) {
	c := newClient(t, access(server(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "_features") {
			ok(w, `[]`)
			return
		}
		q := r.URL.Query()
		pages := 3
		if strings.HasSuffix(r.URL.Path, "endless") {
			pages = 1 << 30
		}
		if q.Get("name") != "" && q.Get("name") != "eq:a b&c" {
			t.Errorf("name is %q", q.Get("name"))
		}
		_, _ = fmt.Fprintf(w, `{"result":[%s],"error":null,"metadata":{"ready":true,"number_of_objects":3,"page_size":1,"pages_total":%d,"page":%s}}`, q.Get("page"), pages, q.Get("page"))
	}).URL))
	got, err := list[int](t.Context(), c, "things", eq("name", "a b&c"))
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3}, got)
	_, err = list[int](t.Context(), c, "endless")
	require.ErrorContains(t, err, "pages")
	_, err = byName[any](t.Context(), c, "things", "a b&c")
	require.ErrorContains(t, err, "3 objects named")
}

// TestClientRefuses access data that cannot work.
func TestClientRefuses(t *testing.T) {
	for _, a := range []Access{
		access(), access("box.example.com"), access("ftp://x"), access("https://u:p@x"), access("https://"),
		{Name: "b", Addresses: []string{"https://x"}}, {Name: "b", Addresses: []string{"https://x"}, Username: "u"},
	} {
		_, err := NewClient(a)
		require.Error(t, err, "%+v", a)
	}
	a := access("https://x")
	a.CAFile = "/nonexistent"
	_, err := NewClient(a)
	require.ErrorContains(t, err, "ca_file")
}

func TestEnvelope(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   error
		text   string
	}{
		{200, ``, ErrBadAnswer, "empty"},
		{200, `<html><h1>502</h1></html>`, ErrBadAnswer, "HTML"},
		{200, `[1]`, ErrBadAnswer, "no JSON object"},
		{200, `{"result":1`, ErrBadAnswer, "cut off"},
		{200, `{"result":1}{}`, ErrBadAnswer, "more than one"},
		{200, `{}`, ErrBadAnswer, "neither"},
		{200, `{"result":{},"metadata":{"ready":false}}`, ErrBadAnswer, "not ready"},
		{200, `{"result":{},"metadata":7}`, ErrBadAnswer, "metadata"},
		{500, `{"result":{}}`, ErrBadAnswer, "without an error"},
		{302, `{"result":{}}`, ErrBadAnswer, "without an error"},
		{200, `{"result":null,"error":{"code":"X","message":"m"}}`, nil, "X: m"},
		{200, `{"result":null,"error":"odd"}`, nil, "UNREADABLE_ERROR"},
		{404, `{"error":{"message":"m"}}`, nil, "HTTP_404: m"},
		{403, `{"error":{"code":"APPROVAL_REQUIRED","reasons":[{"message":"deletes","affected_entities":[{"name":"a"},{"name":"b"}]}]}}`, nil, "APPROVAL_REQUIRED (deletes: a, b)"},
		{409, `{"error":{"code":"X","is_remote":true,"reasons":7}}`, nil, "the peer box says X"},
	} {
		_, err := decodeEnvelope(c.status, []byte(c.body))
		require.ErrorContains(t, err, c.text, c.body)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, c.body)
		} else {
			var box *BoxError
			require.ErrorAs(t, err, &box, c.body)
		}
	}
	e, err := decodeEnvelope(200, []byte(`{"result":[1],"error":null,"metadata":{"ready":true,"pages_total":4,"page":1}}`))
	require.NoError(t, err)
	require.Equal(t, `[1]`, string(e.Result))
	require.Equal(t, int64(4), *e.Meta.Pages)
}

// FuzzEnvelope: no panic; an answer is either good and of a good status, or an error.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{`{"result":{"id":1},"error":null,"metadata":{"ready":true}}`, `{"result":null,"error":{"code":"A","reasons":[{"message":"m","affected_entities":[{"name":"x"}]}]}}`, `<html>`, `{"result":`, `[]`, `{"result":{"id":1,"role":"SOURCE","state":"ACTIVE","entity_pairs":[{"id":1}],"restore_point":1700000000000}}`} {
		f.Add(200, []byte(s))
		f.Add(409, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e, err := decodeEnvelope(status, body)
		if err != nil {
			_ = typed("s", err).Error()
			return
		}
		if status < 200 || status > 299 || !json.Valid(e.Result) && len(e.Result) > 0 {
			t.Fatalf("status %d with %q passes", status, body)
		}
		_, _ = decodeFeatures(e.Result)
		var r replica
		if json.Unmarshal(e.Result, &r) != nil {
			return
		}
		s := sideOf("s", time.Time{}, &facts{Replica: &r}, nil)
		if s.Writable == array.Yes && r.Role != wordSource {
			t.Fatalf("role %q is called writable", r.Role)
		}
		d := &Driver{cfg: Config{Kind: KindVolume, Mode: ModeAsync, Sites: [2]Site{{Name: "s"}, {Name: "t"}}}}
		o := array.Observation{Link: array.LinkUp, Sides: []array.Side{s, sideOf("t", time.Time{}, nil, ErrNoReply)}}
		d.judge(&o)
		for _, v := range d.Capabilities().Verbs {
			_, _ = d.Plan(o, array.Goal{Verb: v, Site: "s", HomeSite: "s"})
			_, _ = d.Plan(o, array.Goal{Verb: v, Site: "t", HomeSite: "s", Force: true, Discard: "s", KeepDiscarded: true})
		}
		if rep := array.Report("r", d.Capabilities(), o, "", time.Time{}); rep.State == "up" {
			t.Fatalf("healthy with one side silent")
		}
	})
}
