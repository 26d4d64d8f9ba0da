package engine

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

// The stages of Extract, in the order of the functions below:
//
//	cut      (sequential)  the set's extents -> groups of FrameSize bytes
//	read     (parallel)    the snapshot's content of a group, many reads in flight
//	sift     (parallel)    pieces that read as zeros leave the content; in a sub-chunk delta
//	                       (subchunk.go) those that did not change, too
//	pack     (parallel)    checksum, codec; not more at a time than Workers
//	emit     (sequential)  ordered frames -> digest -> encoder -> pipe

// Defaults and bounds of ExtractOptions.
const (
	DefaultReaders = 4  // for files; 16 or more for block devices
	maxReaders     = 64 //
	maxWorkers     = 64 //

	// MaxGroupExtents: a group is also cut after so many extents.
	MaxGroupExtents = 16384
	// zeroGrain: content is tested for zeros in pieces of so many bytes.
	zeroGrain = 4 << 10
	// maxZeroSpan: so many groups of zeros in a row become one frame.
	maxZeroSpan = 256
	// maxBuffers bounds the bytes of content in flight.
	maxBuffers = 16 << 20
)

// Progress says how far a transfer has come. Bytes count the set's extents, including what
// a resumed transfer had before.
type Progress struct {
	Phase string // extracting, receiving, applying, syncing, hashing
	Done  int64
	Total int64
	Sent  int64 // bytes of the delta
}

// ExtractOptions says what to extract. Of the header, Kind, ChunkSize, VolumeSize, From, To,
// Source and FrameSize (0 = default) are the caller's; SetID and SetBytes are computed from
// the source where SetID is zero.
type ExtractOptions struct {
	Header   stream.Header
	Codec    Codec          // zero: auto
	Workers  int            // encoders; 0: GOMAXPROCS, at most 4
	Readers  int            // reads in flight; 0: DefaultReaders
	Resume   *stream.Cursor // go on after this frame
	Progress func(Progress) // called from one goroutine, after each frame

	// Old is the content of the base. With it (and Header.SubChunk) only pieces of DiffGrain
	// bytes that differ are sent, with digests of the chunks that they lie in. It must be what
	// From froze, read from a place that nobody can have written to.
	Old io.ReaderAt

	// BeforeTrailer is asked after the last read and before the trailer: is the snapshot that
	// was read still valid? An error ends the delta without its trailer.
	BeforeTrailer func(ctx context.Context) error
}

func (o *ExtractOptions) prepare(src Source) error {
	if o.Workers == 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), 4)
	}
	if o.Readers == 0 {
		o.Readers = DefaultReaders
	}
	if o.Workers < 0 || o.Workers > maxWorkers || o.Readers < 0 || o.Readers > maxReaders {
		return fmt.Errorf("%d workers, %d readers: %w", o.Workers, o.Readers, ErrOptions)
	}
	if _, err := ParseCodec(string(o.Codec)); err != nil {
		return err
	}
	if err := o.checkOld(); err != nil {
		return err
	}
	h, err := CompleteHeader(src, o.Header)
	o.Header = h
	return err
}

// CompleteHeader fills in what Extract would: frame size and kind where they are zero, set
// id and set bytes from the source's extents where the id is zero.
func CompleteHeader(src Source, h stream.Header) (stream.Header, error) {
	h.Version, h.Checksum = stream.Version, stream.ChecksumXXH64SHA256
	if h.FrameSize == 0 {
		h.FrameSize = stream.DefaultFrameSize
	}
	if h.Kind == 0 {
		h.Kind = stream.KindDelta
	}
	if !h.SetID.IsZero() {
		return h, nil
	}
	id, n, err := identify(src.Extents(), h.VolumeSize)
	h.SetID, h.SetBytes = id, n
	return h, err
}

// extraction is one run of Extract.
type extraction struct {
	src     Source
	opt     ExtractOptions
	enc     *stream.Encoder
	out     *writePump
	packers chan *stream.Packer // as many as may encode at a time
	chooser *chooser            // nil: fixed codec
	fixed   stream.Codec
	zeros   stream.Frame // the run of zero groups not yet written
	encoded atomic.Int64
	codecs  [3]int64
	passed  int64 // bytes of the set up to the last group that emit has seen
}

// group is one job: the extents of a group and their content.
type group struct {
	extents []extent.Extent
	size    int   // bytes of the extents
	passed  int64 // bytes of the set up to the end of this group
	buf     []byte
	old     []byte      // sub-chunk: the base's content
	bases   []baseRange // sub-chunk: the chunks that differ
	frame   stream.Frame
}

