package hp3par

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/ddsgo/ddsgo/sim/control"
)

func TestArrayDownCutsManagementAndLink(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s, 0)
	require.NoError(t, s.AddFault("hp3par1.opensvc.com", "array_down", nil))
	require.Error(t, c.Wait(), "the connection in progress is cut")
	for _, address := range []string{s.Ready().Arrays[0].SSH, s.Ready().Arrays[0].WSAPI, s.Ready().Arrays[0].WSAPIHTTP} {
		require.True(t, dead(address), address)
	}
	require.ErrorIs(t, write(t, s, 0, "x", 0), control.ErrForbidden)
	require.False(t, dead(s.Ready().Arrays[1].SSH))
	require.Contains(t, must(t, s, 1, "showrcopy groups -csvtable -nohdtot"), ",Stopped,Secondary,")
	s.ClearFaults("", "array_down")
	require.Contains(t, must(t, s, 0, "showrcopy groups -csvtable -nohdtot"), ",Primary,")
}

// dead reports whether a connection is reset instead of served.
func dead(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return true
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && (!errors.As(err, &timeout) || !timeout.Timeout())
}

func TestManagementDownLeavesReplicationRunning(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.AddFault("hp3par1.opensvc.com", "mgmt_down", nil))
	require.True(t, dead(s.Ready().Arrays[0].SSH))
	require.NoError(t, s.Advance(10*time.Minute))
	require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
	require.NoError(t, write(t, s, 0, "x", 0), "hosts do not notice")
}

func TestDropReplyCarriesTheCommandOut(t *testing.T) {
	s := start(t, nil)
	_, err := s.Faults().Add(control.Fault{Array: "hp3par1.opensvc.com", Kind: "drop_reply", Match: "stoprcopygroup", Count: 1})
	require.NoError(t, err)
	session, err := dial(t, s, 0).NewSession()
	require.NoError(t, err)
	out, err := session.CombinedOutput("stoprcopygroup -f MYRCG")
	var missing *ssh.ExitMissingError
	require.True(t, err != nil && (errors.As(err, &missing) || errors.Is(err, io.EOF)), "%v", err)
	require.Empty(t, out)
	require.Equal(t, "Primary/Stopped", sides(t, s)[0])

	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	_, err = s.Faults().Add(control.Fault{Kind: "drop_reply", Match: "PUT " + groups + "/MYRCG", Count: 1})
	require.NoError(t, err)
	r, err := http.NewRequest("PUT", c.base+groups+"/MYRCG", strings.NewReader(`{"action":3}`))
	require.NoError(t, err)
	r.Header.Set(sessionName, c.key)
	_, err = c.http.Do(r)
	require.Error(t, err)
	require.Equal(t, "Primary/Started", sides(t, s)[0])
}

func TestTooManyConnections(t *testing.T) {
	s := start(t, nil)
	_, err := s.Faults().Add(control.Fault{Kind: "too_many_cli", Count: 2})
	require.NoError(t, err)
	c := dial(t, s, 0)
	for _, refused := range []bool{true, true, false} {
		session, err := c.NewSession()
		require.NoError(t, err)
		var stderr bytes.Buffer
		session.Stderr = &stderr
		err = session.Run("showrcopy groups")
		if !refused {
			require.NoError(t, err)
			continue
		}
		var exit *ssh.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 1, exit.ExitStatus())
		require.Contains(t, stderr.String(), "Too many local CLI connections.")
	}
	require.Equal(t, 1, s.Snapshot().Arrays[0].CLIPeak)
}

