package state

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ddsgo/ddsgo/generation"
)

// OpenSVC is the content of an OpenSVC agent's dds_state file: one line
// "YYYY-MM-DD HH:MM:SS.ffffff;UUID".
type OpenSVC struct {
	Time time.Time // written without zone: local time of the source
	UUID string    // LV UUID of snapshot 1
}

// MaxOpenSVC bounds the file, in bytes.
const MaxOpenSVC = 4096

// openSVCTime is Python's str(datetime); the fraction is absent when it is zero.
const (
	openSVCTime  = "2006-01-02 15:04:05.000000"
	openSVCWhole = "2006-01-02 15:04:05"
)

// ParseOpenSVC decodes the file's content. Not exactly one line or two fields is
// ErrOpenSVC, and so is a field that is no time or no UUID.
func ParseOpenSVC(b []byte, loc *time.Location) (OpenSVC, error) {
	corrupt := func(format string, args ...any) (OpenSVC, error) {
		return OpenSVC{}, fmt.Errorf("%w: %s", ErrOpenSVC, fmt.Sprintf(format, args...))
	}
	if len(b) > MaxOpenSVC {
		return corrupt("%d bytes, the limit is %d", len(b), MaxOpenSVC)
	}
	if !utf8.Valid(b) {
		return corrupt("not text")
	}
	line := strings.TrimSuffix(string(b), "\n")
	if line == "" {
		return corrupt("empty")
	}
	if strings.ContainsRune(line, '\n') {
		return corrupt("%d lines, want one", strings.Count(line, "\n")+1)
	}
	fields := strings.Split(strings.TrimSpace(line), ";")
	if len(fields) != 2 {
		return corrupt("%d fields, want date;uuid", len(fields))
	}
	layout := openSVCTime
	if !strings.Contains(fields[0], ".") {
		layout = openSVCWhole
	}
	t, err := time.ParseInLocation(layout, fields[0], loc)
	if err != nil {
		return corrupt("%q is no time", fields[0])
	}
	uuid := fields[1]
	if uuid == "" || len(uuid) > generation.MaxUUID || strings.ContainsFunc(uuid, notUUID) {
		return corrupt("%.60q is no uuid", uuid)
	}
	return OpenSVC{Time: t, UUID: uuid}, nil
}

func notUUID(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-')
}

// Format is the inverse of ParseOpenSVC; like the agent it ends the line.
func (o OpenSVC) Format(loc *time.Location) []byte {
	return []byte(o.Time.In(loc).Format(openSVCTime) + ";" + o.UUID + "\n")
}

// ReadOpenSVC reads the file at path; fs.ErrNotExist if there is none.
func ReadOpenSVC(path string) (OpenSVC, error) {
	b, err := (osFS{}).ReadFile(path, MaxOpenSVC)
	if err != nil {
		return OpenSVC{}, err
	}
	o, err := ParseOpenSVC(b, time.Local)
	if err != nil {
		return OpenSVC{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return o, nil
}

// WriteOpenSVC replaces the file at path atomically and durably.
func WriteOpenSVC(path string, o OpenSVC) error {
	if _, err := ParseOpenSVC(o.Format(time.Local), time.Local); err != nil {
		return err
	}
	return replaceFile(osFS{}, path, o.Format(time.Local))
}
