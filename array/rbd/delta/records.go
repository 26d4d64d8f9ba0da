package delta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const magic = "rbd diff v1\n"

// Limits of what is read.
const (
	maxName   = 4096
	maxRecord = 1 << 40 // bytes of one record; far beyond an object
)

// record is one part of a diff stream. Content of a w record is read from the reader itself.
type record struct {
	tag      byte
	off, len int64
	name     string
}

// recordReader reads a diff stream.
type recordReader struct{ r *bufio.Reader }

func newRecordReader(r io.Reader) (*recordReader, error) {
	rr := &recordReader{bufio.NewReaderSize(r, 1<<20)}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(rr.r, head); err != nil {
		return nil, fmt.Errorf("%w: no header: %w", ErrStream, cut(err))
	}
	if string(head) != magic {
		return nil, fmt.Errorf("%w: it begins with %q", ErrStream, head)
	}
	return rr, nil
}

// cut turns an end in the middle into what it is.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next reads a record's head.
func (rr *recordReader) next() (record, error) {
	tag, err := rr.r.ReadByte()
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrStream, cut(err))
	}
	rec := record{tag: tag}
	switch tag {
	case 'e':
		if _, err := rr.r.ReadByte(); !errors.Is(err, io.EOF) {
			return rec, fmt.Errorf("%w: something follows its end", ErrStream)
		}
	case 'f', 't':
		rec.name, err = rr.text()
	case 's':
		rec.len, err = rr.number()
	case 'w', 'z':
		if rec.off, err = rr.number(); err == nil {
			rec.len, err = rr.number()
		}
		if err == nil && (rec.len > maxRecord || rec.off+rec.len < rec.off) {
			err = fmt.Errorf("%w: record of %d bytes at %d", ErrStream, rec.len, rec.off)
		}
	default:
		err = fmt.Errorf("%w: unknown record %q", ErrStream, tag)
	}
	return rec, err
}

func (rr *recordReader) number() (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(rr.r, b[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrStream, cut(err))
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > 1<<62 {
		return 0, fmt.Errorf("%w: number %d", ErrStream, n)
	}
	return int64(n), nil
}

func (rr *recordReader) text() (string, error) {
	var b [4]byte
	if _, err := io.ReadFull(rr.r, b[:]); err != nil {
		return "", fmt.Errorf("%w: %w", ErrStream, cut(err))
	}
	n := binary.LittleEndian.Uint32(b[:])
	if n > maxName {
		return "", fmt.Errorf("%w: name of %d bytes", ErrStream, n)
	}
	s := make([]byte, n)
	if _, err := io.ReadFull(rr.r, s); err != nil {
		return "", fmt.Errorf("%w: %w", ErrStream, cut(err))
	}
	return string(s), nil
}

// content reads what follows a w record.
func (rr *recordReader) content(p []byte) error {
	if _, err := io.ReadFull(rr.r, p); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, cut(err))
	}
	return nil
}

// recordWriter writes a diff stream.
type recordWriter struct{ w *bufio.Writer }

func newRecordWriter(w io.Writer) *recordWriter { return &recordWriter{bufio.NewWriterSize(w, 1<<20)} }

func (rw *recordWriter) header(from, to string, size int64) error {
	b := []byte(magic)
	if from != "" {
		b = appendText(append(b, 'f'), from)
	}
	b = appendText(append(b, 't'), to)
	b = binary.LittleEndian.AppendUint64(append(b, 's'), uint64(size))
	_, err := rw.w.Write(b)
	return err
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func (rw *recordWriter) extent(tag byte, off, length int64) error {
	b := binary.LittleEndian.AppendUint64([]byte{tag}, uint64(off))
	_, err := rw.w.Write(binary.LittleEndian.AppendUint64(b, uint64(length)))
	return err
}

func (rw *recordWriter) write(p []byte, off int64) error {
	if err := rw.extent('w', off, int64(len(p))); err != nil {
		return err
	}
	_, err := rw.w.Write(p)
	return err
}

func (rw *recordWriter) end() error {
	if err := rw.w.WriteByte('e'); err != nil {
		return err
	}
	return rw.w.Flush()
}
