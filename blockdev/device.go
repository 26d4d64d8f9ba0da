package blockdev

import (
	"fmt"
	"io"
)

// Device is a volume: a block device, a file, or memory in tests. Offsets and
// lengths are bytes. Implementations are safe for concurrent use.
type Device interface {
	io.ReaderAt
	// WriteAt writes all of p or returns an error. It never extends the device:
	// a range beyond Size is ErrOutOfRange. Written data is durable after Sync only.
	io.WriterAt
	// ZeroAt makes [off, off+length) read as zeros, by the fastest way that promises it.
	ZeroAt(off, length int64) error
	// Size is the capacity in bytes.
	Size() int64
	// Sync makes everything written so far durable. After an error from WriteAt, ZeroAt or
	// Sync nothing is known about any range written since the last good Sync.
	Sync() error
	// Name is the path as the user gave it, for messages.
	Name() string
	io.Closer
}

// CheckRange is the error of an access to length bytes at off of a device of size bytes:
// ErrOutOfRange with the figures, or nil.
func CheckRange(name string, off, length, size int64) error {
	if off >= 0 && length >= 0 && off <= size && length <= size-off {
		return nil
	}
	return fmt.Errorf("%s: %d bytes at %d, device of %d bytes: %w", name, length, off, size, ErrOutOfRange)
}
