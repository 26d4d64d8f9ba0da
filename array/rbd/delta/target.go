package delta

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/stream"
)

// SnapshotPrefix begins the name of every snapshot that a target gets from ddsgo.
const SnapshotPrefix = "ddsgo."

// nameBytes of a hash make a snapshot's name: enough that no two generations meet.
const nameBytes = 10

// SnapshotName is the snapshot that holds a generation.
func SnapshotName(g generation.Generation) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s#%d", g.UUID, g.Seq))
	return SnapshotPrefix + hex.EncodeToString(h[:nameBytes])
}

// endSnapshot is the snapshot that a delta ends in. Deltas of plain files carry no generation: their
// set names them.
func endSnapshot(h stream.Header) string {
	if h.To.IsZero() {
		return SnapshotPrefix + "set." + h.SetID.String()[:2*nameBytes]
	}
	return SnapshotName(h.To)
}

// Target is an image that deltas are written to.
type Target struct {
	cli   *rbd.CLI
	Image rbd.Image

	exists    bool
	snapshots []string
}

// Admission is what Check found out.
type Admission struct {
	Applied  bool   // the delta's own snapshot is there: nothing is to be written
	Create   bool   // the image is to be made
	From     string // snapshot that the delta builds on, empty: none
	To       string // snapshot that it ends in
	Warnings []string
}

// OpenTarget reads the image; it need not exist yet.
func OpenTarget(ctx context.Context, c *rbd.CLI, img rbd.Image) (*Target, error) {
	snaps, err := c.Snapshots(ctx, img)
	if errors.Is(err, rbd.ErrNoImage) {
		return &Target{cli: c, Image: img}, nil
	}
	if err != nil {
		return nil, err
	}
	return KnownTarget(c, img, snaps), nil
}

// KnownTarget is OpenTarget for an image that was read already.
func KnownTarget(c *rbd.CLI, img rbd.Image, snapshots []rbd.Snapshot) *Target {
	t := &Target{cli: c, Image: img, exists: true}
	for _, s := range snapshots {
		t.snapshots = append(t.snapshots, s.Name)
	}
	return t
}

// Exists says that the image is there.
func (t *Target) Exists() bool { return t.exists }

// Check refuses, before the first byte, what must not or cannot be written. force skips what compares
// the content with the delta's base. cut: an import of a delta from this base was cut before, so that
// HEAD may be a mixture.
func (t *Target) Check(ctx context.Context, h stream.Header, force, cut bool) (Admission, error) {
	a := Admission{To: endSnapshot(h)}
	if h.SubChunk {
		return a, fmt.Errorf("%s: %w: a sub-chunk delta needs to read its base", t.Image, ErrTarget)
	}
	if !t.exists {
		if h.Kind != stream.KindFull {
			return a, fmt.Errorf("cluster %s: %s: %w: a delta needs its base", t.cli.Cluster().Name, t.Image, rbd.ErrNoImage)
		}
		a.Create = true
		return a, t.Room(ctx, h.SetBytes)
	}
	if err := t.Free(ctx, cut); err != nil {
		return a, err
	}
	if a.Applied = slices.Contains(t.snapshots, a.To); a.Applied {
		return a, nil
	}
	if err := t.base(ctx, h, &a, force, cut); err != nil {
		return a, err
	}
	return a, t.Room(ctx, h.SetBytes)
}

// base compares what the delta builds on with what the image holds.
func (t *Target) base(ctx context.Context, h stream.Header, a *Admission, force, cut bool) error {
	if h.Kind == stream.KindFull {
		if !force && !cut {
			return fmt.Errorf("%s: %w: a full copy would replace its content", t.Image, ErrTarget)
		}
		return nil
	}
	if h.From.IsZero() {
		if !force {
			a.Warnings = append(a.Warnings, "the delta carries no identity: whether "+t.Image.String()+" holds its base is not known")
		}
		return nil
	}
	a.From = SnapshotName(h.From)
	switch {
	case !slices.Contains(t.snapshots, a.From) && force:
		a.From = ""
		return nil
	case !slices.Contains(t.snapshots, a.From):
		return fmt.Errorf("%s: %w: no snapshot %s (%v)", t.Image, ErrBase, a.From, h.From)
	case cut || force:
		return nil
	}
	changed, err := t.cli.DiffHead(ctx, t.Image, a.From)
	if err != nil {
		return err
	}
	if changed {
		return fmt.Errorf("%s: %w: it was written since snapshot %s, and not by ddsgo", t.Image, ErrTarget, a.From)
	}
	return nil
}

// watchTime is how long Ceph remembers the watch of a client that died, with something to spare.
const watchTime = 45 * time.Second

