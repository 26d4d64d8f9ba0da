package engine

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/stream"
)

// maxBadBases bounds how many ranges a BaseError lists.
const maxBadBases = 1 << 16

// baseReaders is how many ranges are read and hashed at a time.
const baseReaders = 8

// CheckBases compares the base digests of a sub-chunk delta with the device, all of them.
// It answers with a *BaseError that lists the ranges that differ, in order. A delta without
// base digests needs no check. What a delta makes us read is bounded by the size of its set.
func CheckBases(ctx context.Context, dev io.ReaderAt, r io.Reader, progress func(Progress)) error {
	g, gctx := errgroup.WithContext(ctx)
	work := make(chan stream.Base, baseReaders)
	c := baseCheck{dev: dev}
	for range baseReaders {
		g.Go(func() error { return c.worker(gctx, work) })
	}
	g.Go(func() error {
		defer close(work)
		var sum int64
		_, err := frames(r, true, func(f *stream.Frame, h stream.Header) error {
			for _, b := range f.Bases {
				if sum += b.Extent.Len; sum > h.SetBytes {
					return &stream.Error{Kind: stream.ErrLimit, Frame: f.Seq, Detail: fmt.Sprintf("base ranges of more than the set's %d bytes", h.SetBytes)}
				}
				select {
				case work <- b:
				case <-gctx.Done():
					return context.Cause(gctx)
				}
				if progress != nil {
					progress(Progress{Phase: "checking base", Done: sum, Total: h.SetBytes})
				}
			}
			return nil
		})
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return c.result()
}

// baseCheck is one run of CheckBases.
type baseCheck struct {
	dev io.ReaderAt
	mu  sync.Mutex
	bad []extent.Extent
}

func (c *baseCheck) worker(ctx context.Context, work <-chan stream.Base) error {
	var buf []byte
	for b := range work {
		sum, err := digestRange(ctx, c.dev, b.Extent, &buf)
		if err != nil {
			return err
		}
		if sum == b.Sum {
			continue
		}
		c.mu.Lock()
		c.bad = append(c.bad, b.Extent)
		full := len(c.bad) >= maxBadBases
		c.mu.Unlock()
		if full {
			return c.result()
		}
	}
	return nil
}

func (c *baseCheck) result() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.bad) == 0 {
		return nil
	}
	bad := slices.Clone(c.bad)
	slices.SortFunc(bad, func(a, b extent.Extent) int { return cmp.Compare(a.Off, b.Off) })
	return &BaseError{Ranges: bad, Cut: len(bad) >= maxBadBases}
}
