package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const dockerSamples = "../../../array/hp3par/testdata/"

func ddsgo(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(append([]string{"ddsgo"}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// What is printed is a configuration, and holds no password.
func TestImportDocker(t *testing.T) {
	secrets := t.TempDir()
	code, out, errs := ddsgo("config", "import", "docker", dockerSamples+"docker-iscsi.conf", "--system-id", "12345", "--secrets", secrets)
	require.Zero(t, code, errs)
	require.Equal(t, `arrays:
  source3par:
    type: hp3par
    method: ssh
    manager: 192.0.2.1
    username: 3paradm
    password_file: `+secrets+`/source3par.password
  target3par:
    type: hp3par
    method: ssh
    manager: 192.0.2.2
    username: 3paradm
    password_file: `+secrets+`/target3par.password
resources:
  Test_RCG:
    driver: hp3par
    mode: sync
    sites:
      source:
        array: source3par
        group: Test_RCG
        cpg: FC_r6
        snap_cpg: SNAP_r6
      target:
        array: target3par
        group: Test_RCG.r12345
        cpg: FC_r6_T
        snap_cpg: SNAP_r6_T
`, out)
	require.Contains(t, errs, "a comma is missing after snap_cpg_map")
	text, err := os.ReadFile(filepath.Join(secrets, "target3par.password"))
	require.NoError(t, err)
	require.Equal(t, "3parsecond\n", string(text))
	path := filepath.Join(t.TempDir(), "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte(out), 0o600))
	code, text2, errs := ddsgo("--config", path, "config", "check")
	require.Zero(t, code, errs)
	require.Contains(t, text2, "1 resource(s), 2 array(s): no defect")
	require.Empty(t, errs, "the files of secrets are there, and nobody else can read them")
}

func TestImportDockerFlags(t *testing.T) {
	code, out, errs := ddsgo("config", "import", "docker", dockerSamples+"docker-fc.conf", "--method", "wsapi", "--group", "R1", "--group", "DEFAULT/R2", "--group", "gold/R3")
	require.Zero(t, code, errs)
	require.Contains(t, out, "url: https://192.0.2.2:8080/api/v1")
	require.Contains(t, out, "period: 900s")
	require.Contains(t, out, "group: R2.r0")
	require.NotContains(t, out, "R3")
	require.NotContains(t, out+errs, "3pardata")
	require.Contains(t, errs, "(--system-id)")
	require.Contains(t, errs, "put the password into /etc/ddsgo/secrets/target3par.password")

	bad := filepath.Join(t.TempDir(), "hpe.conf")
	text, err := os.ReadFile(dockerSamples + "docker-fc.conf")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(bad, []byte(strings.ReplaceAll(string(text), "3pardata", "+CB1E8Je1j8=")), 0o600))
	code, out, errs = ddsgo("config", "import", "docker", bad)
	require.Equal(t, 4, code)
	require.Empty(t, out)
	require.Contains(t, errs, bad+":3: hpe3par_password: is encrypted")
	code, _, errs = ddsgo("config", "import", "docker", bad, "--no-passwords")
	require.Zero(t, code, errs)
	code, _, _ = ddsgo("config", "import", "docker", bad, "--method", "telnet")
	require.Equal(t, 4, code)
	code, _, _ = ddsgo("config", "import", "docker", "/nosuch")
	require.Equal(t, 4, code)
}
