package hp3par

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
)

// unserved is a pair without network.
func unserved(t testing.TB) *Sim {
	t.Helper()
	prof, err := profileByName(Profile3PAR)
	require.NoError(t, err)
	clock, err := control.NewClock(control.Auto, testStart)
	require.NoError(t, err)
	m := &machine{clock: clock, scheduled: make(chan struct{}, 1)}
	m.faults = control.NewFaults(faultKinds, []string{"hp3par1.opensvc.com", "hp3par2.opensvc.com"}, nil)
	require.NoError(t, m.build(defaultScenario(), prof))
	return &Sim{m: m}
}

// FuzzCommandLine: no input line may crash the array or leave two writable sides.
func FuzzCommandLine(f *testing.F) {
	for _, line := range []string{"showrcopy groups", `showvv "VV_*"`, "setclienv csvtable 1 ; showcpg ; exit", "setrcopygroup reverse -f -stopgroups -waittask MYRCG",
		"setrcopytarget pol no_mirror_config hp3par2.opensvc.com;stoprcopygroup -f MYRCG;removercopygroup -f MYRCG;showrcopy",
		"stoprcopygroup -f MYRCG;dismissrcopytarget -f hp3par2.opensvc.com MYRCG;showrcopy -d;startrcopygroup MYRCG", "growvv -f VV_SVC1_ROOT 1t", "'"} {
		f.Add(line, line)
	}
	f.Fuzz(func(t *testing.T, p, q string) {
		if strings.Contains(p+q, "failover") || strings.Contains(p+q, "-local") {
			t.Skip("these two may make both sides primary")
		}
		s := unserved(t)
		local(s, 0, "opensvc", p)
		local(s, 1, "opensvc", q)
		require.NoError(t, s.Advance(time.Hour))
		for _, a := range s.m.arrays {
			for _, x := range a.tasks {
				ended := x.status != taskActive || x.due.After(s.m.now)
				require.True(t, ended, "task %d (%s) never ends", x.id, x.name)
			}
		}
		for _, pair := range s.m.pairs {
			if a, b := pair.sides[0], pair.sides[1]; a != nil && b != nil {
				require.False(t, a.writable() && b.writable())
			}
		}
	})
}

// FuzzAPI: no request may crash the array; every answer is a known status.
func FuzzAPI(f *testing.F) {
	f.Add("PUT", groups+"/MYRCG", `{"action":4}`)
	f.Add("POST", groups+"/MYRCG.r12345", `{"action":6,"stopGroups":true}`)
	f.Add("POST", "/api/v1/volumes", `{"name":"v","cpg":"CPG1","sizeMiB":1024}`)
	f.Add("GET", "/api/v1/vluns?query=%22lun+EQ+0%22", "")
	f.Add("DELETE", "/api/v1/volumes/VV_SVC1_ROOT", "")
	f.Add("PUT", groups+"/MYRCG", `{"targets":[{"targetName":"hp3par2.opensvc.com","mode":1}]}`)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		s := unserved(t)
		sess := newSessions()
		h := &wsapi{m: s.m, journal: &control.Journal{}, transport: "http", sessions: sess}
		r, err := http.ReadRequest(bufioReader(method + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if err != nil {
			t.Skip("no HTTP request")
		}
		r.Body = http.NoBody
		r.Header.Set(sessionName, sess.add("opensvc", s.m.clock.Now()))
		w := httptest.NewRecorder()
		if body != "" {
			r.Body = readCloser{strings.NewReader(body)}
		}
		h.ServeHTTP(w, r)
		require.Contains(t, []int{200, 201, 202, 400, 403, 404, 409, 500, 501}, w.Code)
		require.NoError(t, s.Advance(time.Hour))
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func bufioReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// TestNothingIsSharedWithTheDriver: one misreading must not hide another.
func TestNothingIsSharedWithTheDriver(t *testing.T) {
	deps := func(pkg string) string {
		out, err := exec.Command("go", "list", "-deps", pkg).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.NotContains(t, deps("."), "ddsgo/ddsgo/array")
	for _, line := range strings.Fields(deps(".")) {
		if strings.HasPrefix(line, "github.com/ddsgo/ddsgo/") {
			require.Contains(t, line, "/sim/", "the simulator stands on nothing of ddsgo but sim")
		}
	}
}
