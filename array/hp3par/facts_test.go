package hp3par

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Literal bytes, with and without header rows and totals.
func TestParseFacts(t *testing.T) {
	volumes, err := parseVolumeFacts("Name,VSize_MB,RcopyGroup,Comment\nVV1,1024,MYRCG,ddsgo:svc1:new.nogroup\nVV2,256,-,---\nVV3,16384,--,one, two\n")
	require.NoError(t, err)
	require.Equal(t, map[string]volumeFacts{
		"VV1": {"VV1", 1024, "MYRCG", "ddsgo:svc1:new.nogroup"}, "VV2": {"VV2", 256, "", ""}, "VV3": {"VV3", 16384, "", "one,two"},
	}, volumes)
	volumes, err = parseVolumeFacts("no vv listed\r\n")
	require.NoError(t, err)
	require.Empty(t, volumes)
	for _, bad := range []string{"VV1,big,-,-\n", "VV1,1\n", "Error: no such column\n"} {
		_, err = parseVolumeFacts(bad)
		require.Error(t, err, bad)
	}

	exports, err := parseExports("Lun,VVName,HostName,-Host_WWN/iSCSI_Name-,Port,Type\n0,VV1,node1,----------------,---,host\n5,VV1,set:cluster,----,---,host set\n2,total\n")
	require.NoError(t, err)
	require.Equal(t, []export{{"VV1", 0, "node1"}, {"VV1", 5, "set:cluster"}}, exports)
	exports, err = parseExports("no vluns listed\n")
	require.NoError(t, err)
	require.Empty(t, exports)
	_, err = parseExports("x,VV1,node1\n")
	require.ErrorIs(t, err, ErrOutput)

	hosts, err := parseHosts("Id,Name,Persona,-WWN/iSCSI_Name-,Port\n0,node1,Generic,1000000000000001,---\n0,node1,Generic,1000000000000002,0:1:1\n1,node2,Generic,--,---\n3,total\n")
	require.NoError(t, err)
	require.Equal(t, []string{"node1", "node2"}, hosts)
}

func FuzzParseFacts(f *testing.F) {
	f.Add("Name,VSize_MB,RcopyGroup,Comment\nVV1,1024,MYRCG,-\n")
	f.Add("0,VV1,node1,----,---,host\n1,total\n")
	f.Fuzz(func(t *testing.T, out string) {
		volumes, err := parseVolumeFacts(out)
		for name, v := range volumes {
			if err == nil && (name == "" || v.Name != name) {
				t.Fatalf("%q: %+v", name, v)
			}
		}
		_, _ = parseExports(out) // any answer, but no panic
		_, _ = parseHosts(out)
	})
}
