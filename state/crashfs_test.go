package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// errFault is what a failing operation returns; after a cut everything does.
var errFault = errors.New("injected fault")

// faultMode says what the chosen operation does.
type faultMode int

const (
	failBefore faultMode = iota // error, no effect
	failAfter                   // effect, then error
	cutBefore                   // the machine stops just before it
	cutAfter                    // the machine stops just after it
)

func (m faultMode) String() string {
	return [...]string{"fail before", "fail after", "cut before", "cut after"}[m]
}

// faults counts operations of file system and tags together and fails the nth.
type faults struct {
	at    int // -1: never
	mode  faultMode
	count int
	cut   bool
}

// do runs one operation under the plan.
func (f *faults) do(op func() error) error {
	n := f.count
	f.count++
	if f.cut {
		return errFault
	}
	if n != f.at {
		return op()
	}
	switch f.mode {
	case failBefore:
		return errFault
	case failAfter:
		if err := op(); err != nil {
			return err
		}
		return errFault
	case cutBefore:
		f.cut = true
		return errFault
	default:
		f.cut = true
		if err := op(); err != nil {
			return err
		}
		return errFault
	}
}

// inode is a file's content; synced is what a power cut leaves of it.
type inode struct{ data, synced []byte }

// crashFS is a file system in memory that knows what is durable.
type crashFS struct {
	f       *faults
	live    map[string]*inode // by path
	durable map[string]*inode // directory entries as of the last SyncDir
	temps   int
}

func newCrashFS(f *faults) *crashFS {
	return &crashFS{f: f, live: map[string]*inode{}, durable: map[string]*inode{}}
}

// afterPowerCut is what the next boot sees: each directory entry that was not synced
// is, at random, the old or the new one; unsynced content is cut short.
func (c *crashFS) afterPowerCut(rng *rand.Rand) *crashFS {
	n := newCrashFS(&faults{at: -1})
	paths := map[string]bool{}
	for p := range c.live {
		paths[p] = true
	}
	for p := range c.durable {
		paths[p] = true
	}
	var order []string
	for p := range paths {
		order = append(order, p)
	}
	sort.Strings(order)
	for _, p := range order {
		ino := c.durable[p]
		if rng.IntN(2) == 0 {
			ino = c.live[p]
		}
		if ino == nil {
			continue
		}
		kept := &inode{data: slices.Clone(ino.synced), synced: slices.Clone(ino.synced)}
		n.live[p], n.durable[p] = kept, kept
	}
	return n
}

// afterKill is what the next process sees on a machine that kept running.
func (c *crashFS) afterKill() *crashFS {
	n := newCrashFS(&faults{at: -1})
	n.live, n.durable = c.live, c.durable
	return n
}

func (c *crashFS) MkdirAll(string) error { return nil }

type crashPending struct {
	fs         *crashFS
	tmp, path  string
	ino        *inode
	inPosition bool
}

func (c *crashFS) Create(path string) (p Pending, err error) {
	err = c.f.do(func() error {
		c.temps++
		tmp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%d", filepath.Base(path), c.temps))
		ino := &inode{}
		c.live[tmp] = ino
		p = &crashPending{fs: c, tmp: tmp, path: path, ino: ino}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *crashPending) Write(b []byte) (int, error) {
	err := p.fs.f.do(func() error { p.ino.data = append(p.ino.data, b...); return nil })
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *crashPending) CloseAtomicallyReplace() error {
	if err := p.fs.f.do(func() error { p.ino.synced = slices.Clone(p.ino.data); return nil }); err != nil {
		return err
	}
	return p.fs.f.do(func() error {
		delete(p.fs.live, p.tmp)
		p.fs.live[p.path] = p.ino
		p.inPosition = true
		return nil
	})
}

func (p *crashPending) Cleanup() error {
	if p.inPosition {
		return nil
	}
	return p.fs.f.do(func() error { delete(p.fs.live, p.tmp); return nil })
}

func (c *crashFS) ReadFile(path string, limit int64) (b []byte, err error) {
	err = c.f.do(func() error {
		ino, ok := c.live[path]
		if !ok {
			return &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
		}
		if int64(len(ino.data)) > limit {
			return io.ErrShortBuffer
		}
		b = slices.Clone(ino.data)
		return nil
	})
	return b, err
}

func (c *crashFS) Link(old, new string) error {
	return c.f.do(func() error {
		ino, ok := c.live[old]
		if !ok {
			return &os.PathError{Op: "link", Path: old, Err: os.ErrNotExist}
		}
		if _, ok := c.live[new]; ok {
			return &os.PathError{Op: "link", Path: new, Err: os.ErrExist}
		}
		c.live[new] = ino
		return nil
	})
}

func (c *crashFS) Rename(old, new string) error {
	return c.f.do(func() error {
		ino, ok := c.live[old]
		if !ok {
			return &os.PathError{Op: "rename", Path: old, Err: os.ErrNotExist}
		}
		delete(c.live, old)
		c.live[new] = ino
		return nil
	})
}

func (c *crashFS) Remove(path string) error {
	return c.f.do(func() error {
		if _, ok := c.live[path]; !ok {
			return &os.PathError{Op: "remove", Path: path, Err: os.ErrNotExist}
		}
		delete(c.live, path)
		return nil
	})
}

func (c *crashFS) ReadDir(dir string) (names []string, err error) {
	err = c.f.do(func() error {
		for p := range c.live {
			if rest, ok := strings.CutPrefix(p, dir+"/"); ok {
				name, _, _ := strings.Cut(rest, "/")
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		sort.Strings(names)
		return nil
	})
	return names, err
}

func (c *crashFS) SyncDir(dir string) error {
	return c.f.do(func() error {
		for p := range c.durable {
			if _, ok := c.live[p]; !ok && filepath.Dir(p) == dir {
				delete(c.durable, p)
			}
		}
		for p, ino := range c.live {
			if filepath.Dir(p) == dir {
				c.durable[p] = ino
			}
		}
		return nil
	})
}

// fakeLV holds tags as LVM does: each change is one durable transaction.
type fakeLV struct {
	f    *faults
	tags []string
}

func (l *fakeLV) Tags(context.Context) (tags []string, err error) {
	err = l.f.do(func() error { tags = slices.Clone(l.tags); return nil })
	return tags, err
}

func (l *fakeLV) SetTags(_ context.Context, add, del []string) error {
	return l.f.do(func() error {
		l.tags = slices.DeleteFunc(l.tags, func(t string) bool { return slices.Contains(del, t) })
		l.tags = append(l.tags, add...)
		return nil
	})
}
