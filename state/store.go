package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Names inside the state directory, see doc.go.
const (
	volumesDir   = "volumes"
	stampsDir    = "stamps"
	locksDir     = "locks"
	setsDir      = "sets"
	stateFile    = "state.json"
	previousFile = "state.json.prev"
	rejectedFile = "state.json.rejected"
	sessionFile  = "session.json"
)

// Store is the state directory.
type Store struct {
	dir string
	fs  FS
	now func() time.Time
}

// Open prepares dir (created with mode 0700 if absent). A directory that cannot be
// written is a *failure.Error before anything starts.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, fs: osFS{}, now: time.Now}
	if err := s.prepare(); err != nil {
		return nil, failure.With(failure.CodeUsage, dir, "the state directory cannot be written",
			"choose another with --state-dir DIR or "+EnvDir+", or correct its owner and mode", err)
	}
	return s, nil
}

// OpenFS is Open on another file system, without the probe.
func OpenFS(dir string, fs FS) *Store { return &Store{dir: dir, fs: fs, now: time.Now} }

// prepare makes the directories and proves that each can be written.
func (s *Store) prepare() error {
	for _, name := range []string{volumesDir, stampsDir, locksDir} {
		dir := filepath.Join(s.dir, name)
		if err := s.fs.MkdirAll(dir); err != nil {
			return err
		}
		p, err := s.fs.Create(filepath.Join(dir, "probe"))
		if err != nil {
			return err
		}
		if err := p.Cleanup(); err != nil {
			return err
		}
	}
	return nil
}

// Dir is the directory itself.
func (s *Store) Dir() string { return s.dir }

// Volume is the document of one volume. t is nil for a volume that is not an LV.
func (s *Store) Volume(id Identity, t Tagger) *Volume {
	return &Volume{store: s, id: id, tagger: t, dir: filepath.Join(s.dir, volumesDir, id.String())}
}

// Entry is one row of Volumes.
type Entry struct {
	Identity Identity
	Document *Document // nil when Err is set
	Err      error
}

// Volumes lists every volume that has a document, for status on a target without
// configuration. Tags are not consulted.
func (s *Store) Volumes() ([]Entry, error) {
	names, err := s.fs.ReadDir(filepath.Join(s.dir, volumesDir))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		id, err := ParseIdentity(name)
		if err != nil {
			entries = append(entries, Entry{Err: fmt.Errorf("%s: not a volume's directory: %w", name, err)})
			continue
		}
		d, err := s.Volume(id, nil).readCurrent()
		if errors.Is(err, ErrNotFound) {
			continue // a directory made for a lock or a spool, never committed
		}
		entries = append(entries, Entry{Identity: id, Document: d, Err: err})
	}
	return entries, nil
}

// sweep removes temporary files that a killed run left in dir. The caller holds the
// lock that all writers of dir take.
func (s *Store) sweep(dir string) error {
	names, err := s.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		// renameio calls them .NAME followed by digits; ".tmp" is ours.
		if strings.HasPrefix(name, "."+stateFile) || strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, "."+sessionFile) || strings.HasPrefix(name, "."+cursorFile) {
			if err := removeFile(s.fs, filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
