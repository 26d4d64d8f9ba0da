package resync

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/extent"
)

// ends is a comparing and a serving end with pipes of the kernel between them.
type ends struct {
	got     []extent.Extent
	res     Result
	reached int64
}

func exchange(ctx context.Context, here, there io.ReaderAt, o, serving Options) (e ends, compareErr, serveErr error) {
	r1, w1, err := os.Pipe()
	if err != nil {
		return e, err, nil
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		return e, err, nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.reached, serveErr = Serve(ctx, r1, bufio.NewWriter(w2), there, serving)
		w2.Close()
		r1.Close()
	}()
	e.res, compareErr = Compare(ctx, r2, bufio.NewWriter(w1), here, o, func(x extent.Extent) error { e.got = append(e.got, x); return nil })
	w1.Close()
	r2.Close()
	<-done
	return e, compareErr, serveErr
}

// differing is what must come out, found the slow way.
func differing(a, b []byte, block int64, within extent.Extent) extent.Set {
	var s extent.Set
	for off := within.Off; off < within.End(); off += block {
		e := extent.Between(off, min(off+block, within.End()))
		if !bytes.Equal(a[e.Off:e.End()], b[e.Off:e.End()]) {
			s.Add(e)
		}
	}
	return s
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 7))
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for k := range 8 {
			b[i+k] = byte(v >> (8 * k))
		}
	}
	return b
}

// The result covers exactly the blocks that differ, whatever differs, however large the
// volume and the blocks are, wherever the range begins, and wherever the other end stops.
func TestExactlyTheDifferingBlocks(t *testing.T) {
	base := noise(1, 67<<20)
	other := bytes.Clone(base)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, int64(len(base))).Draw(t, "size")
		block := int64(512) << rapid.IntRange(0, 11).Draw(t, "shift")
		from := rapid.Int64Range(0, (size-1)/block).Draw(t, "from") * block
		o := Options{Range: extent.Between(from, size), Block: block, Salt: NewSalt(), Readers: rapid.IntRange(1, 4).Draw(t, "readers")}
		serving, stops := o, rapid.IntRange(0, 2).Draw(t, "stop after")
		if stops > 0 {
			serving.Stop = func() bool { stops--; return stops == 0 }
		}
		flips := rapid.SliceOfN(rapid.Int64Range(0, size-1), 0, 30).Draw(t, "flips")
		for _, at := range flips {
			other[at] ^= 0x40
		}
		want := differing(base[:size], other[:size], block, o.Range)
		e, err, serveErr := exchange(t.Context(), bytes.NewReader(base[:size]), bytes.NewReader(other[:size]), o, serving)
		for _, at := range flips {
			other[at] = base[at]
		}
		if err != nil || serveErr != nil {
			t.Fatal(err, serveErr)
		}
		got := extent.NewSet(e.got...)
		want = want.Intersect(extent.NewSet(extent.Between(from, e.res.Reached)))
		if !got.Equal(want) || got.Count() != len(e.got) || got.Bytes() != e.res.Bytes {
			t.Fatalf("found %v, differing %v", got, want)
		}
		if e.reached != e.res.Reached || serving.Stop == nil && e.reached != size {
			t.Fatalf("reached %d and %d of %d", e.reached, e.res.Reached, size)
		}
	})
}

func TestWireIsSmall(t *testing.T) {
	const size = 128 << 20
	a := noise(3, size)
	b := bytes.Clone(a)
	o := Options{Range: extent.Between(0, size), Block: 4096, Salt: NewSalt()}
	e, err, serveErr := exchange(t.Context(), bytes.NewReader(a), bytes.NewReader(b), o, o)
	require.NoError(t, errors.Join(err, serveErr))
	require.Empty(t, e.got)
	require.Less(t, e.res.Received+e.res.Sent, int64(3<<10), "equal volumes: one digest per stripe")
	b[77<<20] ^= 1
	e, err, serveErr = exchange(t.Context(), bytes.NewReader(a), bytes.NewReader(b), o, o)
	require.NoError(t, errors.Join(err, serveErr))
	require.Equal(t, []extent.Extent{{Off: 77 << 20, Len: 4096}}, e.got)
	require.Less(t, e.res.Received+e.res.Sent, int64(8<<10), "one bit: the digests of one stripe more")
}

// Another salt gives other digests: nothing that was prepared for one exchange is of use in another.
func TestSaltMatters(t *testing.T) {
	a := noise(4, 1<<20)
	o := Options{Range: extent.Between(0, 1<<20), Block: 4096, Salt: NewSalt()}
	serving := o
	serving.Salt = NewSalt()
	e, err, serveErr := exchange(t.Context(), bytes.NewReader(a), bytes.NewReader(a), o, serving)
	require.NoError(t, errors.Join(err, serveErr))
	require.EqualValues(t, 256, e.res.Blocks)
}

