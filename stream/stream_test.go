package stream

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample is a small delta with every kind of frame.
func sample(t testing.TB, codec Codec) []byte {
	t.Helper()
	var out bytes.Buffer
	h := sampleHeader()
	enc, err := NewEncoder(&out, h, nil)
	require.NoError(t, err)
	p := NewPacker(int(h.FrameSize))
	for _, f := range sampleFrames() {
		if f.content != nil {
			require.NoError(t, p.Pack(&f.Frame, f.content, codec))
		}
		require.NoError(t, enc.WriteFrame(&f.Frame))
	}
	_, err = enc.Close()
	require.NoError(t, err)
	return out.Bytes()
}

func sampleHeader() Header {
	return Header{Kind: KindDelta, SubChunk: true, ChunkSize: 4096, FrameSize: 16 << 10, VolumeSize: 1 << 30, SetBytes: 4096*5 + 8192 + 1<<20,
		SetID: SetID{1, 2, 3}, Source: "/dev/vg0/data",
		From: generation.Generation{UUID: "aaaaaa-0001", Seq: 7, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Size: 1 << 30},
		To:   generation.Generation{UUID: "bbbbbb-0002", Seq: 8, Time: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), Size: 1 << 30}}
}

type sampleFrame struct {
	Frame
	content []byte
}

func sampleFrames() []sampleFrame {
	text := bytes.Repeat([]byte("the quick brown fox, 0123456789\n"), 4096*3/32)
	noise := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	return []sampleFrame{
		{Frame: Frame{Extents: []extent.Extent{{Off: 0, Len: 8192}, {Off: 65536, Len: 4096}}, Zeros: []extent.Extent{{Off: 8192, Len: 4096}}}, content: text},
		{Frame: Frame{Span: 3, Zeros: []extent.Extent{{Off: 1 << 20, Len: 8192}, {Off: 2 << 20, Len: 1 << 20}}}},
		{Frame: Frame{Extents: []extent.Extent{{Off: 5 << 20, Len: 4096}}, Bases: []Base{{Extent: extent.Extent{Off: 5 << 20, Len: 65536}, Sum: sha256.Sum256([]byte("old"))}}}, content: noise},
	}
}

// decoded is all that a reader sees of a delta.
type decoded struct {
	h       Header
	frames  []Frame
	content [][]byte
	t       Trailer
}

// decode reads a whole delta and verifies it as a careful reader would.
func decode(r io.Reader, opt DecoderOptions) (d decoded, err error) {
	dec, err := NewDecoder(r, opt)
	if err != nil {
		return d, err
	}
	d.h = dec.Header()
	u := NewUnpacker()
	defer u.Close()
	var f Frame
	for {
		err := dec.Next(&f)
		if errors.Is(err, io.EOF) {
			d.t = dec.Trailer()
			return d, nil
		}
		if err != nil {
			return d, err
		}
		content, err := u.Unpack(&f)
		if err != nil {
			return d, err
		}
		d.content = append(d.content, bytes.Clone(content))
		d.frames = append(d.frames, Frame{Seq: f.Seq, Span: f.Span, Flags: f.Flags, Codec: f.Codec, RawLen: f.RawLen, Sum: f.Sum,
			Extents: append([]extent.Extent(nil), f.Extents...), Zeros: append([]extent.Extent(nil), f.Zeros...), Bases: append([]Base(nil), f.Bases...)})
	}
}

func TestRoundTrip(t *testing.T) {
	var digest Digest
	for _, codec := range []Codec{None, S2, Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			d, err := decode(bytes.NewReader(sample(t, codec)), DecoderOptions{})
			require.NoError(t, err)
			want := sampleHeader()
			want.Version, want.Checksum = Version, ChecksumXXH64SHA256
			require.Equal(t, want, d.h)
			require.Len(t, d.frames, 3)
			seqs := []uint64{0, 1, 4}
			for i, f := range sampleFrames() {
				require.Equal(t, f.content, d.content[i])
				require.Equal(t, f.Extents, d.frames[i].Extents)
				require.Equal(t, f.Zeros, d.frames[i].Zeros)
				require.Equal(t, f.Bases, d.frames[i].Bases)
				require.Equal(t, seqs[i], d.frames[i].Seq)
			}
			require.Equal(t, codec, d.frames[0].Codec)
			require.Equal(t, None, d.frames[2].Codec, "noise is sent raw")
			require.Equal(t, Counts{Frames: 3, Groups: 5, Extents: 6, DataBytes: 4096 * 4, ZeroBytes: 4096 + 8192 + 1<<20}, d.t.Counts)
			if digest == (Digest{}) {
				digest = d.t.Digest
			}
			require.Equal(t, digest, d.t.Digest, "the digest does not depend on the codec")
		})
	}
}

