//go:build lab

package lvm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lab"
	"github.com/ddsgo/ddsgo/lvm"
)

const mib = 1 << 20

func labLVM(t *testing.T) *lvm.LVM {
	t.Helper()
	lock, err := os.Create(filepath.Join(lab.Dir(t), "lock"))
	require.NoError(t, err)
	t.Cleanup(func() { lock.Close() })
	return &lvm.LVM{Runner: run.OS{}, Lock: lock}
}

func find(t *testing.T, l *lvm.LVM, path string) lvm.LV {
	t.Helper()
	v, err := l.Find(t.Context(), path)
	require.NoError(t, err)
	return v
}

func snapshot(t *testing.T, l *lvm.LVM, origin lvm.LV, name string, size int64) lvm.LV {
	t.Helper()
	s, err := l.CreateSnapshot(t.Context(), origin, lvm.SnapshotSpec{Name: name, Size: size, ReadOnly: true, Tags: []string{lvm.TagRun + "=1"}})
	require.NoError(t, err)
	return s
}

func TestLifeOfASnapshot(t *testing.T) {
	ctx := t.Context()
	l := labLVM(t)
	vg := lab.NamedVG(t, "-a", 256*mib)
	path := vg.LV(t, "my-data", 32*mib)

	origin := find(t, l, path)
	require.Equal(t, "my-data", origin.Name)
	require.True(t, origin.Plain() && origin.Active() && origin.Writable())
	link := filepath.Join(lab.Dir(t), "link")
	require.NoError(t, os.Symlink(path, link))
	number := lab.Run(t, "dmsetup", "info", "-c", "--noheadings", "-o", "minor", vg.DMName("my-data"))
	for _, spelling := range []string{vg.Mapper("my-data"), link, vg.Name + "/my-data", "/dev/dm-" + strings.TrimSpace(number)} {
		if strings.HasPrefix(spelling, "/dev/dm-") {
			if _, err := os.Stat(spelling); err != nil {
				continue // without udev LVM makes only /dev/mapper nodes
			}
		}
		require.Equal(t, origin.UUID, find(t, l, spelling).UUID, spelling)
	}

	s1 := snapshot(t, l, origin, lvm.SnapshotName(origin, 1, nil), 8*mib)
	require.True(t, s1.SnapshotOf(origin))
	require.False(t, s1.Writable())
	require.EqualValues(t, 4096, s1.ChunkSize)
	require.EqualValues(t, 32*mib, s1.OriginSize)
	require.True(t, s1.HasTag(lvm.TagRun+"=1"))
	lab.WriteAt(t, path, make([]byte, 40*4096), 4*mib)
	st, err := l.DM().SnapshotStatus(ctx, s1.DMName)
	require.NoError(t, err)
	require.EqualValues(t, 40, st.Exceptions(4096))
	chunk, err := l.DM().SnapshotChunk(ctx, s1.DMName)
	require.NoError(t, err)
	require.EqualValues(t, 4096, chunk)

	node, err := l.Resolve(ctx, s1.CowPath())
	require.NoError(t, err)
	require.Equal(t, s1.UUID, node.LV.UUID)
	require.Equal(t, "cow", node.Layer)
	_, err = l.Find(ctx, s1.CowPath())
	require.ErrorIs(t, err, lvm.ErrNotLV)

	require.NoError(t, l.SetTags(ctx, s1, []string{"ddsgo.gen=18"}, []string{lvm.TagRun + "=1"}))
	require.NoError(t, l.Rename(ctx, s1, "renamed"))
	s1 = find(t, l, vg.Path("renamed"))
	require.Equal(t, []string{"ddsgo.gen=18"}, s1.Tags)
	require.NoError(t, l.Extend(ctx, s1, 12*mib))
	s1 = find(t, l, vg.Path("renamed"))
	require.NoError(t, l.Extend(ctx, s1, 12*mib), "again is nothing to do")
	require.EqualValues(t, 12*mib, s1.Size)
	require.InDelta(t, 1.4, s1.SnapPercent, 0.1)

	require.ErrorIs(t, l.Extend(ctx, origin, 40*mib), lvm.ErrFailed, "an origin with an active snapshot does not grow")
	_, err = l.CreateSnapshot(ctx, origin, lvm.SnapshotSpec{Name: "renamed", Size: mib})
	require.ErrorIs(t, err, lvm.ErrFailed)

	require.NoError(t, l.SetPermission(ctx, origin, lvm.ReadOnly))
	origin = find(t, l, path)
	require.Equal(t, lvm.ReadOnly, origin.Attr.Permission)
	require.NoError(t, l.SetPermission(ctx, origin, lvm.ReadOnly))
	require.NoError(t, l.SetPermission(ctx, origin, lvm.Writable))
	require.NoError(t, l.Remove(ctx, s1))
	require.NoError(t, l.Remove(ctx, s1), "gone already is success")
	_, err = l.Find(ctx, vg.Path("renamed"))
	require.ErrorIs(t, err, lvm.ErrNotFound)
	_, err = l.Find(ctx, vg.Disk)
	require.ErrorIs(t, err, lvm.ErrNotLV)
}

