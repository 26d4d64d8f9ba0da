package infinibox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/sim/control"
)

// TestPlannedSwap is the ASYNC swap of the operations table: never two sides writable.
func TestPlannedSwap(t *testing.T) {
	l := start(t)
	id, far := l.replicate("vol1", "ASYNC")
	l.write(1, "vol1", "old")
	l.advance(3 * time.Second)
	l.refused(409, "SIM_NOT_SUSPENDED", 1, "POST", fmt.Sprintf("replicas/%d/change_role", id), `null`)
	l.refused(409, "SIM_NOT_SOURCE", 2, "POST", fmt.Sprintf("replicas/%d/suspend", far), "")
	l.act(1, id, "sync")
	l.advance(3 * time.Second)
	l.act(1, id, "suspend")
	l.refused(409, "SIM_NOT_ACTIVE", 1, "POST", fmt.Sprintf("replicas/%d/sync", id), "")
	l.refused(409, "SIM_REMOTE_IS_SOURCE", 2, "POST", fmt.Sprintf("replicas/%d/change_role", far), `null`)
	l.ok(1, "POST", fmt.Sprintf("replicas/%d/change_role", id), `null`)
	require.Error(t, l.tryWrite(1, "vol1", "x"))
	require.Error(t, l.tryWrite(2, "vol1", "x"), "for a moment nobody writes")
	l.ok(2, "POST", fmt.Sprintf("replicas/%d/change_role", far), `null`)
	require.Equal(t, "SUSPENDED", l.replica(2, far).field("state"))
	l.act(2, far, "resume")
	l.write(2, "vol1", "new")
	l.act(2, far, "sync")
	l.advance(5 * time.Second)
	require.Equal(t, "new", l.read(1, "vol1", 3))
	require.Empty(t, l.sim.Violations())
	require.Empty(t, l.sim.State().(state).TwoSources)
}

// TestFailoverAndBack: the source's box dies, the target takes over, both are
// SOURCE when it returns, and nothing is replicated until one side gives in.
func TestFailoverAndBack(t *testing.T) {
	l := start(t)
	id, far := l.replicate("vol1", "ASYNC")
	l.write(1, "vol1", "sent")
	l.act(1, id, "sync")
	l.advance(5 * time.Second)
	point := l.replica(2, far).num("restore_point")
	l.write(1, "vol1", "lost")

	l.fault("ibox1", "array_down", "", "", 0)
	require.Equal(t, "DOWN", l.ok(2, "GET", fmt.Sprintf("links/%d", l.linkID(2)), "").field("link_state"))
	l.ok(2, "POST", fmt.Sprintf("replicas/%d/change_role", far), `null`)
	require.Equal(t, point, l.replica(2, far).num("restore_point"))
	require.Equal(t, "sent", l.read(2, "vol1", 4))
	l.write(2, "vol1", "site2")
	require.Equal(t, true, l.refused(409, "SIM_REMOTE_UNREACHABLE", 2, "POST", fmt.Sprintf("replicas/%d/resume", far), "").Error["is_remote"])

	l.sim.ClearFaults()
	require.Equal(t, "AUTO_SUSPENDED", l.replica(1, id).field("state"))
	require.NotNil(t, l.replica(1, id).field("state_reason"))
	require.Equal(t, "SOURCE", l.replica(2, far).field("role"))
	l.refused(409, "SIM_REMOTE_IS_NOT_TARGET", 2, "POST", fmt.Sprintf("replicas/%d/resume", far), "")
	l.refused(409, "SIM_REMOTE_IS_NOT_TARGET", 1, "POST", fmt.Sprintf("replicas/%d/resume", id), "")
	l.advance(24 * time.Hour)
	require.Equal(t, "lost", l.read(1, "vol1", 4))
	require.Equal(t, "site2", l.read(2, "vol1", 5))

	l.ok(1, "POST", fmt.Sprintf("replicas/%d/change_role", id), `null`)
	l.act(2, far, "resume")
	l.advance(3 * time.Second)
	require.Equal(t, "site2", l.read(1, "vol1", 5))
	require.Len(t, l.sim.State().(state).TwoSources, 1)
	require.False(t, l.sim.State().(state).TwoSources[0].LinkUp)
	require.Len(t, l.sim.Violations(), 1, "the write that was lost is on record")
}

// TestChangeRoleFaults: what a real linked box does is not public; both are offered.
func TestChangeRoleFaults(t *testing.T) {
	l := start(t)
	id, far := l.replicate("vol1", "ASYNC")
	l.advance(3 * time.Second)
	l.act(1, id, "suspend")
	l.fault("", "change_role", `"refuse_source"`, "", 0)
	l.refused(409, "SIM_LINK_IS_UP", 1, "POST", fmt.Sprintf("replicas/%d/change_role", id), `null`)
	l.sim.ClearFaults()
	l.fault("", "change_role", `"allow_target"`, "", 0)
	l.ok(2, "POST", fmt.Sprintf("replicas/%d/change_role", far), `null`)
	require.True(t, l.sim.State().(state).TwoSources[0].LinkUp)
}

