package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/blockdev/fault"
	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/stream"
)

// volume is a source in memory: a set and the content of the new snapshot.
type volume struct {
	set     extent.Set
	content []byte
	fail    func(off int64) error
}

func (v *volume) Extents() iter.Seq2[extent.Extent, error] { return v.set.Seq() }

func (v *volume) ReadAt(p []byte, off int64) (int, error) {
	if v.fail != nil {
		if err := v.fail(off); err != nil {
			return 0, err
		}
	}
	return bytes.NewReader(v.content).ReadAt(p, off)
}

// change makes an old content, and a volume that differs from it in chunks of its set:
// zeros, text and noise.
func change(seed uint64, size, chunk int64, chunks int) (old []byte, v *volume) {
	r := rand.New(rand.NewPCG(seed, 1))
	old = make([]byte, size)
	for i := range old {
		old[i] = byte(r.Uint32())
	}
	v = &volume{content: bytes.Clone(old)}
	for range chunks {
		off := r.Int64N((size+chunk-1)/chunk) * chunk
		e := extent.Between(off, min(off+chunk, size))
		v.set.Add(e)
		p := v.content[e.Off:e.End()]
		switch r.IntN(3) {
		case 0:
			clear(p)
		case 1:
			copy(p, bytes.Repeat([]byte(fmt.Sprintf("text %d of the volume, ", off)), int(e.Len)/20+1))
		default:
			for i := range p {
				p[i] = byte(r.Uint32())
			}
		}
	}
	return old, v
}

func header(v *volume, frame uint32) stream.Header {
	return stream.Header{ChunkSize: 4096, FrameSize: frame, VolumeSize: int64(len(v.content)), Source: "test"}
}

func TestExtractMerge(t *testing.T) {
	for _, c := range []struct {
		name        string
		size, chunk int64
		chunks      int
		frame       uint32
	}{
		{"scattered", 8 << 20, 4096, 300, 0},
		{"large chunks", 8 << 20, 512 << 10, 5, 64 << 10},
		{"odd volume size", 1<<20 + 12345, 4096, 100, 16 << 10},
		{"nothing", 1 << 20, 4096, 0, 0},
		{"tiny frames", 1 << 20, 4096, 200, 4096},
		{"all", 2 << 20, 2 << 20, 40, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, v := change(1, c.size, c.chunk, c.chunks)
			var digest string
			for _, codec := range []engine.Codec{engine.CodecNone, engine.CodecS2, engine.CodecZstd, engine.CodecAuto} {
				var wire bytes.Buffer
				x, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: header(v, c.frame), Codec: codec})
				require.NoError(t, err)
				require.Equal(t, v.set.Bytes(), x.DataBytes+x.ZeroBytes)
				require.EqualValues(t, wire.Len(), x.StreamBytes)
				require.EqualValues(t, wire.Len(), x.SentBytes)
				if digest == "" {
					digest = x.Digest
				}
				require.Equal(t, digest, x.Digest, "codec %s", codec)

				dev := mem.NewFrom("target", bytes.Clone(old))
				m, err := engine.Merge(t.Context(), dev, &wire, engine.MergeOptions{})
				require.NoError(t, err)
				require.Equal(t, digest, m.Digest)
				require.Equal(t, x.StreamBytes, m.StreamBytes)
				require.Equal(t, x.EncodedBytes, m.EncodedBytes)
				require.True(t, bytes.Equal(v.content, dev.Content()))
				require.Zero(t, dev.Unsynced(), "everything is durable when Merge returns")
			}
		})
	}
}

