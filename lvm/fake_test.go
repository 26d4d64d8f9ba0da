package lvm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
)

const mb = 1 << 20

func machine(t *testing.T) (*lvmfake.Machine, *lvm.LVM, lvm.LV) {
	t.Helper()
	m := lvmfake.New()
	m.AddVG("vg-a", 256*mb)
	path := m.AddLV("vg-a", "my-data", 8*mb)
	l := &lvm.LVM{Runner: m}
	origin, err := l.Find(t.Context(), path)
	require.NoError(t, err)
	return m, l, origin
}

func opened(t *testing.T, m *lvmfake.Machine, path string) blockdev.Device {
	t.Helper()
	d, err := m.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func content(t *testing.T, d blockdev.Device) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	require.NoError(t, err)
	return b
}

func write(t *testing.T, d blockdev.Device, off int64, b byte, n int) {
	t.Helper()
	_, err := d.WriteAt(bytes.Repeat([]byte{b}, n), off)
	require.NoError(t, err)
}

func ours(name string) lvm.SnapshotSpec {
	return lvm.SnapshotSpec{Name: name, Size: 4 * mb, ReadOnly: true, Tags: []string{lvm.TagRun + "=1"}}
}

// The fake goes through the same life as real LVM does in TestLifeOfASnapshot.
func TestFakeLife(t *testing.T) {
	ctx := t.Context()
	m, l, origin := machine(t)
	for _, spelling := range []string{"/dev/vg-a/my-data", "/dev/mapper/vg--a-my--data", "/dev/dm-0", "vg-a/my-data"} {
		v, err := l.Find(ctx, spelling)
		require.NoError(t, err, spelling)
		require.Equal(t, origin.UUID, v.UUID)
	}
	disk := opened(t, m, origin.Path)
	write(t, disk, 0, 1, 8*mb)
	s1, err := l.CreateSnapshot(ctx, origin, ours("s1"))
	require.NoError(t, err)
	require.True(t, s1.SnapshotOf(origin) && !s1.Writable())
	before := content(t, opened(t, m, s1.Path))
	write(t, disk, 3*4096+100, 2, 40*4096)
	require.Equal(t, before, content(t, opened(t, m, s1.Path)))
	_, err = opened(t, m, s1.Path).WriteAt([]byte{1}, 0)
	require.Error(t, err)

	// The store has real bytes, and device-mapper's count agrees.
	store := opened(t, m, s1.CowPath())
	table, err := cow.ReadTable(ctx, store, store.Size(), cow.Options{VolumeSize: 8 * mb})
	require.NoError(t, err)
	require.EqualValues(t, 41, table.Exceptions)
	st, err := l.DM().SnapshotStatus(ctx, s1.DMName)
	require.NoError(t, err)
	require.EqualValues(t, 41, st.Exceptions(4096))
	node, err := l.Resolve(ctx, s1.CowPath())
	require.NoError(t, err)
	require.Equal(t, "cow", node.Layer)

	require.ErrorIs(t, l.Remove(ctx, s1), lvm.ErrHeld)
	require.NoError(t, store.Close())
	require.NoError(t, l.SetTags(ctx, s1, []string{"a", "b"}, []string{lvm.TagRun + "=1"}))
	require.NoError(t, l.Rename(ctx, s1, "renamed"))
	lvs, err := l.Report(ctx, "vg-a")
	require.NoError(t, err)
	s1, _ = lvm.ByName(lvs, "renamed")
	require.Equal(t, []string{"a", "b"}, s1.Tags)
	require.NoError(t, l.Extend(ctx, s1, 5*mb))
	require.ErrorIs(t, l.Extend(ctx, origin, 10*mb), lvm.ErrFailed)
	_, err = l.CreateSnapshot(ctx, origin, ours("renamed"))
	require.ErrorIs(t, err, lvm.ErrFailed)
	require.ErrorIs(t, l.Remove(ctx, s1), lvm.ErrFailed, "the snapshot itself is open")
}

func TestFakeOverflow(t *testing.T) {
	m, l, origin := machine(t)
	spec := ours("s")
	spec.Size = mb
	s, err := l.CreateSnapshot(t.Context(), origin, spec)
	require.NoError(t, err)
	write(t, opened(t, m, origin.Path), 0, 3, 2*mb)
	v, err := l.Find(t.Context(), s.Path)
	require.NoError(t, err)
	require.True(t, v.Invalid())
	_, err = opened(t, m, s.Path).ReadAt(make([]byte, 1), 0)
	require.Error(t, err)
	st, err := l.DM().SnapshotStatus(t.Context(), s.DMName)
	require.NoError(t, err)
	require.True(t, st.Invalid())
	cowDev := opened(t, m, s.CowPath())
	_, err = cow.ReadTable(t.Context(), cowDev, cowDev.Size(), cow.Options{VolumeSize: 8 * mb})
	require.ErrorIs(t, err, cow.ErrInvalid)
}

