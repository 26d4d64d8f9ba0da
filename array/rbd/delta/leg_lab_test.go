//go:build lab

package delta_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lab/ceph"
)

// leg is the ddsgo program between two real clusters.
type leg struct {
	t    *testing.T
	lab  *ceph.Lab
	bin  string
	dir  string
	from []string
	to   []string
}

func newLeg(t *testing.T) *leg {
	if err := ceph.Check(); err != nil {
		if os.Getenv("LAB") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lab, err := ceph.Up(t.Context(), ceph.Options{NoMirror: testing.Short()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	l := &leg{t: t, lab: lab, dir: t.TempDir(), bin: filepath.Join(t.TempDir(), "ddsgo")}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", l.bin, "github.com/ddsgo/ddsgo/cmd/ddsgo").CombinedOutput()
	require.NoError(t, err, "%s", out)
	l.from = []string{"--ceph-cluster", lab.Primary.Name, "--ceph-conf", lab.Primary.Conf}
	l.to = []string{"--ceph-cluster", lab.Secondary.Name, "--ceph-conf", lab.Secondary.Conf}
	return l
}

func (l *leg) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(l.t.Context(), l.bin, append(args, "--state-dir", filepath.Join(l.dir, "state"))...)
	cmd.Dir = l.dir
	return cmd
}

func (l *leg) run(args ...string) string {
	l.t.Helper()
	out, err := l.command(args...).CombinedOutput()
	require.NoError(l.t, err, "%v: %s", args, out)
	return string(out)
}

func (l *leg) refused(code int, words string, args ...string) {
	l.t.Helper()
	out, err := l.command(args...).CombinedOutput()
	require.Error(l.t, err, "%v: %s", args, out)
	require.Equal(l.t, code, ceph.ExitCode(err), "%s", out)
	require.Contains(l.t, string(out), words)
}

func (l *leg) rbd(c *ceph.Cluster, args ...string) []byte {
	l.t.Helper()
	out, err := c.Rbd(l.t.Context(), args...)
	require.NoError(l.t, err)
	return out
}

func (l *leg) scribble(c *ceph.Cluster, image, total string) {
	l.t.Helper()
	l.rbd(c, "bench", "--io-type", "write", "--io-size", "4K", "--io-total", total, "--io-pattern", "rand", image)
}

func (l *leg) same(a, b []byte, what string) {
	l.t.Helper()
	require.True(l.t, bytes.Equal(a, b), "%s: %d and %d bytes differ", what, len(a), len(b))
}

func TestLegsOnRealClusters(t *testing.T) {
	l := newLeg(t)
	p, s := l.lab.Primary, l.lab.Secondary
	content := make([]byte, 64<<20)
	_, _ = rand.Read(content)
	base := filepath.Join(l.dir, "base")
	require.NoError(t, os.WriteFile(base, content, 0o600))
	require.NoError(t, os.Truncate(base, 128<<20))
	l.rbd(p, "import", "--no-progress", base, "volumes/src")
	snaps := []string{"a", "b", "c", "d"}
	if testing.Short() {
		snaps = snaps[:2]
	}
	for _, snap := range snaps {
		l.rbd(p, "snap", "create", "--no-progress", "volumes/src@"+snap)
		switch snap {
		case "a":
			l.scribble(p, "volumes/src", "8M")
		case "b":
			l.rbd(p, "resize", "--no-progress", "--size", "40M", "--allow-shrink", "volumes/src")
			l.rbd(p, "resize", "--no-progress", "--size", "160M", "volumes/src")
			l.scribble(p, "volumes/src", "1M")
		case "c":
			l.scribble(p, "volumes/src", "32M")
		}
	}
	extract := func(from, to string) string {
		file := filepath.Join(l.dir, from+to+".delta")
		args := []string{"extract", "--rbd", "volumes/src", "--to", to, "-o", file}
		if from != "" {
			args = append(args, "--from", from)
		}
		l.run(append(args, l.from...)...)
		return file
	}
	snap := func(name string) []byte { return l.rbd(p, "export", "--no-progress", "volumes/src@"+name, "-") }
	head := func() []byte { return l.rbd(s, "export", "--no-progress", "volumes/dst", "-") }
	merge := func(file string) []string {
		return append([]string{"merge", "--dest", "rbd:volumes/dst", file}, l.to...)
	}

	if testing.Short() {
		t.Log("left out with -short (make lab-rbd-full): rbd -> file, file -> rbd, resizes, cut and killed merges, foreign writers, a mirrored target")
		l.run(merge(extract("", "a"))...)
		l.run(merge(extract("a", "b"))...)
		l.same(snap("b"), head(), "rbd -> rbd")
		return
	}

	// rbd -> file, the LVM end of a leg where there is no device-mapper
	l.run("merge", "--dest", "copy.img", extract("", "a"))
	l.run("merge", "--dest", "copy.img", extract("a", "b"))
	file, err := os.ReadFile(filepath.Join(l.dir, "copy.img"))
	require.NoError(t, err)
	l.same(snap("b"), file, "rbd -> file")

	// rbd -> rbd, without rbd-mirror, through a shrink and growth
	l.run(merge(extract("", "a"))...)
	l.refused(failure.CodeRefused, "does not hold what the delta builds on", merge(extract("b", "c"))...)
	l.run(merge(extract("a", "b"))...)
	l.same(snap("b"), head(), "rbd -> rbd")
	l.run(merge(extract("b", "c"))...)
	l.same(snap("c"), head(), "after a resize")
	l.run(merge(extract("b", "c"))...) // again: nothing to do

	l.cut(merge, extract("c", "d"), snap("d"), head)
	l.foreign(merge)

	// file -> rbd
	l.run("extract", "--full", "--source", "copy.img", "-o", filepath.Join(l.dir, "file.delta"))
	l.run(append([]string{"merge", "--dest", "rbd:volumes/fromfile", filepath.Join(l.dir, "file.delta")}, l.to...)...)
	l.same(file, l.rbd(s, "export", "--no-progress", "volumes/fromfile", "-"), "file -> rbd")
}

// cut: a stream that ends too early touches nothing; a merge that is killed in the middle of its
// import is finished by the next one.
func (l *leg) cut(merge func(string) []string, file string, want []byte, head func() []byte) {
	t := l.t
	delta, err := os.ReadFile(file)
	require.NoError(t, err)
	short := filepath.Join(l.dir, "short.delta")
	require.NoError(t, os.WriteFile(short, delta[:len(delta)-1000], 0o600))
	was := head()
	l.refused(failure.CodeCorrupt, "not a whole delta", merge(short)...)
	l.same(was, head(), "a cut stream")

	kills := 0
	for wait := 100 * time.Millisecond; wait < 3*time.Second; wait += 700 * time.Millisecond {
		cmd := l.command(merge(file)...)
		require.NoError(t, cmd.Start())
		timer := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err == nil {
			break
		}
		kills++
	}
	t.Logf("killed %d times", kills)
	require.Positive(t, kills)
	l.run(merge(file)...)
	l.same(want, head(), "after kills")
}

// foreign: writes by others, watchers, and the wrong end of a mirror are refused before the first byte.
func (l *leg) foreign(merge func(string) []string) {
	t, p, s := l.t, l.lab.Primary, l.lab.Secondary
	file := filepath.Join(l.dir, "next.delta")
	l.scribble(p, "volumes/src", "1M")
	l.rbd(p, "snap", "create", "--no-progress", "volumes/src@e")
	l.run(append([]string{"extract", "--rbd", "volumes/src", "--from", "d", "--to", "e", "-o", file}, l.from...)...)

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Rbd(ctx, "bench", "--io-type", "write", "--io-size", "4K", "--io-total", "400M", "--io-threads", "1", "--io-pattern", "rand", "volumes/dst")
	}()
	require.Eventually(t, func() bool {
		out, err := s.Rbd(t.Context(), "status", "volumes/dst", "--format", "json")
		return err == nil && strings.Contains(string(out), "address")
	}, 2*time.Minute, 100*time.Millisecond)
	l.refused(failure.CodeRefused, "in use", merge(file)...)
	stop()
	<-done
	require.Eventually(t, func() bool { // the watch of a killed client lasts 30 s
		out, err := s.Rbd(t.Context(), "status", "volumes/dst", "--format", "json")
		return err == nil && !strings.Contains(string(out), "address")
	}, 3*time.Minute, time.Second)
	out, err := l.command(merge(file)...).CombinedOutput()
	require.Error(t, err)
	require.Equal(t, failure.CodeRefused, ceph.ExitCode(err), "%s", out)
	l.run(append(merge(file), "--rollback")...)
	l.same(l.rbd(p, "export", "--no-progress", "volumes/src@e", "-"), l.rbd(s, "export", "--no-progress", "volumes/dst", "-"), "set back first")

	l.rbd(p, "create", "volumes/mirrored", "--size", "160M")
	l.rbd(p, "mirror", "image", "enable", "volumes/mirrored", "snapshot")
	require.Eventually(t, func() bool { _, err := s.Rbd(t.Context(), "info", "volumes/mirrored"); return err == nil }, 3*time.Minute, time.Second)
	l.refused(failure.CodeRefused, "non-primary", append([]string{"merge", "--dest", "rbd:volumes/mirrored", "--force-base", file}, l.to...)...)
	l.refused(failure.CodeRefused, "no such pool", append([]string{"merge", "--dest", "rbd:nopool/x", file}, l.to...)...)
}
