package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const act = "stoprcopygroup -f RCG.SVC1"

func actForm() url.Values { return form(func(f url.Values) { f.Set("cmd", act) }) }

// eventually polls a condition that another goroutine brings about.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, time.Millisecond)
}

// raw opens a TLS connection and writes bytes to it.
func raw(t *testing.T, h *httptest.Server, text string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", h.Listener.Addr().String(), &tls.Config{RootCAs: pool(h), ServerName: "example.com"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

func pool(h *httptest.Server) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(h.Certificate())
	return p
}

// A client that is slow with its request is cut after the limit, and nothing is run.
func TestSlowClients(t *testing.T) {
	for name, text := range map[string]string{
		"no byte at all":       "",
		"headers that stall":   "POST /api/cmd/ HTTP/1.1\r\nHost: x\r\nContent-",
		"a body that stalls":   "POST /api/cmd/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 500\r\n\r\narray=",
		"an idle connection":   "POST /api/cmd/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"a header without end": "POST /api/cmd/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader),
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			h, _, _ := serveWith(t, r, func(s *Server) { s.limits.readTime, s.limits.idleTime = 100*time.Millisecond, 100*time.Millisecond })
			c := raw(t, h, text)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, err := io.Copy(io.Discard, c)
			var late net.Error
			require.False(t, asTimeout(err, &late), "the proxy must end the connection")
			require.Empty(t, r.seen())
		})
	}
}

func asTimeout(err error, to *net.Error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // io.Copy hands on the connection's own error
	*to = e
	return ok && e.Timeout()
}

// The limits on clients are none on commands: a listing may take longer than a request.
func TestCommandsOutliveTheReadLimit(t *testing.T) {
	r := &recorder{block: make(chan struct{})}
	h, _, _ := serveWith(t, r, func(s *Server) { s.limits.readTime = 50 * time.Millisecond })
	time.AfterFunc(500*time.Millisecond, func() { close(r.block) })
	_, a := post(t, h, form(nil))
	require.Equal(t, map[string]any{"err": "", "ret": 0.0, "out": "RCG.SVC1,x\n"}, a)
}

// leave posts a form and goes away when the command has begun, or at once.
func leave(t *testing.T, h *httptest.Server, f url.Values, gone <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/api/cmd/", strings.NewReader(f.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := h.Client().Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-gone
	cancel()
	<-done
}

// An act that has begun goes on without its client; a listing ends with it.
func TestClientLeavesDuringACommand(t *testing.T) {
	r := &recorder{block: make(chan struct{}), started: make(chan string, 1)}
	h, log := serve(t, r)
	gone := make(chan struct{})
	go func() { <-r.started; close(gone) }()
	leave(t, h, actForm(), gone)
	require.Empty(t, r.seen())
	close(r.block)
	eventually(t, func() bool { return strings.Contains(log.String(), `"cmd":"`+act+`","allowed":true,"ret":0`) })
	require.Equal(t, []string{array1 + ": " + act}, r.seen())

	r = &recorder{block: make(chan struct{}), started: make(chan string, 1)}
	h, log = serve(t, r)
	gone = make(chan struct{})
	go func() { <-r.started; close(gone) }()
	leave(t, h, form(nil), gone)
	eventually(t, func() bool { return strings.Contains(log.String(), `"allowed":true,"ret":1`) })
	require.Empty(t, r.seen())
}

// A client that leaves while others are served gets nothing done later.
func TestClientLeavesBeforeItsTurn(t *testing.T) {
	r := &recorder{block: make(chan struct{}), started: make(chan string, 10)}
	h, log, s := serveWith(t, r, nil)
	var wg sync.WaitGroup
	for range defaultPerArray {
		wg.Go(func() {
			res, err := h.Client().PostForm(h.URL+"/api/cmd/", form(nil))
			if err == nil {
				_ = res.Body.Close()
			}
		})
		<-r.started
	}
	gone := make(chan struct{})
	go func() {
		eventually(t, func() bool { return waiting(s) == 1 })
		close(gone)
	}()
	leave(t, h, actForm(), gone)
	eventually(t, func() bool { return waiting(s) == 0 && strings.Contains(log.String(), "nothing was started") })
	close(r.block)
	wg.Wait()
	require.NotContains(t, r.seen(), array1+": "+act)
}

func waiting(s *Server) int {
	s.mu.Lock()
	g := s.gates[array1]
	s.mu.Unlock()
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}

// More than the queue holds is told to come again, in the same form as every answer.
func TestBusy(t *testing.T) {
	r := &recorder{block: make(chan struct{}), started: make(chan string, 10)}
	h, _, s := serveWith(t, r, func(s *Server) { s.limits.queue = 1 })
	var wg sync.WaitGroup
	for range defaultPerArray + 1 {
		wg.Go(func() {
			res, err := h.Client().PostForm(h.URL+"/api/cmd/", form(nil))
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
	eventually(t, func() bool { return waiting(s) == 1 })
	status, a := post(t, h, form(nil))
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, map[string]any{"err": ErrBusy.Error(), "ret": 1.0, "out": ""}, a)
	close(r.block)
	wg.Wait()
}

// A turn comes in order, or not at all, and never twice.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{limit: 1}
		release, err := g.pass(t.Context(), 2)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = g.pass(ctx, 2)
		require.ErrorIs(t, err, ErrBusy, "its time was up")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		order := make(chan int, 2)
		for n := range 2 {
			go func() {
				out, err := g.pass(t.Context(), 2)
				if err == nil {
					order <- n
					out()
				}
			}()
			synctest.Wait()
		}
		_, err = g.pass(t.Context(), 2)
		require.ErrorIs(t, err, ErrBusy, "the queue is full")
		release()
		require.Equal(t, []int{0, 1}, []int{<-order, <-order})
		synctest.Wait()
		require.Zero(t, g.busy)
		g.resize(3)
		for range 3 {
			_, err = g.pass(t.Context(), 0)
			require.NoError(t, err)
		}
		_, err = g.pass(t.Context(), 0)
		require.ErrorIs(t, err, ErrBusy)
	})
}

