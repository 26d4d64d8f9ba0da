package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
)

// CopyKey is the line of metadata of a target.
const CopyKey = "ddsgo.copy"

// DefaultKeep is how many generations a target keeps as snapshots.
const DefaultKeep = 7

// lockWait is how long an operation waits for another one of this host to end.
const lockWait = 20 * time.Second

// Copy is an image that deltas are applied to.
type Copy struct {
	End
	StateDir string // for lock and journal
	Keep     int    // generations; 0: DefaultKeep
	Host     string // name of this machine, for people
	Log      *slog.Logger
	Now      func() time.Time
	Journal  journal.FS
}

// Record is what the metadata of a target says.
type Record struct {
	header
	Resource   string          `json:"resource"`
	Source     string          `json:"source"` // identity of the source volume
	SourceName string          `json:"source_name"`
	SourceHost string          `json:"source_host"`
	Role       state.Role      `json:"role"`
	Fence      uint64          `json:"fence"`
	Condition  state.Condition `json:"condition"`
	Applied    time.Time       `json:"applied"`
	History    []Kept          `json:"history"`            // oldest first
	Rollback   *Kept           `json:"rollback,omitempty"` // under way, or cut
	// Head is the snapshot that HEAD is compared with after a roll-back, which writes: a diff
	// from the generation's own snapshot lists what it wrote.
	Head string   `json:"head,omitempty"`
	Drop []string `json:"drop,omitempty"` // snapshots of ours that serve no longer
}

// Kept is a generation that a snapshot holds.
type Kept struct {
	Snapshot   string                `json:"snapshot"`
	Generation generation.Generation `json:"generation"`
}

// target is a Copy under its lock.
type target struct {
	c    *Copy
	ref  replica.VolumeRef
	lock *flock.Flock
	jdir *journal.Dir
	look
	doc *Record // nil: never received anything
}

func (c *Copy) keep() int {
	if c.Keep > 0 {
		return c.Keep
	}
	return DefaultKeep
}

// open takes the lock and reads the image. The record of another image is an error that wraps
// ErrMetadata; the target is usable for replacing it all the same.
func (c *Copy) open(ctx context.Context, ref replica.VolumeRef) (*target, error) {
	t := &target{c: c, ref: ref}
	if err := t.relock(ctx); err != nil {
		return nil, err
	}
	var err error
	if t.jdir, err = journal.Open(c.Journal, filepath.Join(c.Dir(c.StateDir), "journal")); err == nil {
		err = t.load(ctx)
	}
	if err != nil && !errors.Is(err, ErrMetadata) {
		return nil, errors.Join(Explain(c.End, err), t.release())
	}
	return t, err
}

