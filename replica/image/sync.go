package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/stream"
)

// maxPasses bounds a sync that first has to finish interrupted ones.
const maxPasses = 4

// Sync brings the target up to now: it finishes whatever an earlier run left, then takes a new
// snapshot and sends what changed.
func (l Leg) Sync(ctx context.Context, dryRun bool) (report.Sync, error) {
	return l.with(ctx, func(s *source, rep *report.Sync) error {
		for range maxPasses {
			f := s.facts()
			d := Reconcile(f)
			if dryRun {
				rep.Plan = describe(l, d)
				return d.Err(f)
			}
			if err := d.Err(f); err != nil {
				return err
			}
			own := d.Verdict == VerdictStart
			if err := s.execute(ctx, d, replica.ModeJournal, false, rep); err != nil {
				return err
			}
			if own {
				return nil
			}
			if err := errors.Join(s.load(ctx), s.probe(ctx)); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s: the chain did not settle after %d passes", l.Resource, maxPasses)
	})
}

// Full copies the whole image. A target that holds a good generation is refused unless overwrite.
func (l Leg) Full(ctx context.Context, overwrite, dryRun bool) (report.Sync, error) {
	return l.with(ctx, func(s *source, rep *report.Sync) error {
		f := s.facts()
		d := PlanFull(f, overwrite)
		if dryRun {
			rep.Plan = describeFull(l, d)
			return d.Err(f)
		}
		if err := d.Err(f); err != nil {
			return err
		}
		return s.execute(ctx, d, replica.ModeFull, overwrite, rep)
	})
}

// with runs do under the leg's lock, connected, and notes how it ended.
func (l Leg) with(ctx context.Context, do func(*source, *report.Sync) error) (rep report.Sync, err error) {
	rep.Resource = l.Resource
	s, err := l.open(ctx)
	if err != nil {
		return rep, err
	}
	rep.Run = s.run
	start := l.Now()
	defer func() {
		err = errors.Join(err, s.close())
		rep.Seconds = l.Now().Sub(start).Seconds()
	}()
	if err := s.connect(ctx); err != nil {
		return rep, err
	}
	return rep, s.remember(ctx, do(s, &rep), rep.Plan != nil)
}

// remember records the outcome for status; it never hides err.
func (s *source) remember(ctx context.Context, err error, dry bool) error {
	if s.doc == nil || dry {
		return err
	}
	text := ""
	if err != nil {
		text = clip(err.Error())
	}
	if text == s.doc.LastError {
		return err
	}
	if note := s.commit(context.WithoutCancel(ctx), func(d *Tracker) { d.LastError = text }); err == nil {
		return note
	}
	return err
}

// execute does what was decided: clean up, take a snapshot, send it, make it the base.
func (s *source) execute(ctx context.Context, d Decision, m replica.Mode, overwrite bool, rep *report.Sync) error {
	if err := s.clean(ctx, d.Cleanup); err != nil {
		return err
	}
	if d.Verdict == VerdictStart {
		if err := s.take(ctx, m == replica.ModeFull); err != nil {
			return err
		}
	}
	if d.Verdict != VerdictRotate {
		if err := s.send(ctx, m, overwrite, rep); err != nil {
			return err
		}
	}
	return s.rotate(ctx)
}

// rotate makes the sent snapshot the base: the old one is named for removal in the same commit.
func (s *source) rotate(ctx context.Context) error {
	var old []string
	err := s.commit(ctx, func(d *Tracker) {
		if d.Base != nil {
			old = append(old, d.Base.Snapshot)
		}
		p := s.marked(d.Pending)
		d.Base, d.Pending, d.Full = &Marker{Snapshot: p.Name, Generation: p.Generation}, nil, false
		d.Drop, d.Fence = old, s.far.Fence
	})
	if err != nil {
		return err
	}
	return s.remove(ctx, old)
}

// send transfers the pending snapshot. The target's final answer, and nothing else, makes it a success.
func (s *source) send(ctx context.Context, m replica.Mode, overwrite bool, rep *report.Sync) error {
	from, to := "", s.doc.Pending.Snapshot
	if m != replica.ModeFull {
		from = s.doc.Base.Snapshot
	}
	src, err := delta.Open(ctx, s.leg.CLI, s.leg.Image, from, to)
	if err != nil {
		return Explain(s.leg.End, err)
	}
	defer func() { _ = src.Close() }() // read only
	if m != replica.ModeFull && src.From.Size != src.Size {
		s.step(fmt.Sprintf("the image was resized from %d to %d bytes", src.From.Size, src.Size))
	}
	h := stream.Header{Kind: stream.KindDelta, FrameSize: stream.DefaultFrameSize, VolumeSize: src.Size, From: src.From, To: src.To, Source: s.leg.String()}
	if src.Full {
		h.Kind = stream.KindFull
	}
	if h, err = engine.CompleteHeader(src, h); err != nil {
		return err
	}
	need := journal.Bound(h)
	if src.Full {
		need = src.DataBytes()
	}
	s.step("send " + s.leg.Image.At(to) + " to " + s.leg.Name())
	req := replica.ReceiveRequest{VolumeRef: s.ref(), Mode: m, Header: h, Need: need, Overwrite: overwrite, Fence: max(s.far.Fence, s.doc.Fence), SourceHost: s.leg.Host}
	reply, sent, err := s.exchange(ctx, req, src)
	if err != nil {
		return err
	}
	if !reply.Generation.Same(src.To) {
		return fmt.Errorf("%s: the target answered with generation %v, sent was %v", s.leg.Resource, reply.Generation, src.To)
	}
	rep.Add(src.To, sent, reply.Report)
	return nil
}

// exchange runs the receive operation: announce, go on where the target stands, send, wait for the
// answer.
func (s *source) exchange(ctx context.Context, req replica.ReceiveRequest, src *delta.Source) (replica.ReceiveReply, report.Extract, error) {
	var ready replica.ReceiveReady
	var reply replica.ReceiveReply
	var sent report.Extract
	x, err := s.conn.Start(ctx, replica.OpReceive, req, s.relay())
	if err != nil {
		return reply, sent, s.explain(err)
	}
	if err := x.Ready(&ready); err != nil {
		x.Abort(err)
		return reply, sent, s.explain(firstCause(err, x.Finish(nil)))
	}
	opt := engine.ExtractOptions{Header: req.Header, Codec: s.leg.Codec, Readers: 1, Resume: ready.Resume, Progress: s.progress, BeforeTrailer: src.Finish}
	sendErr := x.Send(func(w io.Writer) (err error) {
		if ready.Resume != nil {
			if err := src.Skip(ready.Resume.End); err != nil {
				return err
			}
		}
		sent, err = engine.Extract(ctx, src.Writer(w), src, opt)
		return Explain(s.leg.End, err)
	})
	if err := x.Finish(&reply); err != nil {
		return reply, sent, s.explain(firstCause(sendErr, err))
	}
	return reply, sent, s.explain(sendErr)
}

func (s *source) progress(p engine.Progress) {
	if s.leg.Events.Progress != nil {
		s.leg.Events.Progress(p.Phase, p.Done, p.Total, p.Sent)
	}
}

// firstCause prefers our own failure to what the target says of its consequences, and the target's
// refusal to our broken pipe.
func firstCause(send, finish error) error {
	var f *failure.Error
	switch {
	case finish == nil:
		return send
	case send == nil || strings.Contains(send.Error(), finish.Error()):
		return finish
	case errors.As(send, &f):
		return send
	case errors.As(finish, &f):
		return finish
	}
	return errors.Join(send, finish)
}

// describe lists the steps of a sync for --dry-run.
func describe(l Leg, d Decision) []string {
	steps := removals(l, d)
	to := "send what changed since " + d.From.String() + " to " + l.Name()
	switch d.Verdict {
	case VerdictRefuse:
		return append(steps, "stop: "+d.Reason)
	case VerdictRotate:
		return append(steps, "the target already holds "+d.To.String()+": its snapshot becomes the base", "then sync again")
	case VerdictResend:
		return append(steps, "finish the interrupted sync to "+d.To.String(), "then sync again")
	}
	return append(steps, "take a snapshot of "+l.String(), to, "the snapshot becomes the base, the old one is removed")
}

// describeFull lists the steps of a full copy.
func describeFull(l Leg, d Decision) []string {
	steps := removals(l, d)
	switch d.Verdict {
	case VerdictRefuse:
		return append(steps, "stop: "+d.Reason)
	case VerdictRotate:
		return append(steps, "the target already holds the copy: its snapshot becomes the base")
	case VerdictResend:
		steps = append(steps, "copy the snapshot of the interrupted run again")
	default:
		steps = append(steps, "take a snapshot of "+l.String())
	}
	return append(steps, "overwrite "+l.Name()+" with the whole image", "the snapshot stays: it tells what changes from now on")
}

func removals(l Leg, d Decision) []string {
	var steps []string
	for _, name := range d.Cleanup {
		steps = append(steps, "remove "+l.Image.At(name)+", left by an interrupted run")
	}
	return steps
}
