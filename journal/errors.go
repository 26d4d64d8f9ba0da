package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrSpace matches every *SpaceError.
	ErrSpace = errors.New("not enough space for the journal")
	// ErrPending: there is a committed journal; it must be applied or removed first.
	ErrPending = errors.New("a committed journal is waiting")
	// ErrNotFound: no such spool, or no committed journal.
	ErrNotFound = errors.New("no such journal")
	// ErrDamaged: the commit record, or a member, is not what was committed.
	ErrDamaged = errors.New("journal is damaged")
	// ErrMember: a member's name cannot be a file name, or a member is missing or listed twice.
	ErrMember = errors.New("bad member of a transaction")
	// ErrQuota: more was received than was announced.
	ErrQuota = errors.New("delta is larger than announced")
)

// SpaceError says how much space a spool needs and how much there is.
type SpaceError struct {
	Dir   string
	Need  int64 // bytes; an upper bound
	Free  int64 // bytes; -1 where the file system ran full while writing
	Quota int64 // not 0: the quota is what Free is left of
}

// Error names the directory and the bytes.
func (e *SpaceError) Error() string {
	if e.Free < 0 {
		return fmt.Sprintf("%s: %v: the file system ran full, up to %d bytes are needed", e.Dir, ErrSpace, e.Need)
	}
	if e.Quota > 0 {
		return fmt.Sprintf("%s: %v: up to %d bytes are needed, the quota of %d bytes leaves %d", e.Dir, ErrSpace, e.Need, e.Quota, e.Free)
	}
	return fmt.Sprintf("%s: %v: up to %d bytes are needed, %d are free", e.Dir, ErrSpace, e.Need, e.Free)
}

// Unwrap makes errors.Is find ErrSpace.
func (e *SpaceError) Unwrap() error { return ErrSpace }
