package infinibox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/infinibox"
)

// golden replaces the replicas' ids by words.
func (b *bed) golden(since uint64) []string {
	b.t.Helper()
	out := b.requests(since)
	here, there := b.first(0, "replicas"), b.first(1, "replicas")
	for i := range out {
		out[i] = strings.ReplaceAll(strings.ReplaceAll(out[i], fmt.Sprint(here), "R1"), fmt.Sprint(there), "R2")
	}
	return out
}

// TestRequests is the wire form of every verb.
func TestRequests(t *testing.T) {
	b := newBed(t)
	b.replicated()
	demote1 := []string{"ibox1 POST /api/rest/replicas/R1/change_role null", "ibox1 POST /api/rest/replicas/R1/change_role?approved=true null"}
	promote2 := []string{"ibox2 POST /api/rest/replicas/R2/change_role null", "ibox2 POST /api/rest/replicas/R2/change_role?approved=true null"}
	swap := append(append([]string{"ibox1 POST /api/rest/replicas/R1/sync", "ibox1 POST /api/rest/replicas/R1/suspend"}, demote1...), promote2...)
	for _, c := range []struct {
		goal array.Goal
		want []string
	}{
		{array.Goal{Verb: array.Update}, []string{"ibox1 POST /api/rest/replicas/R1/sync"}},
		{array.Goal{Verb: array.Break}, []string{"ibox1 POST /api/rest/replicas/R1/suspend"}},
		{array.Goal{Verb: array.Resume}, []string{"ibox1 POST /api/rest/replicas/R1/resume"}},
		{array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true}, append(swap, "ibox2 POST /api/rest/replicas/R2/resume")},
	} {
		t.Run(string(c.goal.Verb), func(t *testing.T) {
			require.NoError(t, b.sim.Advance(5*time.Second))
			since := b.lastSeq()
			b.must(c.goal)
			require.Equal(t, c.want, b.golden(since))
		})
	}
	t.Run("approved where the box does not ask", func(t *testing.T) {
		sync := newBed(t)
		sync.config.Mode = infinibox.ModeSync
		sync.replicated()
		since := sync.lastSeq()
		sync.must(array.Goal{Verb: array.Swap, Site: site2})
		require.Equal(t, []string{"ibox1 POST /api/rest/replicas/R1/switch_role", "ibox1 POST /api/rest/replicas/R1/switch_role?approved=true"}, sync.golden(since))
	})
}

// TestUpdateIsNotOlderThanTheCall: a job that runs when the verb is called does not count.
func TestUpdateIsNotOlderThanTheCall(t *testing.T) {
	b := newBed(t)
	b.replicated()
	b.fault(-1, "task_seconds", 30, 0)
	b.rest(0, "POST", fmt.Sprintf("replicas/%d/sync?approved=true", b.first(0, "replicas")), "")
	require.NoError(t, b.write(0, "vol1", "after the job began"))
	b.must(array.Goal{Verb: array.Update})
	require.Equal(t, "after the job began", b.read(1, "vol1"))
}

// TestFailoverAndBack: what is reported is the restore point; two SOURCEs are never
// reported as fine; the way back keeps what --discard gives up.
func TestFailoverAndBack(t *testing.T) {
	b := newBed(t)
	b.replicated()
	require.NoError(t, b.write(0, "vol1", "sent"))
	b.must(array.Goal{Verb: array.Update})
	require.NoError(t, b.write(0, "vol1", "lost"))
	point := b.rest(1, "GET", fmt.Sprintf("replicas/%d", b.first(1, "replicas")), "")["restore_point"].(float64)

	_, err := b.run(array.Goal{Verb: array.Failover, Site: site2})
	require.ErrorContains(t, err, "would make two primaries")
	b.fault(0, "array_down", nil, 0)
	s := b.must(array.Goal{Verb: array.Failover, Site: site2})
	require.Equal(t, time.UnixMilli(int64(point)).UTC().Format(time.RFC3339Nano), s.info["restore_point"])
	require.Equal(t, "sent", b.read(1, "vol1"))
	require.NoError(t, b.write(1, "vol1", "of site2"))

	b.sim.ClearFaults()
	r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
	require.Equal(t, "down", r.State)
	require.Equal(t, "both", r.Role)
	require.Equal(t, "two_primaries", r.Reasons[0].Code)
	require.Contains(t, *r.Next, "failback rep --discard")

	since := b.lastSeq()
	_, err = b.run(array.Goal{Verb: array.Failback, WritersStopped: true})
	require.ErrorContains(t, err, "site1 holds writes that exist only there")
	require.Empty(t, b.requests(since))
	b.must(array.Goal{Verb: array.Failback, Prepare: true, Discard: site1, KeepDiscarded: true})
	require.Equal(t, site2, b.observe().Primary())
	kept := ""
	for _, v := range b.world().Arrays[0].Volumes {
		if name := v["name"].(string); strings.HasPrefix(name, "vol1-discarded-") {
			kept = name
		}
	}
	require.Equal(t, "lost", b.read(0, kept), "what was given up is kept")
	require.NoError(t, b.write(1, "vol1", "last of site2"))
	b.must(array.Goal{Verb: array.Failback, WritersStopped: true})
	require.Equal(t, "last of site2", b.read(0, "vol1"))
	o := b.observe()
	require.Equal(t, site1, o.Primary())
	require.Equal(t, array.Running, o.Replication)
}

