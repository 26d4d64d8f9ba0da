package replica

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// A sub-chunk delta carries only what differs inside the changed chunks, so it is right on
// exactly its base. The target proves that it has this base before it commits the journal, by
// the digest of every chunk that keeps some of its old content. Where a chunk is not what was
// written there, somebody has written behind ddsgo's back in a way that no counter showed:
// the target becomes suspect, names the chunks, and the source sends them whole in the same
// session. Both deltas are then one journal. What was written elsewhere is not known, so the
// target stays suspect (Document.Doubt) until it was compared as a whole.

// wholeSuffix names the member of a journal with the chunks that were sent whole.
const wholeSuffix = "+whole"

// maxDiffers bounds the ranges of one answer; for more the source sends the whole set.
const maxDiffers = 2048

// member is the name of the spool that a request fills.
func (t *target) member(m mode) string {
	if m == modeWhole {
		return memberName(t.id) + wholeSuffix
	}
	return memberName(t.id)
}

// admitWhole: only what this target has asked for.
func (t *target) admitWhole(in receiveRequest) error {
	c := t.condition()
	if t.doc != nil && t.doc.Doubt != "" && c.Kind == state.KindSuspect && c.At.Same(in.Header.From) &&
		in.Header.To.Seq > c.At.Seq && t.doc.Source != nil && t.doc.Source.ID == in.Source {
		return nil
	}
	return t.refuse(failure.CodeRefused, "ddsgo verify "+in.Resource+" --repair", "whole chunks onto %v, the target is %v and has not asked for them", in.Header.From, c)
}

// members is what is to be committed: the delta that was just received and, where it is the
// answer to a base that did not match, the sub-chunk delta before it. It is asked under the
// lock. A *engine.BaseError lists chunks that are wanted whole.
func (t *target) members(ctx context.Context, req *session.Request, in receiveRequest, rec engine.Received) ([]journal.Member, error) {
	own := t.newMember(t.member(in.Mode), rec)
	switch {
	case in.Mode == modeWhole:
		return t.withSubChunk(ctx, req, own)
	case rec.Header.SubChunk:
		return []journal.Member{own}, t.checkBases(ctx, req)
	}
	return []journal.Member{own}, nil
}

func (t *target) newMember(name string, rec engine.Received) journal.Member {
	return journal.Member{Name: name, Target: t.ref.Device, Header: rec.Header, Digest: rec.Trailer.Digest.String(), Bytes: rec.Report.StreamBytes}
}

// checkBases compares the digests of the spooled sub-chunk delta with the device.
func (t *target) checkBases(ctx context.Context, req *session.Request) error {
	f, err := t.jdir.Partial(memberName(t.id))
	if err != nil {
		return err
	}
	defer f.Close()
	dev, err := t.h.OpenDevice(t.ref.Device, blockdev.Options{Direct: true})
	if err != nil {
		return t.openFailed(err)
	}
	return errors.Join(engine.CheckBases(ctx, dev, f, relay(req)), dev.Close())
}

// withSubChunk puts the sub-chunk delta that lies in the spool before the whole chunks that
// were sent for it. Everything is proven again: the spool, and that no other chunk differs.
func (t *target) withSubChunk(ctx context.Context, req *session.Request, whole journal.Member) ([]journal.Member, error) {
	f, err := t.jdir.Partial(memberName(t.id))
	if err != nil {
		return nil, err
	}
	s, err := engine.Scan(ctx, f, relay(req))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	again := failure.Refused(t.ref.Device, "the delta that the whole chunks belong to is not here", "ddsgo sync "+t.ref.Resource)
	if s.Trailer == nil || !s.Header.SubChunk || !s.Header.From.Same(whole.Header.From) || !s.Header.To.Same(whole.Header.To) {
		return nil, again
	}
	var bad engine.BaseError
	var now *engine.BaseError
	if err := t.checkBases(ctx, req); errors.As(err, &now) {
		bad = *now
	} else if err != nil {
		return nil, err
	}
	switch ok, err := t.covers(whole.Name, bad.Ranges); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, t.refuse(failure.CodeNeedFull, "ddsgo verify "+t.ref.Resource+" --repair", "its content changes while it is being compared")
	}
	first := t.newMember(memberName(t.id), engine.Received{Header: s.Header, Trailer: *s.Trailer})
	first.Bytes, err = t.jdir.SpoolSize(first.Name)
	return []journal.Member{first, whole}, err
}

// covers says that a spooled delta writes all of these ranges, which ascend. Its extents are looked
// at one after the other: there may be many.
func (t *target) covers(member string, ranges []extent.Extent) (bool, error) {
	open := func() (io.ReadCloser, error) { return t.jdir.Partial(member) }
	for e, err := range extent.Coalesce(engine.DeltaExtents{Open: open}.Extents()) {
		if err != nil {
			return false, err
		}
		for len(ranges) > 0 && e.Contains(ranges[0]) {
			ranges = ranges[1:]
		}
		if len(ranges) > 0 && ranges[0].Off < e.End() {
			return false, nil
		}
	}
	return len(ranges) == 0, nil
}

// askWhole makes the target suspect, durably, and then asks for the chunks. The session
// ends here; the answer comes in one of its own.
func (t *target) askWhole(ctx context.Context, req *session.Request, claim *state.Session, bad *engine.BaseError) error {
	first := bad.Ranges[0]
	reason := fmt.Sprintf("%d chunks were not what ddsgo had written there, the first at offset %d", len(bad.Ranges), first.Off)
	t.h.Log.Warn("the target was written behind ddsgo's back", "device", t.ref.Device, "chunks", len(bad.Ranges), "first", first.Off)
	err := t.commit(ctx, func(d *state.Document) {
		d.Doubt = reason
		d.Condition = state.Suspect(d.Condition.At, reason)
		d.Condition.Since = t.h.Now().UTC()
	})
	if err == nil {
		err = claim.End()
	}
	if err != nil {
		return err
	}
	reply := receiveReply{Differs: bad.Ranges, DiffersCut: bad.Cut, Doubt: reason}
	if len(reply.Differs) > maxDiffers {
		reply.Differs, reply.DiffersCut = reply.Differs[:maxDiffers], true
	}
	return req.Reply(reply)
}