// Extract writes the delta of src to w. A failed read, a snapshot that became invalid or a
// cancelled context leave a delta without its trailer, which no reader accepts.
func Extract(ctx context.Context, w io.Writer, src Source, opt ExtractOptions) (report.Extract, error) {
	start := time.Now()
	if err := opt.prepare(src); err != nil {
		return report.Extract{}, err
	}
	x := &extraction{src: src, opt: opt, out: newWritePump(ctx, w), packers: make(chan *stream.Packer, opt.Workers)}
	defer x.out.abort(nil)
	for range opt.Workers {
		x.packers <- stream.NewPacker(int(opt.Header.FrameSize))
	}
	x.chooseCodec()
	trailer, err := x.run(ctx)
	if closeErr := x.out.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("write delta: %w", closeErr)
	}
	return x.report(trailer, start), err
}

func (x *extraction) chooseCodec() {
	var ok bool
	if x.fixed, ok = x.opt.Codec.fixed(); ok {
		return
	}
	x.chooser = newChooser(x.opt.Workers, func() (int64, time.Duration) {
		return x.out.moved.Load(), time.Duration(x.out.busy.Load())
	}, processorsIdle)
}

func (x *extraction) run(ctx context.Context) (stream.Trailer, error) {
	enc, err := stream.NewEncoder(x.out, x.opt.Header, x.opt.Resume)
	if err != nil {
		return stream.Trailer{}, err
	}
	x.enc = enc
	buffers := maxBuffers / int(x.opt.Header.FrameSize)
	if x.opt.Old != nil {
		buffers /= 2
	}
	jobs := max(2, min(x.opt.Readers+2*x.opt.Workers+2, buffers))
	err = runLine(ctx, jobs, x.opt.Readers+x.opt.Workers, stages[group]{produce: x.cut, work: x.read, consume: x.emit, abort: x.out.abort})
	if err == nil {
		err = x.flushZeros()
	}
	if err != nil {
		return stream.Trailer{}, err
	}
	if x.opt.BeforeTrailer != nil {
		if err := x.opt.BeforeTrailer(ctx); err != nil {
			return stream.Trailer{}, err
		}
	}
	return x.enc.Close()
}

// cut turns the set's extents into groups. Where it cuts depends on nothing but the set and
// the frame size; groups before the cursor are passed over and not read. Groups of a
// sub-chunk delta that did not change have no number, so there the cursor's place counts.
func (x *extraction) cut(l *line[group]) error {
	seq, passed := uint64(0), int64(0)
	c := cutter{size: int64(x.opt.Header.FrameSize)}
	hand := func() error {
		passed += c.bytes
		defer func() { c.reset(); seq++ }()
		if at := x.opt.Resume; at != nil && (seq < at.Next && !x.opt.Header.SubChunk || x.opt.Header.SubChunk && c.extents[0].Off < at.End) {
			return nil
		}
		return x.hand(l, &c, passed)
	}
	for e, err := range extent.Checked(x.src.Extents(), x.opt.Header.VolumeSize) {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSource, err)
		}
		for !e.Empty() {
			e = c.add(e)
			if !c.full() {
				continue
			}
			if err := hand(); err != nil {
				return err
			}
		}
	}
	if len(c.extents) > 0 {
		return hand()
	}
	return nil
}

// hand gives the cutter's group to the line.
func (x *extraction) hand(l *line[group], c *cutter, passed int64) error {
	it, err := l.take()
	if err != nil {
		return err
	}
	it.job.extents = append(it.job.extents[:0], c.extents...)
	it.job.size, it.job.passed = int(c.bytes), passed
	l.put(it)
	return nil
}

// cutter gathers extents up to the size of a group.
type cutter struct {
	size    int64
	bytes   int64
	extents []extent.Extent
}

// add takes what fits of e and returns the rest.
func (c *cutter) add(e extent.Extent) extent.Extent {
	n := min(e.Len, c.size-c.bytes)
	c.bytes += n
	if k := len(c.extents); k > 0 && c.extents[k-1].End() == e.Off {
		c.extents[k-1].Len += n
	} else {
		c.extents = append(c.extents, extent.Extent{Off: e.Off, Len: n})
	}
	return extent.Extent{Off: e.Off + n, Len: e.Len - n}
}

func (c *cutter) full() bool { return c.bytes == c.size || len(c.extents) == MaxGroupExtents }

func (c *cutter) reset() { c.bytes, c.extents = 0, c.extents[:0] }

