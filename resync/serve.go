package resync

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"
)

// Serve is the serving end: it digests dev over o.Range and answers what the comparing
// end wants to know more about. It returns how far it came: the end of the range, or the
// end of a window after which o.Stop said so.
func Serve(ctx context.Context, r io.Reader, w Writer, dev io.ReaderAt, o Options) (reached int64, err error) {
	if err := o.Validate(); err != nil {
		return 0, err
	}
	callers := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g, gctx := errgroup.WithContext(ctx)
	s := &serving{link: link{r: r, w: w}, o: o, reached: o.Range.Off}
	err = s.run(gctx, windows(gctx, g, dev, o))
	cancel(err) // readers that nobody waits for
	return s.reached, cancelled(callers, cause(err, g.Wait()))
}

// cancelled names the caller's own cancellation, whichever of its consequences came first.
func cancelled(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return errors.Join(context.Cause(ctx), err)
}

// cause prefers why this end gave up to the cancellations that follow from it.
func cause(err, readers error) error {
	if err != nil || errors.Is(readers, context.Canceled) {
		return err
	}
	return readers
}

type serving struct {
	link
	o       Options
	reached int64
	waiting []*window // sent, not answered yet
}

func (s *serving) run(ctx context.Context, ws <-chan *window) error {
	for w := range ws {
		if err := w.await(ctx); err != nil {
			return err
		}
		if err := s.sendDigests(msgStripes, w.at.Off, w.stripes); err != nil {
			return err
		}
		s.waiting, s.reached = append(s.waiting, w), w.at.End()
		s.o.progress(s.reached - s.o.Range.Off)
		if len(s.waiting) == inFlight {
			if err := s.answer(); err != nil {
				return err
			}
		}
		if err := s.w.Flush(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil { // the channel was closed by a failed reader
		return context.Cause(ctx)
	}
	for len(s.waiting) > 0 {
		if err := s.answer(); err != nil {
			return err
		}
	}
	return errors.Join(s.send(msgEnd, 0, s.reached, nil), s.w.Flush())
}

// answer reads what is wanted of the oldest window, and sends it.
func (s *serving) answer() error {
	w := s.waiting[0]
	h, err := s.next()
	if err != nil {
		return err
	}
	if err := h.must(msgWant, len(w.stripes), w.at.Off); err != nil {
		return err
	}
	want := newWanted(len(w.stripes))
	if err := s.read(want); err != nil {
		return err
	}
	if err := want.check(len(w.stripes)); err != nil {
		return err
	}
	for i := range w.stripes {
		if !want.has(i) {
			continue
		}
		if err := s.sendDigests(msgBlocks, stripeAt(w.at, i).Off, w.blocksOf(i, s.o.Block)); err != nil {
			return err
		}
	}
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	return s.w.Flush()
}