func (t *target) relock(ctx context.Context) error {
	dir := t.c.Dir(t.c.StateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	l := flock.New(filepath.Join(dir, "lock"))
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if ok, err := l.TryLockContext(ctx, 100*time.Millisecond); !ok || err != nil {
		return failure.With(failure.CodeLocked, t.c.String(), "another ddsgo writes it (lock "+l.Path()+")", "fuser -v "+l.Path(), err)
	}
	t.lock = l
	return nil
}

// release gives the lock back; it may be called more than once.
func (t *target) release() error {
	if t.lock == nil {
		return nil
	}
	err := t.lock.Unlock()
	t.lock = nil
	return err
}

// load reads image and record, and leaves generations out of the history whose snapshots are gone.
func (t *target) load(ctx context.Context) error {
	var err error
	if t.look, err = t.c.look(ctx); err != nil {
		return err
	}
	t.doc = nil
	if !t.exists {
		return nil
	}
	var doc Record
	switch err := readLine(t.look, CopyKey, &doc); {
	case errors.Is(err, ErrNoMetadata):
		return nil
	case err != nil:
		return err
	}
	doc.History = slices.DeleteFunc(doc.History, func(k Kept) bool { _, ok := t.snapshot(k.Snapshot); return !ok })
	t.doc = &doc
	return nil
}

// commit changes the record durably.
func (t *target) commit(ctx context.Context, change func(*Record)) error {
	doc := Record{Role: state.RoleSecondary, Condition: state.None()}
	if t.doc != nil {
		doc = *t.doc
		doc.History = slices.Clone(doc.History)
	}
	doc.header = header{schema, t.id}
	if t.ref.Resource != "" {
		doc.Resource = t.ref.Resource
	}
	change(&doc)
	doc.Condition.Reason = clip(doc.Condition.Reason)
	if err := t.c.writeLine(ctx, CopyKey, doc); err != nil {
		return Explain(t.c.End, err)
	}
	t.doc = &doc
	return nil
}

func (t *target) become(ctx context.Context, c state.Condition) error {
	c.Since = t.c.Now().UTC()
	return t.commit(ctx, func(d *Record) { d.Condition = c })
}

func (t *target) condition() state.Condition {
	if t.doc == nil {
		return state.None()
	}
	return t.doc.Condition
}

func (t *target) refuse(code int, next, format string, args ...any) error {
	return &failure.Error{Code: code, Subject: t.c.String(), Reason: fmt.Sprintf(format, args...), Next: next}
}

// holds says that the snapshot of a generation is there.
func (t *target) holds(g generation.Generation) bool {
	_, ok := t.snapshot(delta.SnapshotName(g))
	return ok
}

// foreignWrites makes a clean or held target suspect whose HEAD is not its generation's snapshot.
func (t *target) foreignWrites(ctx context.Context) error {
	c := t.condition()
	if c.Kind != state.KindClean && c.Kind != state.KindHeld {
		return nil
	}
	name, reason := delta.SnapshotName(c.At), ""
	like := cmp.Or(t.doc.Head, name)
	snap, ok := t.snapshot(like)
	if !ok || !t.holds(c.At) {
		reason = "its snapshot " + name + " is gone"
	} else {
		changed, err := t.c.CLI.DiffHead(ctx, t.c.Image, like)
		if err != nil {
			return Explain(t.c.End, err)
		}
		switch {
		case changed:
			reason = "it was written since " + name + ", and not by ddsgo"
		case snap.Size != t.info.Size:
			reason = fmt.Sprintf("it was resized from %d to %d bytes, and not by ddsgo", snap.Size, t.info.Size)
		}
	}
	if reason == "" {
		return nil
	}
	c.Kind, c.Reason = state.KindSuspect, reason
	t.doc.Condition = c // found anew each time: nothing to commit, an operator may put it right
	return nil
}

// target of package delta, for its checks and its import.
func (t *target) device() *delta.Target { return delta.KnownTarget(t.c.CLI, t.c.Image, t.snaps) }

// free refuses an image that somebody else uses; cut waits for the watch of a dead import.
func (t *target) free(ctx context.Context, cut bool) error {
	if !t.exists {
		return nil
	}
	return Explain(t.c.End, t.device().Free(ctx, cut))
}

// prune removes the oldest generations beyond keep: the snapshots first, then their names.
func (t *target) prune(ctx context.Context) error {
	extra := max(len(t.doc.History)-t.c.keep(), 0)
	if extra+len(t.doc.Drop) == 0 {
		return nil
	}
	old := slices.Clone(t.doc.Drop)
	for _, k := range t.doc.History[:extra] {
		old = append(old, k.Snapshot)
	}
	for _, name := range old {
		if err := t.c.CLI.SnapshotRemove(ctx, t.c.Image, name); err != nil && !errors.Is(err, rbd.ErrNoSnapshot) {
			t.c.Log.Warn("an old generation stays, and is tried again by the next sync", "image", t.c.String(), "snapshot", name, "err", err)
			return nil // protected, or cloned from: never a reason to fail a sync
		}
	}
	return t.commit(ctx, func(d *Record) { d.History, d.Drop = d.History[extra:], nil })
}

// becomeClean ends an import: its snapshot is there, the generation joins the history.
func (t *target) becomeClean(ctx context.Context, g generation.Generation) error {
	err := t.commit(ctx, func(d *Record) {
		d.Role, d.Condition, d.Applied = state.RoleSecondary, state.Clean(g), t.c.Now().UTC()
		d.Condition.Since = d.Applied
		if d.Head != "" { // the import's own snapshot takes its place
			d.Head, d.Drop = "", append(slices.Clone(d.Drop), d.Head)
		}
		d.History = append(slices.DeleteFunc(d.History, func(k Kept) bool { return k.Generation.Same(g) }), Kept{delta.SnapshotName(g), g})
	})
	if err != nil {
		return err
	}
	return t.prune(ctx)
}
