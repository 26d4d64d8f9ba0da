package hp3par_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

// Every method tells the same about the same array.
func TestInventoryTransports(t *testing.T) {
	for name, reach := range map[string]func(t *testing.T, b *bench) *hp3par.Array{
		"ssh":   func(_ *testing.T, b *bench) *hp3par.Array { return b.arrays[0] },
		"piped": func(t *testing.T, b *bench) *hp3par.Array { return b.pipedArray(t, 0) },
		"cli":   func(t *testing.T, b *bench) *hp3par.Array { return b.programArray(t, 0) },
		"proxy": func(t *testing.T, b *bench) *hp3par.Array { return b.proxied(t, 0, hp3par.InventoryCommands()) },
		"wsapi": func(t *testing.T, b *bench) *hp3par.Array { return b.wsapiArray(t, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			b := snapBench(t, nil)
			i, err := reach(t, b).Inventory(t.Context())
			require.NoError(t, err)
			require.True(t, i.Complete(), "%v", i.Errors)
			require.Equal(t, "3.3.1.648", i.Version)
			require.Contains(t, i.Licences, "Virtual Copy")
			system := i.Sections["system"].Rows
			require.Len(t, system, 1)
			require.Equal(t, "12345", system[0]["ID"])
			require.Equal(t, "HPE_3PAR 8200", system[0]["Model"])
			require.Len(t, i.Sections["nodes"].Rows, 2)
			require.Equal(t, "Yes", i.Sections["nodes"].Rows[0]["Master"])
			require.Equal(t, "CPG1", i.Sections["cpgs"].Rows[0]["Name"])
			require.Len(t, i.Sections["ports"].Rows, 4)
			require.Equal(t, "rcip", i.Sections["ports"].Rows[1]["Type"])
			volumes := map[string]map[string]string{}
			for _, v := range i.Sections["volumes"].Rows {
				volumes[v["Name"]] = v
			}
			require.Len(t, volumes, 4)
			require.Equal(t, "snp", volumes["SNAP1"]["Prov"])
			require.Equal(t, "DATA", volumes["SNAP1"]["CopyOf"])
			require.Equal(t, "256", volumes["DATA"]["VSize_MB"])
			require.Equal(t, "MYRCG", volumes["VV_SVC1_ROOT"]["RcopyGroup"])
			require.Contains(t, volumes["SNAP1"]["CreationTime"], "2014-03-25")
			require.Empty(t, b.changes())
			for _, e := range b.sim.Journal().Since(0) {
				require.True(t, e.Method != "" || strings.HasPrefix(e.Command, "show") || strings.HasPrefix(e.Command, "setclienv") || e.Command == "exit", e.Command)
			}

			var out bytes.Buffer
			require.NoError(t, i.Print(&out))
			require.Contains(t, out.String(), "hp3par1.opensvc.com, release 3.3.1.648")
			require.Regexp(t, `(?m)^volumes \(4\)\n  Name +VV_WWN +Prov +CopyOf`, out.String())
			text, err := json.Marshal(i)
			require.NoError(t, err)
			require.Contains(t, string(text), `"CopyOf":"DATA"`)
		})
	}
}

// Without Remote Copy its columns are not asked for: the array would refuse the command.
func TestInventoryWithoutRemoteCopy(t *testing.T) {
	b := newBench(t, "async", func(o *simulator.Options) {
		o.Scenario.Groups = nil
		o.Scenario.Arrays = []simulator.ScenarioArray{
			{Name: "hp3par1.opensvc.com", SystemID: 12345, Licences: []string{"InForm CLI"}, Volumes: []simulator.ScenarioVol{{Name: "DATA"}}},
			{Name: "hp3par2.opensvc.com", SystemID: 12346},
		}
	})
	i, err := b.arrays[0].Inventory(t.Context())
	require.NoError(t, err)
	require.True(t, i.Complete(), "%v", i.Errors)
	require.NotContains(t, i.Sections["volumes"].Columns, "RcopyGroup")
	_, rc, err := b.arrays[0].Raw(t.Context(), "showvv -showcols Name,RcopyGroup")
	require.NoError(t, err)
	require.NotZero(t, rc)
}

// A proxy that allows a part gives that part, and says what is missing; an array that does
// not answer is an error.
func TestInventoryInPart(t *testing.T) {
	b := snapBench(t, nil)
	i, err := b.proxied(t, 0, []string{"showsys", "showport"}).Inventory(t.Context())
	require.NoError(t, err)
	require.False(t, i.Complete())
	require.Len(t, i.Sections, 2)
	require.Contains(t, i.Errors["volumes"], "this command is not allowed")
	var out bytes.Buffer
	require.NoError(t, i.Print(&out))
	require.Contains(t, out.String(), "volumes: not read: proxy error: this command is not allowed")

	_, err = b.proxied(t, 0, []string{"showrcopy links"}).Inventory(t.Context())
	require.Equal(t, array.KindArray, array.KindOf(err))

	require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
	_, err = b.arrays[0].Inventory(t.Context())
	require.Equal(t, array.KindUnreachable, array.KindOf(err))
}

// The page names every line that an allow-list needs.
func TestInventoryCommandsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/hp3par.md")
	require.NoError(t, err)
	for _, line := range hp3par.InventoryCommands() {
		require.Contains(t, string(page), line)
	}
}
