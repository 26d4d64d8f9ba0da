//go:build lab

package lab

import (
	"fmt"
	"strings"
	"testing"
)

// VolumeGroup is a volume group on one loop device.
type VolumeGroup struct {
	Name string
	Disk string
}

// DefaultVGSize is the size of the disk under VG.
const DefaultVGSize = 1 << 30

// VG makes a volume group of DefaultVGSize with extents of 1 MiB; it and all its volumes are removed at the end.
func VG(t testing.TB) *VolumeGroup {
	t.Helper()
	return NamedVG(t, "", DefaultVGSize)
}

// NamedVG is VG with a suffix to the name (to test names with '-', for instance) and a size.
func NamedVG(t testing.TB, suffix string, size int64) *VolumeGroup {
	t.Helper()
	return VGOn(t, Disk(t, size), suffix)
}

// VGOn makes a volume group on a device of the lab: a Mapping over a disk, for instance.
func VGOn(t testing.TB, disk, suffix string) *VolumeGroup {
	t.Helper()
	s := get(t)
	vg := &VolumeGroup{Name: s.name("_") + suffix, Disk: disk}
	if err := s.show(disk); err != nil {
		t.Fatal(err)
	}
	Run(t, "lvm", "vgcreate", "--yes", "--physicalextentsize", "1m", vg.Name, disk)
	t.Cleanup(func() { vg.remove(t) })
	return vg
}

// LV makes a linear volume of size bytes, zeroed, and returns its path.
func (vg *VolumeGroup) LV(t testing.TB, name string, size int64) string {
	t.Helper()
	Run(t, "lvm", "lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--size", fmt.Sprintf("%db", size), "--name", name, vg.Name)
	return vg.Path(name)
}

// Extent is where the bytes of a volume of one segment lie on the group's disk.
func (vg *VolumeGroup) Extent(t testing.TB, lv string) (off, length int64) {
	t.Helper()
	var start, size int64
	var pes string
	out := Run(t, "lvm", "lvs", "--noheadings", "--units", "b", "--nosuffix", "--separator", " ", "-o", "vg_extent_size,lv_size,seg_pe_ranges", vg.Name+"/"+lv)
	if _, err := fmt.Sscan(out, &size, &length, &pes); err != nil {
		t.Fatalf("lab: %q: %v", out, err)
	}
	if _, err := fmt.Sscanf(pes[strings.LastIndex(pes, ":")+1:], "%d-", &off); err != nil {
		t.Fatalf("lab: extents %q: %v", pes, err)
	}
	out = Run(t, "lvm", "pvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "pe_start", vg.Disk)
	if _, err := fmt.Sscan(out, &start); err != nil {
		t.Fatalf("lab: %q: %v", out, err)
	}
	return start + off*size, length
}

// Path is /dev/VG/LV.
func (vg *VolumeGroup) Path(lv string) string { return "/dev/" + vg.Name + "/" + lv }

// DMName is the device-mapper name of a volume, with '-' doubled.
func (vg *VolumeGroup) DMName(lv string) string {
	esc := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	return esc(vg.Name) + "-" + esc(lv)
}

// Mapper is /dev/mapper/VG-LV.
func (vg *VolumeGroup) Mapper(lv string) string { return "/dev/mapper/" + vg.DMName(lv) }

// remove removes the group in whatever state a test left it.
func (vg *VolumeGroup) remove(t testing.TB) {
	esc := strings.ReplaceAll(vg.Name, "-", "--")
	resumeAll(esc)
	out, err := try("lvm", "vgremove", "--force", "--force", "--yes", vg.Name)
	// Killed commands leave device-mapper and metadata in disagreement: devices that no metadata knows, or the reverse.
	removeMappings(esc)
	if err == nil {
		return
	}
	if _, again := try("lvm", "vgremove", "--force", "--force", "--yes", vg.Name); again != nil {
		t.Errorf("lab: cannot remove volume group %s: %v, %v: %s", vg.Name, err, again, out)
	}
}

// resumeAll resumes every suspended device of the group, without loading a table that a killed command left pending.
func resumeAll(escaped string) {
	out, _ := try("dmsetup", "info", "-c", "--noheadings", "--separator", " ", "-o", "name,suspended")
	for _, line := range strings.Split(out, "\n") {
		dev, state, _ := strings.Cut(line, " ")
		if strings.HasPrefix(dev, escaped+"-") && strings.EqualFold(strings.TrimSpace(state), "suspended") {
			_, _ = try("dmsetup", "clear", dev)
			_, _ = try("dmsetup", "resume", dev)
		}
	}
}
