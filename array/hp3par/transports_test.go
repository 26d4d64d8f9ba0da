package hp3par_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/array/hp3par/proxy"
	"github.com/ddsgo/ddsgo/internal/run"
)

// transports are all ways to reach the simulator's arrays.
var transports = map[string]func(t testing.TB, b *bench, i int) *hp3par.Array{
	"ssh": func(t testing.TB, b *bench, i int) *hp3par.Array { return b.ssh(t, i) },
	"piped": func(t testing.TB, b *bench, i int) *hp3par.Array {
		r := b.sim.Ready().Arrays[i]
		return closing(t)(hp3par.NewPiped(b.options(i), hp3par.SSH{Address: r.SSH, User: "opensvc", Password: "opensvc", KnownHosts: r.KnownHosts}))
	},
	"wsapi": func(t testing.TB, b *bench, i int) *hp3par.Array {
		r := b.sim.Ready().Arrays[i]
		return closing(t)(hp3par.NewWSAPI(b.options(i), hp3par.WSAPI{URL: "https://" + r.WSAPI, CAFile: r.CAFile, User: "opensvc", Password: "opensvc"}))
	},
	"cli": func(t testing.TB, b *bench, i int) *hp3par.Array {
		program := &vendorProgram{t: t, to: b.ssh(t, i), system: b.sim.Ready().Arrays[i].Name}
		return closing(t)(hp3par.NewProgram(b.options(i), hp3par.Program{PwFile: "/etc/ddsgo/pwf", Runner: program}))
	},
	"proxy": proxied,
}

func closing(t testing.TB) func(*hp3par.Array, error) *hp3par.Array {
	return func(a *hp3par.Array, err error) *hp3par.Array {
		t.Helper()
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, a.Close()) })
		return a
	}
}

// vendorProgram stands in for the vendor's command line without a process: it takes apart what the
// program would get and lets the simulator's ssh answer. TestProgram runs a real one.
type vendorProgram struct {
	t      testing.TB
	to     *hp3par.Array
	system string
}

func (p *vendorProgram) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	require.Contains(p.t, c.Env, "TPDPWFILE=/etc/ddsgo/pwf")
	require.Contains(p.t, c.Env, "TPDNOCERTPROMPT=1")
	require.Equal(p.t, []string{"-sys", p.system}, c.Args[:2])
	words, bare := c.Args[2:], slices.Equal(c.Args[2:4], []string{"-nohdtot", "-csvtable"})
	if bare {
		words = words[2:]
	}
	require.Equal(p.t, strings.HasPrefix(words[0], "show"), bare, "what lists, and nothing else, is wanted as CSV")
	out, rc, err := p.to.Carry(ctx, strings.Join(words, " "), bare)
	if err != nil {
		return run.Result{ExitCode: -1}, err
	}
	if rc != 0 {
		return run.Result{Stdout: []byte(out), ExitCode: rc}, &run.ExitError{Cmd: c.Name, ExitCode: rc}
	}
	return run.Result{Stdout: []byte(out)}, nil
}

// proxied puts a real allow-list proxy before an array. Its rules are what `array commands` prints:
// whatever else the driver sends is refused.
func proxied(t testing.TB, b *bench, i int) *hp3par.Array {
	t.Helper()
	r := b.sim.Ready().Arrays[i]
	host, port, err := net.SplitHostPort(r.SSH)
	require.NoError(t, err)
	allowed, err := b.commands()
	require.NoError(t, err)
	var y strings.Builder
	fmt.Fprintf(&y, "ssl_key: k\nssl_crt: c\nmax_per_array: 2\narrays: {%s: {manager: %s, port: %s, username: opensvc, key: %q, known_hosts: %q}}\n", r.Name, host, port, r.ClientKey, r.KnownHosts)
	fmt.Fprintf(&y, "creds: [{service: svc1, uuid: %s, array: %s, commands: [%s]}]\n", nodeUUID, r.Name, `"`+strings.Join(allowed, `", "`)+`"`)
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	require.NoError(t, os.WriteFile(file, []byte(y.String()), 0o600))
	c, err := proxy.Load(file)
	require.NoError(t, err)
	runner, err := proxy.NewRunner(c, run.OS{})
	require.NoError(t, err)
	h := httptest.NewTLSServer(proxy.New(c, runner, io.Discard, slog.New(slog.DiscardHandler)))
	t.Cleanup(h.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600))
	return closing(t)(hp3par.NewProxy(b.options(i), hp3par.Proxy{URL: h.URL, CAFile: ca, Service: "svc1", UUID: nodeUUID}))
}

const nodeUUID = "3b2c325d-4321-6789-b32f-b987654cb092874a"

// commands are those of the bench's resource, whatever way its arrays are reached.
func (b *bench) commands() ([]string, error) {
	d, err := hp3par.New(b.config())
	if err != nil {
		return nil, err
	}
	return d.Commands("proxy")
}

// transportLab keeps another operator's own way to the arrays.
type transportLab struct {
	lab
	operator [2]*hp3par.Array
}

func (l transportLab) Foreign(ctx context.Context, verb string) error {
	return lab{&bench{sim: l.sim, arrays: l.operator}}.Foreign(ctx, verb)
}

// over makes the lab of a bench whose arrays are reached by a transport.
func over(t testing.TB, b *bench, transport string) arraytest.Lab {
	t.Helper()
	l := transportLab{lab{b}, b.arrays}
	var next [2]*hp3par.Array
	for i := range next {
		next[i] = transports[transport](t, b, i)
	}
	b.arrays = next
	return l
}

// checkJournal: the arrays were told nothing that `array commands` does not print, and no session was
// left behind.
func (b *bench) checkJournal(t testing.TB) {
	t.Helper()
	allowed, err := b.commands()
	require.NoError(t, err)
	allowed = append(allowed, "setclienv csvtable 1", "setclienv nohdtot 1", "exit")
	for _, e := range b.sim.Journal().Since(0) {
		if e.Method != "" {
			require.Regexp(t, allowedRequests, e.Method+" "+e.Path)
			continue
		}
		require.Contains(t, allowed, strings.TrimSuffix(e.Command, " -csvtable -nohdtot"))
	}
	for _, a := range b.sim.Snapshot().Arrays {
		require.Zero(t, a.APISessions, "sessions left on %s", a.Name)
	}
}

const allowedRequests = `^(POST /api/v1/credentials|DELETE /api/v1/credentials/[^/]+|GET /api/v1/remotecopy(groups|links)|GET /api/v1/vluns|(GET|PUT|POST) /api/v1/remotecopygroups/MYRCG(\.r12345)?|DELETE /api/v1/remotecopygroups/MYRCG\?keepSnap=false)$`