func TestOverflowedSnapshot(t *testing.T) {
	l := labLVM(t)
	vg := lab.VG(t)
	path := vg.LV(t, "data", 32*mib)
	s := snapshot(t, l, find(t, l, path), "s", mib)
	lab.WriteAt(t, path, make([]byte, 2*mib), 0)
	s = find(t, l, vg.Path("s"))
	require.True(t, s.Invalid() && s.Active(), s.Attr.Raw)
	st, err := l.DM().SnapshotStatus(t.Context(), s.DMName)
	require.NoError(t, err)
	require.True(t, st.Invalid())
	require.NoError(t, l.Remove(t.Context(), s))
}

func TestMergingSnapshot(t *testing.T) {
	l := labLVM(t)
	vg := lab.VG(t)
	path := vg.LV(t, "data", 32*mib)
	snapshot(t, l, find(t, l, path), "s", 8*mib)
	lab.WriteAt(t, path, make([]byte, mib), 0)
	f, err := os.Open(path) // the merge then waits for the next activation
	require.NoError(t, err)
	lab.Run(t, "lvm", "lvconvert", "--merge", vg.Name+"/s")
	require.NoError(t, f.Close())
	lvs, err := l.Report(t.Context(), vg.Name)
	require.NoError(t, err)
	s, ok := lvm.ByName(lvs, "s")
	require.True(t, ok)
	require.True(t, s.Hidden && s.Merging() && s.Snapshot(), s.Attr.Raw)
	require.True(t, find(t, l, path).Merging())
}

// An exception store that someone has open: LVM would half-remove the snapshot.
func TestRemoveRefusesAHeldStore(t *testing.T) {
	ctx := t.Context()
	l := labLVM(t)
	vg := lab.VG(t)
	path := vg.LV(t, "data", 32*mib)
	origin := find(t, l, path)
	s := snapshot(t, l, origin, "s", 4*mib)
	f, err := os.Open(s.CowPath())
	require.NoError(t, err)
	require.ErrorIs(t, l.Remove(ctx, s), lvm.ErrHeld)
	require.True(t, find(t, l, vg.Path("s")).SnapshotOf(origin), "nothing was done")

	// What LVM does when asked all the same, and the way out of it.
	_, err = lab.Try("lvm", "lvremove", "--yes", vg.Name+"/s")
	require.Error(t, err)
	half, err := l.Find(ctx, vg.Name+"/s")
	require.NoError(t, err)
	require.True(t, half.Plain() && !half.Active(), half.Attr.Raw)
	_, err = l.Recover(ctx, origin, lvm.RecoverSpec{Names: []string{"s"}})
	require.ErrorIs(t, err, lvm.ErrHeld)
	require.NoError(t, f.Close())
	did, err := l.Recover(ctx, origin, lvm.RecoverSpec{Names: []string{"s"}})
	require.NoError(t, err)
	require.NotEmpty(t, did.Steps)
	snapshot(t, l, origin, "s", 4*mib)
	did, err = l.Recover(ctx, origin, lvm.RecoverSpec{Names: []string{"s"}})
	require.NoError(t, err)
	require.Empty(t, did.Steps, "a good snapshot is left alone")
}

