package journal_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/journal/journaltest"
	"github.com/ddsgo/ddsgo/stream"
)

func spool(t *testing.T, d *journal.Dir, name, content string) journal.Member {
	t.Helper()
	s, err := d.Begin(name, 1000)
	require.NoError(t, err)
	_, err = io.WriteString(s, content)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	return journal.Member{Name: name, Target: "/dev/" + name, Bytes: int64(len(content)), Header: stream.Header{Kind: stream.KindDelta}}
}

func TestTransactionOfTwoMembers(t *testing.T) {
	for name, fs := range map[string]journal.FS{"os": journal.OS{}, "memory": journaltest.New(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "j")
			d, err := journal.Open(fs, path)
			require.NoError(t, err)
			_, err = d.Pending()
			require.ErrorIs(t, err, journal.ErrNotFound)
			a, b := spool(t, d, "a", "delta a"), spool(t, d, "b", "delta of b")
			spool(t, d, "left-over", "of another run")
			_, err = d.Commit(time.Now(), a, b)
			require.NoError(t, err)
			_, err = d.Commit(time.Now(), a, b)
			require.ErrorIs(t, err, journal.ErrPending)

			d, err = journal.Open(fs, path)
			require.NoError(t, err)
			tx, err := d.Pending()
			require.NoError(t, err)
			require.Equal(t, []journal.Member{a, b}, tx.Members)
			f, err := tx.Open("b")
			require.NoError(t, err)
			got, err := io.ReadAll(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.Equal(t, "delta of b", string(got))
			names, err := fs.List(filepath.Join(path, "committed"))
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"a.delta", "b.delta", "commit.json"}, names)
			require.NoError(t, d.Remove())
			require.NoError(t, d.Remove(), "removing none is no error")
			_, err = d.Pending()
			require.ErrorIs(t, err, journal.ErrNotFound)
			names, err = fs.List(path)
			require.NoError(t, err)
			require.Empty(t, names)
		})
	}
}

func TestCommitRefusesWhatIsNotThere(t *testing.T) {
	d, err := journal.Open(journal.OS{}, t.TempDir())
	require.NoError(t, err)
	a := spool(t, d, "a", "delta a")
	short := a
	short.Bytes++
	for name, members := range map[string][]journal.Member{
		"none": nil, "missing": {a, {Name: "b"}}, "twice": {a, a}, "other length": {short}, "bad name": {{Name: "../a"}},
	} {
		_, err := d.Commit(time.Now(), members...)
		require.ErrorIs(t, err, journal.ErrMember, name)
	}
	for _, name := range []string{"", "../x", "a/b", ".hidden", strings.Repeat("x", 300)} {
		_, err := d.Begin(name, 1)
		require.ErrorIs(t, err, journal.ErrMember, name)
	}
}

func TestDamagedCommitIsRefused(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"flipped":      func(dir string) error { return edit(dir+"/commit.json", func(b []byte) { b[len(b)/2] ^= 1 }) },
		"not json":     func(dir string) error { return os.WriteFile(dir+"/commit.json", []byte("hello"), 0o600) },
		"no record":    func(dir string) error { return os.Remove(dir + "/commit.json") },
		"no member":    func(dir string) error { return os.Remove(dir + "/a.delta") },
		"short member": func(dir string) error { return os.Truncate(dir+"/a.delta", 3) },
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			d, err := journal.Open(journal.OS{}, path)
			require.NoError(t, err)
			_, err = d.Commit(time.Now(), spool(t, d, "a", "delta a"))
			require.NoError(t, err)
			require.NoError(t, damage(filepath.Join(path, "committed")))
			_, err = d.Pending()
			require.ErrorIs(t, err, journal.ErrDamaged)
			require.NotErrorIs(t, err, journal.ErrNotFound)
		})
	}
}

func edit(path string, change func([]byte)) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	change(b)
	return os.WriteFile(path, b, 0o600)
}

