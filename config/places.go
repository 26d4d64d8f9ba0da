package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// StateDir is the directory of state, spool, stamps and locks: the flag,
// DDSGO_STATE_DIR, or the default for this user. It is created if need be; one that
// cannot be written is an error before anything starts.
func StateDir(flag string, getenv func(string) string) (string, error) {
	dir := flag
	if dir == "" {
		dir = getenv("DDSGO_STATE_DIR")
	}
	if dir == "" {
		dir = defaultStateDir(os.Geteuid(), getenv)
	}
	if dir == "" {
		return "", failure.Usage("no state directory: neither HOME nor XDG_STATE_HOME is set (use --state-dir)")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", failure.With(failure.CodeUsage, "state directory", "no absolute path", "", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", failure.With(failure.CodeUsage, "state directory "+dir, "cannot be created", "use --state-dir DIR or run as root", err)
	}
	if err := probeWrite(dir); err != nil {
		return "", failure.With(failure.CodeUsage, "state directory "+dir, "cannot be written", "use --state-dir DIR or run as root", err)
	}
	return dir, nil
}

func defaultStateDir(euid int, getenv func(string) string) string {
	if euid == 0 {
		return "/var/lib/ddsgo"
	}
	if x := getenv("XDG_STATE_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "ddsgo")
	}
	if h := getenv("HOME"); filepath.IsAbs(h) {
		return filepath.Join(h, ".local", "state", "ddsgo")
	}
	return ""
}

// probeWrite writes a file: a read-only file system shows only then, even to root.
func probeWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// maxSecret bounds a password file, in bytes.
const maxSecret = 4096

// Password is the array's password: the first line of its password_file, or the
// environment variable that PasswordVariable names. Empty: none is configured.
func (a Array) Password(getenv func(string) string) (string, error) {
	if a.PasswordFile == "" {
		return getenv(a.PasswordVariable()), nil
	}
	f, err := os.Open(a.PasswordFile)
	if err != nil {
		return "", failure.With(failure.CodeUsage, "array "+a.Name, "password_file cannot be read", "", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", failure.With(failure.CodeUsage, "array "+a.Name, "password_file cannot be read", "", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" || len(b) > maxSecret {
		return "", failure.With(failure.CodeUsage, "array "+a.Name, fmt.Sprintf("password_file %s holds no password (one line of at most %d bytes)", a.PasswordFile, maxSecret), "", nil)
	}
	return line, nil
}

// PasswordVariable is the environment variable that may hold the array's password.
func (a Array) PasswordVariable() string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, a.Name)
	return "DDSGO_PASSWORD_" + name
}
