package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// Trailer is what a finished delta says about itself.
type Trailer struct {
	Counts
	Digest Digest `json:"digest"`
}

// appendTo appends the trailer as it is written.
func (t *Trailer) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, trailerMark...)
	b = append(b, 0, 0, 0, 0)
	for _, v := range []uint64{t.Frames, t.Groups, t.DataBytes, t.ZeroBytes, t.Extents} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, t.Digest[:]...)
	b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
	return append(b, endMark...)
}

// parse reads the trailer from its 96 bytes.
func (t *Trailer) parse(p []byte) bool {
	if xxhash.Sum64(p[:80]) != binary.LittleEndian.Uint64(p[80:]) || string(p[88:96]) != endMark ||
		binary.LittleEndian.Uint32(p[4:]) != 0 {
		return false
	}
	t.Frames = binary.LittleEndian.Uint64(p[8:])
	t.Groups = binary.LittleEndian.Uint64(p[16:])
	t.DataBytes = binary.LittleEndian.Uint64(p[24:])
	t.ZeroBytes = binary.LittleEndian.Uint64(p[32:])
	t.Extents = binary.LittleEndian.Uint64(p[40:])
	copy(t.Digest[:], p[48:80])
	return true
}

// Encoder writes a delta: the header when made, then frames in order, then the trailer.
// After an error it refuses all further work.
type Encoder struct {
	w   io.Writer
	h   Header
	t   *tally
	buf []byte
	err error
}

// errFinished is what an encoder answers after its trailer.
var errFinished = errors.New("delta is finished")

// NewEncoder writes the header. With a cursor the stream is its continuation.
func NewEncoder(w io.Writer, h Header, at *Cursor) (*Encoder, error) {
	h.Version, h.Checksum, h.First = Version, ChecksumXXH64SHA256, 0
	if at != nil {
		h.First = at.Next
	}
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("delta header: %w", err)
	}
	t, err := newTally(h, at)
	if err != nil {
		return nil, err
	}
	e := &Encoder{w: w, h: h, t: t}
	b := h.appendTo(nil)
	if at == nil {
		t.bytes = int64(len(b))
	}
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("write delta: %w", err)
	}
	return e, nil
}

// Header is the header as written.
func (e *Encoder) Header() Header { return e.h }

// Counts is what was written so far, including the part before a cursor.
func (e *Encoder) Counts() Counts { return e.t.Counts }

// Bytes is the length of the delta so far, including the part before a cursor.
func (e *Encoder) Bytes() int64 { return e.t.bytes }

// WriteFrame numbers the frame and writes it. Span 0 counts as 1.
func (e *Encoder) WriteFrame(f *Frame) error {
	if e.err != nil {
		return e.err
	}
	e.err = e.writeFrame(f)
	return e.err
}

func (e *Encoder) writeFrame(f *Frame) error {
	f.Seq, f.Span = e.t.Groups, max(f.Span, 1)
	if len(f.Zeros) > 0 {
		f.Flags |= FlagZero
	}
	if len(f.Bases) > 0 {
		f.Flags |= FlagBase
	}
	b, end, entries, err := f.appendRecord(e.buf[:0], e.t.end, e.h.VolumeSize)
	e.buf = b[:0]
	if err != nil {
		return fmt.Errorf("frame %d: %w", f.Seq, err)
	}
	if kind, detail := e.check(f, int(entries), len(b)-frameHead); kind != nil {
		return fmt.Errorf("frame %d: %w: %s", f.Seq, kind, detail)
	}
	e.t.add(f, b[:frameHead], b[frameHead:], int(entries), end)
	if _, err := e.w.Write(b); err != nil {
		return fmt.Errorf("write delta: %w", err)
	}
	if len(f.Payload) == 0 {
		return nil
	}
	if _, err := e.w.Write(f.Payload); err != nil {
		return fmt.Errorf("write delta: %w", err)
	}
	return nil
}

// check holds a frame to the rules that a reader will hold it to.
func (e *Encoder) check(f *Frame, entries, table int) (kind error, detail string) {
	var sum int64
	for _, x := range f.Extents {
		sum += x.Len
	}
	if sum != int64(f.RawLen) {
		return ErrFrame, fmt.Sprintf("extents of %d bytes for content of %d", sum, f.RawLen)
	}
	s := frameSizes{entries: entries, bases: len(f.Bases), table: table, payload: len(f.Payload)}
	if kind, detail := f.checkSizes(s, e.h.FrameSize); kind != nil {
		return kind, detail
	}
	return f.checkHead(s, e.h.SubChunk)
}

// Close writes the trailer. It does not close the writer.
func (e *Encoder) Close() (Trailer, error) {
	t := Trailer{Counts: e.t.Counts, Digest: e.t.digest()}
	if e.err != nil {
		return t, e.err
	}
	if sent := t.DataBytes + t.ZeroBytes; sent > uint64(e.h.SetBytes) || (sent < uint64(e.h.SetBytes) && !e.h.SubChunk) {
		e.err = fmt.Errorf("%d bytes of extents, the header announced %d: %w", sent, e.h.SetBytes, ErrCounts)
		return t, e.err
	}
	b := t.appendTo(e.buf[:0])
	if _, err := e.w.Write(b); err != nil {
		e.err = fmt.Errorf("write delta: %w", err)
		return t, e.err
	}
	e.t.bytes += trailerSize
	e.err = errFinished
	return t, nil
}
