package mem_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/blockdev/blockdevtest"
	"github.com/ddsgo/ddsgo/blockdev/mem"
)

func TestConformance(t *testing.T) {
	blockdevtest.Run(t, func(*testing.T) blockdev.Device { return mem.New("memory", blockdevtest.MinSize+4096+512) })
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestCrashCloneKeepsWhatWasSynced(t *testing.T) {
	d := mem.NewFrom("m", fill('o', 8192))
	_, err := d.WriteAt(fill('s', 4096), 0)
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	_, err = d.WriteAt(fill('n', 8192), 0)
	require.NoError(t, err)
	require.NoError(t, d.ZeroAt(0, 512))

	rng := rand.New(rand.NewPCG(1, 1))
	lost := d.CrashClone(rng, 0)
	require.Equal(t, append(fill('s', 4096), fill('o', 4096)...), lost.Content())
	kept := d.CrashClone(rng, 1)
	require.Equal(t, append(make([]byte, 512), fill('n', 7680)...), kept.Content())
	require.True(t, kept.Equal(d))
	require.Equal(t, 2, d.Unsynced())
	require.Equal(t, 1, d.Syncs())
}

// Every sector is whole and one of: old, first write, second write; and over the seeds each
// of these is seen, also the first write without the second and the second without the first.
func TestCrashCloneTearsAtSectors(t *testing.T) {
	d := mem.NewFrom("m", fill('o', 64*mem.SectorSize))
	_, err := d.WriteAt(fill('a', 64*mem.SectorSize), 0)
	require.NoError(t, err)
	_, err = d.WriteAt(fill('b', 64*mem.SectorSize), 0)
	require.NoError(t, err)
	seen := map[byte]int{}
	for seed := range uint64(20) {
		c := d.CrashClone(rand.New(rand.NewPCG(seed, 0)), 0.5).Content()
		for at := 0; at < len(c); at += mem.SectorSize {
			sector := c[at : at+mem.SectorSize]
			require.Equal(t, fill(sector[0], mem.SectorSize), sector, "torn sector at %d", at)
			seen[sector[0]]++
		}
		again := d.CrashClone(rand.New(rand.NewPCG(seed, 0)), 0.5).Content()
		require.True(t, bytes.Equal(c, again), "seed %d gave two outcomes", seed)
	}
	require.Len(t, seen, 3)
	for b, n := range seen {
		require.Greater(t, n, 100, "%q", b)
	}
}

func TestCrashCloneIsDurableAndIndependent(t *testing.T) {
	d := mem.New("m", 4096)
	_, err := d.WriteAt(fill('x', 4096), 0)
	require.NoError(t, err)
	c := d.CrashClone(rand.New(rand.NewPCG(3, 3)), 1)
	require.Zero(t, c.Unsynced())
	require.Equal(t, fill('x', 4096), c.CrashClone(rand.New(rand.NewPCG(3, 3)), 0).Content())
	_, err = c.WriteAt(fill('y', 512), 0)
	require.NoError(t, err)
	require.Equal(t, fill('x', 4096), d.Content())
}

func TestReopen(t *testing.T) {
	d := mem.New("m", 4096)
	require.NoError(t, d.Close())
	require.ErrorIs(t, d.Sync(), blockdev.ErrClosed)
	require.NoError(t, d.Reopen().Sync())
}
