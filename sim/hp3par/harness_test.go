package hp3par

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/ddsgo/ddsgo/sim/control"
)

var testStart = time.Date(2014, 3, 25, 15, 13, 47, 0, time.UTC)

// keyDir is where all tests of this run share their keys: making RSA keys takes
// longer than most tests.
var keyDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hp3par-keys-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	keyDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // nothing depends on it any more
	os.Exit(code)
}

func start(t *testing.T, change func(o *Options)) *Sim {
	t.Helper()
	o := Options{Dir: t.TempDir(), KeyDir: keyDir, Scenario: defaultScenario(), Clock: control.Auto, Start: testStart}
	if change != nil {
		change(&o)
	}
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// dial logs in with the client key and checks the host key.
func dial(t *testing.T, s *Sim, array int) *ssh.Client {
	t.Helper()
	a := s.Ready().Arrays[array]
	pem, err := os.ReadFile(a.ClientKey)
	require.NoError(t, err)
	key, err := ssh.ParsePrivateKey(pem)
	require.NoError(t, err)
	check, err := knownhosts.New(a.KnownHosts)
	require.NoError(t, err)
	c, err := ssh.Dial("tcp", a.SSH, &ssh.ClientConfig{User: "opensvc", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: check, Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// run executes one command and returns its output and exit status.
func run(t *testing.T, s *Sim, array int, command string) (string, int) {
	t.Helper()
	return runOn(t, dial(t, s, array), command, "")
}

func runOn(t *testing.T, c *ssh.Client, command, stdin string) (string, int) {
	t.Helper()
	session, err := c.NewSession()
	require.NoError(t, err)
	defer session.Close()
	session.Stdin = strings.NewReader(stdin)
	out, err := session.Output(command)
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitStatus()
	}
	require.NoError(t, err)
	return string(out), 0
}

// must runs a command that has to succeed.
func must(t *testing.T, s *Sim, array int, command string) string {
	t.Helper()
	out, rc := run(t, s, array, command)
	require.Zero(t, rc, "%s: %s", command, out)
	return out
}

// local runs a command without a network, as the named user.
func local(s *Sim, array int, user, command string) (string, int) {
	var out bytes.Buffer
	c := &cli{m: s.m, a: s.m.arrays[array], user: user, out: &out, ask: func() (string, error) { return "", io.EOF }}
	c.around = func(_ string, run func() int) int { return run() }
	rc := c.execute(context.Background(), command)
	return out.String(), rc
}

// sides returns "Role/Status" of MYRCG on both arrays.
func sides(t *testing.T, s *Sim) [2]string {
	t.Helper()
	st := s.Snapshot()
	p, ok := st.Group(0, "MYRCG")
	require.True(t, ok)
	q, ok := st.Group(1, "MYRCG.r12345")
	require.True(t, ok)
	return [2]string{p.String(), q.String()}
}

// api is a WSAPI client with a session.
type api struct {
	t    *testing.T
	base string
	http *http.Client
	key  string
}

func newAPI(t *testing.T, s *Sim, array int, plain bool) *api {
	t.Helper()
	a := s.Ready().Arrays[array]
	c := &api{t: t, base: "http://" + a.WSAPIHTTP, http: &http.Client{Timeout: time.Minute}}
	if !plain {
		pem, err := os.ReadFile(a.CAFile)
		require.NoError(t, err)
		pool := x509.NewCertPool()
		require.True(t, pool.AppendCertsFromPEM(pem))
		c.base = "https://" + a.WSAPI
		c.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func (c *api) login(user, password string) *api {
	c.t.Helper()
	status, doc := c.do("POST", "/api/v1/credentials", map[string]any{"user": user, "password": password})
	require.Equal(c.t, http.StatusCreated, status, doc)
	c.key = doc["key"].(string)
	return c
}

// do sends a request; body is marshalled, or sent as it is when it is a string.
func (c *api) do(method, path string, body any) (int, map[string]any) {
	c.t.Helper()
	var payload io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		payload = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(c.t, err)
		payload = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, payload)
	require.NoError(c.t, err)
	if c.key != "" {
		r.Header.Set("X-Hp3Par-Wsapi-Sessionkey", c.key)
	}
	resp, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	doc := map[string]any{}
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &doc) // 503 answers are plain text
	}
	return resp.StatusCode, doc
}

// want sends a request whose status must be as given, and a refusal's code too.
func (c *api) want(status, code int, method, path string, body any) map[string]any {
	c.t.Helper()
	got, doc := c.do(method, path, body)
	require.Equal(c.t, status, got, "%s %s: %v", method, path, doc)
	if code != 0 {
		require.EqualValues(c.t, code, doc["code"], "%s %s: %v", method, path, doc)
	}
	return doc
}

func write(t *testing.T, s *Sim, array int, data string, off int64) error {
	t.Helper()
	_, err := s.IO(t.Context(), control.IORequest{Array: s.Ready().Arrays[array].Name, Volume: "VV_SVC1_ROOT", Op: "write", Offset: off, Data: []byte(data)})
	return err
}

func read(t *testing.T, s *Sim, array int, off, n int64) string {
	t.Helper()
	p, err := s.IO(t.Context(), control.IORequest{Array: s.Ready().Arrays[array].Name, Volume: "VV_SVC1_ROOT", Op: "read", Offset: off, Length: n})
	require.NoError(t, err)
	return string(p)
}
