package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// What the import prints is a configuration that config check accepts, and a number without
// a unit is refused until somebody says what it means.
func TestConfigImportOpenSVC(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	node := write("node.conf", "[array#a1]\ntype = hp3par\nusername = u\nkey = /k\n[array#a2]\ntype = hp3par\nusername = u\nkey = /k\n")
	svc := write("svc1.env", "[sync#1]\ntype = hp3par\nmode = async\narray@n1 = a1\narray@n2 = a2\nrcg@n1 = G\nrcg@n2 = G.r1\nsync_max_delay = 5\n")
	ddsgo := func(stdin string, args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"ddsgo"}, args...), strings.NewReader(stdin), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, out, errs := ddsgo("", "config", "import", "opensvc", node, svc)
	require.Equal(t, failure.CodeUsage, code)
	require.Empty(t, out)
	require.Contains(t, errs, svc+`:8:1: [sync#1] sync_max_delay: "5" has no unit`)
	require.Contains(t, errs, "--bare-unit minutes")
	code, out, errs = ddsgo("", "config", "import", "opensvc", node, svc, "--bare-unit", "minutes")
	require.Zero(t, code, errs)
	require.Contains(t, out, "sync_max_delay: 5m")
	require.Contains(t, errs, "note: ")
	code, _, errs = ddsgo("", "--config", write("ddsgo.yaml", out), "config", "check")
	require.Zero(t, code, errs)
	code, _, errs = ddsgo("", "config", "import", "opensvc", svc, "--bare-unit", "hours")
	require.Equal(t, failure.CodeUsage, code, errs)
	code, out, errs = ddsgo("[array#a1]\ntype = hp3par\nusername = u\nkey = /k\n", "config", "import", "opensvc", "-")
	require.Zero(t, code, errs)
	require.Contains(t, out, "a1:")
	code, _, errs = ddsgo("", "config", "import", "opensvc", filepath.Join(dir, "nowhere"))
	require.Equal(t, failure.CodeUsage, code)
	require.Contains(t, errs, "cannot be read")
}
