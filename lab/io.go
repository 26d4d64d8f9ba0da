//go:build lab

package lab

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// block is the unit of direct I/O here, right for sectors of 512 and 4096 bytes.
const block = 4096

// aligned returns size bytes at an address that direct I/O accepts. The mapping lives as long as the process.
func aligned(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

// Hash is the sha256 of a device or file, read past the page cache where the device allows it.
func Hash(t testing.TB, dev string) string {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) { // tmpfs before Linux 6.6 has no direct I/O
		f, err = os.Open(dev)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf, err := aligned(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(buf) }()
	h := sha256.New()
	// Only the buffer's address is aligned, so hide io.Copy's short cuts.
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf); err != nil {
		t.Fatalf("lab: reading %s: %v", dev, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// WriteAt writes p at off with direct I/O: when it returns, device-mapper has seen it. Length and offset must be
// multiples of 4096.
func WriteAt(t testing.TB, dev string, p []byte, off int64) {
	t.Helper()
	if err := writeDirect(dev, p, off); err != nil {
		t.Fatalf("lab: writing %d bytes at %d of %s: %v", len(p), off, dev, err)
	}
}

func writeDirect(dev string, p []byte, off int64) error {
	f, err := os.OpenFile(dev, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf, err := aligned(len(p))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(buf) }()
	copy(buf, p)
	_, err = f.WriteAt(buf, off)
	return err
}

// Fill writes reproducible content over the first size bytes of a device (all of it for size 0), compressible as
// real data is: a quarter zero, a quarter random, the rest text-like.
func Fill(t testing.TB, dev string, seed uint64, size int64) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if size == 0 {
		if size, err = f.Seek(0, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
	}
	buf, err := aligned(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(buf) }()
	rng := rand.New(rand.NewPCG(seed, 1))
	for off := int64(0); off < size; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), size-off)]
		pattern(p, rng)
		if _, err := f.WriteAt(p, off); err != nil {
			t.Fatalf("lab: filling %s at %d: %v", dev, off, err)
		}
	}
}

func pattern(p []byte, rng *rand.Rand) {
	switch kind := rng.IntN(4); kind {
	case 0:
		clear(p)
	case 1:
		for i := 0; i+8 <= len(p); i += 8 {
			binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
		}
	default:
		word := fmt.Sprintf("record %d of the ledger; ", rng.IntN(1000))
		for i := range p {
			p[i] = word[i%len(word)]
		}
	}
}

// BackgroundWriter writes blocks of 4 KiB at random places of a device with direct I/O until stopped.
type BackgroundWriter struct {
	t     testing.TB
	dev   string
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	count atomic.Int64
	fail  atomic.Pointer[error]

	// Valid after Stop.
	Err    error         // the first failed write, which ends the writer
	Stall  time.Duration // the longest that one write took
	Writes int64
}

// Writer starts a background writer on dev, about a thousand writes a second. A failed write fails the test when the
// writer is stopped, at the latest at the end of the test.
func Writer(t testing.TB, dev string) *BackgroundWriter {
	t.Helper()
	w := &BackgroundWriter{t: t, dev: dev, stop: make(chan struct{}), done: make(chan struct{})}
	f, err := os.OpenFile(dev, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	buf, err := aligned(block)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		defer f.Close()
		if err := w.loop(f, buf, size/block); err != nil {
			w.Err = err
			w.fail.Store(&err)
		}
	}()
	t.Cleanup(func() { w.Stop() })
	return w
}

func (w *BackgroundWriter) loop(f *os.File, buf []byte, blocks int64) error {
	rng := rand.New(rand.NewPCG(7, uint64(blocks)))
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-w.stop:
			return nil
		case <-pace.C:
		}
		off := rng.Int64N(blocks) * block
		n := w.count.Load()
		binary.LittleEndian.PutUint64(buf, uint64(n))
		binary.LittleEndian.PutUint64(buf[8:], uint64(off))
		start := time.Now()
		if _, err := f.WriteAt(buf, off); err != nil {
			return fmt.Errorf("write %d, at %d of %s: %w", n, off, w.dev, err)
		}
		w.Stall = max(w.Stall, time.Since(start))
		w.count.Add(1)
	}
}

// Count is how many writes have been acknowledged so far.
func (w *BackgroundWriter) Count() int64 { return w.count.Load() }

// Failed is the error that ended the writer, nil while it is well.
func (w *BackgroundWriter) Failed() error {
	if err := w.fail.Load(); err != nil {
		return *err
	}
	return nil
}

// Stop ends the writer and fails the test if a write failed, or if one is stuck (a device left suspended).
func (w *BackgroundWriter) Stop() {
	w.t.Helper()
	w.once.Do(func() {
		close(w.stop)
		select {
		case <-w.done:
		case <-time.After(30 * time.Second):
			w.t.Errorf("lab: a write to %s does not come back: is the device suspended?", w.dev)
			return
		}
		w.Writes = w.count.Load()
		if w.Err != nil {
			w.t.Errorf("lab: the application on %s saw an error: %v", w.dev, w.Err)
		}
	})
}
