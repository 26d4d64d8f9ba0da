package cow_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/cow/cowtest"
	"github.com/ddsgo/ddsgo/extent"
)

// stale is what unused parts of a test's store hold: entries that look plausible, so that a
// parser which reads one too many finds something.
func stale(size int64) *mem.Device {
	b := make([]byte, size)
	for i := 0; i+16 <= len(b); i += 16 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i/16)%500)
		binary.LittleEndian.PutUint64(b[i+8:], uint64(i/16)%500+2)
	}
	return mem.NewFrom("store", b)
}

// sparseStore is a store too large to prefill; its areas are zero before their first use.
func sparseStore(size int64) *mem.Device { return mem.New("store", size) }

func storeSize(chunk int64, exceptions int) int64 {
	perArea := chunk / 16
	areas := int64(exceptions)/perArea + 1
	return (1 + areas*(perArea+1) + 1) * chunk
}

// make writes exceptions for the given chunks of the origin and returns the pairs.
func fill(t testing.TB, s *cowtest.Snapshot, olds []uint64) (pairs []cow.Exception) {
	t.Helper()
	for _, old := range olds {
		fresh, err := s.Copy(old, nil)
		require.NoError(t, err)
		pairs = append(pairs, cow.Exception{Old: old, New: fresh})
	}
	return pairs
}

// shuffled is n different chunks of a volume of chunks chunks.
func shuffled(seed uint64, n, chunks int) []uint64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	olds := make([]uint64, n)
	for i, v := range rng.Perm(chunks)[:n] {
		olds[i] = uint64(v)
	}
	return olds
}

func collect(t testing.TB, r io.ReaderAt, size int64, o cow.Options) (list []cow.Exception) {
	t.Helper()
	for e, err := range cow.Exceptions(context.Background(), r, size, o) {
		require.NoError(t, err)
		list = append(list, e)
	}
	return list
}

func extentsOf(t testing.TB, table *cow.Table) extent.Set {
	t.Helper()
	s, err := extent.Collect(table.Changed.Seq())
	require.NoError(t, err)
	return s
}

func TestEveryChunkSizeAndFill(t *testing.T) {
	for chunk := int64(4 << 10); chunk <= 512<<10; chunk *= 2 {
		n := int(chunk / 16)
		for _, count := range []int{0, 1, n - 1, n, n + 1, 2*n + 7} {
			t.Run(fmt.Sprintf("%d KiB, %d", chunk>>10, count), func(t *testing.T) {
				size := storeSize(chunk, count)
				disk := sparseStore(size)
				if chunk <= 8<<10 {
					disk = stale(size)
				}
				snap, err := cowtest.New(disk, size, chunk)
				require.NoError(t, err)
				snap.Lazy = true
				volume := int64(3*count+10)*chunk + 512 // the last chunk is cut
				want := fill(t, snap, shuffled(uint64(count), count, 3*count+11))
				require.NoError(t, snap.Flush())

				h, err := cow.ReadHeader(disk, size)
				require.NoError(t, err)
				require.Equal(t, cow.Header{Valid: true, Version: 1, ChunkSize: chunk}, h)
				allocated, _, metadata := snap.Status()
				exceptions, areas, err := h.InUse(allocated, metadata)
				require.NoError(t, err)
				require.EqualValues(t, count, exceptions)
				require.EqualValues(t, count/n+1, areas)

				for _, o := range []cow.Options{
					{VolumeSize: volume},
					{VolumeSize: volume, ExpectAtLeast: exceptions, Areas: areas},
					{VolumeSize: volume, ExpectAtLeast: exceptions, Areas: areas, Readers: 1},
					{VolumeSize: volume, Areas: areas, Readers: 2},
				} {
					table, err := cow.ReadTable(context.Background(), disk, size, o)
					require.NoError(t, err)
					require.EqualValues(t, count, table.Exceptions)
					require.EqualValues(t, areas, table.MetadataAreas)
					require.EqualValues(t, count, table.Changed.Count())
					require.Equal(t, chunk, table.ChunkSize)
					require.True(t, table.Valid)
					var set extent.Set
					for _, e := range want {
						set.Add(extent.Between(h.Offset(e.Old), min(h.Offset(e.Old+1), volume)))
					}
					require.True(t, set.Equal(extentsOf(t, table)))
					require.Equal(t, want, collect(t, disk, size, o))
				}
			})
		}
	}
}

