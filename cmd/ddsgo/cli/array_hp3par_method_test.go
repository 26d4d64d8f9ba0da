package cli

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// hp3parPair is a simulated pair and a configuration for it. method makes an array's entry.
func hp3parPair(t *testing.T, method func(r hp3par.ReadyArray, host, port string) string) (*hp3par.Sim, []string) {
	t.Helper()
	dir := t.TempDir()
	scenario, err := hp3par.LoadScenario("default")
	require.NoError(t, err)
	sim, err := hp3par.Start(t.Context(), hp3par.Options{Dir: dir, Clock: control.Real, Scenario: scenario})
	require.NoError(t, err)
	require.NoError(t, sim.AddFault("", "task_seconds", 0.05))
	t.Cleanup(func() {
		require.Empty(t, sim.Violations())
		require.NoError(t, sim.Close())
	})
	var y strings.Builder
	y.WriteString("arrays:\n")
	for _, r := range sim.Ready().Arrays {
		host, port, err := net.SplitHostPort(r.SSH)
		require.NoError(t, err)
		fmt.Fprintf(&y, "  %s: {type: hp3par, username: opensvc, %s}\n", r.Name, method(r, host, port))
	}
	y.WriteString("resources:\n  svc1: {driver: hp3par, mode: async, sites: {site1: {array: hp3par1.opensvc.com, group: MYRCG}, site2: {array: hp3par2.opensvc.com, group: MYRCG.r12345}}}\n")
	path := filepath.Join(dir, "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte(y.String()), 0o600))
	return sim, []string{"ddsgo", "--config", path, "--state-dir", filepath.Join(dir, "state")}
}

func bySSH(more string) func(r hp3par.ReadyArray, host, port string) string {
	return func(r hp3par.ReadyArray, host, port string) string {
		return fmt.Sprintf("method: ssh, manager: %s, port: %s, key: %q, known_hosts: %q%s", host, port, r.ClientKey, r.KnownHosts, more)
	}
}

func byWSAPI(r hp3par.ReadyArray, _, _ string) string {
	return fmt.Sprintf("method: wsapi, url: %q, ca_file: %q", "https://"+r.WSAPI, r.CAFile)
}

// The same verbs over every method that needs no more than the simulator, as they are configured.
func TestHP3PARMethods(t *testing.T) {
	for transport, method := range map[string]func(r hp3par.ReadyArray, host, port string) string{
		"ssh-exec": bySSH(""), "ssh-pipe": bySSH(", piped: true"), "https": byWSAPI,
	} {
		t.Run(transport, func(t *testing.T) {
			t.Setenv("DDSGO_PASSWORD_HP3PAR1_OPENSVC_COM", "opensvc")
			t.Setenv("DDSGO_PASSWORD_HP3PAR2_OPENSVC_COM", "opensvc")
			sim, base := hp3parPair(t, method)
			ddsgo := func(args ...string) (int, string, string) {
				var out, errs bytes.Buffer
				code := Main(append(base[:len(base):len(base)], args...), strings.NewReader(""), &out, &errs)
				return code, out.String(), errs.String()
			}
			code, out, errs := ddsgo("start", "svc1", "--site", "site2", "--sync-first")
			require.Zero(t, code, out+errs)
			require.Contains(t, errs, "svc1: warning: writes after ")
			code, out, errs = ddsgo("resume", "svc1")
			require.Zero(t, code, out+errs)
			require.NoError(t, sim.Advance(10*time.Second))
			code, out, errs = ddsgo("status", "svc1")
			require.Zero(t, code, out+errs)
			require.Contains(t, out, "site2 (reversed)")
			for _, e := range sim.Journal().Since(0) {
				require.Equal(t, transport, e.Transport)
			}
			for _, a := range sim.Snapshot().Arrays {
				require.Zero(t, a.APISessions)
			}
		})
	}
	code, _, errs := func() (int, string, string) {
		var out, errs bytes.Buffer
		path := filepath.Join(t.TempDir(), "c.yaml")
		require.NoError(t, os.WriteFile(path, []byte("arrays:\n  a: {type: hp3par, method: wsapi, username: u, piped: true}\n"), 0o600))
		return Main([]string{"ddsgo", "--config", path, "config", "check"}, strings.NewReader(""), &out, &errs), out.String(), errs.String()
	}()
	require.Equal(t, failure.CodeUsage, code)
	require.Contains(t, errs, "c.yaml:2")
	require.Contains(t, errs, "piped is for method ssh")
}

// A service manager that ends ddsgo in the middle of a command leaves no session on the array, and the
// same verb goes on afterwards.
func TestHP3PARTerminated(t *testing.T) {
	t.Setenv("DDSGO_PASSWORD_HP3PAR1_OPENSVC_COM", "opensvc")
	t.Setenv("DDSGO_PASSWORD_HP3PAR2_OPENSVC_COM", "opensvc")
	for _, during := range []string{"POST /api/v1/credentials", "GET /api/v1/remotecopygroups", "PUT /api/v1/remotecopygroups"} {
		sim, base := hp3parPair(t, byWSAPI)
		f, err := control.NewFault("", "slow_ms", 300)
		require.NoError(t, err)
		f.Match = during
		_, err = sim.Faults().Add(f)
		require.NoError(t, err)
		cmd := exec.Command(base[0], append(base[1:len(base):len(base)], "break", "svc1")...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool {
			for _, e := range sim.Journal().Since(0) {
				if strings.HasPrefix(e.Method+" "+e.Path, during) {
					return true
				}
			}
			return false
		}, 20*time.Second, time.Millisecond)
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit, during)
		require.Equal(t, failure.CodeInterrupted, exit.ExitCode(), errs.String())
		for _, a := range sim.Snapshot().Arrays {
			require.Zero(t, a.APISessions, "%s: sessions left on %s", during, a.Name)
		}
		sim.ClearFaults("", "slow_ms")
		var out bytes.Buffer
		require.Zero(t, Main(append(base[:len(base):len(base)], "break", "svc1"), strings.NewReader(""), &out, &out), out.String())
	}
}
