package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// SchemaVersion of every file that this package writes. Any new field raises it,
// because an older program would drop the field at its next commit.
const SchemaVersion = 1

// MaxFile bounds a file that is read, in bytes.
const MaxFile = 8 << 20

// The kinds of file.
const (
	formatState = "ddsgo-state"
	formatStamp = "ddsgo-stamp"
)

// envelope is what every file is, see doc.go.
type envelope struct {
	Format        string          `json:"format"`
	SchemaVersion int             `json:"schema_version"`
	Checksum      string          `json:"checksum"`
	Body          json.RawMessage `json:"body"`
}

// checksum covers the format, the version and the body without insignificant space.
func checksum(format string, version int, body []byte) (string, error) {
	var c bytes.Buffer
	fmt.Fprintf(&c, "%s %d\n", format, version)
	if err := json.Compact(&c, body); err != nil {
		return "", err
	}
	sum := sha256.Sum256(c.Bytes())
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// seal encodes v as a file.
func seal(format string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	sum, err := checksum(format, SchemaVersion, body)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(envelope{format, SchemaVersion, sum, body}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// unseal decodes a file: format, version, checksum, then the body, strictly.
func unseal(format string, data []byte, v any) error {
	var e envelope
	if err := strictJSON(data, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e.Format != format {
		return fmt.Errorf("%w: format %.40q, want %q", ErrDamaged, e.Format, format)
	}
	if e.SchemaVersion > SchemaVersion {
		return fmt.Errorf("%w: schema version %d, this program knows %d", ErrNewer, e.SchemaVersion, SchemaVersion)
	}
	if e.SchemaVersion < 1 {
		return fmt.Errorf("%w: schema version %d", ErrDamaged, e.SchemaVersion)
	}
	sum, err := checksum(format, e.SchemaVersion, e.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if sum != e.Checksum {
		return fmt.Errorf("%w: checksum is %s, the content's is %s", ErrDamaged, shorten(e.Checksum), shorten(sum))
	}
	if err := strictJSON(e.Body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// strictJSON decodes exactly one value without unknown keys.
func strictJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("data after the end of the document")
	}
	return nil
}

func shorten(sum string) string {
	if len(sum) > 19 {
		return sum[:19] + "..."
	}
	return sum
}

// slots is the body of a state file. Pending is set only while a commit is under way,
// Forget only while the volume is being forgotten.
type slots struct {
	Current *Document `json:"current"`
	Pending *Document `json:"pending"`
	Forget  bool      `json:"forget"`
}

// cut says that something was under way when s was written.
func (s slots) cut() bool { return s.Pending != nil || s.Forget }

// encodeSlots encodes s and proves that it decodes to something valid, so that
// nothing leaves that the next run would refuse.
func encodeSlots(s slots) ([]byte, error) {
	b, err := seal(formatState, s)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrInvalid, len(b), MaxFile)
	}
	if _, err := decodeSlots(b); err != nil {
		return nil, fmt.Errorf("%w: it does not survive its own encoding: %w", ErrInvalid, err)
	}
	return b, nil
}

// decodeSlots decodes a state file.
func decodeSlots(data []byte) (slots, error) {
	var s slots
	if err := unseal(formatState, data, &s); err != nil {
		return slots{}, err
	}
	if s.Current == nil && s.Pending == nil || s.Forget && s.Pending != nil {
		return slots{}, fmt.Errorf("%w: it holds no state", ErrDamaged)
	}
	for _, d := range []*Document{s.Current, s.Pending} {
		if d == nil {
			continue
		}
		if err := d.Validate(); err != nil {
			return slots{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return s, nil
}
