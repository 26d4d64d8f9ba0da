// Package journal keeps redo transactions of a target: deltas that were received and
// verified as a whole before the first byte of the target is touched.
//
// # Words
//
//	spool        the file that a delta is received into. It holds the delta byte for byte
//	             (package stream), so a finished spool is itself a delta that can be inspected
//	member       one delta of a transaction, for one target volume; a group has several
//	commit       the step that makes the spools of all members a journal, or none of them
//	journal      a committed transaction: absolute offsets and bytes, verified when they were
//	             received. Writing it again is always right as long as the state says so;
//	             it reads nothing from the volume and needs no source
//
// # Directory
//
//	DIR/incoming/MEMBER.delta     spools; may be cut anywhere, and are verified again from
//	                              their first byte before a transfer goes on behind them
//	DIR/committed/MEMBER.delta    the members of the journal
//	DIR/committed/commit.json     what was committed; its checksum covers it
//	DIR/history/NAME.delta        undo deltas, where they are kept (History)
//	DIR/trash/                    what is being deleted; emptied by Open
//
// Limit sets a quota for all of it together: a spool or an undo delta that could exceed it is
// refused before its first byte, and no spool takes more than was announced for it.
//
// # Commit
//
//  1. fsync of every member's spool
//  2. commit.json written into incoming, fsync
//  3. fsync of incoming
//  4. rename of incoming to committed: the commit
//  5. fsync of DIR
//
// A crash before 4 leaves an incoming that nobody takes for a journal; between 4 and 5
// either. Step 4 is refused while there is a committed journal. Remove renames committed to
// trash first, so that a journal is never seen with half of its members.
//
// # What it does not do
//
// It does not decide whether a journal may be applied: state does (the base, the role, the
// fence). It does not lock: callers hold the volume's lock. After any error of a write or
// fsync on the target, the whole journal is applied again, never the fsync alone; package
// engine does that.
package journal
