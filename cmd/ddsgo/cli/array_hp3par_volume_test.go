package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// The life of a replicated volume, as a person types it: created with its group, exported, failed
// over with the list of what is still to be exported, failed back, deleted.
func TestReplicatedVolumeOnTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	hosts := []hp3par.ScenarioHost{{Name: "node1", WWNs: []string{"1000000000000001"}}, {Name: "node2", WWNs: []string{"1000000000000002"}}}
	sim, err := hp3par.Start(t.Context(), hp3par.Options{
		Dir: dir, Clock: control.Auto, Start: time.Date(2014, 3, 25, 15, 13, 47, 0, time.UTC),
		Scenario: hp3par.Scenario{Arrays: []hp3par.ScenarioArray{
			{Name: "hp3par1.opensvc.com", SystemID: 12345, Hosts: hosts}, {Name: "hp3par2.opensvc.com", SystemID: 12346, Hosts: hosts},
		}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sim.Close()) }()
	var y strings.Builder
	y.WriteString("arrays:\n")
	for _, a := range sim.Ready().Arrays {
		host, port, err := net.SplitHostPort(a.SSH)
		require.NoError(t, err)
		fmt.Fprintf(&y, "  %s: {type: hp3par, method: ssh, manager: %s, port: %s, username: opensvc, key: %s, known_hosts: %s}\n", a.Name, host, port, a.ClientKey, a.KnownHosts)
	}
	y.WriteString("resources:\n  shop: {driver: hp3par, mode: sync, sites: {site1: {array: hp3par1.opensvc.com, group: Test_RCG, cpg: CPG1, snap_cpg: SNAPCPG1},\n" +
		"    site2: {array: hp3par2.opensvc.com, group: Test_RCG.r12345, cpg: CPG1, snap_cpg: SNAPCPG1}}}\n")
	path := filepath.Join(dir, "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte(y.String()), 0o600))
	do := func(args ...string) string {
		t.Helper()
		code, out, errs := ddsgo(append([]string{"--config", path, "--state-dir", filepath.Join(dir, "state")}, args...)...)
		require.Zero(t, code, "%v: %s%s", args, out, errs)
		return out
	}
	require.Contains(t, do("array", "create", "shop", "Test_RCG_Vol", "--size", "1G", "-n"), "admitrcopyvv -createvv Test_RCG_Vol Test_RCG hp3par2.opensvc.com:Test_RCG_Vol")
	require.Contains(t, do("array", "create", "shop", "Test_RCG_Vol", "--size", "1G"), "shop:   peer_group: Test_RCG.r12345")
	require.Contains(t, do("array", "volume", "attach", "shop", "Test_RCG_Vol", "--host", "node1"), "shop:   lun: 0")
	code, _, errs := ddsgo("--config", path, "--state-dir", filepath.Join(dir, "state"), "array", "volume", "attach", "shop", "Test_RCG_Vol", "--host", "node2")
	require.Equal(t, 15, code)
	require.Contains(t, errs, "exported to node1")
	require.Contains(t, do("array", "volume", "attach", "shop", "Test_RCG_Vol", "--host", "node2", "--conflict-delay", "0s"), "shop:   cut_off: node1")

	var sum report.Summary
	out := strings.TrimSpace(do("failover", "shop", "--site", "site2", "--force", "--json"))
	require.NoError(t, json.Unmarshal([]byte(out[strings.LastIndex(out, "\n")+1:]), &sum))
	attach := "ddsgo array volume attach shop Test_RCG_Vol --host node2 --param site=site2 --param lun=0"
	require.Equal(t, map[string]string{"export Test_RCG_Vol to node2": attach}, sum.Info)
	require.Contains(t, do("failover", "shop", "--site", "site2", "--force"), "shop:   export Test_RCG_Vol to node2: "+attach)
	do(strings.Fields(attach)[1:]...) // as it is printed
	require.NotContains(t, do("failover", "shop", "--site", "site2", "--force"), "export")

	do("failback", "shop", "--prepare", "--discard", "site1")
	do("array", "volume", "detach", "shop", "Test_RCG_Vol", "--host", "node2")
	do("failback", "shop", "--writers-stopped")
	lines := do("array", "commands", "shop", "Test_RCG_Vol", "--method", "proxy", "--size", "1G", "--host", "node1")
	require.Contains(t, lines, "createvlun Test_RCG_Vol auto node1\n")
	do("array", "volume", "delete", "shop", "Test_RCG_Vol", "--force")
	for _, a := range sim.Snapshot().Arrays {
		require.Empty(t, a.Groups)
		require.Empty(t, a.Volumes)
	}
	require.Empty(t, sim.Violations())
}
