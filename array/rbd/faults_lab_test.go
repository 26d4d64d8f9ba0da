//go:build lab

package rbd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lab/ceph"
)

// TestFaults runs on one lab whose state each case mends; the order matters only for the time it takes.
func TestFaults(t *testing.T) {
	lab := newLab(t, ceph.Options{})
	t.Run("bad input", func(t *testing.T) { badInput(t, lab) })
	eachMode(t, func(t *testing.T, mode string) { long(t); pauseHolds(t, lab, mode) })
	if testing.Short() { // the image that the cases after it use
		p := newPair(t, lab, "pause-journal", rbd.ModeJournal)
		p.makeImage(4)
		p.must(array.Goal{Verb: array.Setup})
	}
	t.Run("writers", func(t *testing.T) { long(t); writersRefused(t, lab) })
	t.Run("first copy", func(t *testing.T) { long(t); firstCopyRefused(t, lab) })
	t.Run("restart ends a pause", func(t *testing.T) { long(t); pauseEndedByRestart(t, lab) })
	t.Run("daemon killed", func(t *testing.T) { long(t); daemonKilled(t, lab) })
	t.Run("osd frozen", func(t *testing.T) { long(t); osdFrozen(t, lab) })
	t.Run("peer's monitors dead", func(t *testing.T) { monitorsDead(t, lab) })
}

// badInput: each is told apart, within a second, with the next command.
func badInput(t *testing.T, lab *ceph.Lab) {
	wrongKey := filepath.Join(t.TempDir(), "secondary.conf")
	conf, err := os.ReadFile(lab.Secondary.Conf)
	require.NoError(t, err)
	keyring, err := os.ReadFile(filepath.Join(lab.Secondary.Dir, "keyring"))
	require.NoError(t, err)
	forged := filepath.Join(t.TempDir(), "keyring")
	key := "[client.admin]\n\tkey = AQAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAA==\n"
	require.NoError(t, os.WriteFile(forged, []byte(key), 0o600))
	require.NotContains(t, string(keyring), key)
	conf = []byte(strings.ReplaceAll(string(conf), filepath.Join(lab.Secondary.Dir, "keyring"), forged))
	require.NoError(t, os.WriteFile(wrongKey, conf, 0o600))

	plain := newPair(t, lab, "plain", rbd.ModeJournal)
	plain.makeImage(4)
	limit := withinASecond(t, plain)
	said := map[string]bool{}
	for name, c := range map[string]struct {
		change func(*rbd.Config)
		code   int
		words  string
	}{
		"no image":     {func(c *rbd.Config) { c.Image.Name = "nosuch" }, failure.CodeRefused, "no image"},
		"no pool":      {func(c *rbd.Config) { c.Image.Pool = "nopool" }, failure.CodeRefused, "no pool"},
		"no cluster":   {func(c *rbd.Config) { c.Sites[1].Cluster = rbd.Cluster{Name: "nosuch"} }, failure.CodeUnreachable, rbd.ErrNoCluster.Error()},
		"wrong key":    {func(c *rbd.Config) { c.Sites[1].Cluster.Conf = wrongKey }, failure.CodeUnreachable, rbd.ErrNoPermission.Error()},
		"no such user": {func(c *rbd.Config) { c.Sites[1].Cluster.User = "nobody" }, failure.CodeUnreachable, rbd.ErrNoPermission.Error()},
		"not mirrored": {func(*rbd.Config) {}, failure.CodeRefused, "not mirrored"},
	} {
		p := newPair(t, lab, "plain", rbd.ModeJournal, c.change)
		begin := time.Now()
		sum, err := p.run(array.Goal{Verb: array.Update}, time.Minute)
		require.Error(t, err, name)
		require.Contains(t, sum.Reason, c.words, name)
		require.Equal(t, c.code, sum.ExitCode, name)
		require.NotEmpty(t, sum.Next, name)
		took := time.Since(begin)
		t.Logf("%s: refused in %.1f s", name, took.Seconds())
		require.Less(t, took, limit, name)
		require.False(t, said[sum.Reason], "told apart: %s", sum.Reason)
		said[sum.Reason] = true
	}
}

// callsInARow is how many calls one after the other a refusal may cost.
const callsInARow = 8

