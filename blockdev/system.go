package blockdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// system is where the kernel shows what it knows. Tests point it at a directory.
type system struct {
	proc string
	sys  string
	// deviceNumber of a path; a field, so that tests need no device nodes.
	deviceNumber func(path string) (major, minor uint32, err error)
	// mapper is Mapper.
	mapper func(major, minor uint32) (MapperInfo, bool, error)
}

func thisSystem() system {
	return system{proc: "/proc", sys: "/sys", deviceNumber: deviceNumber, mapper: Mapper}
}

// block is the directory of a block device in sysfs.
func (s system) block(major, minor uint32) string {
	return filepath.Join(s.sys, "dev/block", fmt.Sprintf("%d:%d", major, minor))
}

// attribute reads a one-line sysfs or proc file; empty where it does not exist.
func attribute(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}
