package replica

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// deviceReaders is how many reads of a snapshot are in flight: cold devices are several
// times faster with many than with one.
const deviceReaders = 16

// sendDelta sends the changed set, and the kept ones that a target further behind needs, with
// the content of the run's snapshot.
func (s *source) sendDelta(ctx context.Context, d Decision, rep *report.Sync) error {
	set, err := s.openDelta(d)
	if err != nil {
		return fmt.Errorf("%s: %w", s.leg.Resource, err)
	}
	defer func() { _ = set.Close() }() // read only
	h := stream.Header{Kind: stream.KindDelta, ChunkSize: uint32(set.ChunkSize), From: d.From, SetBytes: set.Bytes, SetID: set.ID}
	p := parcel{mode: modeJournal, extents: set.Extents}
	switch {
	case s.leg.Direct:
		p.mode = modeDirect
	case s.leg.Guard && state.Kind(s.far.Condition) == state.KindClean:
		p.mode = modeSnapshot
	case s.leg.Guard: // half written: there is no point in time to protect
		p.mode = modeDirect
	}
	if p.old = s.openOld(ctx, d, set); p.old != nil {
		defer func() { _ = p.old.Close() }() // read only
		h.SubChunk = true
		s.ev.step("compare the changed chunks with what they held, in pieces of 4 KiB")
	}
	return s.send(ctx, p, h, rep)
}

// parcel is what is sent, and how: extents with the content of the run's snapshot.
type parcel struct {
	mode      mode
	extents   extent.Seq
	overwrite bool        // full: the target's good generation may go
	old       *oldContent // not nil: a sub-chunk delta
	data      io.ReaderAt
}

// sendFull sends the whole snapshot.
func (s *source) sendFull(ctx context.Context, overwrite bool, rep *report.Sync) error {
	to := s.doc.Operation.To
	h := stream.Header{Kind: stream.KindFull, SetBytes: to.Size}
	id := sha256.Sum256([]byte("full\n" + s.id.String() + "\n" + to.UUID))
	copy(h.SetID[:], id[:])
	return s.send(ctx, parcel{mode: modeFull, extents: extent.Whole(to.Size), overwrite: overwrite}, h, rep)
}

// send transfers h.To, or what Operation.To names. The target's final answer, and nothing else,
// makes it a success.
func (s *source) send(ctx context.Context, p parcel, h stream.Header, rep *report.Sync) error {
	if h.To.IsZero() {
		h.To = s.doc.Operation.To
	}
	to := h.To
	h.Version, h.Checksum, h.FrameSize = stream.Version, stream.ChecksumXXH64SHA256, stream.DefaultFrameSize
	h.VolumeSize, h.Source = to.Size, s.leg.Source
	lv, err := s.snapshotByUUID(ctx, to.UUID)
	if err != nil {
		return err
	}
	dev, err := s.h.OpenDevice(lv.Path, blockdev.Options{Direct: true})
	if err != nil {
		return fmt.Errorf("%s: %w", lv, err)
	}
	defer dev.Close()
	s.ev.step(fmt.Sprintf("send %s to %s", lv, s.leg.Site()))
	req := receiveRequest{VolumeRef: s.ref(), Mode: p.mode, Header: h, Need: journal.Bound(h), Overwrite: p.overwrite, Fence: max(s.far.Fence, s.cursor().Fence), SourceHost: s.h.Name, Counters: s.compared, History: s.leg.History}
	p.data = dev
	var reply receiveReply
	var sent report.Extract
	err = s.watched(ctx, s.mayFoldFor(to), func(ctx context.Context) (err error) {
		reply, sent, err = s.exchange(ctx, req, p, lv)
		if err == nil && len(reply.Differs) > 0 && p.old != nil {
			before := sent.SentBytes
			reply, sent, err = s.sendWhole(ctx, req, p, lv, reply)
			sent.SentBytes += before
		}
		return err
	}, s.alive(ctx, lv)...)
	if err != nil {
		return s.whyUnread(ctx, lv, err)
	}
	s.doubt = reply.Doubt
	if !reply.Generation.Same(to) {
		return fmt.Errorf("%s: the target answered with generation %v, sent was %v", s.leg.Resource, reply.Generation, to)
	}
	rep.Add(to, sent, reply.Report)
	return nil
}

// exchange runs the receive operation: announce, go on where the target stands, send, wait
// for the answer.
func (s *source) exchange(ctx context.Context, req receiveRequest, p parcel, lv lvm.LV) (receiveReply, report.Extract, error) {
	var ready receiveReady
	var reply receiveReply
	var sent report.Extract
	x, err := s.conn.Start(ctx, opReceive, req, s.relay())
	if err != nil {
		return reply, sent, s.explain(err)
	}
	if err := x.Ready(&ready); err != nil {
		x.Abort(err)
		return reply, sent, s.explain(firstCause(err, x.Finish(nil)))
	}
	opt := engine.ExtractOptions{Header: req.Header, Codec: s.leg.Codec, Readers: deviceReaders, Resume: ready.Resume, Progress: s.ev.progress,
		BeforeTrailer: func(ctx context.Context) error { return s.stillValid(ctx, lv) }}
	if p.old != nil {
		opt.Old = p.old
		opt.BeforeTrailer = func(ctx context.Context) error {
			if err := s.stillValid(ctx, lv); err != nil {
				return err
			}
			return s.stillPristine(ctx, p.old)
		}
	}
	sendErr := x.Send(func(w io.Writer) (err error) {
		sent, err = engine.Extract(ctx, w, snapshotSource{p.data, p.extents}, opt)
		return err
	})
	if err := x.Finish(&reply); err != nil {
		return reply, sent, s.explain(firstCause(sendErr, err))
	}
	return reply, sent, s.explain(sendErr)
}

// firstCause prefers our own failure (a bad snapshot, a failed read) to what the target
// says of its consequences, and the target's refusal to our broken pipe.
func firstCause(send, finish error) error {
	var f *failure.Error
	switch {
	case send == nil || strings.Contains(send.Error(), finish.Error()):
		return finish
	case errors.As(send, &f):
		return errors.Join(send, finish)
	}
	if errors.As(finish, &f) {
		return finish
	}
	return errors.Join(send, finish)
}

// whyUnread puts the overflow that explains an error before it: what an invalid snapshot says
// to a reader is only EIO.
func (s *source) whyUnread(ctx context.Context, lv lvm.LV, err error) error {
	var f *failure.Error
	if errors.As(err, &f) || errors.Is(err, errFoldFirst) {
		return err
	}
	if invalid := s.stillValid(context.WithoutCancel(ctx), lv); errors.As(invalid, &f) {
		return errors.Join(invalid, err)
	}
	return err
}

// stillValid is asked after the last read and before the trailer leaves: what an overflowed
// snapshot gave is not the content of its instant.
func (s *source) stillValid(ctx context.Context, lv lvm.LV) error {
	st, err := s.lvm.DM().SnapshotStatus(ctx, lv.DMName)
	if err != nil {
		return err
	}
	if st.Invalid() || st.Merging {
		return failure.With(failure.CodeOverflow, s.leg.Resource, "the snapshot "+lv.FullName()+" became invalid while it was sent", "ddsgo sync "+s.leg.Resource+", with a larger snap_size", fmt.Errorf("device-mapper says %q", st.Problem))
	}
	return nil
}
