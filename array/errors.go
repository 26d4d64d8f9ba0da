package array

import (
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// ErrStopped is returned by Run when Options.BeforeStep or AfterStep stopped it.
var ErrStopped = errors.New("stopped between two steps")

// Kind classifies errors; the values are those of the plug-in protocol.
type Kind string

// Kinds. KindRefused and KindUnsupported are kinds of Refusal, the others of Error.
const (
	KindRefused     Kind = "refused"     // state or role forbids it: exit 15
	KindUnsupported Kind = "unsupported" // driver or mode does not know the verb: exit 17
	KindUnreachable Kind = "unreachable" // no reply, or deadline: exit 12
	KindArray       Kind = "array"       // the storage answered with an error: exit 16
	KindConfig      Kind = "config"      // wrong configuration: exit 4
	KindInternal    Kind = "internal"    // a defect of the driver: exit 1
)

// ExitCode is the process's exit code for errors of this kind.
func (k Kind) ExitCode() int {
	switch k {
	case KindRefused:
		return failure.CodeRefused
	case KindUnsupported:
		return failure.CodeUnsupported
	case KindUnreachable:
		return failure.CodeUnreachable
	case KindArray:
		return failure.CodeArray
	case KindConfig:
		return failure.CodeUsage
	}
	return failure.CodeFailure
}

// Refusal says that a verb was not done and why, with the next command. Nothing was
// changed.
type Refusal struct {
	Kind   Kind   `json:"kind"`           // KindRefused or KindUnsupported
	Rule   string `json:"rule,omitempty"` // R1 ... R8, or empty
	Reason string `json:"reason"`
	Next   string `json:"next,omitempty"`
}

// Error is the reason, with the rule in brackets.
func (r *Refusal) Error() string {
	if r.Rule != "" {
		return r.Reason + " (" + r.Rule + ")"
	}
	return r.Reason
}

// Refuse returns a Refusal by state or role.
func Refuse(rule, next, format string, args ...any) *Refusal {
	return &Refusal{Kind: KindRefused, Rule: rule, Reason: fmt.Sprintf(format, args...), Next: next}
}

// Unsupported returns a Refusal of a verb that the driver or mode does not know.
func Unsupported(next, format string, args ...any) *Refusal {
	return &Refusal{Kind: KindUnsupported, Reason: fmt.Sprintf(format, args...), Next: next}
}

// Error is what went wrong with the storage.
type Error struct {
	Kind   Kind
	Site   string
	Reason string
	Next   string
	RC     int // the native command's exit status or the HTTP status; 0 where there is none
	Err    error
}

// Error names the site, the reason and the cause.
func (e *Error) Error() string {
	msg := e.Reason
	if e.Site != "" {
		msg = e.Site + ": " + msg
	}
	if e.Err != nil {
		msg = fmt.Sprintf("%s: %v", msg, e.Err)
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unreachable says that no reply came from a site.
func Unreachable(site string, err error) *Error {
	return &Error{Kind: KindUnreachable, Site: site, Reason: "no reply", Err: err}
}

// ArrayError says that the storage at a site answered with an error.
func ArrayError(site string, rc int, reason string, err error) *Error {
	return &Error{Kind: KindArray, Site: site, Reason: reason, RC: rc, Err: err}
}

// KindOf classifies any error; what carries no kind is internal.
func KindOf(err error) Kind {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Kind
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}