func TestConnectionLimit(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.AddFault("", "too_many_cli", 1))
	c := dial(t, s, 0)
	waiting, err := c.NewSession()
	require.NoError(t, err)
	_, err = waiting.StdinPipe() // never answers
	require.NoError(t, err)
	require.NoError(t, waiting.Start("stoprcopygroup MYRCG"))
	require.Eventually(t, func() bool { return s.Snapshot().Arrays[0].CLISessions == 1 }, time.Minute, time.Millisecond)
	_, rc := runOn(t, c, "showrcopy", "")
	require.Equal(t, 1, rc)
	require.NoError(t, waiting.Close())
	require.Eventually(t, func() bool { return s.Snapshot().Arrays[0].CLISessions == 0 }, time.Minute, time.Millisecond)
	_, rc = runOn(t, c, "showrcopy", "")
	require.Zero(t, rc)
}

func TestSessionExpires(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	_, err := s.Faults().Add(control.Fault{Kind: "expire_session", Match: "/remotecopygroups", Count: 1})
	require.NoError(t, err)
	c.want(200, 0, "GET", "/api/v1/system", nil)
	c.want(403, 6, "GET", groups, nil)
	c.want(403, 6, "GET", "/api/v1/system", nil)
	c.login("opensvc", "opensvc").want(200, 0, "GET", groups, nil)
}

func TestServiceUnavailable(t *testing.T) {
	s := start(t, nil)
	c := newAPI(t, s, 0, true).login("opensvc", "opensvc")
	_, err := s.Faults().Add(control.Fault{Kind: "http_503", Count: 2})
	require.NoError(t, err)
	c.want(503, 0, "PUT", groups+"/MYRCG", map[string]any{"action": 4})
	c.want(503, 0, "GET", groups, nil)
	require.Equal(t, "Primary/Started", sides(t, s)[0], "503 means: not carried out")
	c.want(200, 0, "GET", groups, nil)
}

func TestPresentationFaults(t *testing.T) {
	s := start(t, nil)
	_, rc := run(t, s, 0, "showrcopy groups nosuch")
	require.Equal(t, 1, rc)
	require.NoError(t, s.AddFault("", "exit_zero", nil))
	out, rc := run(t, s, 0, "showrcopy groups nosuch")
	require.Zero(t, rc)
	require.Contains(t, out, "Error: group matching nosuch does not exist on the system")
	require.NoError(t, s.AddFault("", "header_rows", nil))
	require.NoError(t, s.AddFault("", "timezone", "XYZ=-03:30"))
	require.NoError(t, s.AddFault("hp3par1.opensvc.com", "clock_offset_s", 600))
	require.Equal(t, "Name,Target,Status,Role,Mode,Options\n"+
		`MYRCG,hp3par2.opensvc.com,Started,Primary,Periodic,"Last-Sync 2014-03-25 11:52:47 XYZ , Period 5m, auto_recover,over_per_alert"`+"\n"+
		" ,LocalVV,ID,RemoteVV,ID,SyncStatus,LastSyncTime\n"+
		" ,VV_SVC1_ROOT,31110,VV_SVC1_ROOT,31079,Synced,2014-03-25 11:52:48 XYZ\n\n", must(t, s, 0, "showrcopy groups -csvtable -nohdtot"))
	require.Contains(t, must(t, s, 1, "showrcopy groups -csvtable -nohdtot"), "2014-03-25 11:42:48 XYZ")
}

func TestOptionsColumn(t *testing.T) {
	s := start(t, nil)
	for form, want := range map[string]string{
		"quoted": "Periodic,\"Last-Sync 2014-03-25 15:12:47 UTC , Period 5m, auto_recover,over_per_alert\"\n",
		"bare":   "Periodic,Last-Sync 2014-03-25 15:12:47 UTC , Period 5m, auto_recover,over_per_alert\n",
		"empty":  "Periodic,\n",
	} {
		require.NoError(t, s.AddFault("", "options", form))
		require.Contains(t, must(t, s, 0, "showrcopy groups -csvtable -nohdtot"), want)
		s.ClearFaults("", "options")
	}
}

