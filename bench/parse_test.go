package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func makeStore(tb testing.TB, count, chunks int64) (string, int64) {
	tb.Helper()
	dir := tb.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "ddsgo-bench-"); err == nil {
		tb.Cleanup(func() { _ = os.RemoveAll(shm) })
		dir = shm
	}
	path := filepath.Join(dir, "exceptions")
	size, err := exceptionStore(path, count, chunks)
	require.NoError(tb, err)
	return path, size
}

func TestFloorAndParserAgree(t *testing.T) {
	path, size := makeStore(t, 10000, 1_000_000)
	want, err := parseFloor(path, size, 1_000_000)
	require.NoError(t, err)
	got, err := parseStore(context.Background(), path, 1_000_000)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Greater(t, got, 2000)
}

func BenchmarkExceptions(b *testing.B) {
	const count, chunks = 1_000_000, 40_000_000
	path, size := makeStore(b, count, chunks)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseFloor(path, size, chunks); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/exception")
	})
	b.Run("cow", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseStore(b.Context(), path, chunks); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/exception")
	})
}
