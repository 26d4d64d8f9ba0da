//go:build lab

package rbd_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lab/ceph"
)

// pair is a resource on a real lab.
type pair struct {
	t    *testing.T
	lab  *ceph.Lab
	name string
	mode string
	drv  *rbd.Driver

	config rbd.Config
}

const (
	home = "site1"
	away = "site2"
)

func newLab(t *testing.T, opt ceph.Options) *ceph.Lab {
	t.Helper()
	if err := ceph.Check(); err != nil {
		if os.Getenv("LAB") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lab, err := ceph.Up(t.Context(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	t.Cleanup(func() { halfEmpty(t, lab) })
	return lab
}

// halfEmpty: the data of a test stay under half of its OSDs, so that no test meets a full cluster.
func halfEmpty(t *testing.T, lab *ceph.Lab) {
	t.Helper()
	for _, c := range lab.Clusters() {
		if !c.Running(ceph.OSD) || !c.Running(ceph.Mon) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		used, size, err := c.Used(ctx)
		cancel()
		if err == nil {
			require.Less(t, used, size/2, "cluster %s: %d of %d bytes used", c.Name, used, size)
		}
	}
}

func newPair(t *testing.T, lab *ceph.Lab, image, mode string, change ...func(*rbd.Config)) *pair {
	t.Helper()
	cfg := rbd.Config{
		Name: image, Image: rbd.Image{Pool: lab.Pool, Name: image}, Mode: mode,
		Sites: [2]rbd.Site{
			{Name: home, Cluster: cluster(lab.Primary)},
			{Name: away, Cluster: cluster(lab.Secondary)},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	drv, err := rbd.New(cfg)
	require.NoError(t, err)
	return &pair{t: t, lab: lab, name: image, mode: mode, drv: drv, config: cfg}
}

func cluster(c *ceph.Cluster) rbd.Cluster {
	return rbd.Cluster{Name: c.Name, Conf: c.Conf, MirrorSocket: c.MirrorSocket}
}

func (p *pair) spec() string { return p.lab.Pool + "/" + p.name }

func (p *pair) run(g array.Goal, timeout time.Duration) (report.Summary, error) {
	p.t.Helper()
	begin := time.Now()
	sum, err := array.Run(p.t.Context(), p.drv, g, array.Options{Resource: p.name, Timeout: timeout,
		OnStep: func(s report.Step) {
			p.t.Logf("  %5.1fs step %d %s: %s rc %d", time.Since(begin).Seconds(), s.N, s.Site, s.Command, s.RC)
		}})
	p.t.Logf("%s %s: %s in %.1f s %s %v", g.Verb, p.name, sum.Result, time.Since(begin).Seconds(), sum.Reason, sum.Warnings)
	return sum, err
}

func (p *pair) must(g array.Goal) report.Summary {
	p.t.Helper()
	sum, err := p.run(g, 5*time.Minute)
	require.NoError(p.t, err)
	return sum
}

func (p *pair) observe() array.Observation {
	p.t.Helper()
	o, err := p.drv.Observe(p.t.Context())
	require.NoError(p.t, err)
	return o
}

// makeImage imports random content of that many MiB on the primary cluster.
func (p *pair) makeImage(mib int) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "content")
	content := make([]byte, mib<<20)
	_, _ = rand.Read(content)
	require.NoError(p.t, os.WriteFile(file, content, 0o600))
	_, err := p.lab.Primary.Rbd(p.t.Context(), "import", "--no-progress", file, p.spec())
	require.NoError(p.t, err)
}

// write4k writes random blocks over the image, as a client of that cluster.
func (p *pair) write4k(c *ceph.Cluster) {
	p.t.Helper()
	require.NoError(p.t, p.tryWrite(c))
}

func (p *pair) tryWrite(c *ceph.Cluster) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Minute)
	defer cancel()
	_, err := c.Rbd(ctx, "bench", "--io-type", "write", "--io-size", "4K", "--io-total", "1M", "--io-pattern", "rand", p.spec())
	return err
}

func (p *pair) sum(c *ceph.Cluster) string {
	p.t.Helper()
	sum, err := p.trySum(c)
	require.NoError(p.t, err)
	return sum
}

func (p *pair) trySum(c *ceph.Cluster) (string, error) {
	out, err := c.Rbd(p.t.Context(), "export", "--no-progress", p.spec(), "-")
	h := sha256.Sum256(out)
	return hex.EncodeToString(h[:8]), err
}

func (p *pair) identical() {
	p.t.Helper()
	a, b := p.sum(p.lab.Primary), p.sum(p.lab.Secondary)
	require.Equal(p.t, a, b, "content of %s differs", p.spec())
	p.t.Logf("  identical on both clusters: sha256 %s", a)
}

func (p *pair) setup() {
	p.t.Helper()
	p.makeImage(32)
	p.must(array.Goal{Verb: array.Setup})
	p.must(array.Goal{Verb: array.Update})
	p.identical()
}

func eachMode(t *testing.T, f func(t *testing.T, mode string)) {
	for _, mode := range []string{rbd.ModeJournal, rbd.ModeSnapshot} {
		t.Run(mode, func(t *testing.T) { f(t, mode) })
	}
}

// long leaves a case out of the subset that every run of the continuous integration makes.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out with -short: make lab-rbd-full runs it")
	}
}

