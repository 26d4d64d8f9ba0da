package hp3par

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Comments and compression, by both ways, and what is refused.
func TestVolumeCommentAndCompression(t *testing.T) {
	s := start(t, nil)
	must(t, s, 0, "createvv -tpvv -compr -comment ddsgo:x CPG1 V1 16g")
	show := "showvv -showcols Name,VSize_MB,RcopyGroup,Comment,Compr V1 -csvtable -nohdtot"
	require.Equal(t, "V1,16384,-,ddsgo:x,Yes\n", must(t, s, 0, show))
	must(t, s, 0, `setvv -comment "two words" V1`)
	require.Equal(t, "V1,16384,-,two words,Yes\n", must(t, s, 0, show))
	must(t, s, 0, `setvv -comment "" V1`)
	require.Equal(t, "V1,16384,-,---,Yes\n", must(t, s, 0, show))
	for command, want := range map[string]string{
		"setvv V1":                        "an option must be given",
		"setvv -comment x NOSUCH":         "volume NOSUCH does not exist",
		"createvv -compr CPG1 V2 16g":     "compression needs a thin volume",
		"setvv -comment x -frobnicate V1": "Invalid option -frobnicate",
	} {
		out, rc := run(t, s, 0, command)
		require.NotZero(t, rc, command)
		require.Contains(t, out, want)
	}
	// The copy is as its source.
	must(t, s, 0, "creatercopygroup -usr_cpg CPG1 hp3par2.opensvc.com:CPG1 G hp3par2.opensvc.com:periodic")
	must(t, s, 0, "admitrcopyvv -createvv V1 G hp3par2.opensvc.com:V1")
	require.Equal(t, "V1,16384,G.r12345,---,Yes\n", must(t, s, 1, show))
}

// The fault "refuse": nothing is done, the text is the answer, on ssh and in the WSAPI.
func TestRefuseFault(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.AddFault("hp3par1.opensvc.com", "refuse", "Not today."))
	out, rc := run(t, s, 0, "createvv CPG1 V1 1g")
	require.Equal(t, 1, rc)
	require.Equal(t, "Error: Not today.\n", out)
	s.ClearFaults("", "refuse")
	_, ok := s.Snapshot().Arrays[0].volumeNamed("V1")
	require.False(t, ok)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	require.NoError(t, s.AddFault("hp3par1.opensvc.com", "refuse", "Not today."))
	require.Equal(t, "Not today.", c.want(http.StatusForbidden, 9096, "POST", "/api/v1/volumes", `{"name":"V1","cpg":"CPG1","sizeMiB":1024}`)["desc"])
}

func (a StateArray) volumeNamed(name string) (StateVolume, bool) {
	for _, v := range a.Volumes {
		if v.Name == name {
			return v, true
		}
	}
	return StateVolume{}, false
}
