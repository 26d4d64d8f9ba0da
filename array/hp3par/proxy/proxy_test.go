package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	uuid    = "3b2c325d-4321-6789-b32f-b987654cb092874a"
	array1  = "hp3par1.opensvc.com"
	service = "dmzsvc1.dmz.opensvc.com"
)

// recorder is an array that remembers what it was told.
type recorder struct {
	mu    sync.Mutex
	got   []string
	fail  error
	now   atomic.Int32
	most  atomic.Int32
	block chan struct{} // a command waits for it
	// started gets each command when it begins.
	started chan string
	closed  atomic.Int32
}

func (r *recorder) Close() error {
	r.closed.Add(1)
	return nil
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *recorder) Run(ctx context.Context, array, command string) (string, int, error) {
	n := r.now.Add(1)
	defer r.now.Add(-1)
	for {
		most := r.most.Load()
		if n <= most || r.most.CompareAndSwap(most, n) {
			break
		}
	}
	if r.started != nil {
		r.started <- command
	}
	if r.block != nil {
		select {
		case <-r.block:
		case <-ctx.Done():
			return "", 0, context.Cause(ctx)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, array+": "+command)
	return "RCG.SVC1,x\n", 0, r.fail
}

func config(t *testing.T) *Config {
	t.Helper()
	c := &Config{SSLKey: "k", SSLCrt: "c", CLI: "/cli", PWF: map[string]string{array1: "f"}, Creds: []Rule{
		{Service: service, UUID: uuid, Array: array1, Commands: []string{"showrcopy groups RCG.SVC1", "stoprcopygroup -f RCG.SVC1"}},
	}}
	require.NoError(t, c.check())
	return c
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T, r *recorder) (*httptest.Server, *safeBuffer) {
	t.Helper()
	h, log, _ := serveWith(t, r, nil)
	return h, log
}

func serveWith(t *testing.T, r *recorder, change func(*Server)) (*httptest.Server, *safeBuffer, *Server) {
	t.Helper()
	log := &safeBuffer{}
	s := New(config(t), r, log, slog.New(slog.NewTextHandler(log, nil)))
	if change != nil {
		change(s)
	}
	h := httptest.NewUnstartedServer(s)
	h.Config = s.HTTP()
	h.StartTLS()
	t.Cleanup(h.Close)
	return h, log, s
}

func post(t *testing.T, h *httptest.Server, form url.Values) (int, map[string]any) {
	t.Helper()
	res, err := h.Client().PostForm(h.URL+"/api/cmd/", form)
	require.NoError(t, err)
	defer res.Body.Close()
	var a map[string]any
	require.NoError(t, json.NewDecoder(res.Body).Decode(&a))
	require.Len(t, a, 3, "err, ret and out, always")
	return res.StatusCode, a
}

func form(change func(url.Values)) url.Values {
	f := url.Values{"array": {array1}, "cmd": {"showrcopy groups RCG.SVC1"}, "path": {service}, "uuid": {uuid}}
	if change != nil {
		change(f)
	}
	return f
}

func TestAllowed(t *testing.T) {
	r := &recorder{}
	h, log := serve(t, r)
	status, a := post(t, h, form(nil))
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{"err": "", "ret": 0.0, "out": "RCG.SVC1,x\n"}, a)
	_, a = post(t, h, form(func(f url.Values) { f["svcname"] = f["path"]; f.Del("path") }))
	require.Equal(t, 0.0, a["ret"])
	require.Len(t, r.got, 2)
	require.NotContains(t, log.String(), uuid, "the secret is in no log")
	require.Contains(t, log.String(), `"allowed":true`)
}

func TestAttacks(t *testing.T) {
	set := func(key, value string) func(url.Values) { return func(f url.Values) { f.Set(key, value) } }
	const cmd = "showrcopy groups RCG.SVC1"
	for name, change := range map[string]func(url.Values){
		"one byte more":        set("cmd", cmd+" "),
		"one byte less":        set("cmd", cmd[:len(cmd)-1]),
		"one byte different":   set("cmd", "showrcopy groups RCG.SVC2"),
		"other case":           set("cmd", strings.ToUpper(cmd)),
		"leading blank":        set("cmd", " "+cmd),
		"two blanks":           set("cmd", "showrcopy  groups RCG.SVC1"),
		"tab":                  set("cmd", "showrcopy\tgroups RCG.SVC1"),
		"semicolon":            set("cmd", cmd+";removevv -f x"),
		"newline":              set("cmd", cmd+"\nremovevv -f x"),
		"carriage return":      set("cmd", cmd+"\r"),
		"nul":                  set("cmd", cmd+"\x00"),
		"back-quote":           set("cmd", cmd+"`id`"),
		"dollar":               set("cmd", "$(showrcopy groups RCG.SVC1)"),
		"options of the proxy": set("cmd", cmd+" -csvtable -nohdtot"),
		"prefix of a rule":     set("cmd", "showrcopy groups"),
		"empty":                set("cmd", ""),
		"other uuid":           set("uuid", "2a3b4e5d-9876-1234-b32r-d12349dca099812b"),
		"uuid prefix":          set("uuid", uuid[:8]),
		"no uuid":              func(f url.Values) { f.Del("uuid") },
		"other array":          set("array", "hp3par2.opensvc.com"),
		"array with a path":    set("array", array1+"/../x"),
		"other service":        set("path", "svc2.dmz.opensvc.com"),
		"allowed elsewhere":    set("cmd", "startrcopygroup RCG.SVC1"),
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			h, _ := serve(t, r)
			status, a := post(t, h, form(change))
			require.Equal(t, 200, status)
			require.Equal(t, map[string]any{"err": Refused, "ret": 1.0, "out": ""}, a)
			require.Empty(t, r.got, "nothing reaches the array")
		})
	}
}