// TestStory is the whole life of a mirrored image, with content compared at every stage.
func TestStory(t *testing.T) {
	lab := newLab(t, ceph.Options{NoMirror: true})
	require.NoError(t, lab.StartMirrors())
	eachMode(t, func(t *testing.T, mode string) {
		if mode == rbd.ModeJournal {
			long(t)
		}
		p := newPair(t, lab, "story-"+mode, mode)
		p.setup()
		if !t.Run("planned", func(t *testing.T) { long(t); p.on(t).planned() }) {
			return
		}
		p.disaster()
	})
}

// on is the pair for a subtest.
func (p *pair) on(t *testing.T) *pair {
	q := *p
	q.t = t
	return &q
}

// planned: updates, a swap, and the way back, while both clusters live.
func (p *pair) planned() {
	t, lab := p.t, p.lab
	sum := p.must(array.Goal{Verb: array.Setup})
	require.Equal(t, report.ResultNothingToDo, sum.Result)

	p.write4k(lab.Primary)
	p.must(array.Goal{Verb: array.Update})
	p.identical()

	p.write4k(lab.Primary)
	p.must(array.Goal{Verb: array.Swap, Site: away})
	require.Error(t, p.tryWrite(lab.Primary), "the old primary is read-only")
	p.write4k(lab.Secondary)
	p.must(array.Goal{Verb: array.Update})
	p.identical()
	o := p.observe()
	require.Equal(t, away, o.Primary())

	p.must(array.Goal{Verb: array.Failback})
	require.Equal(t, home, p.observe().Primary())
	p.write4k(lab.Primary)
	p.must(array.Goal{Verb: array.Update})
	p.identical()
}

// disaster: the primary cluster dies with unsent writes, the other one takes over, and goes back.
func (p *pair) disaster() {
	t, lab := p.t, p.lab
	sum, err := p.run(array.Goal{Verb: array.Failover, Site: away}, time.Minute)
	require.Error(t, err, "refused while the primary answers")
	require.Equal(t, report.ResultRefused, sum.Result)

	p.write4k(lab.Primary)
	lab.Primary.Kill()
	o := p.observe()
	require.False(t, o.Side(home).Reachable)
	_, err = p.run(array.Goal{Verb: array.Swap, Site: away}, time.Minute)
	require.Error(t, err, "a planned verb needs both sides")

	p.must(array.Goal{Verb: array.Failover, Site: away})
	p.write4k(lab.Secondary)
	require.NoError(t, lab.Primary.Start(t.Context()))
	require.NoError(t, lab.Primary.StartMirror())

	// After a kill -9 the first operations wait for the placement groups, and the watchers of the time
	// before are remembered for 30 s.
	require.Eventually(t, func() bool {
		o = p.observe()
		return o.AllReachable() && o.Side(home).Writers == array.No
	}, 5*time.Minute, time.Second)
	require.Len(t, o.Primaries(), 2)
	require.Equal(t, array.ReplicationError, o.Replication)
	sum, err = p.run(array.Goal{Verb: array.Failback}, time.Minute)
	require.Error(t, err, "whose writes are lost must be said")
	require.Equal(t, report.ResultRefused, sum.Result)
	require.Contains(t, sum.Next, "--discard")

	p.must(array.Goal{Verb: array.Failback, Discard: home, KeepDiscarded: true, Prepare: true})
	p.identical()
	kept, err := lab.Primary.Rbd(t.Context(), "ls", lab.Pool)
	require.NoError(t, err)
	require.Contains(t, string(kept), p.name+".discarded.")
	require.False(t, bytes.Contains(kept, []byte(".partial")))

	p.write4k(lab.Secondary)
	p.must(array.Goal{Verb: array.Failback})
	require.Equal(t, home, p.observe().Primary())
	p.must(array.Goal{Verb: array.Update})
	p.identical()
	p.write4k(lab.Primary)
}
