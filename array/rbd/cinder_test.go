package rbd_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array/rbd"
)

// The form that the feature's own notes print: no section, and no comma after conf.
const printed = `replication_device = backend_id:secondary,
                     conf:/etc/ceph/secondary.conf
                     user:cinder,
                     pool:volumes

$ cinder type-create REPL
$ cinder type-key    REPL set volume_backend_name=ceph
$ cinder type-key    REPL set replication_enabled='<is> True'
`

func TestImportCinderAsPrinted(t *testing.T) {
	c, err := rbd.ImportCinder(strings.NewReader(printed))
	require.NoError(t, err)
	require.Len(t, c.Backends, 1)
	b := c.Backends[0]
	require.Equal(t, []rbd.CinderTarget{{BackendID: "secondary", Conf: "/etc/ceph/secondary.conf", User: "cinder", Pool: "volumes"}}, b.Targets)
	require.Equal(t, "volumes", b.Pool)
	require.Equal(t, []rbd.CinderType{{Name: "REPL", Backend: "ceph", Replicated: true}}, c.Types)
	require.Contains(t, strings.Join(c.Warnings, "\n"), "comma is missing")
}

func TestImportCinderWhole(t *testing.T) {
	c, err := rbd.ImportCinder(strings.NewReader(`
[DEFAULT]
enabled_backends = ceph, lvm
# a comment
[ceph]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = ceph
rbd_pool = vols
rbd_ceph_conf = /etc/ceph/primary.conf
rbd_user = cinder
replication_device = backend_id:b2,user:u2
replication_device = backend_id:b3
[lvm]
rbd_pool = none
`))
	require.NoError(t, err)
	require.Len(t, c.Backends, 1)
	b := c.Backends[0]
	require.Equal(t, "primary", b.Cluster)
	require.Equal(t, "/etc/ceph/b2.conf", b.Targets[0].Conf)
	w := strings.Join(c.Warnings, "\n")
	require.Contains(t, w, "2 replication devices")
	require.Contains(t, w, "[lvm] has no replication_device")
	_, err = rbd.ImportCinder(strings.NewReader("[x]\na = b\n"))
	require.Error(t, err)
}

func FuzzImportCinder(f *testing.F) {
	f.Add(printed)
	f.Add("[a]\nreplication_device = :,\n x")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := rbd.ImportCinder(strings.NewReader(s))
		if err == nil && len(c.Backends) == 0 {
			t.Fatal("success without a back-end")
		}
	})
}
