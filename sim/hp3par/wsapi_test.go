package hp3par

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
)

const groups = "/api/v1/remotecopygroups"

func TestAPIVersionAndSessions(t *testing.T) {
	s := start(t, nil)
	for _, plain := range []bool{false, true} {
		c := newAPI(t, s, 0, plain)
		doc := c.want(200, 0, "GET", "/api", nil)
		require.GreaterOrEqual(t, doc["build"], 30202290.0)
		c.want(403, 6, "GET", groups, nil)
		c.want(403, 5, "POST", "/api/v1/credentials", map[string]any{"user": "opensvc", "password": "wrong"})
		c.login("opensvc", "opensvc")
		c.want(200, 0, "GET", groups, nil)
		c.want(200, 0, "DELETE", "/api/v1/credentials/"+c.key, nil)
		c.want(403, 6, "GET", groups, nil)
	}
	for _, e := range s.Journal().Since(0) {
		require.NotContains(t, e.Body, `"wrong"`, "passwords are not journalled")
		require.NotContains(t, e.Body, `"password":"opensvc"`)
	}
}

func TestSessionEndsWhenIdle(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	require.NoError(t, s.Advance(sessionIdle+time.Second))
	c.want(403, 6, "GET", groups, nil)
}

func TestGroupObject(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.AddFault("", "timezone", "IST"))
	c := newAPI(t, s, 0, false).login("opensvc", "opensvc")
	doc := c.want(200, 0, "GET", groups+"/MYRCG", nil)
	target := doc["targets"].([]any)[0].(map[string]any)
	member := doc["volumes"].([]any)[0].(map[string]any)
	remote := member["remoteVolumes"].([]any)[0].(map[string]any)
	require.Equal(t, "MYRCG.r12345", doc["remoteGroupName"])
	require.EqualValues(t, 1, doc["role"])
	require.Equal(t, "hp3par2.opensvc.com", target["targetName"])
	require.EqualValues(t, 2, target["mode"])
	require.EqualValues(t, 3, target["state"])
	require.Equal(t, false, target["roleReversed"])
	require.EqualValues(t, 300, target["syncPeriod"])
	require.Equal(t, "2014-03-25T20:42:47+05:30", target["groupLastSyncTime"])
	require.Equal(t, map[string]any{"autoRecover": true, "overPeriodAlert": true, "autoFailover": false, "pathManagement": false}, target["policies"])
	require.Equal(t, "VV_SVC1_ROOT", member["localVolumeName"])
	require.EqualValues(t, 31079, remote["remoteVolumeID"])
	require.EqualValues(t, 3, remote["syncStatus"])
	require.EqualValues(t, 1395760368, remote["volumeLastSyncTimeSec"])
	require.Len(t, c.want(200, 0, "GET", groups+"/MYRCG/volumes", nil)["members"], 1)
	c.want(200, 0, "GET", groups+"/MYRCG/volumes/VV_SVC1_ROOT", nil)
	c.want(404, 9007, "GET", groups+"/MYRCG/volumes/nosuch", nil)
	c.want(200, 0, "GET", groups+"/MYRCG/targets/hp3par2.opensvc.com", nil)
	c.want(404, 187, "GET", groups+"/nosuch", nil)
	c.want(200, 0, "GET", "/api/v1/remotecopylinks/hp3par2.opensvc.com_0_3_1", nil)
	c.want(404, 9028, "GET", "/api/v1/remotecopylinks/nosuch", nil)
	require.EqualValues(t, 2, c.want(200, 0, "GET", "/api/v1/remotecopy", nil)["mode"])
}

func TestRoleNumbers(t *testing.T) {
	s := start(t, nil)
	find(t, "recovered").bring(t, s)
	p, q := newAPI(t, s, 0, true).login("opensvc", "opensvc"), newAPI(t, s, 1, true).login("opensvc", "opensvc")
	require.EqualValues(t, 2, p.want(200, 0, "GET", groups+"/MYRCG", nil)["role"])
	doc := q.want(200, 0, "GET", groups+"/MYRCG.r12345", nil)
	require.EqualValues(t, 1, doc["role"])
	require.Equal(t, true, doc["targets"].([]any)[0].(map[string]any)["roleReversed"])
	require.NoError(t, s.AddFault("", "role_numbers", "number"))
	require.EqualValues(t, 4, p.want(200, 0, "GET", groups+"/MYRCG", nil)["role"])
	require.EqualValues(t, 3, q.want(200, 0, "GET", groups+"/MYRCG.r12345", nil)["role"])
}

