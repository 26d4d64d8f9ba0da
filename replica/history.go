package replica

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
	"github.com/ddsgo/ddsgo/stream/session"
)

// The history of a target is undo deltas beside its journal: each takes it back by one sync. One
// is made when the journal is committed and nothing of it is written yet, and never later; where
// there is no room for it the sync is refused, and the target stays where it was.

// MaxHistory bounds how many undo deltas a source may ask for.
const MaxHistory = 1000

// undoName is the name of the undo delta that leads back from to. Names ascend with time.
func undoName(to generation.Generation) string {
	sum := sha256.Sum256([]byte(to.UUID))
	return fmt.Sprintf("%020d.%x", to.Seq, sum[:6])
}

// noteHistory records how much the source wants to be kept: a roll-forward cannot ask it.
func (t *target) noteHistory(ctx context.Context, in receiveRequest) error {
	if in.Mode == modeRepair || in.Mode == modeResync || t.doc.History == in.History {
		return nil
	}
	return t.commit(ctx, func(d *state.Document) { d.History = in.History })
}

// keepUndo commits the undo delta of a committed journal of which nothing is written yet. Only a
// point in time is worth to go back to.
func (t *target) keepUndo(ctx context.Context, tx *journal.Transaction, m journal.Member, progress func(engine.Progress)) error {
	c := t.condition()
	if t.doc.History == 0 || c.Kind != state.KindClean || !c.At.Same(m.Header.From) || m.Header.From.Same(m.Header.To) {
		return nil
	}
	dev, err := t.h.OpenDevice(t.ref.Device, blockdev.Options{Direct: true})
	if err != nil {
		return t.openFailed(err)
	}
	opt := engine.ExtractOptions{Readers: deviceReaders, Progress: progress}
	err = engine.KeepUndo(ctx, t.jdir.History(), undoName(m.Header.To), tx, []string{m.Name}, dev, opt)
	if err = errors.Join(err, dev.Close()); err == nil {
		return nil
	}
	if errors.Is(err, journal.ErrSpace) { // nothing is written: there is a way back
		return errors.Join(spaceRefusal(t.ref.Device, err), t.dropJournal())
	}
	return err
}

// pruneHistory keeps the newest undo deltas after a journal was written. What replaced content by
// digests ends the history: nothing proves what was there.
func (t *target) pruneHistory(h stream.Header) error {
	if h.From.Same(rejoinBase(h.To)) || h.From.Same(h.To) {
		return t.keepUndos(0)
	}
	return t.keepUndos(t.doc.History)
}

func (t *target) keepUndos(n int) error {
	list, err := t.jdir.History().List()
	if err != nil {
		return err
	}
	for _, u := range list[:max(len(list)-n, 0)] {
		if err := t.jdir.History().Remove(u.Name); err != nil {
			return err
		}
	}
	return nil
}

// Undo is one undo delta of a target.
type Undo struct {
	From  generation.Generation `json:"from"` // what it leads back from
	To    generation.Generation `json:"to"`   // the point in time that it leads to
	Bytes int64                 `json:"bytes"`
	Time  time.Time             `json:"time"` // of To
}

// history serves opHistory: the undo deltas that lead back from what the target holds, newest first.
func (h *Host) history(ctx context.Context, req *session.Request) error {
	var ref VolumeRef
	if err := req.Decode(&ref); err != nil {
		return err
	}
	list, err := h.historyOf(ctx, ref)
	if err != nil {
		return err
	}
	return req.Reply(list)
}

func (h *Host) historyOf(ctx context.Context, ref VolumeRef) ([]Undo, error) {
	t, err := h.openTarget(ctx, ref, "history "+ref.Resource)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.release() }()
	return t.undos()
}

// undos follows the chain from the present generation back.
func (t *target) undos() ([]Undo, error) {
	all, err := t.jdir.History().List()
	if err != nil {
		return nil, err
	}
	chain, at := []Undo{}, t.condition().At
	for i := len(all) - 1; i >= 0; i-- {
		f, err := t.jdir.History().Open(all[i].Name)
		if err != nil {
			return nil, err
		}
		h, err := stream.ReadHeader(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, failure.With(failure.CodeCorrupt, t.ref.Device, "an undo delta cannot be read", "ddsgo inspect it on "+t.h.Name, err)
		}
		if !h.From.Same(at) {
			break
		}
		chain, at = append(chain, Undo{From: h.From, To: h.To, Bytes: all[i].Bytes, Time: h.To.Time}), h.To
	}
	return chain, nil
}

// History is the undo deltas that lead back from what the target holds, newest first.
func (d *Driver) History(ctx context.Context) (list []Undo, err error) {
	ref := VolumeRef{Device: d.Leg.Device, Resource: d.Leg.Resource}
	if !d.AtTarget {
		err = d.withTarget(ctx, func(c *session.Conn) error { return c.Call(ctx, opHistory, ref, &list, nil) })
		return list, err
	}
	return d.Host.historyOf(ctx, ref)
}
