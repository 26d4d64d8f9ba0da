//go:build lab

package image_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/cow/cowtest"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lab/ceph"
)

// site is the ddsgo program beside two real clusters, with three legs: between the clusters, into a
// file, and to a host of its own.
type site struct {
	t   *testing.T
	lab *ceph.Lab
	bin string
	dir string
}

const legs = `
resources:
  off: {source: "rbd:volumes/src", ceph: {cluster: primary, conf: %[1]s}, targets: [{device: "rbd:volumes/dst", ceph: {cluster: secondary, conf: %[2]s}, keep: 2}]}
  file: {source: "rbd:volumes/src", ceph: {cluster: primary, conf: %[1]s}, targets: [{device: %[3]s/copy.img}]}
`

func newSite(t *testing.T) *site {
	if err := ceph.Check(); err != nil {
		if os.Getenv("LAB") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lab, err := ceph.Up(t.Context(), ceph.Options{NoMirror: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	s := &site{t: t, lab: lab, dir: t.TempDir(), bin: filepath.Join(t.TempDir(), "ddsgo")}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin, "github.com/ddsgo/ddsgo/cmd/ddsgo").CombinedOutput()
	require.NoError(t, err, "%s", out)
	text := fmt.Sprintf(legs, lab.Primary.Conf, lab.Secondary.Conf, s.dir)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "ddsgo.yaml"), []byte(text), 0o600))
	return s
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), s.bin, append(args, "--state-dir", filepath.Join(s.dir, "state"), "--config", filepath.Join(s.dir, "ddsgo.yaml"))...)
	cmd.Dir = s.dir
	return cmd
}

func (s *site) run(args ...string) string {
	s.t.Helper()
	began := time.Now()
	out, err := s.command(args...).CombinedOutput()
	require.NoError(s.t, err, "%v: %s", args, out)
	s.t.Logf("%.1f s %v: %s", time.Since(began).Seconds(), args, bytes.TrimSpace(out))
	return string(out)
}

func (s *site) refused(code int, words string, args ...string) {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	require.Error(s.t, err, "%v: %s", args, out)
	require.Equal(s.t, code, ceph.ExitCode(err), "%v: %s", args, out)
	require.Contains(s.t, string(out), words)
}

