package state

import (
	"os"
	"path/filepath"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// EnvDir is the environment variable that names the state directory.
const EnvDir = "DDSGO_STATE_DIR"

// rootDir is where root keeps state unless told otherwise.
const rootDir = "/var/lib/ddsgo"

// Dir resolves the state directory: flag, DDSGO_STATE_DIR, /var/lib/ddsgo for root,
// else $XDG_STATE_HOME/ddsgo (~/.local/state/ddsgo).
func Dir(flag string) (string, error) { return resolveDir(flag, os.Getenv, os.Geteuid()) }

func resolveDir(flag string, getenv func(string) string, uid int) (string, error) {
	dir := flag
	if dir == "" {
		dir = getenv(EnvDir)
	}
	switch {
	case dir != "":
		return filepath.Abs(dir)
	case uid == 0:
		return rootDir, nil
	}
	// The XDG specification: a relative path is invalid and to be ignored.
	if xdg := getenv("XDG_STATE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "ddsgo"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/ddsgo"), nil
	}
	return "", failure.Usage("no state directory: neither --state-dir, %s, XDG_STATE_HOME nor HOME is set", EnvDir)
}
