package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
	"github.com/ddsgo/ddsgo/stream/session"
)

// DefaultCheckpoint is how many bytes of a full or direct copy are written between two
// fsyncs, from the last of which a cut copy goes on.
const DefaultCheckpoint = 128 << 20

// receive serves opReceive.
func (h *Host) receive(ctx context.Context, req *session.Request) error {
	var in receiveRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	if err := in.validate(); err != nil {
		return failure.With(failure.CodeCorrupt, in.Device, "malformed request", "update ddsgo on the older of the two hosts", err)
	}
	t, err := h.openTarget(ctx, in.VolumeRef, "receive "+in.Resource)
	if stateTrouble(err) != nil && in.Mode == modeFull && in.Overwrite {
		t, err = h.renewTarget(ctx, in.VolumeRef)
	}
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }() // a lock that cannot be closed ends with the process
	err = t.rollForward(ctx, relay(req))
	if errors.Is(err, errJournal) { // whoever sends can repair what it was to finish
		err = t.giveUpJournal(ctx, err)
	}
	if err != nil {
		return err
	}
	if err := t.admit(in); err != nil {
		return err
	}
	if err := t.admitSize(in); err != nil {
		return err
	}
	switch in.Mode {
	case modeDirect, modeFull:
		return t.receiveDirect(ctx, req, in)
	case modeSnapshot:
		return t.receiveGuarded(ctx, req, in)
	}
	return t.receiveJournalled(ctx, req, in)
}

// validate refuses what no source of this version sends.
func (in *receiveRequest) validate() error {
	in.Header.Version, in.Header.Checksum = stream.Version, stream.ChecksumXXH64SHA256
	full := in.Mode == modeFull
	switch {
	case in.Mode != modeJournal && in.Mode != modeDirect && in.Mode != modeRepair && in.Mode != modeResync && in.Mode != modeWhole && in.Mode != modeSnapshot && !full:
		return fmt.Errorf("unknown mode %q", in.Mode)
	case in.Device == "" || in.Source == "":
		return errors.New("no device or no source")
	case full != (in.Header.Kind == stream.KindFull) || full != in.Header.From.IsZero() || in.Header.To.IsZero():
		return errors.New("mode and header contradict each other")
	case in.History < 0 || in.History > MaxHistory:
		return fmt.Errorf("history of %d undo deltas", in.History)
	case in.Header.SubChunk && (in.Mode != modeJournal || in.Header.ChunkSize == 0):
		return errors.New("a sub-chunk delta goes through the journal")
	}
	return in.Header.Validate()
}

// admitSize compares the sizes without writing anything.
func (t *target) admitSize(in receiveRequest) error {
	if err := t.refuseHeld(); err != nil {
		return err
	}
	dev, err := t.h.OpenDevice(t.ref.Device, blockdev.Options{})
	if err != nil {
		return t.openFailed(err)
	}
	size := dev.Size()
	if err := dev.Close(); err != nil {
		return err
	}
	if size < in.Header.VolumeSize {
		return t.refuse(failure.CodeRefused, fmt.Sprintf("lvextend it to at least %d bytes", in.Header.VolumeSize), "too small: %d bytes, the source has %d", size, in.Header.VolumeSize)
	}
	return nil
}

// receiveJournalled takes a delta into the spool, without the lock, and applies it.
func (t *target) receiveJournalled(ctx context.Context, req *session.Request, in receiveRequest) error {
	claim, err := t.vol.BeginSession(req.Peer().Host)
	if err != nil {
		return err
	}
	rec, err := t.spool(ctx, req, in, claim)
	if err != nil {
		return err
	}
	if err := t.relock(ctx, "apply "+in.Resource); err != nil {
		return err
	}
	if err := t.stillWanted(ctx, claim, in); err != nil {
		return err
	}
	members, err := t.members(ctx, req, in, rec)
	var bad *engine.BaseError
	if errors.As(err, &bad) {
		return t.askWhole(ctx, req, claim, bad)
	}
	if err != nil {
		return err
	}
	if err := t.noteHistory(ctx, in); err != nil {
		return err
	}
	tx, err := t.jdir.Commit(t.h.Now(), members...)
	if err != nil {
		return err
	}
	m, _ := tx.Member(memberName(t.id))
	// The journal is committed: it is written to its end even if the source is gone by now.
	rep, err := t.apply(context.WithoutCancel(ctx), tx, m, relay(req))
	if err != nil {
		return err
	}
	rec.Report.WriteSeconds = rep.Seconds
	if err := claim.End(); err != nil {
		return err
	}
	return req.Reply(receiveReply{Generation: rec.Header.To, Report: rec.Report, Doubt: t.doc.Doubt})
}

