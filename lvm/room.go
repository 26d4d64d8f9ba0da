package lvm

// DefaultChunk is LVM's chunk size for snapshots.
const DefaultChunk = 4 << 10

// StoreBytes is what an exception store of size bytes takes of the origin's group: whole extents, and no more than can
// ever be used, which is what LVM makes of a larger size; chunk 0 is LVM's default. It is a lower bound: where it does
// not fit, lvcreate fails.
func StoreBytes(origin LV, size, chunk int64) int64 {
	if chunk <= 0 {
		chunk = DefaultChunk
	}
	chunks := ceil(origin.Size, chunk)
	largest := (1 + chunks + ceil(chunks, chunk/16)) * chunk
	return Extents(origin, min(size, largest))
}

// Extents is size rounded up to whole extents of v's group.
func Extents(v LV, size int64) int64 {
	if v.ExtentSize <= 0 {
		return size
	}
	return ceil(size, v.ExtentSize) * v.ExtentSize
}

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }
