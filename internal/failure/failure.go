// Package failure holds the exit codes of ddsgo and the error type that carries
// what a person needs at 3 a.m.: what happened, to which device or resource, why,
// and which command comes next.
package failure

import (
	"errors"
	"fmt"
)

// Exit codes. They are stable and documented; 2 is left to the Go runtime.
const (
	CodeOK          = 0
	CodeFailure     = 1
	CodePartial     = 3   // finished with warnings, or some of several resources failed
	CodeUsage       = 4   // usage or configuration error
	CodeNeedFull    = 10  // only a full copy or a resync helps
	CodeLocked      = 11  // another run holds the lock
	CodeUnreachable = 12  // peer or array not reachable, or deadline passed
	CodeCorrupt     = 13  // stream corrupt or version mismatch
	CodeOverflow    = 14  // snapshot overflowed or invalid
	CodeRefused     = 15  // refused by state or role, nothing done
	CodeArray       = 16  // the array answered with an error
	CodeUnsupported = 17  // verb not supported by this driver or mode
	CodeSkipped     = 75  // skipped by a hook
	CodeInterrupted = 130 // interrupted
)

// Error is an error for people. Subject is the device or resource, Reason says
// what happened and why, Next is the next command (may be empty), Err the cause.
type Error struct {
	Code    int
	Subject string
	Reason  string
	Next    string
	Err     error
}

// Error formats as "subject: reason: cause".
func (e *Error) Error() string {
	msg := e.Reason
	if e.Subject != "" {
		msg = e.Subject + ": " + msg
	}
	if e.Err != nil {
		msg = fmt.Sprintf("%s: %v", msg, e.Err)
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the exit code that the outermost Error in err's tree carries.
func CodeOf(err error) (int, bool) {
	var f *Error
	if errors.As(err, &f) && f.Code != 0 {
		return f.Code, true
	}
	return 0, false
}

// Refused is an Error with CodeRefused: state or role forbids it, nothing was done.
func Refused(subject, reason, next string) *Error {
	return &Error{Code: CodeRefused, Subject: subject, Reason: reason, Next: next}
}

// Usage is an Error with CodeUsage.
func Usage(format string, args ...any) *Error {
	return &Error{Code: CodeUsage, Reason: fmt.Sprintf(format, args...)}
}

// With returns an Error that gives err a code, a subject and a next command.
func With(code int, subject, reason, next string, err error) *Error {
	return &Error{Code: code, Subject: subject, Reason: reason, Next: next, Err: err}
}
