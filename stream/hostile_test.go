package stream

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/extent"
)

// forge writes a header and one frame as a hostile sender would: nothing is checked, but
// every checksum is right.
func forge(h Header, change func(head []byte), f Frame, table []byte) []byte {
	h.Version, h.Checksum = Version, ChecksumXXH64SHA256
	b := h.appendTo(nil)
	rec := append(make([]byte, frameHead), table...)
	f.putHead(rec, 1, len(table))
	if change != nil {
		change(rec)
		binary.LittleEndian.PutUint64(rec[48:], headCheck(rec[:frameHead], rec[frameHead:]))
	}
	return append(append(b, rec...), f.Payload...)
}

func oneExtent(off, length uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, off), length<<1)
}

func TestHostileFrames(t *testing.T) {
	const frame = 16 << 10
	h := sampleHeader()
	content := make([]byte, frame)
	data := Frame{Span: 1, Flags: FlagData | FlagRaw, RawLen: frame, Sum: xxhash.Sum64(content), Payload: content}
	bombZstd, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	require.NoError(t, err)
	big := make([]byte, 64<<20)
	put32 := func(at int, v uint32) func([]byte) {
		return func(p []byte) { binary.LittleEndian.PutUint32(p[at:], v) }
	}
	encoded := func(codec Codec, payload []byte) Frame {
		return Frame{Span: 1, Flags: FlagData, Codec: codec, RawLen: frame, Sum: data.Sum, Payload: payload}
	}
	zero := Frame{Span: 1, Flags: FlagZero}
	for name, c := range map[string]struct {
		frame  Frame
		table  []byte
		change func([]byte)
		want   error
	}{
		"table of 4 GiB":        {data, oneExtent(0, frame), put32(24, 0xffffffff), ErrLimit},
		"entries of 4 Gi":       {data, oneExtent(0, frame), put32(20, 0xffffffff), ErrLimit},
		"payload of 4 GiB":      {data, oneExtent(0, frame), put32(40, 0xffffffff), ErrLimit},
		"content of 4 GiB":      {data, oneExtent(0, frame), put32(28, 0xffffffff), ErrLimit},
		"span of 4 Gi":          {data, oneExtent(0, frame), put32(16, 0xffffffff), ErrLimit},
		"span 0":                {data, oneExtent(0, frame), put32(16, 0), ErrFrame},
		"reserved":              {data, oneExtent(0, frame), put32(44, 1), ErrFrame},
		"unknown flag":          {data, oneExtent(0, frame), func(p []byte) { p[4] |= 0x40 }, ErrFrame},
		"unknown codec":         {data, oneExtent(0, frame), func(p []byte) { p[4], p[5] = byte(FlagData), 9 }, ErrCodec},
		"raw with codec":        {data, oneExtent(0, frame), func(p []byte) { p[5] = 2 }, ErrFrame},
		"two entries announced": {data, oneExtent(0, frame), put32(20, 2), ErrExtent},
		"beyond the volume":     {data, oneExtent(1<<30-4096, frame), nil, ErrExtent},
		"offset overflows":      {data, oneExtent(1<<64-4096, frame), nil, ErrExtent},
		"length overflows":      {zero, binary.AppendUvarint([]byte{0}, 1<<64-1), nil, ErrExtent},
		"empty extent":          {data, oneExtent(0, 0), nil, ErrExtent},
		"long varint":           {data, append([]byte{0x80, 0}, oneExtent(0, frame)[1:]...), nil, ErrExtent},
		"bytes after the table": {data, append(oneExtent(0, frame), 7), nil, ErrExtent},
		"zeros without flag":    {data, binary.AppendUvarint([]byte{0}, frame<<1|1), nil, ErrExtent},
		"wrong sum":             {Frame{Span: 1, Flags: data.Flags, RawLen: frame, Sum: 1, Payload: content}, oneExtent(0, frame), nil, ErrChecksum},
		"zstd bomb":             {encoded(Zstd, bombZstd.EncodeAll(big, nil)), oneExtent(0, frame), nil, ErrBomb},
		"zstd too short":        {encoded(Zstd, bombZstd.EncodeAll(content[1:], nil)), oneExtent(0, frame), nil, ErrBomb},
		"zstd garbage":          {encoded(Zstd, []byte("garbage, garbage")), oneExtent(0, frame), nil, ErrChecksum},
		"s2 bomb":               {encoded(S2, s2.Encode(nil, big)[:100]), oneExtent(0, frame), nil, ErrBomb},
		"s2 garbage":            {encoded(S2, []byte{0x80, 0x80, 0x01, 9, 9, 9, 9}), oneExtent(0, frame), nil, ErrChecksum},
		"base without flag":     {data, oneExtent(0, frame), func(p []byte) { p[6] = 1 }, ErrFrame},
	} {
		t.Run(name, func(t *testing.T) {
			b := forge(h, c.change, c.frame, c.table)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := decode(bytes.NewReader(b), DecoderOptions{})
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, c.want)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "memory does not follow what a frame announces")
		})
	}
}

