package replica

import (
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// replaceFile replaces a small file durably: temporary file, fsync, rename, and the fsync
// of the directory that renameio leaves out.
func replaceFile(path string, b []byte) error {
	if err := renameio.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
