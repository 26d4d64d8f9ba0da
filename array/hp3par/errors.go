package hp3par

import (
	"errors"
	"regexp"
)

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

// busyWords are in refusals of a group that something else is done to at this moment.
var busyWords = regexp.MustCompile(`(?i)could be retried later|currently being promoted|currently busy`)

// silence is a command whose fate is unknown: it was sent and no answer came, or
// (unsent) it was never sent.
type silence struct {
	err    error
	unsent bool
}

func (s *silence) Error() string { return s.err.Error() }

func (s *silence) Unwrap() error { return s.err }