// TestMetamorphic: worker counts, readers, codecs and a cut at any place change neither the
// target nor the digest; for a fixed codec not even the bytes.
func TestMetamorphic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, v := change(rapid.Uint64().Draw(t, "seed"), rapid.Int64Range(1, 1<<20).Draw(t, "size"), 4096, rapid.IntRange(0, 120).Draw(t, "chunks"))
		frame := rapid.SampledFrom([]uint32{4096, 8192, 65536, 0}).Draw(t, "frame")
		codec := rapid.SampledFrom([]engine.Codec{engine.CodecNone, engine.CodecS2, engine.CodecZstd}).Draw(t, "codec")
		var one bytes.Buffer
		x, err := engine.Extract(context.Background(), &one, v, engine.ExtractOptions{Header: header(v, frame), Codec: codec, Workers: 1, Readers: 1})
		require.NoError(t, err)
		var many bytes.Buffer
		_, err = engine.Extract(context.Background(), &many, v, engine.ExtractOptions{Header: header(v, frame), Codec: codec, Workers: 5, Readers: 9})
		require.NoError(t, err)
		require.True(t, bytes.Equal(one.Bytes(), many.Bytes()))

		cut := rapid.IntRange(0, one.Len()).Draw(t, "cut")
		s, err := engine.Scan(context.Background(), bytes.NewReader(one.Bytes()[:cut]), nil)
		if err != nil { // cut inside the header
			require.ErrorIs(t, err, stream.ErrCorrupt)
			return
		}
		require.LessOrEqual(t, s.Cursor.Bytes, int64(cut))
		var rest bytes.Buffer
		_, err = engine.Extract(context.Background(), &rest, v, engine.ExtractOptions{Header: header(v, frame), Codec: codec, Resume: &s.Cursor})
		require.NoError(t, err)
		spool := bytes.NewBuffer(bytes.Clone(one.Bytes()[:s.Cursor.Bytes]))
		got, err := engine.Receive(context.Background(), spool, &rest, engine.ReceiveOptions{Resume: &s.Cursor, Head: &s.Header})
		require.NoError(t, err)
		require.True(t, bytes.Equal(one.Bytes(), spool.Bytes()), "the spool is what an uncut transfer would have left")
		require.Equal(t, x.Digest, got.Report.Digest)

		dev := mem.NewFrom("target", bytes.Clone(old))
		_, err = engine.Apply(context.Background(), dev, spool, engine.MergeOptions{Workers: rapid.IntRange(1, 4).Draw(t, "workers")})
		require.NoError(t, err)
		require.True(t, bytes.Equal(v.content, dev.Content()))
	})
}

func TestFailedReadLeavesNoTrailer(t *testing.T) {
	old, v := change(3, 4<<20, 4096, 400)
	boom := errors.New("medium error")
	v.fail = func(off int64) error {
		if off > 3<<20 {
			return boom
		}
		return nil
	}
	var wire bytes.Buffer
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: header(v, 16<<10)})
	require.ErrorIs(t, err, boom)
	dev := mem.NewFrom("target", old)
	_, err = engine.Merge(t.Context(), dev, bytes.NewReader(wire.Bytes()), engine.MergeOptions{})
	require.ErrorIs(t, err, stream.ErrTruncated)
	_, err = engine.Receive(t.Context(), io.Discard, bytes.NewReader(wire.Bytes()), engine.ReceiveOptions{})
	require.ErrorIs(t, err, stream.ErrTruncated)
}

func TestShortSourceIsAnError(t *testing.T) {
	_, v := change(3, 1<<20, 4096, 40)
	h := header(v, 0)
	v.content = v.content[:1<<19]
	_, err := engine.Extract(t.Context(), io.Discard, v, engine.ExtractOptions{Header: h})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestBeforeTrailer(t *testing.T) {
	_, v := change(4, 1<<20, 4096, 40)
	gone := errors.New("snapshot overflowed")
	var wire bytes.Buffer
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: header(v, 0), BeforeTrailer: func(context.Context) error { return gone }})
	require.ErrorIs(t, err, gone)
	s, err := engine.Scan(t.Context(), bytes.NewReader(wire.Bytes()), nil)
	require.NoError(t, err)
	require.Nil(t, s.Trailer)
	require.EqualValues(t, v.set.Bytes(), s.Cursor.DataBytes+s.Cursor.ZeroBytes, "all frames are there, only the word is missing")
}

func TestRefusedBeforeTheFirstByte(t *testing.T) {
	old, v := change(5, 1<<20, 4096, 40)
	var wire bytes.Buffer
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: header(v, 0)})
	require.NoError(t, err)
	dev := fault.New(mem.NewFrom("target", old[:1<<19]))
	_, err = engine.Merge(t.Context(), dev, bytes.NewReader(wire.Bytes()), engine.MergeOptions{})
	require.ErrorIs(t, err, engine.ErrTooSmall)
	no := errors.New("wrong base")
	_, err = engine.Merge(t.Context(), fault.New(mem.New("t", 1<<20)), bytes.NewReader(wire.Bytes()), engine.MergeOptions{Check: func(stream.Header) error { return no }})
	require.ErrorIs(t, err, no)
	require.Zero(t, dev.Count(fault.AnyChange))
	var spool bytes.Buffer
	_, err = engine.Receive(t.Context(), &spool, bytes.NewReader(wire.Bytes()), engine.ReceiveOptions{Check: func(stream.Header) error { return no }})
	require.ErrorIs(t, err, no)
	require.Zero(t, spool.Len())
}

