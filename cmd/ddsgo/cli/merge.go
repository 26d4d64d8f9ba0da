package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

type mergeOptions struct {
	dest      string
	input     string
	forceBase bool
	direct    bool
	dryRun    bool
	dds       bool // the original's options and report
	rbd       rbdOptions
}

func newMergeCommand(g *globals, s streams) *cobra.Command {
	var o mergeOptions
	cmd := &cobra.Command{
		Use:   "merge --dest DEV [FILE]",
		Short: "Write a delta to a block device or file",
		Long: `Read a delta from FILE or standard input and write it to --dest.

The delta is first received into the state directory and verified as a whole: one
that is cut or damaged leaves the device untouched (exit 13). Then it is written;
a run that is killed meanwhile is finished by the next merge that fits. With
--direct, and for full copies, it is written while it arrives, and the device is
marked inconsistent until all of it is durable.

merge remembers which generation it wrote to the device. A delta that builds on
another one is refused (exit 15), unless --force-base is given. Deltas of plain
files carry no generation.

EXAMPLES
  ssh prod ddsgo extract --cow /dev/mapper/vg-snap1-cow --source /dev/vg/snap2 | ddsgo merge --dest /dev/vg/data
  ddsgo merge --dest copy.img data.delta
  ddsgo merge --dest /dev/vg/data --dry-run < data.delta
  ddsgo merge --dest rbd:volumes/copy data.delta    # ends in a snapshot, POOL/IMAGE@ddsgo.HASH

EXIT STATUS
  0 done, everything is durable; 1 failed; 4 usage; 11 another merge is at work;
  13 the delta is cut or damaged; 15 refused, nothing was written; 130 interrupted

FILES
  STATE-DIR/stamps, STATE-DIR/volumes/*/journal (see --state-dir)`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.input = args[0]
			}
			return runMerge(cmd.Context(), g, s, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dest, "dest", "", "block device or file to write to, or rbd:POOL/IMAGE")
	f.BoolVar(&o.forceBase, "force-base", false, "write it whatever the device is stamped with")
	f.BoolVar(&o.direct, "direct", false, "write while it arrives, without a journal")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "read the header and say what would be done")
	f.BoolVar(&o.rbd.rollback, "rollback", false, "first set an RBD image back to the snapshot that the delta builds on: what others wrote since is lost")
	o.rbd.addClusterFlags(cmd)
	return cmd
}

// merging is one run of merge.
type merging struct {
	g        *globals
	s        streams
	o        mergeOptions
	in       *engine.Incoming
	store    *state.Store
	id       state.Identity
	dir      *journal.Dir
	dev      *blockdev.Disk
	progress *progress
	admission
}

// memberName is the one member of plain merge's transactions.
const memberName = "delta"

func runMerge(ctx context.Context, g *globals, s streams, o mergeOptions) error {
	if o.dest == "" {
		return failure.Usage("merge: --dest is missing: the block device or file to write to")
	}
	if strings.HasPrefix(o.dest, rbdDest) {
		return runMergeRBD(ctx, g, s, o)
	}
	if o.rbd.rollback {
		return failure.Usage("merge: --rollback is for --dest rbd:POOL/IMAGE, which keeps a snapshot of each generation")
	}
	in, closeInput, err := openInput(ctx, s, o.input)
	if err != nil {
		return err
	}
	defer closeInput()
	m := &merging{g: g, s: s, o: o, in: in, progress: newProgress(g, s)}
	unlock, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	defer func() { _ = m.dev.Close() }() // read only, or closed before with its error
	tx, err := m.admitDelta()
	if err != nil {
		return err
	}
	if o.dryRun {
		return m.plan(tx)
	}
	for _, w := range m.warnings {
		if !g.quiet && !g.json {
			fmt.Fprintln(s.err, "ddsgo: warning:", w)
		}
	}
	start := time.Now()
	r, err := m.run(ctx, tx)
	r.Finish(start, r.DataBytes+r.ZeroBytes)
	m.progress.done()
	if err != nil {
		return mergeError(o.dest, err)
	}
	return m.print(r)
}

// openInput opens the delta and reads its header.
func openInput(ctx context.Context, s streams, path string) (*engine.Incoming, func(), error) {
	r, closeFile := s.in, func() {}
	switch {
	case path != "" && path != "-":
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, failure.With(failure.CodeFailure, path, "cannot read the delta", "", err)
		}
		r, closeFile = f, func() { _ = f.Close() }
	case isTerminal(s.in):
		return nil, nil, failure.Usage("merge: a delta is expected on standard input, which is a terminal: name a file or use a pipe")
	default:
		path = "standard input"
	}
	in, err := engine.Peek(ctx, r)
	if err != nil {
		closeFile()
		return nil, nil, transferError(path, err)
	}
	return in, func() { in.Close(); closeFile() }, nil
}