// damage changes one store that is otherwise good: 300 exceptions, chunks of 4 KiB.
func TestRefuses(t *testing.T) {
	const chunk, count = 4096, 300
	put := func(area, entry int64, old, fresh uint64) func([]byte) {
		return func(b []byte) {
			at := (1+area*257)*chunk + entry*16
			binary.LittleEndian.PutUint64(b[at:], old)
			binary.LittleEndian.PutUint64(b[at+8:], fresh)
		}
	}
	header := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
	}
	o := cow.Options{VolumeSize: 1000 * chunk}
	for _, c := range []struct {
		name   string
		damage func([]byte)
		size   int64 // cut; 0 keeps
		o      cow.Options
		want   error
	}{
		{"a plain volume", func(b []byte) { clear(b) }, 0, o, cow.ErrNotCOW},
		{"another magic", header(0, 0x70416e54), 0, o, cow.ErrNotCOW},
		{"overflowed", header(4, 0), 0, o, cow.ErrInvalid},
		{"a newer version", header(8, 2), 0, o, cow.ErrVersion},
		{"version 0", header(8, 0), 0, o, cow.ErrVersion},
		{"chunks of 0", header(12, 0), 0, o, cow.ErrChunkSize},
		{"chunks of 3 sectors", header(12, 3), 0, o, cow.ErrChunkSize},
		{"chunks of 12 sectors", header(12, 12), 0, o, cow.ErrChunkSize},
		{"chunks of 2 KiB", header(12, 4), 0, o, cow.ErrChunkSize},
		{"chunks of 1 MiB", header(12, 2048), 0, o, cow.ErrChunkSize},
		{"chunks of 2 TiB", header(12, 1<<32-1), 0, o, cow.ErrChunkSize},
		{"empty store", nil, 1, o, cow.ErrTruncated},
		{"header only", nil, chunk, o, cow.ErrTruncated},
		{"cut inside area 0", nil, chunk + 100, o, cow.ErrTruncated},
		{"cut before the data", nil, 200 * chunk, o, cow.ErrTruncated},
		{"cut before area 1", nil, 258 * chunk, cow.Options{VolumeSize: 1000 * chunk, ExpectAtLeast: 300}, cow.ErrShort},
		{"cut inside area 1, which is in use", nil, 258*chunk + 5, cow.Options{VolumeSize: 1000 * chunk, Areas: 2}, cow.ErrTruncated},
		{"volume smaller than the table says", nil, 0, cow.Options{VolumeSize: 500 * chunk}, cow.ErrOutside},
		{"old chunk just outside", put(1, 3, 1000, 262), 0, o, cow.ErrOutside},
		{"old chunk absurd", put(0, 3, 1<<63, 5), 0, o, cow.ErrOutside},
		{"duplicate", put(0, 9, 999, 11), 0, o, cow.ErrDuplicate},
		{"new chunk is the header's neighbour", put(0, 0, 1, 1), 0, o, cow.ErrBadNewChunk},
		{"new chunk is area 1", put(0, 255, 998, 258), 0, o, cow.ErrBadNewChunk},
		{"new chunk goes back", put(0, 5, 998, 4), 0, o, cow.ErrBadNewChunk},
		{"new chunk repeats", put(0, 5, 998, 6), 0, o, cow.ErrBadNewChunk},
		{"new chunk goes back across areas", put(1, 0, 998, 200), 0, o, cow.ErrBadNewChunk},
		{"new chunk beyond the store", put(1, 43, 998, 100000), 0, o, cow.ErrTruncated},
		{"table lost its end", put(1, 20, 0, 0), 0, cow.Options{VolumeSize: 1000 * chunk, ExpectAtLeast: 300}, cow.ErrShort},
		{"a full area lost its end", put(0, 20, 0, 0), 0, cow.Options{VolumeSize: 1000 * chunk, Areas: 2}, cow.ErrShort},
		{"fewer than device-mapper says", nil, 0, cow.Options{VolumeSize: 1000 * chunk, ExpectAtLeast: 301}, cow.ErrShort},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := storeSize(chunk, count)
			disk := stale(size)
			snap, err := cowtest.New(disk, size, chunk)
			require.NoError(t, err)
			olds := shuffled(1, count, 990) // 990 to 999 stay free for damage
			olds[1] = 999
			fill(t, snap, olds)
			b := disk.Content()
			if c.damage != nil {
				c.damage(b)
			}
			if c.size != 0 {
				b = b[:c.size]
			}
			store := mem.NewFrom("store", b)
			_, err = cow.ReadTable(context.Background(), store, int64(len(b)), c.o)
			require.ErrorIs(t, err, c.want)
			for _, other := range []error{
				cow.ErrNotCOW, cow.ErrVersion, cow.ErrChunkSize, cow.ErrInvalid, cow.ErrTruncated, cow.ErrOutside,
				cow.ErrDuplicate, cow.ErrBadNewChunk, cow.ErrShort,
			} {
				if other != c.want {
					require.NotErrorIs(t, err, other)
				}
			}
			var last error
			for _, err := range cow.Exceptions(context.Background(), store, int64(len(b)), c.o) {
				last = err
			}
			if c.want == cow.ErrDuplicate {
				require.NoError(t, last, "Exceptions does not look for duplicates")
			} else {
				require.ErrorIs(t, last, c.want)
			}
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	disk := sparseStore(1 << 20)
	for name, o := range map[string]cow.Options{
		"no volume size":    {},
		"negative count":    {VolumeSize: 1, ExpectAtLeast: -1},
		"negative areas":    {VolumeSize: 1, Areas: -1},
		"negative patience": {VolumeSize: 1, Settle: -1},
		"negative readers":  {VolumeSize: 1, Readers: -1},
		"a million readers": {VolumeSize: 1, Readers: 1e6},
		"negative size":     {VolumeSize: -5},
	} {
		_, err := cow.ReadTable(context.Background(), disk, 1<<20, o)
		require.Error(t, err, name)
		require.NotErrorIs(t, err, cow.ErrNotCOW, name)
	}
}