// TestCancel: neither a peer that does not read nor one that does not write keeps us.
func TestCancel(t *testing.T) {
	_, v := change(6, 4<<20, 4096, 1000)
	for name, run := range map[string]func(ctx context.Context) error{
		"extract into a full pipe": func(ctx context.Context) error {
			_, w := io.Pipe()
			_, err := engine.Extract(ctx, w, v, engine.ExtractOptions{Header: header(v, 0)})
			return err
		},
		"merge from a silent pipe": func(ctx context.Context) error {
			r, _ := io.Pipe()
			_, err := engine.Merge(ctx, mem.New("t", 4<<20), r, engine.MergeOptions{})
			return err
		},
		"receive from a silent pipe": func(ctx context.Context) error {
			r, _ := io.Pipe()
			_, err := engine.Receive(ctx, io.Discard, r, engine.ReceiveOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- run(ctx) }()
			time.AfterFunc(20*time.Millisecond, cancel)
			select {
			case err := <-done:
				require.ErrorIs(t, err, context.Canceled)
			case <-time.After(time.Second):
				t.Fatal("still running a second after it was cancelled")
			}
		})
	}
}

// TestApplyAgainAfterEveryFault: whatever operation of the device fails, applying the same
// journal again gives the new content; the error was reported.
func TestApplyAgainAfterEveryFault(t *testing.T) {
	old, v := change(7, 1<<20, 4096, 60)
	var journal bytes.Buffer
	_, err := engine.Extract(t.Context(), &journal, v, engine.ExtractOptions{Header: header(v, 16<<10)})
	require.NoError(t, err)
	tried := 0
	for n := 1; ; n++ {
		for _, mode := range []fault.Mode{fault.Before, fault.After, fault.Short} {
			disk := mem.NewFrom("target", bytes.Clone(old))
			dev := fault.New(disk, fault.Fault{Op: fault.AnyChange, Nth: n, Mode: mode, Stays: n%2 == 0})
			_, err := engine.Apply(t.Context(), dev, bytes.NewReader(journal.Bytes()), engine.MergeOptions{})
			if dev.Injected() == 0 {
				require.NoError(t, err)
				require.Greater(t, tried, 30)
				return
			}
			tried++
			require.Error(t, err, "operation %d", n)
			crashed := disk.CrashClone(rand.New(rand.NewPCG(uint64(n), 2)), 0.5)
			_, err = engine.Apply(t.Context(), crashed, bytes.NewReader(journal.Bytes()), engine.MergeOptions{})
			require.NoError(t, err)
			again := crashed.CrashClone(rand.New(rand.NewPCG(uint64(n), 3)), 0)
			require.True(t, bytes.Equal(v.content, again.Content()))
		}
	}
}

// TestCheckpoints: a cursor that was reported is durable on the device, so that a full copy
// that was cut goes on from it.
func TestCheckpoints(t *testing.T) {
	_, v := change(8, 2<<20, 4096, 400)
	v.set = extent.NewSet(extent.Between(0, 2<<20))
	var wire bytes.Buffer
	h := header(v, 16<<10)
	h.Kind = stream.KindFull
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: h})
	require.NoError(t, err)
	disk := mem.New("target", 2<<20)
	var last *stream.Cursor
	var durable *mem.Device
	_, err = engine.Merge(t.Context(), disk, bytes.NewReader(wire.Bytes()[:wire.Len()*2/3]), engine.MergeOptions{CheckpointEvery: 100 << 10,
		Checkpoint: func(c stream.Cursor) error {
			last, durable = &c, disk.CrashClone(rand.New(rand.NewPCG(1, 1)), 0)
			return nil
		}})
	require.ErrorIs(t, err, stream.ErrTruncated)
	require.NotNil(t, last)
	require.Greater(t, last.End, int64(1<<19))
	require.True(t, bytes.Equal(v.content[:last.End], durable.Content()[:last.End]))
	var rest bytes.Buffer
	_, err = engine.Extract(t.Context(), &rest, v, engine.ExtractOptions{Header: h, Resume: last})
	require.NoError(t, err)
	_, err = engine.Merge(t.Context(), durable, &rest, engine.MergeOptions{Resume: last})
	require.NoError(t, err)
	require.True(t, bytes.Equal(v.content, durable.Content()))
}

