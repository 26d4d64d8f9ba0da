package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/ddsgo/ddsgo/extent"
)

// Flags of a frame; part of the format.
type Flags uint8

// The flags.
const (
	FlagData Flags = 1 << 0 // the frame has content
	FlagZero Flags = 1 << 1 // some extents read as zeros
	FlagBase Flags = 1 << 2 // base digests follow the extents
	FlagRaw  Flags = 1 << 7 // the payload is the content itself
)

const knownFlags = FlagData | FlagZero | FlagBase | FlagRaw

// Base is a range of the base generation that a sub-chunk frame builds on.
type Base struct {
	Extent extent.Extent
	Sum    [32]byte // SHA-256 of the range in the base
}

// Frame is one record of a delta. A Frame may be used again for the next record: its
// slices keep their capacity, so that a steady state allocates nothing. Payload and what
// Unpack returns are valid until then.
type Frame struct {
	Seq     uint64          // number of the first group
	Span    uint32          // groups
	Flags   Flags           //
	Codec   Codec           //
	Extents []extent.Extent // content follows, in this order
	Zeros   []extent.Extent // read as zeros
	Bases   []Base          // only with FlagBase
	RawLen  int             // bytes of content: the sum of Extents
	Sum     uint64          // xxhash64 of the content
	Payload []byte          // content as it travels

	record  []byte // head, table and payload as read
	encoded []byte // buffer of the packer
	content []byte // buffer of the unpacker
}

// Reset empties the frame; its buffers stay.
func (f *Frame) Reset() {
	*f = Frame{Extents: f.Extents[:0], Zeros: f.Zeros[:0], Bases: f.Bases[:0], record: f.record, encoded: f.encoded, content: f.content}
}

// Record is the frame as it was read, byte for byte: what a spool stores.
func (f *Frame) Record() []byte { return f.record }

// ZeroBytes is the sum of Zeros.
func (f *Frame) ZeroBytes() int64 {
	var n int64
	for _, e := range f.Zeros {
		n += e.Len
	}
	return n
}

// appendRecord appends head and tables; the payload follows them on the wire. end is where
// the frame before ended, limit the size of the volume.
func (f *Frame) appendRecord(b []byte, end, limit int64) ([]byte, int64, uint32, error) {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b, last, entries, err := appendTable(b, f.Extents, f.Zeros, end, limit)
	if err != nil {
		return b[:start], 0, 0, err
	}
	b = appendBases(b, f.Bases)
	table := b[start+frameHead:]
	f.putHead(b[start:], entries, len(table))
	return b, last, entries, nil
}

// putHead fills in the 56 bytes of the head; the table follows them in p already.
func (f *Frame) putHead(p []byte, entries uint32, table int) {
	copy(p, frameMark)
	p[4], p[5] = byte(f.Flags), byte(f.Codec)
	binary.LittleEndian.PutUint16(p[6:], uint16(len(f.Bases)))
	binary.LittleEndian.PutUint64(p[8:], f.Seq)
	binary.LittleEndian.PutUint32(p[16:], f.Span)
	binary.LittleEndian.PutUint32(p[20:], entries)
	binary.LittleEndian.PutUint32(p[24:], uint32(table))
	binary.LittleEndian.PutUint32(p[28:], uint32(f.RawLen))
	binary.LittleEndian.PutUint64(p[32:], f.Sum)
	binary.LittleEndian.PutUint32(p[40:], uint32(len(f.Payload)))
	binary.LittleEndian.PutUint32(p[44:], 0)
	binary.LittleEndian.PutUint64(p[48:], headCheck(p[:frameHead], p[frameHead:frameHead+table]))
}

// headCheck is the checksum of a head and its table.
func headCheck(head, table []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(head[:48])
	_, _ = d.Write(table)
	return d.Sum64()
}

// frameSizes are the lengths that a head announces.
type frameSizes struct {
	entries, bases int
	table, payload int
	check          uint64
	reserved       bool
}

// parseHead reads the 56 bytes of a head. The lengths are not checked yet.
func (f *Frame) parseHead(p []byte) frameSizes {
	f.Flags, f.Codec = Flags(p[4]), Codec(p[5])
	f.Seq = binary.LittleEndian.Uint64(p[8:])
	f.Span = binary.LittleEndian.Uint32(p[16:])
	f.RawLen = int(binary.LittleEndian.Uint32(p[28:]))
	f.Sum = binary.LittleEndian.Uint64(p[32:])
	return frameSizes{
		bases:    int(binary.LittleEndian.Uint16(p[6:])),
		entries:  int(binary.LittleEndian.Uint32(p[20:])),
		table:    int(binary.LittleEndian.Uint32(p[24:])),
		payload:  int(binary.LittleEndian.Uint32(p[40:])),
		reserved: binary.LittleEndian.Uint32(p[44:]) != 0,
		check:    binary.LittleEndian.Uint64(p[48:]),
	}
}

// checkSizes compares what a head announces with the limits, before any allocation.
func (f *Frame) checkSizes(s frameSizes, frameSize uint32) (kind error, detail string) {
	switch {
	case s.entries > MaxExtents || s.bases > MaxBases || s.table > MaxTable || f.Span > MaxSpan:
		return ErrLimit, fmt.Sprintf("%d extents, %d base ranges, table of %d bytes, span %d", s.entries, s.bases, s.table, f.Span)
	case f.RawLen > int(frameSize):
		return ErrLimit, fmt.Sprintf("content of %d bytes, frame size %d", f.RawLen, frameSize)
	case s.payload > f.RawLen:
		return ErrLimit, fmt.Sprintf("payload of %d bytes for %d bytes of content", s.payload, f.RawLen)
	}
	return nil, ""
}

// checkHead checks the rules between the fields of a head whose checksum is right.
func (f *Frame) checkHead(s frameSizes, subChunk bool) (kind error, detail string) {
	data, raw := f.Flags&FlagData != 0, f.Flags&FlagRaw != 0
	switch {
	case f.Flags&^knownFlags != 0 || s.reserved:
		return ErrFrame, fmt.Sprintf("unknown flags %#x", uint8(f.Flags))
	case s.entries == 0 || f.Span == 0:
		return ErrFrame, "no extents"
	case !f.Codec.known():
		return ErrCodec, f.Codec.String()
	case data != (f.RawLen > 0) || data != (s.payload > 0) || (!data && f.Sum != 0):
		return ErrFrame, "content and flags disagree"
	case raw != (data && f.Codec == None) || (raw && s.payload != f.RawLen):
		return ErrFrame, "codec and flags disagree"
	case data && f.Span != 1:
		return ErrFrame, "a frame with content stands for one group"
	case (f.Flags&FlagBase != 0) != (s.bases > 0) || (s.bases > 0 && !subChunk):
		return ErrFrame, "base digests and flags disagree"
	}
	return nil, ""
}
