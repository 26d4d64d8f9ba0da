// Package delta makes RBD images the two ends of ddsgo's own deltas.
//
// # Source
//
// What changed between two snapshots comes from `rbd diff`, the content from `rbd export-diff`, read
// as a stream:
//
//	magic    "rbd diff v1\n"
//	records  tag (1B), then
//	  f  from snapshot   len (4B) name
//	  t  to snapshot     len (4B) name
//	  s  size            bytes (8B)
//	  w  written         offset (8B) length (8B) content
//	  z  zeroed          offset (8B) length (8B)
//	  e  end
//
// Numbers are little-endian. The stream has no checksum: ddsgo's frames add them, and the stream must
// agree with the list of rbd diff, record by record, or no trailer is written. A shrink and regrowth
// is in the list (as zeros); growth beyond what was ever written is not, and is added as zeros.
//
// # Target
//
// A verified delta goes to `rbd import-diff` as the same stream, and ends in a snapshot that is named
// after its generation. The snapshots are the target's state and its history:
//
//	import-diff refuses when the base's snapshot is missing, and answers rc 17 when the delta's own
//	snapshot is there, that is, when the delta was applied before.
//
// A cut import leaves HEAD a mixture without a snapshot. Readers therefore take POOL/IMAGE@SNAPSHOT,
// never HEAD; and the same delta, kept in the journal, is applied again.
//
// Namespaces are not supported.
package delta
