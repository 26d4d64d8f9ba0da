package blockdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FlushDisks empties the write caches of the devices that the logical volume at path lies on, without
// going through the volume, which may be suspended. LVM writes its metadata past the page cache and
// does not flush the disk: without this, what it has committed may be gone after a power cut.
// A volume that lies on nothing that can be found is none of LVM's: nothing is done.
func FlushDisks(path string) error {
	return thisSystem().flushDisks(path, func(dev string) error {
		f, err := os.Open(dev)
		if errors.Is(err, os.ErrNotExist) {
			return nil // no node for it here, as in some containers
		}
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func (s system) flushDisks(path string, flush func(dev string) error) error {
	major, minor, err := s.deviceNumber(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // not active
	}
	if err != nil {
		return err
	}
	disks, err := below(s.block(major, minor), 0)
	if err != nil {
		return fmt.Errorf("%s: disks below it: %w", path, err)
	}
	slices.Sort(disks)
	for _, d := range slices.Compact(disks) {
		if err := flush(filepath.Join("/dev", strings.ReplaceAll(d, "!", "/"))); err != nil {
			return fmt.Errorf("%s: flush of %s: %w", path, d, err)
		}
	}
	return nil
}

// maxLayers bounds how many devices of LVM lie on one another.
const maxLayers = 16

// below lists the first devices under a logical volume that are not LVM's own.
func below(dir string, layer int) ([]string, error) {
	under, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if errors.Is(err, os.ErrNotExist) || layer == maxLayers {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var disks []string
	for _, u := range under {
		sub := filepath.Join(dir, "slaves", u.Name())
		uuid, err := attribute(filepath.Join(sub, "dm/uuid"))
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(uuid, "LVM-") {
			disks = append(disks, u.Name())
			continue
		}
		more, err := below(sub, layer+1)
		if err != nil {
			return nil, err
		}
		disks = append(disks, more...)
	}
	return disks, nil
}