// A reload changes the rules at once; the old arrays' sessions end with their last command,
// and the limit holds across it.
func TestReload(t *testing.T) {
	old := &recorder{block: make(chan struct{}), started: make(chan string, 10)}
	h, _, s := serveWith(t, old, nil)
	done := make(chan map[string]any, 1)
	go func() {
		res, err := h.Client().PostForm(h.URL+"/api/cmd/", form(nil))
		var a map[string]any
		if err == nil {
			_ = json.NewDecoder(res.Body).Decode(&a)
			_ = res.Body.Close()
		}
		done <- a
	}()
	<-old.started
	c := config(t)
	c.Creds[0].Commands = []string{act}
	fresh := &recorder{}
	s.Reload(c, fresh)
	_, a := post(t, h, form(nil))
	require.Equal(t, Refused, a["err"], "what is not in the new rules")
	_, a = post(t, h, actForm())
	require.Equal(t, 0.0, a["ret"])
	require.Equal(t, []string{array1 + ": " + act}, fresh.seen())
	require.Zero(t, old.closed.Load(), "its command runs")
	close(old.block)
	require.Equal(t, 0.0, (<-done)["ret"], "it ends by the old rules")
	eventually(t, func() bool { return old.closed.Load() == 1 })
	require.Zero(t, fresh.closed.Load())
	s.Wait()
	require.EqualValues(t, 1, fresh.closed.Load())
}

// A proxy that stops lets its commands end and starts no other.
func TestStop(t *testing.T) {
	r := &recorder{block: make(chan struct{}), started: make(chan string, 10)}
	h, _, s := serveWith(t, r, nil)
	var wg sync.WaitGroup
	for range defaultPerArray + 1 { // the last one waits
		wg.Go(func() {
			res, err := h.Client().PostForm(h.URL+"/api/cmd/", actForm())
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
	eventually(t, func() bool { return waiting(s) == 1 })
	stopped := make(chan struct{})
	go func() {
		s.Wait()
		close(stopped)
	}()
	eventually(t, func() bool { return waiting(s) == 0 })
	status, _ := post(t, h, form(nil))
	require.Equal(t, http.StatusServiceUnavailable, status)
	select {
	case <-stopped:
		t.Fatal("its commands run")
	default:
	}
	close(r.block)
	<-stopped
	wg.Wait()
	require.Len(t, r.seen(), defaultPerArray)
	require.EqualValues(t, 1, r.closed.Load())
}

// A line of the access log has these keys; no secret gets there, whichever field a client
// puts it into.
func TestAccessLog(t *testing.T) {
	h, log := serve(t, &recorder{})
	post(t, h, form(nil))
	post(t, h, form(func(f url.Values) { f.Set("path", uuid); f.Set("cmd", "x "+uuid+strings.Repeat("y", 1000)) }))
	post(t, h, form(func(f url.Values) { f.Set("cmd", "show\n{\"allowed\":true}") }))
	scan := bufio.NewScanner(strings.NewReader(log.String()))
	var lines []map[string]any
	for scan.Scan() {
		if !strings.HasPrefix(scan.Text(), "{") {
			continue // the error log
		}
		var line map[string]any
		require.NoError(t, json.Unmarshal(scan.Bytes(), &line))
		lines = append(lines, line)
	}
	require.Len(t, lines, 3, "one line per request, whatever it holds")
	for _, key := range []string{"time", "peer", "service", "array", "cmd", "allowed", "ret", "seconds", "uuid"} {
		require.Contains(t, lines[0], key)
	}
	require.Equal(t, true, lines[0]["allowed"])
	require.Equal(t, false, lines[2]["allowed"])
	require.Equal(t, "3b2c325d...", lines[0]["uuid"], "enough to find the rule")
	require.Regexp(t, "^sha256:[0-9a-f]{8}$", short("u-1"))
	require.Equal(t, "***", lines[1]["service"])
	require.Less(t, len(lines[1]["cmd"].(string)), 300)
	require.NotContains(t, log.String(), uuid)
}

// Whatever the body is: only exactly what a rule names reaches an array.
func FuzzRequest(f *testing.F) {
	f.Add(form(nil).Encode())
	f.Add("array=a&cmd=b;c")
	f.Add(strings.Replace(form(nil).Encode(), "SVC1", "SVC1%0a", 1))
	f.Add(form(nil).Encode() + "&cmd=x")
	f.Fuzz(func(t *testing.T, body string) {
		r := &recorder{}
		c := &Config{SSLKey: "k", SSLCrt: "c", CLI: "/cli", PWF: map[string]string{array1: "f"}, Creds: []Rule{{Service: service, UUID: uuid, Array: array1, Commands: []string{act}}}}
		require.NoError(t, c.check())
		s := New(c, r, io.Discard, slog.New(slog.DiscardHandler))
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, "/api/cmd/", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.ServeHTTP(w, req)
		var a map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a), w.Body.String())
		require.Len(t, a, 3)
		if len(r.got) == 0 {
			return
		}
		v, err := url.ParseQuery(body)
		require.NoError(t, err)
		require.Equal(t, []string{act}, v["cmd"])
		require.Equal(t, []string{uuid}, v["uuid"])
		require.Equal(t, fmt.Sprint(r.got), "["+array1+": "+act+"]")
	})
}
