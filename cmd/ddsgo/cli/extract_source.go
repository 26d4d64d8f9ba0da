package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/stream"
)

// extractSource is what extract reads: the set, the snapshot, and who they are.
type extractSource struct {
	set    extent.Seq
	disk   *blockdev.Disk
	header stream.Header
	older  *snapshot // of the set; nil where device-mapper cannot tell
	newer  *snapshot // of the data
}

// snapshot is an LVM snapshot under a device that was named.
type snapshot struct {
	path string
	lv   lvm.LV
	dm   lvm.DM
}

// settleTime is how long a table may lag behind device-mapper's own count.
const settleTime = 2 * time.Second

// Extents implements engine.Source.
func (x *extractSource) Extents() iter.Seq2[extent.Extent, error] { return x.set }

// ReadAt implements engine.Source.
func (x *extractSource) ReadAt(p []byte, off int64) (int, error) { return x.disk.ReadAt(p, off) }

// NextData implements engine.Sparse: a file may have holes, a block device tells of none.
func (x *extractSource) NextData(off int64) (int64, error) {
	if x.disk.IsBlock() {
		return off, nil
	}
	at, err := unix.Seek(int(x.disk.File().Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return math.MaxInt64, nil // nothing but a hole until the end
	case err != nil:
		return off, nil // a file system that does not know
	}
	return at, nil
}

// Close closes the snapshot.
func (x *extractSource) Close() error { return x.disk.Close() }

func (x *extractSource) readers(asked int) int {
	const forDevices = 16
	if asked == 0 && x.disk.IsBlock() {
		return forDevices
	}
	return asked
}

// openExtractSource opens, identifies and reads the table; everything that can be refused is
// refused here, before the first byte is written.
func openExtractSource(ctx context.Context, o extractOptions) (*extractSource, error) {
	disk, err := blockdev.Open(o.source, blockdev.Options{})
	if err != nil {
		return nil, openFailure(o.source, "source", err)
	}
	x := &extractSource{disk: disk, header: stream.Header{Kind: stream.KindFull, FrameSize: o.frameSize, VolumeSize: disk.Size(), Source: sourceName(o.source)}}
	if err := x.prepare(ctx, o); err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	return x, nil
}

func (x *extractSource) prepare(ctx context.Context, o extractOptions) error {
	if err := x.identify(ctx, o); err != nil {
		return err
	}
	if o.full {
		x.set = extent.Whole(x.disk.Size())
		return nil
	}
	return x.readTable(ctx, o.cow)
}

// identify asks device-mapper who the two devices are and fills in the generations.
func (x *extractSource) identify(ctx context.Context, o extractOptions) (err error) {
	if x.newer, err = resolveSnapshot(ctx, o.source); err != nil {
		return err
	}
	if !o.full {
		if x.older, err = resolveSnapshot(ctx, o.cow); err != nil {
			return err
		}
	}
	if x.older != nil {
		if err := x.related(o); err != nil {
			return err
		}
	}
	switch {
	case x.newer == nil:
		return nil
	case x.newer.lv.Snapshot():
		x.header.To = generationOf(x.newer.lv)
		return x.newer.valid(ctx)
	case o.full:
		return x.claim(o.source)
	case x.newer.lv.Plain():
		return failure.Refused(o.source, "it is no snapshot: reading a live volume gives no single point in time",
			"lvcreate --snapshot, and name the snapshot")
	}
	return nil // a thin snapshot, for example: LVM knows no single origin
}

// claim makes sure that nobody writes to a volume that is no snapshot while it is read.
func (x *extractSource) claim(path string) error {
	d, err := blockdev.Open(path, blockdev.Options{Exclusive: true})
	if errors.Is(err, blockdev.ErrInUse) {
		return failure.With(failure.CodeRefused, path, "it is no snapshot and in use: reading a live volume gives no single point in time",
			"lvcreate --snapshot, and name the snapshot", err)
	}
	if err != nil {
		return openFailure(path, "source", err)
	}
	old := x.disk
	x.disk = d
	return old.Close()
}

// related refuses two devices that do not belong together.
func (x *extractSource) related(o extractOptions) error {
	old := x.older.lv
	if !old.Snapshot() {
		return failure.Refused(o.cow, fmt.Sprintf("it is not the exception store of a snapshot but of %s", old), "ls /dev/mapper/*-cow")
	}
	x.header.From = generationOf(old)
	if x.newer == nil {
		return nil
	}
	switch lv := x.newer.lv; {
	case lv.UUID == old.OriginUUID:
		return failure.Refused(o.source, "it is the live origin of "+old.FullName()+": what is written meanwhile would leak in",
			"take a second snapshot of "+lv.FullName()+" and name it as --source")
	case lv.UUID == old.UUID:
		return failure.Refused(o.source, "it is the same snapshot whose store --cow names: it has the old content", "name the newer snapshot as --source")
	case lv.OriginUUID != old.OriginUUID:
		return failure.Refused(o.source, fmt.Sprintf("it is no snapshot of %s/%s, the origin of %s", old.VG, old.Origin, old.FullName()), "lvs -o name,origin")
	case !lv.Time.IsZero() && !old.Time.IsZero() && lv.Time.Before(old.Time):
		return failure.Refused(o.source, fmt.Sprintf("it is older (%s) than the snapshot whose store --cow names (%s)", lv.Time.UTC().Format(time.RFC3339), old.Time.UTC().Format(time.RFC3339)),
			"name the newer snapshot as --source")
	}
	return nil
}

func generationOf(lv lvm.LV) generation.Generation {
	return generation.Generation{UUID: lv.UUID, Time: lv.Time, Size: lv.OriginSize}
}

// readTable reads the exception store, which must be valid after it, too.
func (x *extractSource) readTable(ctx context.Context, path string) error {
	block, err := isBlockDevice(path)
	if err != nil {
		return openFailure(path, "exception store", err)
	}
	store, err := blockdev.Open(path, blockdev.Options{Direct: block})
	if err != nil {
		return openFailure(path, "exception store", err)
	}
	defer func() { _ = store.Close() }() // read only
	opt := cow.Options{VolumeSize: x.disk.Size(), Settle: settleTime}
	if x.older != nil {
		if err := x.older.expect(ctx, store, &opt); err != nil {
			return err
		}
	}
	table, err := cow.ReadTable(ctx, store, store.Size(), opt)
	if err != nil {
		return tableFailure(path, err)
	}
	if x.older != nil {
		if err := x.older.valid(ctx); err != nil {
			return err
		}
	}
	x.header.Kind, x.header.ChunkSize, x.set = stream.KindDelta, uint32(table.ChunkSize), table.Changed.Seq()
	return nil
}

// tableFailure says what a bad table means.
func tableFailure(path string, err error) error {
	const full = "ddsgo extract --full, or ddsgo full NAME --overwrite"
	switch {
	case errors.Is(err, cow.ErrInvalid):
		return failure.With(failure.CodeOverflow, path, "the snapshot overflowed: what changed is not known any more", full, err)
	case errors.Is(err, cow.ErrNotCOW):
		return failure.With(failure.CodeRefused, path, "it is no exception store of a snapshot", "name /dev/mapper/VG-SNAPSHOT-cow", err)
	}
	return failure.With(failure.CodeNeedFull, path, "its exception table cannot be used", full, err)
}

// stillValid is asked after the last read: data of a snapshot that overflowed meanwhile is
// not what it was.
func (x *extractSource) stillValid(ctx context.Context) error {
	if x.newer == nil {
		return nil
	}
	return x.newer.valid(ctx)
}

// valid refuses a snapshot that overflowed or is being merged.
func (v *snapshot) valid(ctx context.Context) error {
	if !v.lv.Snapshot() {
		return nil
	}
	st, err := v.dm.SnapshotStatus(ctx, v.lv.DMName)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", v.path, err)
	case st.Invalid():
		return failure.With(failure.CodeOverflow, v.path, fmt.Sprintf("snapshot %s is useless (%s)", v.lv.FullName(), st.Problem),
			"remove it and make a full copy: ddsgo extract --full", nil)
	case st.Merging || v.lv.Merging():
		return failure.Refused(v.path, fmt.Sprintf("snapshot %s is being merged into its origin", v.lv.FullName()), "wait until the merge is over, then make a full copy")
	}
	return nil
}

