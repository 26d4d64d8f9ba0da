package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// open makes a store in a temporary directory on the real file system.
func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "deep", "er"))
	require.NoError(t, err)
	return s
}

func newLV(tags ...string) *fakeLV { return &fakeLV{f: &faults{at: -1}, tags: tags} }

func TestCommitOnDisk(t *testing.T) {
	s, lv := open(t), newLV("backup")
	v := s.Volume(testLV, lv)
	_, err := v.Load(t.Context())
	require.ErrorIs(t, err, ErrNotFound)
	d := doc(RoleSecondary, 1, Clean(gen(1)), gen(1))
	require.NoError(t, v.Commit(t.Context(), &d))
	require.EqualValues(t, 1, d.Revision)
	require.Equal(t, []string{"backup", "ddsgo.cond=clean", "ddsgo.fence=1", "ddsgo.gen=1/" + gen(1).UUID, "ddsgo.role=secondary"}, lv.tags)
	since := d.Condition.Since
	d.Condition = Clean(gen(2))
	require.NoError(t, v.Commit(t.Context(), &d))
	require.False(t, d.Condition.Since.Before(since))
	got, err := s.Volume(testLV, lv).Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, &d, got)
	before, err := v.Previous()
	require.NoError(t, err)
	require.Equal(t, gen(1), before.Condition.At)
	st, err := os.Stat(filepath.Join(s.Dir(), "volumes", testLV.String(), "state.json"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, st.Mode().Perm())

	stale := *got
	stale.Revision--
	require.ErrorIs(t, v.Commit(t.Context(), &stale), ErrStale)

	list, err := s.Volumes()
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, &d, list[0].Document)

	require.NoError(t, v.Forget(t.Context()))
	require.Equal(t, []string{"backup"}, lv.tags)
	_, err = v.Load(t.Context())
	require.ErrorIs(t, err, ErrNotFound)
}

func TestUpdate(t *testing.T) {
	v := open(t).Volume(testLV, nil)
	d, err := v.Update(t.Context(), func(d *Document) error { d.Role = RolePrimary; return nil })
	require.NoError(t, err)
	require.Equal(t, RolePrimary, d.Role)
	stop := errors.New("stop")
	_, err = v.Update(t.Context(), func(*Document) error { return stop })
	require.ErrorIs(t, err, stop)
	d, err = v.Load(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, d.Revision)
}

func TestInvalidDocuments(t *testing.T) {
	none := generation.Generation{}
	v := open(t).Volume(testLV, nil)
	for name, d := range map[string]Document{
		"no role":              doc("", 1, None(), none),
		"primary that applies": doc(RolePrimary, 1, Applying(gen(1), gen(2)), none),
		"clean at nothing":     doc(RoleSecondary, 1, Clean(none), none),
		"applying to nothing":  doc(RoleSecondary, 1, Applying(gen(1), none), none),
		"beyond the end":       doc(RoleSecondary, 1, Inconsistent(none, gen(1), 1<<40), none),
		"unknown condition":    doc(RoleSecondary, 1, Condition{Kind: "fine"}, none),
		"none of something":    doc(RoleSecondary, 1, Condition{Kind: KindNone, At: gen(1)}, none),
		"long text":            doc(RoleSecondary, 1, Suspect(gen(1), strings.Repeat("x", MaxText+1)), none),
		"long uuid":            doc(RoleSecondary, 1, Clean(generation.Generation{UUID: strings.Repeat("x", generation.MaxUUID+1)}), none),
	} {
		require.ErrorIs(t, v.Commit(t.Context(), &d), ErrInvalid, name)
	}
	_, err := v.Load(t.Context())
	require.ErrorIs(t, err, ErrNotFound, "nothing was written")
}

