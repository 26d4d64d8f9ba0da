package replica

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
)

// TestJournalThatCannotBeRead: a target that was killed while it wrote its journal, and whose
// journal cannot be read to its end, says that it is no point in time, and the next plain sync
// repairs it.
func TestJournalThatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(w *world, file string){
		"one bit flipped": func(w *world, file string) {
			w.rewrite(file, func(b []byte) []byte { b[len(b)*3/4] ^= 8; return b })
		},
		"header destroyed": func(w *world, file string) {
			w.rewrite(file, func(b []byte) []byte { copy(b, "no delta"); return b })
		},
		"cut short": func(w *world, file string) {
			w.rewrite(file, func(b []byte) []byte { return b[:len(b)/2] })
		},
		"file lost": func(w *world, file string) { require.NoError(w.t, w.spool.Remove(file)) },
		"bad sector": func(w *world, file string) {
			w.far = func(h *Host) { h.Journal = &badSector{FS: h.Journal} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			w.must(doFull)
			w.change()
			w.halfApplied()
			dir := filepath.Join("/spool", w.dstID.String(), "committed")
			names, err := w.spool.List(dir)
			require.NoError(t, err)
			for _, n := range names {
				if strings.HasSuffix(n, ".delta") {
					spoil(w, filepath.Join(dir, n))
				}
			}
			r, err := w.probe()
			require.NoError(t, err)
			require.Equal(t, string(state.KindApplying), r.Condition)
			_, err = w.run(w.start(nil), doSync)
			require.NoError(t, err)
			w.far = nil
			require.NoError(t, w.settled())
			require.NoError(t, w.repair(doSync))
		})
	}
}

// rewrite changes a file of the spool, durably.
func (w *world) rewrite(file string, change func([]byte) []byte) {
	w.t.Helper()
	f, err := w.spool.Open(file)
	require.NoError(w.t, err)
	b, err := io.ReadAll(f)
	require.NoError(w.t, errors.Join(err, f.Close()))
	out, err := w.spool.Create(file)
	require.NoError(w.t, err)
	_, err = out.Write(change(bytes.Clone(b)))
	require.NoError(w.t, errors.Join(err, out.Sync(), out.Close()))
}

// badSector is a spool with a file that fails behind its first bytes, until it is removed.
type badSector struct {
	journal.FS
	healed bool
}

func (b *badSector) Rename(from, to string) error {
	b.healed = b.healed || filepath.Base(from) == "committed"
	return b.FS.Rename(from, to)
}

func (b *badSector) Open(name string) (journal.File, error) {
	f, err := b.FS.Open(name)
	if err == nil && !b.healed && strings.HasSuffix(name, ".delta") && strings.Contains(name, "/committed/") {
		return &badFile{File: f}, nil
	}
	return f, err
}

type badFile struct {
	journal.File
	read int
}

func (b *badFile) Read(p []byte) (int, error) {
	const good = 100_000
	if b.read >= good {
		return 0, syscall.EIO
	}
	n, err := b.File.Read(p[:min(len(p), good-b.read)])
	b.read += n
	return n, err
}
