package blockdev

import "errors"

var (
	// ErrOutOfRange: a read, write or zeroing beyond the end of the device, or before its start.
	ErrOutOfRange = errors.New("range beyond the end of the device")
	// ErrReadOnly: a write to a device that was opened, or is, read-only.
	ErrReadOnly = errors.New("device is read-only")
	// ErrInUse: something else holds the device exclusively: a mount, a swap, another volume.
	ErrInUse = errors.New("device is in use")
	// ErrNotVolume: the path is neither a block device nor a regular file.
	ErrNotVolume = errors.New("neither a block device nor a regular file")
	// ErrNotBlock: only a block device can do this.
	ErrNotBlock = errors.New("not a block device")
	// ErrNotFound: there is no such device or file, and none was to be created.
	ErrNotFound = errors.New("no such device or file")
	// ErrOptions: the options contradict each other.
	ErrOptions = errors.New("contradictory open options")
	// ErrEmpty: the device or file has no byte: a removed medium, a loop device without a file.
	ErrEmpty = errors.New("device has no capacity")
	// ErrClosed: the device was closed.
	ErrClosed = errors.New("device is closed")
)
