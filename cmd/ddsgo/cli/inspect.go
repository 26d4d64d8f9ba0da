package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

func newInspectCommand(g *globals, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE|DEV",
		Short: "Say what a delta, exception store, changed set or state file holds, and whether it is whole",
		Long: `Tell by its content what FILE or DEV is, verify it from the first byte to the last,
and print what it says: a delta, the exception store of a snapshot (-cow), a
changed set, a state file or stamp. "-" is standard input (deltas only).

EXAMPLES
  ddsgo inspect data.delta
  ddsgo inspect --json /dev/mapper/vg-snap1-cow
  ssh prod ddsgo extract --full --source /dev/vg/snap | ddsgo inspect -

EXIT STATUS
  0 it is whole; 1 cannot be read; 13 it is damaged, cut, of a newer version, or
  nothing that ddsgo knows; 14 the snapshot overflowed`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runInspect(cmd.Context(), g, s, args[0]) },
	}
}

// finding is what inspect found.
type finding struct {
	Type   string `json:"type"` // delta, cow, changed_set, ddsgo-state, ddsgo-stamp
	File   string `json:"file"`
	Whole  bool   `json:"whole"`
	Detail any    `json:"detail"`
	text   func(w io.Writer)
}

// maxStateFile bounds what is read as a state file.
const maxStateFile = state.MaxFile

func runInspect(ctx context.Context, g *globals, s streams, path string) error {
	f, err := inspect(ctx, g, s, path)
	if f == nil {
		return err
	}
	f.File, f.Whole = path, err == nil
	if g.json {
		return firstError(printJSON(s.out, f), err)
	}
	f.text(s.out)
	return err
}

// inspect finds out what path is. A finding with an error is what a damaged file still says.
func inspect(ctx context.Context, g *globals, s streams, path string) (*finding, error) {
	if path == "-" {
		if isTerminal(s.in) {
			return nil, failure.Usage("inspect: standard input is a terminal")
		}
		return inspectDelta(ctx, g, s, path, s.in)
	}
	block, err := isBlockDevice(path)
	if err != nil {
		return nil, openFailure(path, "file", err)
	}
	d, err := blockdev.Open(path, blockdev.Options{Direct: block})
	if err != nil {
		return nil, openFailure(path, "file", err)
	}
	defer func() { _ = d.Close() }() // read only
	head := make([]byte, min(16, d.Size()))
	if _, err := d.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, failure.With(failure.CodeFailure, path, "cannot be read", "", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("SnAp")):
		return inspectCOW(ctx, path, d)
	case bytes.HasPrefix(head, []byte("DDSGOSET")):
		return inspectChangedSet(path, d)
	case bytes.HasPrefix(bytes.TrimLeft(head, " \n\t"), []byte("{")) && d.Size() <= maxStateFile:
		return inspectState(path)
	}
	return inspectDelta(ctx, g, s, path, io.NewSectionReader(d, 0, d.Size()))
}

// deltaFacts is what inspect says of a delta.
type deltaFacts struct {
	Header  stream.Header   `json:"header"`
	Trailer *stream.Trailer `json:"trailer"` // null: not whole
	Good    stream.Counts   `json:"good"`    // what was read and verified
	Bytes   int64           `json:"bytes"`
}

func inspectDelta(ctx context.Context, g *globals, s streams, path string, r io.Reader) (*finding, error) {
	in, err := engine.Peek(ctx, r)
	if err != nil {
		return nil, failure.With(failure.CodeCorrupt, path, "is nothing that ddsgo knows, or damaged at its start", "", err)
	}
	defer in.Close()
	p := newProgress(g, s)
	got := deltaFacts{Header: in.Header}
	show := func(e engine.Progress) { got.Bytes = e.Sent; p.show(e) }
	if in.Header.First != 0 {
		err = &stream.Error{Kind: stream.ErrPartial, Detail: "it continues another file and cannot be verified alone"}
	} else {
		var rec engine.Received
		if rec, err = engine.Receive(ctx, io.Discard, in, engine.ReceiveOptions{Progress: show, Settled: func(c stream.Counts) { got.Good = c }}); err == nil {
			got.Trailer, got.Good, got.Bytes = &rec.Trailer, rec.Trailer.Counts, rec.Report.StreamBytes
		}
	}
	p.done()
	f := &finding{Type: "delta", Detail: got, text: func(w io.Writer) { got.print(w, path) }}
	if err != nil {
		return f, transferError(path, err)
	}
	return f, nil
}

