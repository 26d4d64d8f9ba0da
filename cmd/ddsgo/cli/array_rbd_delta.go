package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/replica/image"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// rbdDest begins a --dest that is an RBD image.
const rbdDest = "rbd:"

// rbdOptions say which image of which cluster extract reads or merge writes.
type rbdOptions struct {
	image    string // POOL/IMAGE
	from, to string // snapshots
	cluster  string
	conf     string
	user     string
	rollback bool // merge: to the base's snapshot first
}

func (o *rbdOptions) addClusterFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.cluster, "ceph-cluster", image.DefaultCluster, "`NAME` of the Ceph cluster of an RBD image")
	f.StringVar(&o.conf, "ceph-conf", "", "its configuration `FILE` (default: found by the cluster's name)")
	f.StringVar(&o.user, "ceph-user", "", "its `USER`, without \"client.\" (default: admin)")
}

func (o *rbdOptions) addSourceFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.image, "rbd", "", "extract from the RBD image `POOL/IMAGE` instead of a device")
	f.StringVar(&o.from, "from", "", "with --rbd: the older `SNAPSHOT`; without it, all of --to")
	f.StringVar(&o.to, "to", "", "with --rbd: the newer `SNAPSHOT`, whose content is sent")
	o.addClusterFlags(cmd)
}

func (o *rbdOptions) cli() *rbd.CLI {
	return rbd.NewCLI(rbd.Cluster{Name: o.cluster, Conf: o.conf, User: o.user}, rbd.Times{Op: imageOpTime}, nil)
}

// validate checks the options of a source.
func (o *rbdOptions) validate() (rbd.Image, error) {
	if o.image == "" && (o.from != "" || o.to != "") {
		return rbd.Image{}, failure.Usage("extract: --from and --to are for --rbd POOL/IMAGE")
	}
	if o.to == "" {
		return rbd.Image{}, failure.Usage("extract: --to is missing: the snapshot of %s whose content is sent", o.image)
	}
	img, _, err := rbd.ParseSnapshot(o.image + "@" + o.to)
	if err == nil && o.from != "" {
		_, _, err = rbd.ParseSnapshot(o.image + "@" + o.from)
	}
	if err != nil {
		return img, failure.Usage("extract: %v", err)
	}
	return img, nil
}

// runExtractRBD is extract --rbd.
func runExtractRBD(ctx context.Context, g *globals, s streams, o extractOptions) error {
	img, err := o.rbd.validate()
	if err != nil {
		return err
	}
	if o.source != "" || o.cow != "" || o.full {
		return failure.Usage("extract: --rbd excludes --source, --cow and --full")
	}
	o.source = rbdDest + img.String()
	if err := o.validateTransfer(s); err != nil {
		return err
	}
	src, err := delta.Open(ctx, o.rbd.cli(), img, o.rbd.from, o.rbd.to)
	if err != nil {
		return o.rbd.rbdError(img, err)
	}
	defer func() { _ = src.Close() }() // read only
	kind := stream.KindDelta
	if src.Full {
		kind = stream.KindFull
	}
	head := stream.Header{Kind: kind, FrameSize: o.frameSize, VolumeSize: src.Size, From: src.From, To: src.To, Source: o.source}
	if o.dryRun {
		return o.planOf(g, s, src, head)
	}
	w, commit, err := openOutput(s, o.output)
	if err != nil {
		return err
	}
	codec, err := engine.ParseCodec(o.codec)
	if err != nil {
		return err
	}
	p := newProgress(g, s)
	r, err := engine.Extract(ctx, src.Writer(w), src, engine.ExtractOptions{Header: head, Codec: codec, Workers: o.workers, Readers: 1, Progress: p.show, BeforeTrailer: src.Finish})
	p.done()
	if err = commit(err); err != nil {
		return transferError(o.source, o.rbd.rbdError(img, err))
	}
	return o.print(g, s, r)
}

// rbdError gives errors of Ceph their exit codes and next commands.
func (o *rbdOptions) rbdError(img rbd.Image, err error) error {
	return image.Explain(image.End{CLI: o.cli(), Image: img}, err)
}

// rbdMerge is one run of merge --dest rbd:POOL/IMAGE.
type rbdMerge struct {
	g      *globals
	o      mergeOptions
	img    rbd.Image
	target *delta.Target
	dir    *journal.Dir
	bar    *progress
}

// runMergeRBD writes a delta to an image: received and verified as a whole, then imported; the
// import ends in the snapshot that names the generation. A run that was cut is finished by the next
// one, by applying the journalled delta again.
func runMergeRBD(ctx context.Context, g *globals, s streams, o mergeOptions) error {
	img, err := rbd.ParseImage(strings.TrimPrefix(o.dest, rbdDest))
	if err != nil {
		return failure.Usage("merge: --dest: %v", err)
	}
	if o.direct {
		return failure.Usage("merge: --direct is not for RBD images: without the journal a cut import could not be repeated")
	}
	in, closeInput, err := openInput(ctx, s, o.input)
	if err != nil {
		return err
	}
	defer closeInput()
	m := &rbdMerge{g: g, o: o, img: img, bar: newProgress(g, s)}
	unlock, err := m.open()
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.rollForward(ctx, s); err != nil {
		return o.rbd.rbdError(img, err)
	}
	a, err := m.admit(ctx, in.Header, false)
	if err == nil && o.rbd.rollback && a.From == "" && !a.Applied {
		err = fmt.Errorf("%s: %w: no snapshot to set it back to", img, delta.ErrBase)
	}
	if err != nil {
		return o.rbd.rbdError(img, err)
	}
	for _, w := range a.Warnings {
		if !g.quiet && !g.json {
			fmt.Fprintln(s.err, "ddsgo: warning:", w)
		}
	}
	if o.dryRun {
		_, err := fmt.Fprintf(s.out, "would merge %d bytes (%s): receive it into the journal, verify it, import it; then %s@%s holds it\n", in.Header.SetBytes, in.Header.Kind, img, a.To)
		return err
	}
	rep, err := m.receive(ctx, in, a)
	m.bar.done()
	if err != nil {
		return mergeError(o.dest, o.rbd.rbdError(img, err))
	}
	return m.print(s, a, rep)
}

