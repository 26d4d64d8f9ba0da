package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Commit makes d current: after it returns nil, d survives a power cut and the tags
// say the same. d.Revision must be that of the last Load (0 for a new document),
// else ErrStale; Commit raises it. After an error the state is the old or the new
// one: Load says which.
func (v *Volume) Commit(ctx context.Context, d *Document) error {
	s, err := v.readSlots()
	if err != nil {
		return err
	}
	if s.cut() {
		return fmt.Errorf("%s: %w: an interrupted commit was not finished by Load", v.id, ErrStale)
	}
	var revision uint64
	if s.Current != nil {
		revision = s.Current.Revision
	}
	if d.Revision != revision {
		return fmt.Errorf("%s: %w: revision %d was read, %d is current", v.id, ErrStale, d.Revision, revision)
	}
	if err := v.keepAs(previousFile); err != nil {
		return fmt.Errorf("%s: keep the previous state: %w", v.id, err)
	}
	return v.replace(ctx, s.Current, d)
}

// Reset makes d current although the file is damaged or lost, or disagrees with the
// tags: the act of an operator who has the data proven anew (full --overwrite,
// resync). What stood in the file is kept beside it as evidence. A volume that its
// tags, or its file if it can be read, call primary is refused to any other role; the highest
// fence that any of them names is kept.
func (v *Volume) Reset(ctx context.Context, d *Document) error {
	old, err := v.readCurrent()
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged) {
		return err
	}
	tags, tagErr := v.TagState(ctx)
	if tagErr != nil && !errors.Is(tagErr, ErrNotFound) && !errors.Is(tagErr, ErrTag) {
		return tagErr
	}
	primary := tags.Role == RolePrimary || old != nil && old.Role == RolePrimary
	if primary && d.Role != RolePrimary {
		return failure.Refused(v.id.String(), "the volume is primary: it is never overwritten by replication", "ddsgo status")
	}
	d.Fence = max(d.Fence, v.KnownFence(ctx))
	if err := v.keepAs(rejectedFile); err != nil {
		return fmt.Errorf("%s: keep the rejected state: %w", v.id, err)
	}
	d.Revision = 0
	return v.replace(ctx, nil, d)
}

// Update is Load (a missing document is a new one of role none), change, Commit.
func (v *Volume) Update(ctx context.Context, change func(*Document) error) (*Document, error) {
	d, err := v.Load(ctx)
	if errors.Is(err, ErrNotFound) {
		d, err = &Document{Identity: v.id, Role: RoleNone, Condition: None()}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := change(d); err != nil {
		return nil, err
	}
	return d, v.Commit(ctx, d)
}

// replace is the commit itself: file with d pending, tags, file with d current.
// Where the tags stay the same (or there are none) the last step alone is atomic.
func (v *Volume) replace(ctx context.Context, old, d *Document) error {
	d.Identity = v.id
	next := d.clone()
	next.Revision++
	next.Updated = v.store.now().UTC()
	if old == nil || old.Condition.Kind != next.Condition.Kind || next.Condition.Since.IsZero() {
		next.Condition.Since = next.Updated
	}
	if err := next.Validate(); err != nil {
		return fmt.Errorf("%s: %w", v.id, err)
	}
	if _, err := v.Dir(); err != nil {
		return err
	}
	if v.tagger != nil && (old == nil || !slices.Equal(tagsOf(old), tagsOf(next))) {
		if err := v.write(slots{Current: old, Pending: next}); err != nil {
			return fmt.Errorf("%s: write pending state: %w", v.id, err)
		}
		if err := v.retag(ctx, tagsOf(next)); err != nil {
			return fmt.Errorf("%s: set tags: %w", v.id, err)
		}
	}
	if err := v.write(slots{Current: next}); err != nil {
		return fmt.Errorf("%s: write state: %w", v.id, err)
	}
	d.Revision, d.Updated, d.Condition.Since = next.Revision, next.Updated, next.Condition.Since
	return nil
}

// retag changes the volume's tags to want in one LVM transaction.
func (v *Volume) retag(ctx context.Context, want []string) error {
	all, err := v.tagger.Tags(ctx)
	if err != nil {
		return err
	}
	var add, del []string
	have := ownTags(all)
	for _, t := range want {
		if !slices.Contains(have, t) {
			add = append(add, t)
		}
	}
	for _, t := range have {
		if !slices.Contains(want, t) {
			del = append(del, t)
		}
	}
	if len(add)+len(del) == 0 {
		return nil
	}
	return v.tagger.SetTags(ctx, add, del)
}

// keepAs gives the present file a second name before it is replaced. It is evidence
// only, so the name need not be durable before the new state is.
func (v *Volume) keepAs(name string) error {
	fs, tmp := v.store.fs, filepath.Join(v.dir, name+".tmp")
	if err := fs.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := fs.Link(filepath.Join(v.dir, stateFile), tmp); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	return fs.Rename(tmp, filepath.Join(v.dir, name))
}

// Forget removes the tags, then the document, its evidence and its changed sets. A
// cut Forget is finished by Load where the tags are gone already, else undone.
func (v *Volume) Forget(ctx context.Context) error {
	old, err := v.readCurrent()
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged) {
		return err
	}
	if v.tagger != nil {
		if old != nil {
			if err := v.write(slots{Current: old, Forget: true}); err != nil {
				return err
			}
		}
		if err := v.retag(ctx, nil); err != nil {
			return fmt.Errorf("%s: remove tags: %w", v.id, err)
		}
	}
	for _, name := range []string{stateFile, previousFile, rejectedFile, sessionFile, cursorFile} {
		if err := removeFile(v.store.fs, filepath.Join(v.dir, name)); err != nil {
			return err
		}
	}
	return v.Sets().removeAll()
}
