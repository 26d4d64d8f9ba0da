// Package rbd drives Ceph RBD mirroring: one image on two clusters, in journal or snapshot mode.
//
// # Words
//
//	primary      the side that accepts writes; at most one, and nothing in Ceph enforces that
//	demote       primary -> non-primary; promote the other way; promote --force without asking
//	split brain  both sides have been primary since the last common point: nothing replicates
//	resync       the non-primary side is deleted and copied again from the primary
//	rbd-mirror   the daemon of a cluster that pulls from the other one; two of them, one each
//	status       what the daemons last reported, up to 30 s old, kept for ever after their death
//
// # What is believed
//
// Every observation asks both clusters, because what one of them says of the other is old, and looks
// healthy when that is dead. Nothing is decided by the status alone:
//
//	role          `rbd info` of each cluster
//	exact, journal    in the primary's journal the peer's commit position has reached the writer's
//	exact, snapshot   the copy has a complete snapshot whose primary_snap_id is the primary's newest
//	first copy    snapshot mode: a complete snapshot; journal mode: no .rbd-mirror. snapshot and a report
//	in use        watchers, without the rbd-mirror daemons (they watch rbd_mirroring) and passers-by
//	writable      a line of metadata was written (ddsgo.writable)
//
// The commit position of a journal lags its last write by up to rbd_journal_commit_age (5 s). So update
// waits that long, notes the position in the image's metadata, which itself moves the journal, and is
// done when the peer is beyond the noted position.
//
// rbd-mirror commits what it has replayed only up to the last flush in the journal. After a write
// without one (its client was killed, or never flushes) the two positions stay apart for ever, although
// the data are there. A swap that has waited twice the settling time therefore writes that note, too.
//
// # What is never done
//
// Break neither demotes (that stops production) nor disables (that deletes the peer's image): in
// journal mode the target's daemon is told to stop through its admin socket, in snapshot mode the
// image's own schedules are saved in its metadata and removed. A pool's mirroring mode is never
// switched. A promotion is preceded, in the same step, by a look at the other side. A resync needs the
// other side to answer and to be primary, this one to be demoted, no first copy under way, and
// --discard.
//
// # Clones
//
// A clone is mirrored in journal mode, when the peer has its parent. In snapshot mode Ceph's own copy of
// it is wrong (cloneTrap), so create and setup refuse it, and status calls one that is there suspect.
//
// # After a forced promotion
//
// rbd-mirror of the surviving side may wait for the dead cluster for ever, and keeps the image's
// exclusive lock meanwhile: promote has exit status 0, and every write fails with "read-only". The
// driver proves the promotion by a write; when that is refused for 15 s while the lock is a daemon's,
// it takes the lock (`rbd lock rm`), which blocklists the daemon, and proves again.
//
// # State
//
// ddsgo keeps no state of its own here. What it must remember lives in the image's metadata, which
// mirroring carries to the other side: ddsgo.paused, ddsgo.features, ddsgo.created, ddsgo.sync,
// ddsgo.writable.
//
// # Errors
//
// The exit status of rbd is an errno; the same one means several things, which the words tell apart.
// A CallError keeps the command, the errno, rbd's words and librbd's log line, which is usually the
// real reason. See errors.go.
//
// # Not covered
//
// Namespaces, image groups, two-way daemons of one cluster, encryption. Proven on Ceph 16.2.15 only.
package rbd
