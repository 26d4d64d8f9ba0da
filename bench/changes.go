package bench

import (
	"math/rand/v2"
	"slices"
)

// Changes is a set of rewritten blocks of a volume.
type Changes struct {
	Seed uint64
	// Count is the number of blocks.
	Count int64
	// Cluster is how many neighbouring blocks are rewritten together; 1 or less: scattered.
	Cluster int64
}

// Percent is the number of blocks that are that share of a volume.
func Percent(v Volume, percent int64) int64 { return v.Bytes / BlockSize * percent / 100 }

// Blocks is the rewritten blocks, each once, in the order of the writes.
func (c Changes) Blocks(v Volume) []int64 {
	total := v.Bytes / BlockSize
	rng := rand.New(rand.NewPCG(c.Seed, 0xc4a9))
	cluster, count := max(1, c.Cluster), min(c.Count, total)
	seen := make(map[int64]bool, count)
	blocks := make([]int64, 0, count)
	for int64(len(blocks)) < count {
		start := rng.Int64N(total)
		for b := start; b < min(start+cluster, total) && int64(len(blocks)) < count; b++ {
			if !seen[b] {
				seen[b] = true
				blocks = append(blocks, b)
			}
		}
	}
	return blocks
}

// Sorted is Blocks in ascending order.
func (c Changes) Sorted(v Volume) []int64 {
	b := c.Blocks(v)
	slices.Sort(b)
	return b
}

// Fill makes the new content of a rewritten block: half are text, half random.
func (c Changes) Fill(p []byte, block int64) {
	seed := splitmix64(c.Seed ^ uint64(block)<<1 ^ 0xbeef)
	class := HardText
	if seed&1 == 1 {
		class = Random
	}
	Fill(p, class, seed)
}
