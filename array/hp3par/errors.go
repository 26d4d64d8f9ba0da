package hp3par

import "errors"

// Errors that callers may look for.
var (
	ErrConfig    = errors.New("configuration")
	ErrOutput    = errors.New("unexpected output of the array")
	ErrZone      = errors.New("unknown time zone")
	ErrNoReply   = errors.New("no reply")
	ErrArgument  = errors.New("not a name that an array takes")
	ErrOverLimit = errors.New("output is too long")
)

// rejection is what an array answered instead of doing it.
type rejection struct {
	rc   int
	text string
	code int // WSAPI
}

func (r *rejection) Error() string { return r.text }

// silence is a command whose fate is unknown: it was sent and no answer came, or
// (unsent) it was never sent.
type silence struct {
	err    error
	unsent bool
}

func (s *silence) Error() string { return s.err.Error() }

func (s *silence) Unwrap() error { return s.err }