// open takes the lock of the device, opens it, and opens its journal directory.
func (m *merging) open(ctx context.Context) (unlock func(), err error) {
	stateDir, err := state.Dir(m.g.stateDir)
	if err != nil {
		return nil, err
	}
	if m.store, err = state.Open(stateDir); err != nil {
		return nil, err
	}
	if err := m.create(); err != nil {
		return nil, err
	}
	if m.id, err = state.Identify(m.o.dest); err != nil {
		return nil, openFailure(m.o.dest, "target", err)
	}
	lock, err := m.store.Lock(ctx, m.id, state.LockOptions{Purpose: "merge to " + m.o.dest})
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = lock.Release() }
	if m.dev, err = blockdev.Open(m.o.dest, blockdev.Options{Write: true, Exclusive: true}); err != nil {
		unlock()
		return nil, openFailure(m.o.dest, "target", err)
	}
	volume, err := m.store.Volume(m.id, nil).Dir()
	if err == nil {
		m.dir, err = journal.Open(journal.OS{}, filepath.Join(volume, "journal"))
	}
	if err != nil {
		unlock()
		return nil, errors.Join(err, m.dev.Close())
	}
	return unlock, nil
}

// create makes the target of a full copy where it is a file that does not exist.
func (m *merging) create() error {
	h := m.in.Header
	if _, err := os.Stat(m.o.dest); !errors.Is(err, os.ErrNotExist) || h.Kind != stream.KindFull || h.VolumeSize == 0 || m.o.dryRun {
		return nil
	}
	d, err := blockdev.Open(m.o.dest, blockdev.Options{Write: true, Create: h.VolumeSize})
	if err != nil {
		return openFailure(m.o.dest, "target", err)
	}
	return d.Close()
}

// admitDelta collects what is known and decides. It returns the journal that waits, if any.
func (m *merging) admitDelta() (*journal.Transaction, error) {
	f := arrivalFacts{device: m.o.dest, size: m.dev.Size(), head: m.in.Header, force: m.o.forceBase, dds: m.o.dds, direct: m.o.direct}
	var err error
	if f.stamp, err = m.store.Stamp(m.id); err != nil && !errors.Is(err, state.ErrNotFound) && !m.o.forceBase {
		return nil, err
	}
	tx, err := m.dir.Pending()
	switch {
	case errors.Is(err, journal.ErrNotFound):
		tx = nil
	case err != nil && !(m.o.forceBase && errors.Is(err, journal.ErrDamaged)):
		return nil, failure.With(failure.CodeCorrupt, m.dir.Path(), "the journal of "+m.o.dest+" cannot be used",
			"make a full copy with --force-base, which drops it", err)
	case err != nil:
		tx, m.dropPending = nil, true
	default:
		f.pending = &tx.Members[0]
	}
	drop := m.dropPending
	if m.admission, err = admit(f); err != nil {
		return nil, err
	}
	m.dropPending = m.dropPending || drop
	return tx, nil
}

// plan is --dry-run.
func (m *merging) plan(tx *journal.Transaction) error {
	how := "receive it into the journal, verify it, then write it"
	if m.direct {
		how = "mark the device inconsistent, then write it while it arrives"
	}
	h := m.in.Header
	if m.g.json {
		return printJSON(m.s.out, map[string]any{"message_type": report.TypePlan, "verb": "merge", "header": h, "how": how, "warnings": m.warnings})
	}
	if tx != nil && m.rollForward {
		fmt.Fprintf(m.s.out, "would finish a merge that was cut: %s\n", tx.Path(memberName))
	}
	_, err := fmt.Fprintf(m.s.out, "would merge %d bytes (%s, %v -> %v): %s\n", h.SetBytes, h.Kind, h.From, h.To, how)
	return err
}

// run does what admit decided.
func (m *merging) run(ctx context.Context, tx *journal.Transaction) (report.Merge, error) {
	if m.rollForward {
		if _, err := m.apply(ctx, tx); err != nil {
			return report.Merge{}, fmt.Errorf("finish the merge that was cut: %w", err)
		}
	}
	if m.dropPending {
		if err := m.dir.Remove(); err != nil {
			return report.Merge{}, err
		}
	}
	if m.direct {
		return m.writeDirect(ctx)
	}
	return m.writeJournalled(ctx)
}

