package blockdev

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestIdle(t *testing.T) {
	classes := func() map[uintptr]bool {
		seen := map[uintptr]bool{}
		threads, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		for _, th := range threads {
			id, err := strconv.Atoi(th.Name())
			require.NoError(t, err)
			p, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(id), 0)
			if errno == 0 {
				seen[p>>ioprioClassShift] = true
			}
		}
		return seen
	}
	before := classes()
	var p Priority
	idle := map[uintptr]bool{ioprioClassIdle: true}
	first, second := p.Idle(), p.Idle()
	require.Equal(t, idle, classes(), "every thread")
	first()
	first()
	require.Equal(t, idle, classes(), "somebody still wants it")
	second()
	require.Equal(t, before, classes())
}
