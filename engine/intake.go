package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/ddsgo/ddsgo/stream"
)

// The stages of reading a delta, in the order of the functions below; Receive, Merge and
// Apply differ in what they do with a verified frame:
//
//	next     (sequential)  pipe -> decoder: structure, limits, order, digest
//	verify   (parallel)    codec, length, checksum of the content; Merge and Apply write here
//	settle   (sequential)  ordered frames -> spool; checkpoints; progress

// arrival is one job: a frame, and the cursor after it where a checkpoint is due.
type arrival struct {
	frame  stream.Frame
	cursor *stream.Cursor
	counts stream.Counts
	offset int64
}

// intake is one run over a delta.
type intake struct {
	dec       *stream.Decoder
	abort     func(error) // ends a read that waits for the peer
	phase     string
	workers   int
	unpackers []*stream.Unpacker
	progress  func(Progress)

	// every: a cursor is taken each time so many bytes of extents were read; 0 = never.
	every int64
	last  int64

	verified func(f *stream.Frame, content []byte) error // parallel; content in the order of f.Extents
	settled  func(a *arrival) error                      // ordered
}

// openIntake reads the header.
func openIntake(r io.Reader, abort func(error), opt stream.DecoderOptions, workers int) (*intake, error) {
	dec, err := stream.NewDecoder(r, opt)
	if err != nil {
		return nil, err
	}
	if workers == 0 {
		workers = min(runtime.GOMAXPROCS(0), 4)
	}
	if workers < 0 || workers > maxWorkers {
		return nil, fmt.Errorf("%d workers: %w", workers, ErrOptions)
	}
	in := &intake{dec: dec, abort: abort, workers: workers}
	for range workers {
		in.unpackers = append(in.unpackers, stream.NewUnpacker())
	}
	return in, nil
}

// run reads frames until the trailer. Only nil means that the delta is whole and good.
func (in *intake) run(ctx context.Context) error {
	defer func() {
		for _, u := range in.unpackers {
			u.Close()
		}
	}()
	frame := int(in.dec.Header().FrameSize)
	jobs := max(2, min(2*in.workers+2, maxBuffers/frame))
	return runLine(ctx, jobs, in.workers, stages[arrival]{produce: in.next, work: in.verify, consume: in.settle, abort: in.abort})
}

func (in *intake) next(l *line[arrival]) error {
	for {
		it, err := l.take()
		if err != nil {
			return err
		}
		a := &it.job
		switch err := in.dec.Next(&a.frame); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		a.counts, a.offset, a.cursor = in.dec.Counts(), in.dec.Offset(), nil
		if done := int64(a.counts.DataBytes + a.counts.ZeroBytes); in.every > 0 && done-in.last >= in.every {
			in.last = done
			c, err := in.dec.Cursor()
			if err != nil {
				return err
			}
			a.cursor = &c
		}
		l.put(it)
	}
}

func (in *intake) verify(ctx context.Context, n int, a *arrival) error {
	content, err := in.unpackers[n].Unpack(&a.frame)
	if err != nil {
		return err
	}
	if in.verified == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // nothing is written after the run was cancelled
	}
	return in.verified(&a.frame, content)
}

func (in *intake) settle(_ context.Context, a *arrival) error {
	if in.settled != nil {
		if err := in.settled(a); err != nil {
			return err
		}
	}
	in.tell(a.counts, a.offset)
	return nil
}

func (in *intake) tell(c stream.Counts, offset int64) {
	if in.progress != nil {
		in.progress(Progress{Phase: in.phase, Done: int64(c.DataBytes + c.ZeroBytes), Total: in.dec.Header().SetBytes, Sent: offset})
	}
}

// beat calls the progress function each second while a long call without progress of its
// own runs (an fsync), so that a peer sees that this end is alive.
func beat(progress func(Progress), p Progress, call func() error) error {
	if progress == nil {
		return call()
	}
	done := make(chan error, 1)
	go func() { done <- call() }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	progress(p)
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			progress(p)
		}
	}
}
