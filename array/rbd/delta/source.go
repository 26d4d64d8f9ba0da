package delta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
)

// Source is what changed in an image between two snapshots, or all of one snapshot. It implements
// engine.Source and engine.Sparse. Its content can be read once, by any number of readers, as long as
// every extent is read: readers ahead of the stream wait for those behind.
type Source struct {
	From, To generation.Generation
	Size     int64 // of the image at To
	Image    rbd.Image
	Full     bool

	all  []extent.Extent // the set
	data []extent.Extent // those that may be other than zero

	mu      sync.Mutex
	turn    *sync.Cond
	at      int64 // everything of data before this offset has been read
	next    int   // index into data of the extent that holds at, or follows it
	stream  *recordReader
	pending record // of the stream, not yet used up
	failed  error
	done    chan error // how the export ended
	cancel  context.CancelFunc
	pipe    *os.File
	fromTo  [2]string
}

// Open lists what changed and begins the export. from "" is the whole of the snapshot to. Ceph's
// programs need a while to start: all of them are started at once.
func Open(ctx context.Context, c *rbd.CLI, img rbd.Image, from, to string) (*Source, error) {
	s := &Source{Image: img, Full: from == "", fromTo: [2]string{from, to}, done: make(chan error, 1)}
	s.turn = sync.NewCond(&s.mu)
	if err := s.export(ctx, c); err != nil {
		return nil, err
	}
	if err := s.open(ctx, c); err != nil {
		err = errors.Join(err, s.Close())
		<-s.done //nolint:errcheck // how the export ended says nothing: it was cut on purpose
		return nil, err
	}
	return s, nil
}

// pipeBytes is the size of the export's pipe: all that the kernel allows by default.
const pipeBytes = 1 << 20

// export begins the stream. rbd writes to the pipe itself; nothing of it is copied on the way.
func (s *Source) export(ctx context.Context, c *rbd.CLI) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	_, _ = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, pipeBytes) // smaller is slower, and right, too
	if err := unix.SetNonblock(int(w.Fd()), false); err != nil {
		return errors.Join(err, r.Close(), w.Close())
	}
	s.pipe = r
	ctx, s.cancel = context.WithCancel(ctx)
	context.AfterFunc(ctx, func() { _ = s.Close() })
	go func() {
		s.done <- c.ExportDiff(ctx, w, s.Image, s.fromTo[0], s.fromTo[1])
		_ = w.Close() // only now the reader sees an end, and can ask why
	}()
	return nil
}

// open reads what the snapshots are, the list, and the head of the stream, which must agree.
func (s *Source) open(ctx context.Context, c *rbd.CLI) error {
	var changes []rbd.Change
	var listErr error
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		changes, listErr = c.Diff(ctx, s.Image, s.fromTo[0], s.fromTo[1])
	}()
	err := s.identify(ctx, c)
	<-listed
	if err = cmp.Or(err, listErr); err != nil {
		return err
	}
	if err := s.plan(changes); err != nil {
		return err
	}
	if s.stream, err = newRecordReader(s.pipe); err != nil {
		return s.explain(err)
	}
	return s.head()
}

// identify makes generations of the snapshots.
func (s *Source) identify(ctx context.Context, c *rbd.CLI) error {
	var info rbd.Info
	var snaps []rbd.Snapshot
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { info, err = c.Info(ctx, s.Image); return err })
	g.Go(func() (err error) { snaps, err = c.Snapshots(ctx, s.Image); return err })
	if err := g.Wait(); err != nil {
		return err
	}
	for _, sn := range snaps {
		g := GenerationOf(ImageID(info), sn)
		switch sn.Name {
		case s.fromTo[0]:
			s.From = g
		case s.fromTo[1]:
			s.To, s.Size = g, sn.Size
		}
	}
	switch {
	case s.To.IsZero():
		return fmt.Errorf("%s: %w", s.Image.At(s.fromTo[1]), rbd.ErrNoSnapshot)
	case !s.Full && s.From.IsZero():
		return fmt.Errorf("%s: %w", s.Image.At(s.fromTo[0]), rbd.ErrNoSnapshot)
	case !s.Full && s.From.Seq >= s.To.Seq:
		return fmt.Errorf("%s: %w: %s is not older than %s", s.Image, ErrOrder, s.fromTo[0], s.fromTo[1])
	}
	return nil
}

