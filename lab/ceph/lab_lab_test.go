//go:build lab

package ceph_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab/ceph"
)

// ownerEnv makes this test binary play the owner of a lab that is going to be killed.
const ownerEnv = "DDSGO_TEST_CEPH_LAB_OWNER"

// upLimit is for a machine whose cores are all busy; an idle one needs a third of the 30 s that are promised.
const upLimit = 90 * time.Second

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
	begin := time.Now()
	lab, err := ceph.Up(ctx, ceph.Options{Root: root})
	require.NoError(t, err)
	took := time.Since(begin)
	t.Logf("both clusters and daemons up in %.1f s", took.Seconds())
	require.Less(t, took, upLimit)
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
