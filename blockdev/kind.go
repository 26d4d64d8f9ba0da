package blockdev

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type kind int

const (
	kindFile kind = iota + 1
	kindBlock
)

// kindOf tells a block device from a regular file, following symbolic links.
func kindOf(path string) (kind, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, fmt.Errorf("%s: %w", path, ErrNotFound)
	case err != nil:
		return 0, err
	case info.Mode().IsRegular():
		return kindFile, nil
	case info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0:
		return kindBlock, nil
	}
	return 0, fmt.Errorf("%s is a %s: %w", path, describeMode(info.Mode()), ErrNotVolume)
}

func describeMode(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&os.ModeCharDevice != 0:
		return "character device"
	case m&os.ModeNamedPipe != 0:
		return "pipe"
	case m&os.ModeSocket != 0:
		return "socket"
	}
	return "special file"
}

// deviceNumber is the major and minor number of the block device at path.
func deviceNumber(path string) (major, minor uint32, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, fmt.Errorf("%s: %w", path, ErrNotBlock)
	}
	return unix.Major(st.Rdev), unix.Minor(st.Rdev), nil
}
