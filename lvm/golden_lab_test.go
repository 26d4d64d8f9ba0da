//go:build lab

package lvm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/lab"
	"github.com/ddsgo/ddsgo/lvm"
)

// storeImage says what is in an image of a real exception store. The list comes from the order of our writes and the
// kernel's rule for new chunks (the first is 2, each the next, no table chunk), not from reading the image.
type storeImage struct {
	Kernel     string      `json:"kernel"`
	ChunkSize  int64       `json:"chunk_size"`
	VolumeSize int64       `json:"volume_size"`
	State      string      `json:"state"` // "valid" or "invalid"
	Exceptions [][2]uint64 `json:"exceptions"`
}

// maxGolden bounds an image, unpacked.
const maxGolden = 128 * mib

// store is a snapshot whose origin is written chunk by chunk in an order that we know.
type store struct {
	l      *lvm.LVM
	origin lvm.LV
	snap   lvm.LV
	chunk  int64
	perm   int64 // stride through the origin's chunks
	image  storeImage
}

// staleBytes is what a used disk may hold.
func staleBytes() []byte { return bytes.Repeat([]byte{0xaa}, mib) }

func newStore(t *testing.T, vg *lab.VolumeGroup, l *lvm.LVM, chunk, originSize, storeSize int64) *store {
	t.Helper()
	name := fmt.Sprintf("c%d_%d", chunk>>10, storeSize/mib)
	origin := find(t, l, vg.LV(t, name, originSize))
	// Stale bytes wherever the store will lie: areas that were never used must not be taken for tables.
	lab.Run(t, "lvm", "lvcreate", "--yes", "--extents", "100%FREE", "--name", "junk", vg.Name)
	junk := find(t, l, vg.Path("junk"))
	stale := staleBytes()
	for off := int64(0); off < junk.Size; off += mib {
		lab.WriteAt(t, junk.Path, stale, off)
	}
	require.NoError(t, l.Remove(t.Context(), junk))
	snap, err := l.CreateSnapshot(t.Context(), origin, lvm.SnapshotSpec{Name: name + "_s", Size: storeSize, Chunk: chunk, ReadOnly: true})
	require.NoError(t, err)
	require.Equal(t, chunk, snap.ChunkSize)
	s := &store{l: l, origin: origin, snap: snap, chunk: chunk, perm: 7919}
	s.image = storeImage{Kernel: lab.Run(t, "uname", "-r"), ChunkSize: chunk, VolumeSize: originSize, State: "valid", Exceptions: [][2]uint64{}}
	return s
}

// writeTo writes one block to as many chunks of the origin as make n exceptions in all.
func (s *store) writeTo(t *testing.T, n int) {
	t.Helper()
	chunks := s.image.VolumeSize / s.chunk
	require.LessOrEqual(t, int64(n), chunks)
	perArea := s.chunk / 16
	f, err := os.OpenFile(s.origin.Path, os.O_WRONLY|unix.O_DIRECT, 0)
	require.NoError(t, err)
	defer f.Close()
	buf, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { _ = unix.Munmap(buf) }()
	for i := len(s.image.Exceptions); i < n; i++ {
		old := (int64(i)*s.perm + 3) % chunks
		buf[0] = byte(i + 1)
		_, err := f.WriteAt(buf, old*s.chunk)
		require.NoError(t, err)
		// The i-th data chunk: after the header and before each perArea data chunks there is a table.
		fresh := 1 + int64(i)/perArea*(perArea+1) + 1 + int64(i)%perArea
		s.image.Exceptions = append(s.image.Exceptions, [2]uint64{uint64(old), uint64(fresh)})
	}
}

// check compares with what device-mapper counts.
func (s *store) check(t *testing.T) {
	t.Helper()
	st, err := s.l.DM().SnapshotStatus(context.Background(), s.snap.DMName)
	require.NoError(t, err)
	if s.image.State == "invalid" {
		require.True(t, st.Invalid())
		return
	}
	require.EqualValues(t, len(s.image.Exceptions), st.Exceptions(s.chunk))
}

