package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/config"
)

const rbdYAML = `
resources:
  img: {driver: rbd, mode: journal, pool: volumes, images: [b, a],
    sites: {site1: {cluster: primary, user: admin}, site2: {conf: /etc/ceph/secondary.conf, mirror_admin_socket: /s}}}
  one: {driver: rbd, mode: snapshot, pool: volumes, images: [x], schedules: [1h],
    sites: {site1: {cluster: primary}, site2: {cluster: secondary}}}
`

func loadYAML(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ddsgo.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, err := config.Load(path)
	require.NoError(t, err)
	return cfg
}

func TestImagesAreResourcesOfTheirOwn(t *testing.T) {
	cfg := loadYAML(t, rbdYAML)
	sel := selection{parallel: 1}
	names, err := sel.names(t.Context(), environment{cfg: cfg}, []string{"img"}, false)
	require.NoError(t, err)
	require.Equal(t, []string{"img:a", "img:b"}, names)
	names, err = sel.names(t.Context(), environment{cfg: cfg}, []string{"img:b", "one"}, false)
	require.NoError(t, err)
	require.Equal(t, []string{"img:b", "one"}, names)
	_, err = sel.names(t.Context(), environment{cfg: cfg}, []string{"img:nosuch"}, false)
	require.ErrorContains(t, err, "unknown resource")

	cfg = loadYAML(t, rbdYAML)
	all := selection{parallel: 1, all: true}
	names, err = all.names(t.Context(), environment{cfg: cfg}, nil, false)
	require.NoError(t, err)
	require.Equal(t, "img:a img:b one", strings.Join(names, " "))
}

func TestRBDConfiguration(t *testing.T) {
	cfg := loadYAML(t, rbdYAML)
	_, err := openRBD(t.Context(), environment{cfg: cfg}, cfg.Resources["img"])
	require.ErrorContains(t, err, "several images")
	require.True(t, named(cfg, "img:a"))
	got, err := rbdConfig(environment{cfg: cfg, site: "site2"}, cfg.Resources["img:a"])
	require.NoError(t, err)
	require.Equal(t, "volumes/a", got.Image.String())
	require.Equal(t, "secondary", got.Sites[1].Cluster.Name, "found by its configuration")
	require.Equal(t, "/s", got.Sites[1].Cluster.MirrorSocket)
	require.Equal(t, "site2", got.LocalSite)
	_, err = openRBD(t.Context(), environment{cfg: cfg}, cfg.Resources["one"])
	require.NoError(t, err)
}
