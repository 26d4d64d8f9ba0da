package rbd_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// golden is a mirrored image with a snapshot to make clones of.
func (b *bed) golden(snap string) *bed {
	b.t.Helper()
	b.world.Connect(pool)
	b.world.Make(fakerbd.Primary, pool, "golden", []byte("gold"))
	b.world.AddUserSnapshot(fakerbd.Primary, pool, "golden", snap)
	g := newBedOn(b.t, b.world, b.mode, "golden")
	g.must(array.Goal{Verb: array.Setup})
	g.must(array.Goal{Verb: array.Update})
	return g
}

func cloneOf(snap string) array.Goal {
	return array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamCloneOf: pool + "/golden@" + snap}}
}

// A clone of a parent that the peer has is mirrored as a clone; every other one needs --flatten.
func TestCloneOfAMirroredParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.golden("v1")
		mark := b.mark()
		g := cloneOf("v1")
		g.Params[rbd.ParamSize] = "1G"
		b.refused(g, failure.CodeRefused, "exclude each other")
		b.must(cloneOf("v1"))
		b.must(array.Goal{Verb: array.Update})
		b.same("gold")
		require.Empty(t, b.sent(mark, "flatten"))
	})
}

// A snapshot of the parent that was made just now is not at the peer yet.
func TestCloneOfASnapshotThatHasNotArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.golden("v1")
		b.world.AddUserSnapshot(fakerbd.Primary, pool, "golden", "late")
		b.refused(cloneOf("late"), failure.CodeRefused, "has not arrived")
		require.Empty(t, b.world.ID(fakerbd.Primary, pool, name))
	})
}

// Ceph loses the parent's data of a clone that is mirrored by snapshots: create and setup refuse it, and
// where somebody did it by hand, every word about the copy says so.
func TestClonesAreNotMirroredBySnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeSnapshot)
		b.golden("v1")
		s := b.refused(cloneOf("v1"), failure.CodeRefused, "parent's data")
		require.Contains(t, s.Next, "--flatten")
		require.Empty(t, b.world.ID(fakerbd.Primary, pool, name))

		cli := rbd.NewCLI(rbd.Cluster{Name: fakerbd.Primary}, rbd.Times{}, b.world)
		require.NoError(t, rbd.CallForTest(t.Context(), cli, "clone", pool+"/golden@v1", pool+"/"+name))
		b.refused(array.Goal{Verb: array.Setup}, failure.CodeRefused, "parent's data", "flatten")
		s = b.must(array.Goal{Verb: array.Setup, Force: true})
		require.Contains(t, strings.Join(s.Warnings, " "), "parent's data")
		b.write(fakerbd.Primary, "written")
		s = b.must(array.Goal{Verb: array.Update})
		require.Contains(t, strings.Join(s.Warnings, " "), "parent's data")
		require.NotEqual(t, "written", string(b.world.Content(fakerbd.Secondary, pool, name)), "the fake has the trap")
		o := b.observe()
		require.Contains(t, reasons(o), "parent's data")
		require.True(t, slices.ContainsFunc(o.Reasons, func(r array.Reason) bool { return r.Code == array.ReasonSuspect }))
		s = b.must(array.Goal{Verb: array.Swap, Site: site2})
		require.Contains(t, strings.Join(s.Warnings, " "), "parent's data")
	})
}
