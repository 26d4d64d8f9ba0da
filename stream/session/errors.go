package session

import (
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Ends of a session.
var (
	// ErrPeerGone: the connection ended before the session did.
	ErrPeerGone = errors.New("the other side is gone")
	// ErrPeerSilent: nothing came for the progress time-out.
	ErrPeerSilent = errors.New("the other side says nothing any more")
	// ErrProtocol: the peer sent what the protocol forbids, or bytes were damaged.
	ErrProtocol = errors.New("session protocol violated")
	// ErrVersion: the peer speaks another version of the protocol.
	ErrVersion = errors.New("session protocol version differs")
	// ErrNoBanner: what answered is no ddsgo.
	ErrNoBanner = errors.New("no ddsgo answered")
	// ErrClosed: this end closed the session.
	ErrClosed = errors.New("session closed")
)

// Ends of an exchange.
var (
	// ErrCancelled: the client gave the exchange up.
	ErrCancelled = errors.New("cancelled by the other side")
	// ErrOver: the exchange had its final answer before its data stream was written or read to
	// the end.
	ErrOver = errors.New("the exchange is over")
	// ErrBusy: an exchange was started while another one runs.
	ErrBusy = errors.New("another exchange is running")
)

// protocolError is ErrProtocol with the details.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// wireFailure is a failure message: failure.Error without its cause.
type wireFailure struct {
	Code    int    `json:"code"`
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
	Next    string `json:"next"`
}

// MaxFailureText bounds each text of a failure, in bytes; longer ones are cut.
const MaxFailureText = 8192

// toWire makes the message for an error; the cause becomes part of the reason.
func toWire(err error) wireFailure {
	w := wireFailure{Code: failure.CodeFailure, Reason: err.Error()}
	var f *failure.Error
	if errors.As(err, &f) {
		w.Code, w.Subject, w.Next = f.Code, f.Subject, f.Next
		// Text that wraps the failure is kept, except for the subject in front,
		// which travels by itself.
		if error(f) == err { //nolint:errorlint // is it this very error, not one around it
			w.Reason = (&failure.Error{Reason: f.Reason, Err: f.Err}).Error()
		}
	}
	w.Subject, w.Reason, w.Next = cut(w.Subject), cut(w.Reason), cut(w.Next)
	return w
}

// fromWire judges what a peer sent as a failure.
func (w wireFailure) fromWire() error {
	code := w.Code
	switch {
	case code == failure.CodeFailure, code == failure.CodePartial, code == failure.CodeUsage,
		code >= failure.CodeNeedFull && code <= failure.CodeUnsupported,
		code == failure.CodeSkipped, code == failure.CodeInterrupted:
	default:
		code = failure.CodeFailure
	}
	f := &failure.Error{Code: code, Subject: Printable(w.Subject), Reason: Printable(w.Reason), Next: Printable(w.Next)}
	if f.Reason == "" {
		f.Reason = "the other side failed without giving a reason"
	}
	return f
}

// asFailure gives the end of a session its exit code: unreachable, or corrupt.
func asFailure(err error) error {
	switch {
	case errors.Is(err, ErrProtocol):
		return failure.With(failure.CodeCorrupt, "", "the session with the other side broke",
			"run the same command again; if it happens again, check the versions on both machines", err)
	case errors.Is(err, ErrPeerGone), errors.Is(err, ErrPeerSilent), errors.Is(err, ErrNoBanner):
		return failure.With(failure.CodeUnreachable, "", "the session with the other side ended",
			"run the same command again", err)
	}
	return err
}
