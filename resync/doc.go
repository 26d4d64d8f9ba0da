// Package resync finds out in which blocks two volumes on two machines differ, by
// exchanging digests instead of content. It is how a broken chain is rejoined and how a
// copy is verified.
//
// # Words
//
//	comparing end  has the content that counts (a snapshot of the source); learns what differs
//	serving end    has the copy
//	block          the unit of the result, a power of two from 512 bytes to 1 MiB
//	stripe         1 MiB of the volume, the unit of the first level
//	window         64 stripes, the unit of the exchange and of memory
//	digest         the first 16 bytes of a SHA-256 over the salt and what is digested
//	salt           16 random bytes, made for each exchange by the comparing end
//
// # Exchange
//
// Both ends read the same range of their volumes, from its start to its end, each byte once, and
// at the same time. Of every block they make a digest, and of every stripe a digest over the
// digests of its blocks. The serving end sends the stripes' digests of a window; the comparing
// end answers with a bitmap of the stripes whose digest differs from its own; the serving end sends
// the blocks' digests of those, which it kept. Up to four windows are in flight, so neither end
// waits for the line. Nothing is read twice: the second level costs memory, not I/O.
//
//	serving end:   stripes(0) .. stripes(3)  blocks(0)  stripes(4)  blocks(1) ..         end
//	comparing end:         want(0)  want(1) ..
//
// # Messages
//
// Little-endian, each with the same head. Their order and every count follow from the range and
// the block size, so a reader knows what must come and refuses anything else; no length from a
// peer is ever allocated.
//
//	 0      1         4         8               16
//	+------+---------+---------+---------------+----------------------+
//	| type | 0 0 0   | count   | offset        | payload              |
//	+------+---------+---------+---------------+----------------------+
//
//	 1 stripes  count digests of the stripes of the window at offset
//	 2 blocks   count digests of the blocks of the stripe at offset
//	 3 end      no payload, count 0; offset is how far the serving end came
//	 4 want     a bit for each of the count stripes of the window at offset, least
//	            significant first; unused bits are 0
//
// The serving end may stop after any whole window, for example to give a lock back; the comparing
// end begins a new exchange there.
//
// # Why 128 bits of digest
//
// Equal digests are believed to mean equal blocks, so a collision would be silent divergence.
// By chance it takes 2^64 blocks (2^76 bytes at 4 KiB) to see one. On purpose, whoever may write to the
// volume would have to make two blocks that collide before the salt is known to him, and the salt
// is drawn when the exchange begins.
//
// # What is not promised
//
// That the ranges do not change meanwhile: callers compare snapshots, or volumes that nobody
// writes, and check that nobody did. A peer that lies can hide a difference or invent one, inside
// the range.
package resync
