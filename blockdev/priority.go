package blockdev

import (
	"io"
	"runtime"

	"golang.org/x/sys/unix"
)

// Arguments of ioprio_set(2), which has no wrapper.
const (
	ioprioWhoProcess = 1 // one thread, in truth
	ioprioClassIdle  = 3
	ioprioClassShift = 13
)

// Idle reads r with the idle class of I/O priority: the disks serve everybody else first. Schedulers
// that know classes (bfq, mq-deadline) never let it starve; others treat it like any. It matters for
// devices opened for direct I/O, whose reads the disk sees as they are made.
func Idle(r io.ReaderAt) io.ReaderAt { return idleReader{r} }

type idleReader struct{ r io.ReaderAt }

// ReadAt gives the thread its priority back: it may do something else next, or start a program.
func (i idleReader) ReadAt(p []byte, off int64) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0)
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioClassIdle<<ioprioClassShift)
	}
	if errno == 0 {
		defer unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, before) //nolint:errcheck // it was its own
	}
	return i.r.ReadAt(p, off)
}

// IdleNow says whether the calling thread has the idle class now.
func IdleNow() bool {
	p, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0)
	return errno == 0 && p>>ioprioClassShift == ioprioClassIdle
}
