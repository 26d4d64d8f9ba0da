package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// verbGrow as it stands in Operation, from the end of the old chain to the rejoin.
const verbGrow = "grow"

// opExtend makes a target larger. A forced command has to name it.
const opExtend = "extend"

type extendRequest struct {
	VolumeRef
	Size  int64  `json:"size"` // bytes, at least
	Fence uint64 `json:"fence"`
}

// maxExtend bounds what a peer may ask for.
const maxExtend = 1 << 60

// readSample is how much of the source is read to learn how fast that goes, in pieces.
const (
	readSample = 16 << 20
	readPiece  = 1 << 20
)

// estimateGrowth fills what a grow will cost.
func (s *source) estimateGrowth(ctx context.Context, f growthFacts, rep *report.Grow) error {
	switch {
	case f.want > f.size || f.noChain != nil:
		rep.ReadBytes, rep.SendBytes = f.want, f.changed
	case f.base != f.size:
		rep.ReadBytes, rep.SendBytes = f.changed+f.size-f.base, f.changed+f.size-f.base
	default:
		return nil
	}
	rate, err := s.readRate(ctx)
	if err == nil && rate > 0 {
		rep.AtLeastSeconds = float64(rep.ReadBytes) / rate
	}
	return err
}

// readRate reads a little of the source, all over it.
func (s *source) readRate(ctx context.Context) (bytesPerSecond float64, err error) {
	dev, err := s.h.OpenDevice(s.leg.Source, blockdev.Options{Direct: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	buf := blockdev.AlignedBuffer(readPiece, 4096)
	began, pieces := time.Now(), int64(readSample/readPiece)
	var read int64
	for i := range pieces {
		off := dev.Size() / pieces * i / readPiece * readPiece
		n := min(readPiece, dev.Size()-off)
		if _, err := dev.ReadAt(buf[:n], off); err != nil {
			return 0, err
		}
		if read += n; ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return float64(read) / max(time.Since(began).Seconds(), 1e-6), nil
}

// extendSource ends the chain, durably, and makes the source larger. From the commit to the
// rejoin nothing tracks the writes; a run that is killed in between leaves a document that says
// so, and everything that goes on compares by hash.
func (h *Host) extendSource(ctx context.Context, leg Leg, opt GrowOptions, size int64) (err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "grow "+leg.Resource)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.docErr != nil {
		return failure.With(failure.CodeRefused, leg.Resource, "its state cannot be read", "ddsgo status "+leg.Resource, s.docErr)
	}
	if s.doc.Operation != nil {
		if err := s.mend(ctx); err != nil {
			return err
		}
	}
	err = s.commit(ctx, func(d *state.Document) {
		op := state.Operation{Verb: verbGrow, Run: s.run, Phase: verbGrow, Leg: leg.Name(), Started: h.Now().UTC()}
		switch {
		case d.Tracking != nil:
			op.From = d.Tracking.Generation
		case d.Operation != nil:
			op.From = d.Operation.From
		}
		d.Tracking, d.Operation = nil, &op
	})
	if err != nil {
		return err
	}
	lvs, err := s.lvm.Report(ctx, s.origin.VG)
	if err != nil {
		return err
	}
	for _, snap := range lvm.SnapshotsOf(lvs, s.origin) {
		if _, tagged := snap.TagValue(lvm.TagRun); !tagged && !s.knows(snap.UUID) {
			return failure.Refused(leg.Resource, snap.FullName()+" is a snapshot of the source and not ddsgo's: LVM does not grow an active volume that has snapshots", "lvremove "+snap.FullName()+", or grow the source while it is inactive, then ddsgo grow "+leg.Resource)
		}
		s.ev.step("remove " + snap.FullName())
		if err := s.lvm.Remove(ctx, snap); err != nil {
			return err
		}
	}
	s.ev.step(fmt.Sprintf("extend %s from %d to %d bytes", s.origin.FullName(), s.origin.Size, size))
	return s.lvm.Extend(ctx, s.origin, size)
}

// extendFar asks the target's host to make the target larger.
func (h *Host) extendFar(ctx context.Context, leg Leg, opt GrowOptions, size int64) (err error) {
	s, err := h.openSource(ctx, leg, opt.Events, "grow "+leg.Resource)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.growing = true
	if err := s.connect(ctx, opt.SyncOptions); err != nil {
		return err
	}
	s.ev.step(fmt.Sprintf("extend %s to %d bytes", leg.Name(), size))
	return s.call(ctx, opExtend, extendRequest{s.ref(), size, max(s.far.Fence, s.cursor().Fence)}, &s.far)
}

// extend serves opExtend: only a secondary, only of this source, and only larger.
func (h *Host) extend(ctx context.Context, req *session.Request) error {
	var in extendRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	if a := h.Allow; a != nil && !slices.Contains(a.Verbs, opExtend) {
		// Unlike the others it takes space of the volume group, so a key that may do "everything" may not.
		return failure.Refused(in.Device, "this key may not "+opExtend, "name "+opExtend+" among the verbs of the forced command on "+h.Name+", or lvextend it there")
	}
	if in.Size <= 0 || in.Size > maxExtend || in.Source == "" {
		return failure.With(failure.CodeCorrupt, in.Device, "malformed request", "update ddsgo on the older of the two hosts", nil)
	}
	t, err := h.openTarget(ctx, in.VolumeRef, "extend "+in.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	if err := t.rollForward(ctx, relay(req)); err != nil {
		return err
	}
	if err := t.extend(ctx, in); err != nil {
		return err
	}
	reply, err := t.describe()
	if err != nil {
		return err
	}
	return req.Reply(reply)
}

func (t *target) extend(ctx context.Context, in extendRequest) error {
	by := fmt.Sprintf("lvextend or otherwise enlarge it on %s to at least %d bytes", t.h.Name, in.Size)
	switch {
	case t.lv == nil:
		return t.refuse(failure.CodeRefused, by, "it is no logical volume: ddsgo does not know how to enlarge it")
	case t.doc == nil || t.doc.Role != state.RoleSecondary || t.doc.Source == nil:
		return t.refuse(failure.CodeRefused, by, "it is no copy of ddsgo's")
	case t.doc.Source.ID != in.Source:
		return t.refuse(failure.CodeRefused, by, "it holds a copy of %s on %s", t.doc.Source.Name, t.doc.Source.Host)
	case in.Fence < t.doc.Fence:
		return t.refuse(failure.CodeRefused, "ddsgo status "+in.Resource+" on both ends", "the source knows fence %d, this side is at %d: it was promoted since", in.Fence, t.doc.Fence)
	}
	if err := t.refuseHeld(); err != nil || in.Size <= t.lv.Size {
		return err
	}
	if need := lvm.Extents(*t.lv, in.Size) - t.lv.Size; need > t.lv.VGFree {
		return t.refuse(failure.CodeRefused, "vgextend "+t.lv.VG+" on "+t.h.Name, "no room to enlarge it: %d bytes needed, volume group %s has %d free", need, t.lv.VG, t.lv.VGFree)
	}
	if err := t.lvm.Extend(ctx, *t.lv, in.Size); err != nil {
		return fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	if t.doc.Counters == nil || t.condition().Kind != state.KindClean {
		return nil
	}
	// LVM flushes the volume when it changes its table: that was not somebody else's write.
	now := t.readCounters()
	return t.commit(ctx, func(d *state.Document) { d.Counters = now })
}
