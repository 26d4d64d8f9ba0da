package lvm

import (
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/internal/run"
)

// What a command said by its exit status.
var (
	// ErrFailed is exit status 5: LVM failed or refused. The reason is in the text of its stderr, for people.
	ErrFailed = errors.New("lvm failed or refused")
	// ErrCommandLine is exit status 3: this LVM does not know an option or argument. A version that ddsgo was not made for.
	ErrCommandLine = errors.New("lvm does not accept the command line")
	// ErrKilled says that the command was ended by a signal: the volume may be in a half-done state, see Recover.
	ErrKilled = errors.New("lvm was killed")
)

// What a report or the state of a device says.
var (
	// ErrNotFound: no such logical volume or device-mapper device.
	ErrNotFound = errors.New("not found")
	// ErrNotLV: the path exists and is not a logical volume.
	ErrNotLV = errors.New("not a logical volume")
	// ErrReport: a report that cannot be understood.
	ErrReport = errors.New("cannot understand the report of lvm or dmsetup")
	// ErrHeld: another process has the exception store open; removing the snapshot now would half-remove it.
	ErrHeld = errors.New("held open by another process")
	// ErrPendingTable: a table that somebody else loaded waits for the next resume.
	ErrPendingTable = errors.New("has a pending inactive table")
	// ErrMiswired: the kernel does not run what the metadata says.
	ErrMiswired = errors.New("device-mapper and metadata disagree")
	// ErrNotSnapshot: the device or volume is no classic snapshot.
	ErrNotSnapshot = errors.New("not a snapshot")
	// ErrBadName: a name or tag that LVM would not take, or that would be read as an option.
	ErrBadName = errors.New("not a valid name")
)

// CommandError is a command that ran and failed. errors.Is finds ErrFailed, ErrCommandLine or ErrKilled in it.
type CommandError struct {
	Op      string // "create snapshot", "remove", ...
	Subject string // "vg/lv"
	Kind    error  // one of the sentinels above, nil for another exit status
	Err     error  // *run.ExitError
}

// Error names act, subject and what the command said.
func (e *CommandError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Subject, e.Err) }

// Unwrap gives both the kind and the cause.
func (e *CommandError) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// commandError classifies the error of a command.
func commandError(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	var exit *run.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("%s %s: %w", op, subject, err)
	}
	e := &CommandError{Op: op, Subject: subject, Err: err}
	switch exit.ExitCode {
	case 5:
		e.Kind = ErrFailed
	case 3:
		e.Kind = ErrCommandLine
	case -1:
		e.Kind = ErrKilled
	}
	return e
}
