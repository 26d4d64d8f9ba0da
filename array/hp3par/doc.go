// Package hp3par drives Remote Copy groups of HPE 3PAR arrays (and of their successors
// Primera and Alletra, which speak the same language).
//
// # Words
//
//	array      one storage system, called by the name under which its peer knows it:
//	           the Target column of showrcopy
//	group      a Remote Copy group as one array sees it; on the peer it has another
//	           name, usually NAME.r<system id of the creator>
//	role       Primary or Secondary; "-Rev" while it differs from the group's natural one
//	point      the instant whose content the secondary holds: the group's Last-Sync
//	method     how an array is reached: ssh, cli (the vendor's program), proxy, wsapi
//	act        one command or request that changes something
//
// # States
//
// X is one site, Y the other. The plan of every verb is read off this table; what the
// array does by itself in between is only another row of it.
//
//	X             Y               meaning                    how to leave it
//	Primary       Secondary       replicates X to Y          stop, reverse on Y, start
//	Primary       Primary-Rev     Y was failed over, X was   keep Y: recover on Y
//	                              not told: two primaries    keep X: reverse -local -current on Y
//	Secondary-Rev Primary-Rev     Y was failed over          stopped: recover on Y, overwrites X
//	                                                         started: restore on Y, X is Primary
//	Secondary     Primary-Rev     only the natural roles     reverse -natural -local on the
//	Secondary-Rev Primary         disagree                   one that is reversed
//	Secondary-Rev Secondary       nobody is primary          reverse -local -current on one
//
// # What is believed
//
// Exit statuses are not reliable, and neither is a line "Task 2576 done": both are read,
// to fail early, but only the next observation says that something is done. A point of a
// periodic group counts if it is newer than the one that was read when no transfer was
// under way, just before the act. Words and numbers that are not known are "unknown" and
// never healthy. Zone names are looked up in a table of the configuration, because Go's
// time.Parse accepts any three letters and silently takes them for UTC.
//
// A change of direction is a toggle. Where no reply came to one, both sides are read for a
// quarter of a minute before it is sent again, and a group that is busy is looked at, not
// told again. A command that the array had no session for is repeated: it was not seen.
//
// Of two primaries only the reversed one is what start and failover make it; the other
// was never told that it is out of date.
//
// Where an array shows no Last-Sync, the volumes' own times take its place as what has to
// move. They tell the end of a transfer, not the instant that the secondary holds.
//
// # Members
//
// A group's make-up changes while it is stopped, at its primary. What is true of one volume
// is read for these verbs alone (facts); a status costs one listing. While a change is under
// way, the volume's comment holds a note
//
//	ddsgo:RESOURCE:WORD[.WORD...]
//
//	new       the volume was made by this change
//	old       it was there before
//	nogroup   the group was made by this change
//	started   the group was Started before
//	removes   the change takes the volume out
//
// from which any later run finishes the change, or rolls it back as far as what it says: a
// stage that is refused undoes the stages before it, in this run and in those before. The
// note goes last. A volume with a comment of its own gets none, unless it is to be deleted.
//
// Which number a WSAPI error carries is known for a few errors only; on all others the
// driver goes by the HTTP status.
package hp3par
