package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// sectorSize is device-mapper's unit.
const sectorSize = 512

// tableSettle is how long exceptions whose copy is under way may take to appear.
const tableSettle = 5 * time.Second

// snapshot freezes a new generation under whichever of the two names is free. The intent is
// durable before lvcreate, the UUID right after: a run killed between the two leaves a
// snapshot that carries our tag and that nothing refers to, which the next run drops.
func (s *source) snapshot(ctx context.Context, d Decision, verb string) error {
	name := s.names[0]
	if d.Tracker == name {
		name = s.names[1]
	}
	if err := s.checkRoom(ctx); err != nil {
		return err
	}
	s.ev.step("snapshot " + s.origin.FullName() + " as " + name)
	op := state.Operation{Verb: verb, Run: s.run, Phase: phaseSnapshot, Leg: s.leg.Name(), From: d.From, Snapshot: s.origin.VG + "/" + name, Started: s.h.Now().UTC()}
	if err := s.commit(ctx, func(doc *state.Document) { doc.Operation = &op }); err != nil {
		return err
	}
	seq := s.nextSeq()
	lv, err := s.lvm.CreateSnapshot(ctx, s.origin, lvm.SnapshotSpec{Name: name, Size: s.storeSize(), Chunk: s.leg.ChunkSize, ReadOnly: true, Tags: []string{lvm.TagRun + "=" + s.run}})
	if err != nil {
		return failure.With(failure.CodeFailure, s.leg.Resource, "no snapshot of "+s.origin.FullName(), "ddsgo sync "+s.leg.Resource+" again; if it stays: vgs "+s.origin.VG+" (is there room for snap_size?)", err)
	}
	if err := s.lvm.CheckWiring(ctx, s.origin, lv); err != nil {
		return fmt.Errorf("%s: %w", s.leg.Resource, err)
	}
	op.Phase, op.To, op.Appeared = phaseSnapped, s.generationOf(lv, seq), s.appeared(lv)
	return s.commit(ctx, func(doc *state.Document) { doc.Operation = &op })
}

// checkRoom asks, before anything is made, whether the group has room for the snapshots that
// the chain needs: the new one, and, where there is none yet, the next one too, without which
// no sync could ever follow.
func (s *source) checkRoom(ctx context.Context) error {
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return err
	}
	origin, ok := lvm.ByUUID(lvs, s.origin.UUID)
	if !ok {
		return fmt.Errorf("%s: %w", s.origin, lvm.ErrNotFound)
	}
	need, what := lvm.StoreBytes(origin, s.storeSize(), s.leg.ChunkSize), "the snapshot"
	_, first := lvm.ByName(lvs, s.names[0])
	_, second := lvm.ByName(lvs, s.names[1])
	if !first && !second {
		need, what = 2*need, "the two snapshots"
	}
	if need <= origin.VGFree {
		return nil
	}
	return failure.Refused(s.leg.Resource, fmt.Sprintf("no room for %s of %s: %d bytes needed, volume group %s has %d free", what, s.origin.FullName(), need, s.origin.VG, origin.VGFree),
		fmt.Sprintf("vgextend %s, or set a smaller snap_size", s.origin.VG))
}

// storeSize is the size of a snapshot's exception store. One as large as the origin shall
// never overflow, so it has to hold the exception tables too; LVM takes no more than that.
func (s *source) storeSize() int64 { return s.storeSizeOf(s.origin.Size) }

// storeSizeOf is storeSize for an origin of another size.
func (s *source) storeSizeOf(origin int64) int64 {
	size := s.leg.SnapSize(origin)
	if size >= origin {
		return origin + origin/128 + 8<<20
	}
	return size
}

// readTable turns the tracker's exception table into a durable changed set. From here on
// this generation can be sent, and sent again, without the tracker.
func (s *source) readTable(ctx context.Context, d Decision) error {
	s.ev.step("read what changed since " + s.doc.Tracking.Generation.String())
	tracker, err := s.snapshotByName(ctx, d.Tracker)
	if err != nil {
		return err
	}
	table, err := s.exceptionTable(ctx, tracker)
	if err != nil {
		return err
	}
	op := *s.doc.Operation
	op.ChangedSet, op.Phase = state.SetID(op.To.Seq, s.run), phaseSet
	path, err := s.vol.Sets().Prepare(op.ChangedSet)
	if err != nil {
		return err
	}
	h := extent.ChangedSetHeader{Volume: s.id.String(), From: s.doc.Tracking.Generation, To: op.To, Size: op.To.Size, ChunkSize: table.ChunkSize}
	changed := table.Changed.Seq()
	if was := tracker.OriginSize; was < op.To.Size {
		// The source has grown since: the tracker keeps its old size and knows nothing of the rest.
		changed = extent.Outward(extent.Union(changed, extent.Of(extent.Between(was, op.To.Size))), h.ChunkSize, op.To.Size)
	}
	if _, err := s.h.WriteSet(path, h, changed); err != nil {
		return err
	}
	return s.commit(ctx, func(doc *state.Document) { doc.Operation = &op })
}