// TestFailoverNeedsACopy: a TARGET without a complete first copy is not promoted.
func TestFailoverNeedsACopy(t *testing.T) {
	b := newBed(t)
	b.volume(0, "vol1", megabyte)
	b.fault(-1, "task_seconds", 1000, 0)
	b.must(array.Goal{Verb: array.Create})
	o := b.observe()
	require.Equal(t, array.Initial, o.Replication)
	require.Nil(t, o.LastSync, "never, not the epoch")
	require.Nil(t, array.Report("rep", b.driver().Capabilities(), o, "", time.Now()).LagSeconds)
	b.fault(0, "array_down", nil, 0)
	s, err := b.run(array.Goal{Verb: array.Failover, Site: site2})
	require.ErrorContains(t, err, "never been synchronized")
	require.Equal(t, 15, s.exit)
}

// TestChangeType is S4.6.
func TestChangeType(t *testing.T) {
	b := newBed(t)
	b.volume(0, "vol1", megabyte)
	b.must(array.Goal{Verb: array.Create})
	require.Equal(t, array.Initial, b.observe().Replication)

	b.config.Mode = infinibox.ModeSync
	r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
	require.Equal(t, "wrong_mode", r.Reasons[0].Code)
	since := b.lastSeq()
	b.must(array.Goal{Verb: array.Create}) // waits for the first copy: INITIALIZING refuses it
	require.Equal(t, []string{"ibox1 POST /api/rest/replicas/R1/change_type_to_sync {}", "ibox1 POST /api/rest/replicas/R1/change_type_to_sync?approved=true {}"}, b.golden(since))
	b.must(array.Goal{Verb: array.Update})
	o := b.observe()
	require.Equal(t, "SYNC", o.Mode)
	require.Equal(t, array.Synced, o.Members[0].Sync)
	require.Nil(t, o.Members[0].SyncPoint)
	require.NoError(t, b.write(0, "vol1", "at once"))
	require.Equal(t, "at once", b.read(1, "vol1"))

	b.config.Mode, b.config.Interval, b.config.RPO = infinibox.ModeAsync, time.Minute, 5*time.Minute
	since = b.lastSeq()
	b.must(array.Goal{Verb: array.Create})
	require.Equal(t, `ibox1 POST /api/rest/replicas/R1/change_type_to_async {"sync_interval":60000,"rpo_value":300000}`, b.golden(since)[0])
	require.Equal(t, "ASYNC", b.observe().Mode)
	b.config.Interval = 2 * time.Minute
	since = b.lastSeq()
	b.must(array.Goal{Verb: array.Create})
	require.Equal(t, []string{`ibox1 PUT /api/rest/replicas/R1 {"sync_interval":120000,"rpo_value":300000}`}, b.golden(since))
	require.Equal(t, "nothing_to_do", b.must(array.Goal{Verb: array.Create}).result)
}

// TestOtherName: the copy has a name of its own, and is found by it when home is dead.
func TestOtherName(t *testing.T) {
	for _, auto := range []bool{true, false} {
		b := newBed(t)
		if !auto {
			b = newBed(t, without("replica_auto_create"))
		}
		b.config.Sites[1].Entity = "copy-of-vol1"
		b.replicated()
		require.Equal(t, "copy-of-vol1", b.observe().Members[0].Peer)
		b.fault(0, "array_down", nil, 0)
		b.must(array.Goal{Verb: array.Failover, Site: site2})
		require.NoError(t, b.write(1, "copy-of-vol1", "x"))
	}
	// Made by another hand under a name that the configuration does not know.
	b := newBed(t)
	b.config.Sites[1].Entity = "copy"
	b.replicated()
	b.config.Sites[1].Entity = ""
	require.Equal(t, array.RoleSecondary, b.observe().Side(site2).Role)
}

// TestConcurrent: a second replica of the entity is shown, and nothing is done.
func TestConcurrent(t *testing.T) {
	b := newBed(t)
	b.replicated()
	d := b.driver()
	o := b.observe()
	raw := o.Side(site1).Native["infinibox"]
	require.NotNil(t, raw)
	infinibox.AddOther(o, site1)
	for _, v := range d.Capabilities().Verbs {
		if v == array.VolumeCreate || v == array.VolumeDelete || v == array.Setup {
			continue
		}
		_, err := d.Plan(o, array.Goal{Verb: v, Site: site2})
		require.Equal(t, array.KindUnsupported, array.KindOf(err), "%s: %v", v, err)
	}
}

