package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/sim/infinibox"
)

const infiniBoxYAML = `
arrays:
  ibox1: {type: infinibox, url: ["https://HTTPS1", "http://HTTP1"], username: admin, insecure: true}
  ibox2: {type: infinibox, url: "http://HTTP2", username: admin}
resources:
  rep: {driver: infinibox, mode: async, entity: volume, name: vol1, link: link1, interval: 60s, rpo: 120s,
    sites: {site1: {array: ibox1, pool: p1}, site2: {array: ibox2, pool: p2, name: copy}}}
  bad: {driver: infinibox, mode: sync, entity: filesystem, name: fs1, link: link1,
    sites: {site1: {array: ibox1}, site2: {array: ibox2}}}
`

// TestInfiniBoxResource goes from the configuration to both boxes and back.
func TestInfiniBoxResource(t *testing.T) {
	sim, err := infinibox.Start(t.Context(), infinibox.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	a := sim.Ready().Arrays
	text := replaceAll(infiniBoxYAML, "HTTPS1", a[0].HTTPS, "HTTP1", a[0].HTTP, "HTTP2", a[1].HTTP)
	cfg := loadYAML(t, text)
	password := func(name string) string {
		return map[string]string{cfg.Arrays["ibox1"].PasswordVariable(): "123456", cfg.Arrays["ibox2"].PasswordVariable(): "123456"}[name]
	}
	env := environment{cfg: cfg, log: slog.New(slog.DiscardHandler), getenv: password}

	d, err := openInfiniBox(t.Context(), env, cfg.Resources["rep"])
	require.NoError(t, err)
	defer closeDriver(d)
	caps := d.Capabilities()
	require.Equal(t, []string{"site1", "site2"}, caps.Sites)
	require.Equal(t, "2m0s", caps.MaxAge.String(), "the RPO, where nothing else is set")
	s, err := array.Run(t.Context(), d, array.Goal{Verb: array.Create, Params: map[string]string{"size": "1MiB"}}, array.Options{Resource: "rep"})
	require.NoError(t, err)
	require.Equal(t, 2, s.Steps)
	o, err := d.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, "copy", o.Members[0].Peer)

	listed, err := listInfiniBox(t.Context(), env, cfg.Arrays["ibox2"])
	require.NoError(t, err)
	require.Len(t, listed.(map[string]any)["volumes"], 1)
	require.Len(t, listed.(map[string]any)["replicas"], 1)

	_, err = openInfiniBox(t.Context(), env, cfg.Resources["bad"])
	require.ErrorContains(t, err, "filesystems replicate async only")
	env.getenv = func(string) string { return "" }
	_, err = openInfiniBox(t.Context(), env, cfg.Resources["rep"])
	var f *failure.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, failure.CodeUsage, f.Code)
	require.Contains(t, f.Next, "password_file")
	env.getenv = func(string) string { return "wrong" }
	d, err = openInfiniBox(t.Context(), env, cfg.Resources["rep"])
	require.NoError(t, err)
	o, err = d.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, o.Sides[0].Error, "user or password")
	require.Equal(t, array.RoleUnknown, o.Sides[0].Role)
}

func replaceAll(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// TestInsecureIsForInfiniBox: elsewhere it would promise something.
func TestInsecureIsForInfiniBox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte("arrays: {h: {type: hp3par, insecure: true}}\n"), 0o600))
	_, err := config.Load(path)
	require.ErrorContains(t, err, "insecure is for arrays of type infinibox")
}
