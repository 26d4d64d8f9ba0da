package rbd

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/ddsgo/ddsgo/internal/run"
)

// What a failed call means. Each is matched with errors.Is; the CallError around it keeps the
// errno, the command and what rbd and librbd said.
var (
	// ErrNoImage: the pool is there, the image is not (rc 2).
	ErrNoImage = errors.New("no such image")
	// ErrNoPool: the cluster answers, the pool is not there (rc 2).
	ErrNoPool = errors.New("no such pool")
	// ErrNoSnapshot: the image is there, the snapshot is not (rc 2).
	ErrNoSnapshot = errors.New("no such snapshot")
	// ErrNoCluster: no configuration for that cluster, or none that names a monitor (rc 2, like ErrNoImage).
	ErrNoCluster = errors.New("no such cluster")
	// ErrNoPermission: unknown user or wrong key (rc 13), or capabilities that do not suffice (rc 1).
	ErrNoPermission = errors.New("no permission")
	// ErrUnreachable: the monitors do not answer (rc 110 while connecting, or our own deadline).
	ErrUnreachable = errors.New("cluster does not answer")
	// ErrTimeout: connected, but an OSD operation timed out (rc 110).
	ErrTimeout = errors.New("storage operation timed out")
	// ErrNotMirrored: mirroring is off for the image or the pool (rc 22).
	ErrNotMirrored = errors.New("not mirrored")
	// ErrBusy: not now (rc 16): promote before the demotion has arrived, image in use.
	ErrBusy = errors.New("busy")
	// ErrReadOnly: not writable here (rc 30): the image is not primary.
	ErrReadOnly = errors.New("read-only here")
	// ErrInvalid: refused by librbd as a request that makes no sense now (rc 22).
	ErrInvalid = errors.New("refused by librbd")
	// ErrExists: already there (rc 17).
	ErrExists = errors.New("already exists")
	// ErrCorrupt: the data that were handed in are damaged or cut (rc 74).
	ErrCorrupt = errors.New("damaged input")
	// ErrNoSpace: the pool or cluster is full (rc 28 or 122).
	ErrNoSpace = errors.New("no space")
	// ErrUsage: this rbd does not know the command or an option (rc 1 with its usage).
	ErrUsage = errors.New("not understood by this rbd")
	// ErrNoTool: the rbd or ceph program is not installed.
	ErrNoTool = errors.New("program not found")
	// ErrBadAnswer: exit status 0, but the output is not what this package can read.
	ErrBadAnswer = errors.New("unreadable answer")
)

// CallError is one failed call of the rbd or ceph program.
type CallError struct {
	Cluster string
	Cmd     string // the command line, to be run again by hand
	Errno   syscall.Errno
	Kind    error  // one of the sentinels, nil when the errno has no special meaning
	Text    string // what rbd said
	Reason  string // what librbd logged: usually the real cause
}

// Error says which cluster, what it means, and the words of rbd and librbd.
func (e *CallError) Error() string {
	what := fmt.Sprintf("rc %d (%s)", int(e.Errno), e.Errno.Error())
	if e.Kind != nil {
		what = fmt.Sprintf("%v, rc %d", e.Kind, int(e.Errno))
	}
	msg := fmt.Sprintf("cluster %s: %s: %s", e.Cluster, e.Cmd, what)
	for _, s := range []string{e.Text, e.Reason} {
		if s != "" {
			msg += ": " + s
		}
	}
	return msg
}

// Unwrap gives errors.Is both the meaning and the errno.
func (e *CallError) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Errno}
	}
	return []error{e.Kind, e.Errno}
}

// errno values by their numbers on every Linux; rbd's exit status is the positive errno modulo 256.
const (
	rcPerm     = 1
	rcNoEnt    = 2
	rcAccess   = 13
	rcBusy     = 16
	rcExists   = 17
	rcInvalid  = 22
	rcNoSpace  = 28
	rcReadOnly = 30
	rcBadMsg   = 74
	rcTimedOut = 110
	rcQuota    = 122
)

// classify turns an exit status and its words into a CallError. The same status means several
// things (2: no cluster, pool, image or snapshot); only there do the words decide.
func classify(cluster string, exit *run.ExitError) *CallError {
	text, reason := splitStderr(exit.Stderr)
	e := &CallError{Cluster: cluster, Cmd: exit.Cmd, Errno: syscall.Errno(exit.ExitCode), Text: text, Reason: reason}
	switch exit.ExitCode {
	case rcPerm:
		e.Kind = kindOfOne(exit.Stderr)
	case rcNoEnt:
		e.Kind = kindOfNoEnt(exit.Stderr)
	case rcAccess:
		e.Kind = ErrNoPermission
	case rcBusy:
		e.Kind = ErrBusy
	case rcExists:
		e.Kind = ErrExists
	case rcInvalid:
		e.Kind = ErrInvalid
		if contains(exit.Stderr, "mirroring not enabled", "mirroring is not enabled", "mirroring is disabled", "mirroring disabled") {
			e.Kind = ErrNotMirrored
		}
	case rcNoSpace, rcQuota:
		e.Kind = ErrNoSpace
	case rcReadOnly:
		e.Kind = ErrReadOnly
	case rcBadMsg:
		e.Kind = ErrCorrupt
	case rcTimedOut:
		e.Kind = ErrTimeout
		if contains(exit.Stderr, "couldn't connect to the cluster") {
			e.Kind = ErrUnreachable
		}
	}
	return e
}

func kindOfOne(stderr string) error {
	switch {
	case contains(stderr, "unrecognised option", "unknown option", "usage: rbd", "invalid command"):
		return ErrUsage
	case contains(stderr, "timed out"):
		return ErrUnreachable // `ceph --connect-timeout`
	case contains(stderr, "Operation not permitted", "(1)"):
		return ErrNoPermission
	}
	return nil
}

func kindOfNoEnt(stderr string) error {
	switch {
	case contains(stderr, "couldn't connect to the cluster", "can't open", "ObjectNotFound", "error calling conf_read_file"):
		return ErrNoCluster
	case contains(stderr, "error opening pool", "unrecognized pool"):
		return ErrNoPool
	case contains(stderr, "error setting snapshot context", "snapshot does not exist", "snapshot spec", "failed to remove snapshot", "from snapshot"):
		return ErrNoSnapshot
	case contains(stderr, "error opening image", "image does not exist", "does not exist", "delete error", "No such file"):
		return ErrNoImage
	}
	return nil
}

func contains(s string, any ...string) bool {
	for _, a := range any {
		if strings.Contains(s, a) {
			return true
		}
	}
	return false
}

// splitStderr separates rbd's own words from librbd's log lines (time, thread, level, text).
// Of the log only the text after the object address is kept.
func splitStderr(stderr string) (text, reason string) {
	var texts, reasons []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "did not load config file") {
			continue
		}
		if _, log, ok := strings.Cut(line, " -1 "); ok && len(line) > 4 && line[4] == '-' {
			reasons = append(reasons, stripAddress(log))
			continue
		}
		texts = append(texts, strings.TrimPrefix(line, "rbd: "))
	}
	return strings.Join(texts, "; "), strings.Join(reasons, "; ")
}

// stripAddress removes " 0x7f0050003d70" from "librbd::X: 0x7f0050003d70 handle: text".
func stripAddress(s string) string {
	before, after, ok := strings.Cut(s, " 0x")
	if !ok {
		return s
	}
	_, rest, ok := strings.Cut(after, " ")
	if !ok {
		return s
	}
	return before + " " + rest
}