// TestUnsupported verbs give their reason.
func TestUnsupported(t *testing.T) {
	b := newBed(t)
	for _, v := range []array.Verb{array.Start, array.Revert, array.Resync, array.VolumeAttach, array.VolumeDetach, array.Add, array.Remove} {
		s, err := b.run(array.Goal{Verb: v, Site: site2})
		require.Error(t, err)
		require.Equal(t, 17, s.exit, v)
		require.NotContains(t, s.reason, "does not know it")
	}
}

// stopAfter ends a run after so many steps, as a kill would.
func (b *bed) stopAfter(g array.Goal, n int) {
	b.t.Helper()
	_, err := array.Run(b.t.Context(), b.driver(), g, array.Options{Resource: "NAME", Timeout: time.Minute, Sleep: b.sleep, AfterStep: func(k int, _ array.Step) error {
		if k == n {
			return errKilled
		}
		return nil
	}})
	require.ErrorIs(b.t, err, errKilled)
}

var errKilled = errors.New("killed")

// TestCutOffSwap: a swap that was killed anywhere is finished by the same swap, until
// replication runs again; and a swap never undoes a break.
func TestCutOffSwap(t *testing.T) {
	for n := 1; n <= 5; n++ {
		b := newBed(t)
		b.replicated()
		require.NoError(t, b.write(0, "vol1", "all of it"))
		g := array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true}
		b.stopAfter(g, n)
		b.must(g)
		o := b.observe()
		require.Equal(t, site2, o.Primary(), "killed after step %d", n)
		require.Equal(t, array.Running, o.Replication, "killed after step %d", n)
		require.Equal(t, "all of it", b.read(1, "vol1"))
		require.Empty(t, b.world().TwoSources)
	}
	b := newBed(t)
	b.replicated()
	b.must(array.Goal{Verb: array.Break})
	s := b.must(array.Goal{Verb: array.Swap, Site: site1})
	require.Equal(t, "nothing_to_do", s.result)
	require.Contains(t, s.warnings[0], "ddsgo resume")
	require.Equal(t, array.Held, b.observe().Replication)
}

// TestForcedFailover: a SOURCE that answers loses its role first; one that answers
// nonsense is given up only with --force.
func TestForcedFailover(t *testing.T) {
	b := newBed(t)
	b.replicated()
	since := b.lastSeq()
	b.must(array.Goal{Verb: array.Failover, Site: site2, Force: true})
	require.Equal(t, []string{
		"ibox1 POST /api/rest/replicas/R1/suspend", "ibox1 POST /api/rest/replicas/R1/change_role null", "ibox1 POST /api/rest/replicas/R1/change_role?approved=true null",
		"ibox2 POST /api/rest/replicas/R2/change_role null", "ibox2 POST /api/rest/replicas/R2/change_role?approved=true null",
	}, b.golden(since))
	require.Empty(t, b.world().TwoSources)

	b = newBed(t)
	b.replicated()
	b.fault(0, "error_200", nil, 0)
	b.fault(-1, "link_down", nil, 0)
	_, err := b.run(array.Goal{Verb: array.Failover, Site: site2})
	require.ErrorContains(t, err, "cannot be understood")
	b.must(array.Goal{Verb: array.Failover, Site: site2, Force: true})
	require.Equal(t, array.RolePrimary, b.observe().Side(site2).Role)
}

// TestKeepDiscarded of every kind of entity.
func TestKeepDiscarded(t *testing.T) {
	for _, kind := range []string{infinibox.KindVolume, infinibox.KindFilesystem, infinibox.KindGroup} {
		t.Run(kind, func(t *testing.T) {
			b := newBed(t)
			b.config.Kind = kind
			member := "vol1"
			if kind == infinibox.KindGroup {
				member = "a"
				b.group(0, "vol1", member)
			} else {
				b.entity(0, kind+"s", "vol1", megabyte)
			}
			b.must(array.Goal{Verb: array.Create})
			b.idle()
			require.NoError(t, b.write(0, member, "kept"))
			b.fault(0, "array_down", nil, 0)
			b.must(array.Goal{Verb: array.Failover, Site: site2})
			b.sim.ClearFaults()
			b.faultAt(0, "drop_reply", "POST /api/rest/"+map[string]string{"volume": "volumes", "filesystem": "filesystems", "cg": "cgs"}[kind], 1)
			b.must(array.Goal{Verb: array.Failback, WritersStopped: true, Discard: site1, KeepDiscarded: true})
			kept := 0
			for _, v := range b.world().Arrays[0].Volumes {
				if name := v["name"].(string); strings.Contains(name, "-discarded-") {
					kept++
					require.Equal(t, "kept", b.read(0, name))
				}
			}
			require.Equal(t, 1, kept, "once, although the reply was lost")
		})
	}
}