func TestUndo(t *testing.T) {
	old, v := change(9, 1<<20, 4096, 80)
	var delta, undo bytes.Buffer
	_, err := engine.Extract(t.Context(), &delta, v, engine.ExtractOptions{Header: header(v, 16<<10)})
	require.NoError(t, err)
	dev := mem.NewFrom("target", bytes.Clone(old))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(delta.Bytes())), nil }
	_, err = engine.Undo(t.Context(), &undo, dev, header(v, 16<<10), engine.DeltaExtents{Open: open}.Extents(), engine.ExtractOptions{})
	require.NoError(t, err)
	_, err = engine.Apply(t.Context(), dev, &delta, engine.MergeOptions{})
	require.NoError(t, err)
	require.True(t, bytes.Equal(v.content, dev.Content()))
	_, err = engine.Apply(t.Context(), dev, &undo, engine.MergeOptions{})
	require.NoError(t, err)
	require.True(t, bytes.Equal(old, dev.Content()))
}

func TestDigest(t *testing.T) {
	_, v := change(10, 3<<20+17, 4096, 80)
	for _, e := range []extent.Extent{{Off: 0, Len: 3<<20 + 17}, {Off: 5, Len: 1}, {Off: 100, Len: 1 << 20}} {
		got, err := engine.Digest(t.Context(), v, e, nil)
		require.NoError(t, err)
		require.Equal(t, sha256.Sum256(v.content[e.Off:e.End()]), got)
	}
	_, err := engine.Digest(t.Context(), v, extent.Extent{Off: 0, Len: 4 << 20}, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestSubChunkNeedsItsBase(t *testing.T) {
	base := bytes.Repeat([]byte{1}, 64<<10)
	var wire bytes.Buffer
	h := stream.Header{Kind: stream.KindDelta, SubChunk: true, ChunkSize: 64 << 10, FrameSize: 64 << 10, VolumeSize: 64 << 10, SetBytes: 64 << 10}
	enc, err := stream.NewEncoder(&wire, h, nil)
	require.NoError(t, err)
	f := stream.Frame{Extents: []extent.Extent{{Off: 512, Len: 512}}, Bases: []stream.Base{{Extent: extent.Extent{Off: 0, Len: 64 << 10}, Sum: sha256.Sum256(base)}}}
	require.NoError(t, stream.NewPacker(64<<10).Pack(&f, bytes.Repeat([]byte{2}, 512), stream.None))
	require.NoError(t, enc.WriteFrame(&f))
	_, err = enc.Close()
	require.NoError(t, err)

	_, err = engine.Merge(t.Context(), mem.NewFrom("t", base), bytes.NewReader(wire.Bytes()), engine.MergeOptions{})
	require.ErrorIs(t, err, engine.ErrSubChunk)
	require.NoError(t, engine.CheckBases(t.Context(), mem.NewFrom("t", base), bytes.NewReader(wire.Bytes()), nil))
	var bad *engine.BaseError
	require.ErrorAs(t, engine.CheckBases(t.Context(), mem.New("t", 64<<10), bytes.NewReader(wire.Bytes()), nil), &bad)
	require.Equal(t, []extent.Extent{{Off: 0, Len: 64 << 10}}, bad.Ranges)
}

func TestBrokenSources(t *testing.T) {
	_, v := change(11, 1<<20, 4096, 1)
	for _, seq := range []extent.Seq{
		extent.Of(extent.Extent{Off: 8192, Len: 4096}, extent.Extent{Off: 0, Len: 4096}),
		extent.Of(extent.Extent{Off: 1 << 20, Len: 4096}),
		extent.Failed(errors.New("table is short")),
	} {
		_, err := engine.Extract(t.Context(), io.Discard, seqSource{seq, v}, engine.ExtractOptions{Header: header(v, 0)})
		require.ErrorIs(t, err, engine.ErrSource)
	}
}

type seqSource struct {
	seq extent.Seq
	io.ReaderAt
}

func (s seqSource) Extents() iter.Seq2[extent.Extent, error] { return s.seq }
