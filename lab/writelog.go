//go:build lab

package lab

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Write is an entry of a write log. Offsets and lengths are bytes.
type Write struct {
	Off     int64
	Data    []byte // nil: a discard, or a flush alone
	Len     int64
	Flush   bool // everything before this entry is on the medium
	FUA     bool
	Discard bool
	Mark    string // not a write: the test was here
}

// Record lets dm-log-writes take down every write in the order in which the medium is certain to have it: a write that
// nobody flushed yet comes only with the flush that ends its uncertainty, behind later marks. Any prefix of the log is
// therefore what a power cut can leave. log is a disk of its own.
func (m *Mapping) Record(log string) {
	m.t.Helper()
	m.load(fmt.Sprintf("0 %d log-writes %s %s", m.size, m.dev, log))
}

// Mark puts a word into the log.
func (m *Mapping) Mark(word string) {
	m.t.Helper()
	Run(m.t, "dmsetup", "message", m.Name, "0", "mark", word)
}

// Format of the log, in sectors of the logged device: a superblock {magic, version, entries u64, sector size u32}, then
// per entry one sector {sector, sectors, flags, data length, u64 each; a mark's word behind it} and the data.
const (
	logMagic   = 0x6a736677736872
	logFlush   = 1
	logFUA     = 2
	logDiscard = 4
	logMark    = 8
)

// ReadWrites reads a log whose recording is over (Mapping.Allow).
func ReadWrites(t testing.TB, log string) []Write {
	t.Helper()
	f, err := os.OpenFile(log, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The kernel wrote past the page cache of this block device.
	if err := unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0); err != nil {
		t.Fatalf("lab: %s: %v", log, err)
	}
	writes, err := parseWrites(f)
	if err != nil {
		t.Fatalf("lab: %s: %v", log, err)
	}
	return writes
}

func parseWrites(r io.ReaderAt) ([]Write, error) {
	le := binary.LittleEndian
	head := make([]byte, sector)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if le.Uint64(head) != logMagic || le.Uint64(head[8:]) != 1 {
		return nil, fmt.Errorf("no write log of version 1: magic %#x", le.Uint64(head))
	}
	n, size := le.Uint64(head[16:]), int64(le.Uint32(head[24:]))
	if size < sector || size > block || n > 1<<20 {
		return nil, fmt.Errorf("%d entries, sectors of %d bytes", n, size)
	}
	writes, at := make([]Write, 0, n), size
	for range n {
		b := make([]byte, size)
		if _, err := r.ReadAt(b, at); err != nil {
			return nil, err
		}
		at += size
		flags, length := le.Uint64(b[16:]), le.Uint64(b[24:])
		w := Write{Off: int64(le.Uint64(b)) * size, Len: int64(le.Uint64(b[8:])) * size, Flush: flags&logFlush != 0, FUA: flags&logFUA != 0, Discard: flags&logDiscard != 0}
		switch {
		case flags&logMark != 0:
			w = Write{Mark: string(b[32 : 32+min(length, uint64(size-32))])}
		case !w.Discard && w.Len > 0:
			w.Data = make([]byte, w.Len)
			if _, err := r.ReadAt(w.Data, at); err != nil {
				return nil, err
			}
			at += w.Len
		}
		writes = append(writes, w)
	}
	return writes, nil
}

// Image is the content of a device.
func Image(t testing.TB, dev string) []byte {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	b, err := aligned(int(size))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatalf("lab: reading %s: %v", dev, err)
	}
	return b
}

// Replay is what image becomes when these writes reach it.
func Replay(image []byte, writes []Write) []byte {
	out := make([]byte, len(image))
	copy(out, image)
	for _, w := range writes {
		if w.Discard {
			clear(out[w.Off : w.Off+w.Len])
			continue
		}
		copy(out[w.Off:], w.Data)
	}
	return out
}

// Restore makes a device hold image; only the pieces that differ are written.
func Restore(t testing.TB, dev string, image []byte) {
	t.Helper()
	const piece = 64 << 10
	now := Image(t, dev)
	if len(now) != len(image) {
		t.Fatalf("lab: %s has %d bytes, the image %d", dev, len(now), len(image))
	}
	for off := 0; off < len(image); off += piece {
		end := min(off+piece, len(image))
		if string(now[off:end]) != string(image[off:end]) {
			WriteAt(t, dev, image[off:end], int64(off))
		}
	}
}
