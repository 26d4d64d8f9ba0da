package hp3par

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A snapshot is refreshed by updatevv, or by volume action 7 of the WSAPI; both need the
// licence, and neither takes anything but a snapshot.
func TestSnapshotRefreshByBothTransports(t *testing.T) {
	s := start(t, func(o *Options) {
		o.Scenario.Arrays = defaultArrays()
		o.Scenario.Arrays[0].Volumes = []ScenarioVol{{Name: "DATA"}, {Name: "SNAP1", CopyOf: "DATA"}}
	})
	created := func() string { return must(t, s, 0, "showvv -showcols CreationTime SNAP1 -csvtable -nohdtot") }
	api := newAPI(t, s, 0, false).login("opensvc", "opensvc")
	first := created()
	require.NoError(t, s.Advance(time.Minute))
	require.Equal(t, "Updating VVs SNAP1\n", must(t, s, 0, "updatevv -f SNAP1"))
	second := created()
	require.NotEqual(t, first, second)
	require.NoError(t, s.Advance(time.Minute))
	api.want(200, 0, "PUT", "/api/v1/volumes/SNAP1", map[string]any{"action": 7})
	require.NotEqual(t, second, created())
	api.want(400, 0, "PUT", "/api/v1/volumes/DATA", map[string]any{"action": 7})
	api.want(400, 0, "PUT", "/api/v1/volumes/SNAP1", map[string]any{"action": 99})
	_, rc := run(t, s, 0, "updatevv -f DATA")
	require.NotZero(t, rc)
	_, rc = local(s, 0, "browse", "updatevv -f SNAP1")
	require.NotZero(t, rc, "role browse changes nothing")
}

func TestSnapshotsAndRcopyColumnsNeedTheirLicence(t *testing.T) {
	s := start(t, func(o *Options) {
		o.Scenario = Scenario{Arrays: defaultArrays()}
		o.Scenario.Arrays[0].Licences = []string{"InForm CLI"}
		o.Scenario.Arrays[0].Volumes = []ScenarioVol{{Name: "DATA"}}
	})
	out, rc := run(t, s, 0, "updatevv -f DATA")
	require.NotZero(t, rc)
	require.Contains(t, out, "Virtual Copy")
	out, rc = run(t, s, 0, "showvv -showcols Name,RcopyGroup")
	require.NotZero(t, rc)
	require.Contains(t, out, `Invalid column name "RcopyGroup"`)
	out = must(t, s, 0, "showlicense")
	require.Contains(t, out, "License features currently enabled:\nInForm CLI\n")
}
