//go:build lab

package replica_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lab"
)

// TestFoldOutage: on real LVM, a leg without its target lives through several times what its
// snapshot holds, with a kill at each command of a fold, and one sync sends the union.
func TestFoldOutage(t *testing.T) {
	p := newPair(t, 16*mib, nil)
	p.smallSnapshots() // 3 MiB
	lab.Fill(t, p.source, 1, 12*mib)
	p.ok("full", "app")
	dir := p.arm()
	ways := []string{"before", "inside", "after"}
	kills := 0
	for n := 1; ; n++ {
		lab.WriteAt(t, p.source, bytes.Repeat([]byte{byte(n)}, mib), int64(n%15)*mib)
		if !p.killed(dir, n, ways[n%len(ways)], "fold", "app") {
			break
		}
		kills++
		p.ok("fold", "app")
	}
	require.GreaterOrEqual(t, kills, 4, "a fold changes LVM more often than that")
	lab.WriteAt(t, p.source, bytes.Repeat([]byte("after"), 4096), 15*mib)
	lvs := strings.Fields(lab.Run(t, "lvm", "lvs", "--noheadings", "-o", "lv_name", p.src.Name))
	require.Len(t, lvs, 2, "left over: %v", lvs)
	rep := syncReport(t, p.ok("sync", "app", "--json"))
	p.requireEqual()
	require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target), "nobody writes: the target equals the source itself")
	require.LessOrEqual(t, rep.Transfer.ChangedBytes, int64(16*mib), "every chunk once")
	t.Logf("%d folds were killed; the sync sent %d bytes of changes", kills, rep.Transfer.ChangedBytes)
}

// killed runs ddsgo with the assassin at the nth changing command; false: there was none.
func (p *pair) killed(dir string, n int, how string, args ...string) bool {
	p.t.Helper()
	for _, f := range []string{"count", "killed"} {
		_ = os.Remove(filepath.Join(dir, f))
	}
	cmd := p.command(args...)
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "KILL_DIR="+dir, "KILL_AT="+strconv.Itoa(n), "KILL_HOW="+how, "KILL_DELAY=0.05")
	out, err := cmd.CombinedOutput()
	if _, statErr := os.Stat(filepath.Join(dir, "killed")); statErr == nil {
		return true
	}
	require.NoError(p.t, err, "nobody was killed, and yet: %s", out)
	return false
}

// TestPutBack: a target that is restored, state and all, to what it was three generations ago is
// brought up to date by one sync that compares nothing. The target is a file: nothing counts
// its writes, as after a restore of the whole machine.
func TestPutBack(t *testing.T) {
	p := newPair(t, 8*mib, nil)
	p.target = filepath.Join(lab.Dir(t), "copy.img")
	require.NoError(t, os.WriteFile(p.target, make([]byte, 8*mib), 0o600))
	p.configure("")
	lab.Fill(t, p.source, 1, 6*mib)
	p.ok("full", "app")
	content, err := os.ReadFile(p.target)
	require.NoError(t, err)
	kept := filepath.Join(lab.Dir(t), "far")
	lab.Run(t, "cp", "-a", filepath.Join(p.dir, "far"), kept)
	for i := range 3 {
		lab.WriteAt(t, p.source, bytes.Repeat([]byte{byte(i + 1)}, 64<<10), int64(i)*mib)
		p.ok("sync", "app")
	}
	require.NoError(t, os.RemoveAll(filepath.Join(p.dir, "far")))
	require.NoError(t, os.Rename(kept, filepath.Join(p.dir, "far")))
	f, err := os.OpenFile(p.target, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(content, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	lab.WriteAt(t, p.source, bytes.Repeat([]byte("new!"), 16<<10), 4*mib)
	rep := syncReport(t, p.ok("sync", "app", "--json"))
	require.EqualValues(t, 4*64<<10, rep.Transfer.ChangedBytes, "the union of the kept sets and the new one")
	require.Nil(t, rep.Compared)
	p.requireEqual()
	require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target))
}

// Snapshots of 16 MiB are made for 128 KiB per second between syncs of two minutes. The
// application of these tests writes three times as much.
const (
	watchedStore = 16 * mib
	watchedRate  = 3 * (watchedStore / 128)
)

