package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Volume reads and commits one document. Callers hold the volume's Lock around
// Load..Commit; Inspect needs no lock.
type Volume struct {
	store  *Store
	id     Identity
	tagger Tagger
	dir    string
}

// Identity is the volume's.
func (v *Volume) Identity() Identity { return v.id }

// Dir is the volume's own directory, for its spool and journal; created on demand.
func (v *Volume) Dir() (string, error) { return v.dir, v.store.fs.MkdirAll(v.dir) }

// Load returns the current document. It finishes a cut commit: forward when the
// tags already say the pending state, back when they say the current one.
func (v *Volume) Load(ctx context.Context) (*Document, error) {
	if err := v.store.sweep(v.dir); err != nil {
		return nil, err
	}
	s, tags, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	d, cut, err := v.decide(s, tags)
	if err != nil {
		return nil, err
	}
	if cut {
		if err := v.finish(d); err != nil {
			return nil, fmt.Errorf("%s: finish an interrupted commit: %w", v.id, err)
		}
	}
	if d == nil {
		return nil, v.notFound()
	}
	return d, nil
}

// Inspect is Load without finishing anything: for status and --dry-run.
func (v *Volume) Inspect(ctx context.Context) (*Document, error) {
	s, tags, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	d, _, err := v.decide(s, tags)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, v.notFound()
	}
	return d, nil
}

// TagState reads what the tags alone say, for refusals when the file is of no use;
// ErrNotFound when the volume carries none (or is no LV).
func (v *Volume) TagState(ctx context.Context) (TagState, error) {
	if v.tagger == nil {
		return TagState{}, ErrNotFound
	}
	all, err := v.tagger.Tags(ctx)
	if err != nil {
		return TagState{}, err
	}
	t, ok, err := DecodeTags(all)
	if err == nil && !ok {
		err = ErrNotFound
	}
	return t, err
}

// KnownFence is the highest fence that file or tags name, of what can be read of them: a state
// that cannot be believed must not lower it.
func (v *Volume) KnownFence(ctx context.Context) uint64 {
	var known uint64
	if d, err := v.readCurrent(); err == nil {
		known = d.Fence
	}
	if v.tagger == nil {
		return known
	}
	all, err := v.tagger.Tags(ctx)
	if err != nil {
		return known
	}
	for _, tag := range ownTags(all) {
		var t TagState
		if value, ok := strings.CutPrefix(tag, tagFence); ok && t.decodeOne(tagFence, value) == nil {
			known = max(known, t.Fence)
		}
	}
	return known
}

// Previous returns the document before the newest one: evidence for doctor, never
// to be acted upon.
func (v *Volume) Previous() (*Document, error) {
	b, err := v.store.fs.ReadFile(filepath.Join(v.dir, previousFile), MaxFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	s, err := decodeSlots(b)
	if err != nil {
		return nil, err
	}
	if s.Current == nil {
		return nil, ErrNotFound
	}
	return s.Current, nil
}

// read reads both places. An absent file is an empty slots value.
func (v *Volume) read(ctx context.Context) (slots, []string, error) {
	s, err := v.readSlots()
	if err != nil {
		return slots{}, nil, err
	}
	if v.tagger == nil {
		return s, nil, nil
	}
	all, err := v.tagger.Tags(ctx)
	if err != nil {
		return slots{}, nil, fmt.Errorf("%s: read tags: %w", v.id, err)
	}
	return s, ownTags(all), nil
}

func (v *Volume) readSlots() (slots, error) {
	path := filepath.Join(v.dir, stateFile)
	b, err := v.store.fs.ReadFile(path, MaxFile)
	if errors.Is(err, os.ErrNotExist) {
		return slots{}, nil
	}
	if err != nil {
		return slots{}, err
	}
	s, err := decodeSlots(b)
	if err != nil {
		return slots{}, v.damaged(path, err)
	}
	for _, d := range []*Document{s.Current, s.Pending} {
		if d != nil && d.Identity != v.id {
			return slots{}, v.damaged(path, fmt.Errorf("%w: it describes volume %s", ErrDamaged, d.Identity))
		}
	}
	return s, nil
}

// readCurrent reads the file alone.
func (v *Volume) readCurrent() (*Document, error) {
	s, err := v.readSlots()
	if err != nil {
		return nil, err
	}
	if s.Current == nil {
		return nil, ErrNotFound
	}
	return s.Current, nil
}

// decide compares file and tags. d is nil when there is no state; cut says that the
// file still has to be written to match.
func (v *Volume) decide(s slots, tags []string) (d *Document, cut bool, err error) {
	switch {
	case v.tagger == nil: // the single rename of such a commit is atomic
		return s.Current, s.cut(), nil
	case s.Current == nil && s.Pending == nil && len(tags) > 0:
		return nil, false, v.lost(tags)
	case s.Pending != nil && slices.Equal(tags, tagsOf(s.Pending)):
		return s.Pending, true, nil
	case s.Forget && len(tags) == 0:
		return nil, true, nil
	case slices.Equal(tags, tagsOf(s.Current)):
		return s.Current, s.cut(), nil
	}
	return nil, false, v.disagree(s, tags)
}

// finish writes the outcome of a cut commit; nil = there was nothing before it.
func (v *Volume) finish(d *Document) error {
	if d == nil {
		return removeFile(v.store.fs, filepath.Join(v.dir, stateFile))
	}
	return v.write(slots{Current: d})
}

func (v *Volume) write(s slots) error {
	b, err := encodeSlots(s)
	if err != nil {
		return err
	}
	return replaceFile(v.store.fs, filepath.Join(v.dir, stateFile), b)
}

func (v *Volume) notFound() error { return fmt.Errorf("%s: %w", v.id, ErrNotFound) }

func (v *Volume) damaged(path string, err error) error {
	if errors.Is(err, ErrNewer) {
		return failure.With(failure.CodeCorrupt, path, "the state of volume "+v.id.String()+" cannot be read",
			"run the newer ddsgo that wrote it", err)
	}
	return failure.With(failure.CodeNeedFull, path, "the state of volume "+v.id.String()+" cannot be trusted",
		"ddsgo full NAME --overwrite   (evidence of the state before: "+filepath.Join(v.dir, previousFile)+")", err)
}

func (v *Volume) lost(tags []string) error {
	return failure.With(failure.CodeNeedFull, v.id.String(),
		fmt.Sprintf("the volume is tagged %v but %s is gone", tags, filepath.Join(v.dir, stateFile)),
		"restore the state directory, or: ddsgo full NAME --overwrite", ErrLost)
}

func (v *Volume) disagree(s slots, tags []string) error {
	reason := fmt.Sprintf("the tags on the volume are %v, its state file says %v", tags, tagsOf(s.Current))
	if s.Pending != nil {
		reason += fmt.Sprintf(" or, in an interrupted commit, %v", tagsOf(s.Pending))
	}
	name := "NAME"
	if s.Current != nil && s.Current.Resource != "" {
		name = s.Current.Resource
	}
	return failure.With(failure.CodeNeedFull, v.id.String(), reason,
		"ddsgo full "+name+" --overwrite   (once it is clear why: a restored state directory, a restored volume group, tags changed by hand)", ErrDisagree)
}
