package cow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/cow/cowtest"
	"github.com/ddsgo/ddsgo/extent"
)

var update = flag.Bool("update", false, "write the golden images of the generator again")

// image is what the .json beside an image says of it.
type image struct {
	ChunkSize  int64       `json:"chunk_size"`
	VolumeSize int64       `json:"volume_size"`
	State      string      `json:"state"` // "valid" or "invalid"
	Exceptions [][2]uint64 `json:"exceptions"`
}

// maxImage bounds what a golden image unpacks to.
const maxImage = 256 << 20

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	require.NoError(t, err)
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxImage))
	require.NoError(t, err)
	defer d.Close()
	b, err := d.DecodeAll(packed, nil)
	require.NoError(t, err)
	return b
}

// checkImage parses an image in every way and compares with what its .json says.
func checkImage(t *testing.T, base string) {
	t.Helper()
	text, err := os.ReadFile(base + ".json")
	require.NoError(t, err)
	var want image
	require.NoError(t, json.Unmarshal(text, &want))
	require.Contains(t, []string{"valid", "invalid"}, want.State)
	require.Positive(t, want.VolumeSize)
	b := unpack(t, base+".zst")
	store, size := mem.NewFrom(filepath.Base(base), b), int64(len(b))
	o := cow.Options{VolumeSize: want.VolumeSize, ExpectAtLeast: int64(len(want.Exceptions))}
	if want.State == "invalid" {
		_, err := cow.ReadTable(context.Background(), store, size, o)
		require.ErrorIs(t, err, cow.ErrInvalid)
		o.AllowInvalid = true
	}
	h, err := cow.ReadHeader(store, size)
	require.Equal(t, want.State == "valid", err == nil, "%v", err)
	require.Equal(t, want.ChunkSize, h.ChunkSize)
	got := collect(t, store, size, o)
	require.Len(t, got, len(want.Exceptions))
	var set extent.Set
	for i, e := range want.Exceptions {
		require.Equal(t, cow.Exception{Old: e[0], New: e[1]}, got[i], "exception %d", i)
		set.Add(extent.Between(h.Offset(e[0]), min(h.Offset(e[0]+1), want.VolumeSize)))
	}
	table, err := cow.ReadTable(context.Background(), store, size, o)
	require.NoError(t, err)
	require.EqualValues(t, len(want.Exceptions), table.Exceptions)
	require.Equal(t, want.State == "valid", table.Valid)
	require.True(t, set.Equal(extentsOf(t, table)))
	o.ExpectAtLeast++
	_, err = cow.ReadTable(context.Background(), store, size, o)
	require.ErrorIs(t, err, cow.ErrShort)
}

// checkAll checks every image of a directory; an image without its .json, or the other way
// round, is a failure, not something to pass over.
func checkAll(t *testing.T, dir string) (images int) {
	t.Helper()
	for _, pattern := range []string{"*.zst", "*.json"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, f := range files {
			base := f[:len(f)-len(filepath.Ext(f))]
			require.FileExists(t, base+".zst")
			require.FileExists(t, base+".json")
			if pattern == "*.zst" {
				images++
				t.Run(filepath.Base(base), func(t *testing.T) { checkImage(t, base) })
			}
		}
	}
	return images
}

// Images made by real kernels, in the lab.
func TestKernelImages(t *testing.T) {
	dir := filepath.Join("testdata", "kernel")
	require.DirExists(t, dir, "make golden records the images of a real kernel")
	require.Positive(t, checkAll(t, dir), "%s has no image", dir)
}

// Images made by package cowtest at the time when the format was settled. They must parse, and
// the generator must still make them, byte for byte.
func TestGeneratorImages(t *testing.T) {
	dir := filepath.Join("testdata", "golden")
	for _, g := range goldenImages() {
		base := filepath.Join(dir, g.name)
		b, want := g.make(t)
		if *update {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(base+".zst", e.EncodeAll(b, nil), 0o644))
			text, err := json.Marshal(want)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(base+".json", append(text, '\n'), 0o644))
		}
		require.True(t, bytes.Equal(unpack(t, base+".zst"), b), "%s: the generator makes another image", g.name)
	}
	require.Equal(t, len(goldenImages()), checkAll(t, dir))
}

type golden struct {
	name       string
	chunk      int64
	count      int
	invalidate bool
}

func goldenImages() []golden {
	return []golden{
		{"empty-4k", 4 << 10, 0, false},
		{"one-area-less-one-4k", 4 << 10, 255, false},
		{"one-area-exactly-4k", 4 << 10, 256, false},
		{"three-areas-8k", 8 << 10, 1100, false},
		{"one-64k", 64 << 10, 9, false},
		{"one-512k", 512 << 10, 3, false},
		{"overflowed-4k", 4 << 10, 400, true},
	}
}

func (g golden) make(t *testing.T) ([]byte, image) {
	size := storeSize(g.chunk, min(g.count, 1100))
	if g.chunk >= 64<<10 {
		size = 20 * g.chunk // a store need not have room for a whole area
	}
	disk := stale(size)
	snap, err := cowtest.New(disk, size, g.chunk)
	require.NoError(t, err)
	im := image{ChunkSize: g.chunk, VolumeSize: 2000*g.chunk - 512, State: "valid", Exceptions: [][2]uint64{}}
	data := make([]byte, g.chunk)
	for i, old := range shuffled(uint64(g.count), g.count, 2000) {
		copy(data, fmt.Sprintf("old content of chunk %d, exception %d", old, i))
		fresh, err := snap.Copy(old, data)
		require.NoError(t, err)
		im.Exceptions = append(im.Exceptions, [2]uint64{old, fresh})
	}
	if g.invalidate {
		require.NoError(t, snap.Invalidate())
		im.State = "invalid"
	}
	return disk.Content(), im
}
