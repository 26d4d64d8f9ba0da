//go:build lab

package delta_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/cow/cowtest"
)

// The volume of the measurement: benchSize bytes, of which every benchEvery-th chunk of benchChunk
// bytes is written anew.
const (
	benchSize   = 768 << 20
	benchChunk  = 64 << 10
	benchEvery  = 2
	benchRounds = 3
)

// TestBenchLegs measures a delta from RBD beside rbd export-diff, and one from a COW file to RBD beside
// export-diff | import-diff between the clusters: interleaved, medians of the wall time. `make
// bench-rbd` asks for it.
func TestBenchLegs(t *testing.T) {
	if os.Getenv("BENCH_RBD") == "" {
		t.Skip("a measurement: make bench-rbd")
	}
	b := newBench(t)
	var export, extract, pipe, leg []float64
	for n := range benchRounds {
		require.NoError(t, os.RemoveAll(filepath.Join(b.l.dir, "export"))) // rbd overwrites nothing
		export = append(export, b.shell("rbd "+b.from+" export-diff --no-progress --from-snap a volumes/src@b $OUT/export"))
		extract = append(extract, b.shell("$DDSGO extract --rbd volumes/src --from a --to b -o $OUT/extract "+strings.Join(b.l.from, " ")))
		b.reset("volumes/pipe", n)
		pipe = append(pipe, b.shell("set -o pipefail; rbd "+b.from+" export-diff --no-progress --from-snap a volumes/src@b - | rbd "+b.to+" import-diff --no-progress - volumes/pipe"))
		b.reset("volumes/leg", n)
		leg = append(leg, b.shell("set -o pipefail; $DDSGO extract --cow $OUT/cow --source $OUT/new | $DDSGO merge --dest rbd:volumes/leg "+strings.Join(b.l.to, " ")))
	}
	b.l.same(b.l.rbd(b.l.lab.Primary, "export", "--no-progress", "volumes/src@b", "-"), b.l.rbd(b.l.lab.Secondary, "export", "--no-progress", "volumes/leg", "-"), "COW file -> rbd")
	fmt.Printf("%d MiB of %d MiB changed; medians of %d interleaved rounds, seconds\n", benchSize/benchEvery>>20, benchSize>>20, benchRounds)
	b.row("extract --rbd > FILE", "rbd export-diff FILE", median(extract), median(export), 0.8)
	b.row("extract --cow | merge --dest rbd:", "export-diff | import-diff", median(leg), median(pipe), 0.6)
}

type benchmark struct {
	l        *leg
	from, to string
}

// newBench has volumes/src with snapshots a and b, volumes/pipe and volumes/leg at a, and the same
// change as a COW file.
func newBench(t *testing.T) *benchmark {
	l := newLeg(t)
	b := &benchmark{l: l, from: "--cluster primary --conf " + l.lab.Primary.Conf, to: "--cluster secondary --conf " + l.lab.Secondary.Conf}
	old := make([]byte, benchSize)
	_, _ = rand.Read(old)
	now := bytes.Clone(old)
	store, err := os.Create(filepath.Join(l.dir, "cow"))
	require.NoError(t, err)
	snap, err := cowtest.New(store, benchSize, benchChunk)
	require.NoError(t, err)
	snap.Lazy = true
	for n := 0; n < benchSize/benchChunk; n += benchEvery {
		p := now[n*benchChunk : (n+1)*benchChunk]
		_, err := snap.Copy(uint64(n), p)
		require.NoError(t, err)
		_, _ = rand.Read(p)
	}
	require.NoError(t, snap.Flush())
	require.NoError(t, store.Truncate(benchSize))
	require.NoError(t, store.Close())
	for name, content := range map[string][]byte{"old": old, "new": now} {
		require.NoError(t, os.WriteFile(filepath.Join(l.dir, name), content, 0o600))
	}
	p, s := l.lab.Primary, l.lab.Secondary
	l.rbd(p, "import", "--no-progress", filepath.Join(l.dir, "old"), "volumes/src")
	l.rbd(p, "snap", "create", "--no-progress", "volumes/src@a")
	for _, image := range []string{"volumes/pipe", "volumes/leg"} {
		l.rbd(s, "import", "--no-progress", filepath.Join(l.dir, "old"), image)
		l.rbd(s, "snap", "create", "--no-progress", image+"@a")
	}
	// The change is written to the image by ddsgo itself, chunk by chunk.
	l.run("extract", "--cow", "cow", "--source", "new", "-o", "delta")
	l.run(append([]string{"merge", "--dest", "rbd:volumes/src", "--force-base", "delta"}, l.from...)...)
	l.rbd(p, "snap", "create", "--no-progress", "volumes/src@b")
	return b
}

// reset makes an image equal to its snapshot a, without any newer snapshot.
func (b *benchmark) reset(image string, round int) {
	if round == 0 {
		return
	}
	s := b.l.lab.Secondary
	b.l.rbd(s, "snap", "rollback", "--no-progress", image+"@a")
	for _, name := range b.l.newer(image) {
		b.l.rbd(s, "snap", "rm", "--no-progress", image+"@"+name)
	}
}

// newer are the snapshots of an image but a.
func (l *leg) newer(image string) []string {
	var names []string
	for line := range strings.Lines(string(l.rbd(l.lab.Secondary, "snap", "ls", image))) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "SNAPID" && f[1] != "a" {
			names = append(names, f[1])
		}
	}
	return names
}

// shell runs a line and returns its seconds.
func (b *benchmark) shell(line string) float64 {
	cmd := exec.CommandContext(b.l.t.Context(), "bash", "-c", line)
	cmd.Env = append(os.Environ(), "DDSGO="+b.l.bin, "OUT="+b.l.dir, "DDSGO_STATE_DIR="+filepath.Join(b.l.dir, "state"), "HOME="+b.l.lab.Home)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	require.NoError(b.l.t, err, "%s: %s", line, out)
	return time.Since(began).Seconds()
}

func (b *benchmark) row(ours, theirs string, o, t, goal float64) {
	verdict := "ok"
	if t/o < goal {
		verdict = "MISSED"
		b.l.t.Errorf("%s: %.2f of the speed of %s, the goal is %.1f", ours, t/o, theirs, goal)
	}
	fmt.Printf("%-36s %6.2f   %-28s %6.2f   ratio %.2f, goal %.1f: %s\n", ours, o, theirs, t, t/o, goal, verdict)
}

func median(s []float64) float64 {
	slices.Sort(s)
	return s[len(s)/2]
}
