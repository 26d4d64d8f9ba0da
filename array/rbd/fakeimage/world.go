package fakeimage

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Block is the grain in which an image tracks what was written.
const Block = 4096

// World is one cluster.
type World struct {
	mu     sync.Mutex
	number int64 // its images' ids and times of creation differ from those of others
	images map[string]*Image
	nextID int
	free   int64
	pools  []string
	down   bool

	changes int // so far
	cutAt   int // 0: never
	cut     Cut
	dead    bool
	calls   []string
}

// Image is one image. A nil block was never written.
type Image struct {
	ID       string
	made     time.Time
	head     [][]byte
	snaps    []snapshot
	lastSnap int
	meta     map[string]string
	watchers []string
	stale    int // the watchers go away after so many looks
	lock     string
	mirror   string // "", primary, non-primary
}

type snapshot struct {
	id   int
	name string
	data [][]byte
}

// Cut is where in a change the client dies.
type Cut int

// Cuts.
const (
	Before Cut = iota // nothing was done
	Middle            // of what takes long: a part was done
	After             // all was done, the reply was lost
)

// New makes a cluster with one pool.
func New(number int64, pool string) *World {
	return &World{number: number, images: map[string]*Image{}, free: 1 << 40, pools: []string{pool}}
}

// Create makes an image of so many blocks and returns it.
func (w *World) Create(spec string, blocks int) *Image {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.create(spec, blocks)
}

func (w *World) create(spec string, blocks int) *Image {
	w.nextID++
	i := &Image{ID: fmt.Sprintf("%x", 0x1000+w.nextID), made: time.Date(2026, 11, 21, 0, int(w.number), w.nextID, 0, time.UTC), head: make([][]byte, blocks), meta: map[string]string{}}
	w.images[spec] = i
	return i
}

// Remove removes an image.
func (w *World) Remove(spec string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.images, spec)
}

// Clone copies an image with its metadata and snapshots, as `rbd deep cp` does.
func (w *World) Clone(from, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	src := w.images[from]
	dst := w.create(to, 0)
	dst.head, dst.snaps, dst.lastSnap = slices.Clone(src.head), slices.Clone(src.snaps), src.lastSnap
	for k, v := range src.meta {
		dst.meta[k] = v
	}
}

// Write puts one block's worth of a byte; 0 discards it.
func (w *World) Write(spec string, block int, value byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.images[spec]
	if value == 0 {
		i.head[block] = nil
		return
	}
	i.head[block] = bytes.Repeat([]byte{value}, Block)
}

// Resize changes the size in blocks.
func (w *World) Resize(spec string, blocks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[spec].resize(blocks)
}

func (i *Image) resize(blocks int) {
	if blocks <= len(i.head) {
		i.head = slices.Clone(i.head[:blocks])
		return
	}
	i.head = append(slices.Clone(i.head), make([][]byte, blocks-len(i.head))...)
}

// Content is the image's content; of a snapshot when snap is not empty. It is nil where there is none.
func (w *World) Content(spec, snap string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.images[spec]
	if i == nil {
		return nil
	}
	if snap == "" {
		return flat(i.head)
	}
	if s := i.snap(snap); s != nil {
		return flat(s.data)
	}
	return nil
}

// Snapshots are the names of an image's snapshots, oldest first.
func (w *World) Snapshots(spec string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	if i := w.images[spec]; i != nil {
		for _, s := range i.snaps {
			names = append(names, s.name)
		}
	}
	return names
}

// RemoveSnapshot is another hand at work.
func (w *World) RemoveSnapshot(spec, snap string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[spec].removeSnap(snap)
}

// Meta reads and, with a value, writes a line of metadata.
func (w *World) Meta(spec, key string, value ...string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.images[spec]
	if len(value) > 0 {
		i.meta[key] = value[0]
	}
	return i.meta[key]
}

// SetWatchers, SetLock, SetMirror, SetFree and SetDown are the world around.
func (w *World) SetWatchers(spec string, looks int, addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[spec].watchers, w.images[spec].stale = addrs, looks
}

// SetLock is a lock that somebody set on purpose.
func (w *World) SetLock(spec, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[spec].lock = id
}

// SetMirror makes the image primary or non-primary; empty ends mirroring.
func (w *World) SetMirror(spec, role string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[spec].mirror = role
}

// SetFree is what the pool still takes.
func (w *World) SetFree(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = n
}

// SetDown makes the monitors silent.
func (w *World) SetDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// CutAt lets the client die at its n-th change from now on.
func (w *World) CutAt(n int, c Cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes, w.cutAt, w.cut = 0, n, c
}

// Revive ends CutAt and says whether the client had died.
func (w *World) Revive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	dead := w.dead
	w.dead, w.cutAt, w.changes = false, 0, 0
	return dead
}

// Die stops the client now.
func (w *World) Die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// Calls are the command lines so far, without the connection; the list starts anew.
func (w *World) Calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.calls
	w.calls = nil
	return c
}

func (i *Image) snap(name string) *snapshot {
	for k := range i.snaps {
		if i.snaps[k].name == name {
			return &i.snaps[k]
		}
	}
	return nil
}

func (i *Image) addSnap(name string) {
	i.lastSnap++
	i.snaps = append(i.snaps, snapshot{i.lastSnap, name, slices.Clone(i.head)})
}

// rollback writes what differs anew: from then on a diff lists it.
func (i *Image) rollback(to [][]byte) {
	was := i.head
	i.head = slices.Clone(to)
	for k := range i.head {
		if k >= len(was) || !same(was[k], i.head[k]) {
			i.head[k] = bytes.Clone(i.head[k])
		}
	}
}

func (i *Image) removeSnap(name string) {
	i.snaps = slices.DeleteFunc(slices.Clone(i.snaps), func(s snapshot) bool { return s.name == name })
}

func flat(blocks [][]byte) []byte {
	b := make([]byte, 0, len(blocks)*Block)
	zero := make([]byte, Block)
	for _, x := range blocks {
		if x == nil {
			x = zero
		}
		b = append(b, x...)
	}
	return b
}
