package stream

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Codec encodes the content of one frame. The numbers are part of the format.
type Codec uint8

// The codecs.
const (
	None Codec = 0
	S2   Codec = 1
	Zstd Codec = 2
)

func (c Codec) known() bool { return c <= Zstd }

// String is the name that the command line uses.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// Packer turns content into payload. One goroutine uses a Packer at a time.
type Packer struct {
	frameSize int
	zstd      *zstd.Encoder // made when first needed: it holds about a megabyte
}

// NewPacker returns a packer for frames of up to frameSize bytes.
func NewPacker(frameSize int) *Packer { return &Packer{frameSize: frameSize} }

// Pack sets the frame's content: checksum, codec, flags and payload. The payload may be
// content itself, which must then stay as it is until the frame is written.
func (p *Packer) Pack(f *Frame, content []byte, c Codec) error {
	f.RawLen, f.Sum = len(content), xxhash.Sum64(content)
	f.Flags |= FlagData | FlagRaw
	f.Codec, f.Payload = None, content
	var enc []byte
	switch c {
	case None:
		return nil
	case S2:
		if n := s2.MaxEncodedLen(len(content)); cap(f.encoded) < n {
			f.encoded = make([]byte, n)
		}
		enc = s2.Encode(f.encoded[:cap(f.encoded)], content)
	case Zstd:
		if err := p.openZstd(); err != nil {
			return err
		}
		f.encoded = p.zstd.EncodeAll(content, f.encoded[:0])
		enc = f.encoded
	default:
		return fmt.Errorf("pack: %v: %w", c, ErrCodec)
	}
	if len(enc)*100 < len(content)*rawThreshold {
		f.Flags &^= FlagRaw
		f.Codec, f.Payload = c, enc
	}
	return nil
}

func (p *Packer) openZstd() error {
	if p.zstd != nil {
		return nil
	}
	window := zstd.MinWindowSize
	for window < p.frameSize {
		window <<= 1
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("zstd encoder: %w", err)
	}
	p.zstd = enc
	return nil
}

// Unpacker turns payload into content. One goroutine uses an Unpacker at a time.
type Unpacker struct {
	zstd *zstd.Decoder
}

// NewUnpacker returns an unpacker.
func NewUnpacker() *Unpacker { return &Unpacker{} }

// Close releases what the unpacker holds.
func (u *Unpacker) Close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// Unpack returns the content of a frame, checked against its length and checksum. It is
// valid until the frame is used again. A frame without content gives none.
func (u *Unpacker) Unpack(f *Frame) ([]byte, error) {
	if f.Flags&FlagData == 0 {
		return nil, nil
	}
	content, err := u.decode(f)
	if err != nil {
		return nil, err
	}
	if len(content) != f.RawLen {
		return nil, f.bad(ErrBomb, fmt.Sprintf("%d bytes, not %d", len(content), f.RawLen))
	}
	if xxhash.Sum64(content) != f.Sum {
		return nil, f.bad(ErrChecksum, "")
	}
	return content, nil
}

func (f *Frame) bad(kind error, detail string) error {
	return &Error{Kind: kind, Frame: f.Seq, Detail: detail}
}

// decode never produces more than RawLen bytes, which Next has checked against the limits.
func (u *Unpacker) decode(f *Frame) ([]byte, error) {
	if f.Codec != None && cap(f.content) < f.RawLen {
		f.content = make([]byte, f.RawLen)
	}
	switch f.Codec {
	case None:
		return f.Payload, nil
	case S2:
		n, err := s2.DecodedLen(f.Payload)
		if err != nil {
			return nil, f.bad(ErrChecksum, "s2: "+err.Error())
		}
		if n != f.RawLen {
			return nil, f.bad(ErrBomb, fmt.Sprintf("%d bytes, not %d", n, f.RawLen))
		}
		out, err := s2.Decode(f.content[:n], f.Payload)
		if err != nil {
			return nil, f.bad(ErrChecksum, "s2: "+err.Error())
		}
		return out, nil
	case Zstd:
		return u.decodeZstd(f)
	}
	return nil, f.bad(ErrCodec, f.Codec.String())
}

func (u *Unpacker) decodeZstd(f *Frame) ([]byte, error) {
	if u.zstd == nil {
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxFrameSize), zstd.WithDecoderMaxWindow(2*MaxFrameSize),
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, fmt.Errorf("zstd decoder: %w", err)
		}
		u.zstd = dec
	}
	out, err := u.zstd.DecodeAll(f.Payload, f.content[:0:f.RawLen])
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, f.bad(ErrBomb, "zstd: "+err.Error())
	}
	return nil, f.bad(ErrChecksum, "zstd: "+err.Error())
}