// expect learns from device-mapper how long the table must be at least.
func (v *snapshot) expect(ctx context.Context, store *blockdev.Disk, opt *cow.Options) error {
	if err := v.valid(ctx); err != nil {
		return err
	}
	h, err := cow.ReadHeader(store, store.Size())
	if err != nil {
		return tableFailure(v.path, err)
	}
	st, err := v.dm.SnapshotStatus(ctx, v.lv.DMName)
	if err != nil {
		return fmt.Errorf("%s: %w", v.path, err)
	}
	if opt.ExpectAtLeast, opt.Areas, err = h.InUse(st.Used/sectorBytes, st.Metadata/sectorBytes); err != nil {
		return tableFailure(v.path, err)
	}
	return nil
}

const sectorBytes = 512

// resolveSnapshot asks LVM about a device of device-mapper; nil for anything else.
func resolveSnapshot(ctx context.Context, path string) (*snapshot, error) {
	dm, err := isDeviceMapper(path)
	if err != nil || !dm {
		return nil, err
	}
	l := &lvm.LVM{Runner: run.OS{}}
	node, err := l.Resolve(ctx, path)
	switch {
	case errors.Is(err, lvm.ErrNotLV):
		return nil, nil // dmsetup's own, multipath, crypt: no identity
	case err != nil:
		return nil, fmt.Errorf("%s: who is it? %w", path, err)
	}
	return &snapshot{path: path, lv: node.LV, dm: l.DM()}, nil
}

