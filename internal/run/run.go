// Package run is the one way in which ddsgo starts external commands.
//
// Every command gets LC_ALL=C, its own process group, a context that kills the
// whole group, both outputs drained concurrently and bounded, a log line at
// debug level, and a typed error with the exit status and the end of its stderr.
// Arguments are never passed through a shell. Text on stderr is no failure:
// only the exit status is.
package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// MaxOutput bounds what is kept of a command's stdout and stderr each, in bytes.
const MaxOutput = 64 << 20

// killGrace is how long a killed command's pipes may stay open.
const killGrace = 2 * time.Second

// Cmd is one command. Stdin may be an *os.File that the child shall inherit as
// descriptor 0 (a held lock); nil means /dev/null.
type Cmd struct {
	Name      string
	Args      []string
	Env       []string // added to the environment, after LC_ALL=C
	Stdin     io.Reader
	Stdout    io.Writer // nil: collected in Result.Stdout
	Pdeathsig bool      // the child dies with us; not for LVM commands
	Secret    bool      // do not log the arguments
}

// String is the command line, quoted for people.
func (c Cmd) String() string {
	parts := []string{c.Name}
	for _, a := range c.Args {
		if a == "" || strings.ContainsAny(a, " \t\"'$&;|<>*?()") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		parts = append(parts, a)
	}
	return strings.Join(parts, " ")
}

// Result is what a finished command left.
type Result struct {
	Stdout   []byte
	Stderr   []byte
	ExitCode int
	Duration time.Duration
}

// Runner starts commands; tests put a fake in its place.
type Runner interface {
	// Run waits for c to end. A non-zero exit status is an *ExitError; the Result
	// is valid in that case too.
	Run(ctx context.Context, c Cmd) (Result, error)
}

// ExitError says that a command ran and exited with a non-zero status.
type ExitError struct {
	Cmd      string
	ExitCode int // -1: ended by a signal
	Signal   syscall.Signal
	Stderr   string
}

// Error names the command, the status and the end of its stderr.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.ExitCode)
	if e.ExitCode < 0 {
		how = "killed by signal " + e.Signal.String()
	}
	if e.Stderr == "" {
		return fmt.Sprintf("%s: %s", e.Cmd, how)
	}
	return fmt.Sprintf("%s: %s: %s", e.Cmd, how, e.Stderr)
}

// OS runs commands for real.
type OS struct {
	Log *slog.Logger // nil: no logging
}

// Run implements Runner.
func (o OS) Run(ctx context.Context, c Cmd) (Result, error) {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1"), c.Env...)
	cmd.Stdin = c.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.Pdeathsig {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	stdout, stderr := &limited{max: MaxOutput}, &limited{max: MaxOutput}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	start := time.Now()
	err := cmd.Run()
	res := Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Duration: time.Since(start)}
	if cmd.ProcessState != nil {
		res.ExitCode = cmd.ProcessState.ExitCode()
	}
	o.log(c, res, err)
	if stdout.over {
		return res, fmt.Errorf("%s: more than %d bytes of output", c.Name, MaxOutput)
	}
	return res, c.wrap(ctx, cmd, res, err)
}

func (o OS) log(c Cmd, res Result, err error) {
	if o.Log == nil {
		return
	}
	line := c.String()
	if c.Secret {
		line = c.Name + " (arguments hidden)"
	}
	o.Log.Debug("command", "cmd", line, "rc", res.ExitCode, "duration", res.Duration.Round(time.Millisecond), "err", err)
}

// wrap turns exec's error into one that says which command and why.
func (c Cmd) wrap(ctx context.Context, cmd *exec.Cmd, res Result, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	line := c.String()
	if c.Secret {
		line = c.Name
	}
	e := &ExitError{Cmd: line, ExitCode: res.ExitCode, Stderr: tail(res.Stderr)}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	return e
}

// tail keeps the end of a command's stderr for an error message.
func tail(b []byte) string {
	const keep = 2048
	b = bytes.TrimSpace(b)
	if len(b) > keep {
		b = b[len(b)-keep:]
	}
	return string(b)
}

// limited is a buffer that forgets what comes after max bytes.
type limited struct {
	kept bytes.Buffer // not embedded: its ReadFrom would go round the limit
	max  int
	over bool
}

// Bytes is what was kept.
func (l *limited) Bytes() []byte { return l.kept.Bytes() }

func (l *limited) Write(p []byte) (int, error) {
	n := len(p)
	if l.kept.Len()+n > l.max {
		l.over = true
		p = p[:l.max-l.kept.Len()]
	}
	l.kept.Write(p)
	return n, nil
}