func TestSpace(t *testing.T) {
	d, err := journal.Open(journaltest.New(1000), "/j")
	require.NoError(t, err)
	_, err = d.Begin("a", 2000)
	var space *journal.SpaceError
	require.ErrorAs(t, err, &space)
	require.Equal(t, journal.SpaceError{Dir: "/j", Need: 2000, Free: 1000}, *space)

	s, err := d.Begin("a", 900)
	require.NoError(t, err)
	_, err = s.Write(make([]byte, 901))
	require.ErrorIs(t, err, journal.ErrQuota)
	require.Error(t, s.Close())

	full := journaltest.New(1000)
	d, err = journal.Open(full, "/j")
	require.NoError(t, err)
	s, err = d.Begin("a", 1000)
	require.NoError(t, err)
	other, err := full.Create("/j/other")
	require.NoError(t, err)
	_, err = other.Write(make([]byte, 500))
	require.NoError(t, err)
	_, err = s.Write(make([]byte, 800))
	require.ErrorIs(t, err, journal.ErrSpace, "somebody else filled the file system meanwhile")
	require.NotErrorIs(t, err, syscall.EIO)
	_, err = s.Write([]byte("x"))
	require.ErrorIs(t, err, journal.ErrSpace, "a spool that failed takes no more")
}

// TestReceiversDoNotShareAFile: a receiver that was stopped, and whose session another one has
// taken over, writes nothing into what the other one keeps, whether that began anew or went on
// behind the verified prefix.
func TestReceiversDoNotShareAFile(t *testing.T) {
	d, err := journal.Open(journal.OS{}, t.TempDir())
	require.NoError(t, err)
	for name, next := range map[string]func() (*journal.Spool, error){
		"anew":      func() (*journal.Spool, error) { return d.Begin("m", 100) },
		"went on":   func() (*journal.Spool, error) { return d.Resume("m", 100, 4) },
		"went on 2": func() (*journal.Spool, error) { return d.Resume("m", 100, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			stopped, err := d.Begin("m", 100)
			require.NoError(t, err)
			write := func(s *journal.Spool, text string) {
				_, err := s.Write([]byte(text))
				require.NoError(t, err)
			}
			write(stopped, "headbo")
			s, err := next()
			require.NoError(t, err)
			have := s.Size()
			write(s, "right body")
			write(stopped, "dy of somebody else")
			require.NoError(t, errors.Join(stopped.Close(), s.Close()))
			f, err := d.Partial("m")
			require.NoError(t, err)
			b, err := io.ReadAll(f)
			require.NoError(t, errors.Join(err, f.Close()))
			require.Equal(t, "head"[:have]+"right body", string(b))
		})
	}
}

// TestQuota: what lies in the directory counts, a spool that is replaced or continued does not
// count twice, and the refusal names the bytes.
func TestQuota(t *testing.T) {
	for name, f := range map[string]journal.FS{"memory": journaltest.New(1 << 20), "disk": journal.OS{}} {
		t.Run(name, func(t *testing.T) {
			d, err := journal.Open(f, filepath.Join(t.TempDir(), "q"))
			require.NoError(t, err)
			d.Limit(1000)
			fill := func(s *journal.Spool, err error, n int) {
				require.NoError(t, err)
				_, err = s.Write(make([]byte, n))
				require.NoError(t, errors.Join(err, s.Close()))
			}
			_, err = d.Begin("m", 1001)
			var space *journal.SpaceError
			require.ErrorAs(t, err, &space)
			require.Equal(t, int64(1001), space.Need)
			require.ErrorContains(t, err, "1001 bytes are needed, the quota of 1000 bytes leaves 1000")
			s, err := d.Begin("m", 1000)
			fill(s, err, 600)
			s, err = d.Begin("m", 900) // in its place
			fill(s, err, 700)
			s, err = d.Resume("m", 1000, 700) // behind it
			fill(s, err, 300)
			_, err = d.Begin("other", 1)
			require.ErrorAs(t, err, &space)
			require.EqualValues(t, 0, space.Free)
			err = d.History().Write("u", 100, func(io.Writer) error { return nil })
			require.ErrorIs(t, err, journal.ErrSpace)
			s, err = d.Begin("m", 800)
			fill(s, err, 500)
			require.NoError(t, d.History().Write("u", 400, func(w io.Writer) error { _, err := w.Write(make([]byte, 400)); return err }))
			_, err = d.Begin("other", 101)
			require.ErrorIs(t, err, journal.ErrSpace)
			s, err = d.Begin("other", 100)
			fill(s, err, 100)
		})
	}
}
