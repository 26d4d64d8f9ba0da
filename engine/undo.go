package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

// digestPiece is the size of the reads of a digest.
const digestPiece = 1 << 20

// Digest is the SHA-256 of a range of a device: whether two machines hold the same bytes is
// decided by this, never by a checksum.
func Digest(ctx context.Context, dev io.ReaderAt, e extent.Extent, progress func(Progress)) ([sha256.Size]byte, error) {
	h := sha256.New()
	next := make(chan piece, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan []byte, 2)
	free <- make([]byte, digestPiece)
	free <- make([]byte, digestPiece)
	go readPieces(ctx, dev, e, free, next)
	var done int64
	var sum [sha256.Size]byte
	for p := range next {
		if p.err != nil {
			return sum, p.err
		}
		_, _ = h.Write(p.b)
		done += int64(len(p.b))
		free <- p.b[:cap(p.b)]
		if progress != nil {
			progress(Progress{Phase: "hashing", Done: done, Total: e.Len})
		}
	}
	if done != e.Len {
		return sum, context.Cause(ctx)
	}
	h.Sum(sum[:0])
	return sum, nil
}

type piece struct {
	b   []byte
	err error
}

// readPieces reads a range ahead of its reader and closes next.
func readPieces(ctx context.Context, dev io.ReaderAt, e extent.Extent, free chan []byte, next chan<- piece) {
	defer close(next)
	for off := e.Off; off < e.End(); {
		var b []byte
		select {
		case b = <-free:
		case <-ctx.Done():
			return
		}
		b = b[:min(int64(len(b)), e.End()-off)]
		err := readFull(dev, b, off)
		select {
		case next <- piece{b, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		off += int64(len(b))
	}
}

func readFull(dev io.ReaderAt, b []byte, off int64) error {
	n, err := dev.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %v: %w", extent.Extent{Off: off, Len: int64(len(b))}, err)
}

// digestRange is Digest for small ranges with a buffer that is used again.
func digestRange(ctx context.Context, dev io.ReaderAt, e extent.Extent, buf *[]byte) ([sha256.Size]byte, error) {
	if e.Len > digestPiece {
		return Digest(ctx, dev, e, nil)
	}
	if int64(len(*buf)) < e.Len {
		*buf = make([]byte, e.Len)
	}
	b := (*buf)[:e.Len]
	if err := readFull(dev, b, e.Off); err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(b), nil
}

// DeltaExtents is the set of a stored delta, in order: Open is called for each pass, and
// payloads are passed over. Memory does not depend on the delta's size.
type DeltaExtents struct {
	Open func() (io.ReadCloser, error)
}

// Extents yields the extents of the delta, content and zeros alike.
func (d DeltaExtents) Extents() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		errStop := errors.New("stop")
		r, err := d.Open()
		if err != nil {
			yield(extent.Extent{}, err)
			return
		}
		defer r.Close()
		_, err = frames(r, true, func(f *stream.Frame, _ stream.Header) error {
			data, zeros := f.Extents, f.Zeros
			for len(data)+len(zeros) > 0 {
				list := &data
				if len(data) == 0 || (len(zeros) > 0 && zeros[0].Off < data[0].Off) {
					list = &zeros
				}
				if !yield((*list)[0], nil) {
					return errStop
				}
				*list = (*list)[1:]
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(extent.Extent{}, err)
		}
	}
}

// Undo writes the delta that takes a device back from delta's To to its From: the present
// content of everything that the delta will write. The device must be at From, so it is made
// after the delta is committed and before its first byte is written, and never again later.
func Undo(ctx context.Context, w io.Writer, dev blockdev.Device, h stream.Header, delta extent.Seq, opt ExtractOptions) (report.Extract, error) {
	opt.Header = stream.Header{Kind: stream.KindDelta, ChunkSize: h.ChunkSize, FrameSize: h.FrameSize,
		VolumeSize: h.VolumeSize, From: h.To, To: h.From, Source: h.Source}
	return Extract(ctx, w, NewSource(delta, dev), opt)
}
