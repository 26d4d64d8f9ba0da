//go:build lab

package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lab"
	"github.com/ddsgo/ddsgo/lvm"
)

// labRun runs a command line and wants this exit code.
func labRun(t *testing.T, code int, in io.Reader, args ...string) (out []byte, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	got := Main(append([]string{"ddsgo"}, args...), in, &o, &e)
	require.Equal(t, code, got, "ddsgo %s\n%s", strings.Join(args, " "), e.String())
	return o.Bytes(), e.String()
}

func labSnapshot(t *testing.T, origin, name string, size, chunk int64) string {
	t.Helper()
	l := &lvm.LVM{Runner: run.OS{}}
	o, err := l.Find(t.Context(), origin)
	require.NoError(t, err)
	s, err := l.CreateSnapshot(t.Context(), o, lvm.SnapshotSpec{Name: name, Size: size, Chunk: chunk, ReadOnly: true})
	require.NoError(t, err)
	return s.Path
}

// TestExtractMergeOnLVM runs the plumbing on real snapshots: full, two increments, and what
// must be refused.
func TestExtractMergeOnLVM(t *testing.T) {
	const mib = 1 << 20
	for _, chunk := range []int64{4 << 10, 64 << 10} {
		t.Setenv("DDSGO_STATE_DIR", t.TempDir())
		vg := lab.VG(t)
		src, dst := vg.LV(t, "data", 32*mib), vg.LV(t, "copy", 32*mib)
		other := vg.LV(t, "other", 4*mib)
		lab.Fill(t, src, 1, 16*mib)
		snap1 := labSnapshot(t, src, "s1", 16*mib, chunk)
		full, _ := labRun(t, 0, nil, "extract", "--full", "--source", snap1)
		labRun(t, 0, bytes.NewReader(full), "merge", "--dest", dst)
		require.Equal(t, lab.Hash(t, snap1), lab.Hash(t, dst))

		lab.Fill(t, src, 2, 2*mib)
		lab.WriteAt(t, src, bytes.Repeat([]byte{7}, 4096), 20*mib)
		snap2 := labSnapshot(t, src, "s2", 16*mib, chunk)
		lab.WriteAt(t, src, bytes.Repeat([]byte{8}, 4096), 25*mib) // after snap2: must not leak in
		delta, text := labRun(t, 0, nil, "extract", "-v", "--cow", vg.Mapper("s1")+"-cow", "--source", snap2)
		require.Contains(t, text, "extract: ")
		labRun(t, 0, bytes.NewReader(delta), "merge", "--dest", dst)
		require.Equal(t, lab.Hash(t, snap2), lab.Hash(t, dst))

		// the next increment fits, the first one does not go again onto what came after
		lab.WriteAt(t, src, bytes.Repeat([]byte{9}, 4096), 3*mib)
		snap3 := labSnapshot(t, src, "s3", 16*mib, chunk)
		next, _ := labRun(t, 0, nil, "extract", "--cow", vg.Mapper("s2")+"-cow", "--source", snap3)
		labRun(t, 0, bytes.NewReader(next), "merge", "--dest", dst)
		require.Equal(t, lab.Hash(t, snap3), lab.Hash(t, dst))
		_, text = labRun(t, failure.CodeRefused, bytes.NewReader(delta), "merge", "--dest", dst)
		require.Contains(t, text, "the delta needs")
		require.Equal(t, lab.Hash(t, snap3), lab.Hash(t, dst))
		labRun(t, failure.CodeRefused, bytes.NewReader(full), "merge", "--dest", dst)

		// who is who
		for reason, args := range map[string][]string{
			"live origin":       {"--cow", vg.Mapper("s1") + "-cow", "--source", src},
			"it is no snapshot": {"--cow", vg.Mapper("s1") + "-cow", "--source", other},
			"the same snapshot": {"--cow", vg.Mapper("s1") + "-cow", "--source", snap1},
			"not the exception": {"--cow", other, "--source", snap2},
			"it is older":       {"--cow", vg.Mapper("s3") + "-cow", "--source", snap1},
		} {
			_, text := labRun(t, failure.CodeRefused, nil, append([]string{"extract"}, args...)...)
			require.Contains(t, text, reason)
		}

		// a volume that nobody uses may be read as it is, one in use may not
		labRun(t, 0, nil, "extract", "--full", "--source", other)
		lab.Run(t, "mkfs.ext4", "-q", other)
		at := t.TempDir()
		lab.Run(t, "mount", other, at)
		_, text = labRun(t, failure.CodeRefused, nil, "extract", "--full", "--source", other)
		require.Contains(t, text, "reading a live volume")
		_, text = labRun(t, failure.CodeRefused, bytes.NewReader(full), "merge", "--force-base", "--dest", other)
		require.Contains(t, text, "in use")
		lab.Run(t, "umount", at)

		// an overflowed snapshot
		tiny := labSnapshot(t, src, "tiny", 4*mib, chunk)
		snap4 := labSnapshot(t, src, "s4", 16*mib, chunk)
		lab.Fill(t, src, 5, 12*mib)
		labRun(t, failure.CodeOverflow, nil, "extract", "--cow", vg.Mapper("tiny")+"-cow", "--source", snap4)
		labRun(t, failure.CodeOverflow, nil, "extract", "--full", "--source", tiny)
	}
}