// withinASecond is a second, where a call to Ceph takes what it takes on an idle machine; on a busy one
// it is what so many calls take now.
func withinASecond(t *testing.T, p *pair) time.Duration {
	t.Helper()
	var slowest time.Duration
	for range 3 {
		begin := time.Now()
		_, err := p.lab.Primary.Rbd(t.Context(), "info", p.spec())
		require.NoError(t, err)
		slowest = max(slowest, time.Since(begin))
	}
	t.Logf("a call takes %.2f s now", slowest.Seconds())
	return max(time.Second, callsInARow*slowest)
}

// pauseHolds: after break production writes, the peer's image keeps its id and its content; resume catches up.
func pauseHolds(t *testing.T, lab *ceph.Lab, mode string) {
	p := newPair(t, lab, "pause-"+mode, mode, func(c *rbd.Config) {
		if mode == rbd.ModeSnapshot {
			c.Schedules = []string{"1m"}
		}
	})
	p.setup()
	p.must(array.Goal{Verb: array.Break})
	sum := p.must(array.Goal{Verb: array.Break})
	require.Equal(t, report.ResultNothingToDo, sum.Result)
	id, content := p.imageID(lab.Secondary), p.sum(lab.Secondary)
	p.write4k(lab.Primary)
	hold := 20 * time.Second // of writes that a running replication would have brought over many times
	if mode == rbd.ModeSnapshot {
		hold = 75 * time.Second // more than the schedule that was paused
	}
	for end := time.Now().Add(hold); time.Now().Before(end); {
		require.Equal(t, array.Held, p.observe().Replication)
	}
	require.Equal(t, content, p.sum(lab.Secondary), "the copy moved while held")
	require.Equal(t, id, p.imageID(lab.Secondary))
	p.must(array.Goal{Verb: array.Resume})
	p.must(array.Goal{Verb: array.Update})
	p.identical()
	require.Equal(t, id, p.imageID(lab.Secondary))
}

func (p *pair) imageID(c *ceph.Cluster) string {
	p.t.Helper()
	info, err := rbd.NewCLI(cluster(c), rbd.Times{}, nil).Info(p.t.Context(), rbd.Image{Pool: p.lab.Pool, Name: p.name})
	require.NoError(p.t, err)
	return info.ID
}

// writersRefused: a client that has the image open stops a swap, before anything is done.
func writersRefused(t *testing.T, lab *ceph.Lab) {
	p := newPair(t, lab, "open", rbd.ModeJournal)
	p.setup()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // opens the image for writing, leaves no journal to replay, and lasts until it is stopped
		defer close(done)
		_, _ = lab.Primary.Rbd(ctx, "bench", "--io-type", "read", "--io-size", "4K", "--io-total", "1T", "--io-threads", "1", "--io-pattern", "rand", p.spec())
	}()
	defer func() { stop(); <-done }()
	require.Eventually(t, func() bool { return p.observe().Side(home).Writers == array.Yes }, 2*time.Minute, 200*time.Millisecond)
	sum, err := p.run(array.Goal{Verb: array.Swap, Site: away}, time.Minute)
	require.Error(t, err)
	require.Equal(t, report.ResultRefused, sum.Result)
	require.Equal(t, home, p.observe().Primary())
}

// firstCopyRefused: source and daemon die in the middle of the first copy. The daemon is killed as soon
// as it has made the snapshot that it copies into; a copy of that size takes longer than to see that.
func firstCopyRefused(t *testing.T, lab *ceph.Lab) {
	p := newPair(t, lab, "first", rbd.ModeJournal)
	p.makeImage(512)
	seen := make(chan bool, 1)
	go func() {
		for t.Context().Err() == nil {
			out, err := lab.Secondary.Rbd(t.Context(), "snap", "ls", "--all", "--format", "json", p.spec())
			if err == nil && strings.Contains(string(out), `".rbd-mirror.`) {
				lab.Secondary.Kill(ceph.Mirror)
				seen <- true
				return
			}
		}
		seen <- false
	}()
	_, err := p.run(array.Goal{Verb: array.Setup}, 3*time.Minute)
	t.Logf("setup beside the death of the daemon: %v", err) // may need the daemon, or not
	require.True(t, <-seen)
	lab.Primary.Kill()
	defer p.mend()
	o := p.observe()
	t.Logf("target: %v", o.Side(away).Native["description"])
	var sum report.Summary
	sum, err = p.run(array.Goal{Verb: array.Failover, Site: away}, time.Minute)
	require.Error(t, err)
	require.Equal(t, report.ResultRefused, sum.Result)
	require.Contains(t, sum.Reason, "first copy")
	require.Equal(t, array.RoleSecondary, p.observe().Side(away).Role)
}