// TestGolden pins the bytes of format version 1: a change here is a new version.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1-none.delta")
	got := sample(t, None)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, name := range []string{"v1-s2.delta", "v1-zstd.delta"} { // encoders may improve; old files stay readable
		p := filepath.Join("testdata", name)
		if *update {
			codec := map[string]Codec{"v1-s2.delta": S2, "v1-zstd.delta": Zstd}[name]
			require.NoError(t, os.WriteFile(p, sample(t, codec), 0o644))
		}
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		d, err := decode(bytes.NewReader(b), DecoderOptions{})
		require.NoError(t, err)
		require.Equal(t, sampleFrames()[0].content, d.content[0])
	}
}

func TestEveryTruncationIsTruncated(t *testing.T) {
	whole := sample(t, S2)
	for n := range whole {
		_, err := decode(bytes.NewReader(whole[:n]), DecoderOptions{})
		require.ErrorIs(t, err, ErrTruncated, "cut at %d of %d", n, len(whole))
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestEveryBitFlipIsRefused(t *testing.T) {
	for _, codec := range []Codec{None, S2, Zstd} {
		whole := sample(t, codec)
		for i := range whole {
			b := bytes.Clone(whole)
			b[i] ^= 1 << (i % 8)
			_, err := decode(bytes.NewReader(b), DecoderOptions{})
			require.ErrorIs(t, err, ErrCorrupt, "%v: bit %d of byte %d of %d", codec, i%8, i, len(whole))
		}
	}
}

func TestTrailingBytes(t *testing.T) {
	whole := sample(t, None)
	for _, more := range [][]byte{{0}, whole, []byte("\n")} {
		_, err := decode(bytes.NewReader(append(bytes.Clone(whole), more...)), DecoderOptions{})
		require.ErrorIs(t, err, ErrTrailing)
	}
}

// records splits a delta into header, frames and trailer.
func records(t *testing.T, whole []byte) [][]byte {
	dec, err := NewDecoder(bytes.NewReader(whole), DecoderOptions{})
	require.NoError(t, err)
	parts := [][]byte{whole[:dec.Offset()]}
	for at := dec.Offset(); ; at = dec.Offset() {
		var f Frame
		err := dec.Next(&f)
		parts = append(parts, whole[at:dec.Offset()])
		if errors.Is(err, io.EOF) {
			return parts
		}
		require.NoError(t, err)
		require.Equal(t, parts[len(parts)-1], f.Record())
	}
}

func TestReorderedLostAndRepeatedFrames(t *testing.T) {
	p := records(t, sample(t, None))
	require.Len(t, p, 5)
	for name, order := range map[string][]int{"swapped": {0, 2, 1, 3, 4}, "lost": {0, 1, 3, 4}, "repeated": {0, 1, 1, 2, 3, 4}, "none": {0, 2, 3, 4}} {
		var b []byte
		for _, i := range order {
			b = append(b, p[i]...)
		}
		_, err := decode(bytes.NewReader(b), DecoderOptions{})
		require.ErrorIs(t, err, ErrOrder, name)
	}
	_, err := decode(bytes.NewReader(bytes.Join([][]byte{p[0], p[1], p[2], p[4]}, nil)), DecoderOptions{})
	require.ErrorIs(t, err, ErrCounts, "last frame lost")
}

func TestDigestOfAnotherHeaderIsRefused(t *testing.T) {
	p := records(t, sample(t, None))
	h := sampleHeader()
	h.Checksum, h.Source = ChecksumXXH64SHA256, "/dev/vg0/other"
	p[0] = h.appendTo(nil)
	_, err := decode(bytes.NewReader(bytes.Join(p, nil)), DecoderOptions{})
	require.ErrorIs(t, err, ErrDigest)
}

func TestNotADelta(t *testing.T) {
	for _, b := range [][]byte{[]byte("hello, this is no delta at all"), make([]byte, 4096), []byte("x")} {
		_, err := decode(bytes.NewReader(b), DecoderOptions{})
		require.ErrorIs(t, err, ErrNotDelta)
	}
	b := sample(t, None)
	b[8] = 2
	_, err := decode(bytes.NewReader(b), DecoderOptions{})
	require.ErrorIs(t, err, ErrVersion)
}

func TestContinuation(t *testing.T) {
	whole := sample(t, Zstd)
	frames := sampleFrames()
	for cut := 0; cut <= len(frames); cut++ {
		dec, err := NewDecoder(bytes.NewReader(whole), DecoderOptions{})
		require.NoError(t, err)
		var f Frame
		for range cut {
			require.NoError(t, dec.Next(&f))
		}
		at, err := dec.Cursor()
		require.NoError(t, err)
		require.Equal(t, dec.Offset(), at.Bytes)

		var rest bytes.Buffer
		enc, err := NewEncoder(&rest, sampleHeader(), &at)
		require.NoError(t, err)
		p := NewPacker(16 << 10)
		for _, s := range frames[cut:] {
			if s.content != nil {
				require.NoError(t, p.Pack(&s.Frame, s.content, S2))
			}
			require.NoError(t, enc.WriteFrame(&s.Frame))
		}
		_, err = enc.Close()
		require.NoError(t, err)

		head := dec.Header()
		d, err := decode(bytes.NewReader(rest.Bytes()), DecoderOptions{At: &at, Head: &head})
		require.NoError(t, err, "cut after %d frames", cut)
		require.Len(t, d.frames, len(frames)-cut)
		if cut > 0 {
			_, err = decode(bytes.NewReader(rest.Bytes()), DecoderOptions{})
			require.ErrorIs(t, err, ErrPartial)
		}
		other := head
		other.SetID[0]++
		_, err = decode(bytes.NewReader(rest.Bytes()), DecoderOptions{At: &at, Head: &other})
		require.ErrorIs(t, err, ErrPartial)
	}
}

func TestEncoderRefusesWhatReadersRefuse(t *testing.T) {
	content := make([]byte, 4096)
	content[0] = 1
	for name, f := range map[string]Frame{
		"empty":          {},
		"outside":        {Extents: []extent.Extent{{Off: 1<<30 - 100, Len: 4096}}},
		"negative":       {Extents: []extent.Extent{{Off: -4096, Len: 4096}}},
		"overlap":        {Extents: []extent.Extent{{Off: 0, Len: 2048}, {Off: 1024, Len: 2048}}},
		"back":           {Extents: []extent.Extent{{Off: 4096, Len: 2048}, {Off: 0, Len: 2048}}},
		"short":          {Extents: []extent.Extent{{Off: 0, Len: 2048}}},
		"span with data": {Span: 2, Extents: []extent.Extent{{Off: 0, Len: 4096}}},
		"base too small": {Extents: []extent.Extent{{Off: 0, Len: 4096}}, Bases: make([]Base, MaxBases+1)},
	} {
		enc, err := NewEncoder(io.Discard, sampleHeader(), nil)
		require.NoError(t, err)
		if len(f.Extents) > 0 {
			require.NoError(t, NewPacker(1<<20).Pack(&f, content, None))
		}
		require.Error(t, enc.WriteFrame(&f), name)
		_, err = enc.Close()
		require.Error(t, err, "%s: an encoder that failed writes no trailer", name)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, codec := range []Codec{None, S2, Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			const runs = 200
			h := sampleHeader()
			h.VolumeSize, h.SetBytes, h.FrameSize = 1<<40, 1<<40, 256<<10
			var out bytes.Buffer
			out.Grow(runs * 300 << 10)
			enc, err := NewEncoder(&out, h, nil)
			require.NoError(t, err)
			content := bytes.Repeat([]byte("some text that shrinks, "), 256<<10/24)
			p, f, off := NewPacker(256<<10), Frame{}, int64(0)
			write := func() {
				f.Reset()
				f.Extents = append(f.Extents, extent.Extent{Off: off, Len: int64(len(content))})
				off += 1 << 20
				if p.Pack(&f, content, codec) != nil || enc.WriteFrame(&f) != nil {
					panic("write")
				}
			}
			write()
			require.Zero(t, testing.AllocsPerRun(runs-10, write), "encode")

			dec, err := NewDecoder(&out, DecoderOptions{})
			require.NoError(t, err)
			u := NewUnpacker()
			defer u.Close()
			read := func() {
				if dec.Next(&f) != nil {
					panic("next")
				}
				if _, err := u.Unpack(&f); err != nil {
					panic(err)
				}
			}
			read()
			require.Zero(t, testing.AllocsPerRun(runs-20, read), "decode")
		})
	}
}
