package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// TestSimInfiniBox starts the verb, waits for its ready file, asks a box and ends it.
func TestSimInfiniBox(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready.json")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := newSimInfiniBoxCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--dir", dir, "--ready", ready, "--scenario", "empty", "--version", "7.3.10", "--feature", "sync_replication=off"})
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, 10*time.Second, 5*time.Millisecond)
	raw, err := os.ReadFile(ready)
	require.NoError(t, err)
	var line struct {
		SchemaVersion int `json:"schema_version"`
		Arrays        []struct {
			Name   string
			HTTP   string
			CAFile string `json:"ca_file"`
		}
	}
	require.NoError(t, json.Unmarshal(raw, &line))
	require.Equal(t, 1, line.SchemaVersion)
	require.Equal(t, "ibox2", line.Arrays[1].Name)
	require.FileExists(t, line.Arrays[1].CAFile)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+line.Arrays[1].HTTP+"/api/rest/system/version", nil)
	require.NoError(t, err)
	req.SetBasicAuth("admin", "123456")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "7.3.10", resp.Header.Get("X-INFINIDAT-VERSION"))
	cancel()
	require.NoError(t, <-done, "a signal is the normal end")
	require.Equal(t, raw, out.Bytes())
}

// TestSimInfiniBoxRefuses: flags that make no sense are usage errors.
func TestSimInfiniBoxRefuses(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--dir", "x", "--scenario", "big"}, {"--dir", "x", "--feature", "magic=on"}, {"--dir", "x", "--version", "new"}, {"--dir", "x", "--port-base", "-4"},
	} {
		cmd := newSimInfiniBoxCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		var f *failure.Error
		require.True(t, errors.As(err, &f), "%v: %v", args, err)
		require.Equal(t, failure.CodeUsage, f.Code)
	}
}
