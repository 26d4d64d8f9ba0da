// Package image makes RBD images the ends of configured legs: rbd -> logical volume or file, logical
// volume -> rbd, rbd -> rbd between clusters without rbd-mirror. It speaks the session language of
// package replica, so that any source works with any target.
//
//	Leg (source)      an image; Sync, Full, hold, release. Its far end is `ddsgo serve` on the
//	                  target's host, or a Copy of this process
//	Copy (target)     an image that deltas are applied to; its far end is a Leg of this package, or a
//	                  source of package replica in this process
//	Driver            a Leg as an array.Driver: every verb and every status has one shape
//
// # Where the state is
//
// In the images' own metadata, so that any host that reaches the clusters can go on; and it is
// believed only on the image that it was written for: rbd cp copies metadata, too.
//
//	source  ddsgo.leg.HASH   Tracker: the base snapshot, the snapshot of an unfinished run, held
//	target  ddsgo.copy       Replica: role, condition, generation, history
//
// A line of metadata is there as a whole or not at all; that is the commit.
//
// # Source
//
// The snapshot of the last sync stays: `rbd diff` against it tells what changed. Snapshots are named
// before they are made (ddsgo.HASH.RUN), and only such as the tracker names are ever removed.
//
//	commit pending name ─► snap create ─► commit its id ─► send ─► commit base := pending ─► snap rm old
//
// Reconcile is pure and has an answer for every cut of that line.
//
// An rbd diff lists what differs between two instants, not all that was written between them: what
// was written and discarded again is missing. So the superset rule of package replica does not hold,
// and a target that was cut between base and pending gets exactly base -> pending again.
//
// # Target
//
//	spool, verified ─► journal commit ─► commit applying ─► rbd import-diff, which ends in a snapshot
//	─► commit clean ─► older snapshots beyond Keep removed ─► journal removed ─► answer
//
// The snapshot (delta.SnapshotName of the generation) is what readers take: POOL/IMAGE@SNAPSHOT,
// never HEAD. A cut import is cured by the journalled delta again; rc 17 means that it was done.
// Where the journal is lost, the source sends the same delta again, or Rollback makes the image equal
// to an earlier generation's snapshot, when somebody asks for that by name.
//
// # What is not promised
//
// Locks are local to a host: one leg is run from one host at a time. Full copies are not journalled
// and start anew when they are cut. An image is not made read-only between syncs, which Ceph cannot
// do: writes of others are found (rbd diff against the generation's snapshot) and refused.
package image
