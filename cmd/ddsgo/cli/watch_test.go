package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/failure"
)

func TestWatchedLegs(t *testing.T) {
	cfg, err := config.Parse("t", []byte(`
resources:
  here: {source: /dev/null, snap_extend: {step: 5%, max: 50%}, targets: [{device: /dev/b}]}
  elsewhere: {source: /dev/vg-of-another-host/a, targets: [{host: x, device: /dev/b}]}
  snaps: {driver: hp3parsnap, array: a, vv_names: [v]}
arrays:
  a: {type: hp3par, username: u}
`))
	require.NoError(t, err)
	env := environment{cfg: cfg, stateDir: func() (string, error) { return "/state", nil }}
	legs, err := watchedLegs(env, true, nil)
	require.NoError(t, err)
	require.Len(t, legs, 1)
	require.Equal(t, "here", legs[0].Resource)
	require.EqualValues(t, 50, legs[0].SnapExtend.Max(100))
	legs, err = watchedLegs(env, false, []string{"elsewhere"})
	require.NoError(t, err, "whoever names it is told why it does not work")
	require.Nil(t, legs[0].SnapExtend.Max)
	for _, c := range []struct {
		all   bool
		names []string
		code  int
	}{{true, []string{"here"}, failure.CodeUsage}, {false, nil, failure.CodeUsage}, {false, []string{"nobody"}, failure.CodeUsage}, {false, []string{"snaps"}, failure.CodeUnsupported}} {
		_, err := watchedLegs(env, c.all, c.names)
		code, _ := failure.CodeOf(err)
		require.Equal(t, c.code, code, "%+v: %v", c, err)
	}
}

func TestPositive(t *testing.T) {
	for _, bad := range []string{"0s", "2", "-1s", "soon"} {
		_, err := positive("--interval", bad)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeUsage, code, bad)
	}
	d, err := positive("--horizon", "")
	require.NoError(t, err)
	require.Zero(t, d)
}