func TestInvalidCanBeInspected(t *testing.T) {
	size := storeSize(4096, 10)
	disk := stale(size)
	snap, err := cowtest.New(disk, size, 4096)
	require.NoError(t, err)
	want := fill(t, snap, shuffled(1, 10, 100))
	require.NoError(t, snap.Invalidate())
	h, err := cow.ReadHeader(disk, size)
	require.ErrorIs(t, err, cow.ErrInvalid)
	require.Equal(t, int64(4096), h.ChunkSize)
	o := cow.Options{VolumeSize: 100 * 4096, AllowInvalid: true}
	table, err := cow.ReadTable(context.Background(), disk, size, o)
	require.NoError(t, err)
	require.False(t, table.Valid)
	require.Equal(t, want, collect(t, disk, size, o))
}

// A store that is full to its last chunk has no next area: that is its proper end.
func TestStoreFullToTheLastChunk(t *testing.T) {
	const chunk = 4096
	size := int64(1+257) * chunk
	disk := stale(size)
	snap, err := cowtest.New(disk, size, chunk)
	require.NoError(t, err)
	want := fill(t, snap, shuffled(1, 255, 1000))
	o := cow.Options{VolumeSize: 1000 * chunk}
	require.Equal(t, want, collect(t, disk, size, o))
	_, err = snap.Copy(999, nil)
	require.ErrorIs(t, err, cowtest.ErrFull)
	_, err = cow.ReadTable(context.Background(), disk, size, o)
	require.ErrorIs(t, err, cow.ErrInvalid)
	o.AllowInvalid = true
	table, err := cow.ReadTable(context.Background(), disk, size, o)
	require.NoError(t, err)
	// The kernel does not write the entry that it has no next area for.
	require.EqualValues(t, 255, table.Exceptions)
}