func TestSlowReply(t *testing.T) {
	s := start(t, nil)
	_, err := s.Faults().Add(control.Fault{Kind: "slow_ms", Value: json.RawMessage("150"), Match: "showrcopy", Count: 1})
	require.NoError(t, err)
	before := time.Now()
	must(t, s, 0, "showrcopy")
	require.GreaterOrEqual(t, time.Since(before), 150*time.Millisecond)
}

func TestFaultValuesAreChecked(t *testing.T) {
	s := start(t, nil)
	for _, f := range []string{
		`{"kind":"nosuch"}`, `{"kind":"slow_ms"}`, `{"kind":"slow_ms","value":-1}`, `{"kind":"timezone","value":"Mars"}`,
		`{"kind":"timezone","value":1}`, `{"kind":"link_down","value":"yes"}`, `{"kind":"link_down","array":"nosuch"}`,
		`{"kind":"link_down","count":-1}`, `{"kind":"link_down","colour":1}`, `{"kind":"returning_role","value":"x"}`, `{"kind":"options","value":"x"}`, `{}`, `[]`, `{`,
	} {
		status, body := post(t, s, "/v1/fault", f)
		require.Contains(t, []int{400, 404}, status, "%s: %s", f, body)
		require.Contains(t, body, `"error"`)
	}
}

