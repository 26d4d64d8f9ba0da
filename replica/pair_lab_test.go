//go:build lab

package replica_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lab"
)

// pair is a source and a target volume on real LVM, in two volume groups, with a state
// directory for each end, driven by the ddsgo program over a real sshd or without.
type pair struct {
	t        *testing.T
	src, dst *lab.VolumeGroup
	source   string // device
	target   string // device
	dir      string
	env      []string
	extra    string // further keys of the resource

	near *lab.Namespace // where the source's host is on the network; nil: here
}

const mib = 1 << 20

// newPair makes both volumes of size bytes. host is "" for a local copy, or an alias of sshd.
func newPair(t *testing.T, size int64, ssh *lab.SSHServer) *pair {
	t.Helper()
	p := &pair{t: t, src: lab.VG(t), dst: lab.VG(t), dir: lab.Dir(t)}
	p.source, p.target = p.src.LV(t, "app-data", size), p.dst.LV(t, "appdata", size)
	host := ""
	if ssh != nil {
		host = "host: " + ssh.Host + ", "
		p.env = append(ssh.Env(), "DDSGO_SSH_CONFIG="+ssh.Config)
	}
	p.configure(host)
	return p
}

func (p *pair) configure(host string) {
	p.t.Helper()
	cfg := fmt.Sprintf("resources:\n  app: {source: %s, snap_size: 100%%, %stargets: [{%sdevice: %s, state_dir: %s, command: [%s]}]}\n",
		p.source, p.extra, host, p.target, filepath.Join(p.dir, "far"), lab.Binary(p.t))
	require.NoError(p.t, os.WriteFile(p.config(), []byte(cfg), 0o600))
}

func (p *pair) config() string { return filepath.Join(p.dir, "ddsgo.yaml") }

// command is a ddsgo command of the source's host.
func (p *pair) command(args ...string) *exec.Cmd {
	args = append([]string{"--config", p.config(), "--state-dir", filepath.Join(p.dir, "near")}, args...)
	argv := p.near.Command(append([]string{lab.Binary(p.t)}, args...)...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	return cmd
}

// run runs ddsgo and returns its exit code and all of its output.
func (p *pair) run(args ...string) (int, string) {
	p.t.Helper()
	var out bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// ok runs ddsgo and fails the test unless it succeeds.
func (p *pair) ok(args ...string) string {
	p.t.Helper()
	code, out := p.run(args...)
	require.Zero(p.t, code, "ddsgo %s:\n%s", strings.Join(args, " "), out)
	return out
}

// refused runs ddsgo and requires an exit code and words in its output.
func (p *pair) refused(code int, words string, args ...string) {
	p.t.Helper()
	got, out := p.run(args...)
	require.Equal(p.t, code, got, "ddsgo %s:\n%s", strings.Join(args, " "), out)
	require.Contains(p.t, out, words)
	require.Contains(p.t, out, "next: ", "a refusal names the next command")
}

// status reads the one resource's status.
func (p *pair) status() report.Resource {
	p.t.Helper()
	cmd := p.command("status", "--json")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	var st report.Status
	require.NoError(p.t, json.Unmarshal(out, &st), "%s", out)
	require.Len(p.t, st.Resources, 1)
	return st.Resources[0]
}

// snap1 is the tracking snapshot, whose content is what the target must hold.
func (p *pair) snap1() string {
	p.t.Helper()
	lvs := strings.Fields(lab.Run(p.t, "lvm", "lvs", "--noheadings", "-o", "lv_name", p.src.Name))
	for _, lv := range lvs {
		if strings.HasSuffix(lv, "_osvc_snap1") {
			return p.src.Path(lv)
		}
	}
	p.t.Fatalf("no tracking snapshot among %v", lvs)
	return ""
}

// requireEqual compares the target with the tracking snapshot byte for byte, and checks
// that nothing else was left.
func (p *pair) requireEqual() {
	p.t.Helper()
	require.Equal(p.t, lab.Hash(p.t, p.snap1()), lab.Hash(p.t, p.target), "the target is not the snapshot")
	lvs := strings.Fields(lab.Run(p.t, "lvm", "lvs", "--noheadings", "-o", "lv_name", p.src.Name))
	require.Len(p.t, lvs, 2, "left over: %v", lvs)
}