// hooked calls before each read, to change the store while it is read.
type hooked struct {
	io.ReaderAt
	mu     sync.Mutex
	before func(off int64)
}

func (h *hooked) ReadAt(p []byte, off int64) (int, error) {
	h.mu.Lock()
	h.before(off)
	h.mu.Unlock()
	return h.ReaderAt.ReadAt(p, off)
}

// Whatever the table gains while it is read, what was there at the start is found, what is
// found is a prefix of the final table, and stale bytes are never taken for entries.
func TestTableGrowsWhileRead(t *testing.T) {
	const chunk = 4096
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 9))
		size := storeSize(chunk, 3000)
		disk := stale(size)
		snap, err := cowtest.New(disk, size, chunk)
		require.NoError(t, err)
		olds := shuffled(seed, 3000, 5000)
		before := rng.IntN(1500)
		all := fill(t, snap, olds[:before])
		allocated, _, metadata := snap.Status()
		h, err := cow.ReadHeader(disk, size)
		require.NoError(t, err)
		expect, areas, err := h.InUse(allocated, metadata)
		require.NoError(t, err)
		o := cow.Options{VolumeSize: 5000 * chunk}
		if seed%2 == 0 {
			o.ExpectAtLeast, o.Areas = expect, areas
		}
		next := before
		r := &hooked{ReaderAt: disk, before: func(int64) {
			for range rng.IntN(200) {
				if next < len(olds) {
					all = append(all, fill(t, snap, olds[next:next+1])...)
					next++
				}
			}
		}}
		got := collect(t, r, size, o)
		require.GreaterOrEqual(t, len(got), before, "seed %d", seed)
		require.Equal(t, all[:len(got)], got, "seed %d", seed)
	}
}

func TestOverflowWhileReadIsNoticed(t *testing.T) {
	const chunk = 4096
	size := storeSize(chunk, 600)
	disk := stale(size)
	snap, err := cowtest.New(disk, size, chunk)
	require.NoError(t, err)
	fill(t, snap, shuffled(1, 600, 1000))
	r := &hooked{ReaderAt: disk, before: func(off int64) {
		if off == 258*chunk {
			require.NoError(t, snap.Invalidate())
		}
	}}
	_, err = cow.ReadTable(context.Background(), r, size, cow.Options{VolumeSize: 1000 * chunk})
	require.ErrorIs(t, err, cow.ErrInvalid)
}

// device-mapper counts an exception before it is on disk; waiting finds it.
func TestSettleWaitsForWritesUnderWay(t *testing.T) {
	const chunk = 4096
	for _, committed := range []int{10, 250, 256, 300} {
		size := storeSize(chunk, 600)
		disk := stale(size)
		snap, err := cowtest.New(disk, size, chunk)
		require.NoError(t, err)
		olds := shuffled(1, committed+20, 1000)
		all := fill(t, snap, olds[:committed])
		for _, old := range olds[committed:] {
			fresh, err := snap.Prepare()
			require.NoError(t, err)
			all = append(all, cow.Exception{Old: old, New: fresh})
		}
		o := cow.Options{VolumeSize: 1000 * chunk, ExpectAtLeast: int64(committed + 20)}
		_, err = cow.ReadTable(context.Background(), disk, size, o)
		require.ErrorIs(t, err, cow.ErrShort)

		o.Settle = time.Minute
		reads, done := 0, committed
		r := &hooked{ReaderAt: disk, before: func(int64) {
			if reads++; reads > 3 && done < len(all) { // one more is finished at each look
				require.NoError(t, snap.Commit(all[done].Old, all[done].New))
				done++
			}
		}}
		require.Equal(t, all, collect(t, r, size, o))
	}
}

