package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// TestRefusals: each disagreement between file and tags, with code and next command.
func TestRefusals(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			s, lv := open(t), newLV()
			v, d := s.Volume(testLV, lv), doc(RoleSecondary, 1, Clean(gen(1)), gen(1))
			require.NoError(t, v.Commit(t.Context(), &d))
			tt.damage(t, s, lv, filepath.Join(v.dir, stateFile))
			for _, read := range []func(context.Context) (*Document, error){v.Load, v.Inspect} {
				_, err := read(t.Context())
				require.ErrorIs(t, err, tt.is)
				var f *failure.Error
				require.ErrorAs(t, err, &f)
				require.Equal(t, tt.code, f.Code)
				require.NotEmpty(t, f.Next)
			}
			if errors.Is(tt.is, ErrNewer) {
				require.ErrorIs(t, v.Reset(t.Context(), &d), ErrNewer)
				return
			}
			err := v.Reset(t.Context(), &d)
			if tt.name == "promoted by hand" {
				code, _ := failure.CodeOf(err)
				require.Equal(t, failure.CodeRefused, code, "a primary is never overwritten")
				return
			}
			require.NoError(t, err)
			got, err := v.Load(t.Context())
			require.NoError(t, err)
			require.Equal(t, gen(1), got.Condition.At)
		})
	}
}

// refusals are the ways in which a document can be beyond trust.
var refusals = []struct {
	name   string
	is     error
	code   int
	damage func(t *testing.T, s *Store, lv *fakeLV, path string)
}{
	{"file gone", ErrLost, failure.CodeNeedFull, func(t *testing.T, _ *Store, _ *fakeLV, path string) { require.NoError(t, os.Remove(path)) }},
	{"tags gone", ErrDisagree, failure.CodeNeedFull, func(_ *testing.T, _ *Store, lv *fakeLV, _ string) { lv.tags = nil }},
	{"one tag gone", ErrDisagree, failure.CodeNeedFull, func(_ *testing.T, _ *Store, lv *fakeLV, _ string) { lv.tags = lv.tags[1:] }},
	{"promoted by hand", ErrDisagree, failure.CodeNeedFull, func(t *testing.T, _ *Store, lv *fakeLV, _ string) {
		require.NoError(t, lv.SetTags(t.Context(), []string{"ddsgo.role=primary"}, []string{"ddsgo.role=secondary"}))
	}},
	{"two generations", ErrDisagree, failure.CodeNeedFull, func(_ *testing.T, _ *Store, lv *fakeLV, _ string) { lv.tags = append(lv.tags, "ddsgo.gen=9/x") }},
	{"a byte", ErrDamaged, failure.CodeNeedFull, func(t *testing.T, _ *Store, _ *fakeLV, path string) {
		edit(t, path, func(b string) string { return strings.Replace(b, "appdata", "appdatb", 1) })
	}},
	{"half the file", ErrDamaged, failure.CodeNeedFull, func(t *testing.T, _ *Store, _ *fakeLV, path string) {
		edit(t, path, func(b string) string { return b[:len(b)/2] })
	}},
	{"empty", ErrDamaged, failure.CodeNeedFull, func(t *testing.T, _ *Store, _ *fakeLV, path string) {
		edit(t, path, func(string) string { return "" })
	}},
	{"trailing text", ErrDamaged, failure.CodeNeedFull, func(t *testing.T, _ *Store, _ *fakeLV, path string) {
		edit(t, path, func(b string) string { return b + "{}" })
	}},
	{"other format", ErrDamaged, failure.CodeNeedFull, func(t *testing.T, _ *Store, _ *fakeLV, path string) {
		edit(t, path, func(b string) string { return strings.Replace(b, formatState, formatStamp, 1) })
	}},
	{"newer", ErrNewer, failure.CodeCorrupt, func(t *testing.T, _ *Store, _ *fakeLV, path string) {
		edit(t, path, func(b string) string {
			return strings.Replace(b, `"schema_version": 1`, `"schema_version": 2`, 1)
		})
	}},
	{"of another volume", ErrDamaged, failure.CodeNeedFull, func(t *testing.T, s *Store, _ *fakeLV, path string) {
		other := s.Volume(LV("other"), nil)
		d := doc(RoleSecondary, 1, Clean(gen(1)), gen(1))
		require.NoError(t, other.Commit(t.Context(), &d))
		require.NoError(t, os.Rename(filepath.Join(other.dir, stateFile), path))
	}},
}

func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotEqual(t, string(b), change(string(b)))
	require.NoError(t, os.WriteFile(path, []byte(change(string(b))), 0o600))
}
