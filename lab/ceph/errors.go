package ceph

import "errors"

var (
	// ErrToolMissing: a Ceph program is not installed. Run lab/ceph/install.sh.
	ErrToolMissing = errors.New("ceph lab: program not installed")
	// ErrNotRoot: daemons and their data need root.
	ErrNotRoot = errors.New("ceph lab: must run as root")
	// ErrNoPorts: every port range of the lab is taken.
	ErrNoPorts = errors.New("ceph lab: no free port range")
	// ErrNotReady: a daemon did not become ready in time.
	ErrNotReady = errors.New("ceph lab: not ready in time")
	// ErrDaemonEnded: a daemon ended while it was waited for.
	ErrDaemonEnded = errors.New("ceph lab: daemon ended")
)
