package blockdev_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/blockdev/blockdevtest"
)

// oddSize is not a multiple of 4096: the last direct read is a short one.
const oddSize = blockdevtest.MinSize + 4096 + 512

func makeFile(t *testing.T, dir string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, "volume")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte{0xaa}, int(size)), 0o600))
	return path
}

// loopDevice attaches a loop device to a new file and skips, saying why, where it cannot.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: loop devices need root")
	}
	file := makeFile(t, t.TempDir(), size)
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("skipped: no loop device here: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		out, err := exec.Command("losetup", "--detach", dev).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	return dev
}

func TestConformance(t *testing.T) {
	places := map[string]string{"disk": t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "ddsgo-test-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		places["tmpfs"] = dir
	}
	for place, dir := range places {
		for name, direct := range map[string]bool{"cached": false, "direct": true} {
			t.Run("file on "+place+", "+name, func(t *testing.T) {
				blockdevtest.Run(t, func(t *testing.T) blockdev.Device {
					d, err := blockdev.Open(makeFile(t, dir, oddSize), blockdev.Options{Write: true, Direct: direct})
					require.NoError(t, err)
					return d
				})
			})
		}
	}
	for name, direct := range map[string]bool{"cached": false, "direct": true} {
		t.Run("loop device, "+name, func(t *testing.T) {
			dev := loopDevice(t, oddSize)
			blockdevtest.Run(t, func(t *testing.T) blockdev.Device {
				d, err := blockdev.Open(dev, blockdev.Options{Write: true, Exclusive: true, Direct: direct})
				require.NoError(t, err)
				require.Equal(t, int64(oddSize), d.Size())
				require.True(t, d.IsBlock())
				require.Equal(t, direct, d.Direct())
				require.NoError(t, d.FlushBuffers())
				return d
			})
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := makeFile(t, dir, 8192)
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for _, c := range []struct {
		name string
		path string
		o    blockdev.Options
		want error
	}{
		{"nothing there", filepath.Join(dir, "none"), blockdev.Options{}, blockdev.ErrNotFound},
		{"a directory", dir, blockdev.Options{}, blockdev.ErrNotVolume},
		{"a character device", "/dev/null", blockdev.Options{}, blockdev.ErrNotVolume},
		{"a pipe, which would block", fifo, blockdev.Options{}, blockdev.ErrNotVolume},
		{"an empty file", empty, blockdev.Options{}, blockdev.ErrEmpty},
		{"create without write", file, blockdev.Options{Create: 4096}, blockdev.ErrOptions},
		{"create of a negative size", file, blockdev.Options{Write: true, Create: -1}, blockdev.ErrOptions},
		{"create in /dev", "/dev/ddsgo-no-such-device", blockdev.Options{Write: true, Create: 4096}, blockdev.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := blockdev.Open(c.path, c.o)
			require.ErrorIs(t, err, c.want)
			require.Contains(t, err.Error(), c.path)
		})
	}
	require.NoFileExists(t, "/dev/ddsgo-no-such-device")
}

func TestReadOnlyOpenRefusesWrites(t *testing.T) {
	d, err := blockdev.Open(makeFile(t, t.TempDir(), 8192), blockdev.Options{})
	require.NoError(t, err)
	defer d.Close()
	_, err = d.WriteAt([]byte{1}, 0)
	require.ErrorIs(t, err, blockdev.ErrReadOnly)
	require.ErrorIs(t, d.ZeroAt(0, 1), blockdev.ErrReadOnly)
	require.ErrorIs(t, d.FlushBuffers(), blockdev.ErrNotBlock)
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	d, err := blockdev.Open(path, blockdev.Options{Write: true, Create: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, int64(1<<20), d.Size())
	require.NoError(t, d.Close())
	d, err = blockdev.Open(path, blockdev.Options{Write: true, Create: 4096})
	require.NoError(t, err)
	require.Equal(t, int64(1<<20), d.Size(), "an existing file keeps its size")
	require.NoError(t, d.Close())
}

// A file that shrinks under us is an error, not a silent end or zeros.
func TestShrunkFile(t *testing.T) {
	for name, direct := range map[string]bool{"cached": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			path := makeFile(t, t.TempDir(), 65536)
			d, err := blockdev.Open(path, blockdev.Options{Direct: direct})
			require.NoError(t, err)
			defer d.Close()
			require.NoError(t, os.Truncate(path, 10000))
			b := make([]byte, 20000)
			n, err := d.ReadAt(b, 0)
			require.Error(t, err)
			require.Equal(t, 10000, n)
			n, err = d.ReadAt(b, 40000)
			require.Error(t, err)
			require.Zero(t, n)
		})
	}
}

func TestReadOnlyFlag(t *testing.T) {
	dev := loopDevice(t, oddSize)
	// The flag outlives the loop device's file: whoever gets the number next would inherit it.
	t.Cleanup(func() { require.NoError(t, blockdev.SetReadOnly(dev, false)) })
	require.NoError(t, blockdev.SetReadOnly(dev, true))
	ro, err := blockdev.ReadOnly(dev)
	require.NoError(t, err)
	require.True(t, ro)
	_, err = blockdev.Open(dev, blockdev.Options{Write: true})
	require.ErrorIs(t, err, blockdev.ErrReadOnly)
	require.NoError(t, blockdev.SetReadOnly(dev, false))
	d, err := blockdev.Open(dev, blockdev.Options{Write: true})
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.ErrorIs(t, blockdev.SetReadOnly(makeFile(t, t.TempDir(), 512), true), blockdev.ErrNotBlock)
}

func TestExclusive(t *testing.T) {
	dev := loopDevice(t, oddSize)
	held, err := blockdev.Holders(dev)
	require.NoError(t, err)
	require.Empty(t, held)
	d, err := blockdev.Open(dev, blockdev.Options{Write: true, Exclusive: true, Direct: true})
	require.NoError(t, err)
	_, err = blockdev.Open(dev, blockdev.Options{Exclusive: true})
	require.ErrorIs(t, err, blockdev.ErrInUse)
	held, err = blockdev.Holders(dev)
	require.NoError(t, err)
	require.Equal(t, []blockdev.Holder{{Kind: blockdev.HeldExclusively, Detail: dev}}, held)
	require.NoError(t, d.Close())
	held, err = blockdev.Holders(dev)
	require.NoError(t, err)
	require.Empty(t, held)
}

func TestCountersSeeWrites(t *testing.T) {
	dev := loopDevice(t, oddSize)
	before, err := blockdev.ReadCounters(dev)
	require.NoError(t, err)
	d, err := blockdev.Open(dev, blockdev.Options{Write: true, Direct: true})
	require.NoError(t, err)
	b := make([]byte, 4096)
	_, err = d.ReadAt(b, 0)
	require.NoError(t, err)
	still, err := blockdev.ReadCounters(dev)
	require.NoError(t, err)
	require.True(t, still.Untouched(before), "a read moved the write counters: %+v, %+v", before, still)
	_, err = d.WriteAt(b, 0)
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	require.NoError(t, d.Close())
	after, err := blockdev.ReadCounters(dev)
	require.NoError(t, err)
	require.False(t, after.Untouched(before))
	require.Greater(t, after.SectorsWritten, before.SectorsWritten)
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	file := makeFile(t, dir, 8192)
	link, hard, other := filepath.Join(dir, "link"), filepath.Join(dir, "hard"), filepath.Join(dir, "other")
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, os.Link(file, hard))
	require.NoError(t, os.WriteFile(other, []byte("x"), 0o600))
	ids := map[string]blockdev.VolumeIdentity{}
	for _, p := range []string{file, link, hard, other} {
		id, err := blockdev.Identity(p)
		require.NoError(t, err)
		require.True(t, id.IsFile())
		ids[p] = id
	}
	require.Equal(t, ids[file], ids[link])
	require.Equal(t, "path:"+ids[file].Path, ids[link].Key())
	require.True(t, ids[file].Same(ids[hard]))
	require.False(t, ids[file].Same(ids[other]))

	dev := loopDevice(t, oddSize)
	id, err := blockdev.Identity(dev)
	require.NoError(t, err)
	require.False(t, id.IsFile())
	require.EqualValues(t, 7, id.Major)
	require.False(t, id.Same(ids[file]))
	backing, err := os.ReadFile("/sys/block/" + filepath.Base(dev) + "/loop/backing_file")
	require.NoError(t, err)
	held, err := blockdev.Holders(strings.TrimSpace(string(backing)))
	require.NoError(t, err)
	require.Equal(t, []blockdev.Holder{{Kind: blockdev.HeldByDevice, Detail: filepath.Base(dev)}}, held)
}
