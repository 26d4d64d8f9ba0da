package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// Stamp is the last generation that plain merge wrote to a device. It is keyed by
// the device's identity, not by its path: a file that was replaced has none.
type Stamp struct {
	Identity   Identity              `json:"identity"`
	Device     string                `json:"device"`
	Generation generation.Generation `json:"generation"`
	SourceID   string                `json:"source_id"`
	Time       time.Time             `json:"time"`

	// Condition is KindClean (also where it is empty), or, while merge writes or was cut while it
	// did, KindApplying or KindInconsistent: the device is then between Generation and To.
	Condition Kind                  `json:"condition,omitempty"`
	To        generation.Generation `json:"to,omitzero"`
	Set       string                `json:"set,omitempty"` // id of the delta that is, or was last, written
}

func (s *Store) stampPath(id Identity) string {
	return filepath.Join(s.dir, stampsDir, id.String()+".json")
}

// Stamp reads the stamp of a device; ErrNotFound if there is none.
func (s *Store) Stamp(id Identity) (*Stamp, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	path := s.stampPath(id)
	b, err := s.fs.ReadFile(path, MaxFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("stamp of %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	st, err := decodeStamp(b)
	if err == nil && st.Identity != id {
		err = fmt.Errorf("%w: it describes %s", ErrDamaged, st.Identity)
	}
	if err != nil {
		return nil, failure.With(failure.CodeCorrupt, path, "the stamp of "+id.String()+" cannot be trusted",
			"copy the volume in full, or pass --force-base if you know that it holds the base", err)
	}
	return st, nil
}

func decodeStamp(b []byte) (*Stamp, error) {
	var st Stamp
	if err := unseal(formatStamp, b, &st); err != nil {
		return nil, err
	}
	if err := st.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &st, nil
}

func (st Stamp) validate() error {
	if err := st.Identity.Validate(); err != nil {
		return err
	}
	switch st.Condition {
	case "", KindClean, KindApplying, KindInconsistent:
	default:
		return fmt.Errorf("%w: a stamp of condition %q", ErrInvalid, st.Condition)
	}
	if len(st.Device) > MaxText || len(st.SourceID) > MaxText || len(st.Set) > MaxText || len(st.Generation.UUID) > generation.MaxUUID || len(st.To.UUID) > generation.MaxUUID {
		return fmt.Errorf("%w: text too long", ErrInvalid)
	}
	return nil
}

// SetStamp writes it durably; a zero Time becomes now.
func (s *Store) SetStamp(st Stamp) error {
	if err := st.validate(); err != nil {
		return err
	}
	if st.Time.IsZero() {
		st.Time = s.now().UTC()
	}
	b, err := seal(formatStamp, st)
	if err != nil {
		return err
	}
	if err := s.fs.MkdirAll(filepath.Join(s.dir, stampsDir)); err != nil {
		return err
	}
	return replaceFile(s.fs, s.stampPath(st.Identity), b)
}

// RemoveStamp removes it durably; removing none is no error.
func (s *Store) RemoveStamp(id Identity) error {
	if err := id.Validate(); err != nil {
		return err
	}
	return removeFile(s.fs, s.stampPath(id))
}
