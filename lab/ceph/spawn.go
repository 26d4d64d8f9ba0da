package ceph

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// daemon is one running child.
type daemon struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed after Wait has returned
}

// spawner starts children from one locked thread. PDEATHSIG is delivered when the *thread* that
// forked ends, so it must be a thread that lives exactly as long as the lab.
type spawner struct {
	requests chan spawnRequest
	stopped  chan struct{}
}

type spawnRequest struct {
	cmd   *exec.Cmd
	reply chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), stopped: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(s.stopped)
		for r := range s.requests {
			r.reply <- r.cmd.Start()
		}
	}()
	return s
}

// close ends the thread, which also kills what is left of its children.
func (s *spawner) close() {
	close(s.requests)
	<-s.stopped
}

// start runs argv as a daemon of the lab; its output goes to logPath.
func (s *spawner) start(name, logPath string, env, argv []string) (*daemon, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ceph lab: log of %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // a daemon outlives the call that starts it
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	reply := make(chan error, 1)
	s.requests <- spawnRequest{cmd: cmd, reply: reply}
	if err := <-reply; err != nil {
		return nil, fmt.Errorf("ceph lab: start %s: %w", name, err)
	}
	d := &daemon{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how a daemon ends is judged by what is left behind, not by its status
		close(d.done)
	}()
	return d, nil
}

func (d *daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

func (d *daemon) signal(sig syscall.Signal) {
	if !d.ended() {
		_ = d.cmd.Process.Signal(sig)
	}
}

// stop asks, then forces: an rbd-mirror whose peer died does not end on TERM.
func (d *daemon) stop(grace time.Duration) {
	if grace > 0 {
		d.signal(syscall.SIGTERM)
		select {
		case <-d.done:
			return
		case <-time.After(grace):
		}
	}
	d.signal(syscall.SIGKILL)
	<-d.done
}
