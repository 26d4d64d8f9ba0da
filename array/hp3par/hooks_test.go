package hp3par_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The hooks reserve and release as OpenSVC's log shows it: played with programs that only
// write down how they are called.
func TestReservationHooks(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	for _, name := range []string{"sg_persist", "vgchange"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho "+name+" \"$@\" >>"+log+"\n"), 0o700)) //nolint:gosec // a program
	}
	id := filepath.Join(dir, "machine-id")
	require.NoError(t, os.WriteFile(id, []byte("23817055247500512ab0123456789abc\n"), 0o600))
	host, err := exec.Command("uname", "-n").Output()
	require.NoError(t, err)
	tag := "@" + strings.TrimSpace(string(host))
	for script, want := range map[string]string{
		"activate.sh": `sg_persist -n --out --register-ignore --param-sark=0x238170552475005 /dev/sdfi
sg_persist -n --out --register-ignore --param-sark=0x238170552475005 /dev/sdej
sg_persist -n --out --reserve --param-rk=0x238170552475005 --prout-type=5 /dev/sdfi
vgchange --addtag ` + tag + ` vg_svc1
vgchange -a y vg_svc1
`,
		"deactivate.sh": `vgchange --deltag ` + tag + ` vg_svc1
vgchange -a n vg_svc1
sg_persist -n --out --release --param-rk=0x238170552475005 --prout-type=5 /dev/sdfi
sg_persist -n --out --register-ignore --param-rk=0x238170552475005 /dev/sdfi
sg_persist -n --out --register-ignore --param-rk=0x238170552475005 /dev/sdej
`,
	} {
		path := filepath.Join("../../examples/hp3par", script)
		out, err := exec.Command("sh", "-n", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NoError(t, os.RemoveAll(log))
		cmd := exec.Command("sh", path, "vg_svc1", "/dev/sdfi", "/dev/sdej")
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "MACHINE_ID=" + id}
		out, err = cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		got, err := os.ReadFile(log)
		require.NoError(t, err)
		require.Equal(t, want, string(got), script)
		require.Error(t, exec.Command("sh", path, "vg_svc1").Run(), "a device is needed")
	}
	// A refused reservation ends the hook before anything is activated.
	require.NoError(t, os.RemoveAll(log))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sg_persist"), []byte("#!/bin/sh\necho sg_persist \"$@\" >>"+log+"\ncase \"$*\" in *--reserve*) exit 24;; esac\n"), 0o700)) //nolint:gosec // a program
	cmd := exec.Command("sh", "../../examples/hp3par/activate.sh", "vg_svc1", "/dev/sdfi")
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "MACHINE_ID=" + id}
	require.Error(t, cmd.Run())
	got, err := os.ReadFile(log)
	require.NoError(t, err)
	require.NotContains(t, string(got), "vgchange")
}
