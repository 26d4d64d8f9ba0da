package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/ddsgo/ddsgo/cow/cowtest"
)

// Workload is a source as it is now, a target as the source was, and the store of the
// snapshot that saw what was written in between.
type Workload struct {
	Volume  Volume
	Changes Changes
	// Sparse leaves everything that did not change a hole: for volumes larger than memory.
	Sparse bool
	// ChunkSize is of the snapshot; 0 is 4 KiB.
	ChunkSize int64

	Source, Target, Cow string // files
}

// Prepare writes the files into dir.
func (w *Workload) Prepare(dir, name string) error {
	if w.ChunkSize == 0 {
		w.ChunkSize = BlockSize
	}
	w.Source, w.Target, w.Cow = filepath.Join(dir, name+".source"), filepath.Join(dir, name+".target"), filepath.Join(dir, name+".cow")
	for _, path := range []string{w.Source, w.Target} {
		if err := w.writeBase(path); err != nil {
			return err
		}
	}
	if err := w.patch(w.Source, w.Changes.Fill); err != nil {
		return err
	}
	return w.writeCow()
}

// writeBase writes the volume as it was before the changes.
func (w *Workload) writeBase(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if w.Sparse {
		if err := f.Truncate(w.Volume.Bytes); err != nil {
			return err
		}
		return errors.Join(w.patch(path, w.oldBlock), f.Close())
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < w.Volume.Bytes; {
		n, err := w.Volume.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := f.WriteAt(buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	return f.Close()
}

// oldBlock is what a block held before the changes.
func (w *Workload) oldBlock(p []byte, block int64) {
	if w.Sparse {
		clear(p) // a hole
		return
	}
	_, _ = w.Volume.ReadAt(p, block*BlockSize)
}

// patch writes every changed block of a file.
func (w *Workload) patch(path string, fill func(p []byte, block int64)) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	p := make([]byte, BlockSize)
	for _, b := range w.Changes.Blocks(w.Volume) {
		fill(p, b)
		if _, err := f.WriteAt(p, b*BlockSize); err != nil {
			return err
		}
	}
	return f.Close()
}

// ResetTarget puts the old content of the changed blocks back.
func (w *Workload) ResetTarget() error { return w.patch(w.Target, w.oldBlock) }

// DirtyTarget fills the whole target with other data: what a full copy finds.
func (w *Workload) DirtyTarget() error {
	f, err := os.OpenFile(w.Target, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := bytes.Repeat([]byte{0xdb}, 1<<20)
	for off := int64(0); off < w.Volume.Bytes; off += int64(len(buf)) {
		if _, err := f.WriteAt(buf[:min(int64(len(buf)), w.Volume.Bytes-off)], off); err != nil {
			return err
		}
	}
	return f.Close()
}

// writeCow makes the exception store that the writes, in their order, left.
func (w *Workload) writeCow() error {
	perBlock := w.ChunkSize / BlockSize
	var chunks []int64
	seen := map[int64]bool{}
	for _, b := range w.Changes.Blocks(w.Volume) {
		if c := b / perBlock; !seen[c] {
			seen[c] = true
			chunks = append(chunks, c)
		}
	}
	f, err := os.Create(w.Cow)
	if err != nil {
		return err
	}
	defer f.Close()
	size := storeSize(w.ChunkSize, int64(len(chunks)))
	if err := f.Truncate(size); err != nil {
		return err
	}
	snap, err := cowtest.New(f, size, w.ChunkSize)
	if err != nil {
		return err
	}
	snap.Lazy = true
	data := make([]byte, w.ChunkSize)
	for _, c := range chunks {
		for i := range perBlock {
			if b := c*perBlock + i; b*BlockSize < w.Volume.Bytes {
				w.oldBlock(data[i*BlockSize:(i+1)*BlockSize], b)
			}
		}
		if _, err := snap.Copy(uint64(c), data); err != nil {
			return err
		}
	}
	return errors.Join(snap.Flush(), f.Close())
}

func storeSize(chunk, exceptions int64) int64 {
	perArea := chunk / 16
	return (2 + (exceptions/perArea+1)*(perArea+1)) * chunk
}

// Verify compares the target with the source: all of it, or for sparse volumes the changed
// blocks and as many others.
func (w *Workload) Verify() error {
	source, err := os.Open(w.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Open(w.Target)
	if err != nil {
		return err
	}
	defer target.Close()
	if info, err := target.Stat(); err != nil || info.Size() != w.Volume.Bytes {
		return errors.Join(fmt.Errorf("%s: not %d bytes any more", w.Target, w.Volume.Bytes), err)
	}
	if !w.Sparse {
		return equalRange(source, target, 0, w.Volume.Bytes)
	}
	rng := rand.New(rand.NewPCG(w.Changes.Seed, 77))
	for _, b := range w.Changes.Blocks(w.Volume) {
		for _, b := range []int64{b, rng.Int64N(w.Volume.Bytes / BlockSize)} {
			if err := equalRange(source, target, b*BlockSize, BlockSize); err != nil {
				return err
			}
		}
	}
	return nil
}

func equalRange(a, b *os.File, off, length int64) error {
	x, y := make([]byte, min(1<<20, length)), make([]byte, min(1<<20, length))
	for end := off + length; off < end; {
		n := min(int64(len(x)), end-off)
		if _, err := a.ReadAt(x[:n], off); err != nil {
			return err
		}
		if _, err := b.ReadAt(y[:n], off); err != nil {
			return err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return fmt.Errorf("%s and %s differ between %d and %d", a.Name(), b.Name(), off, off+n)
		}
		off += n
	}
	return nil
}