// stillWanted asks everything again: while the delta came in, the target may have been
// promoted, held, or given to a newer session.
func (t *target) stillWanted(ctx context.Context, claim *state.Session, in receiveRequest) error {
	if err := claim.Check(); err != nil {
		return failure.With(failure.CodeRefused, t.ref.Device, "another run took the target over", "ddsgo status "+in.Resource, err)
	}
	if err := t.load(ctx); err != nil {
		return err
	}
	return t.admit(in)
}

// spool receives the delta. A verified prefix of an earlier try is kept and the source
// goes on behind it. The lock is given back while data flows.
func (t *target) spool(ctx context.Context, req *session.Request, in receiveRequest, claim *state.Session) (engine.Received, error) {
	opt := engine.ReceiveOptions{Check: sameDelta(in.Header), Progress: relay(req)}
	var part *engine.Scanned
	if found, ok := t.partial(ctx, in, relay(req)); ok {
		part, opt.Resume, opt.Head = &found, &found.Cursor, &found.Header
	}
	sp, err := t.openSpool(in, part)
	if err != nil {
		return engine.Received{}, err
	}
	if err := errors.Join(t.release(), req.Ready(receiveReady{Resume: opt.Resume})); err != nil {
		return engine.Received{}, errors.Join(err, sp.Close())
	}
	// A cut ends the data behind what has arrived: that much is verified and kept, so that a
	// cut costs the bytes on their way and not those in our buffers.
	rctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	opt.Settled = whileClaimed(claim, cancel)
	rec, err := engine.Receive(rctx, sp, req.Data(), opt)
	return rec, spaceRefusal(t.ref.Device, errors.Join(err, sp.Close()))
}

// claimEvery is how many bytes a session receives before it looks whether it still may.
const claimEvery = 16 << 20

// whileClaimed ends a session that a newer one has taken over: it goes on into a file that has
// no name any more, and many of them would fill the disk in spite of every quota.
func whileClaimed(claim *state.Session, cancel context.CancelCauseFunc) func(stream.Counts) {
	var last uint64
	return func(c stream.Counts) {
		if now := c.DataBytes; now-last >= claimEvery {
			last = now
			if err := claim.Check(); errors.Is(err, state.ErrRevoked) {
				cancel(err)
			}
		}
	}
}

func (t *target) openSpool(in receiveRequest, part *engine.Scanned) (*journal.Spool, error) {
	need := max(in.Need, 1<<20)
	if part == nil {
		sp, err := t.jdir.Begin(t.member(in.Mode), need)
		return sp, spaceRefusal(t.ref.Device, err)
	}
	sp, err := t.jdir.Resume(t.member(in.Mode), need, part.Cursor.Bytes)
	return sp, spaceRefusal(t.ref.Device, err)
}

// spaceRefusal says what to do when the spool does not fit.
func spaceRefusal(device string, err error) error {
	var space *journal.SpaceError
	if !errors.As(err, &space) {
		return err
	}
	return failure.With(failure.CodeRefused, device, "no room to verify the delta before it is written", "free space in "+space.Dir+", or set protect: snapshot for this resource, or direct: true (no rollback if it is cut)", err)
}

// partial is the verified prefix of an earlier try of this very delta.
func (t *target) partial(ctx context.Context, in receiveRequest, progress func(engine.Progress)) (engine.Scanned, bool) {
	f, err := t.jdir.Partial(t.member(in.Mode))
	if err != nil {
		return engine.Scanned{}, false
	}
	defer f.Close()
	s, err := engine.Scan(ctx, f, progress)
	if err != nil || !sameTransfer(s.Header, in.Header) || s.Cursor.Next == 0 {
		return engine.Scanned{}, false
	}
	return s, true
}

// sameTransfer compares all of two headers but where the data begins.
func sameTransfer(a, b stream.Header) bool {
	a.First, b.First = 0, 0
	at, bt := a.To.Time.Equal(b.To.Time), a.From.Time.Equal(b.From.Time)
	a.To.Time, a.From.Time = b.To.Time, b.From.Time
	return at && bt && a == b
}

