package lvm

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Node is what a device path leads to: a volume, or a layer under one.
type Node struct {
	LV    LV
	Layer string // "" = the volume itself, "cow" = its exception store, "real", ...
}

// Find resolves the path of a volume in any spelling: /dev/VG/LV, /dev/mapper/NAME, /dev/dm-N, a symbolic link, and
// VG/LV. A device that is no volume itself is ErrNotLV.
func (l *LVM) Find(ctx context.Context, path string) (LV, error) {
	n, err := l.Resolve(ctx, path)
	if err != nil {
		return LV{}, err
	}
	if n.Layer != "" {
		return LV{}, fmt.Errorf("%s: %w but the %q device under %s", path, ErrNotLV, n.Layer, n.LV)
	}
	return n.LV, nil
}

// Resolve is Find that also accepts the devices under a volume, like the exception store of a snapshot. An active
// volume is told by its device-mapper UUID, so a rename at the same moment cannot lead to another one.
func (l *LVM) Resolve(ctx context.Context, path string) (Node, error) {
	if path == "" || path[0] == '-' {
		return Node{}, fmt.Errorf("%w: device %q", ErrBadName, path)
	}
	var vg, name, uuid, layer string
	info, err := l.DM().Info(ctx, path)
	switch {
	case err == nil:
		var ok bool
		if _, uuid, layer, ok = splitDMUUID(info.UUID); !ok {
			return Node{}, fmt.Errorf("%s: %w: device-mapper device %s with uuid %q", path, ErrNotLV, info.Name, info.UUID)
		}
		if vg, name, _, ok = SplitDMName(info.Name); !ok {
			return Node{}, fmt.Errorf("%s: %w: device-mapper name %q", path, ErrNotLV, info.Name)
		}
	case errors.Is(err, ErrNotFound):
		// Not active, or not of device-mapper: only the name can tell.
		var ok bool
		if vg, name, ok = splitPath(path); !ok {
			return Node{}, fmt.Errorf("%s: %w", path, ErrNotLV)
		}
	default:
		return Node{}, err
	}
	lvs, err := l.Report(ctx, vg)
	if err != nil {
		if errors.Is(err, ErrFailed) && uuid == "" {
			return Node{}, fmt.Errorf("%s: %w: %w", path, ErrNotFound, err)
		}
		return Node{}, err
	}
	v, found := ByName(lvs, name)
	if uuid != "" {
		v, found = ByUUID(lvs, uuid)
	}
	if !found {
		return Node{}, fmt.Errorf("%s: logical volume %w in group %s", path, ErrNotFound, vg)
	}
	return Node{LV: v, Layer: layer}, nil
}

// splitPath reads group and volume out of a path of an inactive volume.
func splitPath(path string) (vg, lv string, ok bool) {
	if dm, is := strings.CutPrefix(path, "/dev/mapper/"); is {
		vg, lv, layer, ok := SplitDMName(dm)
		return vg, lv, ok && layer == ""
	}
	vg, lv, ok = strings.Cut(strings.TrimPrefix(path, "/dev/"), "/")
	return vg, lv, ok && checkName(vg) == nil && checkName(lv) == nil
}
