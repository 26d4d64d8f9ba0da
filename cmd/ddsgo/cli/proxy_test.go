package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// proxyBench is a proxy that runs as the verb runs it, before a simulated array.
type proxyBench struct {
	dir, address string
	client       *http.Client
	sim          *hp3par.Sim
	stderr       *lockedBuffer
	end          context.CancelFunc
	ended        chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newProxyBench(t *testing.T) *proxyBench {
	t.Helper()
	p := &proxyBench{dir: t.TempDir(), stderr: &lockedBuffer{}, ended: make(chan error, 1)}
	sim, err := hp3par.Start(t.Context(), hp3par.Options{Dir: filepath.Join(p.dir, "sim"), Clock: control.Auto, Scenario: scenarioWithOneGroup(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	p.sim = sim
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	p.file(t, "crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	p.file(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxConnsPerHost: 0, MaxIdleConnsPerHost: 200}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

func scenarioWithOneGroup(t *testing.T) hp3par.Scenario {
	t.Helper()
	s, err := hp3par.LoadScenario("default")
	require.NoError(t, err)
	return s
}

func (p *proxyBench) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const proxyUUID = "3b2c325d-4321-6789-b32f-b987654cb092874a"

// write makes the configuration with these commands in its one rule.
func (p *proxyBench) write(t *testing.T, commands ...string) {
	t.Helper()
	a := p.sim.Ready().Arrays[0]
	host, port, err := net.SplitHostPort(a.SSH)
	require.NoError(t, err)
	p.file(t, "proxy.yaml", fmt.Sprintf("ssl_key: %[1]s/key\nssl_crt: %[1]s/crt\naccess_log: %[1]s/access.log\nerror_log: %[1]s/error.log\n"+
		"arrays: {%[2]s: {manager: %[3]s, port: %[4]s, username: opensvc, key: %[5]s, known_hosts: %[6]s}}\n"+
		"creds:\n- {service: svc1, uuid: %[7]s, array: %[2]s, commands: [\"%[8]s\"]}\n",
		p.dir, a.Name, host, port, a.ClientKey, a.KnownHosts, proxyUUID, strings.Join(commands, `", "`)))
}

func (p *proxyBench) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready := filepath.Join(p.dir, "ready")
	o := proxyOptions{config: filepath.Join(p.dir, "proxy.yaml"), listen: "127.0.0.1:0", ready: ready}
	go func() { p.ended <- runProxy(ctx, streams{in: strings.NewReader(""), out: p.stderr, err: p.stderr}, o) }()
	p.end = cancel
	t.Cleanup(cancel)
	var line struct {
		HTTPS string `json:"https"`
	}
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, &line) == nil
	}, 30*time.Second, time.Millisecond)
	p.address = line.HTTPS
}

func (p *proxyBench) ask(t *testing.T, cmd string) (ret int, out, why string) {
	t.Helper()
	res, err := p.client.PostForm("https://"+p.address+"/api/cmd/", url.Values{
		"array": {p.sim.Ready().Arrays[0].Name}, "cmd": {cmd}, "path": {"svc1"}, "uuid": {proxyUUID}})
	require.NoError(t, err)
	defer res.Body.Close()
	var a struct {
		Err, Out string
		Ret      int
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&a))
	return a.Ret, a.Out, a.Err
}

func (p *proxyBench) log(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	require.NoError(t, err)
	return string(text)
}

// A hang-up reads the rules again: good ones hold at once, bad ones are told in the error
// log and change nothing. Logs may be rotated with it.
func TestProxyReload(t *testing.T) {
	p := newProxyBench(t)
	p.write(t, "showrcopy groups")
	p.start(t)
	ret, out, _ := p.ask(t, "showrcopy groups")
	require.Zero(t, ret)
	require.Contains(t, out, "MYRCG,hp3par2.opensvc.com,Started,Primary,Periodic,")
	ret, _, why := p.ask(t, "showrcopy links")
	require.Equal(t, 1, ret)
	require.Equal(t, "this command is not allowed for this node-service-array id", why)

	require.NoError(t, os.Rename(filepath.Join(p.dir, "access.log"), filepath.Join(p.dir, "access.1")))
	p.write(t, "showrcopy links")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool { ret, _, _ := p.ask(t, "showrcopy links"); return ret == 0 }, 10*time.Second, 10*time.Millisecond)
	ret, _, _ = p.ask(t, "showrcopy groups")
	require.Equal(t, 1, ret, "what the new rules do not hold")
	require.Contains(t, p.log(t, "access.log"), `"cmd":"showrcopy links","allowed":true,"ret":0`)
	require.NotContains(t, p.log(t, "access.1"), `"cmd":"showrcopy links","allowed":true`)

	p.write(t, "showrcopy links", "show; rm")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool {
		return strings.Contains(p.log(t, "error.log"), "reload refused, the old configuration stays")
	}, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, p.log(t, "error.log"), "creds[0].commands[1]")
	ret, _, _ = p.ask(t, "showrcopy links")
	require.Zero(t, ret, "the old rules stay")
	require.NotContains(t, p.log(t, "error.log")+p.log(t, "access.log")+p.stderr.String(), proxyUUID)

	p.end()
	require.NoError(t, <-p.ended)
	require.Eventually(t, func() bool { return p.sim.Snapshot().Arrays[0].CLISessions == 0 }, 10*time.Second, time.Millisecond, "its sessions are closed")
}