// rotate is what a sync does to the snapshots: the run that the crash tests kill.
func rotate(ctx context.Context, l *lvm.LVM, origin lvm.LV) error {
	spec := lvm.RecoverSpec{Names: []string{"s1", "s2"}}
	if _, err := l.Recover(ctx, origin, spec); err != nil {
		return err
	}
	lvs, err := l.Report(ctx, origin.VG)
	if err != nil {
		return err
	}
	s1, have1 := lvm.ByName(lvs, "s1")
	s2, have2 := lvm.ByName(lvs, "s2")
	if !have2 {
		if s2, err = l.CreateSnapshot(ctx, origin, ours("s2")); err != nil {
			return err
		}
	}
	if have1 {
		if err := l.Remove(ctx, s1); err != nil {
			return err
		}
	}
	return l.Rename(ctx, s2, "s1")
}

// A kill at every instant of a rotation: the same again finishes, the origin serves writes, nothing is left over.
func TestFakeCrashAtEveryPoint(t *testing.T) {
	for _, power := range []bool{false, true} {
		crashes := 0
		for n := 1; ; n++ {
			m, l, origin := machine(t)
			_, err := l.CreateSnapshot(t.Context(), origin, ours("s1"))
			require.NoError(t, err)
			m.CrashAt(n)
			err = rotate(t.Context(), l, origin)
			if !m.Crashed() {
				require.NoError(t, err)
				break
			}
			require.ErrorIs(t, err, lvmfake.ErrCrashed)
			crashes++
			if power {
				m.PowerCut()
				m.PowerOn()
			} else {
				m.Restart()
			}
			require.NoError(t, rotate(t.Context(), l, origin), "after a crash at point %d", n)
			did, err := l.Recover(t.Context(), origin, lvm.RecoverSpec{Names: []string{"s1", "s2"}})
			require.NoError(t, err)
			require.Empty(t, did.Steps)
			lvs, err := l.Report(t.Context(), "vg-a")
			require.NoError(t, err)
			require.Equal(t, []string{"my-data", "s1"}, names(lvs), "point %d", n)
			s1, err := l.Find(t.Context(), "/dev/vg-a/s1")
			require.NoError(t, err)
			require.NoError(t, l.CheckWiring(t.Context(), origin, s1))
			before := content(t, opened(t, m, s1.Path))
			write(t, opened(t, m, origin.Path), 0, 7, mb)
			require.Equal(t, before, content(t, opened(t, m, s1.Path)))
			all, err := l.DM().List(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 4, "point %d: %v", n, all)
		}
		require.Greater(t, crashes, 20)
	}
}

// Resuming into the table that a killed lvcreate left makes the origin answer EIO; the guards and Recover prevent it.
func TestFakePendingTable(t *testing.T) {
	ctx := t.Context()
	m, l, origin := machine(t)
	m.LoadPending(origin.Path)
	require.ErrorIs(t, l.DM().Suspend(ctx, origin.DMName), lvm.ErrPendingTable)
	require.ErrorIs(t, l.DM().Resume(ctx, origin.DMName), lvm.ErrPendingTable)
	m.Suspend(origin.Path)
	did, err := l.Recover(ctx, origin, lvm.RecoverSpec{})
	require.NoError(t, err)
	require.Len(t, did.Steps, 2)
	write(t, opened(t, m, origin.Path), 0, 1, 4096)
}

// A snapshot that LVM reports as good while its origin was resumed into a table that bypasses it.
func TestFakeMiswired(t *testing.T) {
	ctx := t.Context()
	m, l, origin := machine(t)
	s, err := l.CreateSnapshot(ctx, origin, ours("s"))
	require.NoError(t, err)
	require.NoError(t, l.CheckWiring(ctx, origin, s))
	m.LoadPending(origin.Path)
	_, err = m.Run(ctx, run.Cmd{Name: "dmsetup", Args: []string{"resume", origin.DMName}})
	require.NoError(t, err)
	s, err = l.Find(ctx, s.Path)
	require.NoError(t, err)
	require.True(t, s.SnapshotOf(origin) && !s.Invalid())
	require.ErrorIs(t, l.CheckWiring(ctx, origin, s), lvm.ErrMiswired)
}

func TestFakeRefusesUnknownCommandLines(t *testing.T) {
	m, l, origin := machine(t)
	m.Fail("lvremove", 5, "  no")
	err := l.Remove(t.Context(), origin)
	require.ErrorIs(t, err, lvm.ErrFailed)
	require.ErrorContains(t, err, "no")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.Report(ctx, "vg-a")
	require.True(t, errors.Is(err, context.Canceled))
	_, err = l.Report(t.Context(), "none")
	require.ErrorIs(t, err, lvm.ErrFailed)
}
