package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Meter counts the CPU time of everything started through it, and of all their children.
type Meter struct {
	Kind string // "cgroup v2", "cpuacct" or "rusage"

	dir    string // of the control group; empty for rusage
	daemon int    // pid whose reaped children count too, for rusage
}

// NewMeter makes a control group of its own where that is possible. Without one it adds up
// the times of its own children and of the daemon's, which is less exact.
func NewMeter() *Meter {
	for kind, roots := range map[string][]string{
		"cgroup v2": {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"},
		"cpuacct":   {"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"},
	} {
		for _, root := range roots {
			dir := filepath.Join(root, fmt.Sprintf("ddsbench-%d", os.Getpid()))
			if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
				continue
			}
			m := &Meter{Kind: kind, dir: dir}
			if _, err := m.cpu(); err == nil {
				return m
			}
			_ = os.Remove(dir)
		}
	}
	return &Meter{Kind: "rusage"}
}

// Close removes the control group; what runs in it must have ended.
func (m *Meter) Close() error {
	if m.dir == "" {
		return nil
	}
	return os.Remove(m.dir)
}

// CountDaemon makes the children of a daemon count; it belongs to the group already.
func (m *Meter) CountDaemon(pid int) { m.daemon = pid }

// Command is an exec.Cmd that runs a bash script inside the group.
func (m *Meter) Command(ctx context.Context, script string) *exec.Cmd {
	if m.dir != "" {
		script = "echo $$ > " + filepath.Join(m.dir, "cgroup.procs") + "; " + script
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -e -o pipefail; "+script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// cpu is the CPU time of the group so far.
func (m *Meter) cpu() (time.Duration, error) {
	if m.dir == "" {
		return m.rusage()
	}
	if b, err := os.ReadFile(filepath.Join(m.dir, "cpuacct.usage")); err == nil {
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		return time.Duration(n), err
	}
	b, err := os.ReadFile(filepath.Join(m.dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if usec, ok := strings.CutPrefix(lines.Text(), "usage_usec "); ok {
			n, err := strconv.ParseInt(usec, 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, errors.New("cpu.stat without usage_usec")
}

func (m *Meter) rusage() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r); err != nil {
		return 0, err
	}
	total := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	if m.daemon != 0 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.daemon))
		if err != nil {
			return 0, err
		}
		// Fields 14 to 17 after the command's name, in ticks of 1/100 s.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, f := range fields[11:15] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total, nil
}

// quiet waits until only the daemon is left: a session's processes end a moment after ssh.
func (m *Meter) quiet(ctx context.Context) error {
	if m.dir == "" {
		return nil
	}
	for {
		b, err := os.ReadFile(filepath.Join(m.dir, "cgroup.procs"))
		if err != nil {
			return err
		}
		others := 0
		for _, pid := range strings.Fields(string(b)) {
			if pid != strconv.Itoa(m.daemon) {
				others++
			}
		}
		if others == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes of the run did not end: %w", others, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Sample is what one run cost.
type Sample struct {
	Wall, CPU time.Duration
}

// Run runs a script to its end, with all processes it left on either side of an ssh.
func (m *Meter) Run(ctx context.Context, script string) (Sample, error) {
	before, err := m.cpu()
	if err != nil {
		return Sample{}, err
	}
	start := time.Now()
	var stderr bytes.Buffer
	cmd := m.Command(ctx, script)
	cmd.Stderr = &stderr
	err = cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w\n%s", script, err, stderr.String())
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := m.quiet(wait); err != nil {
		return Sample{}, err
	}
	after, err := m.cpu()
	return Sample{Wall: wall, CPU: after - before}, err
}

// PeakMemory runs one program directly, without a shell, and returns its largest resident
// set. stdin and stdout may be nil.
func PeakMemory(ctx context.Context, stdin, stdout *os.File, argv ...string) (int64, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	// Not ru_maxrss: for a child of a large process it includes the parent's before the exec.
	var peak int64
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	for {
		select {
		case err := <-done:
			if err != nil {
				return 0, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, stderr.String())
			}
			if peak == 0 {
				return 0, fmt.Errorf("%s ended before its memory could be read", argv[0])
			}
			return peak, nil
		case <-time.After(time.Millisecond):
			if b, err := os.ReadFile(status); err == nil && strings.Contains(string(b), filepath.Base(argv[0])) {
				peak = max(peak, highWater(string(b)))
			}
		}
	}
}

func highWater(status string) int64 {
	_, rest, ok := strings.Cut(status, "VmHWM:")
	if !ok {
		return 0
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}
