package extent_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
)

var update = flag.Bool("update", false, "write the golden changed set again")

func sampleHeader() extent.ChangedSetHeader {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	return extent.ChangedSetHeader{
		Volume:    "Zd3fOM-origin",
		From:      generation.Generation{UUID: "snap-7", Seq: 7, Time: at, Size: 1 << 30},
		To:        generation.Generation{UUID: "snap-8", Seq: 8, Time: at.Add(time.Hour), Size: 1<<30 + 512},
		Size:      1<<30 + 512,
		ChunkSize: 4096,
		Folded:    2,
	}
}

func sampleExtents() []extent.Extent {
	l := []extent.Extent{ext(0, 4096), ext(8192, 16384)}
	for off := int64(1 << 20); off < 100<<20; off += 3 * 4096 {
		l = append(l, ext(off, off+4096+off%5*4096%8192))
	}
	s := extent.NewSet(append(l, ext(1<<30-4096, 1<<30+512))...)
	return list2(s)
}

func list2(s extent.Set) (l []extent.Extent) {
	for e := range s.All() {
		l = append(l, e)
	}
	return l
}

func writeSample(t require.TestingT, dir string) (string, extent.SetID) {
	path := filepath.Join(dir, "set")
	id, err := extent.WriteChangedSet(path, sampleHeader(), extent.Of(sampleExtents()...))
	require.NoError(t, err)
	return path, id
}

func TestChangedSetRoundTrip(t *testing.T) {
	dir := t.TempDir()
	path, id := writeSample(t, dir)
	require.False(t, id.IsZero())
	s, err := extent.OpenChangedSet(path)
	require.NoError(t, err)
	defer s.Close()
	want := sampleHeader()
	want.ID = id
	require.Equal(t, want, s.Header)
	for range 2 {
		require.Equal(t, sampleExtents(), list(t, s.Extents()))
	}
	n, b, err := extent.Total(s.Extents())
	require.NoError(t, err)
	require.Equal(t, []int64{n, b}, []int64{s.Count, s.Bytes})
	for e := range s.Extents() {
		require.Equal(t, sampleExtents()[0], e)
		break
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "a temporary file was left")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	text, err := json.Marshal(s.Header)
	require.NoError(t, err)
	var back extent.ChangedSetHeader
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, s.Header, back)
	require.Error(t, json.Unmarshal([]byte(`"12"`), &back.ID))
	require.Error(t, json.Unmarshal([]byte(`"`+strings.Repeat("zz", 32)+`"`), &back.ID))
}

func TestChangedSetGolden(t *testing.T) {
	path, id := writeSample(t, t.TempDir())
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	golden := filepath.Join("testdata", "changedset-v1.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the encoding of version 1 changed: that needs a version 2")
	s, err := extent.OpenChangedSet(golden)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, id, s.Header.ID)
}

// The header as the package comment describes it, taken apart by hand.
func TestChangedSetBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set")
	h := extent.ChangedSetHeader{
		Volume: "v", From: generation.Generation{UUID: "a", Seq: 1, Size: 8192},
		To: generation.Generation{UUID: "b", Seq: 300, Time: time.Unix(0, 5), Size: 8200}, Size: 8200, ChunkSize: 4096,
	}
	_, err := extent.WriteChangedSet(path, h, extent.Of(ext(0, 4096), ext(8192, 8200)))
	require.NoError(t, err)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	header := []byte{
		1, 'v',
		1, 'a', 1, 0, 0x80, 0x40,
		1, 'b', 0xac, 0x02, 5, 0x88, 0x40,
		0x88, 0x40, 0x80, 0x20, 0,
	}
	want := append([]byte("DDSGOSET\x01\x00\x00\x00"), byte(len(header)), 0, 0, 0)
	want = append(want, header...)
	want = binary.LittleEndian.AppendUint64(want, xxhash.Sum64(want))
	block := []byte{4, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 1} // gap 0, 1 chunk; gap 1, 1 chunk cut by the end
	want = append(want, binary.LittleEndian.AppendUint64(block, xxhash.Sum64(block))...)
	want = append(want, make([]byte, 8)...)
	want = binary.LittleEndian.AppendUint64(want, 2)
	want = binary.LittleEndian.AppendUint64(want, 4096+8)
	require.Equal(t, want, got[:len(got)-32])
}