func post(t *testing.T, s *Sim, path, body string) (int, string) {
	t.Helper()
	resp, err := http.Post("http://"+s.Ready().Control+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(raw)
}

func get(t *testing.T, s *Sim, path string, v any) int {
	t.Helper()
	resp, err := http.Get("http://" + s.Ready().Control + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.NoError(t, json.NewDecoder(resp.Body).Decode(v))
	return resp.StatusCode
}

func TestControlAPI(t *testing.T) {
	s := start(t, func(o *Options) { o.Clock = control.Manual })
	status, body := post(t, s, "/v1/io", `{"array":"hp3par1.opensvc.com","volume":"VV_SVC1_ROOT","op":"write","offset":0,"data_b64":"aGVsbG8="}`)
	require.Equal(t, 200, status, body)
	status, body = post(t, s, "/v1/io", `{"array":"hp3par2.opensvc.com","volume":"VV_SVC1_ROOT","op":"write","offset":0,"data_b64":"aGVsbG8="}`)
	require.Equal(t, 409, status, body)
	require.Contains(t, body, "is Secondary")
	status, _ = post(t, s, "/v1/io", `{"array":"hp3par2.opensvc.com","volume":"nosuch","op":"read","offset":0,"length":5}`)
	require.Equal(t, 404, status)
	for _, bad := range []string{`{"op":"read","length":0}`, `{"op":"write"}`, `{"op":"erase","length":1}`, `{"op":"read","length":1,"offset":-1}`,
		`{"array":"hp3par1.opensvc.com","volume":"VV_SVC1_ROOT","op":"read","offset":268435456,"length":1}`} {
		status, body = post(t, s, "/v1/io", bad)
		require.Equal(t, 400, status, "%s: %s", bad, body)
	}
	status, body = post(t, s, "/v1/clock", `{"advance_s":241}`)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, testStart.Add(241*time.Second).Format(time.RFC3339))
	status, body = post(t, s, "/v1/io", `{"array":"hp3par2.opensvc.com","volume":"VV_SVC1_ROOT","op":"read","offset":0,"length":5}`)
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"data_b64":"aGVsbG8="}`, body)
	status, _ = post(t, s, "/v1/clock", `{"advance_s":-1}`)
	require.Equal(t, 400, status)

	must(t, s, 0, "stoprcopygroup -f MYRCG")
	var entries []control.Entry
	require.Equal(t, 200, get(t, s, "/v1/journal", &entries))
	require.Len(t, entries, 1)
	require.Equal(t, "stoprcopygroup -f MYRCG", entries[0].Command)
	require.Equal(t, "opensvc", entries[0].User)
	require.Equal(t, "hp3par1.opensvc.com", entries[0].Array)
	require.Equal(t, 200, get(t, s, fmt.Sprintf("/v1/journal?since=%d", entries[0].Seq), &entries))
	require.Empty(t, entries)
	var state State
	require.Equal(t, 200, get(t, s, "/v1/state", &state))
	require.Equal(t, "Primary/Stopped", state.Arrays[0].Groups[0].String())
	var refused map[string]string
	require.Equal(t, 400, get(t, s, "/v1/state?x=1", &refused))
	require.Equal(t, 404, get(t, s, "/v1/nosuch", &refused))

	status, _ = post(t, s, "/v1/fault", `{"kind":"link_down"}`)
	require.Equal(t, 200, status)
	status, _ = post(t, s, "/v1/reset", "")
	require.Equal(t, 200, status)
	require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
	require.Empty(t, s.Faults().List())
	require.True(t, s.Snapshot().LinkUp)
}

// TestCommandLineStrictness: what the array does not know it refuses, with exit
// status 1 and nothing changed.
func TestCommandLineStrictness(t *testing.T) {
	s := start(t, nil)
	for _, tc := range []struct{ command, want string }{
		{"nosuch", "invalid command name"},
		{"showrcopy -nosuch", "Invalid option -nosuch"},
		{"showrcopy nosuch", "Invalid showrcopy object"},
		{"stoprcopygroup -f -force MYRCG", "Invalid option -force"},
		{"stoprcopygroup -f -f MYRCG", "already specified"},
		{"stoprcopygroup -f", "Invalid number of arguments"},
		{"stoprcopygroup -f MYRCG OTHER", "Invalid number of arguments"},
		{"stoprcopygroup -f NOSUCH", "does not exist"},
		{"stoprcopygroup -f MYRCG.r12345", "does not exist"},
		{"stoprcopygroup -f -t nosuch MYRCG", "is not a target"},
		{"stoprcopygroup -csvtable -f MYRCG", "Invalid option -csvtable"},
		{"setrcopygroup nosuch -f MYRCG", "Invalid sub-command"},
		{"setrcopygroup period 5 hp3par2.opensvc.com MYRCG", "Invalid period"},
		{"setrcopygroup period 299s hp3par2.opensvc.com MYRCG", "below range"},
		{"setrcopygroup period 367d hp3par2.opensvc.com MYRCG", "exceeds range"},
		{"setrcopygroup period 5m nosuch MYRCG", "is not a target"},
		{"setrcopygroup pol nosuch MYRCG", "bad enum value"},
		{"setrcopygroup failover -f -stopgroups MYRCG", "cannot be present"},
		{"setrcopygroup reverse -f -natural -current MYRCG", "cannot be present"},
		{"startrcopygroup MYRCG novolume", "Invalid pair"},
		{"creatercopygroup G hp3par2.opensvc.com:nosuch", "Invalid mode"},
		{"creatercopygroup G nosuch:sync", "is not a target"},
		{"creatercopygroup MYRCG hp3par2.opensvc.com:sync", "already exists"},
		{"creatercopygroup ABCDEFGHIJKLMNOPQRSTUVW hp3par2.opensvc.com:sync", "exceeds 22"},
		{"admitrcopyvv -createvv NOSUCH MYRCG hp3par2.opensvc.com:X", "already been started"},
		{"admitrcopytarget hp3par2.opensvc.com sync MYRCG", "Target is already in this group."},
		{"setclienv nosuch 1", "Invalid variable"},
		{"setclienv csvtable 2", "Invalid value"},
		{"showvv -showcols Name,Nosuch", "Invalid column"},
		{"showvv -type base", "needs -p"},
		{`stoprcopygroup -f "MYRCG`, "missing \""},
		{"removevv -f VV_SVC1_ROOT", "involved in remote copy"},
		{"showtask 9999", "does not exist"},
	} {
		out, rc := local(s, 0, "opensvc", tc.command)
		require.Equal(t, 1, rc, "%s: %s", tc.command, out)
		require.Contains(t, out, tc.want, tc.command)
		require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s), tc.command)
	}
}

