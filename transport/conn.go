package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream/session"
)

// MaxStderr is how much of the end of the other side's stderr is kept, in bytes.
const MaxStderr = 8 << 10

// How long Close waits: for a process whose input ended, then for one that was asked
// to end.
const (
	leaveGrace = 3 * time.Second
	termGrace  = 2 * time.Second
)

// Conn is a connection to a serving ddsgo: a byte stream for package session.
type Conn struct {
	target Target
	cmd    *exec.Cmd
	stdin  *os.File // what the other side reads
	stdout *os.File // what it writes
	stderr *tail
	exited chan struct{} // closed when the process is gone and exit is set
	exit   error
	once   sync.Once
	unlink func() bool // ends the tie to Dial's context
}

// Dial starts the other end. It returns once the process is started: an unreachable
// host shows as a failed handshake, which Explain turns into the reason. When ctx
// ends, the process is ended.
func Dial(ctx context.Context, t Target, opt Options) (*Conn, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	words, err := t.serve()
	if err != nil {
		return nil, err
	}
	opt = opt.complete()
	if t.Host == "" {
		return startProcess(ctx, t, words, 0)
	}
	return dialSSH(ctx, t, opt, quote(words))
}

// dialSSH starts ssh; tail is what stands behind the destination.
func dialSSH(ctx context.Context, t Target, opt Options, tail ...string) (*Conn, error) {
	args := append([]string{opt.SSH}, opt.sshArgs(opt.ciphers(ctx, t.Host))...)
	if len(tail) == 2 { // a subsystem: -s is an option of ssh
		args = append(args, tail[0])
		tail = tail[1:]
	}
	args = append(append(args, "--", t.Host), tail...)
	opt.Log.Debug("start ssh", "args", args[1:])
	// The remote's half of a run that was killed ends when ssh does.
	return startProcess(ctx, t, args, syscall.SIGTERM)
}

// startProcess starts argv with pipes. They are made here because exec's own are
// closed by Wait, which may be before everything was read.
func startProcess(ctx context.Context, t Target, argv []string, deathsig syscall.Signal) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inR.Close(), inW.Close())
	}
	c := &Conn{target: t, stdin: inW, stdout: outR, stderr: &tail{}, exited: make(chan struct{})}
	c.cmd = exec.Command(argv[0], argv[1:]...) //nolint:noctx // Close ends it, in order; a context would kill it
	c.cmd.Env = append(os.Environ(), "LC_ALL=C")
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = inR, outW, c.stderr
	// A group of its own: an interrupt at the terminal is ours to handle, and what
	// ssh starts (ProxyJump) ends with it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: deathsig}
	c.cmd.WaitDelay = termGrace // something may have inherited stderr
	err = c.cmd.Start()
	inR.Close()
	outW.Close()
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, failure.With(failure.CodeUnreachable, t.String(), "the connection could not be started", "check that "+argv[0]+" is installed", err)
	}
	go func() {
		c.exit = c.cmd.Wait()
		close(c.exited)
	}()
	c.unlink = context.AfterFunc(ctx, func() { c.end(0) })
	return c, nil
}

// Read reads what the other side says.
func (c *Conn) Read(p []byte) (int, error) { return c.stdout.Read(p) }

// Write says something to the other side.
func (c *Conn) Write(p []byte) (int, error) { return c.stdin.Write(p) }

// Close ends the connection and waits for the process: first by closing its input,
// then, if it does not go, by killing it. It returns nil: how the other side ended
// is Explain's to say.
func (c *Conn) Close() error {
	c.unlink()
	c.end(leaveGrace)
	return nil
}

// end ends the process within grace and a little.
func (c *Conn) end(grace time.Duration) {
	c.once.Do(func() {
		c.stdin.Close()
		if !c.gone(grace) {
			c.signal(syscall.SIGTERM)
			if !c.gone(termGrace) {
				c.signal(syscall.SIGKILL)
			}
		}
		c.stdout.Close()
	})
	<-c.exited
}

// gone waits for the end of the process.
func (c *Conn) gone(wait time.Duration) bool {
	select {
	case <-c.exited: // also when wait is 0
		return true
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.exited:
		return true
	case <-timer.C:
		return false
	}
}

// signal reaches the whole group; it may be gone already.
func (c *Conn) signal(s syscall.Signal) {
	if err := syscall.Kill(-c.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(c.stderr, "\nsignal %v: %v\n", s, err)
	}
}

// Stderr is the end of what the other side wrote to its standard error, fit for a
// terminal.
func (c *Conn) Stderr() string { return session.Printable(c.stderr.String()) }

// tail keeps the last MaxStderr bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n > MaxStderr {
		p = p[n-MaxStderr:]
	}
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - MaxStderr; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