func TestOrphanedStoreBlocksTheNameUntilRecovered(t *testing.T) {
	ctx := t.Context()
	l := labLVM(t)
	vg := lab.VG(t)
	origin := find(t, l, vg.LV(t, "data", 32*mib))
	s := snapshot(t, l, origin, "s", 4*mib)
	f, err := os.Open(s.CowPath())
	require.NoError(t, err)
	_, err = lab.Try("lvm", "lvremove", "--yes", vg.Name+"/s")
	require.Error(t, err)
	lab.Run(t, "lvm", "lvremove", "--yes", vg.Name+"/s") // an administrator tidies up the plain volume
	require.NoError(t, f.Close())
	did, err := l.Recover(ctx, origin, lvm.RecoverSpec{Names: []string{"s"}})
	require.NoError(t, err)
	require.NotEmpty(t, did.Steps)
	snapshot(t, l, origin, "s", 4*mib)
}

// SIGKILL of lvcreate -s at many instants, with a writer on the origin: the writer never sees an error, also not
// after recovery, and the next snapshot succeeds. The disk answers writes late, which stretches the time between LVM's
// steps. Two of three rounds search the instants between "nothing happened" and "all was done"; the others kill in the
// moment in which the origin is suspended.
func TestKilledCreation(t *testing.T) {
	ctx := t.Context()
	l := labLVM(t)
	vg := lab.VGOn(t, lab.Delay(t, lab.Disk(t, 256*mib), 0, 60).Path, "")
	path := vg.LV(t, "data", 8*mib)
	origin := find(t, l, path)
	info, err := l.DM().Info(ctx, origin.DMName)
	require.NoError(t, err)
	suspended := fmt.Sprintf("/sys/dev/block/%d:%d/dm/suspended", info.Major, info.Minor)
	w := lab.Writer(t, path)
	early, late := time.Duration(0), 4*time.Second
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 24
	if testing.Short() {
		rounds = 8
	}
	found := map[string]int{}
	for i := range rounds {
		cmd := exec.Command("lvm", "lvcreate", "--yes", "--snapshot", "--name", "s", "--extents", "100%ORIGIN", "--permission", "r",
			"--addtag", lvm.TagRun+"=7", vg.Name+"/data")
		delay := early + time.Duration(rng.Int64N(int64(max(late-early, time.Millisecond))))
		timed := i%3 != 2
		done := make(chan error, 1)
		require.NoError(t, cmd.Start())
		start := time.Now()
		go func() { done <- cmd.Wait() }()
		if timed {
			killAfter(cmd, done, delay)
		} else {
			killWhen(cmd, done, suspended)
		}
		took := time.Since(start)
		state := describe(t, l, origin)
		did, err := l.Recover(ctx, origin, lvm.RecoverSpec{Names: []string{"s"}})
		require.NoError(t, err, "round %d, killed after %s: %s", i, delay, state)
		found[state+"  ->  "+strings.ReplaceAll(strings.Join(did.Steps, "; "), vg.Name, "vg")]++
		s, made := lvm.LV{}, false
		lvs, err := l.Report(ctx, vg.Name)
		require.NoError(t, err)
		if s, made = lvm.ByName(lvs, "s"); made {
			require.True(t, s.SnapshotOf(origin), "round %d: %s: left %s", i, state, s.Attr.Raw)
		}
		switch {
		case timed && made && len(did.Steps) == 0:
			late = max(early, min(late, took))
		case timed && !made && len(did.Steps) == 0:
			early = min(late, max(early, took-took/10))
		}
		before := w.Count()
		await(t, func() bool { return w.Count() > before+3 || w.Failed() != nil }, "the writer goes on: "+state)
		// The origin can be suspended and resumed, and a fresh snapshot taken.
		require.NoError(t, l.DM().Suspend(ctx, origin.DMName), state)
		require.NoError(t, l.DM().Resume(ctx, origin.DMName), state)
		if made {
			require.NoError(t, l.CheckWiring(ctx, origin, s), state)
			requireNode(t, s.CowPath(), state)
			requireNode(t, s.Path, state)
			requireFrozen(t, s, path)
			require.NoError(t, l.Remove(ctx, s))
		}
		require.NoError(t, l.Remove(ctx, snapshot(t, l, origin, "s", 4*mib)))
		require.NoError(t, w.Failed(), state)
	}
	w.Stop()
	t.Logf("%d writes, longest stall %s", w.Writes, w.Stall)
	for s, n := range found {
		t.Logf("%2d x %s", n, s)
	}
}

func killAfter(cmd *exec.Cmd, done chan error, delay time.Duration) {
	select {
	case <-done:
	case <-time.After(delay):
		_ = cmd.Process.Kill()
		<-done
	}
}