// exceptionTable reads the table with direct I/O and believes it only if the snapshot is
// still valid afterwards: an overflowed table still parses, and misses chunks.
func (s *source) exceptionTable(ctx context.Context, tracker lvm.LV) (*cow.Table, error) {
	before, err := s.lvm.DM().SnapshotStatus(ctx, tracker.DMName)
	if err != nil {
		return nil, err
	}
	if before.Invalid() || before.Merging {
		return nil, s.overflowed(tracker, fmt.Errorf("%w: device-mapper says %q", cow.ErrInvalid, before.Problem))
	}
	dev, err := s.h.OpenDevice(tracker.CowPath(), blockdev.Options{Direct: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tracker.CowPath(), err)
	}
	var table *cow.Table
	err = s.watched(ctx, false, func(ctx context.Context) (err error) {
		table, err = readExceptions(ctx, dev, tracker, before)
		return err
	}, tracker)
	// An open exception store makes lvremove half-remove the snapshot: close it first of all.
	if err = errors.Join(err, dev.Close()); err != nil {
		return nil, s.overflowed(tracker, err)
	}
	after, err := s.lvm.DM().SnapshotStatus(ctx, tracker.DMName)
	if err != nil {
		return nil, err
	}
	if after.Invalid() || after.Merging {
		return nil, s.overflowed(tracker, fmt.Errorf("%w: device-mapper says %q", cow.ErrInvalid, after.Problem))
	}
	return table, nil
}

func readExceptions(ctx context.Context, dev blockdev.Device, tracker lvm.LV, before lvm.SnapshotStatus) (*cow.Table, error) {
	h, err := cow.ReadHeader(dev, dev.Size())
	if err != nil {
		return nil, err
	}
	// What the kernel counts is what must be there, and lets areas be read in parallel.
	count, areas, err := h.InUse(before.Used/sectorSize, before.Metadata/sectorSize)
	if err != nil {
		return nil, err
	}
	return cow.ReadTable(ctx, dev, dev.Size(), cow.Options{VolumeSize: tracker.OriginSize, ExpectAtLeast: count, Areas: areas, Settle: tableSettle})
}

// overflowed gives an unusable tracker its exit code and the way out.
func (s *source) overflowed(tracker lvm.LV, err error) error {
	if !errors.Is(err, cow.ErrInvalid) {
		return fmt.Errorf("%s: exception table: %w", tracker, err)
	}
	return failure.With(failure.CodeOverflow, s.leg.Resource, "the tracking snapshot "+tracker.FullName()+" is invalid", "ddsgo resync "+s.leg.Resource+", with a larger snap_size", err)
}

func (s *source) snapshotByName(ctx context.Context, name string) (lvm.LV, error) {
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return lvm.LV{}, err
	}
	lv, ok := lvm.ByName(lvs, name)
	if !ok {
		return lvm.LV{}, fmt.Errorf("%s/%s: %w", s.origin.VG, name, lvm.ErrNotFound)
	}
	return lv, nil
}

// snapshotByUUID finds the snapshot of a generation under any name.
func (s *source) snapshotByUUID(ctx context.Context, uuid string) (lvm.LV, error) {
	lvs, err := s.report(ctx)
	if err != nil {
		return lvm.LV{}, err
	}
	lv, ok := lvm.ByUUID(lvs, uuid)
	if !ok {
		return lvm.LV{}, fmt.Errorf("%s: snapshot %s: %w", s.origin.VG, uuid, lvm.ErrNotFound)
	}
	return lv, nil
}

// rotate lets the snapshot that the target now holds become the tracker. The target's
// answer is durable here before the old tracker goes; every gap is a row of reconcile.
func (s *source) rotate(ctx context.Context, rep *report.Sync) error {
	op := *s.doc.Operation
	op.Phase = phaseCommitted
	err := s.commit(ctx, func(doc *state.Document) {
		doc.Operation = &op
		s.setCursor(doc, func(l *state.Leg) {
			l.Proven, l.LastSuccess, l.LastError, l.Fence, l.ChangedSets = op.To, s.h.Now().UTC(), "", s.far.Fence, nil
			if rep.Transfer != nil {
				l.LastBytes = rep.Transfer.SentBytes
			}
		})
	})
	if err != nil {
		return err
	}
	s.ev.step("rotate snapshots")
	lv, err := s.snapshotByUUID(ctx, op.To.UUID)
	if err != nil {
		return err
	}
	if t := s.doc.Tracking; t != nil && t.UUID != lv.UUID {
		if old, err := s.snapshotByUUID(ctx, t.UUID); err == nil {
			if err := s.lvm.Remove(ctx, old); err != nil {
				return err
			}
		} else if !errors.Is(err, lvm.ErrNotFound) {
			return err
		}
	}
	if lv.Name != s.names[0] {
		if err := s.lvm.Rename(ctx, lv, s.names[0]); err != nil {
			return err
		}
	}
	return s.finishRotation(ctx, lv, op)
}

// finishRotation records the new tracker and ends the operation.
func (s *source) finishRotation(ctx context.Context, lv lvm.LV, op state.Operation) error {
	err := s.commit(ctx, func(doc *state.Document) {
		doc.Tracking = &state.Tracking{UUID: lv.UUID, Name: s.origin.VG + "/" + s.names[0], Generation: op.To, Appeared: op.Appeared}
		doc.Generation, doc.Operation = op.To, nil
	})
	if err != nil {
		return err
	}
	if err := s.pruneSets(); err != nil {
		return err
	}
	return s.publish(ctx, op.To)
}

// pruneSets drops old changed sets, and what killed runs left of theirs.
func (s *source) pruneSets() error {
	var needed []string
	for _, l := range s.doc.Legs {
		needed = append(needed, l.ChangedSets...)
	}
	slices.Sort(needed)
	return s.vol.Sets().Prune(needed...)
}