func TestHostileHeaders(t *testing.T) {
	for name, change := range map[string]func(h *Header){
		"frame size 0":    func(h *Header) { h.FrameSize = 0 },
		"frame of 2 GiB":  func(h *Header) { h.FrameSize = 2 << 30 },
		"negative volume": func(h *Header) { h.VolumeSize = -1 },
		"more than all":   func(h *Header) { h.SetBytes = h.VolumeSize + 1 },
		"kind":            func(h *Header) { h.Kind = 9 },
		"checksum kind":   func(h *Header) { h.Checksum = 9 },
	} {
		h := sampleHeader()
		h.Checksum = ChecksumXXH64SHA256
		change(&h)
		_, err := decode(bytes.NewReader(h.appendTo(nil)), DecoderOptions{})
		require.ErrorIs(t, err, ErrHeader, name)
	}
	b := sample(t, None)
	binary.LittleEndian.PutUint32(b[12:], 1<<31)
	_, err := decode(bytes.NewReader(b), DecoderOptions{})
	require.ErrorIs(t, err, ErrLimit)
}

// FuzzDecode: no input makes a reader panic or believe something that a writer would not
// have written: what decodes is encoded again to the same counts and digest.
func FuzzDecode(f *testing.F) {
	for _, c := range []Codec{None, S2, Zstd} {
		f.Add(sample(f, c))
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decode(bytes.NewReader(b), DecoderOptions{})
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		enc, err := NewEncoder(&bytes.Buffer{}, d.h, nil)
		require.NoError(t, err)
		p := NewPacker(int(d.h.FrameSize))
		for i := range d.frames {
			fr := d.frames[i]
			fr.Flags &^= FlagRaw
			if fr.RawLen > 0 {
				require.NoError(t, p.Pack(&fr, d.content[i], None))
			}
			require.NoError(t, enc.WriteFrame(&fr))
		}
		trailer, err := enc.Close()
		require.NoError(t, err)
		require.Equal(t, d.t, trailer)
	})
}

// FuzzDamage: a delta is encoded with all codecs, one of them is damaged, and the damaged
// one either is refused or says exactly what the others say.
func FuzzDamage(f *testing.F) {
	f.Add([]byte("content content content"), uint64(4096), uint32(9), byte(1), byte(1))
	f.Add(bytes.Repeat([]byte{1, 2, 3}, 1000), uint64(0), uint32(500), byte(0x80), byte(2))
	f.Fuzz(func(t *testing.T, content []byte, off uint64, at uint32, flip, codec byte) {
		const volume = 1 << 40
		if len(content) == 0 || len(content) > 16<<10 {
			return
		}
		off %= volume / 2
		var all [3]decoded
		var raw [3][]byte
		for c := range all {
			var out bytes.Buffer
			enc, err := NewEncoder(&out, Header{Kind: KindDelta, FrameSize: 16 << 10, VolumeSize: volume, SetBytes: int64(len(content)) + 512}, nil)
			require.NoError(t, err)
			fr := Frame{Extents: []extent.Extent{{Off: int64(off), Len: int64(len(content))}}, Zeros: []extent.Extent{{Off: int64(off) + int64(len(content)), Len: 512}}}
			require.NoError(t, NewPacker(16<<10).Pack(&fr, content, Codec(c)))
			require.NoError(t, enc.WriteFrame(&fr))
			_, err = enc.Close()
			require.NoError(t, err)
			raw[c] = out.Bytes()
			all[c], err = decode(bytes.NewReader(raw[c]), DecoderOptions{})
			require.NoError(t, err)
			require.Equal(t, content, all[c].content[0])
			require.Equal(t, all[0].t, all[c].t)
		}
		bad := bytes.Clone(raw[codec%3])
		bad[int(at)%len(bad)] ^= flip
		d, err := decode(bytes.NewReader(bad), DecoderOptions{})
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		require.Equal(t, all[0].content, d.content)
		require.Equal(t, all[0].t, d.t)
		require.Equal(t, all[0].h, d.h)
	})
}
