package resync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/ddsgo/ddsgo/extent"
)

// Result of a comparison.
type Result struct {
	Reached  int64 // everything from the range's start to here was compared
	Blocks   int64 // that differ
	Bytes    int64 // in these blocks
	Sent     int64 // bytes to the peer
	Received int64 // bytes from the peer
}

// Compare is the comparing end: found gets the extents of the blocks that differ, ascending,
// disjoint, as long as possible. Only when Compare returns without error are they all, up to
// Result.Reached; an error of found ends it.
func Compare(ctx context.Context, r io.Reader, w Writer, dev io.ReaderAt, o Options, found func(extent.Extent) error) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	o.Stop = nil // the serving end decides
	callers := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g, gctx := errgroup.WithContext(ctx)
	c := &comparing{link: link{r: r, w: w}, o: o, found: found, ours: windows(gctx, g, dev, o)}
	c.res.Reached = o.Range.Off
	err := c.run(gctx)
	c.res.Sent, c.res.Received = c.sent, c.received
	cancel(errEnough)
	readers := g.Wait()
	if errors.Is(readers, errEnough) { // they were ahead of a peer that stopped
		readers = nil
	}
	return c.res, cancelled(callers, cause(err, readers))
}

// errEnough stops this end's readers when the exchange is over.
var errEnough = errors.New("the exchange is over")

type comparing struct {
	link
	o     Options
	found func(extent.Extent) error
	ours  <-chan *window
	asked []question // windows whose answers are on their way
	span  extent.Extent
	res   Result
}

// question is a window and what we asked about it.
type question struct {
	w    *window
	want wanted
	at   int // the next stripe to be answered
}

// run reads the serving end's messages in the only order that they can have.
func (c *comparing) run(ctx context.Context) error {
	for {
		h, err := c.next()
		if err != nil {
			return err
		}
		switch h.typ {
		case msgStripes:
			err = c.compareStripes(ctx, h)
		case msgBlocks:
			err = c.compareBlocks(h)
		case msgEnd:
			return c.end(h)
		default:
			err = fmt.Errorf("%w: message %d from the serving end", ErrProtocol, h.typ)
		}
		if err != nil {
			return err
		}
	}
}

// compareStripes compares a window at the first level and asks about what differs.
func (c *comparing) compareStripes(ctx context.Context, h head) error {
	at := c.o.windowAt(c.res.Reached)
	n := pieces(at.Len, StripeSize)
	if at.Empty() || len(c.asked) > inFlight {
		return fmt.Errorf("%w: more windows than the range has or the protocol allows", ErrProtocol)
	}
	if err := h.must(msgStripes, n, at.Off); err != nil {
		return err
	}
	theirs, err := c.digests(n)
	if err != nil {
		return err
	}
	w, ok := <-c.ours
	if !ok {
		return context.Cause(ctx)
	}
	if err := w.await(ctx); err != nil {
		return err
	}
	q := question{w: w, want: newWanted(n), at: n}
	for i := range w.stripes {
		if !bytes.Equal(w.stripes[i][:], theirs[i*digestSize:(i+1)*digestSize]) {
			q.want.set(i)
			q.at = min(q.at, i)
		}
	}
	if q.at < n {
		c.asked = append(c.asked, q)
	}
	c.res.Reached = at.End()
	c.o.progress(c.res.Reached - c.o.Range.Off)
	return errors.Join(c.send(msgWant, n, at.Off, q.want), c.w.Flush())
}

// compareBlocks compares a stripe at the second level.
func (c *comparing) compareBlocks(h head) error {
	if len(c.asked) == 0 {
		return fmt.Errorf("%w: an answer to no question", ErrProtocol)
	}
	q := &c.asked[0]
	ours := q.w.blocksOf(q.at, c.o.Block)
	stripe := stripeAt(q.w.at, q.at)
	if err := h.must(msgBlocks, len(ours), stripe.Off); err != nil {
		return err
	}
	theirs, err := c.digests(len(ours))
	if err != nil {
		return err
	}
	before := c.res.Blocks
	for i := range ours {
		if bytes.Equal(ours[i][:], theirs[i*digestSize:(i+1)*digestSize]) {
			continue
		}
		if err := c.differs(piece(stripe, i, c.o.Block)); err != nil {
			return err
		}
	}
	if c.res.Blocks == before {
		return fmt.Errorf("%w: the stripe at %d differs, none of its blocks does", ErrProtocol, stripe.Off)
	}
	for q.at++; q.at < len(q.w.stripes) && !q.want.has(q.at); q.at++ {
	}
	if q.at == len(q.w.stripes) {
		c.asked = c.asked[1:]
	}
	return nil
}

// differs adds one block to the run of blocks that differ.
func (c *comparing) differs(e extent.Extent) error {
	c.res.Blocks++
	c.res.Bytes += e.Len
	if c.span.End() == e.Off && !c.span.Empty() {
		c.span.Len += e.Len
		return nil
	}
	err := c.flush()
	c.span = e
	return err
}

// flush hands the run on.
func (c *comparing) flush() error {
	if c.span.Empty() {
		return nil
	}
	e := c.span
	c.span = extent.Extent{}
	return c.found(e)
}

// end checks that nothing is open.
func (c *comparing) end(h head) error {
	if err := h.must(msgEnd, 0, c.res.Reached); err != nil {
		return err
	}
	if len(c.asked) > 0 || c.res.Reached == c.o.Range.Off {
		return fmt.Errorf("%w: the serving end stopped with answers outstanding", ErrProtocol)
	}
	return c.flush()
}
