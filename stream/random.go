package stream

import (
	"fmt"
	"io"
)

// ReadFrameAt reads the frame that begins at off of a stored delta, for readers that have
// verified the delta as a whole before and remember where its frames begin (Decoder.Offset).
// Its own checksums are verified again, its place in the order is not.
func ReadFrameAt(r io.ReaderAt, off int64, h Header, f *Frame) error {
	bad := func(kind error, detail string) error {
		return &Error{Kind: kind, Offset: off, Frame: f.Seq, Detail: detail}
	}
	read := func(p []byte, at int64) error {
		if n, err := r.ReadAt(p, at); n < len(p) {
			if err == nil || err == io.EOF {
				return bad(ErrTruncated, "")
			}
			return fmt.Errorf("read delta: %w", err)
		}
		return nil
	}
	var head [frameHead]byte
	if err := read(head[:], off); err != nil {
		return err
	}
	if string(head[:4]) != frameMark {
		return bad(ErrFrame, "no frame begins here")
	}
	s := f.parseHead(head[:])
	if kind, detail := f.checkSizes(s, h.FrameSize); kind != nil {
		return bad(kind, detail)
	}
	size := frameHead + s.table + s.payload
	if cap(f.record) < size {
		f.record = make([]byte, size, size+size/4)
	}
	f.record = f.record[:size]
	copy(f.record, head[:])
	if err := read(f.record[frameHead:], off+frameHead); err != nil {
		return err
	}
	f.Payload = f.record[frameHead+s.table:]
	table := f.record[frameHead : frameHead+s.table]
	if headCheck(head[:], table) != s.check {
		return bad(ErrFrame, "checksum differs")
	}
	if kind, detail := f.checkHead(s, h.SubChunk); kind != nil {
		return bad(kind, detail)
	}
	if _, err := f.parseTable(table, s, 0, h.VolumeSize); err != nil {
		return bad(ErrExtent, err.Error())
	}
	return nil
}
