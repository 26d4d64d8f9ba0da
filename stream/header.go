package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
)

// SetID names a set of extents of one volume between two generations.
type SetID = extent.SetID

// Kind says what a delta holds.
type Kind uint8

// Kinds; part of the format.
const (
	KindDelta Kind = 1 // what changed between From and To
	KindFull  Kind = 2 // the whole volume; right on any target
)

// String is "delta" or "full".
func (k Kind) String() string {
	switch k {
	case KindDelta:
		return "delta"
	case KindFull:
		return "full"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText makes the kind readable in JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *Kind) UnmarshalText(b []byte) error {
	switch string(b) {
	case "delta":
		*k = KindDelta
	case "full":
		*k = KindFull
	default:
		return fmt.Errorf("unknown kind of delta %q", b)
	}
	return nil
}

// ChecksumXXH64SHA256 is the only checksum kind of version 1.
const ChecksumXXH64SHA256 = 1

// Header describes a delta. Version and Checksum are filled in by the encoder.
type Header struct {
	Version    uint16                `json:"version"`
	Kind       Kind                  `json:"kind"`
	Checksum   uint8                 `json:"checksum"`
	SubChunk   bool                  `json:"sub_chunk"`
	ChunkSize  uint32                `json:"chunk_size"`
	FrameSize  uint32                `json:"frame_size"`
	VolumeSize int64                 `json:"volume_size"`
	SetBytes   int64                 `json:"set_bytes"` // sum of the set's extents
	First      uint64                `json:"first"`     // not 0: continuation
	SetID      SetID                 `json:"set_id"`
	From       generation.Generation `json:"from"` // zero for full, and for plain files
	To         generation.Generation `json:"to"`
	Source     string                `json:"source"`
}

// Validate checks the fields against the format's rules.
func (h *Header) Validate() error {
	switch {
	case h.Kind != KindDelta && h.Kind != KindFull:
		return fmt.Errorf("unknown kind %d", h.Kind)
	case h.Checksum != ChecksumXXH64SHA256:
		return fmt.Errorf("unknown checksum kind %d", h.Checksum)
	case h.FrameSize < MinFrameSize || h.FrameSize > MaxFrameSize:
		return fmt.Errorf("frame size %d: want %d to %d", h.FrameSize, MinFrameSize, MaxFrameSize)
	case h.VolumeSize < 0 || h.SetBytes < 0 || h.SetBytes > h.VolumeSize:
		return fmt.Errorf("volume size %d, changed %d", h.VolumeSize, h.SetBytes)
	case len(h.Source) > MaxSource || len(h.From.UUID) > generation.MaxUUID || len(h.To.UUID) > generation.MaxUUID:
		return fmt.Errorf("a name is longer than its limit")
	case h.From.Size < 0 || h.To.Size < 0:
		return fmt.Errorf("negative size of a generation")
	}
	return nil
}

// Same says that o heads another part of the same transfer.
func (h Header) Same(o Header) bool {
	h.First, o.First = 0, 0
	h.Checksum, o.Checksum = ChecksumXXH64SHA256, ChecksumXXH64SHA256
	return string(h.appendTo(nil)) == string(o.appendTo(nil))
}

// appendTo appends the header as it is written.
func (h *Header) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = append(b, 0, 0, 0, 0, 0, 0)
	b = h.appendBody(b)
	binary.LittleEndian.PutUint32(b[start+12:], uint32(len(b)-start-fixedHeader+checksumSize))
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
}

// appendDigest appends what the digest covers of the header.
func (h Header) appendDigest(b []byte) []byte {
	h.First = 0
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return h.appendBody(b)
}

func (h *Header) appendBody(b []byte) []byte {
	var flags byte
	if h.SubChunk {
		flags |= 1
	}
	b = append(b, byte(h.Kind), h.Checksum, flags, 0)
	b = binary.LittleEndian.AppendUint32(b, h.ChunkSize)
	b = binary.LittleEndian.AppendUint32(b, h.FrameSize)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.VolumeSize))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.SetBytes))
	b = binary.LittleEndian.AppendUint64(b, h.First)
	b = append(b, h.SetID[:]...)
	b = appendGeneration(b, h.From)
	b = appendGeneration(b, h.To)
	return appendString(b, h.Source)
}

