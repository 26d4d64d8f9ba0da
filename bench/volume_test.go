package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/extent"
)

// Figures of different machines and years are comparable only if the bytes are the same.
func TestVolumesAreTheSameEverywhere(t *testing.T) {
	for name, want := range map[string]string{
		"mixed": "8e66f556", "easy": "ecad24cf", "full": "2e5a6d9a", "zero": "6b66959b",
	} {
		v := Volume{Bytes: 8<<20 + 512, Seed: 1, Profile: Profiles()[name]}
		h := sha256.New()
		_, err := io.Copy(h, io.NewSectionReader(whole{v}, 0, v.Bytes))
		require.NoError(t, err)
		require.Equal(t, want, hex.EncodeToString(h.Sum(nil)[:4]), name)
	}
}

// whole makes reads of any alignment out of reads of whole blocks.
type whole struct{ v Volume }

func (w whole) ReadAt(p []byte, off int64) (int, error) {
	skip := off % BlockSize
	buf := make([]byte, (skip+int64(len(p))+BlockSize-1)/BlockSize*BlockSize)
	n, err := w.v.ReadAt(buf, off-skip)
	n = copy(p, buf[min(skip, int64(n)):n])
	if n == len(p) {
		err = nil
	}
	return n, err
}

func ratio(t *testing.T, c Class) float64 {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	require.NoError(t, err)
	raw := make([]byte, ClassExtent)
	for at := 0; at < len(raw); at += BlockSize {
		Fill(raw[at:at+BlockSize], c, uint64(at))
	}
	return float64(len(e.EncodeAll(raw, nil))) / float64(len(raw))
}

func TestClassesCompressAsTheyShould(t *testing.T) {
	for c, want := range map[Class][2]float64{Zero: {0, 0.01}, HardText: {0.3, 0.5}, EasyText: {0.05, 0.2}, Random: {0.99, 1.01}} {
		r := ratio(t, c)
		require.GreaterOrEqual(t, r, want[0], "class %d", c)
		require.LessOrEqual(t, r, want[1], "class %d", c)
	}
	v := Volume{Bytes: 1 << 30, Seed: 1, Profile: Profiles()["mixed"]}
	count := map[Class]int{}
	for b := int64(0); b < v.Bytes/BlockSize; b += ClassExtent / BlockSize {
		count[v.ClassOf(b)]++
	}
	require.InDelta(t, 0.40*4096, count[Zero], 100)
	require.InDelta(t, 0.30*4096, count[HardText], 100)
	require.InDelta(t, 0.30*4096, count[Random], 100)
}

func TestChanges(t *testing.T) {
	v := Volume{Bytes: 64 << 20}
	for _, c := range []Changes{{Seed: 1, Count: 500}, {Seed: 1, Count: 500, Cluster: 50}, {Seed: 1, Count: 1 << 30}} {
		sorted := c.Sorted(v)
		require.Len(t, sorted, int(min(c.Count, v.Bytes/BlockSize)))
		runs := 1
		for i := 1; i < len(sorted); i++ {
			require.Less(t, sorted[i-1], sorted[i])
			if sorted[i] != sorted[i-1]+1 {
				runs++
			}
		}
		if c.Cluster > 1 {
			require.LessOrEqual(t, runs, 20)
		} else if c.Count == 500 {
			require.Greater(t, runs, 450)
		}
	}
}

// The store that is made says exactly what differs between source and target.
func TestWorkload(t *testing.T) {
	for _, chunk := range []int64{4 << 10, 64 << 10} {
		for _, sparse := range []bool{false, true} {
			v := Volume{Bytes: 16<<20 + 4096, Seed: 3, Profile: Profiles()["mixed"]}
			w := Workload{Volume: v, Changes: Changes{Seed: 4, Count: 300}, Sparse: sparse, ChunkSize: chunk}
			require.NoError(t, w.Prepare(t.TempDir(), "w"))
			require.Error(t, w.Verify(), "source and target are equal before anything was copied")

			store, err := blockdev.Open(w.Cow, blockdev.Options{})
			require.NoError(t, err)
			defer store.Close()
			table, err := cow.ReadTable(context.Background(), store, store.Size(), cow.Options{VolumeSize: v.Bytes})
			require.NoError(t, err)
			var want extent.Set
			for _, b := range w.Changes.Blocks(v) {
				want.Add(extent.Extent{Off: b * BlockSize, Len: BlockSize}.Outward(chunk, v.Bytes))
			}
			got, err := extent.Collect(table.Changed.Seq())
			require.NoError(t, err)
			require.True(t, want.Equal(got))

			// Copying what the store says makes the target equal; the old data is in the store.
			old := make([]byte, chunk)
			now := make([]byte, chunk)
			target, err := os.OpenFile(w.Target, os.O_RDWR, 0)
			require.NoError(t, err)
			defer target.Close()
			source, err := os.Open(w.Source)
			require.NoError(t, err)
			defer source.Close()
			for e, err := range cow.Exceptions(context.Background(), store, store.Size(), cow.Options{VolumeSize: v.Bytes}) {
				require.NoError(t, err)
				off := int64(e.Old) * chunk
				n := min(chunk, v.Bytes-off)
				_, err = target.ReadAt(now[:n], off)
				require.NoError(t, err)
				_, err = store.ReadAt(old, int64(e.New)*chunk)
				require.NoError(t, err)
				require.Equal(t, now[:n], old[:n])
				_, err = source.ReadAt(now[:n], off)
				require.NoError(t, err)
				_, err = target.WriteAt(now[:n], off)
				require.NoError(t, err)
			}
			require.NoError(t, w.Verify())
			require.NoError(t, w.ResetTarget())
			require.Error(t, w.Verify())
		}
	}
}

func TestMeterCountsChildren(t *testing.T) {
	m := NewMeter()
	t.Log("meter:", m.Kind)
	defer func() { require.NoError(t, m.Close()) }()
	s, err := m.Run(context.Background(), "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done | cat")
	require.NoError(t, err)
	require.Greater(t, s.CPU, 20*time.Millisecond)
	idle, err := m.Run(context.Background(), "sleep 0.2")
	require.NoError(t, err)
	require.Greater(t, idle.Wall, 200*time.Millisecond)
	require.Less(t, idle.CPU, 100*time.Millisecond)
	_, err = m.Run(context.Background(), "true | false | true")
	require.Error(t, err, "a failure inside a pipe must be seen")
}

func TestPeakMemory(t *testing.T) {
	n, err := PeakMemory(context.Background(), nil, nil, "sleep", "0.1")
	require.NoError(t, err)
	require.Greater(t, n, int64(100<<10))
	require.Less(t, n, int64(16<<20))
	_, err = PeakMemory(context.Background(), nil, nil, "sh", "-c", "sleep 0.05; exit 3")
	require.Error(t, err)
}

func TestRatioAndGoals(t *testing.T) {
	ms := func(n ...int) (d []time.Duration) {
		for _, n := range n {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	// A disturbance of one round hits both, and the ratio does not see it.
	require.InDelta(t, 0.5, Ratio(Result{CPU: ms(5, 50, 6)}, Result{CPU: ms(10, 100, 12)}), 1e-9)
	require.Zero(t, Ratio(Result{}, Result{CPU: ms(1)}))
	require.Equal(t, ms(3)[0], median(ms(9, 1, 3)))
	require.Equal(t, ms(2)[0], median(ms(1, 3)))
	require.True(t, NewGoal("", 1, 1, "x").OK)
	require.False(t, NewGoal("", 1, 1.01, "x").OK)
	require.False(t, NewGoal("", 1, 0, "x").OK, "nothing measured is not a success")
}