// read reads the content of a group, then sifts and packs it.
func (x *extraction) read(ctx context.Context, _ int, g *group) error {
	g.frame.Reset()
	if hole, err := x.inHole(g); hole || err != nil {
		g.frame.Zeros = append(g.frame.Zeros, g.extents...)
		return err
	}
	g.buf = grown(g.buf, g.size, int(x.opt.Header.FrameSize))
	if err := readExtents(ctx, x.src, g.buf, g.extents); err != nil {
		return err
	}
	var content []byte
	if x.opt.Old == nil {
		content = g.sift()
	} else {
		var err error
		if content, err = x.readDiff(ctx, g); err != nil {
			return err
		}
	}
	if len(content) == 0 {
		return nil
	}
	return x.pack(ctx, g, content)
}

// inHole says that all of a group lies in holes of the source.
func (x *extraction) inHole(g *group) (bool, error) {
	s, ok := x.src.(Sparse)
	if !ok || x.opt.Old != nil { // a hole may be new
		return false, nil
	}
	for _, e := range g.extents {
		data, err := s.NextData(e.Off)
		if err != nil {
			return false, fmt.Errorf("look for data in %v: %w", e, err)
		}
		if data < e.End() {
			return false, nil
		}
	}
	return true, nil
}

// pack encodes the content with one of the packers.
func (x *extraction) pack(ctx context.Context, g *group, content []byte) error {
	var p *stream.Packer
	select {
	case p = <-x.packers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { x.packers <- p }()
	if x.chooser == nil {
		return p.Pack(&g.frame, content, x.fixed)
	}
	codec, start := x.chooser.pick(), time.Now()
	err := p.Pack(&g.frame, content, codec)
	if codec != stream.None && err == nil {
		x.chooser.learn(codec, len(content), len(g.frame.Payload), time.Since(start))
	}
	return err
}

// emit writes a group as a frame. Zero groups wait until their run ends.
func (x *extraction) emit(_ context.Context, g *group) error {
	x.passed = g.passed
	if len(g.frame.Extents)+len(g.frame.Zeros) == 0 { // sub-chunk: as it was
		x.tell()
		return nil
	}
	if g.frame.RawLen == 0 && len(g.frame.Bases) == 0 {
		return x.emitZeros(g)
	}
	if err := x.flushZeros(); err != nil {
		return err
	}
	return x.write(&g.frame)
}

func (x *extraction) emitZeros(g *group) error {
	z := &x.zeros
	if z.Span == maxZeroSpan || len(z.Zeros)+len(g.frame.Zeros) > MaxGroupExtents {
		if err := x.flushZeros(); err != nil {
			return err
		}
	}
	for _, e := range g.frame.Zeros {
		if k := len(z.Zeros); k > 0 && z.Zeros[k-1].End() == e.Off {
			z.Zeros[k-1].Len += e.Len
			continue
		}
		z.Zeros = append(z.Zeros, e)
	}
	z.Span++
	return nil
}

func (x *extraction) flushZeros() error {
	if x.zeros.Span == 0 {
		return nil
	}
	err := x.write(&x.zeros)
	x.zeros.Reset()
	return err
}

func (x *extraction) write(f *stream.Frame) error {
	if err := x.enc.WriteFrame(f); err != nil {
		return err
	}
	if f.RawLen > 0 {
		x.encoded.Add(int64(len(f.Payload)))
		x.codecs[f.Codec]++
	}
	x.tell()
	return nil
}

func (x *extraction) tell() {
	if x.opt.Progress == nil {
		return
	}
	c := x.enc.Counts()
	done := int64(c.DataBytes + c.ZeroBytes)
	if x.opt.Header.SubChunk {
		done = x.passed
	}
	x.opt.Progress(Progress{Phase: "extracting", Done: done, Total: x.enc.Header().SetBytes, Sent: x.enc.Bytes()})
}

func (x *extraction) report(t stream.Trailer, start time.Time) report.Extract {
	r := report.Extract{Transfer: transferOf(x.opt.Header, t), Codec: map[string]int64{}}
	for c, n := range x.codecs {
		if n > 0 {
			r.Codec[stream.Codec(c).String()] = n
		}
	}
	r.EncodedBytes, r.SentBytes = x.encoded.Load(), x.out.moved.Load()
	handled := r.DataBytes + r.ZeroBytes
	if x.enc != nil {
		r.StreamBytes = x.enc.Bytes()
	}
	if x.opt.Resume != nil {
		handled -= int64(x.opt.Resume.DataBytes + x.opt.Resume.ZeroBytes)
	}
	r.Finish(start, handled)
	return r
}
