package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

const rbdListYAML = `
local_site: site1
resources:
  img: {driver: rbd, mode: journal, pool: volumes, images: [a, bad, z],
    sites: {site1: {cluster: primary, mirror_admin_socket: primary}, site2: {cluster: secondary, mirror_admin_socket: secondary}}}
`

// rbdBed is the command line over the fake of Ceph's.
type rbdBed struct {
	t     *testing.T
	path  string
	world *fakerbd.World
}

func newRBDBed(t *testing.T) *rbdBed {
	t.Helper()
	b := &rbdBed{t: t, path: filepath.Join(t.TempDir(), "ddsgo.yaml"), world: fakerbd.New("volumes")}
	require.NoError(t, os.WriteFile(b.path, []byte(rbdListYAML), 0o600))
	return b
}

func (b *rbdBed) run(args ...string) (code int, out, errOut string) {
	var o, e strings.Builder
	s := streams{strings.NewReader(""), &o, &e}
	g := &globals{drivers: drivers(), runner: b.world}
	root := newRoot(g, s)
	root.SetArgs(append(args, "--config", b.path, "--state-dir", filepath.Join(filepath.Dir(b.path), "state")))
	err := root.ExecuteContext(b.t.Context())
	return finish(b.t.Context(), g, s, err), o.String(), e.String()
}

// results are the outcomes of a verb by image; one summary for each is demanded.
func (b *rbdBed) results(want int, args ...string) map[string]report.Summary {
	b.t.Helper()
	code, out, errOut := b.run(append(args, "--json")...)
	require.Equal(b.t, want, code, "%v\n%s\n%s", args, out, errOut)
	sums := map[string]report.Summary{}
	for _, s := range jsonLines[report.Summary](b.t, out, report.TypeSummary) {
		require.NotContains(b.t, sums, s.Resource, "two summaries of one image")
		sums[s.Resource] = s
	}
	require.Len(b.t, sums, 3, out)
	return sums
}

// One image of a list does not exist: each image has its own result, the good ones are done, whatever
// their place in the list, and the exit status says that not all of them are.
func TestOneBadImageDoesNotStopTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRBDBed(t)
		for _, name := range []string{"a", "z"} {
			b.world.Make(fakerbd.Primary, "volumes", name, []byte("first of "+name))
		}
		oneBad := func(args ...string) {
			sums := b.results(failure.CodePartial, args...)
			require.Equal(t, report.ResultDone, sums["img:a"].Result, "%+v", sums["img:a"])
			require.Equal(t, report.ResultDone, sums["img:z"].Result, "%+v", sums["img:z"])
			bad := sums["img:bad"]
			require.Equal(t, failure.CodeRefused, bad.ExitCode, "%+v", bad)
			require.Contains(t, bad.Reason, "no image")
			require.NotEmpty(t, bad.Next)
		}
		oneBad("array", "setup", "img")
		for _, name := range []string{"a", "z"} {
			require.NoError(t, b.world.Write(fakerbd.Primary, "volumes", name, []byte("second of "+name)))
		}
		oneBad("update", "img")
		for _, name := range []string{"a", "z"} {
			require.Equal(t, "second of "+name, string(b.world.Content(fakerbd.Secondary, "volumes", name)))
		}

		code, out, errOut := b.run("break", "img") // for people: the work on stdout, what failed on stderr
		require.Equal(t, failure.CodePartial, code)
		require.Contains(t, out, "img:a: break: done")
		require.Contains(t, out, "img:z: break: done")
		require.Contains(t, errOut, "img:bad")
		require.Contains(t, errOut, "1 of 3 resources failed")
		code, _, errOut = b.run("update", "img:bad")
		require.Equal(t, failure.CodeRefused, code, "alone it has its own status: %s", errOut)

		b.world.Make(fakerbd.Primary, "volumes", "bad", []byte("no longer missing"))
		b.results(failure.CodeOK, "array", "setup", "img")
	})
}
