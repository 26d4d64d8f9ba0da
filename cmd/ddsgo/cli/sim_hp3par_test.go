package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/sim/hp3par"
)

// TestSimHP3PAR starts the verb, waits for its ready file, asks both arrays and ends it.
func TestSimHP3PAR(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready.json")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := newSimHP3PARCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--dir", dir, "--ready", ready})
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, time.Minute, 5*time.Millisecond)
	raw, err := os.ReadFile(ready)
	require.NoError(t, err)
	var line hp3par.Ready
	require.NoError(t, json.Unmarshal(raw, &line))
	require.Equal(t, 1, line.SchemaVersion)
	require.Equal(t, os.Getpid(), line.PID)
	for i, a := range line.Arrays {
		require.Equal(t, 12345+i, a.SystemID)
		for _, f := range []string{a.CAFile, a.KnownHosts, a.ClientKey} {
			require.FileExists(t, f)
		}
		resp, err := http.Get("http://" + a.WSAPIHTTP + "/api")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	cancel()
	require.NoError(t, <-done, "a signal is the normal end")
	require.Equal(t, raw, out.Bytes())
}

// TestSimHP3PARRefuses: flags that make no sense are usage errors.
func TestSimHP3PARRefuses(t *testing.T) {
	scenario := filepath.Join(t.TempDir(), "s.json")
	require.NoError(t, os.WriteFile(scenario, []byte(`{"grups":[]}`), 0o600))
	for _, args := range [][]string{
		{}, {"--dir", t.TempDir(), "--profile", "nosuch"}, {"--dir", t.TempDir(), "--scenario", "/nonexistent"}, {"--dir", t.TempDir(), "--scenario", scenario},
	} {
		cmd := newSimHP3PARCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		code, ok := failure.CodeOf(cmd.ExecuteContext(t.Context()))
		require.True(t, ok, "%v", args)
		require.Equal(t, failure.CodeUsage, code, "%v", args)
	}
}
