package resync

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"

	"golang.org/x/time/rate"

	"github.com/ddsgo/ddsgo/extent"
)

// The geometry of an exchange. Part of the protocol.
const (
	StripeSize    = 1 << 20
	WindowStripes = 64
	WindowSize    = WindowStripes * StripeSize
	MinBlock      = 512
	MaxBlock      = StripeSize
	SaltSize      = 16

	// inFlight is how many windows the serving end sends ahead of their answers.
	inFlight = 4
)

// Bounds of Options that are no part of the protocol.
const (
	DefaultReaders = 8
	maxReaders     = 64
)

// Salt makes the digests of one exchange useless to whoever prepares colliding blocks.
type Salt [SaltSize]byte

// NewSalt draws a salt.
func NewSalt() Salt {
	var s Salt
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// Options of one exchange. Range, Block and Salt must be the same on both ends.
type Options struct {
	Range extent.Extent // starts on a multiple of Block
	Block int64         // unit of the result, see MinBlock and MaxBlock
	Salt  Salt

	Readers  int              // reads in flight; 0: DefaultReaders
	Limiter  *rate.Limiter    // of bytes read; nil: none. See Limit
	Progress func(done int64) // bytes of the range that this end has handled; may be nil
	// Stop is asked by the serving end before each window but the first: true ends the exchange
	// there. nil: never.
	Stop func() bool
}

// Limit is a limiter of so many bytes per second; 0 is nil, no limit.
func Limit(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), StripeSize)
}

// Validate refuses what cannot be compared.
func (o Options) Validate() error {
	switch {
	case o.Block < MinBlock || o.Block > MaxBlock || o.Block&(o.Block-1) != 0:
		return fmt.Errorf("%w: blocks of %d bytes, want a power of two from %d to %d", ErrOptions, o.Block, MinBlock, MaxBlock)
	case !o.Range.Valid() || o.Range.Empty() || o.Range.Off%o.Block != 0 || o.Range.End() > math.MaxInt64-WindowSize:
		return fmt.Errorf("%w: range %v", ErrOptions, o.Range)
	case o.Readers < 0 || o.Readers > maxReaders:
		return fmt.Errorf("%w: %d readers, at most %d", ErrOptions, o.Readers, maxReaders)
	}
	return nil
}

func (o Options) readers() int {
	if o.Readers == 0 {
		return DefaultReaders
	}
	return o.Readers
}

func (o Options) progress(done int64) {
	if o.Progress != nil {
		o.Progress(done)
	}
}

// wait lets n bytes pass the limit; n is at most StripeSize.
func (o Options) wait(ctx context.Context, n int64) error {
	if o.Limiter == nil {
		return nil
	}
	return o.Limiter.WaitN(ctx, int(n))
}

// windowAt is the window that starts at off.
func (o Options) windowAt(off int64) extent.Extent {
	return extent.Between(off, min(off+WindowSize, o.Range.End()))
}

// pieces is how many pieces of size bytes make n bytes.
func pieces(n, size int64) int { return int((n + size - 1) / size) }

// piece is the i-th piece of size bytes of e; the last one may be shorter.
func piece(e extent.Extent, i int, size int64) extent.Extent {
	off := e.Off + int64(i)*size
	return extent.Between(off, min(off+size, e.End()))
}
