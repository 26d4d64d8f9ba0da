package stream

import (
	"errors"
	"fmt"
	"io"
)

// DecoderOptions says what a decoder may expect. The zero value is right for a whole delta
// that ends where its input ends.
type DecoderOptions struct {
	At   *Cursor // the input continues this prefix
	Head *Header // the header of the prefix; the continuation's must equal it

	// SkipContent makes Next read past payloads without keeping them: Frame.Payload is nil.
	SkipContent bool
}

// Decoder reads a delta. Next checks structure, limits, order and the digest; the content of
// a frame is checked by Unpacker.Unpack, which may run in parallel. A delta is good when
// every Unpack succeeded and Next has returned io.EOF.
type Decoder struct {
	r       io.Reader
	opt     DecoderOptions
	h       Header
	t       *tally
	trailer Trailer
	offset  int64 // in this input
	err     error
	head    [trailerSize]byte
}

// NewDecoder reads and checks the header. The reader should be buffered.
func NewDecoder(r io.Reader, opt DecoderOptions) (*Decoder, error) {
	h, n, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	if opt.Head != nil && !h.Same(*opt.Head) {
		return nil, &Error{Kind: ErrPartial, Frame: h.First, Detail: "the header is another than that of the first part"}
	}
	t, err := newTally(h, opt.At)
	if err != nil {
		return nil, err
	}
	if opt.At == nil {
		t.bytes = int64(n)
	}
	return &Decoder{r: r, opt: opt, h: h, t: t, offset: int64(n)}, nil
}

// Header is the header of the input.
func (d *Decoder) Header() Header { return d.h }

// Counts is what was read so far, including the part before a cursor.
func (d *Decoder) Counts() Counts { return d.t.Counts }

// Trailer is valid after Next has returned io.EOF.
func (d *Decoder) Trailer() Trailer { return d.trailer }

// Cursor is the prefix that Next has read. It is verified where the content of every frame
// so far was unpacked without error.
func (d *Decoder) Cursor() (Cursor, error) { return d.t.cursor(d.h.SetID) }

// Offset is how much of this input was read.
func (d *Decoder) Offset() int64 { return d.offset }

// Next reads the next frame into f, whose buffers it uses again. io.EOF says that the
// trailer was there, matched, and was the last of the input.
func (d *Decoder) Next(f *Frame) error {
	if d.err != nil {
		return d.err
	}
	d.err = d.next(f)
	return d.err
}

func (d *Decoder) bad(kind error, detail string) error {
	return &Error{Kind: kind, Offset: d.offset, Frame: d.t.Groups, Detail: detail}
}

func (d *Decoder) read(p []byte) error {
	if _, err := io.ReadFull(d.r, p); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return d.bad(ErrTruncated, "")
		}
		return fmt.Errorf("read delta: %w", err)
	}
	return nil
}

func (d *Decoder) next(f *Frame) error {
	head := d.head[:frameHead]
	if err := d.read(head); err != nil {
		return err
	}
	switch string(head[:4]) {
	case frameMark:
	case trailerMark:
		return d.end()
	default:
		return d.bad(ErrFrame, "no frame begins here")
	}
	s := f.parseHead(head)
	if kind, detail := f.checkSizes(s, d.h.FrameSize); kind != nil {
		return d.bad(kind, detail)
	}
	if err := d.readBody(f, head, s); err != nil {
		return err
	}
	table := f.record[frameHead : frameHead+s.table]
	if headCheck(head, table) != s.check {
		return d.bad(ErrFrame, "checksum differs")
	}
	if kind, detail := f.checkHead(s, d.h.SubChunk); kind != nil {
		return d.bad(kind, detail)
	}
	if f.Seq != d.t.Groups {
		return d.bad(ErrOrder, fmt.Sprintf("it is frame %d", f.Seq))
	}
	end, err := f.parseTable(table, s, d.t.end, d.h.VolumeSize)
	if err != nil {
		return d.bad(ErrExtent, err.Error())
	}
	d.t.add(f, head, table, s.entries, end)
	if d.opt.SkipContent {
		d.t.bytes += int64(s.payload)
	}
	d.offset += int64(frameHead + s.table + s.payload)
	return nil
}

// readBody reads table and payload into the frame's record.
func (d *Decoder) readBody(f *Frame, head []byte, s frameSizes) error {
	size := frameHead + s.table
	if !d.opt.SkipContent {
		size += s.payload
	}
	if cap(f.record) < size {
		f.record = make([]byte, size, size+size/4)
	}
	f.record = f.record[:size]
	copy(f.record, head)
	if err := d.read(f.record[frameHead:]); err != nil {
		return err
	}
	f.Payload = nil
	if !d.opt.SkipContent {
		f.Payload = f.record[frameHead+s.table:]
		return nil
	}
	n, err := skip(d.r, int64(s.payload))
	if err != nil {
		return fmt.Errorf("read delta: %w", err)
	}
	if n < int64(s.payload) {
		return d.bad(ErrTruncated, "")
	}
	return nil
}

// discarder is a buffered reader that can pass over bytes (bufio.Reader).
type discarder interface{ Discard(n int) (int, error) }

// skip passes over n bytes and says over how many it passed before the end of the input.
func skip(r io.Reader, n int64) (int64, error) {
	if b, ok := r.(discarder); ok {
		m, err := b.Discard(int(n))
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return int64(m), err
	}
	m, err := io.CopyN(io.Discard, r, n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return m, err
}

// end reads the rest of the trailer and compares it with what was read.
func (d *Decoder) end() error {
	if err := d.read(d.head[frameHead:trailerSize]); err != nil {
		return err
	}
	if !d.trailer.parse(d.head[:trailerSize]) {
		return d.bad(ErrTrailer, "")
	}
	if d.trailer.Counts != d.t.Counts {
		return d.bad(ErrCounts, fmt.Sprintf("trailer %+v, read %+v", d.trailer.Counts, d.t.Counts))
	}
	if sent := d.t.DataBytes + d.t.ZeroBytes; sent > uint64(d.h.SetBytes) || (sent < uint64(d.h.SetBytes) && !d.h.SubChunk) {
		return d.bad(ErrCounts, fmt.Sprintf("%d bytes of extents, the header announced %d", sent, d.h.SetBytes))
	}
	if d.trailer.Digest != d.t.digest() {
		return d.bad(ErrDigest, "")
	}
	d.offset += trailerSize
	d.t.bytes += trailerSize
	var one [1]byte
	switch n, err := io.ReadFull(d.r, one[:]); {
	case n > 0:
		return d.bad(ErrTrailing, "")
	case err != io.EOF:
		return fmt.Errorf("read delta: %w", err)
	}
	return io.EOF
}

// TrailerRecord is the trailer as it was read: what a spool stores after the last frame.
func (d *Decoder) TrailerRecord() []byte { return d.head[:trailerSize] }
