package lvm

import (
	"fmt"
	"strings"
)

// Limits of LVM and device-mapper.
const (
	maxName   = 127  // of a volume, a group, and of a dm name (DM_NAME_LEN is 128 with the final zero)
	maxTag    = 1024 // of a tag
	uuidLen   = 38   // with its six dashes
	uuidPlain = 32
)

const dmUUIDPrefix = "LVM-"

// Layers under a volume: suffixes of dm names and dm UUIDs.
const (
	layerCow  = "-cow"
	layerReal = "-real"
)

// DMName is the device-mapper name of a volume: '-' within the names doubled.
func DMName(vg, lv string) string { return escape(vg) + "-" + escape(lv) }

func escape(s string) string { return strings.ReplaceAll(s, "-", "--") }

// SplitDMName is the reverse of DMName. layer is "cow", "real" or another suffix of a device under a volume.
func SplitDMName(dm string) (vg, lv, layer string, ok bool) {
	parts := []string{""}
	for i := 0; i < len(dm); i++ {
		switch {
		case dm[i] != '-':
			parts[len(parts)-1] += dm[i : i+1]
		case i+1 < len(dm) && dm[i+1] == '-':
			parts[len(parts)-1] += "-"
			i++
		default:
			parts = append(parts, "")
		}
	}
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return "", "", "", false
	}
	return parts[0], parts[1], strings.Join(parts[2:], "-"), true
}

// splitDMUUID takes a dm UUID of LVM apart. The volume's UUID gets its dashes back.
func splitDMUUID(uuid string) (vgUUID, lvUUID, layer string, ok bool) {
	rest, ok := strings.CutPrefix(uuid, dmUUIDPrefix)
	if !ok || len(rest) < 2*uuidPlain {
		return "", "", "", false
	}
	layer = rest[2*uuidPlain:]
	if layer != "" && layer[0] != '-' {
		return "", "", "", false
	}
	return dashed(rest[:uuidPlain]), dashed(rest[uuidPlain : 2*uuidPlain]), strings.TrimPrefix(layer, "-"), true
}

// dashed is LVM's way to write a UUID: groups of 6, 4, 4, 4, 4, 4, 6.
func dashed(u string) string {
	return strings.Join([]string{u[0:6], u[6:10], u[10:14], u[14:18], u[18:22], u[22:26], u[26:32]}, "-")
}

// TagRun is the key of the tag that every snapshot made by ddsgo carries: "ddsgo.run=ID".
const TagRun = "ddsgo.run"

// SnapshotName is the name of the origin's n-th snapshot. It is the one that OpenSVC uses, "<origin>_osvc_snap<n>" with
// each '-' of the origin's name as '_', but for two cases that would collide there:
//
//   - the origin's name has a '-': "a-b" and "a_b" would share their snapshots. Six letters of the origin's UUID are put
//     in: "a_b_X3kP0q_osvc_snap1". A snapshot with the plain name that is this origin's (made by an OpenSVC agent) is kept.
//   - a volume with that name exists and is not ours: the same six letters.
//
// So the answer is the same at each run as long as nobody makes or removes volumes with such names.
// Too long a name is cut in front of the six letters. lvs is a report of the origin's group.
func SnapshotName(origin LV, n int, lvs []LV) string {
	suffix := fmt.Sprintf("_osvc_snap%d", n)
	plain := strings.ReplaceAll(origin.Name, "-", "_")
	legacy := plain + suffix
	distinct := "_" + origin.UUID[:6] + suffix
	// Room for "VG-" and for the longest layer in the dm name.
	room := maxName - len(escape(origin.VG)) - 1 - len(layerReal)
	fits := len(legacy) <= room
	if v, exists := ByName(lvs, legacy); exists {
		_, ours := v.TagValue(TagRun)
		if v.SnapshotOf(origin) || v.Plain() && ours && !strings.Contains(origin.Name, "-") {
			return legacy
		}
		fits = false
	}
	if fits && !strings.Contains(origin.Name, "-") {
		return legacy
	}
	if cut := room - len(distinct); len(plain) > cut {
		plain = plain[:max(cut, 0)]
	}
	return plain + distinct
}

// checkName refuses what LVM would refuse, and what lvm would read as an option.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '-' && name != "." && name != ".."
	for _, c := range []byte(name) {
		ok = ok && (alphanumeric(c) || strings.IndexByte("_.+-", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%w: volume or group %q", ErrBadName, name)
	}
	return nil
}

// checkTag refuses a tag that LVM would refuse or take apart.
func checkTag(tag string) error {
	ok := tag != "" && len(tag) <= maxTag && tag[0] != '-'
	for _, c := range []byte(tag) {
		ok = ok && (alphanumeric(c) || strings.IndexByte("_+.-/=!:&#", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%w: tag %q", ErrBadName, tag)
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