func TestChangedSetIdentity(t *testing.T) {
	dir := t.TempDir()
	_, id := writeSample(t, dir)
	same, err := extent.WriteChangedSet(filepath.Join(dir, "again"), sampleHeader(), splitUp(sampleExtents()))
	require.NoError(t, err)
	require.Equal(t, id, same, "touching extents are one, however they come")
	h := sampleHeader()
	h.ID = extent.SetID{1, 2, 3}
	same, err = extent.WriteChangedSet(filepath.Join(dir, "again"), h, extent.Of(sampleExtents()...))
	require.NoError(t, err)
	require.Equal(t, id, same, "the identity does not depend on itself")
	seen := map[extent.SetID]bool{id: true}
	for _, change := range []func(*extent.ChangedSetHeader){
		func(h *extent.ChangedSetHeader) { h.Volume = "x" },
		func(h *extent.ChangedSetHeader) { h.From.Seq++ },
		func(h *extent.ChangedSetHeader) { h.To.UUID += "x" },
		func(h *extent.ChangedSetHeader) { h.To.Time = h.To.Time.Add(1) },
		func(h *extent.ChangedSetHeader) { h.ChunkSize = 512 },
		func(h *extent.ChangedSetHeader) { h.Folded = 0 },
	} {
		h := sampleHeader()
		change(&h)
		id, err := extent.WriteChangedSet(filepath.Join(dir, "other"), h, extent.Of(sampleExtents()...))
		require.NoError(t, err)
		require.False(t, seen[id])
		seen[id] = true
	}
}

func splitUp(l []extent.Extent) extent.Seq {
	var parts []extent.Extent
	for _, e := range l {
		for off := e.Off; off < e.End(); off += 4096 {
			parts = append(parts, ext(off, min(off+4096, e.End())))
		}
	}
	return extent.Of(parts...)
}

func TestWriteChangedSetRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "set")
	ok := extent.Of(ext(0, 4096))
	bad := func(change func(*extent.ChangedSetHeader)) extent.ChangedSetHeader {
		h := sampleHeader()
		change(&h)
		return h
	}
	for _, c := range []struct {
		name string
		h    extent.ChangedSetHeader
		seq  extent.Seq
		want error
	}{
		{"no volume", bad(func(h *extent.ChangedSetHeader) { h.Volume = "" }), ok, extent.ErrHeader},
		{"long volume", bad(func(h *extent.ChangedSetHeader) { h.Volume = strings.Repeat("x", 2000) }), ok, extent.ErrHeader},
		{"long uuid", bad(func(h *extent.ChangedSetHeader) { h.From.UUID = strings.Repeat("x", 200) }), ok, extent.ErrHeader},
		{"no end", bad(func(h *extent.ChangedSetHeader) { h.To = generation.Generation{} }), ok, extent.ErrHeader},
		{"no size", bad(func(h *extent.ChangedSetHeader) { h.Size = 0 }), ok, extent.ErrHeader},
		{"no chunk", bad(func(h *extent.ChangedSetHeader) { h.ChunkSize = 0 }), ok, extent.ErrHeader},
		{"old time", bad(func(h *extent.ChangedSetHeader) { h.To.Time = time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC) }), ok, extent.ErrHeader},
		{"unaligned start", sampleHeader(), extent.Of(ext(1, 4096)), extent.ErrUnaligned},
		{"unaligned end", sampleHeader(), extent.Of(ext(0, 4097)), extent.ErrUnaligned},
		{"outside", sampleHeader(), extent.Of(ext(0, 2<<30)), extent.ErrOutside},
		{"out of order", sampleHeader(), extent.Of(ext(8192, 12288), ext(0, 4096)), extent.ErrOrder},
		{"a failing table", sampleHeader(), failingAfter(ext(0, 4096)), errBroken},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := extent.WriteChangedSet(path, c.h, c.seq)
			require.ErrorIs(t, err, c.want)
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, entries, "something was left behind")
		})
	}
	_, err := extent.WriteChangedSet(filepath.Join(dir, "no", "such", "dir"), sampleHeader(), ok)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// reseal makes checksums right again after damage, so that deeper checks are reached.
func reseal(b []byte) {
	n := int(binary.LittleEndian.Uint32(b[12:]))
	binary.LittleEndian.PutUint64(b[16+n:], xxhash.Sum64(b[:16+n]))
}

