package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plugged is a bed with the sample driver of examples/plugin over two files.
func plugged(t *testing.T) (dir string, run func(args ...string) (int, string, string)) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		require.NotEqual(t, "required", os.Getenv("LAB"), "the sample driver needs /usr/bin/python3: %v", err)
		t.Skipf("the sample driver needs /usr/bin/python3: %v", err)
	}
	examples, err := filepath.Abs("../../../examples/plugin")
	require.NoError(t, err)
	dir = t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(filepath.Join(examples, "ddsgo-driver-twofiles"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ddsgo-driver-twofiles"), text, 0o755))
	conf := filepath.Join(dir, "ddsgo.yaml")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `local_site: site1
plugins: {dirs: [%[1]s]}
resources:
  sample: {driver: twofiles, sites: {site1: {}, site2: {}}, config: {a: %[1]s/a, b: %[1]s/b}}
`, dir), 0o600))
	return dir, func(args ...string) (int, string, string) {
		var out, errOut strings.Builder
		s := streams{strings.NewReader(""), &out, &errOut}
		g := &globals{drivers: drivers()}
		root := newRoot(g, s)
		root.SetArgs(append(args, "--config", conf, "--state-dir", filepath.Join(dir, "state")))
		err := root.ExecuteContext(t.Context())
		return finish(t.Context(), g, s, err), out.String(), errOut.String()
	}
}

// The whole suite is `make array-plugin`; here are the cases of one verb.
func TestSamplePluginConforms(t *testing.T) {
	dir, run := plugged(t)
	fault, err := filepath.Abs("../../../examples/plugin/twofiles-fault")
	require.NoError(t, err)
	code, out, errOut := run("array", "conformance", "--driver", "twofiles", "--fault", strings.Join([]string{fault, dir + "/a", dir + "/b"}, " "), "--only", "normal: swap NAME --site site2")
	require.Equal(t, 0, code, out+errOut)
	require.Contains(t, out, "4 passed, 0 failed, 0 left out")
}

// Without a fault command, what needs it is left out and said so.
func TestConformanceWithoutFaults(t *testing.T) {
	_, run := plugged(t)
	code, out, errOut := run("array", "conformance", "--driver", "twofiles", "--only", "link down: update")
	require.Equal(t, 1, code, "nothing was proved: %s%s", out, errOut)
	require.Contains(t, out, "left out: link down: update NAME: this lab cannot do that: no --fault CMD")

	code, _, errOut = run("array", "conformance", "--driver", "nosuch")
	require.Equal(t, 4, code)
	require.Contains(t, errOut, "needs exactly one")
}

func TestPluginThatIsNotThere(t *testing.T) {
	dir, run := plugged(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "ddsgo-driver-twofiles")))
	code, out, _ := run("status")
	require.Equal(t, 3, code)
	require.Contains(t, out, "ddsgo-driver-twofiles is not in "+dir)
	code, _, errOut := run("update", "sample")
	require.Equal(t, 4, code)
	require.Contains(t, errOut, "ddsgo.yaml:4:3")
}
