//go:build lab

package replica_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// TestForcedCommand: a key that is tied to `ddsgo serve` with an allow-list, by a real sshd. The
// pair works; another volume, another operation and any other command do not.
func TestForcedCommand(t *testing.T) {
	takesLong(t)
	ssh := lab.SSHD(t)
	p := newPair(t, 8*mib, ssh)
	lab.Fill(t, p.source, 1, 6*mib)
	other := p.dst.LV(t, "other", 8*mib)
	far := filepath.Join(p.dir, "far")
	ssh.Force(t, strings.Join([]string{lab.Binary(t), "--state-dir", far, "serve --stdio --allow-volume", p.target, "--allow-verb inspect,probe,receive"}, " "))

	p.ok("full", "app")
	lab.Fill(t, p.source, 2, 2*mib)
	p.ok("sync", "app")
	p.requireEqual()

	p.refused(15, "may not digest", "verify", "app")
	mine, content := p.target, lab.Hash(t, other)
	p.target = other
	p.configure("host: dr1, ")
	p.refused(15, "may not reach the volume", "sync", "app")
	require.Equal(t, content, lab.Hash(t, other))
	p.target = mine
	p.configure("host: dr1, ")

	mark := filepath.Join(p.dir, "mark")
	cmd := exec.Command(filepath.Join(ssh.BinDir, "ssh"), ssh.Host, "touch "+mark)
	cmd.Stdin = strings.NewReader("")
	out, _ := cmd.CombinedOutput()
	require.Contains(t, string(out), "ddsgo-session/", "serve answers, whatever was asked for")
	_, err := os.Stat(mark)
	require.ErrorIs(t, err, os.ErrNotExist, "a command of the client ran")
	p.ok("sync", "app")
	p.requireEqual()
}