// killWhen kills as soon as the file reads "1".
func killWhen(cmd *exec.Cmd, done chan error, file string) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if b, _ := os.ReadFile(file); strings.HasPrefix(string(b), "1") {
			_ = cmd.Process.Kill()
			<-done
			return
		}
	}
}

// requireFrozen: a snapshot that survived the kill does not follow its origin.
func requireFrozen(t *testing.T, s lvm.LV, origin string) {
	t.Helper()
	before := lab.Hash(t, s.Path)
	lab.WriteAt(t, origin, []byte(strings.Repeat("changed!", 512)), 4*mib)
	require.Equal(t, before, lab.Hash(t, s.Path))
}

// describe is the state of everything about the origin, in a line.
func describe(t *testing.T, l *lvm.LVM, origin lvm.LV) string {
	t.Helper()
	lvs, err := l.Report(context.Background(), origin.VG)
	require.NoError(t, err)
	all, err := l.DM().List(context.Background())
	require.NoError(t, err)
	var b strings.Builder
	for _, v := range lvs {
		fmt.Fprintf(&b, "%s=%s ", v.Name, v.Attr.Raw)
	}
	b.WriteString("|")
	for _, i := range all {
		short, ok := strings.CutPrefix(i.Name, origin.VG+"-")
		if !ok {
			continue
		}
		tables := map[[2]bool]string{{true, false}: "L", {false, true}: "I", {true, true}: "LI", {false, false}: "none"}[[2]bool{i.Live, i.Inactive}]
		if i.Suspended {
			tables += "s"
		}
		fmt.Fprintf(&b, " %s:%s(%d)", short, tables, i.Open)
	}
	return b.String()
}

func TestSuspendRefusesAPendingTable(t *testing.T) {
	ctx := t.Context()
	l := labLVM(t)
	vg := lab.VG(t)
	origin := find(t, l, vg.LV(t, "data", 32*mib))
	lab.Run(t, "dmsetup", "load", origin.DMName, "--table", fmt.Sprintf("0 %d error", origin.Size/512))
	require.ErrorIs(t, l.DM().Suspend(ctx, origin.DMName), lvm.ErrPendingTable)
	require.ErrorIs(t, l.DM().Resume(ctx, origin.DMName), lvm.ErrPendingTable)
	require.NoError(t, l.DM().ClearInactive(ctx, origin.DMName))
	require.NoError(t, l.DM().Suspend(ctx, origin.DMName))
	info, err := l.DM().Info(ctx, origin.DMName)
	require.NoError(t, err)
	require.True(t, info.Suspended)
	require.NoError(t, l.DM().Resume(ctx, origin.DMName))
}

// A killed parent: its lvcreate goes on, and the lock stays held until it ends.
func TestTheLockOutlivesTheParent(t *testing.T) {
	l := labLVM(t)
	vg := lab.VG(t)
	origin := find(t, l, vg.LV(t, "data", 32*mib))
	require.NoError(t, syscall.Flock(int(l.Lock.Fd()), syscall.LOCK_EX))
	other, err := os.Open(l.Lock.Name())
	require.NoError(t, err)
	defer other.Close()
	done := make(chan error, 1)
	go func() {
		_, err := l.CreateSnapshot(context.Background(), origin, lvm.SnapshotSpec{Name: "s", Size: 4 * mib})
		done <- err
	}()
	// As soon as the child runs, our own descriptor is given up, as the kernel does it for a killed parent.
	await(t, func() bool { return childHolds(l.Lock.Name()) }, "lvcreate has the lock as standard input")
	require.NoError(t, l.Lock.Close())
	require.ErrorIs(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
	err = <-done
	if err != nil && !errors.Is(err, os.ErrClosed) {
		require.NoError(t, err)
	}
	require.NoError(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}

// childHolds reports whether a running lvm has the file as standard input.
func childHolds(lock string) bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		comm, _ := os.ReadFile(d + "/comm")
		in, _ := os.Readlink(d + "/fd/0")
		if strings.HasPrefix(string(comm), "lv") && in == lock {
			return true
		}
	}
	return false
}

func await(t *testing.T, done func() bool, what string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if done() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("did not come true within a minute: " + what)
}

func requireNode(t *testing.T, path, state string) {
	t.Helper()
	_, err := os.Stat(path)
	require.NoError(t, err, state)
}
