package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

// MergeOptions says how to write a delta to a device.
type MergeOptions struct {
	// Check decides on the header before the first byte is written: is the base right, and,
	// for a direct merge, is the target marked inconsistent durably.
	Check    func(h stream.Header) error
	Resume   *stream.Cursor // r continues after this frame
	Head     *stream.Header // header of the first part
	Workers  int            // 0: GOMAXPROCS, at most 4
	Progress func(Progress)

	// Checkpoint is called with a cursor whenever everything before it is durable on the
	// device: after each CheckpointEvery bytes of extents. Nil: never.
	Checkpoint      func(c stream.Cursor) error
	CheckpointEvery int64
}

// Merge writes a delta to a device while it arrives. After an error the device holds a
// mixture: the caller has marked it inconsistent before, in Check, and takes the mark away
// only after Merge returned nil. Everything is durable then.
func Merge(ctx context.Context, dev blockdev.Device, r io.Reader, opt MergeOptions) (report.Merge, error) {
	pump := newReadPump(ctx, r)
	defer pump.stop()
	m := merger{dev: dev, opt: opt, phase: "writing", start: time.Now()}
	return m.run(ctx, pump, pump.abort)
}

// Apply writes a committed journal to a device: r is a delta that Receive has verified, and
// of which CheckBases has checked the base digests, if it has any. It reads nothing from the
// device. After an error it is run again from the start, never the fsync alone.
func Apply(ctx context.Context, dev blockdev.Device, r io.Reader, opt MergeOptions) (report.Merge, error) {
	m := merger{dev: dev, opt: opt, phase: "applying", start: time.Now(), checked: true}
	return m.run(ctx, newBuffered(r), func(error) {})
}

func newBuffered(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, pumpSize) }

// merger is one run of Merge or Apply.
type merger struct {
	dev     blockdev.Device
	opt     MergeOptions
	phase   string
	start   time.Time
	checked bool // base digests were checked before
	encoded int64
	first   sync.Once
	written time.Time
}

func (m *merger) run(ctx context.Context, r io.Reader, abort func(error)) (report.Merge, error) {
	in, err := openIntake(r, abort, stream.DecoderOptions{At: m.opt.Resume, Head: m.opt.Head}, m.opt.Workers)
	if err != nil {
		return report.Merge{}, err
	}
	h := in.dec.Header()
	if err := m.admit(h); err != nil {
		return report.Merge{}, err
	}
	in.phase, in.progress, in.verified, in.settled = m.phase, m.opt.Progress, m.write, m.settle
	if m.opt.Checkpoint != nil {
		in.every = max(m.opt.CheckpointEvery, int64(h.FrameSize))
	}
	if err := in.run(ctx); err != nil {
		return report.Merge{}, err
	}
	p := Progress{Phase: "syncing", Done: h.SetBytes, Total: h.SetBytes, Sent: in.dec.Offset()}
	if err := beat(m.opt.Progress, p, m.dev.Sync); err != nil {
		return report.Merge{}, fmt.Errorf("%s: sync: %w", m.dev.Name(), err)
	}
	return m.report(in), nil
}

// admit refuses a delta before the first byte is written.
func (m *merger) admit(h stream.Header) error {
	if h.VolumeSize > m.dev.Size() {
		return fmt.Errorf("%s: %w: %d bytes, the volume has %d", m.dev.Name(), ErrTooSmall, m.dev.Size(), h.VolumeSize)
	}
	if h.SubChunk && !m.checked {
		return ErrSubChunk
	}
	if m.opt.Check != nil {
		return m.opt.Check(h)
	}
	return nil
}

// write puts a verified frame on the device. Frames never overlap, so workers need no order.
func (m *merger) write(f *stream.Frame, content []byte) error {
	m.first.Do(func() { m.written = time.Now() })
	for _, e := range f.Extents {
		if _, err := m.dev.WriteAt(content[:e.Len], e.Off); err != nil {
			return fmt.Errorf("%s: write %v: %w", m.dev.Name(), e, err)
		}
		content = content[e.Len:]
	}
	for _, e := range f.Zeros {
		if err := m.dev.ZeroAt(e.Off, e.Len); err != nil {
			return fmt.Errorf("%s: zero %v: %w", m.dev.Name(), e, err)
		}
	}
	return nil
}

// settle sees frames in order: when one is here, all before it are written.
func (m *merger) settle(a *arrival) error {
	m.encoded += int64(len(a.frame.Payload))
	if a.cursor == nil {
		return nil
	}
	if err := m.dev.Sync(); err != nil {
		return fmt.Errorf("%s: sync: %w", m.dev.Name(), err)
	}
	return m.opt.Checkpoint(*a.cursor)
}

func (m *merger) report(in *intake) report.Merge {
	r := report.Merge{Transfer: transferOf(in.dec.Header(), in.dec.Trailer()), Journalled: m.checked}
	r.EncodedBytes, r.SentBytes, r.StreamBytes = m.encoded, in.dec.Offset(), in.dec.Offset()
	if m.opt.Resume != nil {
		r.StreamBytes = m.opt.Resume.Bytes + in.dec.Offset()
	}
	if !m.written.IsZero() {
		r.WriteSeconds = time.Since(m.written).Seconds()
	}
	r.Finish(m.start, r.DataBytes+r.ZeroBytes)
	return r
}

// frames calls f for each frame of a delta, in order, without verifying content.
func frames(r io.Reader, skipContent bool, f func(*stream.Frame, stream.Header) error) (stream.Header, error) {
	dec, err := stream.NewDecoder(newBuffered(r), stream.DecoderOptions{SkipContent: skipContent})
	if err != nil {
		return stream.Header{}, err
	}
	var fr stream.Frame
	for {
		err := dec.Next(&fr)
		if errors.Is(err, io.EOF) {
			return dec.Header(), nil
		}
		if err == nil {
			err = f(&fr, dec.Header())
		}
		if err != nil {
			return dec.Header(), err
		}
	}
}
