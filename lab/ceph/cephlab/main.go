// Command cephlab brings up the two-cluster Ceph lab, runs a command inside it, and takes the lab
// down again, whatever happens. Without a command it waits for SIGINT or SIGTERM.
//
//	go run ./lab/ceph/cephlab -- rbd --cluster primary mirror pool status volumes
//
// The command gets HOME (Ceph's configurations), CEPHLAB_DIR, CEPHLAB_POOL, CEPHLAB_PRIMARY_CONF,
// CEPHLAB_SECONDARY_CONF, CEPHLAB_PRIMARY_SOCKET, CEPHLAB_SECONDARY_SOCKET (rbd-mirror's admin
// sockets) and CEPHLAB_CONTROL: a FIFO that takes one order per line (see control.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ddsgo/ddsgo/lab/ceph"
)

func main() {
	keep := flag.Bool("keep", false, "leave the lab's directory (logs, data) behind")
	noMirror := flag.Bool("no-mirror", false, "clusters and pool only")
	pool := flag.String("pool", "volumes", "name of the pool on both clusters")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code, err := run(ctx, ceph.Options{KeepOnExit: *keep, NoMirror: *noMirror, Pool: *pool}, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "cephlab:", err)
	}
	os.Exit(code) //nolint:gocritic // the deferred stop only restores signal handling
}

func run(ctx context.Context, opt ceph.Options, argv []string) (int, error) {
	begin := time.Now()
	lab, err := ceph.Up(ctx, opt)
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "cephlab: up in %.1f s, %s\n", time.Since(begin).Seconds(), lab.Dir)
	code, err := inside(ctx, lab, argv)
	return code, errors.Join(err, lab.Close())
}

func inside(ctx context.Context, lab *ceph.Lab, argv []string) (int, error) {
	fifo := filepath.Join(lab.Dir, "control")
	env := append(os.Environ(), "HOME="+lab.Home, "CEPHLAB_DIR="+lab.Dir, "CEPHLAB_POOL="+lab.Pool,
		"CEPHLAB_PRIMARY_CONF="+lab.Primary.Conf, "CEPHLAB_SECONDARY_CONF="+lab.Secondary.Conf,
		"CEPHLAB_PRIMARY_SOCKET="+lab.Primary.MirrorSocket, "CEPHLAB_SECONDARY_SOCKET="+lab.Secondary.MirrorSocket,
		"CEPHLAB_CONTROL="+fifo)
	if err := serveControl(ctx, lab, fifo); err != nil {
		return 1, err
	}
	if len(argv) == 0 {
		fmt.Printf("export HOME=%s\n", lab.Home)
		<-ctx.Done()
		return 0, nil
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("%s: %w", argv[0], err)
	}
	return 0, nil
}
