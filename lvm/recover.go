package lvm

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Recovery says what Recover did, for the log.
type Recovery struct {
	Steps []string
}

func (r *Recovery) did(format string, args ...any) {
	r.Steps = append(r.Steps, fmt.Sprintf(format, args...))
}

// RecoverSpec says what may be touched.
type RecoverSpec struct {
	// Ours tells a plain volume that was going to be, or was, a snapshot made by ddsgo: it may be removed. Nil = carries
	// a tag with the key TagRun.
	Ours func(LV) bool
	// Names are those of the snapshots that the caller makes: an orphaned exception store with such a name blocks it.
	Names []string
}

// Recover mends what a killed lvcreate -s or a half lvremove left at the origin, in the only safe order (doc.go). It
// is called with the origin's lock held, so no command of ours is at work on it. It touches
//
//   - the origin itself: a pending table, a suspension
//   - plain volumes that are ours, with the devices under them
//   - device nodes of our snapshots that are missing
//   - devices without use that are named after the origin ("-real") or after one of ours ("-cow")
//
// and nothing else. Where nothing is wrong it does nothing and says so with no steps. Afterwards the origin serves I/O
// and a new snapshot can be taken, or an error says what an administrator must look at.
func (l *LVM) Recover(ctx context.Context, origin LV, spec RecoverSpec) (Recovery, error) {
	if spec.Ours == nil {
		spec.Ours = func(v LV) bool { _, ok := v.TagValue(TagRun); return ok }
	}
	var r Recovery
	d := l.DM()
	lvs, err := l.Report(ctx, origin.VG)
	if err != nil {
		return r, err
	}
	now, ok := ByUUID(lvs, origin.UUID)
	if !ok {
		return r, fmt.Errorf("recover %s: logical volume %w", origin, ErrNotFound)
	}
	origin = now
	if err := l.finishCommitted(ctx, origin, lvs, spec, &r); err != nil {
		return r, err
	}
	info, err := d.Info(ctx, origin.DMName)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return r, err
	}
	if err == nil {
		if err := l.freeOrigin(ctx, info, &r); err != nil {
			return r, err
		}
	}
	if err := l.removePlain(ctx, origin, lvs, spec, &r); err != nil {
		return r, err
	}
	if err := l.removeUnused(ctx, origin, spec, &r); err != nil {
		return r, err
	}
	return r, l.makeNodes(ctx, origin, spec, &r)
}

