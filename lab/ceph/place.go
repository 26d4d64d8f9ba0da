package ceph

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	firstPort     = 20000
	portsPerLab   = 200
	portRanges    = 40 // 20000..27999, below the kernel's ephemeral range
	lockName      = "lock"
	labDirPattern = "lab-*"
	keepName      = "keep"
)

// place is what a lab occupies on the machine: its directory, its lock and its port range.
type place struct {
	dir      string
	port     int
	lock     *os.File
	portLock *os.File
	pipe     io.Closer // closing it tells the reaper that the owner is gone
	reaper   *exec.Cmd
}

// takePlace sweeps abandoned labs, makes a directory, locks it and starts its reaper.
func takePlace(root string) (*place, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("ceph lab: %w", err)
	}
	sweep(root)
	dir, err := os.MkdirTemp(root, labDirPattern)
	if err != nil {
		return nil, fmt.Errorf("ceph lab: %w", err)
	}
	p := &place{dir: dir}
	if p.lock, err = lockFile(filepath.Join(dir, lockName)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.takePorts(); err != nil {
		return nil, errors.Join(err, p.leave(true))
	}
	if err := p.startReaper(); err != nil {
		return nil, errors.Join(err, p.leave(true))
	}
	return p, nil
}

// sweep removes the labs whose lock nobody holds. A directory without a lock file is younger than
// its lock (see takePlace) or not ours: left alone.
func sweep(root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, labDirPattern))
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		kept := exists(filepath.Join(dir, keepName))
		if !kept && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ceph lab: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("ceph lab: lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// takePorts takes the first range that no lab of this machine holds and no monitor's port of which is
// in use. Ports belong to the machine and not to a root: the locks are in the default root.
func (p *place) takePorts() error {
	if err := os.MkdirAll(defaultRoot(), 0o700); err != nil {
		return fmt.Errorf("ceph lab: %w", err)
	}
	for i := range portRanges {
		f, err := lockFile(filepath.Join(defaultRoot(), fmt.Sprintf("ports-%02d", i)))
		if err != nil {
			continue
		}
		port := firstPort + i*portsPerLab
		if !portsFree(port) {
			_ = f.Close()
			continue
		}
		p.portLock, p.port = f, port
		return nil
	}
	return ErrNoPorts
}

// portsFree tries the ports of both clusters' monitors, which cannot move to others as daemons can.
func portsFree(port int) bool {
	for _, at := range []int{port, port + 1, port + portsPerLab/2, port + portsPerLab/2 + 1} {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", at)) //nolint:noctx // binds at once or not at all
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

// reaperScript waits until its input ends, that is until the owner has closed the pipe or died.
// The daemons are killed by the kernel at the same instant; the loop covers the race with them.
const reaperScript = `trap "" INT TERM HUP
while read -r _; do :; done
[ -e "$1/keep" ] && exit 0
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" 2>/dev/null && exit 0; sleep 0.2; done`

func (p *place) startReaper() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("ceph lab: reaper: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", reaperScript, "ddsgo-ceph-lab-reaper", p.dir) //nolint:noctx // outlives us by design
	cmd.Stdin = r
	cmd.ExtraFiles = []*os.File{p.lock} // keeps sweep away while the reaper works
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("ceph lab: reaper: %w", err), w.Close())
	}
	p.pipe, p.reaper = w, cmd
	return nil
}

// leave gives everything back; with wipe the directory goes too.
func (p *place) leave(wipe bool) error {
	var errs []error
	if !wipe {
		errs = append(errs, os.WriteFile(filepath.Join(p.dir, keepName), nil, 0o600))
	}
	if p.pipe != nil {
		_ = p.pipe.Close()
		_ = p.reaper.Wait()
	}
	if wipe {
		errs = append(errs, os.RemoveAll(p.dir))
	}
	for _, f := range []*os.File{p.lock, p.portLock} {
		if f != nil {
			_ = f.Close()
		}
	}
	return errors.Join(errs...)
}