// Free refuses an image that somebody else writes: mirroring, a watcher, a lock. cut: an import was cut,
// and the dead one's watch is waited for.
func (t *Target) Free(ctx context.Context, cut bool) error {
	info, err := t.cli.Info(ctx, t.Image)
	if err != nil {
		return err
	}
	if info.Mirrored() && !info.Mirroring.Primary {
		return fmt.Errorf("%s: %w: it is the non-primary side of a mirror", t.Image, ErrTarget)
	}
	watchers, err := t.cli.Users(ctx, t.Image)
	for end := time.Now().Add(watchTime); cut && err == nil && len(watchers) > 0 && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
		watchers, err = t.cli.Users(ctx, t.Image)
	}
	if err != nil {
		return err
	}
	if len(watchers) > 0 {
		return fmt.Errorf("%s: %w: it is in use by %s", t.Image, ErrTarget, strings.Join(watchers, ", "))
	}
	locks, err := t.cli.Locks(ctx, t.Image)
	if err != nil {
		return err
	}
	for _, l := range locks {
		// librbd's own lock of a client that does not watch any more is a dead client's: librbd takes it
		// over. Any other lock was set by somebody on purpose.
		if !strings.HasPrefix(l.ID, "auto ") {
			return fmt.Errorf("%s: %w: %s at %s holds its lock %q", t.Image, ErrTarget, l.Locker, l.Address, l.ID)
		}
	}
	return nil
}

// Room refuses what the pool cannot take: a full pool would block the import instead of failing it.
func (t *Target) Room(ctx context.Context, need int64) error {
	free, err := t.cli.Available(ctx, t.Image.Pool)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("pool %s takes %d bytes more, the delta may need %d: %w", t.Image.Pool, free, need, rbd.ErrNoSpace)
	}
	return nil
}

// Make creates the image for a full copy.
func (t *Target) Make(ctx context.Context, size int64) error {
	return t.cli.CreateBytes(ctx, t.Image, size)
}

// Device is one import: what is written to it goes to rbd import-diff, in any order, and Sync ends it.
// It reads nothing.
type Device struct {
	target *Target
	size   int64
	mu     sync.Mutex // records must not mix
	out    *recordWriter
	pipe   *io.PipeWriter
	result chan error
	ended  bool
	err    error
}

var _ blockdev.Device = (*Device)(nil)

// Import begins writing a delta to the image.
func (t *Target) Import(ctx context.Context, a Admission, size int64) (*Device, error) {
	r, w := io.Pipe()
	d := &Device{target: t, size: size, pipe: w, out: newRecordWriter(w), result: make(chan error, 1)}
	go func() {
		err := t.cli.ImportDiff(ctx, r, t.Image)
		if err == nil {
			_ = r.Close()
		} else {
			_ = r.CloseWithError(err)
		}
		d.result <- err
	}()
	if err := d.out.header(a.From, a.To, size); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ReadAt implements blockdev.Device; an import reads nothing.
func (d *Device) ReadAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("%s: %w: an import does not read", d.Name(), ErrTarget)
}

// WriteAt implements blockdev.Device.
func (d *Device) WriteAt(p []byte, off int64) (int, error) {
	if err := blockdev.CheckRange(d.Name(), off, int64(len(p)), d.size); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.keep(d.out.write(p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ZeroAt implements blockdev.Device.
func (d *Device) ZeroAt(off, length int64) error {
	if err := blockdev.CheckRange(d.Name(), off, length, d.size); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keep(d.out.extent('z', off, length))
}

// keep remembers the first error: after it nothing is sent.
func (d *Device) keep(err error) error {
	if d.err == nil && err != nil {
		d.err = fmt.Errorf("%s: %w", d.Name(), err)
	}
	return d.err
}

// Size implements blockdev.Device.
func (d *Device) Size() int64 { return d.size }

// Name implements blockdev.Device.
func (d *Device) Name() string { return "rbd:" + d.target.Image.String() }

// Sync ends the import: it returns when Ceph has all of it and the snapshot is made.
func (d *Device) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || d.err != nil {
		return d.err
	}
	d.ended = true
	err := d.out.end()
	if closeErr := d.pipe.Close(); err == nil {
		err = closeErr
	}
	if exit := <-d.result; exit != nil {
		d.result <- exit
		if errors.Is(exit, rbd.ErrExists) {
			return nil // applied before: the reply was lost
		}
		err = exit
	}
	return d.keep(err)
}

// Close ends an import that was not finished: rbd sees a cut stream and makes no snapshot.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil
	}
	d.ended = true
	_ = d.pipe.CloseWithError(io.ErrUnexpectedEOF)
	<-d.result //nolint:errcheck // how the import ended says nothing: it was cut on purpose
	return nil
}
