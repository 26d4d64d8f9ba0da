package cli

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// The replication_device is as the feature's own notes print it: no comma after conf.
const cinderConf = `[DEFAULT]
enabled_backends = ceph
[ceph]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = ceph
rbd_pool = volumes
rbd_ceph_conf = /etc/ceph/primary.conf
rbd_user = cinder
replication_device = backend_id:secondary,
                     conf:/etc/ceph/secondary.conf
                     user:cinder,
                     pool:volumes

$ cinder type-create REPL
$ cinder type-key    REPL set volume_backend_name=ceph
$ cinder type-key    REPL set replication_enabled='<is> True'
`

// newCinderBed is a configuration that was imported from cinder.conf, and volumes that Cinder made.
func newCinderBed(t *testing.T, volumes ...string) *rbdBed {
	t.Helper()
	b := newRBDBed(t)
	b.world.AddUser("cinder")
	path := filepath.Join(t.TempDir(), "cinder.conf")
	require.NoError(t, os.WriteFile(path, []byte(cinderConf), 0o600))
	code, out, warnings := b.run("config", "import", "cinder", path)
	require.Equal(t, failure.CodeOK, code, warnings)
	require.Contains(t, warnings, "comma is missing")
	require.NoError(t, os.WriteFile(b.path, []byte(out), 0o600))
	for _, v := range volumes {
		b.world.Make(fakerbd.Primary, "volumes", v, []byte("first of "+v))
		b.ok("array", "setup", "ceph:"+v)
	}
	b.ok("update", "ceph")
	return b
}

func (b *rbdBed) ok(args ...string) {
	b.t.Helper()
	code, out, errOut := b.run(args...)
	require.Equal(b.t, failure.CodeOK, code, "%v\n%s\n%s", args, out, errOut)
}

func (b *rbdBed) content(cluster, image string) string {
	return string(b.world.Content(cluster, "volumes", image))
}

// failover-host: the first cluster is lost, every volume becomes primary on the other one; what Cinder
// leaves to people, the resync, is part of failback. A planned one is swap.
func TestCinderFailoverHostAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCinderBed(t, "v1", "v2", "v3")
		b.ok("swap", "ceph", "--site", "secondary")
		b.ok("failback", "ceph")
		for _, v := range []string{"v1", "v2", "v3"} {
			require.NoError(t, b.world.Write(fakerbd.Primary, "volumes", v, []byte("unsent of "+v)))
		}
		b.world.SetDown(fakerbd.Primary, true)
		sums := b.results(failure.CodeOK, "failover", "ceph", "--site", "secondary")
		for name, s := range sums {
			require.Equal(t, report.ResultDone, s.Result, name)
		}
		for _, v := range []string{"v1", "v2", "v3"} {
			require.NoError(t, b.world.Write(fakerbd.Secondary, "volumes", v, []byte("after "+v)))
		}
		b.world.SetDown(fakerbd.Primary, false)
		sums = b.results(failure.CodePartial, "failback", "ceph")
		for name, s := range sums {
			require.Contains(t, s.Next, "--discard", name)
		}
		b.results(failure.CodeOK, "failback", "ceph", "--discard", "default")
		for _, v := range []string{"v1", "v2", "v3"} {
			require.True(t, b.world.IsPrimary(fakerbd.Primary, "volumes", v))
			require.Equal(t, "after "+v, b.content(fakerbd.Primary, v))
		}
	})
}

// One volume of the pool cannot be failed over: the others are, and the exit status is 3.
func TestOneBadImageDoesNotStopThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCinderBed(t, "v1", "v2")
		b.world.SetFirstCopyTicks(1_000_000)
		b.world.Make(fakerbd.Primary, "volumes", "new", []byte("never copied"))
		b.ok("array", "setup", "ceph:new")
		b.world.SetDown(fakerbd.Primary, true)
		sums := b.results(failure.CodePartial, "failover", "ceph", "--site", "secondary")
		require.Equal(t, report.ResultDone, sums["ceph:v1"].Result)
		require.Equal(t, report.ResultDone, sums["ceph:v2"].Result)
		require.Equal(t, failure.CodeRefused, sums["ceph:new"].ExitCode)
		require.Contains(t, sums["ceph:new"].Reason, "first copy")

		code, out, errOut := b.run("array", "images", "ceph")
		require.Equal(t, failure.CodePartial, code, errOut)
		for _, want := range []string{"VERDICT", "new", "unknown", "default was not read"} {
			require.Contains(t, out, want)
		}
		code, out, errOut = b.run("array", "images", "ceph", "--long", "--json")
		require.Equal(t, failure.CodePartial, code, errOut)
		require.Contains(t, out, `"verdict"`)
		code, out, errOut = b.run("array", "show", "ceph:v1")
		require.Equal(t, failure.CodeOK, code, errOut)
		require.Contains(t, out, `"direction": "rx-tx"`)
	})
}

// A pool that cannot be listed says why: not mirrored, not there, nobody answers.
func TestPoolThatCannotBeListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCinderBed(t, "v1")
		for what, c := range map[string]struct {
			do    func()
			code  int
			words string
		}{
			"mirroring is off": {func() {
				b.world.SetPoolMode(fakerbd.Primary, "volumes", "disabled")
				b.world.SetPoolMode(fakerbd.Secondary, "volumes", "disabled")
			}, failure.CodeRefused, "not mirrored"},
			"nobody answers": {func() { b.world.SetDown(fakerbd.Primary, true); b.world.SetDown(fakerbd.Secondary, true) }, failure.CodeUnreachable, "does not answer"},
		} {
			c.do()
			code, _, errOut := b.run("status", "ceph")
			require.Equal(t, c.code, code, what)
			require.Contains(t, errOut, c.words, what)
			require.Contains(t, errOut, "ddsgo doctor", what)
			b.world.SetDown(fakerbd.Primary, false)
			b.world.SetDown(fakerbd.Secondary, false)
			b.world.SetPoolMode(fakerbd.Primary, "volumes", "image")
			b.world.SetPoolMode(fakerbd.Secondary, "volumes", "image")
		}
	})
}
