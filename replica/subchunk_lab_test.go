//go:build lab

package replica_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// scatter writes blocks of 4 KiB into chunks of 64 KiB, one each.
func scatter(t *testing.T, dev string, seed byte, n int) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_WRONLY, 0)
	require.NoError(t, err)
	b := make([]byte, 4096)
	for i := range n {
		for j := range b {
			b[j] = byte(j)*7 + seed + byte(i)
		}
		_, err := f.WriteAt(b, int64(i)*128<<10+int64(i%16)*4096)
		require.NoError(t, err)
	}
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

// TestSubChunkOnRealSnapshots: with snapshots of 64 KiB chunks on real LVM, scattered writes of
// 4 KiB go as such; a tracking snapshot that was mounted writable sends whole chunks; a target
// that was written behind our back is found out.
func TestSubChunkOnRealSnapshots(t *testing.T) {
	p := newPair(t, 32*mib, nil)
	p.extra = "chunk_size: 64KiB, "
	p.configure("")
	lab.Fill(t, p.source, 1, 32*mib)
	p.ok("full", "app")
	require.Equal(t, "65536", strings.TrimSpace(lab.Run(t, "lvm", "lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "chunk_size", p.snap1())))

	scatter(t, p.source, 1, 200)
	out := p.ok("sync", "app", "-v")
	require.Contains(t, out, "compare the changed chunks")
	p.requireEqual()

	lab.Run(t, "lvm", "lvchange", "-prw", p.snap1())
	scatter(t, p.snap1(), 77, 3)
	lab.Run(t, "lvm", "lvchange", "-pr", p.snap1())
	scatter(t, p.source, 2, 200)
	out = p.ok("sync", "app", "-v")
	require.NotContains(t, out, "compare the changed chunks", "somebody has written to the tracking snapshot")
	p.requireEqual()

	scatter(t, p.source, 3, 200)
	w := lab.Writer(t, p.source)
	p.ok("sync", "app")
	p.requireEqual()
	w.Stop()
	p.ok("sync", "app")
	p.requireEqual()
}

// TestProtectSnapshot: the target is written under a snapshot of real LVM. A transfer that is
// killed is written back by the next run, one that ends leaves nothing.
func TestProtectSnapshot(t *testing.T) {
	p := newPair(t, 32*mib, nil)
	lab.Fill(t, p.source, 1, 32*mib)
	p.ok("full", "app")
	p.extra = "protect: snapshot, codec: none, "
	p.configure("")
	scatter(t, p.source, 1, 200)
	p.ok("sync", "app")
	p.requireEqual()
	alone := func() {
		t.Helper()
		require.Len(t, strings.Fields(lab.Run(t, "lvm", "lvs", "--noheadings", "-o", "lv_name", p.dst.Name)), 1, "the guard is gone")
		require.Contains(t, lab.Run(t, "lvm", "lvs", "--noheadings", "-o", "lv_attr", p.target), "-ri-", "the target is read-only again")
	}
	alone()

	lab.Fill(t, p.source, 20, 24*mib)
	p.killedAtRandom("sync", 1)
	alone()
	// Killed inside the third command, about where the guard is made;
	// with LAB_FULL=1 before, after and inside every one.
	dir := p.arm()
	for n := 1; ; n++ {
		full := os.Getenv("LAB_FULL") != ""
		if !full && n > 3 {
			break
		}
		hit := full || n == 3
		for _, how := range []string{"inside", "before", "after"} {
			if how != "inside" && !full || !hit {
				continue
			}
			hit = p.killAndRepeat(dir, n, how)
			alone()
		}
		if full && !hit {
			break
		}
	}
}