// mend brings the primary cluster and both daemons back; the first copy that was cut off is then made.
func (p *pair) mend() {
	p.t.Helper()
	require.NoError(p.t, p.lab.Primary.Start(p.t.Context()))
	p.lab.Secondary.Kill(ceph.Mirror) // it may hang on what died
	require.NoError(p.t, p.lab.StartMirrors())
	p.waitRunning()
	p.must(array.Goal{Verb: array.Update})
	p.identical()
}

// waitRunning waits for daemons that have just been started.
func (p *pair) waitRunning() {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		o := p.observe()
		return o.AllReachable() && o.Replication == array.Running
	}, 5*time.Minute, time.Second)
}

// pauseEndedByRestart: a restarted rbd-mirror replays again; that is shown beside the note of the break.
func pauseEndedByRestart(t *testing.T, lab *ceph.Lab) {
	p := newPair(t, lab, "pause-journal", rbd.ModeJournal)
	p.must(array.Goal{Verb: array.Break})
	require.Equal(t, array.Held, p.observe().Replication)
	lab.Secondary.Stop(ceph.Mirror)
	require.NoError(t, lab.Secondary.StartMirror())
	require.Eventually(t, func() bool { // until its socket answers, its report is from before
		o := p.observe()
		return o.Side(away).Native["rbd_mirror"] == "Replaying" && strings.Contains(reasons(o), "restart ended the pause")
	}, 3*time.Minute, time.Second)
	require.Equal(t, report.ResultDone, p.must(array.Goal{Verb: array.Break}).Result, "a break holds it again")
	require.Equal(t, array.Held, p.observe().Replication)
	p.must(array.Goal{Verb: array.Resume})
	p.must(array.Goal{Verb: array.Update})
	p.identical()
}

// daemonKilled: the pool's own health says OK; the driver does not.
func daemonKilled(t *testing.T, lab *ceph.Lab) {
	p := newPair(t, lab, "pause-journal", rbd.ModeJournal)
	lab.Secondary.Kill(ceph.Mirror)
	require.Eventually(t, func() bool { return p.observe().Replication == array.Stopped }, 5*time.Minute, time.Second)
	p.write4k(lab.Primary)
	require.NoError(t, lab.Secondary.StartMirror())
	p.waitRunning()
	p.must(array.Goal{Verb: array.Update})
	p.identical()
}

// osdFrozen: an observation ends within its time-outs and says that the side was not read.
func osdFrozen(t *testing.T, lab *ceph.Lab) {
	p := newPair(t, lab, "pause-journal", rbd.ModeJournal, func(c *rbd.Config) { c.Times.Op = 2 * time.Second })
	lab.Secondary.Freeze(ceph.OSD)
	begin := time.Now()
	o := p.observe()
	took := time.Since(begin)
	lab.Secondary.Thaw(ceph.OSD)
	require.False(t, o.Side(away).Reachable)
	require.Contains(t, o.Side(away).Error, rbd.ErrTimeout.Error())
	require.True(t, o.Side(home).Reachable)
	require.Less(t, took, 40*time.Second)
	p.waitRunning()
	p.must(array.Goal{Verb: array.Update})
	p.identical()
}

// monitorsDead: configuration and keyring of the peer are there, but nobody answers.
func monitorsDead(t *testing.T, lab *ceph.Lab) {
	p := newPair(t, lab, "pause-journal", rbd.ModeJournal)
	lab.Secondary.Kill()
	// 5 s is the connection time-out that the driver gives; what is more is this machine's.
	slack := 4 * withinASecond(t, p)
	begin := time.Now()
	o := p.observe()
	took := time.Since(begin)
	t.Logf("a cluster without monitors is given up after %.1f s", took.Seconds())
	require.Less(t, took, 5*time.Second+slack)
	require.False(t, o.Side(away).Reachable)
	require.Contains(t, o.Side(away).Error, rbd.ErrUnreachable.Error())
	require.Equal(t, home, o.Primary())
	_, err := p.run(array.Goal{Verb: array.Resync, Discard: away}, time.Minute)
	require.Error(t, err, "no resync while the peer is silent")
	require.NoError(t, lab.Secondary.Start(t.Context()))
	require.NoError(t, lab.Secondary.StartMirror())
}
