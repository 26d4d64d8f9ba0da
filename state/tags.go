package state

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/generation"
)

// Tags that this package owns; other tags that begin with "ddsgo." (the run's) are
// not touched.
const (
	tagRole  = "ddsgo.role="
	tagFence = "ddsgo.fence="
	tagCond  = "ddsgo.cond="
	tagGen   = "ddsgo.gen="
	tagTo    = "ddsgo.to="
)

// TagState is the part of a document that stands as tags on a logical volume too,
// where it cannot drift apart from the volume.
type TagState struct {
	Role  Role
	Fence uint64
	Kind  Kind
	At    generation.Generation // UUID and Seq only
	To    generation.Generation // UUID and Seq only
}

// tagState is what d says on the volume.
func (d *Document) tagState() TagState {
	t := TagState{Role: d.Role, Fence: d.Fence, Kind: d.Condition.Kind, At: d.Condition.At, To: d.Condition.To}
	if d.Role == RolePrimary {
		t.At = d.Generation
	}
	t.At = generation.Generation{UUID: t.At.UUID, Seq: t.At.Seq}
	t.To = generation.Generation{UUID: t.To.UUID, Seq: t.To.Seq}
	return t
}

// EncodeTags gives the tags of t, sorted, in LVM's tag alphabet.
func (t TagState) EncodeTags() []string {
	tags := []string{
		tagRole + string(t.Role),
		tagFence + strconv.FormatUint(t.Fence, 10),
		tagCond + string(t.Kind),
	}
	if !t.At.IsZero() {
		tags = append(tags, tagGen+encodeGen(t.At))
	}
	if !t.To.IsZero() {
		tags = append(tags, tagTo+encodeGen(t.To))
	}
	sort.Strings(tags)
	return tags
}

// tagsOf gives the tags of a document; none for nil.
func tagsOf(d *Document) []string {
	if d == nil {
		return nil
	}
	return d.tagState().EncodeTags()
}

// ownTags picks and sorts the tags that this package owns.
func ownTags(all []string) []string {
	var own []string
	for _, t := range all {
		for _, p := range []string{tagRole, tagFence, tagCond, tagGen, tagTo} {
			if strings.HasPrefix(t, p) {
				own = append(own, t)
			}
		}
	}
	sort.Strings(own)
	return slices.Compact(own)
}

// DecodeTags reads the tags of a volume. ok is false when none of them is ours.
func DecodeTags(all []string) (t TagState, ok bool, err error) {
	seen := map[string]bool{}
	for _, tag := range ownTags(all) {
		key, value, _ := strings.Cut(tag, "=")
		if seen[key] {
			return TagState{}, true, fmt.Errorf("%w: %s stands twice", ErrTag, key)
		}
		seen[key] = true
		if err := t.decodeOne(key+"=", value); err != nil {
			return TagState{}, true, err
		}
	}
	if len(seen) == 0 {
		return TagState{}, false, nil
	}
	for _, k := range []string{tagRole, tagFence, tagCond} {
		if !seen[strings.TrimSuffix(k, "=")] {
			return TagState{}, true, fmt.Errorf("%w: no tag %s", ErrTag, k)
		}
	}
	return t, true, nil
}

func (t *TagState) decodeOne(key, value string) (err error) {
	switch key {
	case tagRole:
		t.Role = Role(value)
		if t.Role != RoleNone && t.Role != RolePrimary && t.Role != RoleSecondary {
			return fmt.Errorf("%w: role %.40q", ErrTag, value)
		}
	case tagFence:
		t.Fence, err = strconv.ParseUint(value, 10, 64)
	case tagCond:
		t.Kind = Kind(value)
		switch t.Kind {
		case KindNone, KindClean, KindApplying, KindInconsistent, KindSuspect, KindHeld:
		default:
			return fmt.Errorf("%w: condition %.40q", ErrTag, value)
		}
	case tagGen:
		t.At, err = decodeGen(value)
	case tagTo:
		t.To, err = decodeGen(value)
	}
	if err != nil {
		return fmt.Errorf("%w: %s%.60s: %w", ErrTag, key, value, err)
	}
	return nil
}

// encodeGen is SEQ/UUID, with '#' and two hexadecimal digits for bytes of the UUID
// that LVM or this form do not allow.
func encodeGen(g generation.Generation) string {
	var b strings.Builder
	b.WriteString(strconv.FormatUint(g.Seq, 10))
	b.WriteByte('/')
	for i := range len(g.UUID) {
		c := g.UUID[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte("_+.-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "#%02x", c)
		}
	}
	return b.String()
}

func decodeGen(s string) (generation.Generation, error) {
	seq, uuid, ok := strings.Cut(s, "/")
	if !ok {
		return generation.Generation{}, fmt.Errorf("want SEQ/UUID")
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return generation.Generation{}, err
	}
	var b strings.Builder
	for i := 0; i < len(uuid); i++ {
		if uuid[i] != '#' {
			b.WriteByte(uuid[i])
			continue
		}
		if i+3 > len(uuid) {
			return generation.Generation{}, fmt.Errorf("cut escape")
		}
		c, err := strconv.ParseUint(uuid[i+1:i+3], 16, 8)
		if err != nil {
			return generation.Generation{}, err
		}
		b.WriteByte(byte(c))
		i += 2
	}
	if b.Len() == 0 || b.Len() > generation.MaxUUID {
		return generation.Generation{}, fmt.Errorf("a uuid of %d bytes", b.Len())
	}
	return generation.Generation{UUID: b.String(), Seq: n}, nil
}
