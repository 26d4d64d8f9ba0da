package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/ddsgo/ddsgo/stream"
)

// Names inside a journal directory.
const (
	incomingDir  = "incoming"
	committedDir = "committed"
	trashDir     = "trash"
	commitFile   = "commit.json"
	deltaSuffix  = ".delta"
)

var memberForm = regexp.MustCompile(`^[A-Za-z0-9_+:-][A-Za-z0-9_.+:-]{0,199}$`)

// Dir is the journal directory of one target, or of one group of targets.
type Dir struct {
	fs    FS
	path  string
	quota int64 // bytes that all files of the directory may take; 0: no limit
}

// Open prepares the directory and empties its trash.
func Open(f FS, path string) (*Dir, error) {
	d := &Dir{fs: f, path: path}
	if err := f.Mkdir(path); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return d, d.empty(trashDir)
}

// Limit sets a quota: no spool and no undo delta is begun that could make the directory larger
// than so many bytes. 0: no limit but the file system's.
func (d *Dir) Limit(bytes int64) { d.quota = bytes }

// room says whether a file may grow to need bytes, of which have are there. What it replaces
// does not count.
func (d *Dir) room(need, have int64, replaced string) error {
	free, err := d.fs.Free(d.path)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if free < need-have {
		return &SpaceError{Dir: d.path, Need: need - have, Free: free}
	}
	if d.quota == 0 {
		return nil
	}
	used, err := d.used(replaced)
	if err != nil {
		return err
	}
	if left := max(d.quota-used, 0); left < need {
		return &SpaceError{Dir: d.path, Need: need, Free: left, Quota: d.quota}
	}
	return nil
}

// used is the bytes of all files but one.
func (d *Dir) used(but string) (sum int64, err error) {
	for _, dir := range []string{incomingDir, committedDir, historyDir} {
		names, err := d.fs.List(d.in(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("spool: %w", err)
		}
		for _, n := range names {
			if d.in(dir, n) == but {
				continue
			}
			size, err := d.fs.Size(d.in(dir, n))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, fmt.Errorf("spool: %w", err)
			}
			sum += size
		}
	}
	return sum, nil
}

// Path is the directory.
func (d *Dir) Path() string { return d.path }

func (d *Dir) in(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// empty deletes a subdirectory with the files in it; one that does not exist is no error.
func (d *Dir) empty(dir string) error {
	names, err := d.fs.List(d.in(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		if err == nil {
			err = d.fs.Remove(d.in(dir, n))
		}
	}
	if err == nil {
		err = d.fs.Remove(d.in(dir))
	}
	if err != nil {
		return fmt.Errorf("journal: empty %s: %w", dir, err)
	}
	return nil
}

// throw moves a subdirectory to the trash in one step and deletes it there.
func (d *Dir) throw(dir string) error {
	if err := d.empty(trashDir); err != nil {
		return err
	}
	if err := d.fs.Rename(d.in(dir), d.in(trashDir)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("journal: %w", err)
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return d.empty(trashDir)
}

// Bound is an upper bound of the bytes of a delta with this header: its content and its
// frames, the space that its spool may need.
func Bound(h stream.Header) int64 {
	const head, entry, base, fixed = 64, 24, 56, 4096
	frame, chunk := max(int64(h.FrameSize), stream.MinFrameSize), max(int64(h.ChunkSize), 512)
	frames, chunks := h.SetBytes/frame+1, h.SetBytes/chunk+1
	n := h.SetBytes + 2*frames*head + 2*chunks*entry + fixed
	if h.SubChunk { // a frame boundary may divide a chunk
		n += (frames + chunks) * base
	}
	return n
}

// Begin opens a new spool for a member; an older one of the member is replaced. need is an
// upper bound of its bytes (Bound where nothing better is known): less free space is a
// *SpaceError before the first byte, and more bytes than need are refused with ErrQuota.
func (d *Dir) Begin(member string, need int64) (*Spool, error) {
	return d.open(member, need, 0, func(name string) (File, error) { return d.fs.Create(name) })
}

// Resume opens the spool of a member behind its verified prefix, which is size bytes long.
func (d *Dir) Resume(member string, need, size int64) (*Spool, error) {
	return d.open(member, need, size, func(name string) (File, error) { return d.fs.Append(name, size) })
}

func (d *Dir) open(member string, need, have int64, open func(string) (File, error)) (*Spool, error) {
	if !memberForm.MatchString(member) {
		return nil, fmt.Errorf("%q: %w", member, ErrMember)
	}
	if err := d.fs.Mkdir(d.in(incomingDir)); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	file := d.in(incomingDir, member+deltaSuffix)
	if err := d.room(need, have, file); err != nil {
		return nil, err
	}
	f, err := open(file)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &Spool{dir: d, f: f, member: member, need: need, size: have}, nil
}

// Partial opens what is left of a member's spool, for reading; ErrNotFound where there is
// none.
func (d *Dir) Partial(member string) (File, error) {
	f, err := d.fs.Open(d.in(incomingDir, member+deltaSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", member, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

// SpoolSize is the length of a member's spool.
func (d *Dir) SpoolSize(member string) (int64, error) {
	n, err := d.fs.Size(d.in(incomingDir, member+deltaSuffix))
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	return n, nil
}

// Discard deletes all spools. A committed journal stays.
func (d *Dir) Discard() error { return d.throw(incomingDir) }

// Remove deletes the committed journal, after its last member is durable on its target.
func (d *Dir) Remove() error { return d.throw(committedDir) }

// Spool is a delta that is being received. After an error of Write it takes no more.
type Spool struct {
	dir    *Dir
	f      File
	member string
	need   int64
	size   int64
	err    error
}

// Size is the length of the spool.
func (s *Spool) Size() int64 { return s.size }

// Write implements io.Writer.
func (s *Spool) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.size+int64(len(p)) > s.need {
		s.err = fmt.Errorf("spool %s: %w: %d bytes", s.member, ErrQuota, s.need)
		return 0, s.err
	}
	n, err := s.f.Write(p)
	s.size += int64(n)
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		s.err = &SpaceError{Dir: s.dir.path, Need: s.need, Free: -1}
	case err != nil:
		s.err = fmt.Errorf("spool %s: %w", s.member, err)
	}
	return n, s.err
}

// Close makes the spool durable, whole or not: a cut transfer goes on behind it.
func (s *Spool) Close() error {
	err := s.f.Sync()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = &SpaceError{Dir: s.dir.path, Need: s.need, Free: -1}
	}
	err = errors.Join(err, s.f.Close(), s.err)
	if err != nil {
		return fmt.Errorf("spool %s: %w", s.member, err)
	}
	s.err = errors.New("spool is closed")
	return nil
}

// memberOf is the member that a file name belongs to.
func memberOf(file string) (string, bool) {
	return strings.CutSuffix(file, deltaSuffix)
}
