//go:build lab

package blockdev_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/blockdev/blockdevtest"
	"github.com/ddsgo/ddsgo/lab"
)

const labVolume = 32 << 20

func TestConformanceOfLogicalVolumes(t *testing.T) {
	vg := lab.VG(t)
	path := vg.LV(t, "conform", labVolume)
	for name, direct := range map[string]bool{"cached": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			blockdevtest.Run(t, func(t *testing.T) blockdev.Device {
				d, err := blockdev.Open(path, blockdev.Options{Write: true, Exclusive: true, Direct: direct})
				require.NoError(t, err)
				return d
			})
		})
	}
}

func TestLogicalVolumeIdentityAndHolders(t *testing.T) {
	vg := lab.VG(t)
	path := vg.LV(t, "my-data", labVolume)
	id, err := blockdev.Identity(path)
	require.NoError(t, err)
	require.Equal(t, vg.DMName("my-data"), id.MapperName)
	require.Contains(t, id.MapperUUID, "LVM-")
	require.Equal(t, "dm:"+id.MapperUUID, id.Key())
	byMapper, err := blockdev.Identity(vg.Mapper("my-data"))
	require.NoError(t, err)
	require.True(t, id.Same(byMapper))

	info, ok, err := blockdev.Mapper(id.Major, id.Minor)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, blockdev.MapperInfo{Name: id.MapperName, UUID: id.MapperUUID}, info)
	held, err := blockdev.Holders(path)
	require.NoError(t, err)
	require.Empty(t, held)

	// An opener that does not ask for exclusive use is seen in the open count only.
	d, err := blockdev.Open(path, blockdev.Options{Write: true, Direct: true})
	require.NoError(t, err)
	held, err = blockdev.Holders(path)
	require.NoError(t, err)
	require.Equal(t, []blockdev.Holder{{Kind: blockdev.HeldByOpen, Detail: "2 times"}}, held)
	require.NoError(t, d.Close())

	// The origin of a snapshot is no more alone: its real device carries both.
	lab.Run(t, "lvm", "lvcreate", "--yes", "--snapshot", "--permission", "r", "--size", "8m", "--name", "snap", path)
	id, err = blockdev.Identity(vg.Path("snap"))
	require.NoError(t, err)
	info, _, err = blockdev.Mapper(id.Major, id.Minor)
	require.NoError(t, err)
	require.True(t, info.ReadOnly)
	_, err = blockdev.Open(vg.Path("snap"), blockdev.Options{Write: true})
	require.ErrorIs(t, err, blockdev.ErrReadOnly)
}

func TestSuspendedAndPendingAreSeen(t *testing.T) {
	vg := lab.VG(t)
	path := vg.LV(t, "a", labVolume)
	id, err := blockdev.Identity(path)
	require.NoError(t, err)
	table := lab.Run(t, "dmsetup", "table", vg.DMName("a"))
	lab.Run(t, "dmsetup", "load", vg.DMName("a"), "--table", table)
	lab.Run(t, "dmsetup", "suspend", vg.DMName("a"))
	info, ok, err := blockdev.Mapper(id.Major, id.Minor)
	lab.Run(t, "dmsetup", "resume", vg.DMName("a"))
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, info.Suspended)
	require.True(t, info.PendingTable)
	info, _, err = blockdev.Mapper(id.Major, id.Minor)
	require.NoError(t, err)
	require.False(t, info.Suspended || info.PendingTable)
}

func TestMountedVolume(t *testing.T) {
	vg := lab.VG(t)
	path := vg.LV(t, "fs", labVolume)
	t.Run("mounted", func(t *testing.T) {
		dir := lab.Mount(t, path)
		held, err := blockdev.Holders(path)
		require.NoError(t, err)
		require.Contains(t, held, blockdev.Holder{Kind: blockdev.HeldByMount, Detail: dir})
		require.Contains(t, held, blockdev.Holder{Kind: blockdev.HeldByOpen, Detail: "once"})
		_, err = blockdev.Open(path, blockdev.Options{Exclusive: true})
		require.ErrorIs(t, err, blockdev.ErrInUse)
	})
	held, err := blockdev.Holders(path)
	require.NoError(t, err)
	require.Empty(t, held)
	before, err := blockdev.ReadCounters(path)
	require.NoError(t, err)
	mountPoint := lab.Dir(t)
	lab.Run(t, "mount", path, mountPoint)
	lab.Run(t, "umount", mountPoint)
	after, err := blockdev.ReadCounters(path)
	require.NoError(t, err)
	require.False(t, after.Untouched(before), "a read-write mount without a single write to a file must leave traces")
}