// TestCreateReplicatedVolume is the creation and deletion flow of the container
// plug-in, request by request.
func TestCreateReplicatedVolume(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, false).login("opensvc", "opensvc")
	far := newAPI(t, s, 1, false).login("opensvc", "opensvc")
	target := map[string]any{"targetName": "hp3par2.opensvc.com", "mode": 2, "userCPG": "CPG1", "snapCPG": "SNAPCPG1"}
	c.want(201, 0, "POST", "/api/v1/volumes", map[string]any{"name": "Test_Vol", "cpg": "CPG1", "sizeMiB": 1024, "tpvv": true, "snapCPG": "SNAPCPG1"})
	c.want(409, 22, "POST", "/api/v1/volumes", map[string]any{"name": "Test_Vol", "cpg": "CPG1", "sizeMiB": 1024})
	c.want(201, 0, "POST", groups, map[string]any{"name": "Test_RCG", "targets": []any{target}, "localUserCPG": "CPG1", "localSnapCPG": "SNAPCPG1"})
	c.want(409, 237, "POST", groups, map[string]any{"name": "Test_RCG", "targets": []any{target}})
	c.want(400, 9001, "PUT", groups+"/Test_RCG", map[string]any{"action": 3})
	change := func(key string, value any) map[string]any {
		return map[string]any{"targets": []any{map[string]any{"targetName": "hp3par2.opensvc.com", key: value}}}
	}
	c.want(200, 0, "PUT", groups+"/Test_RCG", change("syncPeriod", 900))
	c.want(400, 115, "PUT", groups+"/Test_RCG", change("syncPeriod", 299))
	c.want(400, 43, "PUT", groups+"/Test_RCG", change("syncPeriod", 31622401))
	c.want(200, 0, "PUT", groups+"/Test_RCG", change("policies", map[string]any{"autoRecover": true}))
	both := map[string]any{"targetName": "hp3par2.opensvc.com", "syncPeriod": 900, "policies": map[string]any{"autoRecover": true}}
	c.want(400, 44, "PUT", groups+"/Test_RCG", map[string]any{"targets": []any{both}})
	admit := map[string]any{"action": 1, "volumeName": "Test_Vol", "volumeAutoCreation": true,
		"targets": []any{map[string]any{"targetName": "hp3par2.opensvc.com", "secVolumeName": "Test_Vol"}}}
	c.want(200, 0, "PUT", groups+"/Test_RCG", admit)
	require.EqualValues(t, 1024, far.want(200, 0, "GET", "/api/v1/volumes/Test_Vol", nil)["sizeMiB"])
	c.want(409, 9006, "PUT", groups+"/Test_RCG", admit)
	c.want(200, 0, "PUT", groups+"/Test_RCG", map[string]any{"action": 3})
	c.want(403, 215, "PUT", groups+"/Test_RCG", map[string]any{"action": 3})
	c.want(403, 215, "PUT", groups+"/Test_RCG", admit)
	c.want(403, 120, "DELETE", "/api/v1/volumes/Test_Vol", nil)
	c.want(403, 215, "DELETE", groups+"/Test_RCG?keepSnap=false", nil)
	c.want(200, 0, "PUT", groups+"/Test_RCG", map[string]any{"action": 4})
	c.want(200, 0, "DELETE", groups+"/Test_RCG/volumes/Test_Vol?removeSecondaryVolume=true", nil)
	far.want(404, 23, "GET", "/api/v1/volumes/Test_Vol", nil)
	c.want(200, 0, "DELETE", "/api/v1/volumes/Test_Vol", nil)
	c.want(202, 0, "DELETE", groups+"/Test_RCG?keepSnap=false", nil)
	c.want(404, 187, "GET", groups+"/Test_RCG", nil)
	far.want(404, 187, "GET", groups+"/Test_RCG.r12345", nil)
}