// open takes the lock of the image and opens its journal.
func (m *rbdMerge) open() (func(), error) {
	stateDir, err := state.Dir(m.g.stateDir)
	if err != nil {
		return nil, err
	}
	dir := image.End{CLI: m.o.rbd.cli(), Image: m.img}.Dir(stateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	l := flock.New(filepath.Join(dir, "lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	if !ok {
		return nil, failure.With(failure.CodeLocked, m.o.dest, "another merge is at work (lock "+l.Path()+")", "fuser -v "+l.Path(), nil)
	}
	unlock := func() { _ = l.Unlock() }
	if m.dir, err = journal.Open(journal.OS{}, filepath.Join(dir, "journal")); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

func (m *rbdMerge) admit(ctx context.Context, h stream.Header, cut bool) (delta.Admission, error) {
	var err error
	if m.target, err = delta.OpenTarget(ctx, m.o.rbd.cli(), m.img); err != nil {
		return delta.Admission{}, err
	}
	if err := m.notOfALeg(ctx); err != nil {
		return delta.Admission{}, err
	}
	return m.target.Check(ctx, h, m.o.forceBase || m.o.rbd.rollback, cut)
}

// notOfALeg refuses the copy of a configured leg: its record would not know of the merge.
func (m *rbdMerge) notOfALeg(ctx context.Context) error {
	if !m.target.Exists() {
		return nil
	}
	meta, err := m.o.rbd.cli().Meta(ctx, m.img)
	if err != nil {
		return err
	}
	if _, ok := meta[image.CopyKey]; ok {
		return failure.Refused(m.o.dest, "it is the copy of a configured leg", "ddsgo sync NAME, where that leg is configured; to end it: rbd image-meta remove "+m.img.String()+" "+image.CopyKey)
	}
	return nil
}

// rollForward applies a journal that an earlier run has committed and not finished.
func (m *rbdMerge) rollForward(ctx context.Context, s streams) error {
	tx, err := m.dir.Pending()
	if errors.Is(err, journal.ErrNotFound) || m.o.dryRun {
		return nil
	}
	if err != nil {
		return failure.With(failure.CodeCorrupt, m.dir.Path(), "the journal of "+m.o.dest+" cannot be used", "move the directory away, then make a full copy with --force-base", err)
	}
	h := tx.Members[0].Header
	fmt.Fprintf(s.err, "ddsgo: warning: %s: finishing a merge to %v that was cut\n", m.o.dest, h.To)
	a, err := m.admit(ctx, h, true)
	if err != nil {
		return err
	}
	return m.apply(ctx, tx, a)
}

// receive spools, commits and applies.
func (m *rbdMerge) receive(ctx context.Context, in *engine.Incoming, a delta.Admission) (report.Merge, error) {
	got, member, err := engine.ReceiveSpool(ctx, m.dir, memberName, in, engine.SpoolOptions{Target: m.o.dest, Progress: m.bar.show})
	if err != nil {
		return report.Merge{}, firstError(err, m.dir.Discard())
	}
	if a.Applied {
		return got.Report, m.dir.Discard()
	}
	if m.o.rbd.rollback {
		// Before the commit: cut here, the image differs from the snapshot, and the next merge refuses it
		// as long as it is not told to roll back, too.
		if err := m.o.rbd.cli().SnapshotRollback(ctx, m.img, a.From); err != nil {
			return report.Merge{}, err
		}
	}
	tx, err := m.dir.Commit(time.Now(), member)
	if err != nil {
		return report.Merge{}, err
	}
	return got.Report, m.apply(ctx, tx, a)
}

// apply imports a committed journal and removes it.
func (m *rbdMerge) apply(ctx context.Context, tx *journal.Transaction, a delta.Admission) error {
	if a.Applied {
		return m.dir.Remove()
	}
	size := tx.Members[0].Header.VolumeSize
	if a.Create {
		if err := m.target.Make(ctx, size); err != nil && !errors.Is(err, rbd.ErrExists) {
			return err
		}
	}
	dev, err := m.target.Import(ctx, a, size)
	if err != nil {
		return err
	}
	_, err = engine.Replay(ctx, tx, memberName, dev, engine.MergeOptions{Progress: m.bar.show})
	if err = errors.Join(err, dev.Close()); err != nil {
		return err
	}
	return m.dir.Remove()
}

func (m *rbdMerge) print(s streams, a delta.Admission, r report.Merge) error {
	read := m.img.At(a.To)
	switch {
	case m.g.json:
		line := transferSummary("merge", m.o.dest, r.Seconds, a.Warnings, r)
		line.Info = map[string]string{"read": read}
		return printJSON(s.out, line)
	case m.g.quiet:
		return nil
	case m.g.verbose:
		r.Text(s.out, "merge")
	}
	_, err := fmt.Fprintf(s.out, "read it as %s\n", read)
	return err
}
