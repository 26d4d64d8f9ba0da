package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every mistake is refused with file, line and key, and no line of the file is shown: it
// may hold a uuid.
func TestConfigMistakes(t *testing.T) {
	const rule = "{service: s, uuid: 3b2c325d-secret, array: a, commands: [showrcopy links]}"
	head := "ssl_key: k\nssl_crt: c\ncli: /c\npwf: {a: f}\n"
	for name, c := range map[string]struct{ text, want string }{
		"no key":             {"cli: /x\ncreds: []\n", "proxy.yaml: ssl_key: is missing"},
		"no certificate":     {"ssl_key: a\ncreds: []\n", "proxy.yaml: ssl_crt: is missing"},
		"unknown key":        {head + "shell: true\n", `proxy.yaml:5:1: unknown field "shell"`},
		"unknown key in one": {head + "creds:\n- {service: s, uuid: 3b2c325d-secret, array: a, command: [x]}\n", `proxy.yaml:6:49: unknown field "command"`},
		"no YAML":            {head + "creds: [" + rule + "\n", "proxy.yaml:5:"},
		"a number":           {head + "creds: 7\n", "proxy.yaml:5:8: "},
		"no cli":             {"ssl_key: k\nssl_crt: c\npwf: {a: f}\n", "proxy.yaml: cli: is missing"},
		"limit":              {head + "max_per_array: -1\n", "proxy.yaml:5:16: max_per_array: is negative"},
		"timeout":            {head + "timeout: 6\n", `proxy.yaml:5:10: timeout: "6" is no duration`},
		"unknown array":      {head + "creds:\n- {service: s, uuid: 3b2c325d-secret, array: b, commands: []}\n", "proxy.yaml:6:46: creds[0].array: array b is neither under pwf nor under arrays"},
		"no uuid":            {head + "creds:\n- {service: s, array: a, commands: []}\n", "creds[0].uuid: is missing"},
		"shell words":        {head + "creds:\n- {service: s, uuid: 3b2c325d-secret, array: a, commands: [\"show\", \"show; rm\"]}\n", `proxy.yaml:6:68: creds[0].commands[1]: "show; rm": character ';' is never allowed`},
		"two blanks":         {head + "creds:\n- {service: s, uuid: 3b2c325d-secret, array: a, commands: [\"show  x\"]}\n", "words are separated by single spaces"},
		"a rule twice":       {head + "creds:\n- " + rule + "\n- " + rule + "\n", "proxy.yaml:7:3: creds[1]: a second rule for service s on a"},
		"certificate alone":  {head + "creds:\n- {service: s, uuid: 3b2c325d-secret, array: a, commands: [], certificate: n}\n", "creds[0].certificate: needs client_ca"},
		"array without key":  {"ssl_key: k\nssl_crt: c\narrays: {a: {username: u, known_hosts: h}}\n", "array a: key is missing"},
		"array twice":        {head + "arrays: {a: {username: u, key: k, known_hosts: h}}\n", "array a stands under pwf, too"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "proxy.yaml")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			_, err := Load(path)
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "3b2c325d")
		})
	}
	_, err := Load(filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Files are looked at before anything is served; what others can read is told.
func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, mode))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	path := file("proxy.yaml", 0o600)
	text := "ssl_key: " + file("key", 0o600) + "\nssl_crt: " + file("crt", 0o644) + "\ncli: " + file("cli", 0o755) + "\npwf: {a.b: " + file("pwf", 0o604) + "}\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	warnings, err := c.CheckFiles()
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "pwf can be read by everybody")
	require.NoError(t, os.Remove(filepath.Join(dir, "pwf")))
	_, err = c.CheckFiles()
	require.ErrorContains(t, err, "proxy.yaml:4:12: pwf.'a.b': stat "+filepath.Join(dir, "pwf"))
	require.False(t, strings.Contains(err.Error(), "\n"))
}
