package resync

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
)

const benchBytes = 256 << 20

// benchVolume is a file on a real disk, read past the page cache.
func benchVolume(b *testing.B) blockdev.Device {
	b.Helper()
	dir := b.TempDir()
	if d := os.Getenv("DDSGO_BENCH_DIR"); d != "" {
		dir = d
	}
	path := filepath.Join(dir, "resync-bench")
	require.NoError(b, os.WriteFile(path, noise(9, benchBytes), 0o600))
	b.Cleanup(func() { _ = os.Remove(path) })
	d, err := blockdev.Open(path, blockdev.Options{Direct: true})
	require.NoError(b, err)
	b.Cleanup(func() { _ = d.Close() })
	return d
}

// BenchmarkRead is `dd iflag=direct bs=1M`: what the disk gives to one reader.
func BenchmarkRead(b *testing.B) {
	d, buf := benchVolume(b), blockdev.AlignedBuffer(1<<20, 4096)
	b.SetBytes(benchBytes)
	for b.Loop() {
		for off := int64(0); off < benchBytes; off += int64(len(buf)) {
			_, err := d.ReadAt(buf, off)
			require.NoError(b, err)
		}
	}
}

// BenchmarkServe is one end of a verification that finds no difference.
func BenchmarkServe(b *testing.B) {
	d := benchVolume(b)
	o := Options{Range: extent.Between(0, benchBytes), Block: 4096, Salt: NewSalt(), Readers: 16}
	var answers []byte
	for off := int64(0); off < benchBytes; off += WindowSize {
		answers = append(answers, message(msgWant, WindowStripes, uint64(off), make([]byte, WindowStripes/8)...)...)
	}
	b.SetBytes(benchBytes)
	for b.Loop() {
		_, err := Serve(b.Context(), bytes.NewReader(answers), &sink{}, d, o)
		require.NoError(b, err)
	}
}

// BenchmarkExchange is both ends on one machine.
func BenchmarkExchange(b *testing.B) {
	d := benchVolume(b)
	o := Options{Range: extent.Between(0, benchBytes), Block: 4096, Salt: NewSalt(), Readers: 16}
	b.SetBytes(benchBytes)
	for b.Loop() {
		_, err, serveErr := exchange(b.Context(), d, d, o, o)
		require.NoError(b, errors.Join(err, serveErr))
	}
}
