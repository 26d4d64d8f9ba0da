package resync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
)

// digest is what stands for a block or a stripe.
type digest [digestSize]byte

const digestSize = 16

// window is the digests of one window of this end's volume.
type window struct {
	at      extent.Extent
	stripes []digest
	blocks  []digest     // of all stripes, one after the other
	left    atomic.Int64 // stripes without digest
	ready   chan struct{}
}

// blocksOf is the digests of a stripe's blocks.
func (w *window) blocksOf(stripe int, block int64) []digest {
	per := int(StripeSize / block)
	return w.blocks[stripe*per : min((stripe+1)*per, len(w.blocks))]
}

// job is one stripe to read and digest.
type job struct {
	w      *window
	stripe int
}

// lookahead is how many windows are read before anybody asks for them.
const lookahead = 2

// windows reads and digests the whole range, in order, with many reads in flight. The
// windows come out before they are complete: wait for ready. The channel is closed at the
// end; g then has the error, and its context tells the consumer to give up.
func windows(ctx context.Context, g *errgroup.Group, dev io.ReaderAt, o Options) <-chan *window {
	out, jobs := make(chan *window, lookahead), make(chan job)
	g.Go(func() error {
		defer close(out)
		defer close(jobs)
		for off := o.Range.Off; off < o.Range.End(); off += WindowSize {
			if o.Stop != nil && off > o.Range.Off && o.Stop() {
				return nil
			}
			if err := feed(ctx, newWindow(o.windowAt(off), o.Block), out, jobs); err != nil {
				return err
			}
		}
		return nil
	})
	for range o.readers() {
		g.Go(func() error { return work(ctx, dev, o, jobs) })
	}
	return out
}

func newWindow(at extent.Extent, block int64) *window {
	w := &window{at: at, stripes: make([]digest, pieces(at.Len, StripeSize)), blocks: make([]digest, pieces(at.Len, block)), ready: make(chan struct{})}
	w.left.Store(int64(len(w.stripes)))
	return w
}

func feed(ctx context.Context, w *window, out chan<- *window, jobs chan<- job) error {
	select {
	case out <- w:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for i := range w.stripes {
		select {
		case jobs <- job{w, i}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// work reads and digests stripes until there are none left.
func work(ctx context.Context, dev io.ReaderAt, o Options, jobs <-chan job) error {
	buf := blockdev.AlignedBuffer(StripeSize, 4096)
	h := newHasher(o.Salt)
	for j := range jobs {
		e := piece(j.w.at, j.stripe, StripeSize)
		if err := o.wait(ctx, e.Len); err != nil {
			return err
		}
		b := buf[:e.Len]
		if n, err := dev.ReadAt(b, e.Off); n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %v: %w", e, err)
		}
		j.w.stripes[j.stripe] = h.stripe(b, j.w.blocksOf(j.stripe, o.Block), o.Block)
		if j.w.left.Add(-1) == 0 {
			close(j.w.ready)
		}
	}
	return nil
}

// hasher makes digests. The salt fills one block of the hash function, so that what
// follows needs no copy.
type hasher struct {
	h    hash.Hash
	salt [sha256.BlockSize]byte
	sum  [sha256.Size]byte
}

func newHasher(s Salt) *hasher {
	h := &hasher{h: sha256.New()}
	copy(h.salt[:], s[:])
	return h
}

// digest is of b, at one of two levels that must not be confused.
func (h *hasher) digest(level byte, b []byte) digest {
	h.h.Reset()
	h.salt[SaltSize] = level
	h.h.Write(h.salt[:]) // a hash.Hash never fails
	h.h.Write(b)
	return digest(h.h.Sum(h.sum[:0])[:digestSize])
}

// Levels of digests.
const (
	levelBlock  = 1
	levelStripe = 2
)

// stripe fills in the digests of a stripe's blocks and returns its own.
func (h *hasher) stripe(content []byte, blocks []digest, block int64) digest {
	all := make([]byte, 0, len(blocks)*digestSize)
	whole := extent.Between(0, int64(len(content)))
	for i := range blocks {
		p := piece(whole, i, block)
		blocks[i] = h.digest(levelBlock, content[p.Off:p.End()])
		all = append(all, blocks[i][:]...)
	}
	return h.digest(levelStripe, all)
}

// await waits until the window's digests are there, or the readers failed.
func (w *window) await(ctx context.Context) error {
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
