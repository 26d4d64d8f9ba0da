package replica

import (
	"context"
	"fmt"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// SubChunk says when only what differs inside the changed chunks is sent.
type SubChunk string

// The choices. The zero value is auto.
const (
	SubChunkAuto   SubChunk = "auto"   // with chunks larger than what is compared
	SubChunkAlways SubChunk = "always" // also to leave out small chunks that were written with what they held
	SubChunkNever  SubChunk = "never"
)

// oldContent is the tracking snapshot, which still has what the changed chunks held at the
// base: device-mapper has copied it to the exception store before the origin was written.
type oldContent struct {
	blockdev.Device
	lv lvm.LV
}

// openOld opens the old content of a set's chunks, or returns nil where whole chunks are to be
// sent. A sub-chunk delta is right on exactly its base. So the target must be clean at the
// very generation that the tracking snapshot froze, and this snapshot must never have been
// written to; a union of sets, a half written target or one of another generation gets whole
// chunks. Whatever cannot be found out is a reason for whole chunks, never for an error.
func (s *source) openOld(ctx context.Context, d Decision, set *delta) *oldContent {
	lv, why := s.pristineTracker(ctx, d, set)
	if why != "" {
		s.h.Log.Debug("whole chunks are sent", "resource", s.leg.Resource, "why", why)
		return nil
	}
	dev, err := s.h.OpenDevice(lv.Path, blockdev.Options{Direct: true})
	if err != nil {
		s.h.Log.Debug("whole chunks are sent", "resource", s.leg.Resource, "why", err)
		return nil
	}
	return &oldContent{dev, lv}
}

// pristineTracker finds the snapshot with the old content, or says why whole chunks are sent.
func (s *source) pristineTracker(ctx context.Context, d Decision, set *delta) (lv lvm.LV, why string) {
	t := s.doc.Tracking
	switch {
	case s.leg.SubChunk == SubChunkNever:
		return lv, "sub_chunk: never"
	case s.leg.SubChunk != SubChunkAlways && set.ChunkSize <= engine.DiffGrain:
		return lv, "the chunks are as small as what would be compared"
	case set.ChunkSize%engine.DiffGrain != 0:
		return lv, "the set is not made of chunks"
	case s.leg.Direct || s.leg.Guard || !s.far.Bases:
		return lv, "the target does not check base digests"
	case set.Union || t == nil || !t.Generation.Same(d.From) || t.UUID != d.From.UUID:
		return lv, "the base is not what the tracking snapshot froze"
	case state.Kind(s.far.Condition) != state.KindClean || !s.far.Generation.Same(d.From):
		return lv, "the target is not clean at the base"
	}
	lvs, err := s.report(ctx)
	if err != nil {
		return lv, err.Error()
	}
	lv, ok := lvm.ByUUID(lvs, t.UUID)
	if !ok {
		return lv, "the tracking snapshot is gone"
	}
	f, err := s.snapshotFact(ctx, lvs, lv.Name)
	switch {
	case err != nil:
		return lv, err.Error()
	case f.State != SnapGood:
		return lv, "the tracking snapshot is " + f.State.String()
	case lv.OriginSize < s.doc.Operation.To.Size:
		return lv, "the source has grown"
	}
	return lv, s.written(lv)
}

// written says why the tracking snapshot may have been written to; empty: it was not. It is
// read-only in LVM's metadata now, and its device has been there since it was made, in the same
// boot, without one write: a device that is activated anew counts from zero.
func (s *source) written(lv lvm.LV) string {
	c, err := s.h.Counters(lv.Path)
	made := s.doc.Tracking.Appeared
	switch {
	case err != nil:
		return err.Error()
	case made == "" || made != c.BootID:
		return "the tracking snapshot was activated anew since it was made, or the machine was restarted"
	case c.Writes != 0 || c.Discards != 0:
		return fmt.Sprintf("the tracking snapshot was written to: %d writes, %d discards", c.Writes, c.Discards)
	}
	return ""
}

// appeared names the device of a new snapshot, if nothing was written to it yet; else empty.
func (s *source) appeared(lv lvm.LV) string {
	c, err := s.h.Counters(lv.Path)
	if err != nil || c.Writes != 0 || c.Discards != 0 {
		return ""
	}
	return c.BootID
}

// stillPristine is asked after the last read, with stillValid.
func (s *source) stillPristine(ctx context.Context, old *oldContent) error {
	if err := s.stillValid(ctx, old.lv); err != nil {
		return err
	}
	if why := s.written(old.lv); why != "" {
		return failure.With(failure.CodeOverflow, s.leg.Resource, why+", while it was read; the target is not touched", "ddsgo sync "+s.leg.Resource+" again", engine.ErrOldContent)
	}
	return nil
}

// sendWhole answers a target that holds something else than the base: the chunks that it
// lists go whole. The target checks again, and stays suspect.
func (s *source) sendWhole(ctx context.Context, req receiveRequest, p parcel, lv lvm.LV, asked receiveReply) (receiveReply, report.Extract, error) {
	s.ev.step(fmt.Sprintf("the target is not what it should be (%s): send these chunks whole", asked.Doubt))
	p.old = nil
	if !asked.DiffersCut {
		set := extent.NewSet(asked.Differs...).Clip(req.Header.VolumeSize)
		if set.Empty() || set.Bytes() > req.Header.SetBytes {
			return receiveReply{}, report.Extract{}, fmt.Errorf("%s: the target asks for %d bytes of a set of %d", s.leg.Resource, set.Bytes(), req.Header.SetBytes)
		}
		p.extents = set.Seq()
	}
	h := req.Header
	h.SubChunk, h.SetID, h.SetBytes = false, extent.SetID{}, 0
	h, err := engine.CompleteHeader(snapshotSource{nil, p.extents}, h)
	if err != nil {
		return receiveReply{}, report.Extract{}, err
	}
	req.Mode, req.Header, req.Need = modeWhole, h, journal.Bound(h)
	return s.exchange(ctx, req, p, lv)
}

// doubted is the error of a sync whose delta was written to a target that is suspect.
func (s *source) doubted() error {
	if s.doubt == "" {
		return nil
	}
	return failure.With(failure.CodeNeedFull, s.leg.Resource, "the target was written behind ddsgo's back: "+s.doubt+"; what changed at the source was sent, the rest of it is not proven", "ddsgo verify "+s.leg.Resource+" --repair", nil)
}
