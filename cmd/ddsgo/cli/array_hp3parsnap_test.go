package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// hp3parArrays are the lines of the configuration that reach a simulated pair by ssh.
func hp3parArrays(t *testing.T, sim *hp3par.Sim) string {
	t.Helper()
	var y strings.Builder
	y.WriteString("arrays:\n")
	for _, a := range sim.Ready().Arrays {
		host, port, err := net.SplitHostPort(a.SSH)
		require.NoError(t, err)
		fmt.Fprintf(&y, "  %s: {type: hp3par, method: ssh, manager: %s, port: %s, username: opensvc, key: %s, known_hosts: %s}\n", a.Name, host, port, a.ClientKey, a.KnownHosts)
	}
	return y.String()
}

// The verbs, status and inventory of snapshots, as a person types them.
func TestSnapshotsOfAnArray(t *testing.T) {
	dir := t.TempDir()
	sim, err := hp3par.Start(t.Context(), hp3par.Options{Dir: dir, Clock: control.Auto, Start: time.Now().Truncate(time.Second), Scenario: hp3par.Scenario{
		Arrays: []hp3par.ScenarioArray{
			{Name: "hp3par1.opensvc.com", SystemID: 12345, Volumes: []hp3par.ScenarioVol{{Name: "DATA"}, {Name: "SNAP1", CopyOf: "DATA"}}},
			{Name: "hp3par2.opensvc.com", SystemID: 12346},
		},
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, sim.Close()) }()
	path := filepath.Join(dir, "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte(hp3parArrays(t, sim)+
		"resources:\n  report: {driver: hp3parsnap, array: hp3par1.opensvc.com, vv_names: [SNAP1], sync_max_delay: 1h}\n"), 0o600))
	ddsgo := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"ddsgo", "--config", path, "--state-dir", filepath.Join(dir, "state")}, args...), strings.NewReader(""), &out, &errs)
		return code, out.String(), errs.String()
	}
	status := func() report.Resource {
		code, out, errs := ddsgo("status", "--json")
		require.Zero(t, code, errs)
		var s report.Status
		require.NoError(t, json.Unmarshal([]byte(out), &s))
		require.Len(t, s.Resources, 1)
		return s.Resources[0]
	}
	require.Equal(t, "up", status().State)
	require.NoError(t, sim.Advance(2*time.Hour))
	r := status()
	require.Equal(t, "warn", r.State)
	require.Equal(t, "too_old", r.Reasons[0].Code)
	require.Equal(t, "ddsgo update report", *r.Next)

	code, _, errs := ddsgo("config", "check")
	require.Zero(t, code, errs)
	code, _, errs = ddsgo("update", "report")
	require.Zero(t, code, errs)
	require.Equal(t, "up", status().State)
	code, _, errs = ddsgo("swap", "report")
	require.Equal(t, failure.CodeUnsupported, code)
	require.Contains(t, errs, "hp3parsnap refreshes snapshots on one array")

	code, out, errs := ddsgo("array", "inventory", "hp3par1.opensvc.com")
	require.Zero(t, code, errs)
	require.Regexp(t, `SNAP1 +60002AC`, out)
	code, out, errs = ddsgo("array", "inventory", "hp3par1.opensvc.com", "--json")
	require.Zero(t, code, errs)
	require.True(t, json.Valid([]byte(out)))
	code, _, errs = ddsgo("array", "inventory", "hp3par9")
	require.Equal(t, failure.CodeUsage, code)
	require.Contains(t, errs, "known: hp3par1.opensvc.com, hp3par2.opensvc.com")
	code, out, errs = ddsgo("array", "commands", "report")
	require.Zero(t, code, errs)
	require.Contains(t, out, "updatevv -f SNAP1\n")
	require.NoError(t, sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	code, _, errs = ddsgo("array", "inventory", "hp3par1.opensvc.com")
	require.Equal(t, failure.CodeUnreachable, code, errs)
}
