package cow_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/cow/cowtest"
)

// FuzzReadTable damages good stores, or makes bad ones: no input may panic, hang, take memory
// beyond what the changes need, or give a table that breaks the rules; both readers agree.
func FuzzReadTable(f *testing.F) {
	for _, count := range []int{0, 3, 256, 300} {
		size := storeSize(4096, count)
		disk := mem.New("store", size)
		snap, err := cowtest.New(disk, size, 4096)
		require.NoError(f, err)
		fill(f, snap, shuffled(1, count, 1000))
		// Areas only: data chunks are not read, so the fuzzer need not carry them.
		b := disk.Content()
		f.Add(b[:16], b[4096:8192], b[min(258*4096, len(b)-4096):][:4096], uint32(1000), size)
	}
	f.Fuzz(func(t *testing.T, header, area0, area1 []byte, chunks uint32, size int64) {
		if size < 0 || size > 1<<40 {
			return
		}
		store := &patched{size: size, header: header, areas: [][]byte{area0, area1}}
		o := cow.Options{VolumeSize: int64(chunks)*4096 + 1}
		table, err := cow.ReadTable(context.Background(), store, size, o)
		if err == nil {
			require.Equal(t, table.Exceptions, table.Changed.Count())
			require.LessOrEqual(t, table.Changed.Memory(), (table.Exceptions+1)*9000+64<<10)
		}
		var n int64
		var last uint64
		for e, seqErr := range cow.Exceptions(context.Background(), store, size, o) {
			if seqErr != nil {
				require.Error(t, err, "only the sequence failed: %v", seqErr)
				return
			}
			require.Greater(t, e.New, last)
			last = e.New
			n++
		}
		if err == nil {
			require.Equal(t, table.Exceptions, n)
		} else {
			require.True(t, errors.Is(err, cow.ErrDuplicate), "only the table failed: %v", err)
		}
	})
}

// patched is a store of which only the header and two areas are not zero.
type patched struct {
	size   int64
	header []byte
	areas  [][]byte
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	dev := bytes.NewReader(nil)
	clear(b)
	chunk := int64(4096)
	if len(p.header) >= 16 {
		chunk = max(512, int64(p.header[12])<<9|int64(p.header[13])<<17)
	}
	for at, part := range map[int64][]byte{0: p.header, chunk: p.areas[0], (2 + chunk/16) * chunk: p.areas[1]} {
		if off >= at && off < at+int64(len(part)) {
			dev.Reset(part)
			_, _ = dev.ReadAt(b, off-at)
		}
	}
	return len(b), nil
}