func TestDisasterRecoveryOverTheAPI(t *testing.T) {
	s := start(t, nil)
	p, q := newAPI(t, s, 0, false).login("opensvc", "opensvc"), newAPI(t, s, 1, false).login("opensvc", "opensvc")
	act := func(n int) map[string]any { return map[string]any{"action": n} }
	q.want(403, 284, "POST", groups+"/MYRCG.r12345", act(7))
	q.want(400, 29, "POST", groups+"/MYRCG.r12345", act(10))
	p.want(200, 0, "PUT", groups+"/MYRCG", act(4))
	q.want(200, 0, "POST", groups+"/MYRCG.r12345", act(7))
	require.Equal(t, [2]string{"Primary/Stopped", "Secondary/Stopped"}, sides(t, s), "the reply comes before the act is done")
	q.want(403, 9004, "POST", groups+"/MYRCG.r12345", act(7))
	require.NoError(t, s.Advance(taskDuration))
	require.Equal(t, [2]string{"Primary/Stopped", "Primary-Rev/Stopped"}, sides(t, s))
	q.want(200, 0, "POST", groups+"/MYRCG.r12345", act(9))
	doc := q.want(200, 0, "GET", groups+"/MYRCG.r12345", nil)
	require.EqualValues(t, 2, doc["volumes"].([]any)[0].(map[string]any)["remoteVolumes"].([]any)[0].(map[string]any)["syncStatus"], "Syncing is to be seen")
	require.NoError(t, s.Advance(taskDuration))
	q.want(200, 0, "POST", groups+"/MYRCG.r12345", act(10))
	require.NoError(t, s.Advance(taskDuration))
	require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
	p.want(200, 0, "PUT", groups+"/MYRCG", act(4))
	q.want(200, 0, "POST", groups+"/MYRCG.r12345", act(6))
	require.NoError(t, s.Advance(taskDuration))
	require.Equal(t, [2]string{"Secondary/Stopped", "Primary/Stopped"}, sides(t, s))
	q.want(400, 44, "POST", groups+"/MYRCG.r12345", map[string]any{"action": 9, "stopGroups": true})
	q.want(400, 46, "POST", groups+"/MYRCG.r12345", act(12))
	tasks := q.want(200, 0, "GET", "/api/v1/tasks", nil)["members"].([]any)
	require.Len(t, tasks, 4)
	require.EqualValues(t, 7, tasks[0].(map[string]any)["type"])
	require.EqualValues(t, 1, tasks[0].(map[string]any)["status"])
}

func TestHostsAndExports(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	c.want(404, 17, "GET", "/api/v1/hosts/h1", nil)
	c.want(201, 0, "POST", "/api/v1/hosts", map[string]any{"name": "h1", "FCWWNs": []string{"10000000C9000001"}})
	c.want(409, 16, "POST", "/api/v1/hosts", map[string]any{"name": "h1"})
	c.want(409, 73, "POST", "/api/v1/hosts", map[string]any{"name": "h2", "FCWWNs": []string{"10000000C9000001"}})
	c.want(201, 0, "POST", "/api/v1/hosts", map[string]any{"name": "h2"})
	for _, h := range []string{"h1", "h2"} {
		c.want(201, 0, "POST", "/api/v1/vluns", map[string]any{"volumeName": "VV_SVC1_ROOT", "hostname": h, "autoLun": true, "lun": 0})
	}
	list := c.want(200, 0, "GET", "/api/v1/vluns?query=%22hostname%20EQ%20h1%22", nil)
	require.EqualValues(t, 1, list["total"])
	require.EqualValues(t, 1, c.want(200, 0, "GET", "/api/v1/hosts?query=%22FCPaths%5Bwwn%20EQ%2010000000C9000001%5D%22", nil)["total"])
	c.want(400, 12, "GET", "/api/v1/vluns?query=%22nosuch%20EQ%20h1%22", nil)
	c.want(409, 26, "DELETE", "/api/v1/hosts/h1", nil)
	c.want(200, 0, "DELETE", "/api/v1/vluns/VV_SVC1_ROOT,0,h1", nil)
	c.want(404, 19, "DELETE", "/api/v1/vluns/VV_SVC1_ROOT,0,h1", nil)
	c.want(200, 0, "DELETE", "/api/v1/hosts/h1", nil)
}

func TestAPIRefusesWhatItDoesNotKnow(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	for _, tc := range []struct {
		method, path string
		body         any
		status, code int
		ref          string
	}{
		{"GET", "/api/v1/nosuch", nil, 501, 9099, ""},
		{"GET", "/api/v2/volumes", nil, 501, 9099, ""},
		{"PATCH", groups + "/MYRCG", nil, 501, 9099, ""},
		{"GET", groups + "?fields=name", nil, 400, 12, "fields"},
		{"GET", groups + "/MYRCG?keepSnap=true", nil, 400, 12, "keepSnap"},
		{"DELETE", groups + "/MYRCG?keepSnap=perhaps", nil, 400, 12, "keepSnap"},
		{"PUT", groups + "/MYRCG", map[string]any{"action": 4, "force": true}, 400, 12, "force"},
		{"PUT", groups + "/MYRCG", map[string]any{"action": 9}, 400, 46, "action"},
		{"PUT", groups + "/MYRCG", map[string]any{"action": "stop"}, 400, 12, "action"},
		{"PUT", groups + "/MYRCG", map[string]any{"action": 4, "noSnapshot": "yes"}, 400, 39, "noSnapshot"},
		{"PUT", groups + "/MYRCG", "{", 400, 12, "action"},
		{"PUT", groups + "/MYRCG", map[string]any{"action": 1}, 400, 40, "volumeName"},
		{"POST", groups + "/MYRCG", map[string]any{}, 400, 40, "action"},
		{"POST", groups, map[string]any{"name": "x"}, 400, 40, "targets"},
		{"POST", groups, map[string]any{"name": strings.Repeat("x", 23), "targets": []any{map[string]any{"targetName": "hp3par2.opensvc.com", "mode": 1}}}, 400, 57, ""},
		{"POST", groups, map[string]any{"name": "x", "targets": []any{map[string]any{"targetName": "hp3par2.opensvc.com", "mode": 9}}}, 400, 46, "mode"},
		{"POST", "/api/v1/volumes", map[string]any{"name": "v", "cpg": "CPG1"}, 400, 40, "sizeMiB"},
		{"POST", "/api/v1/volumes", map[string]any{"name": "v", "cpg": "CPG1", "sizeMiB": 255}, 400, 115, "sizeMiB"},
		{"POST", "/api/v1/volumes", map[string]any{"name": "v", "cpg": "CPG1", "sizeMiB": 16777217}, 400, 28, ""},
		{"POST", "/api/v1/volumes", map[string]any{"name": "v", "cpg": "nosuch", "sizeMiB": 256}, 404, 15, ""},
		{"POST", "/api/v1/volumes", map[string]any{"name": "v", "cpg": "CPG1", "sizeMib": 256, "x": 1}, 400, 12, "x"},
		{"GET", "/api/v1/tasks/99", nil, 404, 145, ""},
		{"GET", "/api/v1/tasks/x", nil, 400, 39, "id"},
	} {
		doc := c.want(tc.status, tc.code, tc.method, tc.path, tc.body)
		if tc.ref != "" {
			require.Equal(t, tc.ref, doc["ref"], "%s %s", tc.method, tc.path)
		}
		require.NotEmpty(t, doc["desc"])
	}
	browse := newAPI(t, s, 0, true).login("browse", "browse")
	browse.want(200, 0, "GET", groups, nil)
	browse.want(403, 9013, "PUT", groups+"/MYRCG", map[string]any{"action": 4})
	require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
}

func TestAlletraHasNoSnapshotCPGs(t *testing.T) {
	s := start(t, func(o *Options) { o.Profile = ProfileAlletra })
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	require.EqualValues(t, 15, c.want(200, 0, "GET", "/api", nil)["minor"])
	c.want(400, 12, "POST", "/api/v1/volumes", map[string]any{"name": "v", "cpg": "CPG1", "sizeMiB": 256, "snapCPG": "SNAPCPG1"})
	require.NotContains(t, c.want(200, 0, "GET", groups+"/MYRCG", nil), "localSnapCPG")
	out := must(t, s, 0, "showrcopy groups -csvtable -nohdtot")
	require.Contains(t, out, " UTC, Period 5m,auto_recover,over_per_alert\"")
}

func TestStatesOfBothTransportsAreOne(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	must(t, s, 0, "setrcopygroup period 10m hp3par2.opensvc.com MYRCG")
	target := c.want(200, 0, "GET", groups+"/MYRCG", nil)["targets"].([]any)[0].(map[string]any)
	require.EqualValues(t, 600, target["syncPeriod"])
	c.want(200, 0, "PUT", "/api/v1/remotecopytargets/hp3par2.opensvc.com", map[string]any{"policies": map[string]any{"mirrorConfig": false}})
	require.Contains(t, must(t, s, 0, "showrcopy targets -csvtable -nohdtot"), "no_mirror_config")
	var seen []string
	for _, e := range s.Journal().Since(0) {
		seen = append(seen, e.Transport)
	}
	require.Equal(t, []string{"http", "ssh-exec", "http", "http", "ssh-exec"}, seen)
	require.Equal(t, http.StatusOK, s.Journal().Since(0)[3].RC)
	require.IsType(t, control.Entry{}, s.Journal().Since(0)[0])
}
