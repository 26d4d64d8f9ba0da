package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// applyTries is how often a whole journal is written before the target is left `applying`.
const applyTries = 2

// rollForward finishes what a crash left between a journal's commit and its removal. It
// needs no source and reads nothing from the volume. A journal that does not lead from
// what the volume holds is dropped unread.
func (t *target) rollForward(ctx context.Context, progress func(engine.Progress)) error {
	if err := t.settleGuard(ctx, progress); err != nil {
		return err
	}
	tx, err := t.jdir.Pending()
	switch {
	case errors.Is(err, journal.ErrNotFound):
		return t.journalGone(ctx, "its journal is gone")
	case errors.Is(err, journal.ErrDamaged):
		if err := t.journalGone(ctx, err.Error()); err != nil {
			return err
		}
		return t.jdir.Remove()
	case err != nil:
		return err
	}
	m, ok := tx.Member(memberName(t.id))
	if !ok || t.doc == nil || t.doc.Role != state.RoleSecondary || !leadsFrom(m.Header, t.condition()) && !t.repairs(tx, m) {
		t.h.Log.Info("dropping a journal that does not lead from what the target holds", "device", t.ref.Device, "condition", t.condition().String())
		return t.dropJournal()
	}
	t.h.Log.Info("rolling a journal forward", "device", t.ref.Device, "from", m.Header.From.String(), "to", m.Header.To.String())
	_, err = t.apply(ctx, tx, m, progress)
	if errors.Is(err, errJournal) && (errors.Is(err, stream.ErrCorrupt) || errors.Is(err, fs.ErrNotExist)) {
		return t.giveUpJournal(ctx, err)
	}
	return err
}

// errJournal: the trouble is the journal's file, not the volume.
var errJournal = errors.New("the journal cannot be read")

// giveUpJournal is the way out of a journal that cannot be read to its end: nothing will
// ever finish it, so it must not stand in the way of the delta that repairs the volume. A
// read error may pass; only who sends a delta gives such a journal up.
func (t *target) giveUpJournal(ctx context.Context, why error) error {
	if err := t.journalGone(ctx, truncate(why.Error(), state.MaxText)); err != nil {
		return err
	}
	return t.dropJournal()
}

// leadsFrom says that a journal may be written onto a target in this condition.
func leadsFrom(h stream.Header, c state.Condition) bool {
	switch c.Kind {
	case state.KindClean:
		return c.At.Same(h.From)
	case state.KindApplying:
		return c.At.Same(h.From) && c.To.Same(h.To)
	case state.KindInconsistent:
		return c.At.Same(h.From) && !h.SubChunk
	}
	return false
}

// repairs says that a journal holds what a target has asked for that found itself suspect.
func (t *target) repairs(tx *journal.Transaction, m journal.Member) bool {
	_, whole := tx.Member(m.Name + wholeSuffix)
	c := t.condition()
	return whole && c.Kind == state.KindSuspect && t.doc.Doubt != "" && c.At.Same(m.Header.From)
}

// journalGone turns `applying` without a journal into `inconsistent`: the next delta of
// whole chunks since At repairs that, see the superset rule.
func (t *target) journalGone(ctx context.Context, reason string) error {
	c := t.condition()
	if c.Kind != state.KindApplying {
		return nil
	}
	t.h.Log.Warn("the target was being written and cannot be rolled forward", "device", t.ref.Device, "reason", reason)
	return t.commit(ctx, func(d *state.Document) {
		d.Condition = state.Inconsistent(c.At, c.To, 0)
		d.Condition.Reason, d.Condition.Since = reason, t.h.Now().UTC()
	})
}

// apply writes a committed journal: `applying`, write, fsync, `clean`, remove.
func (t *target) apply(ctx context.Context, tx *journal.Transaction, m journal.Member, progress func(engine.Progress)) (report.Merge, error) {
	h := m.Header
	if c := t.condition(); c.Kind != state.KindApplying {
		if err := t.keepUndo(ctx, tx, m, progress); err != nil {
			return report.Merge{}, err
		}
		if c.Kind == state.KindInconsistent { // how far an unjournalled copy came is of no use any more
			if err := t.vol.DropCursor(); err != nil {
				return report.Merge{}, err
			}
		}
		err := t.commit(ctx, func(d *state.Document) {
			d.Condition = state.Applying(h.From, h.To)
			d.Condition.Since = t.h.Now().UTC()
		})
		if err != nil {
			return report.Merge{}, err
		}
	}
	var rep report.Merge
	err := t.write(ctx, func(dev blockdev.Device) (err error) {
		for range applyTries {
			if rep, err = applyAll(ctx, dev, tx, m, progress); err == nil || ctx.Err() != nil {
				return err
			}
			t.h.Log.Warn("writing the journal failed, writing all of it again", "device", t.ref.Device, "err", err)
		}
		return err
	})
	if err != nil {
		return rep, fmt.Errorf("%s: the journal stays and will be written again: %w", t.ref.Device, err)
	}
	base := state.Base{Kind: "delta", From: h.From, Digest: m.Digest, Time: t.h.Now().UTC()}
	if err := t.becomeClean(ctx, h.To, base, *t.doc.Source); err != nil {
		return rep, err
	}
	return rep, errors.Join(t.dropJournal(), t.pruneHistory(h))
}

// dropJournal removes a journal that is written or will never be, and ends the session that
// brought it, which may have died without doing so.
func (t *target) dropJournal() error {
	if err := t.vol.RevokeSession(); err != nil {
		return err
	}
	return t.jdir.Remove()
}

// applyAll writes the deltas of a journal in their order: whole chunks go over those parts
// of chunks that a sub-chunk delta has written.
func applyAll(ctx context.Context, dev blockdev.Device, tx *journal.Transaction, m journal.Member, progress func(engine.Progress)) (report.Merge, error) {
	rep, err := applyOnce(ctx, dev, tx, m, progress)
	if whole, ok := tx.Member(m.Name + wholeSuffix); ok && err == nil {
		var over report.Merge
		over, err = applyOnce(ctx, dev, tx, whole, progress)
		rep.Seconds += over.Seconds
	}
	return rep, err
}

func applyOnce(ctx context.Context, dev blockdev.Device, tx *journal.Transaction, m journal.Member, progress func(engine.Progress)) (report.Merge, error) {
	f, err := tx.Open(m.Name)
	if err != nil {
		return report.Merge{}, fmt.Errorf("%w: %w", errJournal, err)
	}
	spool := &watchedReader{r: f}
	rep, err := engine.Apply(ctx, dev, spool, engine.MergeOptions{Progress: progress})
	err = errors.Join(err, f.Close())
	if spool.failed || errors.Is(err, stream.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", errJournal, err)
	}
	return rep, err
}

// watchedReader remembers that reading failed.
type watchedReader struct {
	r      io.Reader
	failed bool
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.failed = w.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// memberName is the name of a volume's delta within a transaction.
func memberName(id state.Identity) string { return id.String() }