// killed runs a command several times and kills it a little later each time, until it ends by itself.
func (s *site) killed(args ...string) {
	s.t.Helper()
	kills := 0
	for wait := 400 * time.Millisecond; wait < time.Minute; wait = wait*3/2 + 300*time.Millisecond {
		cmd := s.command(args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(s.t, cmd.Start())
		timer := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err == nil || kills > 0 && bytes.Contains(out.Bytes(), []byte("already holds generation")) { // killed after it was done
			break
		}
		require.Equal(s.t, -1, cmd.ProcessState.ExitCode(), "it failed by itself: %s", out.String())
		if kills++; testing.Short() {
			s.t.Log("left out with -short (make lab-rbd-full): later kills")
			s.run(args...)
			break
		}
	}
	s.t.Logf("%v: killed %d times", args, kills)
	require.Positive(s.t, kills)
}

func (s *site) rbd(c *ceph.Cluster, args ...string) []byte {
	s.t.Helper()
	out, err := c.Rbd(s.t.Context(), args...)
	require.NoError(s.t, err)
	return out
}

func (s *site) content(c *ceph.Cluster, spec string) []byte {
	s.t.Helper()
	return s.rbd(c, "export", "--no-progress", spec, "-")
}

func (s *site) change(total string) {
	s.t.Helper()
	s.rbd(s.lab.Primary, "bench", "--io-type", "write", "--io-size", "4K", "--io-total", total, "--io-pattern", "rand", "volumes/src")
}

// read is where readers find the copy: POOL/IMAGE@SNAPSHOT, as status tells.
func (s *site) read() string {
	s.t.Helper()
	out, err := s.command("status", "off", "--json").Output()
	require.NoError(s.t, err, "%s", out)
	var doc struct {
		Resources []struct {
			State       string
			Condition   string
			Lag         *float64 `json:"lag_seconds"`
			Replication string
			Sides       []struct {
				Native struct{ Read string }
			}
		}
	}
	require.NoError(s.t, json.Unmarshal(out, &doc))
	r := doc.Resources[0]
	require.Equal(s.t, "clean", r.Condition, "%s", out)
	require.NotNil(s.t, r.Lag)
	const prefix = "rbd:secondary:"
	read := r.Sides[1].Native.Read
	require.Greater(s.t, len(read), len(prefix), "%s", out)
	return read[len(prefix):]
}

func (s *site) same(a, b []byte, what string) {
	s.t.Helper()
	require.True(s.t, bytes.Equal(a, b), "%s: %d and %d bytes differ", what, len(a), len(b))
}

// TestImageLegsOnRealClusters: full, sync, status, break, resume and rollback of legs from an image to
// an image and to a file, killed in the middle, through a resize; and a COW file's delta into Ceph.
func TestImageLegsOnRealClusters(t *testing.T) {
	s := newSite(t)
	p, d := s.lab.Primary, s.lab.Secondary
	base := make([]byte, 96<<20)
	_, _ = rand.Read(base[:64<<20])
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "base"), base, 0o600))
	s.rbd(p, "import", "--no-progress", filepath.Join(s.dir, "base"), "volumes/src")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "copy.img"), bytes.Repeat([]byte{0xee}, 160<<20), 0o600))
	file := func(n int) []byte {
		b, err := os.ReadFile(filepath.Join(s.dir, "copy.img"))
		require.NoError(t, err)
		return b[:n]
	}

	s.refused(failure.CodeNeedFull, "ddsgo full off", "sync", "off")
	s.killed("full", "off")
	s.run("full", "file")
	s.same(base, s.content(d, s.read()), "rbd -> rbd, first copy")
	s.same(base, file(len(base)), "rbd -> file, first copy")

	s.change("12M")
	s.killed("sync", "off")
	s.killed("sync", "file")
	s.run("sync", "--all")
	now := s.content(p, "volumes/src")
	s.same(now, s.content(d, s.read()), "rbd -> rbd")
	s.same(now, s.content(d, "volumes/dst"), "HEAD")
	s.same(now, file(len(now)), "rbd -> file")

	s.rbd(p, "resize", "--no-progress", "--size", "128M", "volumes/src")
	s.change("2M")
	s.run("break", "off")
	s.refused(failure.CodeRefused, "held", "sync", "off")
	s.run("resume", "off")
	s.run("sync", "--all")
	grown := s.content(p, "volumes/src")
	require.Len(t, grown, 128<<20)
	s.same(grown, s.content(d, s.read()), "rbd -> rbd, grown")
	s.same(grown, file(len(grown)), "rbd -> file, grown")

	// somebody writes to the copy: refused, until it is set back
	s.rbd(d, "bench", "--io-type", "write", "--io-size", "4K", "--io-total", "64K", "volumes/dst")
	s.refused(failure.CodeNeedFull, "suspect", "sync", "off")
	s.run("rollback", "off")
	s.run("sync", "off")
	s.same(grown, s.content(d, s.read()), "after a roll-back")
	s.refused(failure.CodeRefused, "copy of a configured leg", "merge", "--dest", "rbd:volumes/dst", "--ceph-cluster", d.Name, "--ceph-conf", d.Conf, "--force-base", s.fullDelta())

	var snaps []any
	require.NoError(t, json.Unmarshal(s.rbd(d, "snap", "ls", "volumes/dst", "--format", "json"), &snaps))
	require.Len(t, snaps, 2, "keep: 2")
	require.NoError(t, json.Unmarshal(s.rbd(p, "snap", "ls", "volumes/src", "--format", "json"), &snaps))
	require.Len(t, snaps, 2, "the base of each leg, and nothing else")
	s.cowIntoCeph()
}

func (s *site) fullDelta() string {
	out := filepath.Join(s.dir, "full.delta")
	s.run("extract", "--full", "--source", filepath.Join(s.dir, "base"), "-o", out)
	return out
}