func TestReadChangedSetRefuses(t *testing.T) {
	path, _ := writeSample(t, t.TempDir())
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	headerEnd := 16 + int(binary.LittleEndian.Uint32(good[12:])) + 8
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		want   error
	}{
		{"empty", func([]byte) []byte { return nil }, extent.ErrNotChangedSet},
		{"another file", func([]byte) []byte { return bytes.Repeat([]byte("text "), 100) }, extent.ErrNotChangedSet},
		{"newer version", func(b []byte) []byte { b[8] = 2; return b }, extent.ErrVersion},
		{"absurd header length", func(b []byte) []byte { b[15] = 0x7f; return b }, extent.ErrLimit},
		{"header damaged", func(b []byte) []byte { b[20] ^= 1; return b }, extent.ErrChecksum},
		{"header impossible", func(b []byte) []byte { b[16] = 0; reseal(b); return b }, extent.ErrMalformed},
		{"name longer than the header", func(b []byte) []byte { b[16] = 0x7f; b[17] = 0x7f; reseal(b); return b }, extent.ErrMalformed},
		{"cut in the header", func(b []byte) []byte { return b[:40] }, extent.ErrTruncated},
		{"cut after the header", func(b []byte) []byte { return b[:headerEnd] }, extent.ErrTruncated},
		{"cut in a block", func(b []byte) []byte { return b[:headerEnd+100] }, extent.ErrTruncated},
		{"cut in the trailer", func(b []byte) []byte { return b[:len(b)-1] }, extent.ErrTruncated},
		{"trailing byte", func(b []byte) []byte { return append(b, 0) }, extent.ErrTrailing},
		{"block damaged", func(b []byte) []byte { b[headerEnd+200] ^= 4; return b }, extent.ErrChecksum},
		{"block length absurd", func(b []byte) []byte { b[headerEnd+3] = 1; return b }, extent.ErrLimit},
		{"extent count absurd", func(b []byte) []byte { b[headerEnd+7] = 1; return b }, extent.ErrLimit},
		{"identity damaged", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, extent.ErrChecksum},
		{"counts damaged", func(b []byte) []byte { b[len(b)-40] ^= 1; return b }, extent.ErrChecksum},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.damage(bytes.Clone(good))
			path := filepath.Join(t.TempDir(), "set")
			require.NoError(t, os.WriteFile(path, b, 0o600))
			_, err := extent.OpenChangedSet(path)
			require.ErrorIs(t, err, c.want)
			require.Contains(t, err.Error(), path)
		})
	}
	_, err = extent.OpenChangedSet(t.TempDir())
	require.ErrorIs(t, err, extent.ErrNotChangedSet)
}

// Any single bit that flips, anywhere, is found.
func TestChangedSetEveryBitCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set")
	_, err := extent.WriteChangedSet(path, sampleHeader(), extent.Of(ext(0, 4096), ext(8192, 12288)))
	require.NoError(t, err)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for bit := range len(good) * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		_, err := extent.ReadChangedSet(bytes.NewReader(b), int64(len(b)))
		require.Error(t, err, "bit %d", bit)
	}
	for n := range good {
		_, err := extent.ReadChangedSet(bytes.NewReader(good[:n]), int64(n))
		require.Error(t, err, "cut to %d", n)
	}
}

// A file that changes after it was opened is an error, not other extents.
func TestChangedSetChangedUnderneath(t *testing.T) {
	path, _ := writeSample(t, t.TempDir())
	s, err := extent.OpenChangedSet(path)
	require.NoError(t, err)
	defer s.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{0x55}, 4000)
	require.NoError(t, err)
	_, _, err = extent.Total(s.Extents())
	require.ErrorIs(t, err, extent.ErrChecksum)
}

func TestChangedSetProperty(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		h := sampleHeader()
		h.ChunkSize = rapid.SampledFrom([]int64{1, 3, 512, 4096}).Draw(t, "chunk")
		h.Size = rapid.Int64Range(1, 1<<50).Draw(t, "size")
		var s extent.Set
		chunks := (h.Size-1)/h.ChunkSize + 1
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			first := rapid.Int64Range(0, chunks-1).Draw(t, "first")
			last := first + rapid.Int64Range(1, 1<<30).Draw(t, "count")
			s.Add(ext(first*h.ChunkSize, min(h.Size, last*h.ChunkSize)))
		}
		path := filepath.Join(dir, "set")
		id, err := extent.WriteChangedSet(path, h, s.Seq())
		require.NoError(t, err)
		c, err := extent.OpenChangedSet(path)
		require.NoError(t, err)
		defer c.Close()
		require.Equal(t, id, c.Header.ID)
		require.Equal(t, list(t, s.Seq()), list(t, c.Extents()))
	})
}

// counting shows how much is asked for at a time: memory is bounded, whatever the file says.
type counting struct {
	io.ReaderAt
	largest int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.largest = max(c.largest, len(p))
	return c.ReaderAt.ReadAt(p, off)
}

func FuzzReadChangedSet(f *testing.F) {
	path, _ := writeSample(f, f.TempDir())
	good, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(good)
	f.Add(good[:200])
	_, err = extent.WriteChangedSet(path, sampleHeader(), extent.Of(ext(0, 4096)))
	require.NoError(f, err)
	small, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(small)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(b); n > 24 && int(binary.LittleEndian.Uint32(b[12:]))+24 <= n && binary.LittleEndian.Uint32(b[12:]) < 5000 {
			reseal(b) // get past the header's checksum
		}
		r := &counting{ReaderAt: bytes.NewReader(b)}
		s, err := extent.ReadChangedSet(r, int64(len(b)))
		require.LessOrEqual(t, r.largest, extent.MaxChangedSetBlock+64)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "again")
		id, err := extent.WriteChangedSet(path, s.Header, extent.Checked(s.Extents(), s.Header.Size))
		require.NoError(t, err)
		require.Equal(t, s.Header.ID, id, "what is accepted is what would be written")
	})
}
