package state

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

func TestLock(t *testing.T) {
	s := open(t)
	l, err := s.Lock(t.Context(), testLV, LockOptions{Purpose: "sync appdata"})
	require.NoError(t, err)
	_, err = s.Lock(t.Context(), testLV, LockOptions{})
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeLocked, code)
	var held *LockedError
	require.ErrorAs(t, err, &held)
	require.Equal(t, os.Getpid(), held.PID)
	require.Equal(t, os.Getpid(), held.Starter)
	require.ErrorContains(t, err, "sync appdata")

	other, err := s.Lock(t.Context(), LV("other"), LockOptions{})
	require.NoError(t, err, "each volume has its own lock")
	require.NoError(t, other.Release())

	require.NoError(t, l.Release())
	l, err = s.Lock(t.Context(), testLV, LockOptions{})
	require.NoError(t, err)
	require.NoError(t, l.Release())
}

// TestLockOutlivesParent: a child that got the lock as its standard input holds it
// after we let go, and the message names that child.
func TestLockOutlivesParent(t *testing.T) {
	s := open(t)
	l, err := s.Lock(t.Context(), testLV, LockOptions{Purpose: "full appdata"})
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), "sleep", "60")
	child.Stdin = l.File()
	require.NoError(t, child.Start())
	require.NoError(t, l.Release())
	_, err = s.Lock(t.Context(), testLV, LockOptions{})
	var held *LockedError
	require.ErrorAs(t, err, &held)
	require.Equal(t, child.Process.Pid, held.PID)
	require.Equal(t, "sleep", held.Command)
	require.ErrorContains(t, err, "started by pid")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Lock(ctx, testLV, LockOptions{Wait: time.Minute})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	got := make(chan error, 1)
	go func() {
		l, err := s.Lock(t.Context(), testLV, LockOptions{Wait: time.Minute})
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.NoError(t, <-got, "the lock ends with the child")
}

func TestIdentifyFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	require.NoError(t, os.WriteFile(a, nil, 0o600))
	first, err := Identify(a)
	require.NoError(t, err)
	require.Equal(t, IdentityFile, first.Kind)
	require.NoError(t, first.Validate())
	require.NoError(t, os.Symlink(a, b))
	viaLink, err := Identify(b)
	require.NoError(t, err)
	require.Equal(t, first, viaLink)
	require.NoError(t, os.Rename(a, filepath.Join(dir, "c")))
	moved, err := Identify(filepath.Join(dir, "c"))
	require.NoError(t, err)
	require.Equal(t, first, moved, "a rename keeps the identity")
	require.NoError(t, os.WriteFile(a, nil, 0o600))
	replaced, err := Identify(a)
	require.NoError(t, err)
	require.NotEqual(t, first, replaced, "another file at the same path is another volume")
	parsed, err := ParseIdentity(first.String())
	require.NoError(t, err)
	require.Equal(t, first, parsed)
	_, err = Identify(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Identify("/dev/null")
	require.ErrorContains(t, err, "neither a block device nor a regular file")
}

// TestIdentifyDevice reads a sysfs that the test makes, as the kernel shows it.
func TestIdentifyDevice(t *testing.T) {
	const dmUUID = "LVM-" + "AAAAAABBBBCCCCDDDDEEEEFFFFGGGGGG" + "Zd3fOMabcdEFGHijklMNOPqrstUVWXyz"
	backing := filepath.Join(t.TempDir(), "disk.img")
	require.NoError(t, os.WriteFile(backing, nil, 0o600))
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  Identity
		kind  IdentityKind
	}{
		{"logical volume", map[string]string{"dm/uuid": dmUUID + "\n"}, LV("Zd3fOM-abcd-EFGH-ijkl-MNOP-qrst-UVWXyz"), IdentityLV},
		{"layer of one", map[string]string{"dm/uuid": dmUUID + "-real\n"}, Identity{IdentityDM, dmUUID + "-real"}, IdentityDM},
		{"multipath", map[string]string{"dm/uuid": "mpath-3600\n"}, Identity{IdentityDM, "mpath-3600"}, IdentityDM},
		{"loop", map[string]string{"loop/backing_file": backing + "\n"}, Identity{}, IdentityLoop},
		{"disk", map[string]string{"device/wwid": "t10.ATA  QEMU\n"}, Identity{IdentityWWID, "t10.ATA+20+20QEMU"}, IdentityWWID},
		{"nvme", map[string]string{"wwid": "eui.0025\n"}, Identity{IdentityWWID, "eui.0025"}, IdentityWWID},
		{"nothing known", nil, Identity{}, IdentityDevice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				path := filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			got, err := identifyDevice(dir, 253, 7)
			require.NoError(t, err)
			require.NoError(t, got.Validate())
			require.Equal(t, tt.kind, got.Kind)
			if !tt.want.IsZero() {
				require.Equal(t, tt.want, got)
			}
		})
	}
}
