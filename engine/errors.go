package engine

import (
	"errors"

	"github.com/ddsgo/ddsgo/extent"
)

var (
	// ErrSource: the source's extents break the rules (order, bounds, another set than announced).
	ErrSource = errors.New("source's extents cannot be used")
	// ErrTooSmall: the device is smaller than the volume of the delta.
	ErrTooSmall = errors.New("target is smaller than the volume")
	// ErrSubChunk: a delta with base digests must be checked as a whole before it is written.
	ErrSubChunk = errors.New("a sub-chunk delta is only written from a checked journal")
	// ErrBase: the target's content is not the base of a sub-chunk delta.
	ErrBase = errors.New("target's content is not the base of this delta")
	// ErrOldContent: the base's content cannot be read; the changed chunks can still be sent whole.
	ErrOldContent = errors.New("old content of the changed chunks cannot be read")
	// ErrChain: deltas to be squashed do not follow one another.
	ErrChain = errors.New("deltas do not form a chain")
	// ErrOptions: options that make no sense together.
	ErrOptions = errors.New("contradictory options")
)

// BaseError lists the ranges whose content is not the base of a sub-chunk delta.
type BaseError struct {
	Ranges []extent.Extent
	Cut    bool // there are more
}

// Error says how many.
func (e *BaseError) Error() string {
	if len(e.Ranges) == 1 {
		return ErrBase.Error() + ": " + e.Ranges[0].String()
	}
	return ErrBase.Error() + ": " + e.Ranges[0].String() + " and others"
}

// Unwrap makes errors.Is find ErrBase.
func (e *BaseError) Unwrap() error { return ErrBase }
