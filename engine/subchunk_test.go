package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/blockdev/fault"
	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/stream"
)

// scatter makes an old content and a volume that differs from it where n writes of size bytes
// fell, with the set that a snapshot of this chunk size would have. Some chunks of the set
// are as they were, some pieces became zeros.
func scatter(seed uint64, size, chunk int64, n int, write int64) (old []byte, v *volume) {
	r := rand.New(rand.NewPCG(seed, 2))
	fill := rand.NewChaCha8(sha256.Sum256([]byte{byte(seed), byte(n)}))
	old = make([]byte, size)
	_, _ = fill.Read(old)
	v = &volume{content: bytes.Clone(old)}
	for range n {
		off := r.Int64N(size/write) * write
		v.set.Add(extent.Between(off/chunk*chunk, min((off+write+chunk-1)/chunk*chunk, size)))
		switch r.IntN(8) {
		case 0: // written with what was there
		case 1:
			clear(v.content[off : off+write])
		default:
			_, _ = fill.Read(v.content[off : off+write])
		}
	}
	return old, v
}

// subChunk extracts the sub-chunk delta of v.
func subChunk(ctx context.Context, t require.TestingT, v *volume, old []byte, head stream.Header, opt engine.ExtractOptions) ([]byte, string) {
	var wire bytes.Buffer
	opt.Header, opt.Old = head, bytes.NewReader(old)
	opt.Header.SubChunk = true
	rep, err := engine.Extract(ctx, &wire, v, opt)
	require.NoError(t, err)
	return wire.Bytes(), rep.Digest
}

// Sub-chunk or whole, whatever the frame size, the chunk size, the codec and the cuts: the
// target ends as the new content. A base that is not what it was is noticed wherever a piece
// of it would have been kept.
func TestSubChunkProperty(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		chunk := rapid.SampledFrom([]int64{4 << 10, 16 << 10, 64 << 10, 512 << 10}).Draw(t, "chunk")
		frame := rapid.SampledFrom([]uint32{4 << 10, 64 << 10, 256 << 10}).Draw(t, "frame")
		size := rapid.Int64Range(1, 300).Draw(t, "size") * 4096
		write := rapid.SampledFrom([]int64{512, 4096}).Draw(t, "write")
		old, v := scatter(rapid.Uint64().Draw(t, "seed"), size, chunk, rapid.IntRange(0, 60).Draw(t, "writes"), write)
		head := header(v, frame)
		head.ChunkSize = uint32(chunk)
		wire, digest := subChunk(ctx, t, v, old, head, engine.ExtractOptions{Codec: engine.CodecS2, Workers: 1})
		_, other := subChunk(ctx, t, v, old, head, engine.ExtractOptions{Codec: engine.CodecNone, Workers: 4, Readers: 16})
		require.Equal(t, digest, other, "one content, one digest")

		cut := rapid.IntRange(0, len(wire)).Draw(t, "cut")
		require.True(t, bytes.Equal(wire, cutAndResumed(ctx, t, v, old, head, wire, cut)), "a transfer that was cut is the same delta")

		dev := mem.NewFrom("t", bytes.Clone(old))
		require.NoError(t, engine.CheckBases(ctx, dev, bytes.NewReader(wire), nil))
		_, err := engine.Apply(ctx, dev, bytes.NewReader(wire), engine.MergeOptions{})
		require.NoError(t, err)
		require.True(t, bytes.Equal(v.content, dev.Content()))

		at := rapid.Int64Range(0, size-1).Draw(t, "foreign write")
		foreignWrite(ctx, t, old, v, wire, at)
	})
}

// cutAndResumed is the delta put together from its first cut bytes and what a resumed transfer sends.
func cutAndResumed(ctx context.Context, t require.TestingT, v *volume, old []byte, head stream.Header, wire []byte, cut int) []byte {
	s, err := engine.Scan(ctx, bytes.NewReader(wire[:cut]), nil)
	if err != nil {
		require.ErrorIs(t, err, stream.ErrCorrupt)
		return wire // not even a header arrived: it begins anew
	}
	rest, _ := subChunk(ctx, t, v, old, head, engine.ExtractOptions{Codec: engine.CodecS2, Resume: &s.Cursor})
	h, err := stream.ReadHeader(bytes.NewReader(rest))
	require.NoError(t, err)
	require.Equal(t, s.Cursor.Next, h.First)
	tail := bytes.NewReader(rest)
	_, err = stream.ReadHeader(tail)
	require.NoError(t, err)
	b, err := io.ReadAll(tail)
	require.NoError(t, err)
	return append(bytes.Clone(wire[:s.Cursor.Bytes]), b...)
}