func TestReadErrorsAndCancellation(t *testing.T) {
	const chunk = 4096
	size := storeSize(chunk, 600)
	disk := stale(size)
	snap, err := cowtest.New(disk, size, chunk)
	require.NoError(t, err)
	fill(t, snap, shuffled(1, 600, 1000))
	bad := &failing{ReaderAt: disk, at: 258 * chunk}
	for _, areas := range []int64{0, 3} {
		_, err = cow.ReadTable(context.Background(), bad, size, cow.Options{VolumeSize: 1000 * chunk, Areas: areas})
		require.ErrorIs(t, err, unix.EIO)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &hooked{ReaderAt: disk, before: func(off int64) {
		if off > chunk {
			cancel()
		}
	}}
	_, err = cow.ReadTable(ctx, r, size, cow.Options{VolumeSize: 1000 * chunk})
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = cow.ReadTable(ctx, disk, size, cow.Options{VolumeSize: 1000 * chunk, ExpectAtLeast: 900, Settle: time.Hour})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

type failing struct {
	io.ReaderAt
	at int64
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off == f.at {
		return 0, unix.EIO
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestExceptionsCanBeStopped(t *testing.T) {
	size := storeSize(4096, 300)
	disk := stale(size)
	snap, err := cowtest.New(disk, size, 4096)
	require.NoError(t, err)
	all := fill(t, snap, shuffled(1, 300, 1000))
	var got []cow.Exception
	for e, err := range cow.Exceptions(context.Background(), disk, size, cow.Options{VolumeSize: 1000 * 4096}) {
		require.NoError(t, err)
		if got = append(got, e); len(got) == 260 {
			break
		}
	}
	require.Equal(t, all[:260], got)
}

func TestInUseRefusesNonsense(t *testing.T) {
	h := cow.Header{ChunkSize: 4096}
	for _, c := range [][2]int64{{0, 0}, {16, 8}, {8, 16}, {17, 16}, {24, 17}, {-8, -8}} {
		_, _, err := h.InUse(c[0], c[1])
		require.Error(t, err, "%v", c)
	}
	// Figures of a real kernel: 1310 scattered chunks of 4 KiB, 1207 of 64 KiB.
	n, areas, err := h.InUse(10536, 56)
	require.NoError(t, err)
	require.Equal(t, []int64{1310, 6}, []int64{n, areas})
	n, _, err = cow.Header{ChunkSize: 64 << 10}.InUse(154752, 256)
	require.NoError(t, err)
	require.EqualValues(t, 1207, n)
}

// Whatever device-mapper reports while copies are under way, a table in which these have
// ended has that many: an expectation that can never be met would refuse a good snapshot.
func TestInUseNeverExpectsTooMuch(t *testing.T) {
	const chunk = 4096
	h := cow.Header{ChunkSize: chunk}
	for committed := range 520 {
		if near := committed % 256; near > 3 && near < 253 {
			continue
		}
		size := storeSize(chunk, 1100)
		disk := sparseStore(size)
		snap, err := cowtest.New(disk, size, chunk)
		require.NoError(t, err)
		snap.Lazy = true
		fill(t, snap, shuffled(1, committed, 2000))
		for pending := range 300 {
			allocated, _, metadata := snap.Status()
			exceptions, areas, err := h.InUse(allocated, metadata)
			require.NoError(t, err)
			require.LessOrEqual(t, exceptions, int64(committed+pending), "%d committed, %d under way", committed, pending)
			require.GreaterOrEqual(t, exceptions, int64(committed))
			require.LessOrEqual(t, (areas-1)*h.PerArea(), int64(committed))
			_, err = snap.Prepare()
			require.NoError(t, err)
		}
	}
}

func TestSentinelsAreDistinct(t *testing.T) {
	all := []error{
		cow.ErrNotCOW, cow.ErrVersion, cow.ErrChunkSize, cow.ErrInvalid, cow.ErrTruncated, cow.ErrOutside,
		cow.ErrDuplicate, cow.ErrBadNewChunk, cow.ErrShort, cow.ErrChanged,
	}
	for i, a := range all {
		require.Equal(t, i, slices.IndexFunc(all, func(b error) bool { return errors.Is(a, b) }))
	}
}
