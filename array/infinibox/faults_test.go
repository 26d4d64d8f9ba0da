package infinibox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/infinibox"
	"github.com/ddsgo/ddsgo/sim/control"
)

// faultAt strikes requests that hold a text.
func (b *bed) faultAt(box int, kind, match string, count int) {
	b.t.Helper()
	_, err := b.sim.AddFault(control.Fault{Array: b.sim.Ready().Arrays[box].Name, Kind: kind, Match: match, Count: count})
	require.NoError(b.t, err)
}

// vanishing deletes the replica behind the driver's back after its first step.
type vanishing struct {
	array.Driver
	bed *bed
}

func (v *vanishing) wrap(d array.Driver) array.Driver { v.Driver = d; return v }

// Do implements array.Driver.
func (v *vanishing) Do(ctx context.Context, s array.Step) error {
	err := v.Driver.Do(ctx, s)
	v.bed.rest(0, "DELETE", fmt.Sprintf("replicas/%d?approved=true", v.bed.first(0, "replicas")), "")
	return err
}

// TestStatusNeverHealthy: odd values are shown as unknown, or as an error, never as fine.
func TestStatusNeverHealthy(t *testing.T) {
	for _, c := range []struct {
		field string
		value any
		mode  string
	}{
		{"state", "RESTING", "async"}, {"state", 7, "async"}, {"state", nil, "async"}, {"state", []int{1}, "async"},
		{"role", "WITNESS", "async"}, {"role", nil, "async"}, {"role", 1.5, "async"},
		{"replication_type", "QUANTUM", "async"}, {"replication_type", "ACTIVE_ACTIVE", "async"},
		{"job_state", "WANDERING", "async"}, {"job_state", "STALLED", "async"},
		{"sync_state", "NEARLY", "sync"}, {"sync_state", nil, "sync"}, {"sync_state", "OUT_OF_SYNC", "sync"}, {"async_mode", true, "sync"},
		{"last_synchronized", "yesterday", "async"}, {"id", "seven", "async"}, {"id", 1e40, "async"},
		{"entity_pairs", "none", "async"}, {"link_state", "SIDEWAYS", "async"}, {"link_state", 3, "async"}, {"link_state", "DOWN", "async"},
		{"remote_replica_id", 12, "async"}, {"concurrent_replica", true, "async"},
	} {
		t.Run(fmt.Sprintf("%s=%v", c.field, c.value), func(t *testing.T) {
			b := newBed(t)
			b.config.Mode = c.mode
			b.replicated()
			f, err := control.NewFault("ibox1", "field_value", c.value)
			require.NoError(t, err)
			f.Match = c.field
			if c.value == nil {
				f.Value = []byte("null")
			}
			_, err = b.sim.AddFault(f)
			require.NoError(t, err)
			r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
			require.NotEqual(t, "up", r.State)
			require.NotEmpty(t, r.Reasons)
			if c.field == "job_state" || c.field == "link_state" || c.field == "sync_state" || c.field == "async_mode" {
				return
			}
			// A box that answers nonsense is not a lost one.
			since := b.lastSeq()
			_, err = b.run(array.Goal{Verb: array.Failover, Site: site2})
			require.Error(t, err)
			require.Empty(t, b.requests(since))
		})
	}
}

// TestBadAnswers: a verb ends with a clear error, or in spite of them.
func TestBadAnswers(t *testing.T) {
	for _, kind := range []string{"html_502", "error_200", "truncate_body", "http_503", "drop_reply"} {
		t.Run(kind+" once", func(t *testing.T) {
			b := newBed(t)
			b.replicated()
			b.faultAt(0, kind, "/sync", 1)
			s, err := b.run(array.Goal{Verb: array.Update})
			if kind == "error_200" {
				require.ErrorContains(t, err, "injected error with HTTP status 200")
				require.Equal(t, 16, s.exit)
				return
			}
			require.NoError(t, err, "an observation tells what became of it")
		})
		t.Run(kind+" always", func(t *testing.T) {
			b := newBed(t)
			b.replicated()
			b.fault(0, kind, nil, 0)
			start := time.Now()
			s, err := b.run(array.Goal{Verb: array.Update})
			require.Error(t, err)
			require.Contains(t, []int{12, 16}, s.exit)
			require.Less(t, time.Since(start), 20*time.Second)
			r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
			require.NotEqual(t, "up", r.State)
		})
	}
}

// TestStalledJob: an update waits for a stalled job, and gives up in the end.
func TestStalledJob(t *testing.T) {
	b := newBed(t)
	b.replicated()
	b.fault(0, "stalled_job", nil, 0)
	s, err := b.run(array.Goal{Verb: array.Update})
	require.ErrorContains(t, err, "STALLED")
	require.Equal(t, 16, s.exit)
	b.sim.ClearFaults()
	require.Equal(t, "done", b.must(array.Goal{Verb: array.Update}).result)

	b.fault(0, "task_fail", nil, 1)
	s, err = b.run(array.Goal{Verb: array.Update})
	require.ErrorContains(t, err, "AUTO_SUSPENDED")
	require.Equal(t, 1, s.exit)
	r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
	require.Equal(t, "warn", r.State)
	require.Equal(t, "not_started", r.Reasons[0].Code)
	require.Contains(t, r.Reasons[0].Text, "SIM_JOB_FAILED", "the box's own reason")
	require.Equal(t, "ddsgo resume rep", *r.Next)
	b.must(array.Goal{Verb: array.Resume})
}

