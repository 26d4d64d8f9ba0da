package lvm

import (
	"slices"
	"strings"
	"time"
)

// LV is one logical volume as one report showed it.
type LV struct {
	Name   string
	VG     string
	UUID   string // with dashes, as LVM prints it
	VGUUID string
	Path   string // /dev/VG/LV; empty for a hidden volume
	DMName string
	Hidden bool
	Attr   Attr

	Origin     string // of a snapshot: the origin's name
	OriginUUID string
	Size       int64 // of a snapshot: of its exception store
	OriginSize int64 // of a snapshot: its virtual size, which is that of the origin when it was taken
	ChunkSize  int64 // of a snapshot
	// SnapPercent is how full the exception store is, 0 to 100; Unknown for what is no snapshot or not active.
	SnapPercent float64

	Tags []string
	Time time.Time // of creation; zero if LVM does not know it
	Role []string  // "public", "snapshot", "thicksnapshot", ...
	Pool string    // of a thin volume
	Thin int64     // thin id, 0 for none

	Suspended     bool
	InactiveTable bool // the device has a pending table
	ExtentSize    int64
	VGFree        int64
}

// Unknown is a SnapPercent that LVM does not report.
const Unknown = -1

// FullName is "VG/LV", as lvm takes it.
func (v LV) FullName() string { return v.VG + "/" + v.Name }

// String is FullName.
func (v LV) String() string { return v.FullName() }

// Active reports whether the kernel serves the volume.
func (v LV) Active() bool { return v.Attr.Active() }

// Snapshot reports a classic snapshot, merging ones included.
func (v LV) Snapshot() bool {
	return v.Attr.Type == TypeSnapshot || v.Attr.Type == TypeMergingSnapshot
}

// SnapshotOf reports whether v is a classic snapshot of origin.
func (v LV) SnapshotOf(origin LV) bool { return v.Snapshot() && v.OriginUUID == origin.UUID }

// Plain reports a volume that is neither snapshot nor origin nor part of anything: also what a half removal or a
// killed creation leaves of a snapshot.
func (v LV) Plain() bool { return v.Attr.Type == TypePlain && v.Origin == "" }

// Merging reports that the volume takes part in a merge.
func (v LV) Merging() bool { return v.Attr.Merging() }

// Invalid reports an overflowed snapshot.
func (v LV) Invalid() bool { return v.Attr.Invalid() }

// Writable reports whether writes are allowed now.
func (v LV) Writable() bool { return v.Attr.Permission == Writable }

// HasTag reports whether the volume carries the tag.
func (v LV) HasTag(tag string) bool { return slices.Contains(v.Tags, tag) }

// TagValue returns what follows "key=" in the first such tag.
func (v LV) TagValue(key string) (string, bool) {
	for _, t := range v.Tags {
		if val, ok := strings.CutPrefix(t, key+"="); ok {
			return val, true
		}
	}
	return "", false
}

// CowPath is the device that holds the exception store of snapshot v. Read it with direct I/O: buffered reads are stale.
func (v LV) CowPath() string { return "/dev/mapper/" + v.DMName + layerCow }

// DMUUID is the device-mapper UUID of the volume or, with a Layer, of the device under it.
func (v LV) DMUUID(layer string) string {
	return dmUUIDPrefix + strings.ReplaceAll(v.VGUUID+v.UUID, "-", "") + layer
}

// ByName finds a volume of a report.
func ByName(lvs []LV, name string) (LV, bool) {
	i := slices.IndexFunc(lvs, func(v LV) bool { return v.Name == name })
	if i < 0 {
		return LV{}, false
	}
	return lvs[i], true
}

// ByUUID finds a volume of a report.
func ByUUID(lvs []LV, uuid string) (LV, bool) {
	i := slices.IndexFunc(lvs, func(v LV) bool { return v.UUID == uuid })
	if i < 0 {
		return LV{}, false
	}
	return lvs[i], true
}

// SnapshotsOf lists the classic snapshots of origin, in the order of their creation times.
func SnapshotsOf(lvs []LV, origin LV) []LV {
	var snaps []LV
	for _, v := range lvs {
		if v.SnapshotOf(origin) {
			snaps = append(snaps, v)
		}
	}
	slices.SortStableFunc(snaps, func(a, b LV) int { return a.Time.Compare(b.Time) })
	return snaps
}
