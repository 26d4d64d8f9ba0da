package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// member is the name of the delta in the journal.
const member = "image"

// rollForward finishes what a kill left: a roll-back, an import whose answer was lost, a committed
// journal. It needs no source.
func (t *target) rollForward(ctx context.Context, progress func(engine.Progress)) error {
	if t.doc != nil && t.doc.Rollback != nil {
		if err := t.finishRollback(ctx); err != nil {
			return err
		}
	}
	c := t.condition()
	tx, err := t.jdir.Pending()
	switch {
	case errors.Is(err, journal.ErrNotFound), errors.Is(err, journal.ErrDamaged):
		reason := "its journal is not on this host"
		if errors.Is(err, journal.ErrDamaged) {
			reason = err.Error()
		}
		if err := t.withoutJournal(ctx, reason); err != nil {
			return err
		}
		if errors.Is(err, journal.ErrNotFound) {
			return nil
		}
		return t.jdir.Remove()
	case err != nil:
		return err
	}
	h := tx.Members[0].Header
	if t.doc == nil || t.doc.Role != state.RoleSecondary || !leadsFrom(h, c) {
		t.c.Log.Info("dropping a journal that does not lead from what the image holds", "image", t.c.String(), "condition", c.String())
		return t.jdir.Remove()
	}
	t.c.Log.Info("finishing an import", "image", t.c.String(), "to", h.To.String())
	_, err = t.apply(ctx, tx, false, progress)
	return err
}

// leadsFrom says that a journal may be imported onto an image in this condition.
func leadsFrom(h stream.Header, c state.Condition) bool {
	switch c.Kind {
	case state.KindClean:
		return c.At.Same(h.From)
	case state.KindApplying, state.KindInconsistent:
		return c.At.Same(h.From) && c.To.Same(h.To)
	}
	return false
}

// withoutJournal ends `applying` where no journal can: the import's snapshot proves that it was done,
// or the image is a mixture.
func (t *target) withoutJournal(ctx context.Context, reason string) error {
	c := t.condition()
	if c.Kind != state.KindApplying && c.Kind != state.KindInconsistent {
		return nil
	}
	if t.holds(c.To) {
		return t.becomeClean(ctx, c.To)
	}
	if c.Kind == state.KindInconsistent {
		return nil
	}
	t.c.Log.Warn("an import was cut and cannot be finished from here", "image", t.c.String(), "reason", reason)
	c = state.Inconsistent(c.At, c.To, 0)
	c.Reason = reason
	return t.become(ctx, c)
}

// apply imports a committed journal, which ends in the generation's snapshot, and removes it. free: it
// was just seen that nobody else uses the image.
func (t *target) apply(ctx context.Context, tx *journal.Transaction, free bool, progress func(engine.Progress)) (report.Merge, error) {
	h := tx.Members[0].Header
	var rep report.Merge
	cut := t.condition().Kind != state.KindClean
	if !t.holds(h.To) {
		if !free {
			if err := t.free(ctx, cut); err != nil {
				return rep, err
			}
		}
		if err := t.become(ctx, state.Applying(h.From, h.To)); err != nil {
			return rep, err
		}
		err := t.write(ctx, h, func(dev blockdev.Device) (err error) {
			rep, err = engine.Replay(ctx, tx, member, dev, engine.MergeOptions{Progress: progress})
			return err
		})
		if err != nil {
			return rep, fmt.Errorf("the journal stays and is imported again by the next run: %w", Explain(t.c.End, err))
		}
	}
	t.imported(h)
	if err := t.becomeClean(ctx, h.To); err != nil {
		return rep, err
	}
	return rep, t.jdir.Remove()
}

// write imports what do writes. The snapshot is made only after do has verified all of it.
func (t *target) write(ctx context.Context, h stream.Header, do func(blockdev.Device) error) error {
	a := delta.Admission{To: delta.SnapshotName(h.To)}
	if h.Kind == stream.KindDelta {
		a.From = delta.SnapshotName(h.From)
	}
	dev, err := t.device().Import(ctx, a, h.VolumeSize)
	if err != nil {
		return err
	}
	return errors.Join(do(dev), dev.Close())
}

// create makes the image of a first copy.
func (t *target) create(ctx context.Context, size int64) error {
	if t.exists {
		return nil
	}
	err := t.c.CLI.CreateBytes(ctx, t.c.Image, size)
	if err != nil && !errors.Is(err, rbd.ErrExists) {
		return Explain(t.c.End, err)
	}
	return t.load(ctx)
}

func importedSnapshot(h stream.Header) rbd.Snapshot {
	return rbd.Snapshot{Name: delta.SnapshotName(h.To), Size: h.VolumeSize}
}
