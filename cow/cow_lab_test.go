//go:build lab

package cow_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/lab"
)

const labOrigin = 32 << 20

// snapshotOf makes a snapshot and opens its store as production does.
func snapshotOf(t *testing.T, vg *lab.VolumeGroup, origin, name, size, chunk string) *blockdev.Disk {
	t.Helper()
	lab.Run(t, "lvm", "lvcreate", "--yes", "--snapshot", "--permission", "r", "--chunksize", chunk, "--size", size, "--name", name, origin)
	d, err := blockdev.Open(vg.Mapper(name)+"-cow", blockdev.Options{Direct: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() }) // before the volume group goes: an open store breaks lvremove
	return d
}

// inUse is device-mapper's own count of a snapshot.
func inUse(t *testing.T, vg *lab.VolumeGroup, name string, chunk int64) (exceptions, areas int64) {
	t.Helper()
	var start, length, allocated, total, metadata int64
	var kind string
	_, err := fmt.Sscanf(lab.Run(t, "dmsetup", "status", vg.DMName(name)), "%d %d %s %d/%d %d", &start, &length, &kind, &allocated, &total, &metadata)
	require.NoError(t, err)
	exceptions, areas, err = cow.Header{ChunkSize: chunk}.InUse(allocated, metadata)
	require.NoError(t, err)
	return exceptions, areas
}

func setOf(t *testing.T, d *blockdev.Disk, o cow.Options) extent.Set {
	t.Helper()
	table, err := cow.ReadTable(context.Background(), d, d.Size(), o)
	require.NoError(t, err)
	s, err := extent.Collect(table.Changed.Seq())
	require.NoError(t, err)
	return s
}

// Exactly the chunks that were written, at once, and again after more writes: never a stale page.
func TestLiveStoreIsNeverStale(t *testing.T) {
	for _, kib := range []int64{4, 64, 512} {
		t.Run(fmt.Sprintf("%dk", kib), func(t *testing.T) {
			vg := lab.VG(t)
			origin := vg.LV(t, "origin", labOrigin)
			d := snapshotOf(t, vg, origin, "snap", "24m", fmt.Sprintf("%dk", kib))
			chunk := kib << 10
			var want extent.Set
			p := make([]byte, 4096)
			for round := range int64(4) {
				for i := range min(150, labOrigin/chunk/8) {
					off := (round + 8*i) % (labOrigin / chunk) * chunk
					lab.WriteAt(t, origin, p, off)
					want.Add(extent.Extent{Off: off, Len: chunk})
				}
				exceptions, areas := inUse(t, vg, "snap", chunk)
				require.EqualValues(t, want.Bytes()/chunk, exceptions)
				got := setOf(t, d, cow.Options{VolumeSize: labOrigin, ExpectAtLeast: exceptions, Areas: areas})
				require.True(t, want.Equal(got), "round %d: want %v, got %v", round, want, got)
				_, err := cow.ReadTable(context.Background(), d, d.Size(), cow.Options{VolumeSize: labOrigin, ExpectAtLeast: exceptions + 1})
				require.ErrorIs(t, err, cow.ErrShort)
			}
		})
	}
}

// While a writer is at work every reading is good, grows, and meets device-mapper's count.
func TestLiveStoreUnderWrites(t *testing.T) {
	vg := lab.VG(t)
	origin := vg.LV(t, "origin", labOrigin)
	d := snapshotOf(t, vg, origin, "snap", "48m", "4k")
	writer := lab.Writer(t, origin)
	defer writer.Stop()
	var before extent.Set
	deadline := time.Now().Add(time.Minute)
	for before.Bytes() < 8<<20 && time.Now().Before(deadline) {
		exceptions, areas := inUse(t, vg, "snap", 4096)
		o := cow.Options{VolumeSize: labOrigin, ExpectAtLeast: exceptions, Areas: areas, Settle: 5 * time.Second}
		got := setOf(t, d, o)
		require.True(t, before.Subtract(got).Empty(), "the table lost %v", before.Subtract(got))
		require.GreaterOrEqual(t, got.Bytes()/4096, exceptions)
		before = got
	}
	require.NoError(t, writer.Failed())
	require.Positive(t, before.Bytes())
}

func TestLiveOverflow(t *testing.T) {
	vg := lab.VG(t)
	origin := vg.LV(t, "origin", labOrigin)
	d := snapshotOf(t, vg, origin, "snap", "4m", "4k")
	p := make([]byte, 1<<20)
	for off := int64(0); off < 8<<20; off += int64(len(p)) {
		lab.WriteAt(t, origin, p, off)
	}
	_, err := cow.ReadTable(context.Background(), d, d.Size(), cow.Options{VolumeSize: labOrigin})
	require.ErrorIs(t, err, cow.ErrInvalid)
	table, err := cow.ReadTable(context.Background(), d, d.Size(), cow.Options{VolumeSize: labOrigin, AllowInvalid: true})
	require.NoError(t, err)
	require.False(t, table.Valid)
	// Three areas were full. Copies that were under way when room ran out never got into the table.
	require.GreaterOrEqual(t, table.Exceptions, int64(3*256))
}

// A plain logical volume is no store, whatever its name.
func TestPlainVolumeIsNoStore(t *testing.T) {
	vg := lab.VG(t)
	d, err := blockdev.Open(vg.LV(t, "plain", labOrigin), blockdev.Options{Direct: true})
	require.NoError(t, err)
	defer d.Close()
	_, err = cow.ReadHeader(d, d.Size())
	require.ErrorIs(t, err, cow.ErrNotCOW)
}
