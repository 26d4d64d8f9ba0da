package cli

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/stream"
)

// TestKilledMerge SIGKILLs merge at random instants. The target equals what it was, or the
// state directory says that it is being written; the same command again finishes.
func TestKilledMerge(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(5, 6))
	old := make([]byte, 24<<20)
	for i := 0; i < len(old); i += 7 {
		old[i] = byte(r.Uint32())
	}
	content := bytes.Clone(old)
	var set extent.Set
	for range 3000 {
		at := r.IntN(len(old)/4096) * 4096
		set.Add(extent.Extent{Off: int64(at), Len: 4096})
		for i := range 4096 {
			content[at+i] = byte(i*r.IntN(9) + 1)
		}
	}
	delta := filepath.Join(dir, "delta")
	f, err := os.Create(delta)
	require.NoError(t, err)
	_, err = engine.Extract(t.Context(), f, engine.NewSource(set.Seq(), bytes.NewReader(content)), engine.ExtractOptions{Header: stream.Header{VolumeSize: int64(len(old)), ChunkSize: 4096}})
	require.NoError(t, err)
	require.NoError(t, f.Close())

	for _, how := range [][]string{{"merge"}, {"merge", "--direct"}} {
		killed, mixed := 0, 0
		for n := range 25 {
			copyPath, state := filepath.Join(dir, "copy"), filepath.Join(dir, "state")
			require.NoError(t, os.RemoveAll(state))
			require.NoError(t, os.WriteFile(copyPath, old, 0o644))
			args := append(how, "--state-dir", state, "--dest", copyPath, delta)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(3+n*4)*time.Millisecond)
			err := exec.CommandContext(ctx, "ddsgo", args...).Run()
			cancel()
			got, readErr := os.ReadFile(copyPath)
			require.NoError(t, readErr)
			if err != nil {
				killed++
				if !bytes.Equal(got, old) && !bytes.Equal(got, content) {
					mixed++
					stamps, err := filepath.Glob(filepath.Join(state, "stamps", "*.json"))
					require.NoError(t, err)
					require.Len(t, stamps, 1, "a mixture without a mark")
					b, err := os.ReadFile(stamps[0])
					require.NoError(t, err)
					require.Regexp(t, `"condition": "(applying|inconsistent)"`, string(b))
				}
			}
			out, err := exec.CommandContext(t.Context(), "ddsgo", args...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			got, err = os.ReadFile(copyPath)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got), "attempt %d", n)
			left, err := filepath.Glob(filepath.Join(state, "volumes", "*", "journal", "*"))
			require.NoError(t, err)
			require.Empty(t, left, "nothing is left behind")
		}
		t.Logf("%v: killed %d times, %d times half-way", how, killed, mixed)
	}
}
