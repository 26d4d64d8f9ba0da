package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
	"github.com/ddsgo/ddsgo/state"
)

// What a target can hold after a crash.
const (
	holdsNothing = "untouched"
	holdsPoint   = "a point in time"
	holdsMark    = "marked"
)

// afterCrash checks what a crash left at the target, before anything repairs it: a point in
// time, or a mark that it is none.
func (w *world) afterCrash() (string, error) {
	w.remember()
	if err := w.wakeTarget(); err != nil {
		return "", err
	}
	r, err := w.probe()
	switch {
	case err != nil:
		return "", fmt.Errorf("the target cannot say what it holds: %w", err)
	case r.Damaged:
		return "", fmt.Errorf("the target's state is damaged: %s", r.Detail)
	}
	switch state.Kind(r.Condition) {
	case "", state.KindNone:
		if !bytes.Equal(w.copyNow(), w.initial) {
			return "", errors.New("the target was written and carries no mark")
		}
		return holdsNothing, nil
	case state.KindClean:
		want, known := w.snapshots[r.Generation.UUID]
		if !known {
			return "", fmt.Errorf("the target claims generation %v, which no snapshot of the source ever was", r.Generation)
		}
		if !bytes.Equal(w.copyNow(), want) {
			return "", fmt.Errorf("the target claims generation %v and differs from its snapshot", r.Generation)
		}
		return holdsPoint, nil
	case state.KindApplying, state.KindInconsistent:
		return holdsMark, nil
	}
	return "", fmt.Errorf("the target is %s: %s", r.Condition, r.Detail)
}

// wakeTarget lets the boot unit look after a target that a killed lvcreate has left suspended:
// nobody can read it before.
func (w *world) wakeTarget() error {
	info, err := (&lvm.LVM{Runner: w.dst}).DM().Info(context.Background(), lvm.DMName("vg1", "copy"))
	if err != nil || !info.Suspended {
		return err
	}
	_, err = w.start(nil).far.RecoverAll(context.Background())
	return err
}

// writer writes to the origin as an application does, across the recovery from a crash: it
// may have to wait, it must never see an error.
func (w *world) writer() (wait func() error) {
	done := make(chan error, 1)
	block := bytes.Repeat([]byte{byte(w.rng.Uint32())}, 3*chunkBytes)
	off := int64(w.rng.IntN(w.size/chunkBytes-3)) * chunkBytes
	go func() {
		d, err := w.src.Open(sourcePath)
		if err != nil {
			done <- err
			return
		}
		_, err = d.WriteAt(block, off)
		done <- errors.Join(err, d.Sync(), d.Close())
	}()
	return func() error {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("the application's write to the source failed: %w", err)
			}
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("the application's write to the source still waits: the source is suspended")
		}
	}
}

// settled checks everything after a run that succeeded: the copy is the tracking snapshot,
// file, tags and device agree, nothing is left over, and nothing foreign changed.
func (w *world) settled() error {
	ctx := context.Background()
	l := &lvm.LVM{Runner: w.src}
	origin, err := l.Find(ctx, sourcePath)
	if err != nil {
		return err
	}
	near, far := w.lvs(w.src, "vg0"), w.lvs(w.dst, "vg1")
	if len(near) != 2 || len(far) != 1 {
		return fmt.Errorf("left over: %v, %v", near, far)
	}
	snap, ok := lvm.ByName(near, lvm.SnapshotName(origin, 1, near))
	if !ok || !snap.SnapshotOf(origin) || snap.Invalid() || snap.Writable() {
		return fmt.Errorf("no good tracking snapshot: %v", near)
	}
	if err := l.CheckWiring(ctx, origin, snap); err != nil {
		return err
	}
	if !bytes.Equal(w.copyNow(), w.content(w.src, snap.Path)) {
		return errors.New("the target is not the snapshot")
	}
	if far[0].Writable() {
		return errors.New("the target was left writable")
	}
	return errors.Join(w.documents(snap), w.noLeftovers(), w.foreignUntouched())
}