// zeros is a volume of any size in no memory; it counts what is read.
type zeros struct {
	size int64
	read atomic.Int64
	bad  int64 // offset that cannot be read; 0: none
}

var errMedium = errors.New("medium error")

func (z *zeros) ReadAt(p []byte, off int64) (int, error) {
	if z.bad != 0 && off <= z.bad && z.bad < off+int64(len(p)) {
		return 0, errMedium
	}
	z.read.Add(int64(len(p)))
	return len(p), nil
}

func TestReadErrors(t *testing.T) {
	const size = 300 << 20
	o := Options{Range: extent.Between(0, size), Block: 4096, Salt: NewSalt()}
	t.Run("here", func(t *testing.T) {
		_, err, _ := exchange(t.Context(), &zeros{size: size, bad: 200 << 20}, &zeros{size: size}, o, o)
		require.ErrorIs(t, err, errMedium)
		require.ErrorContains(t, err, fmt.Sprintf("read [%d,", 200<<20))
	})
	t.Run("there", func(t *testing.T) {
		_, err, serveErr := exchange(t.Context(), &zeros{size: size}, &zeros{size: size, bad: 200 << 20}, o, o)
		require.ErrorIs(t, serveErr, errMedium)
		require.Error(t, err, "a peer that fails is no peer that is equal") // an early end, or a broken pipe
	})
	t.Run("short volume", func(t *testing.T) {
		_, err, _ := exchange(t.Context(), bytes.NewReader(make([]byte, 1<<20)), &zeros{size: size}, o, o)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// Each byte is read once at each end, and an end that is ahead reads no more than its look-ahead.
func TestReadsOnce(t *testing.T) {
	const size = 1 << 30
	a, b := &zeros{size: size}, &zeros{size: size}
	o := Options{Range: extent.Between(0, size), Block: 65536, Salt: NewSalt()}
	e, err, serveErr := exchange(t.Context(), a, b, o, o)
	require.NoError(t, errors.Join(err, serveErr))
	require.EqualValues(t, size, a.read.Load())
	require.EqualValues(t, size, b.read.Load())
	require.EqualValues(t, size, e.res.Reached)
	serving := o
	serving.Stop = func() bool { return true }
	a = &zeros{size: size}
	e, err, serveErr = exchange(t.Context(), a, b, o, serving)
	require.NoError(t, errors.Join(err, serveErr))
	require.EqualValues(t, WindowSize, e.res.Reached)
	require.LessOrEqual(t, a.read.Load(), int64((lookahead+3)*WindowSize))
}

func TestRateLimit(t *testing.T) {
	const size = 8 << 20
	o := Options{Range: extent.Between(0, size), Block: 4096, Salt: NewSalt(), Limiter: Limit(32 << 20)}
	serving := o
	serving.Limiter = nil
	start := time.Now()
	_, err, serveErr := exchange(t.Context(), &zeros{size: size}, &zeros{size: size}, o, serving)
	require.NoError(t, errors.Join(err, serveErr))
	require.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond, "7 MiB after the first at 32 MiB/s")
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Range: extent.Between(0, 1<<40), Block: 4096, Salt: NewSalt()}
	serving := o
	serving.Progress = func(done int64) {
		if done > 1<<30 {
			cancel()
		}
	}
	_, err, serveErr := exchange(ctx, &zeros{size: 1 << 40}, &zeros{size: 1 << 40}, o, serving)
	require.Error(t, err)
	require.ErrorIs(t, serveErr, context.Canceled)
}

func TestOptions(t *testing.T) {
	good := Options{Range: extent.Between(0, 1<<20), Block: 4096}
	require.NoError(t, good.Validate())
	for name, spoil := range map[string]func(*Options){
		"block no power of two":    func(o *Options) { o.Block = 5000 },
		"block too small":          func(o *Options) { o.Block = 256 },
		"block too large":          func(o *Options) { o.Block = 2 << 20 },
		"no block":                 func(o *Options) { o.Block = 0 },
		"empty range":              func(o *Options) { o.Range = extent.Extent{} },
		"negative range":           func(o *Options) { o.Range.Off = -4096 },
		"start inside a block":     func(o *Options) { o.Range.Off = 512 },
		"range that overflows":     func(o *Options) { o.Range = extent.Extent{Off: 4096, Len: 1<<63 - 4097} },
		"negative readers":         func(o *Options) { o.Readers = -1 },
		"more readers than bounds": func(o *Options) { o.Readers = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			spoil(&o)
			require.ErrorIs(t, o.Validate(), ErrOptions)
			_, err := Serve(t.Context(), nil, nil, nil, o)
			require.ErrorIs(t, err, ErrOptions)
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	content := noise(1, StripeSize)
	blocks := make([]digest, StripeSize/4096)
	h := newHasher(NewSalt())
	b.SetBytes(StripeSize)
	for b.Loop() {
		h.stripe(content, blocks, 4096)
	}
}