// watchedPair has snapshots of watchedStore.
func watchedPair(t *testing.T, extend string) *pair {
	p := newPair(t, 96*mib, nil)
	p.extra = extend
	p.configure("")
	cfg, err := os.ReadFile(p.config())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.config(), bytes.Replace(cfg, []byte("snap_size: 100%"), fmt.Appendf(nil, "snap_size: %d", watchedStore), 1), 0o600))
	lab.Fill(t, p.source, 1, 8*mib)
	p.ok("full", "app")
	return p
}

// rush writes at watchedRate, to fresh places, for a while.
func (p *pair) rush(d time.Duration) {
	p.t.Helper()
	const piece = 64 << 10
	t := time.NewTicker(time.Second * piece / watchedRate)
	defer t.Stop()
	end := time.After(d)
	for off := int64(8 * mib); ; off += piece {
		select {
		case <-end:
			return
		case <-t.C:
			lab.WriteAt(p.t, p.source, bytes.Repeat([]byte{byte(off >> 16)}, piece), off%(80*mib)+8*mib)
		}
	}
}

// watching runs `ddsgo watch` beside do and returns what it did.
func (p *pair) watching(do func()) (seen []report.Watch) {
	p.t.Helper()
	var out bytes.Buffer
	cmd := p.command("watch", "app", "--json", "-v")
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(p.t, cmd.Start())
	do()
	require.NoError(p.t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(p.t, cmd.Wait(), "%s", &out)
	for sc := bufio.NewScanner(&out); sc.Scan(); {
		var r report.Watch
		if json.Unmarshal(sc.Bytes(), &r) == nil && r.Action != "" {
			seen = append(seen, r)
		}
	}
	p.t.Logf("%+v", seen)
	return seen
}

func did(seen []report.Watch, action string) (n int) {
	for _, r := range seen {
		if r.Action == action {
			n++
		}
	}
	return n
}

// TestWatchKeepsTheChain: three times the stated rate, with space in the group, never breaks the
// chain: extended where that is allowed, else folded.
func TestWatchKeepsTheChain(t *testing.T) {
	for _, c := range []struct{ name, extra, action string }{
		{"extend", "snap_extend: {step: 4MiB, max: 90%}, ", "extended"},
		{"fold", "", "folded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.action == "extended" && os.Getenv("LAB_FULL") == "" {
				t.Skip("LAB_FULL=1 runs it; TestWatchBetweenSyncs has it in memory")
			}
			p := watchedPair(t, c.extra)
			seen := p.watching(func() { p.rush(55 * time.Second) })
			require.Positive(t, did(seen, c.action))
			require.Zero(t, did(seen, "invalid")+did(seen, "warning"))
			p.ok("sync", "app")
			p.requireEqual()
			require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target))
		})
	}
}

// TestWatchWithoutSpace: when the group is full, the watch says so in time, the target stays a
// point in time, and the chain ends in a clean rejoin.
func TestWatchWithoutSpace(t *testing.T) {
	if os.Getenv("LAB_FULL") == "" {
		t.Skip("LAB_FULL=1 runs it; the test of the same name has it in memory")
	}
	p := watchedPair(t, "snap_extend: {step: 4MiB, max: 90%}, ")
	before := lab.Hash(t, p.target)
	lab.Run(t, "lvm", "lvcreate", "--yes", "-l", "100%FREE", "-n", "filler", p.src.Name)
	seen := p.watching(func() { p.rush(60 * time.Second) })
	require.Equal(t, 1, did(seen, "warning"), "said once")
	require.Positive(t, did(seen, "invalid"))
	p.refused(10, "overflowed", "sync", "app")
	require.Equal(t, before, lab.Hash(t, p.target))
	p.refused(14, "invalid", "watch", "app", "--once")
	lab.Run(t, "lvm", "lvremove", "--yes", p.src.Name+"/filler")
	p.ok("resync", "app")
	p.requireEqual()
	p.ok("sync", "app")
}

// TestNoRoomForSnapshots: refused before anything is made, with the bytes that are missing.
func TestNoRoomForSnapshots(t *testing.T) {
	p := newPair(t, 8*mib, nil)
	lab.Run(t, "lvm", "lvcreate", "--yes", "-l", "100%FREE", "-n", "filler", p.src.Name)
	p.refused(15, "bytes needed", "full", "app")
	lvs := strings.Fields(lab.Run(t, "lvm", "lvs", "--noheadings", "-o", "lv_name", p.src.Name))
	require.Len(t, lvs, 2, "left over: %v", lvs)
}
