package infinibox

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// Why a request has no usable answer.
var (
	ErrNotSent      = errors.New("not sent")                // nothing was done
	ErrNoReply      = errors.New("no reply")                // done or not done
	ErrUnavailable  = errors.New("503: not this address")   // nothing was done
	ErrBadAnswer    = errors.New("not an InfiniBox answer") // HTML, cut off, not the envelope
	ErrUnreadable   = errors.New("an answer that this version cannot read")
	ErrUnauthorized = errors.New("user or password not taken") // nothing was done
)

// BoxError is an error that the box answered.
type BoxError struct {
	Status   int
	Code     string
	Message  string
	IsRemote bool // the peer refused
	Reasons  []string
}

// Error is code, message and reasons.
func (e *BoxError) Error() string {
	text := e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	if len(e.Reasons) > 0 {
		text += " (" + strings.Join(e.Reasons, "; ") + ")"
	}
	if e.IsRemote {
		text = "the peer box says " + text
	}
	return text
}

const (
	codeApproval   = "APPROVAL_REQUIRED" // and what begins with it
	codePermission = "REMOTE_PERMISSION_REQUIRED"
	suffixNotFound = "_NOT_FOUND"
)

// needsApproval: the code is the signal, the HTTP status differs between versions.
func needsApproval(err error) (*BoxError, bool) {
	var e *BoxError
	ok := errors.As(err, &e) && strings.HasPrefix(e.Code, codeApproval)
	return e, ok
}

func isNotFound(err error) bool {
	var e *BoxError
	return errors.As(err, &e) && !e.IsRemote && (e.Status == http.StatusNotFound || strings.HasSuffix(e.Code, suffixNotFound))
}

func needsPermission(err error) bool {
	var e *BoxError
	return errors.As(err, &e) && e.Code == codePermission
}

// typed turns what a request returned into an error of package array.
func typed(site string, err error) error {
	var box *BoxError
	var known *array.Error
	var refusal *array.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known), errors.As(err, &refusal):
		return err
	case errors.As(err, &box):
		e := array.ArrayError(site, box.Status, "the box refused", err)
		if _, ok := needsApproval(err); ok {
			e.Reason, e.Next = "the box asks for approval", "the same command with --force, if the reasons are acceptable"
		}
		if needsPermission(err) {
			e.Reason, e.Next = "the box asks for credentials of its peer", "set username and password_file of both arrays"
		}
		return e
	case errors.Is(err, ErrUnreadable):
		return array.ArrayError(site, 0, "the box's answer cannot be read", err)
	case errors.Is(err, ErrUnauthorized):
		return &array.Error{Kind: array.KindArray, Site: site, Reason: "login refused", RC: http.StatusUnauthorized, Next: "check username and password_file of the array", Err: err}
	}
	return array.Unreachable(site, err)
}

// badAnswer describes an answer that is no envelope, with its beginning.
func badAnswer(status int, why string, body []byte) error {
	const keep = 80
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 4*keep)]), "?")), " ")
	if len(text) > keep {
		text = text[:keep] + "..."
	}
	return fmt.Errorf("%w: HTTP %d, %s: %q", ErrBadAnswer, status, why, text)
}
