package blockdevtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
)

// MinSize is the smallest device that the suite works on, in bytes.
const MinSize = 1 << 20

// Run checks everything that blockdev.Device promises. open gives a writable device, with
// any content, of at least MinSize bytes; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) blockdev.Device) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, blockdev.Device)
	}{
		{"ranges of every alignment", anyRange},
		{"end of the device", endOfDevice},
		{"never extends", neverExtends},
		{"zeroes exactly the range", zeroesExactly},
		{"random operations against a model", againstModel},
		{"concurrent use", concurrent},
		{"empty operations", emptyOperations},
		{"use after close", afterClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			dev := open(t)
			t.Cleanup(func() { _ = dev.Close() })
			require.GreaterOrEqual(t, dev.Size(), int64(MinSize))
			require.NotEmpty(t, dev.Name())
			c.run(t, dev)
		})
	}
}

func pattern(seed uint64, n int64) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 7})
	_, _ = rng.Read(b)
	return b
}

func write(t *testing.T, dev blockdev.Device, p []byte, off int64) {
	t.Helper()
	n, err := dev.WriteAt(p, off)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
}

// requireAt reads a range and compares without printing megabytes on failure.
func requireAt(t *testing.T, dev blockdev.Device, want []byte, off int64) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := dev.ReadAt(got, off)
	if !errors.Is(err, io.EOF) {
		require.NoError(t, err)
	}
	require.Equal(t, len(want), n)
	if !bytes.Equal(want, got) {
		for i := range want {
			if want[i] != got[i] {
				t.Fatalf("at %d (%d of the range at %d): 0x%02x, want 0x%02x", off+int64(i), i, off, got[i], want[i])
			}
		}
	}
}

func anyRange(t *testing.T, dev blockdev.Device) {
	content := pattern(1, MinSize)
	write(t, dev, content, 0)
	require.NoError(t, dev.Sync())
	for _, off := range []int64{0, 1, 511, 512, 513, 4095, 4096, 4097, 262143, 300000} {
		for _, n := range []int64{1, 2, 511, 512, 513, 4096, 4097, 65536, 262144, 262145, 700001} {
			requireAt(t, dev, content[off:off+n], off)
		}
	}
	// The destination's own alignment must not matter either.
	room := make([]byte, 3*4096+1)
	n, err := dev.ReadAt(room[1:], 4096)
	require.NoError(t, err)
	require.Equal(t, content[4096:4096+int64(n)], room[1:])
}

func endOfDevice(t *testing.T, dev blockdev.Device) {
	size := dev.Size()
	tail := pattern(2, 5000)
	write(t, dev, tail, size-5000)
	requireAt(t, dev, tail, size-5000)
	b := make([]byte, 100)
	n, err := dev.ReadAt(b, size-60)
	require.Equal(t, 60, n)
	require.ErrorIs(t, err, io.EOF, "a short read must say why")
	require.Equal(t, tail[4940:], b[:60])
	n, err = dev.ReadAt(b, size)
	require.Zero(t, n)
	require.ErrorIs(t, err, io.EOF)
	n, err = dev.ReadAt(b, size+1<<40)
	require.Zero(t, n)
	require.ErrorIs(t, err, io.EOF)
	_, err = dev.ReadAt(b, -1)
	require.ErrorIs(t, err, blockdev.ErrOutOfRange)
}

func neverExtends(t *testing.T, dev blockdev.Device) {
	size := dev.Size()
	before := pattern(3, 100)
	write(t, dev, before, size-100)
	for _, c := range []struct{ off, n int64 }{{size - 50, 51}, {size, 1}, {size + 4096, 10}, {-1, 10}, {1<<63 - 10, 100}} {
		_, err := dev.WriteAt(make([]byte, c.n), c.off)
		require.ErrorIs(t, err, blockdev.ErrOutOfRange, "write of %d at %d", c.n, c.off)
		require.ErrorIs(t, dev.ZeroAt(c.off, c.n), blockdev.ErrOutOfRange, "zero %d at %d", c.n, c.off)
	}
	require.ErrorIs(t, dev.ZeroAt(0, -1), blockdev.ErrOutOfRange)
	require.ErrorIs(t, dev.ZeroAt(10, 1<<63-1), blockdev.ErrOutOfRange)
	require.Equal(t, size, dev.Size())
	requireAt(t, dev, before, size-100)
}

func zeroesExactly(t *testing.T, dev blockdev.Device) {
	for _, c := range []struct{ off, n int64 }{{0, 4096}, {4096, 65536}, {1, 1}, {511, 2}, {513, 5000}, {4095, 4098}, {100000, 524288}, {dev.Size() - 700, 700}, {dev.Size() - 4096, 4096}} {
		t.Run(fmt.Sprintf("%d at %d", c.n, c.off), func(t *testing.T) {
			start, end := max(0, c.off-600), min(dev.Size(), c.off+c.n+600)
			want := pattern(4, end-start)
			write(t, dev, want, start)
			require.NoError(t, dev.ZeroAt(c.off, c.n))
			clear(want[c.off-start : c.off-start+c.n])
			requireAt(t, dev, want, start)
			require.NoError(t, dev.Sync())
			requireAt(t, dev, want, start)
		})
	}
}

// againstModel does random operations on the device and on a slice, which must stay equal.
func againstModel(t *testing.T, dev blockdev.Device) {
	model := pattern(5, MinSize)
	write(t, dev, model, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		off := rng.Int64N(MinSize)
		n := min(rng.Int64N(20000)+1, MinSize-off)
		switch rng.IntN(4) {
		case 0:
			p := pattern(uint64(i), n)
			write(t, dev, p, off)
			copy(model[off:], p)
		case 1:
			require.NoError(t, dev.ZeroAt(off, n))
			clear(model[off : off+n])
		case 2:
			requireAt(t, dev, model[off:off+n], off)
		case 3:
			if rng.IntN(10) == 0 {
				require.NoError(t, dev.Sync())
			}
		}
	}
	requireAt(t, dev, model, 0)
}

func concurrent(t *testing.T, dev blockdev.Device) {
	const workers, each = 8, 64 << 10
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range int64(workers) {
		wg.Go(func() {
			for round := range uint64(5) {
				p := pattern(uint64(w)+round*100, each)
				got := make([]byte, each)
				_, err := dev.WriteAt(p, w*each)
				if err == nil {
					_, err = dev.ReadAt(got, w*each)
				}
				if err == nil && !bytes.Equal(p, got) {
					err = fmt.Errorf("worker %d, round %d: read back something else", w, round)
				}
				if err == nil && round == 4 {
					err = dev.Sync()
				}
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

func emptyOperations(t *testing.T, dev blockdev.Device) {
	for _, off := range []int64{0, 17, dev.Size()} {
		n, err := dev.ReadAt(nil, off)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = dev.WriteAt(nil, off)
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, dev.ZeroAt(off, 0))
	}
	require.NoError(t, dev.Sync())
}

func afterClose(t *testing.T, dev blockdev.Device) {
	require.NoError(t, dev.Close())
	b := make([]byte, 512)
	_, err := dev.ReadAt(b, 0)
	require.ErrorIs(t, err, blockdev.ErrClosed)
	_, err = dev.WriteAt(b, 0)
	require.ErrorIs(t, err, blockdev.ErrClosed)
	require.Error(t, dev.ZeroAt(0, 512))
	require.ErrorIs(t, dev.Sync(), blockdev.ErrClosed)
}
