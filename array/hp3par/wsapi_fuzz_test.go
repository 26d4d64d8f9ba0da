package hp3par

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
)

// Whatever a WSAPI says of a group, nothing that is not known becomes healthy.
func FuzzWSAPIGroup(f *testing.F) {
	for _, text := range []string{
		`{"name":"G","role":1,"remoteGroupName":"G.r1","targets":[{"targetName":"b","mode":2,"state":3,"roleReversed":false,"syncPeriod":300,"groupLastSyncTime":"2026-10-09T22:07:07+05:30","policies":{"autoRecover":true}}],"volumes":[{"localVolumeName":"V","remoteVolumes":[{"remoteVolumeName":"W","syncStatus":3,"volumeLastSyncTimeSec":1791560227}]}]}`,
		`{"name":"G","role":1,"targets":[{"target":"b","mode":1,"state":5,"roleReversed":true}],"volumes":[]}`,
		`{"name":"G","role":4,"targets":[{"targetName":"b","mode":99,"state":99,"syncPeriod":-1,"groupLastSyncTime":"yesterday"}],"volumes":[{"remoteVolumes":[{"syncStatus":-7}]}]}`,
		`{"role":9}`, `{"targets":[]}`, `{}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var o groupObject
		if json.Unmarshal(text, &o) != nil {
			return
		}
		g := o.group()
		if o.Role < 1 || o.Role > 4 {
			require.False(t, g.role.primary() || g.role.secondary(), g.role)
			require.Equal(t, array.ReplicationError, statusMeans(g, array.LinkUp))
		}
		if len(o.Targets) > 0 && o.Targets[0].State != 3 {
			require.NotEqual(t, statusStarted, g.status)
		}
		for i, m := range g.members {
			healthy := syncWords[m.sync] == array.Synced
			require.Equal(t, healthy, len(o.Volumes[i].RemoteVolumes) > 0 && o.Volumes[i].RemoteVolumes[0].SyncStatus == 3)
		}
	})
}