// ImageID identifies an image among those of all clusters: its id holds 32 random bits beside the
// number of the client that made it, and the time when that was is added.
func ImageID(info rbd.Info) string {
	id := "rbd:" + info.ID
	if at := info.CreatedAt(); !at.IsZero() {
		id += "." + strconv.FormatInt(at.Unix(), 10)
	}
	return id
}

// GenerationOf names the instant that a snapshot of an image froze.
func GenerationOf(image string, sn rbd.Snapshot) generation.Generation {
	return generation.Generation{UUID: fmt.Sprintf("%s@%d", image, sn.ID), Seq: uint64(sn.ID), Time: sn.Time(), Size: sn.Size}
}

// plan makes the set of the list: merged, inside the size, and with what growth added.
func (s *Source) plan(changes []rbd.Change) error {
	add := func(set []extent.Extent, e extent.Extent) []extent.Extent {
		if k := len(set); k > 0 && set[k-1].End() == e.Off {
			set[k-1].Len += e.Len
			return set
		}
		return append(set, e)
	}
	var end int64
	for _, ch := range changes {
		e := extent.Extent{Off: ch.Offset, Len: ch.Length}
		if !e.Valid() || e.Off < end {
			return fmt.Errorf("%s: rbd diff: extent %v after %d: %w", s.Image, e, end, ErrOrder)
		}
		end = e.End()
		if e = e.Intersect(extent.Extent{Len: s.Size}); e.Empty() {
			continue
		}
		s.all = add(s.all, e)
		if ch.Exists {
			s.data = add(s.data, e)
		}
	}
	switch {
	case s.Full:
		s.all = []extent.Extent{{Len: s.Size}}
	case s.From.Size < s.Size:
		s.all = grown(s.all, s.From.Size, s.Size)
	}
	s.advance(0)
	return nil
}

// grown adds everything from the old size on: what was never written reads as zeros here, but the
// target may hold anything there.
func grown(set []extent.Extent, old, size int64) []extent.Extent {
	var out []extent.Extent
	for _, e := range set {
		if e = extent.Between(e.Off, min(e.End(), old)); !e.Empty() && e.Off < old {
			out = append(out, e)
		}
	}
	tail := extent.Between(old, size)
	if k := len(out); k > 0 && out[k-1].End() == tail.Off {
		out[k-1].Len += tail.Len
		return out
	}
	return append(out, tail)
}

// head reads the records before the content and compares them with what was asked for.
func (s *Source) head() error {
	var from, to string
	size := int64(-1)
	for {
		rec, err := s.stream.next()
		if err != nil {
			return s.explain(err)
		}
		switch rec.tag {
		case 'f':
			from = rec.name
		case 't':
			to = rec.name
		case 's':
			size = rec.len
		default:
			s.pending = rec
			if from != s.fromTo[0] || to != s.fromTo[1] || size != s.Size {
				return fmt.Errorf("%w: it is from %q to %q, %d bytes; asked for %q to %q, %d bytes", ErrStream, from, to, size, s.fromTo[0], s.fromTo[1], s.Size)
			}
			return nil
		}
	}
}

// explain prefers the reason why the export ended to the fact that it did.
func (s *Source) explain(err error) error {
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	select {
	case exit := <-s.done:
		s.done <- exit
		if exit != nil {
			return exit
		}
	default:
	}
	return err
}

// Extents implements engine.Source.
func (s *Source) Extents() iter.Seq2[extent.Extent, error] { return extent.Of(s.all...) }

