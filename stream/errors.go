package stream

import (
	"errors"
	"fmt"
)

// ErrCorrupt matches every error below: the input is no delta that this program may use.
var ErrCorrupt = errors.New("delta cannot be used")

// What can be wrong with a delta. Every one of them is reported inside an *Error.
var (
	ErrNotDelta  = errors.New("not a ddsgo delta")                           // wrong magic
	ErrVersion   = errors.New("format version not supported")                // written by a newer ddsgo
	ErrHeader    = errors.New("header damaged")                              // checksum or fields
	ErrLimit     = errors.New("a length exceeds its limit")                  // before allocation
	ErrTruncated = errors.New("ends before its trailer")                     // cut pipe, full disk
	ErrFrame     = errors.New("frame header damaged")                        // mark, checksum or fields
	ErrOrder     = errors.New("frame out of order")                          // lost, repeated, reordered
	ErrExtent    = errors.New("extent outside the volume or out of order")   //
	ErrCodec     = errors.New("unknown codec")                               //
	ErrBomb      = errors.New("content decodes to another length")           // decompression bomb
	ErrChecksum  = errors.New("content does not match its checksum")         // bit flip
	ErrTrailer   = errors.New("trailer damaged")                             // checksum or end mark
	ErrCounts    = errors.New("trailer counts differ from what was read")    //
	ErrDigest    = errors.New("digest of the whole stream differs")          //
	ErrTrailing  = errors.New("bytes after the trailer")                     // two deltas in one file
	ErrPartial   = errors.New("continuation of a transfer without its head") // or with another head
)

// Error says what is wrong with a delta and where.
type Error struct {
	Kind   error  // one of the sentinels above
	Offset int64  // of the record, from the start of the input
	Frame  uint64 // group number that was expected there
	Detail string
}

// Error names the kind, the place and the detail.
func (e *Error) Error() string {
	msg := fmt.Sprintf("delta: %v (byte %d, frame %d)", e.Kind, e.Offset, e.Frame)
	if e.Detail != "" {
		msg += ": " + e.Detail
	}
	return msg
}

// Unwrap makes errors.Is find the sentinel, and ErrCorrupt for all of them.
func (e *Error) Unwrap() []error { return []error{e.Kind, ErrCorrupt} }
