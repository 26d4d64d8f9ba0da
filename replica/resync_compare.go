package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/time/rate"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/resync"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// comparison is a hash exchange of a snapshot with the target, in slices.
type comparison struct {
	at       generation.Generation // that the target must hold; zero: compare what is there
	size     int64
	limit    int64
	limiter  *rate.Limiter  // of this end, over all slices: it paces the other end too
	found    *extent.Bitmap // what differs; its memory follows what it holds
	counters *state.Counters
	began    bool
	rep      *report.Compared
}

func newComparison(at generation.Generation, size, limit int64, rep *report.Compared) (*comparison, error) {
	found, err := extent.NewBitmap(hashBlock, size)
	return &comparison{at: at, size: size, limit: limit, limiter: resync.Limit(limit), found: found, rep: rep}, err
}

// slice compares from off until end or until the target has to give its lock back. What it
// found counts only if the snapshot is still valid afterwards.
func (s *source) slice(ctx context.Context, c *comparison, lv lvm.LV, off, end int64) (reached int64, err error) {
	dev, err := s.h.OpenDevice(lv.Path, blockdev.Options{Direct: true})
	if err != nil {
		return off, fmt.Errorf("%s: %w", lv, err)
	}
	var res resync.Result
	err = s.watched(ctx, false, func(ctx context.Context) (err error) {
		res, err = s.exchangeDigests(ctx, c, dev, off, sliceEnd(off, end, c.limit))
		return err
	}, lv)
	if err = errors.Join(err, dev.Close()); err != nil {
		return off, err
	}
	if err := s.stillValid(ctx, lv); err != nil {
		return off, err
	}
	c.rep.ComparedBytes += res.Reached - off
	c.rep.DigestBytes += res.Sent + res.Received
	c.rep.DifferingBlocks, c.rep.DifferingBytes = c.found.Count(), c.found.Bytes()
	return res.Reached, nil
}

// sliceEnd keeps a slice of a limited comparison short: a whole window at a low rate would
// hold the locks for minutes.
func sliceEnd(off, end, limit int64) int64 {
	if limit == 0 {
		return end
	}
	n := limit * int64(DefaultSlice/time.Second) / resync.StripeSize * resync.StripeSize
	return min(end, off+max(n, resync.StripeSize))
}

func (s *source) exchangeDigests(ctx context.Context, c *comparison, dev io.ReaderAt, off, end int64) (resync.Result, error) {
	salt := resync.NewSalt()
	in := digestRequest{VolumeRef: s.ref(), At: c.at, Size: c.size, Offset: off, End: end, Salt: salt[:], Limit: c.limit}
	opt, err := in.options()
	if err != nil {
		return resync.Result{}, err
	}
	opt.Limiter = c.limiter
	opt.Progress = func(done int64) {
		if s.ev.Progress != nil {
			s.ev.Progress("hashing", off+done, c.size, 0)
		}
	}
	x, err := s.conn.Start(ctx, opDigest, in, nil)
	if err != nil {
		return resync.Result{}, s.explain(err)
	}
	var ready digestReady
	if err := x.Ready(&ready); err != nil {
		return resync.Result{}, s.explain(firstOf(x.Finish(nil), err))
	}
	if !c.at.IsZero() { // a verification has time, a rejoin has not
		dev = blockdev.Idle(dev)
	}
	res, err := resync.Compare(ctx, x.Recv(), x.Writer(), dev, opt, c.found.AddExtent)
	if err != nil {
		x.Abort(err)
	}
	var reply digestReply
	if finished := x.Finish(&reply); finished != nil {
		return res, s.explain(finished)
	}
	if err != nil {
		return res, err
	}
	return res, c.sameContent(ready.Counters, s.leg)
}

// firstOf is the first that is an error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sameContent refuses to put together slices of a volume that changes: at one generation
// the target must stand still, and only ddsgo may move it to the next.
func (c *comparison) sameContent(now *state.Counters, leg Leg) error {
	if !c.began {
		c.began, c.counters = true, now
		return nil
	}
	if sameCounters(c.counters, now) {
		return nil
	}
	return failure.With(failure.CodeNeedFull, leg.Resource, "somebody writes to "+leg.Name()+", or its host was restarted, while it is compared", "find out who writes to it, then run the same command again", nil)
}

// sendFound sends the blocks that differ, with the content of the snapshot, through the
// target's journal.
func (s *source) sendFound(ctx context.Context, c *comparison, m mode, from, to generation.Generation, rep *report.Sync) error {
	id := state.SetID(to.Seq, string(m)+"-"+s.run)
	path, err := s.vol.Sets().Prepare(id)
	if err != nil {
		return err
	}
	h := extent.ChangedSetHeader{Volume: s.id.String(), From: from, To: to, Size: to.Size, ChunkSize: hashBlock}
	if _, err := s.h.WriteSet(path, h, c.found.Seq()); err != nil {
		return err
	}
	set, err := s.h.OpenSet(path)
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }() // read only
	head := stream.Header{Kind: stream.KindDelta, ChunkSize: hashBlock, From: from, To: to, SetBytes: set.Bytes}
	copy(head.SetID[:], set.Header.ID[:])
	s.compared = c.counters
	return s.send(ctx, parcel{mode: m, extents: set.Extents()}, head, rep)
}