// TestStalledJob: a job without link stalls, then the replica suspends itself,
// then it tries again.
func TestStalledJob(t *testing.T) {
	l := start(t)
	id, _ := l.replicate("vol1", "ASYNC")
	l.advance(3 * time.Second)
	l.ok(1, "PUT", fmt.Sprintf("replicas/%d", id), `{"temporary_failure_retry_interval":30000,"temporary_failure_retry_count":2,"permanent_failure_wait_interval":300000}`)
	l.act(1, id, "sync")
	l.fault("", "link_down", "", "", 0)
	l.advance(30 * time.Second)
	require.Equal(t, "STALLED", l.replica(1, id).field("job_state"))
	require.Equal(t, "ACTIVE", l.replica(1, id).field("state"))
	l.advance(31 * time.Second)
	require.Equal(t, "AUTO_SUSPENDED", l.replica(1, id).field("state"))
	require.Equal(t, "SIM_LINK_LOST", l.replica(1, id).field("state_reason"))
	l.sim.ClearFaults()
	l.advance(200 * time.Second)
	require.Equal(t, "AUTO_SUSPENDED", l.replica(1, id).field("state"))
	l.advance(101 * time.Second)
	require.Equal(t, "ACTIVE", l.replica(1, id).field("state"))

	l.advance(10 * time.Second)
	l.act(1, id, "sync")
	l.fault("ibox1", "stalled_job", "", "", 0)
	l.advance(time.Hour)
	require.Equal(t, "STALLED", l.replica(1, id).field("job_state"))
	l.sim.ClearFaults()
	l.fault("ibox1", "task_fail", "", "", 1)
	l.advance(2 * time.Second)
	require.Equal(t, "SIM_JOB_FAILED", l.replica(1, id).field("state_reason"))
}

// TestDeleteWithoutPeer: a dead peer blocks a deletion unless it is forced, and
// what is left there can be removed there.
func TestDeleteWithoutPeer(t *testing.T) {
	l := start(t)
	id, far := l.replicate("vol1", "ASYNC")
	l.advance(3 * time.Second)
	l.fault("ibox2", "array_down", "", "", 0)
	require.Equal(t, true, l.refused(409, "SIM_REMOTE_UNREACHABLE", 1, "DELETE", fmt.Sprintf("replicas/%d", id), "").Error["is_remote"])
	l.ok(1, "DELETE", fmt.Sprintf("replicas/%d?force_if_remote_error=true&retain_staging_area=false", id), "")
	l.sim.ClearFaults()
	require.Equal(t, "TARGET", l.replica(2, far).field("role"))
	require.Error(t, l.tryWrite(2, "vol1", "x"))
	l.ok(2, "DELETE", fmt.Sprintf("replicas/%d?force_on_target=true", far), "")
	l.write(2, "vol1", "x")
}

// TestRolesProperty drives random actions and faults: with the link up the boxes
// never let both sides become writable, and a target never changes but by a job.
func TestRolesProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sim, err := Start(t.Context(), Options{Dir: t.TempDir(), Clock: control.Manual})
		require.NoError(rt, err)
		defer func() { require.NoError(rt, sim.Close()) }()
		l := &lab{t: t, sim: sim}
		id, far := l.replicate("vol1", rapid.SampledFrom([]string{"ASYNC", "SYNC"}).Draw(rt, "type"))
		l.advance(3 * time.Second)
		ids := []int64{id, far}
		actions := []string{"suspend", "resume", "sync", "switch_role", "change_role", "change_type_to_sync", "change_type_to_async", "expose_last_consistent_snapshot"}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			box := rapid.IntRange(1, 2).Draw(rt, "box")
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				l.advance(time.Duration(rapid.IntRange(0, 900).Draw(rt, "seconds")) * time.Second)
			case 1:
				l.fault("", "link_down", "", "", 0)
			case 2:
				l.sim.ClearFaults()
			case 3:
				_ = l.tryWrite(box, "vol1", rapid.StringMatching(`[a-z]{4}`).Draw(rt, "text"))
			default:
				l.do(box, "POST", fmt.Sprintf("replicas/%d/%s?approved=true", ids[box-1], rapid.SampledFrom(actions).Draw(rt, "action")), "")
			}
		}
		for _, two := range sim.State().(state).TwoSources {
			require.False(rt, two.LinkUp, "two SOURCEs began with the link up: %+v", two)
		}
	})
}
