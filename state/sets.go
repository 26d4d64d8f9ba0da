package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// KeepSets is how many changed sets are kept beyond those that legs still need.
const KeepSets = 16

// setSuffix ends the name of a changed-set file; what else lies there is not ours.
const setSuffix = ".set"

var setID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// Sets is a directory of changed-set files, each committed atomically. The format
// of the files is package extent's.
type Sets struct {
	fs  FS
	dir string
}

// Sets are the changed sets of this source volume.
func (v *Volume) Sets() *Sets {
	return &Sets{fs: v.store.fs, dir: filepath.Join(v.dir, setsDir)}
}

// Path is the file of set id.
func (s *Sets) Path(id string) (string, error) {
	if !setID.MatchString(id) {
		return "", fmt.Errorf("%w: changed set id %.40q: only letters, digits, '-' and '_'", ErrInvalid, id)
	}
	return filepath.Join(s.dir, id+setSuffix), nil
}

// Prepare makes the directory durably and returns the file of set id, for a writer that
// commits the file by itself.
func (s *Sets) Prepare(id string) (string, error) {
	path, err := s.Path(id)
	if err != nil {
		return "", err
	}
	return path, s.fs.MkdirAll(s.dir)
}

// Save writes set id (letters, digits, '-', '_') durably. An existing set of that
// id is replaced.
func (s *Sets) Save(id string, write func(io.Writer) error) error {
	path, err := s.Path(id)
	if err != nil {
		return err
	}
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	if err := replaceWith(s.fs, path, write); err != nil {
		return fmt.Errorf("save changed set %s: %w", id, err)
	}
	return nil
}

// Open opens set id for reading; fs.ErrNotExist if there is none.
func (s *Sets) Open(id string) (*os.File, error) {
	path, err := s.Path(id)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// List returns the ids in the order of their names: ids that shall sort by age
// begin with a number of fixed width, see SetID.
func (s *Sets) List() ([]string, error) {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, n := range names {
		if id, ok := strings.CutSuffix(n, setSuffix); ok && setID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// SetID is the id of the set that leads to generation number seq, with unique text
// (part of a run or snapshot id) behind it. Ids of one volume sort by seq.
func SetID(seq uint64, unique string) string {
	clean := func(r rune) rune {
		if r < 0x80 && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}
	unique = strings.Map(clean, unique)
	if len(unique) > 64 {
		unique = unique[:64]
	}
	return fmt.Sprintf("%020d-%s", seq, unique)
}

// Prune removes the oldest sets beyond KeepSets, but none in needed, and temporary
// files that a killed run left.
func (s *Sets) Prune(needed ...string) error {
	ids, err := s.List()
	if err != nil {
		return err
	}
	for i, id := range ids {
		if i >= len(ids)-KeepSets || slices.Contains(needed, id) {
			continue
		}
		if err := removeFile(s.fs, filepath.Join(s.dir, id+setSuffix)); err != nil {
			return err
		}
	}
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, ".") && strings.Contains(n, setSuffix) {
			if err := removeFile(s.fs, filepath.Join(s.dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeAll removes every set and the directory.
func (s *Sets) removeAll() error {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := s.fs.Remove(filepath.Join(s.dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := s.fs.Remove(s.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
