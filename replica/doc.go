// Package replica is the control path: it plans and executes what happens to a replica of a
// logical volume. It is the only place where the data path, LVM, ssh and state meet.
//
// # Words
//
//	leg       one source volume to one target volume
//	source    the volume that applications write to, on the host that runs `ddsgo sync`
//	target    the copy; `ddsgo serve` on its host answers the source (Service)
//	tracker   the snapshot whose exception table tells what was written since the base
//	           generation; named ..._osvc_snap1 between runs
//
// # A sync, function by function
//
//	source                                     target
//	openSource   lock, document
//	connect      ── probe ──────────────────►  rollForward, describe
//	facts        snapshots by UUID, kernel tables, changed set, target's answer
//	Reconcile    pure: what is left to do
//	clean, mend  what an interrupted run left
//	snapshot     intent, lvcreate, UUID
//	readTable    exception table -> changed set, durable
//	send         ── receive ────────────────►  admit, spool (no lock), stillWanted,
//	                                           journal commit, apply, clean(N+1)
//	rotate       ◄── answer ─────────────────
//
// What else there is to a transfer: sub-chunk deltas (subchunk.go at the source, bases.go at the
// target), a target that is written under a snapshot (guard.go), undo deltas (history.go).
//
// A target that is behind the tracker gets the union of kept changed sets (keptsets.go). Fold
// (fold.go) gives a leg a fresh tracker without its target; the watch (watch*.go) extends or
// folds before a snapshot overflows; Grow (grow*.go) brings a pair to a larger size.
//
// # Invariants
//
//   - The document is committed before and after each change of LVM, so that a run killed
//     anywhere leaves facts for which Reconcile has an answer.
//   - Snapshots are recognised by UUID, never by name.
//   - Only the target's final answer makes a transfer a success.
//   - The target's device is opened for writing only by target.write, which refuses a
//     device that anybody else holds, and makes it read-only again on every path.
//   - A union of sets is right by the superset rule: whole chunks, the newest content.
//   - Nothing is removed that does not carry our tag or whose UUID the document does not
//     name.
//
// # What it does not do
//
// It does not schedule (systemd timers do), and it does not bring a failed-over leg home:
// that takes a full copy in the other direction as yet.
package replica
