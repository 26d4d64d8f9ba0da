package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// FS is what commits need of a file system. Tests put one in its place that fails,
// or loses what was not synced, at any operation.
type FS interface {
	// MkdirAll makes dir and its parents with mode 0700 and makes them durable.
	MkdirAll(dir string) error
	// Create starts a temporary file that will replace path.
	Create(path string) (Pending, error)
	// ReadFile reads the whole file; more than limit bytes is an error.
	ReadFile(path string, limit int64) ([]byte, error)
	// Link makes the file old visible under the second name new, which must not exist.
	Link(old, new string) error
	// Rename replaces new by old. Durable only after SyncDir.
	Rename(old, new string) error
	// Remove removes a file; durable only after SyncDir.
	Remove(path string) error
	// ReadDir lists names in dir, sorted; a directory that is absent is empty.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes the directory's entries durable.
	SyncDir(dir string) error
}

// Pending is a temporary file beside the one that it will replace.
type Pending interface {
	io.Writer
	// CloseAtomicallyReplace makes the content durable and renames it into place.
	// The rename itself is durable only after SyncDir.
	CloseAtomicallyReplace() error
	// Cleanup removes the temporary file unless it is in place.
	Cleanup() error
}

// osFS is the real file system.
type osFS struct{}

func (osFS) MkdirAll(dir string) error {
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		if st, err := os.Stat(d); err == nil {
			if !st.IsDir() {
				return fmt.Errorf("%s is not a directory", d)
			}
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		missing = append(missing, d)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range missing {
		if err := (osFS{}).SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

func (osFS) Create(path string) (Pending, error) {
	return renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o600))
}

func (osFS) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

func (osFS) Link(old, new string) error   { return os.Link(old, new) }
func (osFS) Rename(old, new string) error { return os.Rename(old, new) }
func (osFS) Remove(path string) error     { return os.Remove(path) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return err
	}
	return d.Close()
}

// replaceFile commits data at path: temporary file, fsync, rename, fsync of the
// directory.
func replaceFile(fs FS, path string, data []byte) error {
	return replaceWith(fs, path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func replaceWith(fs FS, path string, write func(io.Writer) error) error {
	p, err := fs.Create(path)
	if err != nil {
		return err
	}
	if err := write(p); err != nil {
		return errors.Join(err, p.Cleanup())
	}
	if err := p.CloseAtomicallyReplace(); err != nil {
		return errors.Join(err, p.Cleanup())
	}
	return fs.SyncDir(filepath.Dir(path))
}

// removeFile removes path durably; an absent file is no error.
func removeFile(fs FS, path string) error {
	if err := fs.Remove(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}
