package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// History is the undo deltas of a target, one file each:
//
//	DIR/history/NAME.delta     committed: whole, durable
//	DIR/history/NAME.partial   was being written when a run was cut; means nothing
//
// An undo delta holds what the target had before a journal was written, so it can be made at
// one time only: after the commit of the journal and before its first write. Write therefore
// never replaces one that is there: after a crash the target may already be half written.
type History struct {
	dir *Dir
}

const (
	historyDir    = "history"
	partialSuffix = ".partial"
)

// History is the undo deltas that are kept beside the journal.
func (d *Dir) History() *History { return &History{dir: d} }

// Undo is one committed undo delta.
type Undo struct {
	Name  string
	Bytes int64
}

// Write makes an undo delta with what write writes, and commits it. One that exists is left as
// it is. need is an upper bound of its bytes.
func (h *History) Write(name string, need int64, write func(io.Writer) error) error {
	if !memberForm.MatchString(name) {
		return fmt.Errorf("undo %q: %w", name, ErrMember)
	}
	d := h.dir
	if err := d.fs.Mkdir(d.in(historyDir)); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	switch _, err := d.fs.Size(d.in(historyDir, name+deltaSuffix)); {
	case err == nil:
		return d.syncHistory() // the run that renamed it may have been cut before its fsync
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("history: %w", err)
	}
	partial := d.in(historyDir, name+partialSuffix)
	if err := d.room(need, 0, partial); err != nil {
		return err
	}
	f, err := d.fs.Create(partial)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	s := &Spool{dir: d, f: f, member: name, need: need}
	err = write(s)
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = d.fs.Rename(partial, d.in(historyDir, name+deltaSuffix))
	}
	if err != nil {
		return fmt.Errorf("undo delta %s: %w", name, err)
	}
	return d.syncHistory()
}

func (d *Dir) syncHistory() error {
	if err := d.fs.SyncDir(d.in(historyDir)); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// List returns the committed undo deltas by name, ascending. Callers choose names that ascend
// with time.
func (h *History) List() ([]Undo, error) {
	names, err := h.dir.fs.List(h.dir.in(historyDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	slices.Sort(names)
	var list []Undo
	for _, n := range names {
		name, ok := memberOf(n)
		if !ok {
			continue
		}
		size, err := h.dir.fs.Size(h.dir.in(historyDir, n))
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		list = append(list, Undo{Name: name, Bytes: size})
	}
	return list, nil
}

// Open opens an undo delta for reading.
func (h *History) Open(name string) (File, error) {
	f, err := h.dir.fs.Open(h.dir.in(historyDir, name+deltaSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("undo delta %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return f, nil
}

// Remove deletes an undo delta.
func (h *History) Remove(name string) error {
	if err := h.dir.fs.Remove(h.dir.in(historyDir, name+deltaSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("history: %w", err)
	}
	return h.dir.syncHistory()
}
