package blockdev

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SetReadOnly sets or clears the kernel's read-only flag of a block device (BLKROSET). It
// lasts until the device goes away or the next boot. A file system mounted read-write is
// not stopped by it; new openers for writing are.
func SetReadOnly(path string, readOnly bool) error {
	v := 0
	if readOnly {
		v = 1
	}
	return withBlock(path, func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.BLKROSET, v) })
}

// ReadOnly says whether the kernel's read-only flag of a block device is set.
func ReadOnly(path string) (bool, error) {
	var v int
	err := withBlock(path, func(fd int) (err error) {
		v, err = unix.IoctlGetInt(fd, unix.BLKROGET)
		return err
	})
	return v != 0, err
}

func withBlock(path string, do func(fd int) error) error {
	k, err := kindOf(path)
	if err != nil {
		return err
	}
	if k != kindBlock {
		return fmt.Errorf("%s: %w", path, ErrNotBlock)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := do(int(f.Fd())); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
