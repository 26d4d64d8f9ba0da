package lvm

import "fmt"

// Attr is lv_attr, one field per letter. A letter that is not in a table below is kept as it is and reported as
// unknown by its String method; it is never an error, since new versions of LVM add letters.
type Attr struct {
	Type       VolumeType
	Permission Permission
	Allocation byte
	FixedMinor bool
	State      State
	Open       bool
	Target     byte
	Zero       bool
	Health     byte
	Skip       bool // activation is skipped by default
	Raw        string
}

// VolumeType is the first letter.
type VolumeType byte

// Volume types that matter here; volumeTypes has all.
const (
	TypePlain           VolumeType = '-'
	TypeOrigin          VolumeType = 'o'
	TypeMergingOrigin   VolumeType = 'O'
	TypeSnapshot        VolumeType = 's'
	TypeMergingSnapshot VolumeType = 'S'
	TypeThin            VolumeType = 'V'
	TypeThinPool        VolumeType = 't'
)

var volumeTypes = map[VolumeType]string{
	'-': "plain", 'o': "origin", 'O': "origin with a merging snapshot", 's': "snapshot", 'S': "merging snapshot",
	'V': "thin volume", 't': "thin pool", 'T': "thin pool data", 'e': "raid or pool metadata", 'C': "cache",
	'm': "mirrored", 'M': "mirrored without initial sync", 'r': "raid", 'R': "raid without initial sync",
	'i': "mirror or raid image", 'I': "mirror or raid image out of sync", 'l': "mirror log", 'c': "under conversion",
	'p': "pvmove", 'v': "virtual", 'd': "vdo pool", 'D': "vdo pool data", 'g': "integrity",
}

// String names the type.
func (t VolumeType) String() string { return letterName(volumeTypes, t) }

// Permission is the second letter.
type Permission byte

// Permissions.
const (
	Writable      Permission = 'w'
	ReadOnly      Permission = 'r'
	ReadOnlyByUse Permission = 'R' // writable by metadata, activated read-only
)

var permissions = map[Permission]string{
	'w': "writable", 'r': "read-only", 'R': "activated read-only although writable by metadata", '-': "none",
}

// String names the permission.
func (p Permission) String() string { return letterName(permissions, p) }

// State is the fifth letter: what the kernel has.
type State byte

// States that matter here; states has all.
const (
	StateInactive         State = '-'
	StateActive           State = 'a'
	StateSuspended        State = 's'
	StateInvalid          State = 'I'
	StateInvalidSuspended State = 'S'
	StateNoTable          State = 'd'
	StateInactiveTable    State = 'i'
)

var states = map[State]string{
	'-': "inactive", 'a': "active", 's': "suspended", 'h': "historical",
	'I': "invalid snapshot", 'S': "invalid suspended snapshot",
	'm': "snapshot merge failed", 'M': "suspended snapshot merge failed",
	'd': "device present without tables", 'i': "device present with an inactive table only",
	'c': "thin pool check needed", 'C': "suspended thin pool check needed", 'X': "unknown to lvm",
}

// String names the state.
func (s State) String() string { return letterName(states, s) }

func letterName[L ~byte](table map[L]string, l L) string {
	if name, ok := table[l]; ok {
		return name
	}
	return fmt.Sprintf("unknown (%q)", rune(l))
}

// attrLetters is the least number of letters that LVM prints; later versions may append more.
const attrLetters = 10

// ParseAttr decodes lv_attr.
func ParseAttr(s string) (Attr, error) {
	if len(s) < attrLetters {
		return Attr{}, fmt.Errorf("%w: lv_attr %q has %d letters, not %d", ErrReport, s, len(s), attrLetters)
	}
	return Attr{
		Type: VolumeType(s[0]), Permission: Permission(s[1]), Allocation: s[2], FixedMinor: s[3] == 'm',
		State: State(s[4]), Open: s[5] == 'o', Target: s[6], Zero: s[7] == 'z', Health: s[8], Skip: s[9] == 'k', Raw: s,
	}, nil
}

// Active reports whether the kernel serves the volume, suspended or invalid ones included.
func (a Attr) Active() bool {
	switch a.State {
	case StateInactive, StateNoTable, StateInactiveTable, 'h':
		return false
	}
	return true
}

// Invalid reports an overflowed or otherwise invalid snapshot.
func (a Attr) Invalid() bool { return a.State == StateInvalid || a.State == StateInvalidSuspended }

// Suspended reports whether I/O to the volume waits.
func (a Attr) Suspended() bool {
	return a.State == StateSuspended || a.State == StateInvalidSuspended || a.State == 'M' || a.State == 'C'
}

// Merging reports that the volume takes part in a merge, running or scheduled, also a failed one.
func (a Attr) Merging() bool {
	return a.Type == TypeMergingOrigin || a.Type == TypeMergingSnapshot || a.State == 'm' || a.State == 'M'
}