// writeJournalled receives, commits, applies. Nothing of the device is touched before the
// commit.
func (m *merging) writeJournalled(ctx context.Context) (report.Merge, error) {
	got, member, err := engine.ReceiveSpool(ctx, m.dir, memberName, m.in, engine.SpoolOptions{Target: m.o.dest, Progress: m.progress.show})
	if err != nil {
		return report.Merge{}, firstError(err, m.dir.Discard()) // a pipe cannot be resumed
	}
	tx, err := m.dir.Commit(time.Now(), member)
	if err != nil {
		return report.Merge{}, err
	}
	if got.Header.SubChunk {
		if err := m.checkBases(ctx, tx); err != nil {
			return report.Merge{}, err
		}
	}
	written, err := m.apply(ctx, tx)
	if err != nil {
		return report.Merge{}, err
	}
	got.Report.WriteSeconds = written.WriteSeconds
	return got.Report, nil
}

// checkBases drops a journal that does not fit on what the device holds.
func (m *merging) checkBases(ctx context.Context, tx *journal.Transaction) error {
	f, err := tx.Open(memberName)
	if err != nil {
		return err
	}
	err = engine.CheckBases(ctx, m.dev, f, m.progress.show)
	if err = firstError(err, f.Close()); err == nil {
		return nil
	}
	return errors.Join(err, m.dir.Remove())
}

// apply writes a committed journal: mark, write, fsync, stamp, remove.
func (m *merging) apply(ctx context.Context, tx *journal.Transaction) (report.Merge, error) {
	if len(tx.Members) != 1 || tx.Members[0].Name != memberName {
		return report.Merge{}, fmt.Errorf("%s: %w: not a journal of merge", m.dir.Path(), journal.ErrDamaged)
	}
	h := tx.Members[0].Header
	if err := m.mark(state.KindApplying, h); err != nil {
		return report.Merge{}, err
	}
	r, err := engine.Replay(ctx, tx, memberName, m.dev, engine.MergeOptions{Progress: m.progress.show})
	if err != nil {
		return r, err
	}
	if err := m.finish(h); err != nil {
		return r, err
	}
	return r, m.dir.Remove()
}

// writeDirect writes while the delta arrives.
func (m *merging) writeDirect(ctx context.Context) (report.Merge, error) {
	h := m.in.Header
	check := func(stream.Header) error { return m.mark(state.KindInconsistent, h) }
	r, err := engine.Merge(ctx, m.dev, m.in, engine.MergeOptions{Check: check, Progress: m.progress.show})
	if err != nil {
		return r, fmt.Errorf("%w (the device is marked inconsistent)", err)
	}
	return r, m.finish(h)
}

// mark stamps the device as between two generations, durably, before it is written.
func (m *merging) mark(c state.Kind, h stream.Header) error {
	return m.store.SetStamp(state.Stamp{Identity: m.id, Device: m.o.dest, Generation: h.From, To: h.To, Condition: c, SourceID: h.Source, Set: h.SetID.String()})
}

// finish stamps the device with what it holds now.
func (m *merging) finish(h stream.Header) error {
	if h.To.IsZero() {
		return m.store.RemoveStamp(m.id)
	}
	return m.store.SetStamp(state.Stamp{Identity: m.id, Device: m.o.dest, Generation: h.To, Condition: state.KindClean, SourceID: h.Source, Set: h.SetID.String()})
}

func (m *merging) print(r report.Merge) error {
	switch {
	case m.g.json:
		return printJSON(m.s.out, transferSummary("merge", m.o.dest, r.Seconds, m.warnings, r))
	case !m.g.verbose || m.g.quiet:
	case m.o.dds:
		r.DDS(m.s.out)
	default:
		r.Text(m.s.out, "merge")
	}
	return nil
}

// mergeError gives errors of merge their exit codes and next commands.
func mergeError(dest string, err error) error {
	var space *journal.SpaceError
	switch {
	case errors.As(err, &space):
		return failure.With(failure.CodeRefused, dest, "no room to receive the delta before writing it",
			"free space, choose another --state-dir, or write without a journal: ddsgo merge --direct", err)
	case errors.Is(err, engine.ErrBase):
		return failure.With(failure.CodeRefused, dest, "it does not hold what the delta builds on", "extract whole chunks, or make a full copy", err)
	case errors.Is(err, io.ErrShortWrite):
		return failure.With(failure.CodeFailure, dest, "was not written", "", err)
	}
	return transferError(dest, err)
}
