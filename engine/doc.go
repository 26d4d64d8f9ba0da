// Package engine is the data path: it turns extents and a snapshot's content into a delta
// (Extract), verifies a delta while it is stored (Receive), and writes one to a device
// (Apply, Merge). It knows neither LVM nor ssh nor state; package replica and the plumbing
// verbs decide what is read from where and whether it may be written.
//
//	Source ─► cut ─► read ─► sift ─► pack ─► emit ─► w        Extract (extract.go)
//	r ─► decode ─► verify ─► store ─► spool                   Receive (receive.go)
//	spool ─► decode ─► write, zero ─► fsync                   Apply   (merge.go)
//	r ─► decode ─► verify ─► write, zero ─► fsync             Merge   (merge.go)
//	spool ─► base digests ─► read, hash, compare              CheckBases (bases.go)
//	device ─► what a delta will overwrite ─► w                Undo    (undo.go)
//
// With ExtractOptions.Old, Extract makes a sub-chunk delta: it compares each group with the
// base's content in pieces of DiffGrain bytes, sends those that differ, and the SHA-256 of the
// old content of every chunk that keeps a part of it (subchunk.go). Only Apply writes such a delta,
// and only after CheckBases has found that the device is that base.
//
// # Guarantees
//
//   - A delta without trailer, or whose counts or digest differ, is never a success.
//   - Frame boundaries and order depend on the set and the frame size alone: neither codec
//     nor workers nor a resumed transfer change the digest.
//   - Memory is bounded by options: buffers in flight, not the volume or the delta.
//   - A cancelled context ends every function within a second, also while a peer is silent.
//   - Device functions (WriteAt, ZeroAt) are called from several goroutines at once, for
//     ranges that do not overlap.
//
// # What it does not guarantee
//
// Merge writes while it receives: after an error the device is a mixture. Callers mark it
// before, or use Receive and Apply with a journal.
package engine
