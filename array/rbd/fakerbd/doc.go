// Package fakerbd is a stateful fake of the rbd, rados and ceph command lines of two clusters, for
// tests. It answers with the JSON shapes, the words and the exit statuses that Ceph 16.2.15 gave on
// the real lab (array/rbd/testdata/16.2), and it has that Ceph's traps:
//
//   - the reported status is refreshed only now and then, and survives its daemon;
//   - promote after demote is busy until the demotion has arrived;
//   - an unforced promote of a once-demoted image succeeds beside a primary on the other side;
//   - a forced promote starts a new lineage, and the old primary, once demoted, is in split brain;
//   - resync deletes the image first; disable deletes the peer's image;
//   - the peer's rbd-mirror keeps a primary image of snapshot mode open;
//   - a write without a flush after it is replayed, but the peer's commit position stays before it;
//   - an image that rbd-mirror makes is there for a moment before it is mirrored;
//   - a clone that is mirrored by snapshots loses its parent's data from the second snapshot on;
//   - an rbd-mirror that pulls makes a tx-only row at the other side, beside which no peer can be added;
//   - failures of "no such X" print `[]` or nothing on standard output beside rc 2.
//
// Time is counted in ticks: every command is one tick, so waiting by polling works and nothing
// depends on a clock. Content is a byte slice per image.
package fakerbd
