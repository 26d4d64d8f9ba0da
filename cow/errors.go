package cow

import "errors"

// Each error means that the store must not be used for an increment.
var (
	// ErrNotCOW: the store does not begin with the magic of a persistent exception store.
	ErrNotCOW = errors.New("not a snapshot COW store")
	// ErrVersion: the store has a disk version that this package does not know.
	ErrVersion = errors.New("unsupported COW store version")
	// ErrChunkSize: the chunk size is not a power of two from 4 KiB to 512 KiB.
	ErrChunkSize = errors.New("absurd chunk size")
	// ErrInvalid: the snapshot overflowed or was invalidated: its table misses changes.
	ErrInvalid = errors.New("snapshot is invalid")
	// ErrTruncated: the store ends before its header, an area, or a chunk its table points to.
	ErrTruncated = errors.New("COW store is truncated")
	// ErrOutside: an exception is for a chunk that the volume does not have.
	ErrOutside = errors.New("exception outside the volume")
	// ErrDuplicate: two exceptions are for one chunk of the volume.
	ErrDuplicate = errors.New("duplicate exception")
	// ErrBadNewChunk: an exception points to the header or into the table, or back to what
	// was given out before: not written by the kernel, or damaged.
	ErrBadNewChunk = errors.New("exception points to an impossible chunk of the store")
	// ErrShort: the table has fewer exceptions than device-mapper reports.
	ErrShort = errors.New("exception table is shorter than device-mapper reports")
	// ErrChanged: the header is not what it was when the reading began: another snapshot.
	ErrChanged = errors.New("COW store was replaced while it was read")
)