func appendGeneration(b []byte, g generation.Generation) []byte {
	b = appendString(b, g.UUID)
	b = binary.LittleEndian.AppendUint64(b, g.Seq)
	var ns int64
	if !g.Time.IsZero() {
		ns = g.Time.UnixNano()
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(ns))
	return binary.LittleEndian.AppendUint64(b, uint64(g.Size))
}

func appendString(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// ReadHeader reads and checks the header of a delta and not a byte more.
func ReadHeader(r io.Reader) (Header, error) {
	h, _, err := readHeader(r)
	return h, err
}

// readHeader reads and checks a header; n is its length in bytes.
func readHeader(r io.Reader) (h Header, n int, err error) {
	var fixed [fixedHeader]byte
	if m, err := io.ReadFull(r, fixed[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			if m < len(magic) && string(fixed[:m]) == magic[:m] || string(fixed[:len(magic)]) == magic {
				return h, 0, &Error{Kind: ErrTruncated, Detail: "inside the header"}
			}
			return h, 0, &Error{Kind: ErrNotDelta}
		}
		return h, 0, fmt.Errorf("read delta header: %w", err)
	}
	if string(fixed[:len(magic)]) != magic {
		return h, 0, &Error{Kind: ErrNotDelta}
	}
	if v := binary.LittleEndian.Uint16(fixed[8:]); v != Version {
		return h, 0, &Error{Kind: ErrVersion, Detail: fmt.Sprintf("it is version %d, this program reads version %d", v, Version)}
	}
	size := binary.LittleEndian.Uint32(fixed[12:])
	if size > MaxHeader || size < checksumSize {
		return h, 0, &Error{Kind: ErrLimit, Detail: fmt.Sprintf("header of %d bytes", size)}
	}
	buf := make([]byte, fixedHeader+int(size))
	copy(buf, fixed[:])
	if _, err := io.ReadFull(r, buf[fixedHeader:]); err != nil {
		return h, 0, truncatedOr(err, &Error{Kind: ErrTruncated, Detail: "inside the header"})
	}
	if err := h.parse(buf); err != nil {
		return h, 0, &Error{Kind: ErrHeader, Detail: err.Error()}
	}
	return h, len(buf), nil
}

// truncatedOr returns e for an end of input and err otherwise.
func truncatedOr(err error, e *Error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return e
	}
	return fmt.Errorf("read delta: %w", err)
}

func (h *Header) parse(buf []byte) error {
	end := len(buf) - checksumSize
	if xxhash.Sum64(buf[:end]) != binary.LittleEndian.Uint64(buf[end:]) {
		return fmt.Errorf("checksum differs")
	}
	c := cursorOver(buf[fixedHeader:end])
	h.Version = binary.LittleEndian.Uint16(buf[8:])
	h.Kind, h.Checksum = Kind(c.u8()), c.u8()
	flags, zero := c.u8(), c.u8()
	h.SubChunk = flags&1 != 0
	h.ChunkSize, h.FrameSize = c.u32(), c.u32()
	h.VolumeSize, h.SetBytes, h.First = c.i64(), c.i64(), c.u64()
	copy(h.SetID[:], c.bytes(len(h.SetID)))
	h.From, h.To = c.generation(), c.generation()
	h.Source = c.str()
	switch {
	case c.short || len(c.b) != 0:
		return fmt.Errorf("length does not fit its fields")
	case flags > 1 || zero != 0 || buf[10] != 0 || buf[11] != 0:
		return fmt.Errorf("unknown flags")
	}
	return h.Validate()
}

// fields walks over bytes; after the first short read everything is zero.
type fields struct {
	b     []byte
	short bool
}

func cursorOver(b []byte) *fields { return &fields{b: b} }

func (f *fields) bytes(n int) []byte {
	if n > len(f.b) {
		f.short, f.b = true, nil
		return nil
	}
	p := f.b[:n]
	f.b = f.b[n:]
	return p
}

func (f *fields) u8() uint8 {
	if p := f.bytes(1); p != nil {
		return p[0]
	}
	return 0
}

func (f *fields) u32() uint32 {
	if p := f.bytes(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (f *fields) u64() uint64 {
	if p := f.bytes(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (f *fields) i64() int64 { return int64(f.u64()) }

func (f *fields) str() string { return string(f.bytes(int(f.u8()))) }

func (f *fields) generation() generation.Generation {
	g := generation.Generation{UUID: f.str(), Seq: f.u64()}
	if ns := f.i64(); ns != 0 {
		g.Time = time.Unix(0, ns).UTC()
	}
	g.Size = f.i64()
	return g
}
