package control

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Announce writes v as one JSON line to w and, when path is not empty, to that
// file: complete or not at all, because a script waits for the file to appear.
func Announce(w io.Writer, path string, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("ready line: %w", err)
	}
	line = append(line, '\n')
	if path != "" {
		if err := writeByRename(path, line); err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
	}
	if _, err := w.Write(line); err != nil {
		return fmt.Errorf("ready line: %w", err)
	}
	return nil
}

func writeByRename(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one to report
	}
	return err
}