func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, kind, body string
		status                   int
	}{
		"over-long":       {"POST", "/api/cmd/", "application/x-www-form-urlencoded", "cmd=" + strings.Repeat("x", maxBody), 400},
		"two commands":    {"POST", "/api/cmd/", "application/x-www-form-urlencoded", "cmd=a&cmd=b", 400},
		"both names":      {"POST", "/api/cmd/", "application/x-www-form-urlencoded", "path=a&svcname=b", 400},
		"bad escape":      {"POST", "/api/cmd/", "application/x-www-form-urlencoded", "cmd=%zz", 400},
		"semicolon form":  {"POST", "/api/cmd/", "application/x-www-form-urlencoded", "cmd=a;uuid=b", 400},
		"json":            {"POST", "/api/cmd/", "application/json", "{}", 400},
		"get":             {"GET", "/api/cmd/", "", "", 405},
		"elsewhere":       {"POST", "/api/", "application/x-www-form-urlencoded", "", 404},
		"query":           {"POST", "/api/cmd/?cmd=x", "application/x-www-form-urlencoded", "", 404},
		"multipart":       {"POST", "/api/cmd/", "multipart/form-data; boundary=x", "--x--", 400},
		"no content type": {"POST", "/api/cmd/", "", "cmd=a", 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			h, _ := serve(t, r)
			req, err := http.NewRequestWithContext(t.Context(), c.method, h.URL+c.path, strings.NewReader(c.body))
			require.NoError(t, err)
			if c.kind != "" {
				req.Header.Set("Content-Type", c.kind)
			}
			res, err := h.Client().Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, c.status, res.StatusCode)
			var a answer
			require.NoError(t, json.NewDecoder(res.Body).Decode(&a))
			require.Equal(t, 1, a.Ret)
			require.NotEmpty(t, a.Err)
			require.Empty(t, r.got)
		})
	}
}

// A transport failure is never an empty success.
func TestNoReply(t *testing.T) {
	h, _ := serve(t, &recorder{fail: errors.New("connection refused")})
	status, a := post(t, h, form(nil))
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{"err": "no reply from the array", "ret": 1.0, "out": ""}, a)
}

func TestManyClientsFewSessions(t *testing.T) {
	r := &recorder{}
	h, _ := serve(t, r)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			res, err := h.Client().PostForm(h.URL+"/api/cmd/", form(nil))
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()
	require.Len(t, r.got, 200)
	require.LessOrEqual(t, r.most.Load(), int32(defaultPerArray))
}

const seedConfig = `cli = "/opt/3PAR/inform_cli_3.1.2/bin/cli"
ssl_key = "/srv/ssl/server.key"
ssl_crt = "/srv/ssl/server.crt" # a comment
access_log = "/srv/log/access.log"
error_log = "/srv/log/error.log"
pwf = {
  "hp3par1.opensvc.com": "/path/to/hp3par1.opensvc.com.credentials",
  "hp3par2.opensvc.com": "/path/to/hp3par2.opensvc.com.credentials",
}
creds = {
  ("dmzsvc1.dmz.opensvc.com", "3b2c325d-4321-6789-b32f-b987654cb092874a", "hp3par1.opensvc.com"): [
     "showrcopy groups RCG.SVC1",
     "showrcopy links"
  ],
  ("svc2.dmz.opensvc.com", "2a3b4e5d-9876-1234-b32r-d12349dca099812b", "hp3par2.opensvc.com"): [
     "showrcopy groups RCG.SVC2",
     "showrcopy links"
  ]
}
`

func TestImport(t *testing.T) {
	c, err := Import(seedConfig)
	require.NoError(t, err)
	require.NoError(t, c.check())
	require.Len(t, c.PWF, 2)
	require.Equal(t, Rule{Service: service, UUID: uuid, Array: array1, Commands: []string{"showrcopy groups RCG.SVC1", "showrcopy links"}}, c.Creds[0])
	for _, bad := range []string{"import os", "cli = os.getenv('x')", `cli = "a" + "b"`, `cli = "a`, "pwf = {", `creds = {("a","b"): []}`, `other = "x"`, `cli = "a\n"`} {
		_, err := Import(bad)
		require.ErrorIs(t, err, ErrConfig, bad)
	}
}

func FuzzImport(f *testing.F) {
	f.Add(seedConfig)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Import(text); err != nil {
			require.ErrorIs(t, err, ErrConfig)
		}
	})
}
