package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/stream"
)

// ReceiveOptions says what may be received.
type ReceiveOptions struct {
	// Check decides on the header, before anything is stored. It is the place for: is the base
	// right, is there space.
	Check func(h stream.Header) error
	// Resume and Head continue a spool that holds a verified prefix; Scan finds them.
	Resume   *stream.Cursor
	Head     *stream.Header
	Workers  int // 0: GOMAXPROCS, at most 4
	Progress func(Progress)
	// Settled is told, in order, what was verified so far.
	Settled func(c stream.Counts)
}

// Received is what a whole, verified delta says about itself.
type Received struct {
	Header  stream.Header
	Trailer stream.Trailer
	Report  report.Merge
}

// Receive verifies every frame of r and stores the delta in w byte for byte, so that the
// spool is itself a delta. After an error the spool ends somewhere behind its last good
// frame: Scan finds where. Nothing of a continuation's header is stored.
func Receive(ctx context.Context, w io.Writer, r io.Reader, opt ReceiveOptions) (Received, error) {
	start := time.Now()
	pump := newReadPump(ctx, r)
	defer pump.stop()
	head := &headerTap{r: pump, on: true}
	in, err := openIntake(head, pump.abort, stream.DecoderOptions{At: opt.Resume, Head: opt.Head}, opt.Workers)
	if err != nil {
		return Received{}, err
	}
	head.on = false
	res := Received{Header: in.dec.Header()}
	if opt.Check != nil {
		if err := opt.Check(res.Header); err != nil {
			return res, err
		}
	}
	if opt.Resume == nil {
		if _, err := w.Write(head.seen); err != nil {
			return res, fmt.Errorf("write spool: %w", err)
		}
	}
	var encoded int64
	in.phase, in.progress = "receiving", opt.Progress
	in.settled = func(a *arrival) error {
		encoded += int64(len(a.frame.Payload))
		if _, err := w.Write(a.frame.Record()); err != nil {
			return fmt.Errorf("write spool: %w", err)
		}
		if opt.Settled != nil {
			opt.Settled(a.counts)
		}
		return nil
	}
	if err := in.run(ctx); err != nil {
		return res, err
	}
	if _, err := w.Write(in.dec.TrailerRecord()); err != nil {
		return res, fmt.Errorf("write spool: %w", err)
	}
	res.Trailer = in.dec.Trailer()
	res.Report = report.Merge{Transfer: transferOf(res.Header, res.Trailer), Journalled: true}
	res.Report.EncodedBytes, res.Report.SentBytes, res.Report.StreamBytes = encoded, in.dec.Offset(), in.dec.Offset()
	if opt.Resume != nil {
		// The continuation's header is not part of the delta that lies in the spool.
		res.Report.StreamBytes = opt.Resume.Bytes + in.dec.Offset() - int64(len(head.seen))
	}
	res.Report.Finish(start, res.Header.SetBytes)
	return res, nil
}

// headerTap keeps the bytes of the header as they came.
type headerTap struct {
	r    io.Reader
	on   bool
	seen []byte
}

func (t *headerTap) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.on {
		t.seen = append(t.seen, p[:n]...)
	}
	return n, err
}

// Scanned is what Scan found in a spool.
type Scanned struct {
	Header  stream.Header
	Cursor  stream.Cursor   // the verified prefix
	Trailer *stream.Trailer // not nil: the delta is whole
}

// Scan verifies a spool from its start, content included, and returns its good prefix. It
// trusts nothing but what it reads, so it is also right after a power cut. What is wrong
// behind the prefix is no error; an error says that not even a header is there, or that
// reading failed.
func Scan(ctx context.Context, r io.Reader, progress func(Progress)) (Scanned, error) {
	dec, err := stream.NewDecoder(newBuffered(r), stream.DecoderOptions{})
	if err != nil {
		return Scanned{}, err
	}
	s := Scanned{Header: dec.Header()}
	if s.Cursor, err = dec.Cursor(); err != nil {
		return s, err
	}
	u := stream.NewUnpacker()
	defer u.Close()
	var f stream.Frame
	for ctx.Err() == nil {
		err := dec.Next(&f)
		if err == nil {
			_, err = u.Unpack(&f)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			t := dec.Trailer()
			s.Trailer = &t
			return s, nil
		case errors.Is(err, stream.ErrCorrupt):
			return s, nil
		default:
			return s, err
		}
		if s.Cursor, err = dec.Cursor(); err != nil {
			return s, err
		}
		if progress != nil {
			c := dec.Counts()
			progress(Progress{Phase: "checking spool", Done: int64(c.DataBytes + c.ZeroBytes), Total: s.Header.SetBytes, Sent: dec.Offset()})
		}
	}
	return s, context.Cause(ctx)
}
