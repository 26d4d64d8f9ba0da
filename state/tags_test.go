package state

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/generation"
)

// lvmTag is what LVM accepts as a tag (measured; LVM 2.03).
var lvmTag = regexp.MustCompile(`^[A-Za-z0-9_+./=!:&#][A-Za-z0-9_+./=!:&#-]*$`)

func TestTagsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uuid := rapid.StringN(1, generation.MaxUUID, generation.MaxUUID)
		g := func(name string) generation.Generation {
			return generation.Generation{UUID: uuid.Draw(t, name), Seq: rapid.Uint64().Draw(t, name+" seq")}
		}
		want := TagState{
			Role: rapid.SampledFrom([]Role{RoleNone, RolePrimary, RoleSecondary}).Draw(t, "role"), Fence: rapid.Uint64().Draw(t, "fence"),
			Kind: rapid.SampledFrom([]Kind{KindNone, KindClean, KindApplying, KindInconsistent, KindSuspect, KindHeld}).Draw(t, "kind"),
			At:   g("at"), To: g("to"),
		}
		tags := want.EncodeTags()
		for _, tag := range tags {
			if !lvmTag.MatchString(tag) || len(tag) > 1024 {
				t.Fatalf("LVM refuses tag %q", tag)
			}
		}
		got, ok, err := DecodeTags(append(tags, "foreign", "ddsgo.run=x"))
		if err != nil || !ok || got != want {
			t.Fatalf("%+v, %v, %v", got, ok, err)
		}
	})
}

func TestBadTags(t *testing.T) {
	base := []string{"ddsgo.role=secondary", "ddsgo.fence=1", "ddsgo.cond=clean"}
	for _, bad := range [][]string{
		{"ddsgo.role=secondary"}, append(base[:2:2], "ddsgo.cond=great"), append(base[1:3:3], "ddsgo.role=king"),
		append(base[:3:3], "ddsgo.fence=2"), append(base[:3:3], "ddsgo.gen=x"), append(base[:3:3], "ddsgo.gen=1/"),
		append(base[:3:3], "ddsgo.gen=1/#z1"), append(base[:3:3], "ddsgo.gen=1/#1"), {"ddsgo.role=none", "ddsgo.cond=none", "ddsgo.fence=-1"},
	} {
		_, ok, err := DecodeTags(bad)
		require.True(t, ok)
		require.ErrorIs(t, err, ErrTag, "%v", bad)
	}
	_, ok, err := DecodeTags([]string{"ddsgo.run=1", "x"})
	require.False(t, ok)
	require.NoError(t, err)
}

func FuzzTags(f *testing.F) {
	f.Add("ddsgo.role=secondary\nddsgo.fence=1\nddsgo.cond=clean\nddsgo.gen=1/a-b")
	f.Fuzz(func(t *testing.T, s string) {
		tags := strings.Split(s, "\n")
		st, ok, err := DecodeTags(tags)
		if err != nil || !ok {
			return
		}
		again, ok, err := DecodeTags(st.EncodeTags())
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, st, again)
	})
}
