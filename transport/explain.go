package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream/session"
)

// explainWait is how long Explain waits for a process whose output ended to exit.
const explainWait = 2 * time.Second

// maxSaid bounds how much of stderr an error message quotes, in bytes.
const maxSaid = 1500

// Explain returns err with what is known about the end of the other side: ssh's or
// the remote's exit status and stderr, as a *failure.Error with the next command. A
// *failure.Error that the peer itself sent is returned as it is. nil stays nil.
func (c *Conn) Explain(err error) error {
	if !lost(err) {
		return err
	}
	cause := err
	var f *failure.Error
	if errors.As(err, &f) && f.Err != nil {
		cause = f.Err
	}
	code := failure.CodeUnreachable
	if errors.Is(err, session.ErrProtocol) {
		code = failure.CodeCorrupt
	}
	if errors.Is(err, session.ErrPeerSilent) {
		return failure.With(code, c.target.String(), "the other side stands still: its process is stopped, or the network swallows everything",
			"check the machine, then run the same command again", cause)
	}
	if !c.gone(explainWait) {
		return failure.With(code, c.target.String(), c.said("the connection broke"), "run the same command again", cause)
	}
	status, signal := exitStatus(c.exit)
	said := strings.TrimSpace(c.Stderr())
	for _, k := range knownEnds {
		if k.matches(status, said) {
			reason := k.reason
			if said != "" {
				reason += " (" + lastLines(said) + ")"
			}
			return failure.With(k.code, c.target.String(), reason, k.nextFor(c.target), cause)
		}
	}
	how := fmt.Sprintf("the other side's command ended with exit status %d", status)
	switch {
	case signal != 0:
		how = fmt.Sprintf("the local end of the connection was killed by signal %v", signal)
	case status == 255 && c.target.Host != "":
		how = "the ssh connection failed"
	}
	next := "run the same command again"
	if c.target.Host != "" {
		next = "ssh " + c.target.Host + " true"
	}
	return failure.With(code, c.target.String(), c.said(how), next, cause)
}

// lost says that err is about the connection, not something that the peer answered.
func lost(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	for _, is := range []error{
		session.ErrPeerGone, session.ErrPeerSilent, session.ErrNoBanner, session.ErrProtocol,
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, os.ErrClosed, syscall.EPIPE,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// said adds the end of stderr to a reason.
func (c *Conn) said(reason string) string {
	if s := strings.TrimSpace(c.Stderr()); s != "" {
		return reason + "; it said: " + lastLines(s)
	}
	return reason
}

// lastLines is the end of a text, on one line.
func lastLines(s string) string {
	if len(s) > maxSaid {
		s = s[len(s)-maxSaid:]
		if _, after, ok := strings.Cut(s, "\n"); ok {
			s = after
		}
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " | ")
}

// exitStatus takes the exit status or the signal out of what Wait returned.
func exitStatus(err error) (int, syscall.Signal) {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return 0, 0
	}
	if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -1, ws.Signal()
	}
	return e.ExitCode(), 0
}

// knownEnd is a way for ssh, or for the shell behind it, to fail that we can put
// into words. The texts are OpenSSH's own; a text that a later version changes
// costs the words, nothing else.
type knownEnd struct {
	status int    // exit status, -1: any
	text   string // in stderr; "": any
	code   int
	reason string
	next   string // %s: the host
}

func (k knownEnd) matches(status int, said string) bool {
	return (k.status < 0 || k.status == status) && strings.Contains(said, k.text)
}

func (k knownEnd) nextFor(t Target) string {
	return strings.ReplaceAll(k.next, "%s", t.String())
}

// The first that matches counts.
var knownEnds = []knownEnd{
	{255, "REMOTE HOST IDENTIFICATION HAS CHANGED", failure.CodeUnreachable, "its host key is not the one in known_hosts",
		"find out why the key changed; if it is right: ssh-keygen -R %s && ssh %s true"},
	{255, "Host key verification failed", failure.CodeUnreachable, "its host key is not known here",
		"ssh %s true   (as the same user; compare the fingerprint before you accept it)"},
	{255, "Permission denied", failure.CodeUnreachable, "it did not accept our ssh key", "ssh -o BatchMode=yes %s true"},
	{255, "Too many authentication failures", failure.CodeUnreachable, "it did not accept our ssh keys", "set IdentityFile and IdentitiesOnly for %s in ssh_config"},
	{255, "Could not resolve hostname", failure.CodeUnreachable, "its name cannot be resolved", "check `host` in the configuration and in ssh_config"},
	{255, "Connection refused", failure.CodeUnreachable, "no ssh server answers there", "ssh %s true"},
	{255, "Connection timed out", failure.CodeUnreachable, "it does not answer", "ssh %s true"},
	{255, "No route to host", failure.CodeUnreachable, "it cannot be reached", "ssh %s true"},
	{255, "Network is unreachable", failure.CodeUnreachable, "it cannot be reached", "ssh %s true"},
	{255, "not responding", failure.CodeUnreachable, "the ssh connection died: nothing came back any more", "run the same command again"},
	{255, "no matching", failure.CodeUnreachable, "ssh and the server have no algorithm in common", "ssh -v %s true"},
	{255, "Bad configuration option", failure.CodeUsage, "ssh's configuration is not valid", "ssh -G %s"},
	{255, "Bad owner or permissions", failure.CodeUsage, "ssh refuses its own configuration", "ssh -G %s"},
	{255, "Can't open user config file", failure.CodeUsage, "ssh's configuration cannot be read", "check " + EnvSSHConfig},
	{127, "", failure.CodeUsage, "there is no ddsgo in its command path", "install ddsgo on %s, or set `command` of this target to its path"},
	{126, "", failure.CodeUsage, "its ddsgo cannot be executed", "check owner and mode of ddsgo on %s"},
}
