package lvm

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/ddsgo/ddsgo/internal/run"
)

// LVM runs lvm(8) and dmsetup(8).
type LVM struct {
	Runner run.Runner
	// Lock is the held lock of the volume; every command that changes something has it as standard input. May be nil
	// where nothing is changed, and in tests.
	Lock *os.File
}

// look runs a command that changes nothing. It may be cancelled.
func (l *LVM) look(ctx context.Context, name string, args ...string) (run.Result, error) {
	return l.Runner.Run(ctx, run.Cmd{Name: name, Args: args, Pdeathsig: true})
}

// change runs a command that changes something, to its end, whatever becomes of ctx meanwhile (doc.go, rules 2 and 3).
func (l *LVM) change(ctx context.Context, op, subject, name string, args ...string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, subject, context.Cause(ctx))
	}
	c := run.Cmd{Name: name, Args: args}
	if l.Lock != nil { // a nil *os.File in an interface is not nil
		c.Stdin = l.Lock
	}
	_, err := l.Runner.Run(context.WithoutCancel(ctx), c)
	return commandError(op, subject, err)
}

// SnapshotSpec says what snapshot to make.
type SnapshotSpec struct {
	Name     string
	Size     int64 // of the exception store, bytes; LVM rounds up to extents and down to what can never overflow
	Chunk    int64 // bytes, power of two from 4 KiB to 512 KiB; 0 = LVM's default (4 KiB)
	ReadOnly bool
	Tags     []string
}

func (s SnapshotSpec) check() error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	for _, t := range s.Tags {
		if err := checkTag(t); err != nil {
			return err
		}
	}
	if s.Size <= 0 {
		return fmt.Errorf("snapshot %s: size %d", s.Name, s.Size)
	}
	if c := s.Chunk; c != 0 && (c < 4<<10 || c > 512<<10 || c&(c-1) != 0) {
		return fmt.Errorf("snapshot %s: chunk size %d is no power of two from 4 KiB to 512 KiB", s.Name, c)
	}
	return nil
}

// CreateSnapshot makes a snapshot of origin and returns it as LVM reports it. When it returns, everything written to
// the origin before the call is in the snapshot: LVM suspends the origin, which flushes and freezes a mounted file system.
//
// After ErrFailed or ErrKilled a plain volume with the tags may be left, and the origin may need Recover.
func (l *LVM) CreateSnapshot(ctx context.Context, origin LV, spec SnapshotSpec) (LV, error) {
	if err := spec.check(); err != nil {
		return LV{}, err
	}
	sectors := (spec.Size + sectorSize - 1) / sectorSize
	args := []string{"lvcreate", "--yes", "--snapshot", "--name", spec.Name, "--size", strconv.FormatInt(sectors, 10) + "s"}
	if spec.Chunk != 0 {
		args = append(args, "--chunksize", strconv.FormatInt(spec.Chunk, 10)+"b")
	}
	permission := "rw"
	if spec.ReadOnly {
		permission = "r"
	}
	args = append(args, "--permission", permission)
	for _, t := range spec.Tags {
		args = append(args, "--addtag", t)
	}
	args = append(args, origin.FullName())
	if err := l.change(ctx, "create snapshot "+spec.Name+" of", origin.FullName(), "lvm", args...); err != nil {
		return LV{}, err
	}
	lvs, err := l.Report(ctx, origin.VG)
	if err != nil {
		return LV{}, err
	}
	v, ok := ByName(lvs, spec.Name)
	if !ok || !v.SnapshotOf(origin) {
		return LV{}, fmt.Errorf("snapshot %s/%s of %s: %w after lvcreate succeeded", origin.VG, spec.Name, origin, ErrNotFound)
	}
	return v, nil
}

// Remove removes the volume with v's UUID, whatever its name is by now; gone already is success. It refuses with
// ErrHeld while another process has the snapshot's exception store open, because LVM would half-remove the snapshot:
// it would become a plain volume and the store an orphan. After ErrFailed look at the report again.
func (l *LVM) Remove(ctx context.Context, v LV) error {
	if v.Snapshot() && v.Active() {
		info, err := l.DM().Info(ctx, v.DMName+layerCow)
		// The snapshot's own table holds the store once.
		if err == nil && info.Open > 1 {
			return fmt.Errorf("%s: exception store %s is %w: remove would leave a half-removed snapshot", v, v.CowPath(), ErrHeld)
		}
	}
	return l.change(ctx, "remove", v.FullName(), "lvm", "lvremove", "--yes", "--select", "lv_uuid="+v.UUID, v.VG)
}

// Rename gives v a new name; active and open volumes too. UUID, tags and content stay.
func (l *LVM) Rename(ctx context.Context, v LV, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if v.Name == name {
		return nil // LVM calls this a wrong command line
	}
	return l.change(ctx, "rename", v.FullName()+" to "+name, "lvm", "lvrename", v.VG, v.Name, name)
}

// SetTags adds and removes tags in one commit of LVM's metadata: a reader sees all of it or nothing.
func (l *LVM) SetTags(ctx context.Context, v LV, add, del []string) error {
	args := []string{"lvchange"}
	for _, t := range del {
		if err := checkTag(t); err != nil {
			return err
		}
		args = append(args, "--deltag", t)
	}
	for _, t := range add {
		if err := checkTag(t); err != nil {
			return err
		}
		args = append(args, "--addtag", t)
	}
	if len(args) == 1 {
		return nil
	}
	return l.change(ctx, "set tags of", v.FullName(), "lvm", append(args, v.FullName())...)
}

// SetPermission makes v read-only or writable; what v already is, is not asked for again (LVM refuses that).
func (l *LVM) SetPermission(ctx context.Context, v LV, p Permission) error {
	letter := map[Permission]string{ReadOnly: "r", Writable: "rw"}[p]
	if letter == "" {
		return fmt.Errorf("%w: permission %q", ErrBadName, rune(p))
	}
	if v.Attr.Permission == p {
		return nil
	}
	return l.change(ctx, "make "+p.String(), v.FullName(), "lvm", "lvchange", "--permission", letter, v.FullName())
}

// SetActive activates or deactivates v. Activation of a volume with the skip flag needs force.
func (l *LVM) SetActive(ctx context.Context, v LV, active, force bool) error {
	args := []string{"lvchange", "--activate", "n"}
	if active {
		args[2] = "y"
		if force {
			args = append(args, "--ignoreactivationskip")
		}
	}
	return l.change(ctx, "activate or deactivate", v.FullName(), "lvm", append(args, v.FullName())...)
}

// SetSkip sets or clears the flag that keeps v inactive at boot and at plain activation.
func (l *LVM) SetSkip(ctx context.Context, v LV, skip bool) error {
	if v.Attr.Skip == skip {
		return nil
	}
	flag := "n"
	if skip {
		flag = "y"
	}
	return l.change(ctx, "set activation skip of", v.FullName(), "lvm", "lvchange", "--setactivationskip", flag, v.FullName())
}

// Extend makes v at least size bytes. An active snapshot may grow; an origin with active snapshots may not (ErrFailed).
func (l *LVM) Extend(ctx context.Context, v LV, size int64) error {
	if size <= v.Size {
		return nil
	}
	sectors := (size + sectorSize - 1) / sectorSize
	return l.change(ctx, "extend", v.FullName(), "lvm", "lvextend", "--size", strconv.FormatInt(sectors, 10)+"s", v.FullName())
}
