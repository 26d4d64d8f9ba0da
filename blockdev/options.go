package blockdev

import "fmt"

// Options says how to open a volume. The zero value opens an existing one for reading.
type Options struct {
	// Write opens for reading and writing.
	Write bool
	// Exclusive fails with ErrInUse if a block device is mounted, swapped to, or part of
	// another device, and keeps others from doing so until Close. It means nothing for files.
	Exclusive bool
	// Direct makes reads bypass the page cache.
	Direct bool
	// Create is the size in bytes of the regular file to make if the path does not exist; 0
	// makes none. It needs Write. An existing file or device keeps its size.
	Create int64
}

// Validate refuses options that make no sense together.
func (o Options) Validate() error {
	switch {
	case o.Create < 0:
		return fmt.Errorf("create with %d bytes: %w", o.Create, ErrOptions)
	case o.Create > 0 && !o.Write:
		return fmt.Errorf("create without write: %w", ErrOptions)
	}
	return nil
}
