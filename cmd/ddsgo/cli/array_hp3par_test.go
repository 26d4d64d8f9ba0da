package cli

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// A whole site moves with one command line: twenty groups, all of them copied before.
func TestStartAllRelocatesTwentyGroups(t *testing.T) {
	dir := t.TempDir()
	sim, err := hp3par.Start(t.Context(), hp3par.Options{
		Dir: dir, Clock: control.Auto, Start: time.Date(2014, 3, 25, 15, 13, 47, 0, time.UTC),
		Scenario: hp3par.Scenario{Generate: &hp3par.ScenarioGenerate{Groups: 20, Volumes: 2, Mode: "periodic", PeriodS: 300}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sim.Close()) }()
	var y strings.Builder
	y.WriteString("arrays:\n")
	for _, a := range sim.Ready().Arrays {
		host, port, err := net.SplitHostPort(a.SSH)
		require.NoError(t, err)
		fmt.Fprintf(&y, "  %s: {type: hp3par, method: ssh, manager: %s, port: %s, username: opensvc, key: %s, known_hosts: %s, max_cli: 4}\n", a.Name, host, port, a.ClientKey, a.KnownHosts)
	}
	y.WriteString("resources:\n")
	for n := 1; n <= 20; n++ {
		fmt.Fprintf(&y, "  svc%d: {driver: hp3par, mode: async, sites: {site1: {array: hp3par1.opensvc.com, group: GROUP_%04d}, site2: {array: hp3par2.opensvc.com, group: GROUP_%04d.r12345}}}\n", n, n, n)
	}
	path := filepath.Join(dir, "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte(y.String()), 0o600))
	ddsgo := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"ddsgo", "--config", path, "--state-dir", filepath.Join(dir, "state")}, args...), strings.NewReader(""), &out, &errs)
		return code, out.String() + errs.String()
	}
	code, text := ddsgo("start", "--all", "--site", "site2")
	require.Zero(t, code, text)
	reversed := 0
	for _, e := range sim.Journal().Since(0) {
		if strings.HasPrefix(e.Command, "setrcopygroup reverse -f -waittask GROUP_") {
			require.Equal(t, "hp3par2.opensvc.com", e.Array)
			reversed++
		}
	}
	require.Equal(t, 20, reversed)
	require.Empty(t, sim.Violations())
	code, text = ddsgo("start", "--all", "--site", "site2")
	require.Zero(t, code, text)
	require.Contains(t, text, "nothing")

	before := len(sim.Journal().Since(0))
	code, text = ddsgo("status")
	require.Zero(t, code, text)
	require.Len(t, sim.Journal().Since(0)[before:], 4, "one listing of groups and one of links per array serve all twenty")
}
