package state

import (
	"path/filepath"
)

// cursorFile says how far an unjournalled copy came.
const cursorFile = "cursor.json"

// SaveCursor keeps, durably, how far an unjournalled copy of the volume came. The bytes are
// the caller's. It is advisory: without it a cut copy starts at its beginning.
func (v *Volume) SaveCursor(b []byte) error {
	if _, err := v.Dir(); err != nil {
		return err
	}
	return replaceFile(v.store.fs, filepath.Join(v.dir, cursorFile), b)
}

// Cursor is what SaveCursor kept; fs.ErrNotExist where there is none.
func (v *Volume) Cursor() ([]byte, error) {
	return v.store.fs.ReadFile(filepath.Join(v.dir, cursorFile), MaxFile)
}

// DropCursor ends an unjournalled copy; none is no error.
func (v *Volume) DropCursor() error { return removeFile(v.store.fs, filepath.Join(v.dir, cursorFile)) }