// isDeviceMapper asks sysfs, which costs no process.
func isDeviceMapper(path string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return false, openFailure(path, "device", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return false, nil
	}
	_, err := os.Stat(fmt.Sprintf("/sys/dev/block/%d:%d/dm", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	return err == nil, nil
}

func isBlockDevice(path string) (bool, error) {
	st, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0, nil
}

// openFailure is an error of opening a device, with what it was wanted for.
func openFailure(path, what string, err error) error {
	code := failure.CodeFailure
	if errors.Is(err, blockdev.ErrInUse) || errors.Is(err, blockdev.ErrReadOnly) || errors.Is(err, blockdev.ErrNotVolume) || errors.Is(err, blockdev.ErrNotFound) || errors.Is(err, os.ErrNotExist) || errors.Is(err, blockdev.ErrEmpty) {
		code = failure.CodeRefused
	}
	return failure.With(code, path, "cannot open the "+what, "", err)
}

// sourceName is the source's path for people at the other end.
func sourceName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return path[:min(len(path), stream.MaxSource)]
}

// transferError gives errors of the data path their exit codes.
func transferError(subject string, err error) error {
	var f *failure.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(err, unix.EPIPE):
		return failure.With(failure.CodeFailure, subject, "the reader of the delta went away", "look at what the other end of the pipe says", err)
	case errors.Is(err, stream.ErrCorrupt):
		return failure.With(failure.CodeCorrupt, subject, "what arrived is not a whole delta", "run the extraction again; if it comes from a file, ddsgo inspect FILE", err)
	case errors.Is(err, engine.ErrSource), errors.Is(err, io.ErrUnexpectedEOF):
		return failure.With(failure.CodeFailure, subject, "cannot be read as the set says", "", err)
	}
	return err
}
