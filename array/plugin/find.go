package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrNotFound says that no directory holds the program.
var ErrNotFound = errors.New("no such driver")

// prefix of the names of driver programs.
const prefix = "ddsgo-driver-"

// Find returns the path of the program of driver name.
func Find(name string, dirs []string, allowPath bool) (string, error) {
	if filepath.IsAbs(name) {
		return name, checkOwner(name)
	}
	if name == "" || strings.ContainsRune(name, '/') {
		return "", fmt.Errorf("%w: %q is neither a name nor an absolute path", ErrNotFound, name)
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, prefix+name)
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("driver %s: %w", name, err)
		}
		return path, checkOwner(path)
	}
	if allowPath {
		if path, err := exec.LookPath(prefix + name); err == nil && filepath.IsAbs(path) {
			return path, checkOwner(path)
		}
	}
	where := strings.Join(dirs, ", ")
	if allowPath {
		where += " or $PATH"
	}
	return "", fmt.Errorf("%w: %s%s is not in %s (built in are hp3par, hp3parsnap, infinibox, lvm, rbd)", ErrNotFound, prefix, name, where)
}

// checkOwner refuses a program that somebody else could have put there or changed.
func checkOwner(path string) error {
	if err := checkPlace(path, false); err != nil {
		return err
	}
	return checkPlace(filepath.Dir(path), true)
}

func checkPlace(path string, dir bool) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	switch {
	case !dir && !st.Mode().IsRegular():
		return fmt.Errorf("driver %s: not a regular file", path)
	case !dir && st.Mode()&0o111 == 0:
		return fmt.Errorf("driver %s: not executable (chmod 755 %s)", path, path)
	case st.Mode()&0o022 != 0:
		return fmt.Errorf("driver: %s is writable for group or others, so it is not trusted (chmod go-w %s)", path, path)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("driver: %s belongs to uid %d, not to root, so it is not trusted (chown root %s)", path, sys.Uid, path)
	}
	return nil
}
