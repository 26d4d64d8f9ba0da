package infinibox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/infinibox"
)

// TestGroup: members come and go while the group is replicated.
func TestGroup(t *testing.T) {
	for _, auto := range []bool{true, false} {
		t.Run(fmt.Sprintf("replica_auto_create=%t", auto), func(t *testing.T) {
			b := newBed(t)
			if !auto {
				b = newBed(t, without("replica_auto_create"))
			}
			b.config.Kind = infinibox.KindGroup
			b.group(0, "vol1", "a")
			b.must(array.Goal{Verb: array.Create})
			b.idle()
			b.volume(0, "b", megabyte)
			b.must(array.Goal{Verb: array.Add, Volume: "b"})
			require.Equal(t, "nothing_to_do", b.must(array.Goal{Verb: array.Add, Volume: "b"}).result)
			b.volume(0, "c", megabyte)
			b.volume(1, "copy-of-c", megabyte)
			b.must(array.Goal{Verb: array.Add, Volume: "c", Params: map[string]string{"remote": "copy-of-c"}})
			require.NoError(t, b.write(0, "c", "of c"))
			b.must(array.Goal{Verb: array.Update})
			require.Equal(t, "of c", b.read(1, "copy-of-c"))
			require.Len(t, b.observe().Members, 3)

			_, err := b.run(array.Goal{Verb: array.Add, Volume: "nosuch"})
			require.ErrorContains(t, err, `has no volume "nosuch"`)
			_, err = b.run(array.Goal{Verb: array.Remove, Volume: "c"})
			require.ErrorContains(t, err, "the box asks for approval")
			b.must(array.Goal{Verb: array.Remove, Volume: "c", Force: true})
			require.Equal(t, "nothing_to_do", b.must(array.Goal{Verb: array.Remove, Volume: "c", Force: true}).result)
			require.Len(t, b.observe().Members, 2)

			b.must(array.Goal{Verb: array.Swap, Site: site2, WritersStopped: true})
			require.Equal(t, site2, b.observe().Primary())
			b.must(array.Goal{Verb: array.Failback, WritersStopped: true})
			b.must(array.Goal{Verb: array.Delete, Force: true, Params: map[string]string{"target": "delete", "retain": "no"}})
			require.Empty(t, b.world().Arrays[1].Groups)
			require.Len(t, b.world().Arrays[0].Groups, 1)
		})
	}
}

// TestExpose: the last consistent point of the copy, while replication runs.
func TestExpose(t *testing.T) {
	for _, kind := range []string{infinibox.KindVolume, infinibox.KindFilesystem} {
		t.Run(kind, func(t *testing.T) {
			b := newBed(t)
			b.config.Kind = kind
			b.entity(0, kind+"s", "vol1", megabyte)
			b.fault(-1, "task_seconds", 100, 0)
			b.must(array.Goal{Verb: array.Create})
			g := array.Goal{Verb: array.VolumeCreate, Volume: "look", Params: map[string]string{"from": "last-consistent"}}
			_, err := b.run(g)
			require.ErrorContains(t, err, "nothing to expose")
			b.sim.ClearFaults()
			require.NoError(t, b.sim.Advance(200*time.Second))
			require.NoError(t, b.write(0, "vol1", "copied"))
			b.must(array.Goal{Verb: array.Update})
			require.NoError(t, b.write(0, "vol1", "newer"))
			b.must(g)
			b.must(g)
			require.Equal(t, "copied", b.read(1, "look"))
			require.Len(t, b.world().Arrays[1].Volumes, 2, "exposed once")
			require.Equal(t, array.Running, b.observe().Replication)
		})
	}
}

// TestDelete: both sides stay, with bases; a dead peer needs --force, and what stays
// there is removed by the same verb.
func TestDelete(t *testing.T) {
	b := newBed(t)
	b.replicated()
	b.fault(1, "array_down", nil, 0)
	since := b.lastSeq()
	s, err := b.run(array.Goal{Verb: array.Delete})
	require.Error(t, err)
	require.Equal(t, 12, s.exit)
	require.Empty(t, b.requests(since))
	b.must(array.Goal{Verb: array.Delete, Force: true})
	b.sim.ClearFaults()
	r := array.Report("rep", b.driver().Capabilities(), b.observe(), "", time.Now())
	require.Equal(t, "down", r.State)
	require.Equal(t, "absent", r.Reasons[0].Code)
	s, err = b.run(array.Goal{Verb: array.Delete})
	require.ErrorContains(t, err, "only the TARGET at site2 is left")
	require.Equal(t, 15, s.exit)
	b.must(array.Goal{Verb: array.Delete, Force: true})
	require.NoError(t, b.write(1, "vol1", "free"))
	require.NotEmpty(t, b.world().Arrays[1].Volumes)

	b = newBed(t)
	b.replicated()
	b.must(array.Goal{Verb: array.Delete, Force: true, Params: map[string]string{"retain": "no", "target": "delete"}})
	require.Empty(t, b.world().Arrays[1].Volumes)
	require.Len(t, b.world().Arrays[0].Volumes, 1, "the source stays")
}

// TestVolumes: volumes by name, on either box.
func TestVolumes(t *testing.T) {
	b := newBed(t)
	g := array.Goal{Verb: array.VolumeCreate, Volume: "v", Params: map[string]string{"size": "1MiB", "site": site2}}
	b.must(g)
	b.must(g)
	require.Len(t, b.world().Arrays[1].Volumes, 1)
	g.Params["size"] = "2MiB"
	_, err := b.run(g)
	require.ErrorContains(t, err, "of 1048576 bytes")
	del := array.Goal{Verb: array.VolumeDelete, Volume: "v", Params: map[string]string{"site": site2}}
	_, err = b.run(del)
	require.ErrorContains(t, err, "destroys its data", "the box's own reason")
	del.Force = true
	b.must(del)
	b.must(del)
	require.Empty(t, b.world().Arrays[1].Volumes)

	b.replicated()
	_, err = b.run(array.Goal{Verb: array.VolumeDelete, Volume: "vol1", Force: true})
	require.ErrorContains(t, err, "is replicated")
}

// TestSetup makes the link that create needs.
func TestSetup(t *testing.T) {
	b := newBed(t)
	require.Equal(t, "nothing_to_do", b.must(array.Goal{Verb: array.Setup}).result)
	b.rest(0, "DELETE", fmt.Sprintf("links/%d?approved=true", b.first(0, "links")), "")
	b.config.Link = "link7"
	require.Equal(t, "done", b.must(array.Goal{Verb: array.Setup}).result)
	b.replicated()
	require.Equal(t, array.Running, b.observe().Replication)
}
