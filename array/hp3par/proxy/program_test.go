package proxy

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/run"
)

// The whole way through the vendor's program: a real process, its arguments and environment,
// and the replies of OpenSVC's documentation, key by key.
func TestRepliesThroughTheProgram(t *testing.T) {
	dir := t.TempDir()
	called := filepath.Join(dir, "called")
	program := filepath.Join(dir, "cli")
	require.NoError(t, os.WriteFile(program, []byte(`#!/bin/sh
printf '%s|' "$@" >>`+called+`
echo "$TPDPWFILE $TPDNOCERTPROMPT" >>`+called+`
case "$*" in
*"showrcopy groups RCG.SVC1")
	printf 'RCG.SVC1,hp3par1.opensvc.com,Started,Primary,Periodic,"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover,over_per_alert"\n'
	printf ' ,VV_SVC1_ROOT,31110,VV_SVC1_ROOT,31079,Synced,2014-03-25 16:12:48 CET\n\n' ;;
*"stoprcopygroup -f RCG.SVC1") ;;
*"showrcopy links") echo "Error: this array is upset"; exit 1 ;;
*"startrcopygroup RCG.SVC1") echo "Error: refused with status zero" ;;
*) kill -9 $$ ;;
esac
`), 0o700)) //nolint:gosec // a program
	c := config(t)
	c.CLI, c.PWF[array1] = program, "/path/to/credentials"
	c.Creds[0].Commands = []string{"showrcopy groups RCG.SVC1", act, "showrcopy links", "startrcopygroup RCG.SVC1", "showsys"}
	r, err := NewRunner(c, run.OS{})
	require.NoError(t, err)
	h := httptest.NewTLSServer(New(c, r, io.Discard, slog.New(slog.DiscardHandler)))
	defer h.Close()
	ask := func(cmd string) string {
		f := form(nil)
		f.Set("cmd", cmd)
		res, err := h.Client().PostForm(h.URL+"/api/cmd/", f)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	for cmd, want := range map[string]string{
		"showrcopy groups RCG.SVC1": `{"err": "", "ret": 0, "out": "RCG.SVC1,hp3par1.opensvc.com,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover,over_per_alert\"\n ,VV_SVC1_ROOT,31110,VV_SVC1_ROOT,31079,Synced,2014-03-25 16:12:48 CET\n\n"}`,
		"showrcopy groups RCG.SVC2": `{"err": "this command is not allowed for this node-service-array id", "ret": 1, "out": ""}`,
		act:                         `{"err": "", "ret": 0, "out": ""}`,
		"showrcopy links":           `{"err": "Error: this array is upset", "ret": 1, "out": "Error: this array is upset\n"}`,
		"startrcopygroup RCG.SVC1":  `{"err": "Error: refused with status zero", "ret": 1, "out": "Error: refused with status zero\n"}`,
		"showsys":                   `{"err": "no reply from the array", "ret": 1, "out": ""}`,
	} {
		require.JSONEq(t, want, ask(cmd), cmd)
	}
	log, err := os.ReadFile(called)
	require.NoError(t, err)
	require.Contains(t, string(log), "-sys|"+array1+"|-nohdtot|-csvtable|showrcopy|groups|RCG.SVC1|/path/to/credentials 1\n", "words, not a shell's line")
	require.NotContains(t, string(log), "SVC2")
	require.Equal(t, 1, strings.Count(string(log), "stoprcopygroup"), "an act is never repeated")
	require.Equal(t, 1, strings.Count(string(log), "startrcopygroup"))

	require.NoError(t, os.Remove(program))
	var a answer
	require.NoError(t, json.Unmarshal([]byte(ask(act)), &a))
	require.Equal(t, answer{Err: "no reply from the array", Ret: 1}, a, "no program is no success")
}