// NextData implements engine.Sparse.
func (s *Source) NextData(off int64) (int64, error) {
	for _, e := range s.after(off) {
		return max(e.Off, off), nil
	}
	return s.Size, nil
}

// after are the data extents that end beyond off.
func (s *Source) after(off int64) []extent.Extent {
	lo, hi := 0, len(s.data)
	for lo < hi {
		if mid := (lo + hi) / 2; s.data[mid].End() <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return s.data[lo:]
}

// advance notes that all data before off has been read.
func (s *Source) advance(off int64) {
	s.at = s.Size
	for s.next < len(s.data) && s.data[s.next].End() <= off {
		s.next++
	}
	if s.next < len(s.data) {
		s.at = max(s.data[s.next].Off, off)
	}
}

// ReadAt implements engine.Source: it waits until the stream has come to off.
func (s *Source) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.at < off && s.failed == nil {
		s.turn.Wait()
	}
	if s.failed != nil {
		return 0, s.failed
	}
	clear(p)
	if err := s.fill(p, off); err != nil {
		s.failed = s.explain(err)
		s.turn.Broadcast()
		return 0, s.failed
	}
	if end := off + int64(len(p)); end > s.at {
		s.advance(end)
		s.turn.Broadcast()
	}
	return len(p), nil
}

// Skip drops the content before off, for a transfer that goes on in the middle. It is called before
// the first read.
func (s *Source) Skip(off int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	waste := make([]byte, 1<<20)
	for rec := &s.pending; rec.tag != 'e' && (rec.off < off || rec.len == 0); {
		if rec.tag == 'w' && rec.len > 0 {
			n := min(rec.len, off-rec.off, int64(len(waste)))
			if err := s.stream.content(waste[:n]); err != nil {
				return s.explain(err)
			}
			rec.off, rec.len = rec.off+n, rec.len-n
			continue
		}
		if rec.tag == 'z' && rec.off+rec.len > off {
			break
		}
		next, err := s.stream.next()
		if err != nil {
			return s.explain(err)
		}
		s.pending = next
	}
	s.advance(off)
	return nil
}

// DataBytes is the content that the list announces: what the target may have to store.
func (s *Source) DataBytes() (n int64) {
	for _, e := range s.data {
		n += e.Len
	}
	return n
}

// fill copies the content of the records that lie in p's range.
func (s *Source) fill(p []byte, off int64) error {
	end := off + int64(len(p))
	for {
		rec := &s.pending
		if rec.tag == 'e' || rec.off >= end {
			return nil
		}
		if rec.tag == 'w' {
			if rec.off < off {
				return fmt.Errorf("%w: content at %d, which rbd diff did not list", ErrStream, rec.off)
			}
			n := min(rec.len, end-rec.off)
			if err := s.stream.content(p[rec.off-off : rec.off-off+n]); err != nil {
				return err
			}
			if rec.off, rec.len = rec.off+n, rec.len-n; rec.len > 0 {
				return nil
			}
		} else if rec.off+rec.len > end {
			return nil // zeros that go on in the next range
		}
		was := rec.off
		next, err := s.stream.next()
		if err != nil {
			return err
		}
		if next.tag != 'e' && next.off < was {
			return fmt.Errorf("%w: %d after %d", ErrStream, next.off, was)
		}
		s.pending = next
	}
}

// Finish is asked before the trailer: the stream must have come to its end, and the export must have
// ended well.
func (s *Source) Finish(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.failed == nil && s.pending.tag != 'e' {
		if s.pending.tag == 'w' && s.pending.len > 0 {
			return fmt.Errorf("%w: content at %d, which rbd diff did not list", ErrStream, s.pending.off)
		}
		var err error
		if s.pending, err = s.stream.next(); err != nil {
			s.failed = s.explain(err)
		}
	}
	if s.failed != nil {
		return s.failed
	}
	select {
	case err := <-s.done:
		s.done <- err
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