func (d *deltaFacts) print(w io.Writer, path string) {
	h := d.Header
	fmt.Fprintf(w, "%s: delta, format version %d, kind %s\n", path, h.Version, h.Kind)
	fmt.Fprintf(w, "  source      %s, %s, chunks of %s\n", h.Source, humanize.IBytes(uint64(h.VolumeSize)), humanize.IBytes(uint64(h.ChunkSize)))
	fmt.Fprintf(w, "  from        %v\n  to          %v\n  set         %v\n", h.From, h.To, h.SetID)
	fmt.Fprintf(w, "  changed     %s; verified: content %s, zeros %s, %d extents in %d frames\n", humanize.IBytes(uint64(h.SetBytes)),
		humanize.IBytes(d.Good.DataBytes), humanize.IBytes(d.Good.ZeroBytes), d.Good.Extents, d.Good.Frames)
	if d.Trailer == nil {
		fmt.Fprintf(w, "  NOT WHOLE\n")
		return
	}
	fmt.Fprintf(w, "  digest      %v\n  whole       %s\n", d.Trailer.Digest, humanize.IBytes(uint64(d.Bytes)))
}

// cowFacts is what inspect says of an exception store.
type cowFacts struct {
	Valid      bool  `json:"valid"`
	ChunkSize  int64 `json:"chunk_size"`
	Exceptions int64 `json:"exceptions"`
	Bytes      int64 `json:"changed_bytes"`
}

// anyVolume: the size of the origin is not known here, and not needed to count.
const anyVolume = 1 << 62

func inspectCOW(ctx context.Context, path string, d *blockdev.Disk) (*finding, error) {
	h, err := cow.ReadHeader(d, d.Size())
	if err != nil && !errors.Is(err, cow.ErrInvalid) {
		return nil, failure.With(failure.CodeCorrupt, path, "its exception store is damaged", "", err)
	}
	c := cowFacts{Valid: h.Valid, ChunkSize: h.ChunkSize}
	var bad error
	for _, err := range cow.Exceptions(ctx, d, d.Size(), cow.Options{VolumeSize: anyVolume, AllowInvalid: true}) {
		if err != nil {
			bad = failure.With(failure.CodeCorrupt, path, "its exception table is damaged", "ddsgo extract --full", err)
			break
		}
		c.Exceptions++
	}
	c.Bytes = c.Exceptions * c.ChunkSize
	if bad == nil && !c.Valid {
		bad = failure.With(failure.CodeOverflow, path, "the snapshot overflowed: what changed is not known any more", "ddsgo extract --full", cow.ErrInvalid)
	}
	return &finding{Type: "cow", Detail: c, text: func(w io.Writer) {
		fmt.Fprintf(w, "%s: exception store of a snapshot\n  valid       %v\n  chunk size  %s\n  exceptions  %d (%s)\n", path, c.Valid,
			humanize.IBytes(uint64(c.ChunkSize)), c.Exceptions, humanize.IBytes(uint64(c.Bytes)))
	}}, bad
}

// setFacts is what inspect says of a changed set.
type setFacts struct {
	Header  extent.ChangedSetHeader `json:"header"`
	Extents int64                   `json:"extents"`
	Bytes   int64                   `json:"changed_bytes"`
}

func inspectChangedSet(path string, d *blockdev.Disk) (*finding, error) {
	set, err := extent.ReadChangedSet(d, d.Size())
	if err != nil {
		return nil, failure.With(failure.CodeCorrupt, path, "the changed set is damaged", "", err)
	}
	f := setFacts{Header: set.Header, Extents: set.Count, Bytes: set.Bytes}
	return &finding{Type: "changed_set", Detail: f, text: func(w io.Writer) {
		h := f.Header
		fmt.Fprintf(w, "%s: changed set %v\n  volume      %s, %s, chunks of %s\n  from        %v\n  to          %v\n  changed     %s in %d extents, %d sets folded\n", path, h.ID,
			h.Volume, humanize.IBytes(uint64(h.Size)), humanize.IBytes(uint64(h.ChunkSize)), h.From, h.To, humanize.IBytes(uint64(f.Bytes)), f.Extents, h.Folded)
	}}, nil
}

func inspectState(path string) (*finding, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, failure.With(failure.CodeFailure, path, "cannot be read", "", err)
	}
	i, err := state.InspectFile(b)
	if errors.Is(err, state.ErrInvalid) {
		return nil, failure.With(failure.CodeCorrupt, path, "is nothing that ddsgo knows", "", err)
	}
	if err != nil {
		err = failure.With(failure.CodeCorrupt, path, "is damaged", "", err)
	}
	return &finding{Type: i.Format, Detail: i, text: func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, schema version %d\n%s\n", path, i.Format, i.SchemaVersion, bytes.TrimSpace(i.Body))
	}}, err
}