// sameDelta lets only the delta pass that was announced and admitted.
func sameDelta(announced stream.Header) func(stream.Header) error {
	return func(h stream.Header) error {
		if !sameTransfer(announced, h) {
			return fmt.Errorf("%w: the delta is not the one that was announced", stream.ErrCorrupt)
		}
		return nil
	}
}

// receiveDirect writes while it receives: full copies, and deltas where the user chose so.
// The target is marked inconsistent first, and clean last.
func (t *target) receiveDirect(ctx context.Context, req *session.Request, in receiveRequest) error {
	opt := engine.MergeOptions{Check: sameDelta(in.Header), Progress: relay(req), CheckpointEvery: t.h.checkpoint()}
	if in.Mode != modeSnapshot { // which is written back, not resumed
		opt.Checkpoint = func(c stream.Cursor) error { return t.saveCursor(ctx, in.Header, c) }
	}
	if c, ok := t.loadCursor(in.Header); ok {
		head := in.Header
		head.First = 0
		opt.Resume, opt.Head = &c, &head
	} else if err := t.markInconsistent(ctx, in); err != nil {
		return err
	}
	var reply receiveReply
	err := t.write(ctx, func(dev blockdev.Device) (err error) {
		if err := req.Ready(receiveReady{Resume: opt.Resume}); err != nil {
			return err
		}
		reply.Report, err = engine.Merge(ctx, dev, req.Data(), opt)
		return err
	})
	if err != nil {
		return err
	}
	// What an earlier, journalled try left is of no use to anybody any more.
	if err := errors.Join(t.vol.RevokeSession(), t.jdir.Discard(), t.keepUndos(0)); err != nil {
		return err
	}
	base := state.Base{Kind: in.Header.Kind.String(), From: in.Header.From, Digest: reply.Report.Digest, Time: t.h.Now().UTC()}
	if err := t.becomeClean(ctx, in.Header.To, base, *t.doc.Source); err != nil {
		return err
	}
	reply.Generation, reply.Doubt = in.Header.To, t.doc.Doubt
	return errors.Join(t.vol.DropCursor(), req.Reply(reply))
}

// markInconsistent is durable before the first byte is written.
func (t *target) markInconsistent(ctx context.Context, in receiveRequest) error {
	if err := t.vol.DropCursor(); err != nil {
		return err
	}
	return t.commit(ctx, func(d *state.Document) {
		d.Role = state.RoleSecondary
		d.Condition = state.Inconsistent(in.Header.From, in.Header.To, 0)
		d.Condition.Since = t.h.Now().UTC()
		d.Source = &state.SourceIdentity{ID: in.Source, Host: in.SourceHost, Name: in.Header.Source}
		d.Fence = in.Fence
		d.Counters, d.Verified = nil, nil
	})
}

// resumePoint is how far an unjournalled copy is durable. It is advisory: without it the
// copy starts at its beginning.
type resumePoint struct {
	Header stream.Header `json:"header"`
	Cursor stream.Cursor `json:"cursor"`
}

// saveCursor is called when everything before c is durable on the device.
func (t *target) saveCursor(ctx context.Context, h stream.Header, c stream.Cursor) error {
	b, err := json.Marshal(resumePoint{h, c})
	if err != nil {
		return err
	}
	if err := t.vol.SaveCursor(b); err != nil {
		return err
	}
	return t.commit(ctx, func(d *state.Document) { d.Condition.Progress = c.End })
}

// loadCursor returns where this very copy goes on: only on a target that is still in the
// middle of it.
func (t *target) loadCursor(h stream.Header) (stream.Cursor, bool) {
	c := t.condition()
	if c.Kind != state.KindInconsistent || !c.To.Same(h.To) || c.At.UUID != h.From.UUID {
		return stream.Cursor{}, false
	}
	b, err := t.vol.Cursor()
	var p resumePoint
	if err != nil || json.Unmarshal(b, &p) != nil || !sameTransfer(p.Header, h) {
		return stream.Cursor{}, false
	}
	return p.Cursor, true
}

// relay passes the engine's progress on to the source.
func relay(req *session.Request) func(engine.Progress) {
	return func(p engine.Progress) {
		req.Progress(session.Progress{Phase: p.Phase, Done: p.Done, Total: p.Total})
	}
}
