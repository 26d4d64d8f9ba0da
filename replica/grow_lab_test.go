//go:build lab

package replica_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// TestGrowWhileInactive: the source is extended while nobody uses it. Its snapshot survives with
// the old size, and what lies in the new range is junk on both ends: all of it is sent.
func TestGrowWhileInactive(t *testing.T) {
	p := newPair(t, 8*mib, nil)
	lab.Fill(t, p.source, 1, 8*mib)
	p.ok("full", "app")
	lv := p.src.Name + "/app-data"
	junk := p.dst.LV(t, "junk", 16*mib) // what the target will find behind its end
	lab.Fill(t, junk, 9, 16*mib)
	lab.Run(t, "lvm", "lvremove", "--yes", p.dst.Name+"/junk")
	lab.Run(t, "lvm", "lvchange", "--yes", "-an", lv)
	lab.Run(t, "lvm", "lvextend", "-L", "16m", lv)
	lab.Run(t, "lvm", "lvchange", "--yes", "-ay", lv)
	lab.WriteAt(t, p.source, bytes.Repeat([]byte("new range"), 8<<10)[:64<<10], 12*mib)
	lab.WriteAt(t, p.source, bytes.Repeat([]byte("old range"), 8<<10)[:64<<10], 2*mib)
	p.refused(15, "too small", "sync", "app")
	p.refused(15, "too small", "grow", "app")
	plan := p.ok("grow", "app", "--extend-target", "--dry-run")
	require.Contains(t, plan, fmt.Sprintf("the whole new range, %d bytes from offset %d on", 8*mib, 8*mib))
	out := p.ok("grow", "app", "--extend-target", "--json")
	require.Contains(t, out, `"path":"delta"`)
	require.NotContains(t, out, "compared")
	p.requireEqual()
	require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target))
	require.Equal(t, "clean", *p.status().Condition, "lvextend of the target is no foreign write")
	lab.WriteAt(t, p.source, bytes.Repeat([]byte("x"), 4096), 15*mib)
	p.ok("sync", "app")
	p.requireEqual()
	require.Contains(t, p.ok("grow", "app"), "nothing to do")
}

// TestGrowWhileInUse: the source is written to all the time. A command that changes LVM is
// killed on the way, with LAB_FULL=1 each of them; the same grow finishes.
func TestGrowWhileInUse(t *testing.T) {
	p := newPair(t, 8*mib, nil)
	lab.Fill(t, p.source, 1, 8*mib)
	p.ok("full", "app")
	w := lab.Writer(t, p.source)
	p.refused(15, "ddsgo grow app --extend-target", "grow", "app", "--size", "12M")
	dir := p.arm()
	args := []string{"grow", "app", "--size", "12M", "--extend-target"}
	kills, ways := 0, []string{"before", "inside", "after"}
	every := 10 // each run of the lab's slow LVM takes a minute
	if os.Getenv("LAB_FULL") != "" {
		every = 1
	}
	for n := 4; n < 14; n += every {
		if p.killed(dir, n, ways[n%len(ways)], args...) {
			kills++
		}
	}
	require.Positive(t, kills)
	p.ok(args...)
	p.requireEqual()
	require.NoError(t, w.Failed(), "the application never notices")
	w.Stop()
	for _, lv := range []string{p.src.Name + "/app-data", p.dst.Name + "/appdata"} {
		require.Equal(t, "12582912", strings.TrimSpace(lab.Run(t, "lvm", "lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "lv_size", lv)))
	}
	p.ok("sync", "app")
	p.requireEqual()
	require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target))
	t.Logf("%d kills on the way", kills)
}