// save writes the image of dev and its description, if make golden asks for them; else it only checks the first table.
func save(t *testing.T, name, dev string, image storeImage) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDONLY|unix.O_DIRECT, 0)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.LessOrEqual(t, size, int64(maxGolden))
	buf, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { _ = unix.Munmap(buf) }()
	_, err = io.ReadFull(io.NewSectionReader(f, 0, size), buf)
	require.NoError(t, err)
	require.Equal(t, "SnAp", string(buf[:4]))
	if os.Getenv("DDSGO_GOLDEN") == "" {
		return
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(1<<20))
	require.NoError(t, err)
	text, err := json.Marshal(image)
	require.NoError(t, err)
	base := filepath.Join(lab.OutDir(t), name)
	require.NoError(t, os.WriteFile(base+".zst", enc.EncodeAll(buf, nil), 0o644))
	require.NoError(t, os.WriteFile(base+".json", append(text, '\n'), 0o644))
}

func TestGoldenEveryChunkSize(t *testing.T) {
	l := labLVM(t)
	for chunk := int64(4 << 10); chunk <= 512<<10; chunk *= 2 {
		t.Run(fmt.Sprintf("%dk", chunk>>10), func(t *testing.T) {
			n := int(chunk / 16) // exceptions in one area
			counts := []int{0, 1, n - 1, n, n + 1, n + 2}
			if int64(n+4)*chunk > maxGolden { // an area would not fit: what there is within a few chunks
				counts = []int{0, 1, 2, 5}
			}
			most := int64(counts[len(counts)-1])
			round := func(size int64) int64 { return (size + mib - 1) / mib * mib }
			origin, store := round((most+8)*chunk), round((most+5)*chunk)
			s := newStore(t, lab.NamedVG(t, "", origin+store+8*mib), l, chunk, origin, store)
			for _, k := range counts {
				s.writeTo(t, k)
				s.check(t)
				save(t, fmt.Sprintf("chunk%03dk-%05d", chunk>>10, k), s.snap.CowPath(), s.image)
			}
		})
	}
}

func TestGoldenOverflowed(t *testing.T) {
	l := labLVM(t)
	vg := lab.NamedVG(t, "", 32*mib)
	s := newStore(t, vg, l, 4096, 8*mib, 2*mib)
	// 512 chunks: the header and the tables 1 and 258 are not data.
	s.writeTo(t, 512-3)
	s.check(t)
	save(t, "full-to-the-last-chunk", s.snap.CowPath(), s.image)
	last := len(s.image.Exceptions)
	s.writeTo(t, last+1)
	s.image.Exceptions = s.image.Exceptions[:last] // the one too many is not in the table
	s.image.State = "invalid"
	s.check(t)
	save(t, "overflowed", s.snap.CowPath(), s.image)
}

// A merge empties the table from its end while the header stays valid: such a table says nothing about changes.
func TestGoldenMerging(t *testing.T) {
	l := labLVM(t)
	vg := lab.NamedVG(t, "", 32*mib)
	s := newStore(t, vg, l, 4096, 8*mib, 4*mib)
	s.writeTo(t, 300)
	s.check(t)
	// Take LVM out of the way and merge by hand, onto a slow origin, to stop it half-way.
	lab.Run(t, "dmsetup", "remove", s.snap.DMName)
	slow := lab.Delay(t, "/dev/mapper/"+s.origin.DMName+"-real", 0, 20)
	sectors := s.image.VolumeSize / 512
	merge := vg.DMName("merge")
	lab.Run(t, "dmsetup", "remove", s.origin.DMName)
	lab.Run(t, "dmsetup", "create", merge, "--table", fmt.Sprintf("0 %d snapshot-merge %s %s P 8", sectors, slow.Path, s.snap.CowPath()))
	left := func() int {
		st, err := l.DM().SnapshotStatus(t.Context(), merge)
		require.NoError(t, err)
		require.True(t, st.Merging && !st.Invalid())
		return int(st.Exceptions(s.chunk))
	}
	await(t, func() bool { return left() < 280 }, "the merge goes on")
	lab.Run(t, "dmsetup", "suspend", merge)
	k := left()
	require.Positive(t, k)
	image := s.image
	image.Exceptions = image.Exceptions[:k]
	save(t, "merging", s.snap.CowPath(), image)
	lab.Run(t, "dmsetup", "resume", merge)
	await(t, func() bool { return left() == 0 }, "the merge ends")
	lab.Run(t, "dmsetup", "suspend", merge)
	image.Exceptions = [][2]uint64{}
	save(t, "merged", s.snap.CowPath(), image)
	lab.Run(t, "dmsetup", "remove", merge)
}
