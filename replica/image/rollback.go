package image

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
)

// Rollback makes the image equal to a generation's snapshot: to names the snapshot or the sequence
// number, empty the newest generation. It drops what is committed and not yet imported. An image that
// is then not the newest generation is held until it is resumed by name. A roll-back that was cut is
// finished by the next operation, whichever that is.
func (c *Copy) Rollback(ctx context.Context, ref replica.VolumeRef, to string) (Kept, error) {
	return c.generation(ctx, ref, to, (*target).rollback)
}

// Find is the generation that Rollback would go to.
func (c *Copy) Find(ctx context.Context, ref replica.VolumeRef, to string) (Kept, error) {
	return c.generation(ctx, ref, to, func(*target, context.Context, Kept) error { return nil })
}

// History are the generations that the image keeps, newest first. It takes no lock.
func (c *Copy) History(ctx context.Context) ([]Kept, error) {
	t := &target{c: c}
	if err := t.load(ctx); err != nil {
		return nil, Explain(c.End, err)
	}
	kept := []Kept{}
	if t.doc != nil {
		kept = append(kept, t.doc.History...)
	}
	slices.Reverse(kept)
	return kept, nil
}

func (c *Copy) generation(ctx context.Context, ref replica.VolumeRef, to string, do func(*target, context.Context, Kept) error) (Kept, error) {
	t, err := c.open(ctx, ref)
	if t != nil {
		defer func() { _ = t.release() }()
	}
	if err != nil {
		return Kept{}, Explain(c.End, err)
	}
	k, err := t.find(to)
	if err != nil {
		return Kept{}, err
	}
	return k, do(t, ctx, k)
}

// find looks a generation up in the history.
func (t *target) find(to string) (Kept, error) {
	if t.doc == nil || len(t.doc.History) == 0 {
		return Kept{}, t.refuse(failure.CodeRefused, "ddsgo full "+t.ref.Resource, "it has no generation's snapshot to go back to")
	}
	if t.doc.Role == state.RolePrimary {
		return Kept{}, t.refuse(failure.CodeRefused, "ddsgo status "+t.ref.Resource, "it is primary (fence %d): its content is the application's", t.doc.Fence)
	}
	if to == "" {
		return t.doc.History[len(t.doc.History)-1], nil
	}
	var known []string
	for _, k := range t.doc.History {
		seq := strconv.FormatUint(k.Generation.Seq, 10)
		if to == k.Snapshot || strings.TrimPrefix(to, "#") == seq {
			return k, nil
		}
		known = append(known, seq+" ("+k.Snapshot+")")
	}
	return Kept{}, t.refuse(failure.CodeUsage, "ddsgo rollback "+t.ref.Resource+" --to GENERATION", "no generation %q; kept are %s", to, strings.Join(known, ", "))
}

// rollback notes its aim, and goes there.
func (t *target) rollback(ctx context.Context, k Kept) error {
	if err := t.free(ctx, t.condition().Kind == state.KindApplying || t.doc.Rollback != nil); err != nil {
		return err
	}
	if err := t.commit(ctx, func(d *Record) { d.Rollback = &k }); err != nil {
		return err
	}
	return t.finishRollback(ctx)
}

// finishRollback is done again after a cut: rolling back twice is rolling back once.
func (t *target) finishRollback(ctx context.Context) error {
	k := *t.doc.Rollback
	if err := t.free(ctx, true); err != nil {
		return err
	}
	if err := t.jdir.Discard(); err != nil {
		return err
	}
	if err := t.jdir.Remove(); err != nil {
		return err
	}
	if err := t.c.CLI.SnapshotRollback(ctx, t.c.Image, k.Snapshot); err != nil {
		if errors.Is(err, rbd.ErrNoSnapshot) { // removed by hand since
			drop := t.commit(ctx, func(d *Record) { d.Rollback = nil })
			return errors.Join(Explain(t.c.End, err), drop)
		}
		return Explain(t.c.End, err)
	}
	mark := k.Snapshot + ".head"
	if err := t.c.CLI.SnapshotRemove(ctx, t.c.Image, mark); err != nil && !errors.Is(err, rbd.ErrNoSnapshot) {
		return Explain(t.c.End, err)
	}
	if err := t.c.CLI.SnapshotCreate(ctx, t.c.Image, mark); err != nil {
		return Explain(t.c.End, err)
	}
	newest := t.doc.History[len(t.doc.History)-1].Generation.Same(k.Generation)
	err := t.commit(ctx, func(d *Record) {
		if d.Head != "" && d.Head != mark {
			d.Drop = append(slices.Clone(d.Drop), d.Head)
		}
		d.Rollback, d.Head = nil, mark
		d.Condition = state.Clean(k.Generation)
		if !newest {
			d.Condition = state.Held(k.Generation, "rolled back to generation #"+strconv.FormatUint(k.Generation.Seq, 10))
		}
		d.Condition.Since = t.c.Now().UTC()
	})
	if err != nil {
		return err
	}
	return t.load(ctx)
}