// foreignWrite changes one byte of the base. Either the check names the range that it lies
// in, or it lies where the delta writes or in no chunk that changed.
func foreignWrite(ctx context.Context, t require.TestingT, old []byte, v *volume, wire []byte, at int64) {
	base := bytes.Clone(old)
	base[at] ^= 1
	dev := mem.NewFrom("t", base)
	err := engine.CheckBases(ctx, dev, bytes.NewReader(wire), nil)
	if err == nil {
		_, err := engine.Apply(ctx, dev, bytes.NewReader(wire), engine.MergeOptions{})
		require.NoError(t, err)
		got := dev.Content()
		if got[at] != v.content[at] {
			require.Equal(t, old[at], v.content[at], "a change was lost")
			got[at] ^= 1
		}
		require.True(t, bytes.Equal(v.content, got))
		return
	}
	var bad *engine.BaseError
	require.ErrorAs(t, err, &bad)
	require.Len(t, bad.Ranges, 1)
	require.True(t, bad.Ranges[0].Contains(extent.Extent{Off: at, Len: 1}))
	require.True(t, v.set.Contains(bad.Ranges[0]))
}

// Scattered 4 KiB writes cost little more with chunks of 64 KiB than with chunks of 4 KiB,
// and sixteen times as much without sub-chunk deltas.
func TestSubChunkWire(t *testing.T) {
	const size = 32 << 20
	wire := func(chunk int64, sub bool) int {
		old, v := scatter(7, size, chunk, 300, 4096)
		head := header(v, 0)
		head.ChunkSize = uint32(chunk)
		if sub {
			b, _ := subChunk(t.Context(), t, v, old, head, engine.ExtractOptions{Codec: engine.CodecZstd})
			return len(b)
		}
		var b bytes.Buffer
		_, err := engine.Extract(t.Context(), &b, v, engine.ExtractOptions{Header: head, Codec: engine.CodecZstd})
		require.NoError(t, err)
		return b.Len()
	}
	small, large, sub := wire(4<<10, false), wire(64<<10, false), wire(64<<10, true)
	t.Logf("bytes on the wire: chunks of 4 KiB %d, of 64 KiB %d, of 64 KiB with sub-chunk deltas %d", small, large, sub)
	require.LessOrEqual(t, float64(sub), 1.2*float64(small))
	require.Greater(t, large, 8*small, "the workload is one that sub-chunk deltas are for")
}

// What is not there is not sent: a set in which nothing differs is a delta without frames.
func TestSubChunkNothingDiffers(t *testing.T) {
	old, v := scatter(3, 4<<20, 64<<10, 40, 4096)
	v.content = bytes.Clone(old)
	var last engine.Progress
	wire, _ := subChunk(t.Context(), t, v, old, header(v, 0), engine.ExtractOptions{Progress: func(p engine.Progress) { last = p }})
	require.Less(t, len(wire), 512)
	require.Equal(t, v.set.Bytes(), last.Done, "progress counts what was compared")
	require.Equal(t, last.Total, last.Done)
	dev := mem.NewFrom("t", bytes.Clone(old))
	_, err := engine.Apply(t.Context(), dev, bytes.NewReader(wire), engine.MergeOptions{})
	require.NoError(t, err)
	require.True(t, bytes.Equal(old, dev.Content()))
}

// The old content cannot be read (its snapshot overflowed): no trailer, and a cause by which the
// caller can tell that whole chunks would still do.
func TestSubChunkWithoutOldContent(t *testing.T) {
	old, v := scatter(4, 4<<20, 64<<10, 40, 4096)
	head := header(v, 0)
	head.SubChunk = true
	var wire bytes.Buffer
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: head, Old: bytes.NewReader(old[:1<<20])})
	require.ErrorIs(t, err, engine.ErrOldContent)
	_, err = engine.Apply(t.Context(), mem.NewFrom("t", old), &wire, engine.MergeOptions{})
	require.ErrorIs(t, err, stream.ErrTruncated)

	_, err = engine.Extract(t.Context(), io.Discard, v, engine.ExtractOptions{Header: head})
	require.ErrorIs(t, err, engine.ErrOptions)
	head.ChunkSize = 512
	_, err = engine.Extract(t.Context(), io.Discard, v, engine.ExtractOptions{Header: head, Old: bytes.NewReader(old)})
	require.ErrorIs(t, err, engine.ErrOptions)
}