// makeNodes makes the device nodes that a killed lvcreate did not come to, on machines without udev.
func (l *LVM) makeNodes(ctx context.Context, origin LV, spec RecoverSpec, r *Recovery) error {
	lvs, err := l.Report(ctx, origin.VG)
	if err != nil {
		return err
	}
	for _, snap := range SnapshotsOf(lvs, origin) {
		if !spec.Ours(snap) || !snap.Active() || snap.Path == "" {
			continue
		}
		// By path: dmsetup looks at the node's number, so it does not find a node that is not there.
		if _, err := l.DM().Info(ctx, snap.Path); !errors.Is(err, ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		if err := l.change(ctx, "make device nodes of", origin.VG, "lvm", "vgmknodes", origin.VG); err != nil {
			return err
		}
		if err := l.change(ctx, "make device nodes of", snap.FullName(), "dmsetup", "mknodes", snap.DMName+layerCow); err != nil {
			return err
		}
		r.did("made the device nodes of %s", snap)
	}
	return nil
}

// freeOrigin drops the pending table, then ends a suspension. In the other order the resume would take an empty table
// into use, and every write to the origin would fail.
func (l *LVM) freeOrigin(ctx context.Context, info Info, r *Recovery) error {
	d := l.DM()
	if info.Inactive {
		if err := d.ClearInactive(ctx, info.Name); err != nil {
			return err
		}
		r.did("dropped the pending table of %s", info.Name)
	}
	if info.Suspended {
		if err := d.Resume(ctx, info.Name); err != nil {
			return err
		}
		r.did("resumed %s", info.Name)
	}
	return nil
}

// finishCommitted finishes a creation that was killed after LVM's commit: the metadata has the snapshot, the kernel has
// the new tables loaded and not, or not all, in use. Resuming the devices from the bottom up is what LVM was going to
// do. Dropping the origin's table instead would leave a snapshot that looks good and does not see the origin's writes.
func (l *LVM) finishCommitted(ctx context.Context, origin LV, lvs []LV, spec RecoverSpec, r *Recovery) error {
	all, err := l.DM().List(ctx)
	if err != nil {
		return err
	}
	for _, snap := range SnapshotsOf(lvs, origin) {
		if !spec.Ours(snap) {
			continue
		}
		unfinished, err := l.unfinished(ctx, all, origin, snap)
		if err != nil {
			return err
		}
		if !unfinished {
			continue
		}
		for _, uuid := range []string{origin.DMUUID(layerReal), snap.DMUUID(layerCow), snap.DMUUID(""), origin.DMUUID("")} {
			info, ok := byDMUUID(all, uuid)
			if !ok || !info.Inactive && !info.Suspended {
				continue
			}
			if err := l.change(ctx, "resume", info.Name, "dmsetup", "resume", info.Name); err != nil {
				return err
			}
			r.did("resumed %s into the table that belongs to the committed snapshot %s", info.Name, snap)
		}
	}
	return nil
}

// unfinished reports whether the tables of a committed snapshot still wait: its own, or that of an origin which does
// not serve as one yet.
func (l *LVM) unfinished(ctx context.Context, all []Info, origin, snap LV) (bool, error) {
	if info, ok := byDMUUID(all, snap.DMUUID("")); !ok {
		return false, nil // not active
	} else if info.Inactive {
		return true, nil
	}
	info, ok := byDMUUID(all, origin.DMUUID(""))
	if !ok || !info.Inactive {
		return false, nil
	}
	targets, err := l.DM().Table(ctx, info.Name)
	if err != nil {
		return false, err
	}
	return len(targets) != 1 || targets[0].Type != "snapshot-origin", nil
}

// CheckWiring makes sure that an active snapshot sees the writes to its origin: the origin serves as a snapshot-origin
// over the same device that the snapshot reads, and the snapshot's store is its own. LVM's report cannot tell: it
// shows the metadata, and after a killed command or a wrong resume the kernel may run something else.
func (l *LVM) CheckWiring(ctx context.Context, origin, snap LV) error {
	d := l.DM()
	above, err := d.Table(ctx, origin.DMName)
	if err != nil {
		return err
	}
	below, err := d.Table(ctx, snap.DMName)
	if err != nil {
		return err
	}
	store, err := d.Info(ctx, snap.DMName+layerCow)
	if err != nil {
		return err
	}
	bad := func(what string) error {
		return fmt.Errorf("snapshot %s: %w: %s; it does not hold one point in time of %s: remove it", snap, ErrMiswired, what, origin)
	}
	switch {
	case len(above) != 1 || above[0].Type != "snapshot-origin" || len(above[0].Args) < 1:
		return bad(fmt.Sprintf("%s is not served as a snapshot origin", origin.DMName))
	case len(below) != 1 || below[0].Type != "snapshot" || len(below[0].Args) < 2:
		return bad(fmt.Sprintf("%s is not served as a snapshot", snap.DMName))
	case above[0].Args[0] != below[0].Args[0]:
		return bad(fmt.Sprintf("it reads device %s, the origin writes to %s", below[0].Args[0], above[0].Args[0]))
	case below[0].Args[1] != fmt.Sprintf("%d:%d", store.Major, store.Minor) || store.UUID != snap.DMUUID(layerCow):
		return bad(fmt.Sprintf("its exception store is device %s, not %s", below[0].Args[1], store.Name))
	}
	return nil
}

func byDMUUID(all []Info, uuid string) (Info, bool) {
	for _, i := range all {
		if i.UUID == uuid {
			return i, true
		}
	}
	return Info{}, false
}

// removePlain removes plain volumes that are ours: left by a killed lvcreate or a half lvremove. An orphaned device
// with the exception store's UUID goes first, or lvremove would leave it.
func (l *LVM) removePlain(ctx context.Context, origin LV, lvs []LV, spec RecoverSpec, r *Recovery) error {
	for _, v := range lvs {
		if v.UUID == origin.UUID || !v.Plain() || v.Hidden || !spec.Ours(v) {
			continue
		}
		all, err := l.DM().List(ctx)
		if err != nil {
			return err
		}
		for _, layer := range []string{"", layerCow} { // the snapshot's device holds the store's
			info, ok := byDMUUID(all, v.DMUUID(layer))
			if !ok || layer == "" && info.Live && !info.Inactive {
				continue // an active plain volume: lvremove deactivates it
			}
			if err := l.removeDevice(ctx, info, r); err != nil {
				return err
			}
		}
		if err := l.Remove(ctx, v); err != nil {
			return err
		}
		r.did("removed the left-over volume %s", v)
	}
	return nil
}

// removeUnused takes down devices that no volume in the metadata accounts for: the origin's "-real" while the origin
// is no snapshot-origin, and exception stores whose volume is no snapshot (any more).
func (l *LVM) removeUnused(ctx context.Context, origin LV, spec RecoverSpec, r *Recovery) error {
	lvs, err := l.Report(ctx, origin.VG)
	if err != nil {
		return err
	}
	all, err := l.DM().List(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, n := range spec.Names {
		names[DMName(origin.VG, n)] = true
	}
	for _, layer := range []string{"", layerCow} {
		for _, info := range all {
			_, lvUUID, have, ok := splitDMUUID(info.UUID)
			if !ok || have != strings.TrimPrefix(layer, "-") || !names[strings.TrimSuffix(info.Name, layer)] {
				continue
			}
			if v, exists := ByUUID(lvs, lvUUID); exists && (v.Snapshot() || layer == "") {
				continue
			}
			if err := l.removeDevice(ctx, info, r); err != nil {
				return err
			}
		}
	}
	if len(SnapshotsOf(lvs, origin)) > 0 {
		return nil
	}
	if info, ok := byDMUUID(all, origin.DMUUID(layerReal)); ok && info.Open == 0 {
		return l.removeDevice(ctx, info, r)
	}
	return nil
}

// removeDevice takes down a device that was listed a moment ago; removing the one above it may have freed it since.
func (l *LVM) removeDevice(ctx context.Context, listed Info, r *Recovery) error {
	info, err := l.DM().Info(ctx, listed.Name)
	if errors.Is(err, ErrNotFound) || err == nil && info.UUID != listed.UUID {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Open > 0 {
		return fmt.Errorf("left-over device %s is %w (%d): end that process, then run the same command again", info.Name, ErrHeld, info.Open)
	}
	d := l.DM()
	if info.Inactive {
		if err := d.ClearInactive(ctx, info.Name); err != nil {
			return err
		}
	}
	if err := d.remove(ctx, info.Name); err != nil {
		return err
	}
	r.did("removed the left-over device %s", info.Name)
	return nil
}
