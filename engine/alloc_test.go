//go:build !race

// The race detector makes sync.Pool forget, which allocates.

package engine_test

import (
	"bytes"
	"io"
	"iter"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/stream"
)

// scattered is a source of n chunks of 4 KiB, every other chunk of the volume: content that
// costs no memory.
type scattered struct{ n int64 }

func (s scattered) Extents() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		for i := range s.n {
			if !yield(extent.Extent{Off: i * 8192, Len: 4096}, nil) {
				return
			}
		}
	}
}

func (scattered) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); i += 16 {
		p[i] = byte(off>>13) | 1
	}
	return len(p), nil
}

// sink is a device that forgets.
type sink struct{ blockdev.Device }

func (sink) Size() int64                            { return 1 << 50 }
func (sink) Name() string                           { return "sink" }
func (sink) Sync() error                            { return nil }
func (sink) ZeroAt(int64, int64) error              { return nil }
func (sink) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// allocations counts what run allocates.
func allocations(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// TestNoAllocationPerFrame: five times the frames allocate no more (what the scheduler does not repeat counts, too).
func TestNoAllocationPerFrame(t *testing.T) {
	const perFrame = stream.DefaultFrameSize / 4096
	for _, codec := range []engine.Codec{engine.CodecNone, engine.CodecS2, engine.CodecZstd, engine.CodecAuto} {
		t.Run(string(codec), func(t *testing.T) {
			var wires [2]bytes.Buffer
			var extract, merge [2]uint64
			for i, frames := range []int64{100, 500} {
				wires[i].Grow(int(frames) * 64 << 10)
				src := scattered{frames * perFrame}
				extract[i] = allocations(func() {
					_, err := engine.Extract(t.Context(), &wires[i], src, engine.ExtractOptions{Codec: codec, Header: stream.Header{VolumeSize: 1 << 40}})
					require.NoError(t, err)
				})
				merge[i] = allocations(func() {
					_, err := engine.Merge(t.Context(), sink{}, bytes.NewReader(wires[i].Bytes()), engine.MergeOptions{})
					require.NoError(t, err)
				})
			}
			t.Logf("extract %v, merge %v allocations for 100 and 500 frames", extract, merge)
			require.Less(t, float64(extract[1])-float64(extract[0]), 200.0, "extract")
			require.Less(t, float64(merge[1])-float64(merge[0]), 200.0, "merge")
		})
	}
}

func BenchmarkExtract(b *testing.B) {
	for _, codec := range []engine.Codec{engine.CodecNone, engine.CodecS2, engine.CodecZstd} {
		b.Run(string(codec), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(1000 * stream.DefaultFrameSize)
			for b.Loop() {
				if _, err := engine.Extract(b.Context(), io.Discard, scattered{1000 * stream.DefaultFrameSize / 4096}, engine.ExtractOptions{Codec: codec, Header: stream.Header{VolumeSize: 1 << 40}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
