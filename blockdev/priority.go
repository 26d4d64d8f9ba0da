package blockdev

import (
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Arguments of ioprio_set(2), which has no wrapper.
const (
	ioprioWhoProcess = 1 // one thread, in truth
	ioprioClassIdle  = 3
	ioprioClassShift = 13
)

// Priority is that of this process's requests to disks. The zero value is ready; all that want it
// lowered share one.
type Priority struct {
	mu     sync.Mutex
	users  int
	before uintptr
}

// Idle lets the disks serve everybody else first: from now on, until restore is called, the direct
// reads of this process have the idle class. Schedulers that know classes (bfq, mq-deadline) never let it
// starve. Programs started meanwhile inherit it, so it is for stretches that start none.
func (p *Priority) Idle() (restore func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 {
		before, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0)
		if errno != 0 {
			return func() {} // no such call in this kernel or sandbox: ordinary priority is as right
		}
		p.before = before
		setPriority(ioprioClassIdle << ioprioClassShift)
	}
	p.users++
	return sync.OnceFunc(p.leave)
}

func (p *Priority) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		setPriority(p.before)
	}
}

// setPriority sets every thread; the runtime's later ones inherit it from the one that makes them.
func setPriority(priority uintptr) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(id), priority) // a thread may have ended
		}
	}
}
