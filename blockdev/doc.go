// Package blockdev opens volumes, and tells what a volume is, who uses it, and whether it
// was written behind our back.
//
// # Reading and writing
//
// A Disk is a block device or a regular file. Its size is fixed when it is opened; no
// operation extends it. With Options.Direct reads go through a second descriptor with
// O_DIRECT: they see what is on the device now, never a stale page. This is mandatory for
// the COW devices of snapshots, which the kernel writes beneath the page cache. Any offset
// and length can be read: what is not aligned goes through a pooled, aligned buffer. Writes
// always go through the page cache and are durable after Sync; the kernel writes dirty
// pages back before a direct read of the same range.
//
// ZeroAt tries fallocate(FALLOC_FL_ZERO_RANGE), then, for files only, PUNCH_HOLE, then
// writes zeros. A discard is never used: on a block device it promises nothing about what
// is read afterwards.
//
// # Who uses a device
//
// Holders gathers mounts, swaps, devices stacked on top, the device-mapper open count and the
// answer to an exclusive open. No single one of these suffices: O_EXCL is advisory and does not
// see an opener without it; mounts of other mount namespaces are seen by O_EXCL only; the open
// count exists for device-mapper only.
//
// # Was it written behind our back
//
// Counters reads the kernel's count of writes and discards since boot, with the boot's
// identity: equal counters in the same boot mean that nothing was written in between. A
// clean read-only mount does not move them.
//
// Sub-packages: mem (memory, with crash clones that lose what was not synced), fault (fails
// the n-th operation), blockdevtest (the conformance suite that every Device passes).
package blockdev
