//go:build lab

package lab_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/lab"
)

func TestVolumeGroupSeesOnlyItsOwn(t *testing.T) {
	other := lab.Disk(t, 64<<20)
	vg := lab.VG(t)
	dev := vg.LV(t, "my-data", 16<<20)
	require.FileExists(t, vg.Mapper("my-data"))
	lab.Fill(t, dev, 1, 0)
	require.Equal(t, lab.Hash(t, dev), lab.Hash(t, vg.Mapper("my-data")))
	// A volume group on a disk that the filter does not list must be invisible.
	out := lab.Run(t, "lvm", "pvs", "--noheadings", "-o", "pv_name", "-a")
	for _, line := range strings.Fields(out) {
		require.Contains(t, []string{other, vg.Disk}, line)
	}
}

func TestSnapshotKeepsContent(t *testing.T) {
	vg := lab.VG(t)
	dev := vg.LV(t, "data", 32<<20)
	lab.Fill(t, dev, 1, 0)
	before := lab.Hash(t, dev)
	lab.Run(t, "lvm", "lvcreate", "-s", "-n", "snap", "-L", "16m", vg.Name+"/data")
	lab.WriteAt(t, dev, bytes.Repeat([]byte{0xaa}, 8192), 1<<20)
	require.Equal(t, before, lab.Hash(t, vg.Path("snap")))
	require.NotEqual(t, before, lab.Hash(t, dev))
}

func TestFaultyDevices(t *testing.T) {
	disk := lab.Disk(t, 16<<20)
	m := lab.Flaky(t, disk)
	write := func() error {
		f, err := os.OpenFile(m.Path, os.O_WRONLY|unix.O_DIRECT|unix.O_DSYNC, 0)
		require.NoError(t, err)
		defer f.Close()
		buf, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		require.NoError(t, err)
		buf[17] = 3
		_, err = f.WriteAt(buf, 4096)
		return err
	}
	require.NoError(t, write())
	clean := lab.Hash(t, disk)
	m.ErrorWrites()
	require.ErrorIs(t, write(), syscall.EIO)
	m.Allow()
	lab.WriteAt(t, m.Path, make([]byte, 4096), 4096)
	empty := lab.Hash(t, disk)
	require.NotEqual(t, clean, empty)
	m.DropWrites()
	require.NoError(t, write(), "a dropped write reports success")
	require.Equal(t, empty, lab.Hash(t, disk))
	m.CorruptWrites(100, 0x55)
	require.NoError(t, write())
	m.Allow()
	require.NotEqual(t, clean, lab.Hash(t, disk), "the stored byte differs from the one that was written")
	m.ErrorRange(8192, 4096)
	f, err := os.Open(m.Path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.ReadAt(make([]byte, 4096), 4096)
	require.NoError(t, err)
	_, err = f.ReadAt(make([]byte, 4096), 8192)
	require.ErrorIs(t, err, syscall.EIO)
	short := lab.Short(t, disk, 1<<20)
	g, err := os.OpenFile(short.Path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer g.Close()
	end, err := g.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, 1<<20, end)
}

func TestWriterNoticesAStall(t *testing.T) {
	disk := lab.Disk(t, 16<<20)
	m := lab.Flaky(t, disk)
	w := lab.Writer(t, m.Path)
	await(t, func() bool { return w.Count() > 10 })
	m.Suspend()
	time.Sleep(200 * time.Millisecond) // the length of the stall is what is measured
	m.Resume()
	n := w.Count()
	await(t, func() bool { return w.Count() > n+10 })
	w.Stop()
	require.NoError(t, w.Err)
	require.Greater(t, w.Stall, 150*time.Millisecond)
}

func TestSSHOverALinkThatBreaks(t *testing.T) {
	p := lab.NetPair(t)
	sshd := lab.SSHDBehind(t, p)
	argv := p.A.Command(filepath.Join(sshd.BinDir, "ssh"), sshd.Host, "echo $PATH; exec cat")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader("over the wire")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "over the wire")

	p.Cut()
	argv = p.A.Command(filepath.Join(sshd.BinDir, "ssh"), "-o", "ConnectTimeout=2", sshd.Host, "true")
	err = exec.Command(argv[0], argv[1:]...).Run()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v", err)
	require.Equal(t, 255, exit.ExitCode())
	p.Join()
	p.Shape("delay", "5ms")
	await(t, func() bool { return exec.Command(argv[0], argv[1:]...).Run() == nil })
}

func TestSSHOnLoopback(t *testing.T) {
	sshd := lab.SSHD(t)
	cmd := exec.Command("ssh", sshd.Host, "id -un; command -v lvm")
	cmd.Path = filepath.Join(sshd.BinDir, "ssh")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "root")
	require.Contains(t, string(out), "lvm")
}

func TestMountedFileSystem(t *testing.T) {
	vg := lab.VG(t)
	dir := lab.Mount(t, vg.LV(t, "fs", 64<<20))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if done() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the condition did not come true within a minute")
}
