//go:build lab

package replica_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// TestFullSpoolDisk: the target's state directory is on a small disk. A delta that does not fit is
// refused before its first byte; one whose room is taken while it arrives ends without a byte on
// the target; in both cases the same command succeeds once there is room.
func TestFullSpoolDisk(t *testing.T) {
	p := newPair(t, 12*mib, lab.SSHD(t))
	far := filepath.Join(p.dir, "far")
	require.NoError(t, os.Mkdir(far, 0o700))
	lab.Run(t, "mount", "-t", "tmpfs", "-o", "size=14m", "ddsgolab", far)
	t.Cleanup(func() { lab.Run(t, "umount", far) })
	p.extra = "codec: none, "
	p.configure("host: dr1, ")
	lab.Fill(t, p.source, 1, 10*mib)
	p.ok("full", "app")
	before := lab.Hash(t, p.target)
	ballast := filepath.Join(far, "somebody-elses-file")
	fill := func() { // to the last byte
		f, err := os.Create(ballast)
		require.NoError(t, err)
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 64<<10))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}

	lab.Fill(t, p.source, 2, 10*mib)
	require.NoError(t, os.WriteFile(ballast, make([]byte, 6*mib), 0o600))
	p.refused(15, "no room to verify the delta", "sync", "app")
	require.Equal(t, before, lab.Hash(t, p.target))
	require.NoError(t, os.Remove(ballast))

	cmd := p.command("sync", "app")
	require.NoError(t, cmd.Start())
	stopped := p.stopReceiver()
	require.NotZero(t, stopped, "the receiver was never seen")
	fill()
	require.NoError(t, syscall.Kill(stopped, syscall.SIGCONT))
	require.Error(t, cmd.Wait(), "a delta that does not fit is no success")
	require.Equal(t, before, lab.Hash(t, p.target), "the target is untouched")

	// Not even the state can be written now; the refusal must not make anything worse.
	code, out := p.run("sync", "app")
	require.NotZero(t, code, out)
	require.Equal(t, before, lab.Hash(t, p.target))
	require.NoError(t, os.Remove(ballast))
	p.ok("sync", "app")
	p.requireEqual()
}

// TestStoppedReceiverGoesOn: a receiver that was stopped goes on when another run has long taken
// its place, and may finish whatever it had begun: it changes nothing any more.
func TestStoppedReceiverGoesOn(t *testing.T) {
	p := newPair(t, 12*mib, lab.SSHD(t))
	p.extra = "progress_timeout: 8s, codec: none, "
	p.configure("host: dr1, ")
	lab.Fill(t, p.source, 1, 11*mib)
	p.ok("full", "app")
	lab.Fill(t, p.source, 2, 11*mib)
	cmd := p.command("sync", "app")
	require.NoError(t, cmd.Start())
	stopped := p.stopReceiver()
	require.NotZero(t, stopped, "the receiver was never seen")
	require.Error(t, cmd.Wait())
	p.ok("sync", "app") // resumes the delta and writes it, beside the stopped one
	p.requireEqual()
	lab.Fill(t, p.source, 3, 6*mib)
	cmd = p.command("sync", "app")
	require.NoError(t, cmd.Start())
	require.NoError(t, syscall.Kill(stopped, syscall.SIGCONT)) // beside the next one
	require.NoError(t, cmd.Wait())
	p.requireEqual()
	p.ok("verify", "app")
	gone := func() bool { _, err := os.Stat(fmt.Sprintf("/proc/%d", stopped)); return err != nil }
	require.Eventually(t, gone, waitLong, waitTick, "the stopped receiver never ends")
	p.ok("sync", "app")
	p.requireEqual()
}
