package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/stream"
)

// ResumePoint looks for a cut spool of the delta that head announces. It returns the cursor
// behind which the sender may go on, or nil where there is nothing to go on from.
func ResumePoint(ctx context.Context, dir *journal.Dir, member string, head stream.Header, progress func(Progress)) (*stream.Cursor, error) {
	f, err := dir.Partial(member)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := Scan(ctx, f, progress)
	closeErr := f.Close()
	switch {
	case errors.Is(err, stream.ErrCorrupt):
		return nil, nil // not even a header: it begins anew
	case err != nil:
		return nil, err
	case closeErr != nil:
		return nil, fmt.Errorf("spool: %w", closeErr)
	case !s.Header.Same(head) || s.Cursor.Next == 0:
		return nil, nil
	}
	return &s.Cursor, nil
}

// SpoolOptions says how to receive into a journal directory.
type SpoolOptions struct {
	Target   string                      // for the commit record
	Need     int64                       // upper bound of the delta's bytes; 0: journal.Bound of its header
	Check    func(h stream.Header) error // before the spool is opened
	Resume   *stream.Cursor              // from ResumePoint
	Head     *stream.Header              // with Resume: the header that was announced
	Workers  int
	Progress func(Progress)
}

// ReceiveSpool receives a delta into the member's spool. The Member is what Commit wants;
// it is valid when err is nil. After an error the spool stays for the next ResumePoint.
func ReceiveSpool(ctx context.Context, dir *journal.Dir, member string, r io.Reader, opt SpoolOptions) (Received, journal.Member, error) {
	spool := &lateSpool{}
	check := func(h stream.Header) error {
		if opt.Check != nil {
			if err := opt.Check(h); err != nil {
				return err
			}
		}
		need := opt.Need
		if need == 0 {
			need = journal.Bound(h)
		}
		var err error
		if opt.Resume != nil {
			spool.Spool, err = dir.Resume(member, need, opt.Resume.Bytes)
		} else {
			spool.Spool, err = dir.Begin(member, need)
		}
		return err
	}
	res, err := Receive(ctx, spool, r, ReceiveOptions{Check: check, Resume: opt.Resume, Head: opt.Head, Workers: opt.Workers, Progress: opt.Progress})
	if spool.Spool == nil {
		return res, journal.Member{}, err
	}
	p := Progress{Phase: "syncing spool", Done: res.Header.SetBytes, Total: res.Header.SetBytes}
	if closeErr := beat(opt.Progress, p, spool.Close); err == nil {
		err = closeErr
	}
	h := res.Header
	h.First = 0
	return res, journal.Member{Name: member, Target: opt.Target, Header: h, Digest: res.Trailer.Digest.String(), Bytes: spool.Size()}, err
}

// lateSpool is opened once the header is known.
type lateSpool struct{ *journal.Spool }

// Replay applies a member of a committed journal to its device, from the start.
func Replay(ctx context.Context, tx *journal.Transaction, member string, dev blockdev.Device, opt MergeOptions) (report.Merge, error) {
	m, ok := tx.Member(member)
	if !ok {
		return report.Merge{}, fmt.Errorf("member %q: %w", member, journal.ErrNotFound)
	}
	f, err := tx.Open(member)
	if err != nil {
		return report.Merge{}, err
	}
	defer f.Close()
	check := opt.Check
	opt.Check = func(h stream.Header) error {
		if !h.Same(m.Header) {
			return fmt.Errorf("journal %s: %w: another delta lies there", tx.Path(member), journal.ErrDamaged)
		}
		if check != nil {
			return check(h)
		}
		return nil
	}
	r, err := Apply(ctx, dev, f, opt)
	if err == nil && r.Digest != m.Digest {
		err = fmt.Errorf("journal %s: %w: digest differs", tx.Path(member), journal.ErrDamaged)
	}
	return r, err
}

// KeepUndo commits the undo delta of a committed journal: what the device holds where its
// members will write. It is called before the first byte is written, and again after a crash,
// when it leaves what is there as it is: by then the device may be half new.
func KeepUndo(ctx context.Context, h *journal.History, name string, tx *journal.Transaction, members []string, dev blockdev.Device, opt ExtractOptions) error {
	var head stream.Header
	var need int64
	var parts []extent.Seq
	for i, member := range members {
		m, ok := tx.Member(member)
		if !ok {
			return fmt.Errorf("member %q: %w", member, journal.ErrNotFound)
		}
		if i == 0 {
			head = m.Header
		}
		// What is undone may be larger than what is done: zeros have no content in a delta.
		need += journal.Bound(m.Header)
		parts = append(parts, DeltaExtents{Open: func() (io.ReadCloser, error) { return tx.Open(member) }}.Extents())
	}
	return h.Write(name, need, func(w io.Writer) error {
		_, err := Undo(ctx, w, dev, head, extent.Union(parts...), opt)
		return err
	})
}