func TestResolveDir(t *testing.T) {
	env := map[string]string{}
	get := func(k string) string { return env[k] }
	check := func(flag string, uid int, want string) {
		t.Helper()
		got, err := resolveDir(flag, get, uid)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := resolveDir("", get, 1000)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeUsage, code)
	env["HOME"] = "/home/me"
	check("", 0, "/var/lib/ddsgo")
	check("", 1000, "/home/me/.local/state/ddsgo")
	env["XDG_STATE_HOME"] = "relative"
	check("", 1000, "/home/me/.local/state/ddsgo")
	env["XDG_STATE_HOME"] = "/xdg"
	check("", 1000, "/xdg/ddsgo")
	env[EnvDir] = "/env"
	check("", 0, "/env")
	check("/flag/", 0, "/flag")
}

func TestOpenRefusesBadDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "x"), "/proc/ddsgo"} {
		_, err := Open(dir)
		var f *failure.Error
		require.ErrorAs(t, err, &f, dir)
		require.Equal(t, failure.CodeUsage, f.Code)
		require.Contains(t, f.Next, "--state-dir")
	}
}

func TestSets(t *testing.T) {
	v := open(t).Volume(testLV, nil)
	s := v.Sets()
	ids, err := s.List()
	require.NoError(t, err)
	require.Empty(t, ids)
	for i := range uint64(40) {
		require.NoError(t, s.Save(SetID(i, "run/ü"), func(w io.Writer) error { _, err := fmt.Fprint(w, i); return err }))
	}
	boom := errors.New("boom")
	require.ErrorIs(t, s.Save("never", func(io.Writer) error { return boom }), boom)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "."+SetID(1, "x")+setSuffix+"123"), nil, 0o600))
	require.NoError(t, s.Prune(SetID(3, "run/ü")))
	ids, err = s.List()
	require.NoError(t, err)
	require.Len(t, ids, KeepSets+1)
	require.Equal(t, SetID(3, "run/ü"), ids[0])
	require.Equal(t, SetID(39, "run/ü"), ids[KeepSets])
	left, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	require.Len(t, left, KeepSets+1, "temporary files go too")
	f, err := s.Open(ids[0])
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "3", string(b))
	require.NoError(t, f.Close())
	_, err = s.Open("../state")
	require.ErrorIs(t, err, ErrInvalid)
	require.NoError(t, v.Forget(t.Context()))
	require.NoDirExists(t, s.dir)
}

func TestSession(t *testing.T) {
	v := open(t).Volume(testLV, nil)
	first, err := v.BeginSession("a")
	require.NoError(t, err)
	require.NoError(t, first.Check())
	second, err := v.BeginSession("b")
	require.NoError(t, err)
	require.ErrorIs(t, first.Check(), ErrRevoked)
	require.ErrorContains(t, first.Check(), "from b")
	require.NoError(t, first.End(), "it must not end another's")
	require.NoError(t, second.Check())
	require.NoError(t, v.RevokeSession())
	require.ErrorIs(t, second.Check(), ErrRevoked)
	third, err := v.BeginSession(strings.Repeat("x", 2*MaxText))
	require.NoError(t, err)
	require.NoError(t, third.End())
	require.ErrorIs(t, third.Check(), ErrRevoked)
}

func TestStamp(t *testing.T) {
	s := open(t)
	id := Identity{Kind: IdentityFile, ID: "1-2-3"}
	_, err := s.Stamp(id)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, s.RemoveStamp(id))
	st := Stamp{Identity: id, Device: "/tmp/x", Generation: gen(4), SourceID: testLV.String(), Time: time.Unix(1, 0).UTC()}
	require.NoError(t, s.SetStamp(st))
	got, err := s.Stamp(id)
	require.NoError(t, err)
	require.Equal(t, &st, got)
	edit(t, s.stampPath(id), func(b string) string { return strings.Replace(b, "snap04", "snap05", 1) })
	_, err = s.Stamp(id)
	require.ErrorIs(t, err, ErrDamaged)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeCorrupt, code)
	require.NoError(t, s.RemoveStamp(id))
	_, err = s.Stamp(Identity{Kind: IdentityFile, ID: "../../x"})
	require.ErrorIs(t, err, ErrInvalid)
}
