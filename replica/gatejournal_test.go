package replica

import (
	"path/filepath"

	"github.com/ddsgo/ddsgo/journal"
)

// gatedJournal is the spool of the target.
type gatedJournal struct {
	inner journal.FS
	g     *gate
}

func (f gatedJournal) do(op func() error) error { return f.g.do(layerJournal, nil, op) }

func (f gatedJournal) file(open func() (journal.File, error)) (h journal.File, err error) {
	err = f.do(func() error {
		inner, err := open()
		if err == nil {
			h = gatedFile{inner, f.g}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (f gatedJournal) Mkdir(name string) error {
	return f.do(func() error { return f.inner.Mkdir(name) })
}

func (f gatedJournal) Create(name string) (journal.File, error) {
	return f.file(func() (journal.File, error) { return f.inner.Create(name) })
}

func (f gatedJournal) Append(name string, size int64) (journal.File, error) {
	return f.file(func() (journal.File, error) { return f.inner.Append(name, size) })
}

func (f gatedJournal) Open(name string) (journal.File, error) {
	return f.file(func() (journal.File, error) { return f.inner.Open(name) })
}

func (f gatedJournal) Rename(from, to string) error {
	return f.do(func() error {
		f.g.mu.Lock()
		f.g.done = f.g.done || filepath.Base(from) == "committed"
		f.g.mu.Unlock()
		return f.inner.Rename(from, to)
	})
}

func (f gatedJournal) Remove(name string) error {
	return f.do(func() error { return f.inner.Remove(name) })
}

func (f gatedJournal) SyncDir(dir string) error {
	return f.do(func() error { return f.inner.SyncDir(dir) })
}

func (f gatedJournal) Size(name string) (n int64, err error) {
	err = f.do(func() (err error) { n, err = f.inner.Size(name); return err })
	return n, err
}

func (f gatedJournal) List(dir string) (names []string, err error) {
	err = f.do(func() (err error) { names, err = f.inner.List(dir); return err })
	return names, err
}

func (f gatedJournal) Free(dir string) (n int64, err error) {
	err = f.do(func() (err error) { n, err = f.inner.Free(dir); return err })
	return n, err
}

type gatedFile struct {
	inner journal.File
	g     *gate
}

func (f gatedFile) Read(p []byte) (n int, err error) {
	err = f.g.do(layerJournal, nil, func() (err error) { n, err = f.inner.Read(p); return err })
	return n, err
}

func (f gatedFile) Write(p []byte) (n int, err error) {
	err = f.g.do(layerJournal,
		func() (err error) { n, err = f.inner.Write(p[:len(p)/2]); return err },
		func() (err error) { n, err = f.inner.Write(p); return err })
	return n, err
}

func (f gatedFile) Sync() error  { return f.g.do(layerJournal, nil, f.inner.Sync) }
func (f gatedFile) Close() error { return f.inner.Close() }