// A spool of a sub-chunk delta fits into its bound, and an undo delta leads back.
func TestSubChunkSpoolAndUndo(t *testing.T) {
	old, v := scatter(5, 4<<20, 16<<10, 400, 512)
	head := header(v, 4<<10)
	head.ChunkSize = 16 << 10
	wire, _ := subChunk(t.Context(), t, v, old, head, engine.ExtractOptions{Codec: engine.CodecNone})
	h, err := stream.ReadHeader(bytes.NewReader(wire))
	require.NoError(t, err)
	require.LessOrEqual(t, int64(len(wire)), journal.Bound(h))

	dev := mem.NewFrom("t", bytes.Clone(old))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(wire)), nil }
	var undo bytes.Buffer
	_, err = engine.Undo(t.Context(), &undo, dev, h, engine.DeltaExtents{Open: open}.Extents(), engine.ExtractOptions{})
	require.NoError(t, err)
	_, err = engine.Apply(t.Context(), dev, bytes.NewReader(wire), engine.MergeOptions{})
	require.NoError(t, err)
	_, err = engine.Apply(t.Context(), dev, &undo, engine.MergeOptions{})
	require.NoError(t, err)
	require.True(t, bytes.Equal(old, dev.Content()))

	_, err = engine.Squash(t.Context(), io.Discard, []engine.Stored{{Name: "a", File: bytes.NewReader(wire), Size: int64(len(wire))}}, engine.ExtractOptions{})
	require.ErrorIs(t, err, engine.ErrChain)
}

// A hostile source cannot make a target read more than the set that it announced.
func TestBaseRangesAreBounded(t *testing.T) {
	base := make([]byte, 1<<20)
	var wire bytes.Buffer
	h := stream.Header{Kind: stream.KindDelta, SubChunk: true, ChunkSize: 64 << 10, FrameSize: 64 << 10, VolumeSize: 1 << 20, SetBytes: 128 << 10}
	enc, err := stream.NewEncoder(&wire, h, nil)
	require.NoError(t, err)
	f := stream.Frame{Extents: []extent.Extent{{Off: 0, Len: 4096}}, Bases: []stream.Base{{Extent: extent.Extent{Off: 0, Len: 1 << 20}, Sum: sha256.Sum256(base)}}}
	require.NoError(t, stream.NewPacker(64<<10).Pack(&f, bytes.Repeat([]byte{2}, 4096), stream.None))
	require.NoError(t, enc.WriteFrame(&f))
	_, err = enc.Close()
	require.NoError(t, err)
	err = engine.CheckBases(t.Context(), mem.NewFrom("t", base), bytes.NewReader(wire.Bytes()), nil)
	require.ErrorIs(t, err, stream.ErrCorrupt)
	require.ErrorIs(t, err, stream.ErrLimit)
}

// CopyBack may be cut and begun anew, makes everything durable, and reports a device that fails.
func TestCopyBack(t *testing.T) {
	old, v := scatter(6, 4<<20, 64<<10, 30, 4096)
	for n := 1; ; n++ {
		dev := mem.NewFrom("t", bytes.Clone(v.content))
		broken := fault.New(dev, fault.Fault{Op: fault.AnyChange, Nth: n})
		err := engine.CopyBack(t.Context(), broken, bytes.NewReader(old), v.set.Seq(), v.set.Bytes(), nil)
		if broken.Injected() == 0 {
			require.NoError(t, err)
			require.True(t, bytes.Equal(old, dev.Content()))
			break
		}
		require.Error(t, err)
		var last engine.Progress
		require.NoError(t, engine.CopyBack(t.Context(), dev, bytes.NewReader(old), v.set.Seq(), v.set.Bytes(), func(p engine.Progress) { last = p }))
		require.True(t, bytes.Equal(old, dev.CrashClone(rand.New(rand.NewPCG(1, 1)), 0).Content()), "it is durable")
		require.Equal(t, v.set.Bytes(), last.Done)
	}
}
