package replica

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// memFiles is the file system of a state directory, in memory, that knows what a power cut
// would leave. Locks and changed sets are real files: a lock must be one, and a set is
// committed by one atomic step of package extent.
type memFiles struct {
	mu      sync.Mutex
	live    map[string]*memFile // by path
	durable map[string]*memFile // names as of their directory's last SyncDir
	temps   int
}

// memFile is a file's content; synced is what a power cut leaves of it.
type memFile struct{ data, synced []byte }

func newMemFiles() *memFiles {
	return &memFiles{live: map[string]*memFile{}, durable: map[string]*memFile{}}
}

// afterPowerCut is what the next boot finds: each name that was not synced is, by chance,
// the old or the new one; bytes that were not synced are gone.
func (m *memFiles) afterPowerCut(rng *rand.Rand) *memFiles {
	n := newMemFiles()
	all := maps.Clone(m.durable)
	maps.Copy(all, m.live)
	for _, p := range slices.Sorted(maps.Keys(all)) {
		f := m.durable[p]
		if rng.IntN(2) == 0 {
			f = m.live[p]
		}
		if f != nil {
			kept := &memFile{f.synced, f.synced}
			n.live[p], n.durable[p] = kept, kept
		}
	}
	return n
}

func realDir(dir string) bool { return filepath.Base(dir) == "sets" || filepath.Base(dir) == "locks" }

func (m *memFiles) MkdirAll(dir string) error {
	if realDir(dir) {
		return os.MkdirAll(dir, 0o700)
	}
	return nil
}

func (m *memFiles) ReadFile(path string, limit int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[path]
	switch {
	case f == nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	case int64(len(f.data)) > limit:
		return nil, io.ErrShortBuffer
	}
	return slices.Clone(f.data), nil
}

func (m *memFiles) Link(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[from] == nil {
		return &os.PathError{Op: "link", Path: from, Err: os.ErrNotExist}
	}
	if m.live[to] != nil {
		return &os.PathError{Op: "link", Path: to, Err: os.ErrExist}
	}
	m.live[to] = m.live[from]
	return nil
}

func (m *memFiles) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[from] == nil {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	m.live[to] = m.live[from]
	delete(m.live, from)
	return nil
}

func (m *memFiles) Remove(path string) error {
	if realDir(filepath.Dir(path)) {
		return os.Remove(path)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[path] == nil {
		return &os.PathError{Op: "remove", Path: path, Err: os.ErrNotExist}
	}
	delete(m.live, path)
	return nil
}

func (m *memFiles) ReadDir(dir string) ([]string, error) {
	names := map[string]bool{}
	if realDir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, e := range entries {
			names[e.Name()] = true
		}
		return slices.Sorted(maps.Keys(names)), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.live {
		if rest, ok := strings.CutPrefix(p, dir+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func (m *memFiles) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.durable, func(p string, _ *memFile) bool { return filepath.Dir(p) == dir && m.live[p] == nil })
	for p, f := range m.live {
		if filepath.Dir(p) == dir {
			m.durable[p] = f
		}
	}
	return nil
}

// memPending is a temporary file.
type memPending struct {
	m         *memFiles
	tmp, path string
	f         *memFile
	placed    bool
}

func (m *memFiles) create(path string) *memPending {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.temps++
	p := &memPending{m: m, path: path, f: &memFile{}}
	p.tmp = filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%d", filepath.Base(path), m.temps))
	m.live[p.tmp] = p.f
	return p
}

func (p *memPending) locked(op func()) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	op()
	return nil
}

func (p *memPending) write(b []byte) error {
	return p.locked(func() { p.f.data = append(p.f.data, b...) })
}

func (p *memPending) sync() error {
	return p.locked(func() { p.f.synced = slices.Clone(p.f.data) })
}

func (p *memPending) rename() error {
	return p.locked(func() {
		delete(p.m.live, p.tmp)
		p.m.live[p.path], p.placed = p.f, true
	})
}

func (p *memPending) drop() error {
	return p.locked(func() {
		if !p.placed {
			delete(p.m.live, p.tmp)
		}
	})
}
