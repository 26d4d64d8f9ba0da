// Package stream is the delta format of ddsgo: what `ddsgo extract` writes and
// `ddsgo merge` reads, what is stored, carried and shipped. This comment is the
// normative description of format version 1.
//
// # Words
//
//	delta     extents and their content that turn one generation of a volume into another
//	set       the extents that changed; its id names it across machines and retries
//	group     the extents of the set, in order, cut every FrameSize bytes or 16384 extents; group k is the
//	          same for every codec, worker count and retry, because only the set and the
//	          frame size decide its boundaries. A sub-chunk delta has no frame for a group in
//	          which nothing differs, and such a group has no number
//	frame     the record of one group, or of several groups in a row that read as zeros
//	span      how many groups a frame stands for
//	content   the bytes of a frame's data extents, one after the other, uncompressed
//	payload   the content as it travels: encoded by a codec, or raw
//	cursor    a verified prefix of a delta: where a cut transfer goes on
//
// # Layout
//
// Integers are little-endian. A delta is a header, frames, and a trailer; after the
// trailer comes the end of the input, and nothing else is accepted there.
//
//	+--------+-------+-------+ ... +-------+---------+
//	| header | frame | frame |     | frame | trailer |
//	+--------+-------+-------+ ... +-------+---------+
//
// # Header
//
//	 0        8       10     12      16                           16+H-8    16+H
//	+--------+-------+------+-------+-----------------------------+---------+
//	| magic  |version|  0   | H     | body                        | check   |
//	+--------+-------+------+-------+-----------------------------+---------+
//
//	magic    89 44 44 53 47 4F 0D 0A ("\x89DDSGO\r\n": mangled by a text-mode transfer)
//	version  u16, 1. A reader refuses every version that it does not know.
//	H        u32, bytes after offset 16, at most MaxHeader
//	check    u64, xxhash64 of everything before it
//
// Body, in this order (str = u8 length, then bytes):
//
//	u8   kind           1 delta, 2 full (every byte of the volume that is not zero)
//	u8   checksum kind  1 = xxhash64 per frame, SHA-256 over the stream
//	u8   flags          bit 0: sub-chunk (frames may carry base digests; such a delta is
//	                    right on exactly its base and on nothing else)
//	u8   0
//	u32  chunk size     of the snapshot that the set came from; 0 = not from chunks
//	u32  frame size     content of a group, MinFrameSize to MaxFrameSize
//	u64  volume size    bytes; no extent ends beyond it
//	u64  set bytes      sum of the set's extents: the most content that can follow
//	u64  first          sequence number of the first frame; not 0 only in a continuation
//	32   set id
//	generation from     str uuid, u64 seq, i64 time (Unix ns, 0 = unknown), i64 size
//	generation to       the same
//	str  source         what was read, for people
//
// # Frame
//
//	 0      4     5     6       8      16     20      24      28    32     40      44  48      56
//	+------+-----+-----+-------+------+------+-------+-------+-----+------+-------+---+-------+-------+---------+
//	|"DDfr"|flags|codec| bases | seq  | span |entries| table | raw | sum  |encoded| 0 | check | table | payload |
//	+------+-----+-----+-------+------+------+-------+-------+-----+------+-------+---+-------+-------+---------+
//
//	flags    bit 0 data: there is content; bit 1 zero: some extents read as zeros;
//	         bit 2 base: base digests follow; bit 7 raw: the payload is the content
//	codec    0 none, 1 s2 (block format), 2 zstd (one frame, no checksum of its own)
//	bases    u16, entries of the base table
//	seq      u64, number of the frame's first group; must be the one expected
//	span     u32, groups; more than 1 only in a frame without data
//	entries  u32, entries of the extent table
//	table    u32, bytes of extent table and base table together
//	raw      u32, bytes of content, at most the frame size
//	sum      u64, xxhash64 of the content, 0 without data
//	encoded  u32, bytes of payload, at most raw
//	check    u64, xxhash64 of bytes 0 to 48 and of the table
//
// Extent table: for each extent, ascending, two unsigned varints in their shortest form:
// the gap to the end of the entry before (for the first: the offset), and length*2 + z,
// z = 1 where the extent reads as zeros and has no content. Extents never overlap, never
// go back, also from frame to frame; two neighbours without a gap differ in z. So there is
// exactly one table for a list of extents.
//
// Base table: for each range of the base that the frame builds on: gap and length as
// varints, then the SHA-256 of that range in the base. The extents of the frame lie inside
// the union of these ranges. A reader checks all of them before it writes anything, and
// refuses ranges whose sum, over the delta, is more than the set.
//
// A writer of a sub-chunk delta compares the old content of each changed chunk with the new
// one in pieces of 4096 bytes. The extents of a frame are the pieces that differ; its base
// ranges are the chunks (or what of them lies in the group) that hold such a piece. A frame in
// whose chunks every piece differs needs no base table.
//
// Raw payloads are used where encoding saves less than 3 %.
//
// # Trailer
//
//	 0      4   8        16      24          32           40         48       80      88       96
//	+------+---+--------+-------+-----------+------------+----------+--------+-------+----------+
//	|"DDen"| 0 | frames | groups| data bytes| zero bytes | extents  | digest | check | end mark |
//	+------+---+--------+-------+-----------+------------+----------+--------+-------+----------+
//
//	bytes     data and zero bytes together are the header's set bytes; fewer only in a
//	          sub-chunk delta
//	digest    SHA-256, see below
//	check     u64, xxhash64 of bytes 0 to 80
//	end mark  0D 0A "DDSend"
//
// # Digest
//
// SHA-256 over the header and, for each frame in order, bytes 0 to 40 of the frame (codec 0,
// raw bit 0) and its table. Of the header go in: the fixed 16 bytes with H = 0, and the body
// with first = 0. Codec and encoded length are left out, and the content is in it by its sum,
// so the digest is the same for every codec, can be stopped and resumed at every frame, and
// proves order and completeness. It says that the stream arrived as it was sent. It is no
// proof against somebody who can write the stream: that is the transport's work.
//
// # Continuation
//
// A transfer that was cut goes on from a Cursor: the sender repeats the header with
// first = Cursor.Next and sends the groups from there; counts and digest of the trailer
// are those of the whole. Header fields other than first must equal those of the first part.
// In a sub-chunk delta the groups from there are those that begin at Cursor.End or behind it.
// A reader that has no cursor refuses a continuation.
//
// # What is refused
//
// Each in its own way (errors.go), before anything is allocated from a length that was
// read: not a delta, unknown version, damaged header, limits, truncated, out of order,
// outside the volume, checksum, unknown codec, content that decodes to another length,
// wrong counts, wrong digest, bytes after the end.
package stream
