//go:build lab

package ceph_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab/ceph"
)

// ownerEnv makes this test binary play the owner of a lab that is going to be killed.
const ownerEnv = "DDSGO_TEST_CEPH_LAB_OWNER"

// upTime is what a lab may take to come up on a machine that has its cores for it; upLimit is more only
// by as much as there are more runnable processes than cores.
const upTime = 30 * time.Second

func upLimit(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	require.NoError(t, err)
	var load float64
	_, err = fmt.Sscan(string(text), &load)
	require.NoError(t, err)
	return time.Duration(float64(upTime) * max(1, load/float64(runtime.NumCPU())))
}

func TestMain(m *testing.M) {
	if root := os.Getenv(ownerEnv); root != "" {
		lab, err := ceph.Up(context.Background(), ceph.Options{Root: root, NoMirror: true})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(lab.Dir)
		select {} // until killed
	}
	os.Exit(m.Run())
}

func TestUpIsQuickMirrorsAndLeavesNothing(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	limit := upLimit(t)
	begin := time.Now()
	lab, err := ceph.Up(ctx, ceph.Options{Root: root})
	require.NoError(t, err)
	took := time.Since(begin)
	t.Logf("both clusters and daemons up in %.1f s", took.Seconds())
	require.Less(t, took, limit)
	requireKeysApart(t, lab)
	second, err := ceph.Up(ctx, ceph.Options{Root: root, NoMirror: true})
	require.NoError(t, err, "a second lab beside the first")

	_, err = lab.Primary.Rbd(ctx, "create", "volumes/test", "--size", "1M", "--image-feature", "layering,exclusive-lock,journaling")
	require.NoError(t, err)
	_, err = lab.Primary.Rbd(ctx, "mirror", "image", "enable", "volumes/test", "journal")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := lab.Secondary.Rbd(ctx, "info", "volumes/test")
		return err == nil
	}, 3*time.Minute, 300*time.Millisecond, "the image never appeared on the peer")
	out, err := second.Primary.Rbd(ctx, "ls", "volumes", "--format", "json")
	require.NoError(t, err)
	require.JSONEq(t, "[]", string(out), "the labs are separate")

	require.NoError(t, second.Close())
	require.NoError(t, lab.Close())
	requireGone(t, root, lab.Dir)
	requireGone(t, root, second.Dir)
}

// requireKeysApart: no file of the lab holds the administrator's keys of both clusters.
func requireKeysApart(t *testing.T, lab *ceph.Lab) {
	t.Helper()
	var keys [2]string
	for i, c := range lab.Clusters() {
		out, err := lab.Output(t.Context(), "ceph-authtool", filepath.Join(c.Dir, "keyring"), "-n", "client.admin", "-p")
		require.NoError(t, err)
		keys[i] = strings.TrimSpace(string(out))
		require.Greater(t, len(keys[i]), 20)
	}
	require.NotEqual(t, keys[0], keys[1])
	const small = 1 << 20 // configurations, keyrings and logs; not the disks
	err := filepath.WalkDir(lab.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // daemons come and go with their files
		}
		if info, err := d.Info(); err != nil || info.Size() > small {
			return nil //nolint:nilerr // as above
		}
		text, err := os.ReadFile(path)
		if err == nil {
			require.False(t, strings.Contains(string(text), keys[0]) && strings.Contains(string(text), keys[1]), "%s holds both keys", path)
		}
		return nil
	})
	require.NoError(t, err)
}

func TestKilledOwnerLeavesNothing(t *testing.T) {
	root := t.TempDir()
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+root)
	stdout, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	dir, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	dir = strings.TrimSpace(dir)
	require.DirExists(t, dir)
	require.NotEmpty(t, daemonsIn(t, dir))
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()
	require.Eventually(t, func() bool {
		_, err := os.Lstat(dir)
		return os.IsNotExist(err) && len(daemonsIn(t, dir)) == 0
	}, time.Minute, 100*time.Millisecond)
}

func requireGone(t *testing.T, root, dir string) {
	t.Helper()
	require.NoDirExists(t, dir)
	require.Empty(t, daemonsIn(t, dir))
	left, err := filepath.Glob(filepath.Join(root, "lab-*"))
	require.NoError(t, err)
	for _, l := range left {
		require.NotEqual(t, dir, l)
	}
}

// daemonsIn lists the processes whose environment points into dir.
func daemonsIn(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	procs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, p := range procs {
		env, err := os.ReadFile(filepath.Join(p, "environ"))
		if err == nil && strings.Contains(string(env), "HOME="+dir+"/") {
			found = append(found, filepath.Base(p))
		}
	}
	return found
}