// cowIntoCeph: where there is no device-mapper, a logical volume, its snapshot's exception store and
// the new snapshot are files.
func (s *site) cowIntoCeph() {
	t := s.t
	const size = 64 << 20
	old := make([]byte, size)
	_, _ = rand.Read(old[:size/2])
	const chunk = 64 << 10
	store, err := os.Create(filepath.Join(s.dir, "cow"))
	require.NoError(t, err)
	snap, err := cowtest.New(store, size, chunk)
	require.NoError(t, err)
	snap.Lazy = true
	now, done := bytes.Clone(old), map[int]bool{}
	for i := range 200 {
		n := i * 7919 % (size / chunk)
		_, _ = rand.Read(now[n*chunk+i : n*chunk+i+4096])
		if !done[n] {
			_, err := snap.Copy(uint64(n), old[n*chunk:(n+1)*chunk])
			require.NoError(t, err)
			done[n] = true
		}
	}
	require.NoError(t, snap.Flush())
	require.NoError(t, store.Truncate(size))
	require.NoError(t, store.Close())
	path := func(name string, b []byte) string {
		p := filepath.Join(s.dir, name)
		require.NoError(t, os.WriteFile(p, b, 0o600))
		return p
	}
	origin, next := path("old", old), path("new", now)
	dest := []string{"merge", "--dest", "rbd:volumes/lv", "--ceph-cluster", s.lab.Secondary.Name, "--ceph-conf", s.lab.Secondary.Conf}
	s.run("extract", "--full", "--source", origin, "-o", filepath.Join(s.dir, "lvfull"))
	s.run(append(dest, filepath.Join(s.dir, "lvfull"))...)
	s.run("extract", "--cow", store.Name(), "--source", next, "-o", filepath.Join(s.dir, "lvdelta"))
	s.killed(append(dest, "--force-base", filepath.Join(s.dir, "lvdelta"))...)
	s.run(append(dest, "--force-base", filepath.Join(s.dir, "lvdelta"))...)
	s.same(now, s.content(s.lab.Secondary, "volumes/lv"), "COW file -> rbd")
}

// TestFullOrFrozenTarget: a pool that has no room is refused beforehand; a target that stops answering
// in the middle ends the sync within a bounded time; and then the same command finishes it.
func TestFullOrFrozenTarget(t *testing.T) {
	s := newSite(t)
	p, d := s.lab.Primary, s.lab.Secondary
	base := make([]byte, 64<<20)
	_, _ = rand.Read(base)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "base"), base, 0o600))
	s.rbd(p, "import", "--no-progress", filepath.Join(s.dir, "base"), "volumes/src")
	s.run("full", "off")
	quota := func(bytes int) {
		_, err := d.Ceph(t.Context(), "osd", "pool", "set-quota", "volumes", "max_bytes", fmt.Sprint(bytes))
		require.NoError(t, err)
	}
	s.change("16M")
	read := s.read()
	was := s.content(d, read)
	quota(64 << 20)                     // it holds as much already
	require.Eventually(t, func() bool { // Ceph counts with some delay
		free, err := d.Ceph(t.Context(), "df", "detail", "--format", "json")
		return err == nil && bytes.Contains(free, []byte(`"quota_bytes":67108864`))
	}, time.Minute, time.Second)
	s.refused(failure.CodeRefused, "the pool is full", "sync", "off")
	s.same(was, s.content(d, read), "refused before the first byte")
	quota(0)
	s.run("sync", "off")
	s.same(s.content(p, "volumes/src"), s.content(d, s.read()), "room again")

	s.change("48M")
	read = s.read()
	was = s.content(d, read)
	began := time.Now()
	cmd := s.command("sync", "off")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	time.AfterFunc(4*time.Second, func() { d.Freeze(ceph.OSD) })
	err := cmd.Wait()
	took := time.Since(began)
	d.Thaw(ceph.OSD)
	require.Less(t, took, 4*time.Minute, "bounded")
	t.Logf("after %.0f s: %v: %s", took.Seconds(), err, out.String())
	s.same(was, s.content(d, read), "readers still have their generation")
	s.run("sync", "off")
	s.same(s.content(p, "volumes/src"), s.content(d, s.read()), "it answers again")
}
