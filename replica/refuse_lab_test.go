//go:build lab

package replica_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// TestRefusals: each refusal names the device, the reason and the next command, has its
// exit code, and leaves the target as it was.
func TestRefusals(t *testing.T) {
	p := newPair(t, 16*mib, nil)
	lab.Fill(t, p.source, 1, 12*mib)
	p.ok("full", "app")
	before := lab.Hash(t, p.target)
	lab.Fill(t, p.source, 2, 4*mib)

	p.refused(15, "already holds generation", "full", "app")

	lab.Run(t, "lvm", "lvchange", "-prw", p.dst.Name+"/appdata")
	hold, err := os.OpenFile(p.target, os.O_RDONLY|syscall.O_EXCL, 0)
	require.NoError(t, err)
	p.refused(15, "in use", "sync", "app")
	require.NoError(t, hold.Close())

	p.ok("break", "app")
	p.refused(15, "held", "sync", "app")
	p.ok("resume", "app")
	require.Equal(t, before, lab.Hash(t, p.target), "a refusal writes nothing")
	p.ok("sync", "app")
	p.requireEqual()

	// Somebody writes to the target behind our back.
	lab.Run(t, "lvm", "lvchange", "-prw", p.dst.Name+"/appdata")
	lab.WriteAt(t, p.target, make([]byte, 4096), mib)
	p.refused(10, "behind ddsgo's back", "sync", "app")
	require.Equal(t, "suspect", *p.status().Condition)
	p.ok("full", "app", "--overwrite")
	p.requireEqual()

	// The target is promoted: nothing reaches it any more.
	p.refused(15, "answers and is primary", "failover", "app", "--site", "local")
	p.ok("failover", "app", "--site", "local", "--force")
	lab.WriteAt(t, p.target, []byte(strings.Repeat("p", 4096)), 0)
	promoted := lab.Hash(t, p.target)
	p.refused(15, "primary", "sync", "app")
	p.refused(15, "primary", "full", "app", "--overwrite")
	require.Equal(t, promoted, lab.Hash(t, p.target))
}

// TestTooSmallAndOverflowed: a target that is too small is refused before the first byte; an
// overflowed tracker breaks the chain with exit 10, and full mends it.
func TestTooSmallAndOverflowed(t *testing.T) {
	p := newPair(t, 16*mib, nil)
	p.target = p.dst.LV(t, "small", 12*mib)
	p.configure("")
	p.refused(15, "too small", "full", "app")
	p.target = p.dst.Path("appdata")
	p.extra = "snap_size: 2MiB, "
	cfg, err := os.ReadFile(p.config())
	require.NoError(t, err)
	text := strings.Replace(string(cfg), "snap_size: 100%", "snap_size: 2MiB", 1)
	text = strings.Replace(text, p.dst.Path("small"), p.target, 1)
	require.NoError(t, os.WriteFile(p.config(), []byte(text), 0o600))
	p.ok("full", "app")
	p.requireEqual()
	lab.Fill(t, p.source, 3, 8*mib)
	p.refused(10, "overflowed", "sync", "app")
	require.Equal(t, "snapshot_full", p.status().Reasons[0].Code)
	p.ok("full", "app", "--overwrite")
	p.requireEqual()
}

// TestStoppedPeer: the far end is stopped while it receives. The run ends within the
// progress time-out, the target is untouched, and the next run finishes.
func TestStoppedPeer(t *testing.T) {
	p := newPair(t, 48*mib, lab.SSHD(t))
	lab.Fill(t, p.source, 1, 40*mib)
	p.extra = "progress_timeout: 8s, codec: none, "
	p.configure("host: dr1, ")
	p.ok("full", "app")
	before := lab.Hash(t, p.target)
	lab.Fill(t, p.source, 2, 40*mib)
	cmd := p.command("sync", "app")
	require.NoError(t, cmd.Start())
	stopped := p.stopReceiver()
	err := cmd.Wait()
	if stopped == 0 {
		t.Fatal("the receiver was never seen")
	}
	require.Error(t, err)
	require.Equal(t, 12, cmd.ProcessState.ExitCode())
	require.Equal(t, before, lab.Hash(t, p.target), "the target is untouched")
	require.NoError(t, syscall.Kill(stopped, syscall.SIGCONT))
	p.ok("sync", "app")
	p.requireEqual()
}

// stopReceiver stops the far ddsgo as soon as its spool grows, and returns its pid.
func (p *pair) stopReceiver() int {
	spools := filepath.Join(p.dir, "far", "volumes", "*", "journal", "incoming", "*.delta")
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		if files, _ := filepath.Glob(spools); len(files) > 0 {
			if pid := findProcess("serve", p.dir); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				return pid
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

// findProcess finds a process with both words on its command line that is a ddsgo itself.
func findProcess(words ...string) int {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
next:
	for _, f := range procs {
		b, err := os.ReadFile(f)
		args := strings.Split(string(b), "\x00")
		if err != nil || filepath.Base(args[0]) != "ddsgo" {
			continue
		}
		for _, w := range words {
			if !strings.Contains(string(b), w) {
				continue next
			}
		}
		pid := 0
		for _, c := range filepath.Base(filepath.Dir(f)) {
			pid = pid*10 + int(c-'0')
		}
		return pid
	}
	return 0
}

// TestAdoptOpenSVC takes a pair over that was made as an OpenSVC agent makes it: snapshot,
// dd, state files. No byte is sent twice, and the agent's files go on to be right.
func TestAdoptOpenSVC(t *testing.T) {
	p := newPair(t, 16*mib, nil)
	lab.Fill(t, p.source, 1, 12*mib)
	stateFile := filepath.Join(p.dir, "dds_state")
	p.extra = "opensvc_state: " + stateFile + ", "
	p.configure("")
	snap := "app_data_osvc_snap1"
	lab.Run(t, "lvm", "lvcreate", "-s", "-n", snap, "-L", "8m", p.src.Name+"/app-data")
	lab.Run(t, "dd", "if="+p.src.Path(snap), "of="+p.target, "bs=1M", "conv=fsync", "status=none")
	uuid := strings.TrimSpace(lab.Run(t, "lvm", "lvs", "--noheadings", "-o", "lv_uuid", p.src.Name+"/"+snap))
	require.NoError(t, os.WriteFile(stateFile, []byte("2026-01-02 03:04:05.678901;"+uuid+"\n"), 0o600))
	lab.WriteAt(t, p.source, make([]byte, 8192), 5*mib)
	out := p.ok("sync", "app")
	require.Contains(t, out, "changed")
	p.requireEqual()
	b, err := os.ReadFile(stateFile)
	require.NoError(t, err)
	require.NotContains(t, string(b), uuid, "the file names the new snapshot")
	require.Equal(t, uint64(2), p.status().Generation.Seq)
}