// TestGroupLifeCycle creates and removes a group by commands, with their texts.
func TestGroupLifeCycle(t *testing.T) {
	s := start(t, func(o *Options) { o.Scenario = Scenario{} })
	for _, step := range []struct{ command, want string }{
		{"createvv -tpvv CPG1 V1 1g", ""},
		{"creatercopygroup -usr_cpg CPG1 hp3par2.opensvc.com:CPG1 -snp_cpg SNAPCPG1 hp3par2.opensvc.com:SNAPCPG1 G1 hp3par2.opensvc.com:periodic", ""},
		{"admitrcopyvv -createvv V1 G1 hp3par2.opensvc.com:V1", ""},
		{"setrcopygroup period 5m hp3par2.opensvc.com G1", ""},
		{"setrcopygroup pol auto_recover G1", ""},
		{"startrcopygroup -wait G1", ""},
		{"syncrcopy G1", "Synchronization request issued for group G1\n"},
		{"stoprcopygroup -f G1", ""},
		{"dismissrcopyvv -f -removevv V1 G1", "Volume V1 has been dismissed from group G1.\n"},
		{"dismissrcopytarget -f hp3par2.opensvc.com G1", "Target hp3par2.opensvc.com has been dismissed from group G1.\n"},
		{"admitrcopytarget hp3par2.opensvc.com periodic G1", ""},
		{"removercopygroup -f G1", "Removing G1\nGroup G1 has been deleted.\n"},
		{"removevv -f V1", "Removing vv V1\n"},
		{"admitrcopylink hp3par2.opensvc.com 0:4:3:192.0.2.77", ""},
		{"dismissrcopylink hp3par2.opensvc.com 0:4:3:192.0.2.77", ""},
		{"startrcopy", ""},
		{"showlicense -raw", ""},
	} {
		out, rc := local(s, 0, "opensvc", step.command)
		require.Zero(t, rc, "%s: %s", step.command, out)
		if step.want != "" || !strings.HasPrefix(step.command, "show") {
			require.Equal(t, step.want, out, step.command)
		}
	}
	for _, a := range s.Snapshot().Arrays {
		require.Empty(t, a.Groups)
		require.Empty(t, a.Volumes)
	}
}

func TestScenarioFilesAreStrict(t *testing.T) {
	for _, bad := range []Scenario{
		{Arrays: []ScenarioArray{{Name: "a", SystemID: 1}}},
		{Arrays: []ScenarioArray{{Name: "a", SystemID: 1}, {Name: "a", SystemID: 2}}},
		{Groups: []ScenarioGroup{{Name: "G", Mode: "never"}}},
		{Groups: []ScenarioGroup{{Name: "G", State: "confused"}}},
		{Groups: []ScenarioGroup{{Name: "G", Policies: []string{"nosuch"}}}},
		{Groups: []ScenarioGroup{{Name: "G"}, {Name: "G"}}},
		{Groups: []ScenarioGroup{{Name: "G", Creator: 2}}},
	} {
		_, err := Start(t.Context(), Options{Dir: t.TempDir(), KeyDir: keyDir, Scenario: bad})
		require.ErrorIs(t, err, ErrScenario, "%+v", bad)
	}
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Profile: "nosuch"})
	require.ErrorIs(t, err, ErrOptions)
	_, err = Start(t.Context(), Options{})
	require.ErrorIs(t, err, ErrOptions)
}

func TestManyGroups(t *testing.T) {
	s := start(t, func(o *Options) {
		o.Scenario = Scenario{Generate: &ScenarioGenerate{Groups: 1000, Volumes: 10, PeriodS: 300}}
	})
	out := must(t, s, 0, "showrcopy groups -csvtable -nohdtot")
	require.Equal(t, 12000, strings.Count(out, "\n"))
	require.Len(t, s.Snapshot().Arrays[1].Volumes, 10000)
}
