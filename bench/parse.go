package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/cow"
	"github.com/ddsgo/ddsgo/cow/cowtest"
)

func cpus() int { return runtime.NumCPU() }

// exceptionStore makes a store of count exceptions in runs of four, of a volume of chunks chunks.
func exceptionStore(path string, count, chunks int64) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size := storeSize(BlockSize, count)
	if err := f.Truncate(size); err != nil {
		return 0, err
	}
	snap, err := cowtest.New(f, size, BlockSize)
	if err != nil {
		return 0, err
	}
	snap.Lazy = true
	// A stride that is coprime to the number of runs visits each run once, far apart.
	runs := chunks / 4
	at := int64(0)
	for i := range count {
		if i%4 == 0 {
			at = (at + (runs*618/1000 | 1)) % runs
		}
		if _, err := snap.Copy(uint64(at*4+i%4), nil); err != nil {
			return 0, err
		}
	}
	return size, snap.Flush()
}

// parseFloor is the least that any parser has to do: read each area and set a bit in a flat
// bitmap for each exception, with no check at all.
func parseFloor(path string, size, chunks int64) (extents int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	bitmap := make([]uint64, chunks/64+1)
	area := make([]byte, BlockSize)
	for off := int64(BlockSize); off < size; off += 257 * BlockSize {
		if _, err := f.ReadAt(area, off); err != nil {
			return 0, err
		}
		n := 0
		for ; n < len(area); n += 16 {
			if binary.LittleEndian.Uint64(area[n+8:]) == 0 {
				break
			}
			old := binary.LittleEndian.Uint64(area[n:])
			bitmap[old>>6] |= 1 << (old & 63)
		}
		if n < len(area) {
			break
		}
	}
	last := uint64(0)
	for _, w := range bitmap { // count the starts of runs
		for starts := w &^ (w<<1 | last); starts != 0; starts &= starts - 1 {
			extents++
		}
		last = w >> 63
	}
	return extents, nil
}

// parseStore is what extract does: every check, ordered and coalesced extents.
func parseStore(ctx context.Context, path string, chunks int64) (extents int, err error) {
	d, err := blockdev.Open(path, blockdev.Options{Direct: true})
	if err != nil {
		return 0, err
	}
	defer d.Close()
	table, err := cow.ReadTable(ctx, d, d.Size(), cow.Options{VolumeSize: chunks * BlockSize})
	if err != nil {
		return 0, err
	}
	for range table.Changed.Extents() {
		extents++
	}
	return extents, nil
}

// parse compares package cow with the floor.
func (s *Suite) parse(ctx context.Context, group string) error {
	const count, chunks = 1_000_000, 40_000_000
	path := filepath.Join(s.Dir, "exceptions")
	defer os.Remove(path)
	s.Progress(group)
	size, err := exceptionStore(path, count, chunks)
	if err != nil {
		return err
	}
	results := map[string]Result{}
	cases := []Case{{Name: "floor: no checks, flat bitmap"}, {Name: "cow.ReadTable and extents"}}
	found := [2]int{}
	for range s.Rounds + 1 {
		for i, run := range []func() (int, error){
			func() (int, error) { return parseFloor(path, size, chunks) },
			func() (int, error) { return parseStore(ctx, path, chunks) },
		} {
			runtime.GC()
			start, before := time.Now(), ownCPU()
			if found[i], err = run(); err != nil {
				return err
			}
			r := results[cases[i].Name]
			r.CPU, r.Wall = append(r.CPU, ownCPU()-before), append(r.Wall, time.Since(start))
			results[cases[i].Name] = r
		}
	}
	if found[0] != found[1] {
		return fmt.Errorf("the floor finds %d extents, package cow %d", found[0], found[1])
	}
	s.report.AddGroup(group, cases, results)
	s.figure("exceptions: CPU of cow to floor", Ratio(results[cases[1].Name], results[cases[0].Name]), "x")
	s.figure("exceptions: CPU of cow each", float64(results[cases[1].Name].MedianCPU().Nanoseconds())/count, "ns")
	return nil
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