// What an array does not answer is never a success, and an act whose reply was lost is told
// as that.
func TestProxyTransportFailures(t *testing.T) {
	p := newProxyBench(t)
	p.write(t, "showrcopy groups", "stoprcopygroup -f MYRCG")
	p.start(t)
	name := p.sim.Ready().Arrays[0].Name
	_, err := p.sim.Faults().Add(control.Fault{Array: name, Kind: "drop_reply", Match: "stoprcopygroup", Count: 1})
	require.NoError(t, err)
	ret, out, why := p.ask(t, "stoprcopygroup -f MYRCG")
	require.Equal(t, 1, ret)
	require.Empty(t, out)
	require.Equal(t, "no reply from the array", why)
	require.NoError(t, p.sim.AddFault(name, "array_down", true))
	ret, out, why = p.ask(t, "showrcopy groups")
	require.Equal(t, 1, ret)
	require.Empty(t, out)
	require.Equal(t, "no reply from the array", why)
	p.sim.ClearFaults(name, "array_down")
	ret, _, _ = p.ask(t, "showrcopy groups")
	require.Zero(t, ret, "and it goes on with the next")
}

// Two hundred clients at once are all served, with never more than two sessions on the
// array.
func TestProxyHoldsManyClients(t *testing.T) {
	const clients = 200
	p := newProxyBench(t)
	p.write(t, "showrcopy groups")
	p.start(t)
	require.NoError(t, p.sim.AddFault("", "slow_ms", 5))
	var wg sync.WaitGroup
	served := make(chan string, clients)
	for range clients {
		wg.Go(func() {
			ret, out, why := p.ask(t, "showrcopy groups")
			if ret == 0 && strings.HasPrefix(out, "MYRCG,") {
				served <- out
			} else {
				served <- "refused: " + why
			}
		})
	}
	wg.Wait()
	close(served)
	for s := range served {
		require.True(t, strings.HasPrefix(s, "MYRCG,"), s)
	}
	a := p.sim.Snapshot().Arrays[0]
	require.Equal(t, 2, a.CLIPeak, "max_per_array is 2")
	shows := 0
	for _, e := range p.sim.Journal().Since(0) {
		if e.Command == "showrcopy groups -csvtable -nohdtot" {
			shows++
		}
	}
	require.Equal(t, clients, shows, "each client's command was run, once")
}

func TestProxyCheckAndImport(t *testing.T) {
	p := newProxyBench(t)
	p.write(t, "showrcopy groups")
	config := filepath.Join(p.dir, "proxy.yaml")
	ddsgo := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"ddsgo"}, args...), strings.NewReader(""), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, out, errs := ddsgo("proxy", "--config", config, "--check")
	require.Zero(t, code, errs)
	require.Equal(t, "1 rule(s): no defect\n", out)
	require.NoError(t, os.Chmod(config, 0o644))
	code, _, errs = ddsgo("proxy", "--config", config, "--check")
	require.Zero(t, code)
	require.Contains(t, errs, "proxy.yaml can be read by everybody on this host")
	p.write(t, "showrcopy `id`")
	code, _, errs = ddsgo("proxy", "--config", config, "--check")
	require.Equal(t, failure.CodeUsage, code)
	require.Contains(t, errs, "proxy.yaml:7:")
	require.NoError(t, os.Remove(filepath.Join(p.dir, "key")))
	p.write(t, "showrcopy groups")
	code, _, errs = ddsgo("proxy", "--config", config, "--check")
	require.Equal(t, failure.CodeUsage, code)
	require.Contains(t, errs, "ssl_key")

	py := p.file(t, "config.py", "cli = '/c'\nssl_key = 'k'\nssl_crt = 'c'\npwf = {'a': 'f'}\ncreds = {('s', 'u-u-i-d', 'b'): ['showrcopy links']}\n")
	code, out, errs = ddsgo("proxy", "import", py)
	require.Zero(t, code, errs)
	require.Contains(t, out, "- showrcopy links")
	require.Contains(t, errs, "array b is neither under pwf nor under arrays")
	code, out, errs = ddsgo("proxy", "import", p.file(t, "bad.py", "import os\n"))
	require.Equal(t, failure.CodeUsage, code)
	require.Empty(t, out)
	require.Contains(t, errs, "line 1")
}
