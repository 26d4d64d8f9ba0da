package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

// Stored is a delta in a file.
type Stored struct {
	Name string // for messages
	File io.ReaderAt
	Size int64
}

func (s Stored) reader() io.Reader { return io.NewSectionReader(s.File, 0, s.Size) }

// Squash writes one delta that does what the given ones do, one after the other. Each must
// begin where the one before ends (deltas without identity are taken in the order given);
// sub-chunk deltas build on contents in between and are refused. Every input is verified as a
// whole before the first byte is written. Memory is one entry per frame of the inputs.
func Squash(ctx context.Context, w io.Writer, deltas []Stored, opt ExtractOptions) (report.Extract, error) {
	if len(deltas) == 0 {
		return report.Extract{}, fmt.Errorf("nothing to squash: %w", ErrOptions)
	}
	src := &squashed{}
	for _, d := range deltas {
		l, err := openLayer(ctx, d)
		if err != nil {
			return report.Extract{}, fmt.Errorf("%s: %w", d.Name, err)
		}
		if k := len(src.layers); k > 0 {
			if err := follows(src.layers[k-1].h, l.h); err != nil {
				return report.Extract{}, fmt.Errorf("%s after %s: %w", d.Name, deltas[k-1].Name, err)
			}
		}
		src.layers = append(src.layers, l)
	}
	first, last := src.layers[0].h, src.layers[len(src.layers)-1].h
	opt.Header = stream.Header{Kind: first.Kind, ChunkSize: first.ChunkSize, FrameSize: first.FrameSize,
		VolumeSize: last.VolumeSize, From: first.From, To: last.To, Source: last.Source}
	if first.Kind == stream.KindFull && first.VolumeSize != last.VolumeSize {
		if _, n, err := extent.Total(src.Extents()); err != nil || n != last.VolumeSize {
			return report.Extract{}, errors.Join(fmt.Errorf("%w: the volume grew, and the deltas do not hold all of it", ErrChain), err)
		}
	}
	opt.Readers = 1 // layers are read in order, each frame decoded once
	return Extract(ctx, w, src, opt)
}

// follows says whether b may be put on top of a.
func follows(a, b stream.Header) error {
	switch {
	case b.Kind == stream.KindFull:
		return fmt.Errorf("%w: a full copy follows nothing", ErrChain)
	case a.VolumeSize > b.VolumeSize:
		return fmt.Errorf("%w: the volume shrinks from %d to %d bytes", ErrChain, a.VolumeSize, b.VolumeSize)
	case a.To.IsZero() != b.From.IsZero() || (!a.To.IsZero() && !a.To.Same(b.From)):
		return fmt.Errorf("%w: one ends at %v, the next begins at %v", ErrChain, a.To, b.From)
	}
	return nil
}

// layer is one delta with an index of its frames.
type layer struct {
	Stored
	h      stream.Header
	frames []frameRef // by offset in the volume

	mu       sync.Mutex // the frame that was decoded last
	at       int
	frame    stream.Frame
	content  []byte
	unpacker *stream.Unpacker
}

// frameRef is where a frame lies in the file and which part of the volume it spans.
type frameRef struct {
	file     int64
	off, end int64
}

// openLayer verifies a delta as a whole and remembers where its frames are.
func openLayer(ctx context.Context, d Stored) (*layer, error) {
	dec, err := stream.NewDecoder(newBuffered(d.reader()), stream.DecoderOptions{})
	if err != nil {
		return nil, err
	}
	l := &layer{Stored: d, h: dec.Header(), at: -1, unpacker: stream.NewUnpacker()}
	if l.h.SubChunk {
		return nil, fmt.Errorf("%w: a sub-chunk delta cannot be squashed", ErrChain)
	}
	for ctx.Err() == nil {
		at := dec.Offset()
		err := dec.Next(&l.frame)
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err == nil {
			_, err = l.unpacker.Unpack(&l.frame)
		}
		if err != nil {
			return nil, err
		}
		off, end := span(&l.frame)
		l.frames = append(l.frames, frameRef{file: at, off: off, end: end})
	}
	return nil, context.Cause(ctx)
}

// span is the part of the volume from a frame's first extent to its last.
func span(f *stream.Frame) (off, end int64) {
	off = int64(1<<63 - 1)
	for _, list := range [][]extent.Extent{f.Extents, f.Zeros} {
		if k := len(list); k > 0 {
			off, end = min(off, list[0].Off), max(end, list[k-1].End())
		}
	}
	return off, end
}

func (l *layer) extents() extent.Seq {
	return DeltaExtents{Open: func() (io.ReadCloser, error) { return io.NopCloser(l.reader()), nil }}.Extents()
}

// read copies what this delta holds of [off, off+len(p)) to p and reports in got the ranges
// that it had.
func (l *layer) read(p []byte, off int64, got func(extent.Extent)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := extent.Between(off, off+int64(len(p)))
	i, _ := slices.BinarySearchFunc(l.frames, off, func(f frameRef, off int64) int { return cmp.Compare(f.end, off+1) })
	for ; i < len(l.frames) && l.frames[i].off < want.End(); i++ {
		if err := l.decode(i); err != nil {
			return err
		}
		at := int64(0)
		for _, e := range l.frame.Extents {
			if x := e.Intersect(want); !x.Empty() {
				from := at + x.Off - e.Off
				copy(p[x.Off-off:], l.content[from:from+x.Len])
				got(x)
			}
			at += e.Len
		}
		for _, e := range l.frame.Zeros {
			if x := e.Intersect(want); !x.Empty() {
				clear(p[x.Off-off : x.End()-off])
				got(x)
			}
		}
	}
	return nil
}

func (l *layer) decode(i int) error {
	if l.at == i {
		return nil
	}
	l.at = -1
	if err := stream.ReadFrameAt(l.File, l.frames[i].file, l.h, &l.frame); err != nil {
		return err
	}
	content, err := l.unpacker.Unpack(&l.frame)
	if err != nil {
		return err
	}
	l.at, l.content = i, content
	return nil
}

// squashed is a source made of deltas: the union of their extents, the newest content.
type squashed struct {
	layers []*layer
}

// Extents implements Source.
func (s *squashed) Extents() iter.Seq2[extent.Extent, error] {
	var seqs []extent.Seq
	for _, l := range s.layers {
		seqs = append(seqs, l.extents())
	}
	return extent.Union(seqs...)
}

// ReadAt implements Source: oldest first, newer content over it. Extract asks for nothing but
// what the union holds.
func (s *squashed) ReadAt(p []byte, off int64) (int, error) {
	var have extent.Set
	for _, l := range s.layers {
		if err := l.read(p, off, func(e extent.Extent) { have.Add(e) }); err != nil {
			return 0, fmt.Errorf("%s: %w", l.Name, err)
		}
	}
	if !have.Contains(extent.Between(off, off+int64(len(p)))) {
		return 0, fmt.Errorf("%w: %v is in no delta", ErrSource, extent.Between(off, off+int64(len(p))))
	}
	return len(p), nil
}