// TestRefusedRoleChange: where the linked SOURCE keeps its role, a swap ends with an
// error and replication goes on; the order is never turned round.
func TestRefusedRoleChange(t *testing.T) {
	b := newBed(t)
	b.replicated()
	b.fault(-1, "change_role", "refuse_source", 0)
	since := b.lastSeq()
	s, err := b.run(array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true})
	require.ErrorContains(t, err, "never turned round")
	require.ErrorContains(t, err, "SIM_LINK_IS_UP")
	require.Equal(t, 16, s.exit)
	for _, r := range b.requests(since) {
		require.NotContains(t, r, "ibox2", "the TARGET is not asked")
	}
	o := b.observe()
	require.Equal(t, site1, o.Primary())
	require.Equal(t, array.Running, o.Replication)
	require.Empty(t, b.world().TwoSources)

	// SYNC replicas exchange their roles in another way.
	b.sim.ClearFaults()
	b.config.Mode = infinibox.ModeSync
	b.must(array.Goal{Verb: array.Create})
	b.fault(-1, "change_role", "refuse_source", 0)
	b.must(array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true})
	require.Equal(t, site2, b.observe().Primary())
}

// TestEagerTarget: a box that would let a linked TARGET become SOURCE is never asked to
// while its peer is SOURCE.
func TestEagerTarget(t *testing.T) {
	b := newBed(t)
	b.replicated()
	b.fault(-1, "change_role", "allow_target", 0)
	s, err := b.run(array.Goal{Verb: array.Failover, Site: site2})
	require.Error(t, err)
	require.Equal(t, 15, s.exit)
	b.must(array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true})
	b.must(array.Goal{Verb: array.Failover, Site: site1, Force: true})
	require.Empty(t, b.world().TwoSources)
	require.Empty(t, b.world().Violations)
}

// TestRemotePermission: the peer's credentials are sent when the box asks for them, and
// only then.
func TestRemotePermission(t *testing.T) {
	b := newBed(t)
	b.volume(0, "vol1", megabyte)
	b.fault(-1, "remote_permission", nil, 0)
	s, err := b.run(array.Goal{Verb: array.Create})
	require.ErrorContains(t, err, "credentials of its peer")
	require.Equal(t, 16, s.exit)
	for i := range b.config.Sites {
		a := b.access(i)
		a.PeerUsername, a.PeerPassword = "infinidat", "123456"
		b.config.Sites[i].Client = b.client(a)
	}
	b.must(array.Goal{Verb: array.Create})
}

// TestApproval: a deletion shows the box's reason and needs --force, whatever the status.
func TestApproval(t *testing.T) {
	for _, status := range []int{403, 409, 200} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			b := newBed(t)
			b.replicated()
			b.fault(-1, "approval_status", status, 0)
			since := b.lastSeq()
			s, err := b.run(array.Goal{Verb: array.Delete})
			require.ErrorContains(t, err, "the box asks for approval")
			require.ErrorContains(t, err, "This operation cannot be undone")
			require.Equal(t, 16, s.exit)
			require.Contains(t, s.next, "--force")
			for _, r := range b.requests(since) {
				require.NotContains(t, r, "approved=true")
			}
			b.must(array.Goal{Verb: array.Delete, Force: true})
			require.Equal(t, "nothing_to_do", b.must(array.Goal{Verb: array.Delete}).result)
		})
	}
}

// TestManagementLost: the home box replicates, but does not answer ddsgo. The TARGET
// knows that its SOURCE lives and refuses; nobody insists.
func TestManagementLost(t *testing.T) {
	b := newBed(t)
	b.replicated()
	b.fault(0, "mgmt_down", nil, 0)
	s, err := b.run(array.Goal{Verb: array.Failover, Site: site2})
	require.ErrorContains(t, err, "two sources are refused")
	require.Equal(t, 16, s.exit)
	s, err = b.run(array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true})
	require.Error(t, err)
	require.Equal(t, 12, s.exit)
	require.Empty(t, b.world().TwoSources)
	r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
	require.Equal(t, "warn", r.State)
	require.Equal(t, "unreachable", r.Reasons[0].Code)
}

// TestSecondAddress: one management address of each box is dead.
func TestSecondAddress(t *testing.T) {
	b := newBed(t)
	for i := range b.config.Sites {
		b.config.Sites[i].Client = b.client(b.access(i, "http://127.0.0.1:1"))
	}
	b.replicated()
	b.must(array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true})
	require.Equal(t, site2, b.observe().Primary())
}

// TestStalledSync: the catching-up of a SYNC replica stalls; waiting for it ends, too.
func TestStalledSync(t *testing.T) {
	b := newBed(t)
	b.config.Mode = infinibox.ModeSync
	b.volume(0, "vol1", megabyte)
	b.fault(0, "stalled_job", nil, 0)
	b.must(array.Goal{Verb: array.Create})
	s, err := b.run(array.Goal{Verb: array.Update})
	require.ErrorContains(t, err, "STALLED")
	require.Equal(t, 16, s.exit)
	b.config.Mode = infinibox.ModeAsync
	s, err = b.run(array.Goal{Verb: array.Create}) // a change of type waits for the first copy
	require.ErrorContains(t, err, "STALLED")
	require.Equal(t, 16, s.exit)
}