// documents: both ends' files and tags tell of this snapshot, and of nothing unfinished.
func (w *world) documents(snap lvm.LV) error {
	e := w.start(nil)
	r, err := w.probe()
	if err != nil {
		return err
	}
	if r.Condition != string(state.KindClean) || r.Generation.UUID != snap.UUID || r.Role != string(state.RoleSecondary) {
		return fmt.Errorf("the target says %s %s at %v, the snapshot is %s", r.Role, r.Condition, r.Generation, snap.UUID)
	}
	s, err := e.near.lookAtSource(context.Background(), w.theLeg())
	if err != nil {
		return err
	}
	switch {
	case s.docErr != nil:
		return fmt.Errorf("the source's state: %w", s.docErr)
	case s.doc.Operation != nil:
		return fmt.Errorf("the source has an unfinished operation: %+v", *s.doc.Operation)
	case s.doc.Tracking == nil || s.doc.Tracking.UUID != snap.UUID || !s.doc.Tracking.Generation.Same(r.Generation) || s.doc.Tracking.Name != snap.FullName():
		return fmt.Errorf("the source tracks %+v, the target is at %v", s.doc.Tracking, r.Generation)
	}
	return nil
}

// complete says that both ends agree that the first copy was made: a full copy is refused then.
func (w *world) complete() bool {
	r, err := w.probe()
	s, srcErr := w.start(nil).near.lookAtSource(context.Background(), w.theLeg())
	return err == nil && srcErr == nil && s.doc != nil && s.doc.Operation == nil && s.doc.Tracking != nil &&
		r.Condition == string(state.KindClean) && s.doc.Tracking.Generation.Same(r.Generation)
}

// noLeftovers: no device that waits or is held, no temporary file, no journal.
func (w *world) noLeftovers() error {
	var left []string
	for name, m := range map[string]*lvmfake.Machine{"source": w.src, "target": w.dst} {
		all, err := (&lvm.LVM{Runner: m}).DM().List(context.Background())
		if err != nil {
			return err
		}
		for _, d := range all {
			under := strings.HasSuffix(d.Name, "-real") || strings.HasSuffix(d.Name, "-cow")
			if d.Inactive || d.Suspended || d.Open > 0 && !under || d.Open == 0 && under {
				left = append(left, fmt.Sprintf("%s: device %+v", name, d))
			}
		}
	}
	for _, f := range []*memFiles{w.srcFiles, w.dstFiles} {
		for p := range f.live {
			if base := filepath.Base(p); strings.HasPrefix(base, ".") || base == "cursor.json" || base == "session.json" {
				left = append(left, p)
			}
		}
	}
	sets, err := filepath.Glob(filepath.Join(w.dir, "src", "volumes", "*", "sets", ".*"))
	left = append(left, sets...)
	for _, sub := range []string{"incoming", "committed", "trash"} {
		names, err := w.spool.List(filepath.Join("/spool", w.dstID.String(), sub))
		if err == nil && (sub != "incoming" || len(names) > 0) {
			left = append(left, fmt.Sprintf("%s: %v", sub, names))
		}
	}
	if len(left) > 0 {
		return errors.Join(err, fmt.Errorf("left over: %s", strings.Join(left, "; ")))
	}
	return err
}

// foreignUntouched: other people's volumes, and what lies behind the copy.
func (w *world) foreignUntouched() error {
	for p, want := range w.foreign {
		m, cut := w.src, 0
		switch {
		case p == "tail":
			m, p, cut = w.dst, targetPath, w.size
		case strings.HasPrefix(p, "/dev/vg1/"):
			m = w.dst
		}
		if !bytes.Equal(w.content(m, p)[cut:], want) {
			return fmt.Errorf("%s changed: it is not ddsgo's", p)
		}
	}
	return nil
}

// shm is a directory in memory where there is one: fsync costs nothing there.
func shm() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}
