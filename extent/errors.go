package extent

import "errors"

// Errors of sets, bitmaps and sequences.
var (
	// ErrOutside: an extent or chunk lies, at least partly, outside the volume.
	ErrOutside = errors.New("outside the volume")
	// ErrOrder: a sequence that must ascend without overlap does not.
	ErrOrder = errors.New("extents out of order or overlapping")
	// ErrGranule: the granule of a bitmap is not a power of two, or not possible for the volume.
	ErrGranule = errors.New("impossible granule")
)

// Errors of changed-set files. Any of them means: do not use this file.
var (
	// ErrNotChangedSet: the file does not begin as a changed set does.
	ErrNotChangedSet = errors.New("not a changed-set file")
	// ErrVersion: written by a newer ddsgo.
	ErrVersion = errors.New("changed-set format version not supported")
	// ErrTruncated: the file ends before its trailer does.
	ErrTruncated = errors.New("changed-set file is truncated")
	// ErrTrailing: bytes follow the trailer.
	ErrTrailing = errors.New("bytes after the end of the changed set")
	// ErrChecksum: a block, the header or the identity does not match its checksum.
	ErrChecksum = errors.New("changed-set checksum mismatch")
	// ErrMalformed: checksums match but the content breaks a rule of the format.
	ErrMalformed = errors.New("malformed changed set")
	// ErrLimit: a length in the file is larger than any that is written.
	ErrLimit = errors.New("changed-set length beyond its limit")
	// ErrUnaligned: an extent to be written is not made of whole chunks.
	ErrUnaligned = errors.New("extent is not made of whole chunks")
	// ErrHeader: a header to be written makes no sense.
	ErrHeader = errors.New("changed-set header is not usable")
)
