package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Lock is an exclusive flock on one volume. Every child that changes LVM or
// device-mapper gets File as its standard input, so that the lock outlives a killed
// parent until that child ends: LVM closes every other inherited descriptor.
//
// gofrs/flock is not used here because it hides the descriptor that children must
// inherit, and because its Unlock is LOCK_UN, which frees the lock even while a
// child still holds it; closing our descriptor does not.
type Lock struct{ file *os.File }

// LockOptions say how long to wait and what to tell others.
type LockOptions struct {
	Purpose string        // "sync appdata": shown to whoever finds the volume locked
	Wait    time.Duration // 0: fail at once
}

// maxHolder bounds what is read from a lock file, in bytes.
const maxHolder = 4096

// lockPoll is how often a waiting Lock tries again.
const lockPoll = 100 * time.Millisecond

// holder is what the one who took the lock wrote into its file: for people only.
type holder struct {
	PID     int       `json:"pid"`
	Purpose string    `json:"purpose"`
	Since   time.Time `json:"since"`
}

// LockedError says that somebody else holds the lock of a volume.
type LockedError struct {
	Identity Identity
	Path     string
	PID      int    // a living process that holds it; 0: not found
	Command  string // that process's name
	Starter  int    // the process that took it, 0: unknown
	Purpose  string // what the starter wanted
	Since    time.Time
}

// Error names the holder.
func (e *LockedError) Error() string {
	var b strings.Builder
	b.WriteString("locked by ")
	switch {
	case e.PID != 0 && e.PID == e.Starter:
		fmt.Fprintf(&b, "pid %d (%s)", e.PID, e.Command)
	case e.PID != 0:
		fmt.Fprintf(&b, "pid %d (%s), started by pid %d", e.PID, e.Command, e.Starter)
	case e.Starter != 0:
		fmt.Fprintf(&b, "pid %d", e.Starter)
	default:
		b.WriteString("a process that cannot be seen")
	}
	if e.Purpose != "" {
		fmt.Fprintf(&b, ": %s", e.Purpose)
	}
	if !e.Since.IsZero() {
		fmt.Fprintf(&b, ", since %s", e.Since.Local().Format(time.DateTime))
	}
	return b.String()
}

// Lock takes the lock of volume id. A held lock is a *failure.Error with code 11
// around a *LockedError that names the holder.
func (s *Store) Lock(ctx context.Context, id Identity, opt LockOptions) (*Lock, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, locksDir)
	if err := s.fs.MkdirAll(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, id.String()+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(ctx, f, opt.Wait); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			held := findHolder(path)
			held.Identity = id
			return nil, failure.With(failure.CodeLocked, id.String(), "another run is at work on this volume",
				"wait for it to end, then run the same command again", held)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &Lock{file: f}
	if err := l.announce(holder{PID: os.Getpid(), Purpose: opt.Purpose, Since: s.now().UTC()}); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// lockFile tries until wait is over.
func lockFile(ctx context.Context, f *os.File, wait time.Duration) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		if wait <= 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline.C:
			return err
		case <-poll.C:
		}
	}
}

// announce writes who holds the lock.
func (l *Lock) announce(h holder) error {
	if len(h.Purpose) > 1000 {
		h.Purpose = h.Purpose[:1000]
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(b, '\n'), 0)
	return err
}

// File is the locked descriptor, for children's standard input.
func (l *Lock) File() *os.File { return l.file }

// Release closes our descriptor; the lock ends when no child holds it any more.
func (l *Lock) Release() error { return l.file.Close() }

// findHolder says what can be seen about who holds the lock at path.
func findHolder(path string) *LockedError {
	e := &LockedError{Path: path}
	if b, err := (osFS{}).ReadFile(path, maxHolder); err == nil {
		var h holder
		if json.Unmarshal(bytes.TrimSpace(b), &h) == nil {
			e.Starter, e.Purpose, e.Since = h.PID, h.Purpose, h.Since
		}
	}
	for _, pid := range openedBy(path) {
		if e.PID == 0 || pid == e.Starter {
			e.PID = pid
		}
	}
	if e.PID != 0 {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.PID))
		if err == nil {
			e.Command = string(bytes.TrimSpace(comm))
		}
	}
	return e
}

// openedBy lists the processes that have path open, as far as we may look.
func openedBy(path string) []int {
	want, err := os.Stat(path)
	if err != nil {
		return nil
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, fd := range fds {
		pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
		if err != nil {
			continue
		}
		// The name first: following a link to a fifo or a device would be wrong.
		if link, err := os.Readlink(fd); err != nil || filepath.Base(link) != filepath.Base(path) {
			continue
		}
		if st, err := os.Stat(fd); err == nil && os.SameFile(st, want) {
			pids = append(pids, pid)
		}
	}
	return pids
}
