// Package extent holds byte ranges of a volume: extents, sets of them, sequences that need no
// memory, bitmaps, and the durable changed-set file.
//
// # Words
//
// An Extent is a half-open byte range. A Seq is an ascending, disjoint sequence of extents
// that may fail; Union, Clip, Outward and Checked compose sequences and hold one extent of
// each. A Set is a small set in memory with the usual algebra. A Bitmap is a large set of
// granules (the chunks of a snapshot) in pages that exist only where something changed. A
// changed set is a file: what was written to a volume between two generations.
//
// # The changed-set file
//
// It is written once, when an exception table has been read and found valid, and never
// changed. All numbers are little-endian, "uvarint" is the base-128 encoding of
// encoding/binary in its shortest form, checksums are xxhash64 with seed 0.
//
//	+---------------+-------------+--------------+--------------+---------------+
//	| magic (8)     | version (4) | length n (4) | header (n)   | checksum (8)  |
//	| "DDSGOSET"    | 1           | <= 4096      | see below    | all before it |
//	+---------------+-------------+--------------+--------------+---------------+
//	any number of blocks, none of them empty:
//	+---------------+-------------+-----------------------------+---------------+
//	| length n (4)  | extents (4) | payload (n), n <= 65536     | checksum (8)  |
//	| not 0         | not 0       | gap, length, gap, length .. | of the block  |
//	+---------------+-------------+-----------------------------+---------------+
//	the trailer, after which nothing follows:
//	+---------------+-------------+-------------+---------------+---------------+
//	| 0 (4)         | 0 (4)       | extents (8) | bytes (8)     | SHA-256 (32)  |
//	|               |             | in the file | of the volume | all before it |
//	+---------------+-------------+-------------+---------------+---------------+
//
// The header is: volume (text), from and to (each: UUID (text), sequence, time, size), size,
// chunk size, folded. A text is its length and its bytes; everything else is one uvarint. A
// time is nanoseconds since 1970, 0 for none.
//
// In a payload, gap and length are uvarints counted in chunks. The gap is from the end of
// the extent before (for the first of the file: from chunk 0); it is never 0 except for the
// first, because touching extents are one. Only the volume's end cuts a chunk: the extent
// that reaches the last chunk ends at size. A block holds as many extents as fit while at
// least 20 bytes are free before each, so equal sets give equal files.
//
// The SHA-256 is the identity of the set, SetID: a transfer that was cut resumes only with
// the same identity. It guards against damage and confusion, not against an adversary who
// may write the file.
//
// # What is refused
//
// A reader checks, in this order: magic, version, limits (before it allocates), header
// checksum, header fields, and for each block limits, checksum, order and bounds, at last
// counts, identity, and that nothing follows. Each has an error of its own, see errors.go.
package extent
