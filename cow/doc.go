// Package cow reads the persistent exception store of a device-mapper snapshot: which chunks
// of the origin were written since the snapshot was taken.
//
// # Words
//
// The store is the device that LVM names VG-SNAP-cow. It is divided into chunks, as is the
// volume. An exception says: the snapshot's content of chunk Old of the volume is in chunk New
// of the store, because the origin was written there. The table of exceptions lies in areas
// of one chunk each.
//
// # The store
//
//	chunk 0       header: magic "SnAp" (4) | valid (4) | version (4) | chunk size in sectors (4), then zeros
//	chunk 1       area 0: n exceptions of old chunk (8) | new chunk (8), n = chunk size / 16
//	chunk 2..n+1  the data of area 0's exceptions
//	chunk n+2     area 1
//	...           area a is chunk 1 + a*(n+1)
//
// All numbers are little-endian. The rules below are those of the kernel's
// drivers/md/dm-snap-persistent.c; each was checked against real snapshots.
//
//   - The table ends at the first exception whose new chunk is 0; no data chunk has number 0.
//   - An area is zeroed as a whole before its first use, and before the area before it is
//     written full. So the area after a full one may be read, unless the store ends there;
//     areas beyond that hold whatever the disk held before, and are never looked at.
//   - New chunks ascend strictly through the table and are never header or area chunks.
//     Kernels before 3.13 could break the first rule after a crash; they are not supported.
//   - Old chunks are unique and inside the volume. The volume's last chunk may be cut.
//   - An exception is on disk before the write to the origin that caused it completes.
//
// # A store in use
//
// The table grows while it is read. That only adds chunks which were written after the
// caller's own point in time; what was there when the reading began is found. The store must
// be read with direct I/O (blockdev.Options.Direct): the kernel writes it beneath the page
// cache and buffered reads are stale, also after a reopen. The header is read again at the end:
// a snapshot that overflowed meanwhile is ErrInvalid, because an overflowed table looks plausible.
//
// A table cannot tell that its end was lost: a zeroed entry is a proper end. Options.ExpectAtLeast
// closes this gap with device-mapper's own count. Only while a snapshot is merged into its
// origin does a table shrink; the caller refuses such snapshots by their LVM attributes,
// which is not visible here.
//
// # Memory
//
// ReadTable keeps one bit for each chunk of those regions of 4096 chunks of the volume that were
// changed at all (extent.Bitmap), and one chunk per parallel reader. Exceptions keeps one chunk.
package cow
