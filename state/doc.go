// Package state keeps what one end durably knows about each volume: its role, fence,
// condition and generation, and the cursors and marks from which an interrupted run
// goes on. It is the specification of the state directory.
//
// # Words
//
//	document   what is known about one volume; source and target share the schema
//	identity   what a volume is recognised by (LV UUID, inode and birth time ...), never its path
//	role       who writes: primary = applications, secondary = replication
//	fence      number raised by every promote; whoever knows only a lower one is refused
//	condition  what a target's content is: see Kind
//	leg        one source volume to one target volume, with its own cursor
//	stamp      last generation that plain merge wrote to a device, with no configuration
//	session    a receiver's revocable claim on a volume
//
// # Directory
//
//	STATE_DIR/                          mode 0700
//	  volumes/IDENTITY/state.json       the document
//	  volumes/IDENTITY/state.json.prev  the one before: evidence for doctor, never loaded
//	  volumes/IDENTITY/state.json.rejected  what Reset replaced: evidence
//	  volumes/IDENTITY/session.json     the present session
//	  volumes/IDENTITY/sets/ID.set      changed sets (format: package extent)
//	  volumes/IDENTITY/...              spool and journal (package journal)
//	  stamps/IDENTITY.json              stamps
//	  locks/IDENTITY.lock               flock; the text in it is for people
//
// # Files
//
// Every JSON file is one object:
//
//	{"format": "ddsgo-state",
//	 "schema_version": 1,
//	 "checksum": "sha256:...",
//	 "body": {"current": {document}, "pending": null, "forget": false}}
//
// The checksum covers format, a space, schema_version, a line feed and the body
// without insignificant white space. A file is judged in this order: JSON and known
// keys, format, version (a newer one is ErrNewer: an older program must not drop
// fields that it does not know), checksum, body. Anything wrong is ErrDamaged, and the
// refusal names the file and the repair; no other file is loaded in its place.
//
// # Commit
//
// Role, fence, condition and generations also stand on a logical volume as tags, where
// they cannot drift apart from the data:
//
//	ddsgo.role=secondary  ddsgo.fence=2  ddsgo.cond=applying
//	ddsgo.gen=7/Zd3fOM-...  ddsgo.to=8/iCh3rz-...
//
// A commit that changes them is three durable steps (temporary file, fsync, rename,
// fsync of the directory; one lvchange; the file again):
//
//	(a) file: current = old, pending = new    (b) tags := new    (c) file: current = new
//
// One that leaves the tags as they are, or whose volume has none, is step (c) alone.
// What Load makes of file and tags:
//
//	file               tags       result
//	absent             absent     ErrNotFound
//	absent             present    refused: ErrLost
//	current            current    current
//	current, pending   current    cut before (b): current; the file is put back
//	current, pending   pending    cut after (b): pending; (c) is done
//	anything else                 refused: ErrDisagree
//	damaged            any        refused: ErrDamaged
//
// Only Reset, an operator's act, gets out of a refusal, and never over a primary.
//
// The tests put a fault on every file and tag operation of every kind of commit (error
// before and after its effect, power cut before and after it, with unsynced directory
// entries lost at random) and find the old state or the new one each time.
//
// # What is not promised
//
// Two processes without the Lock can both commit; the revision in the document makes
// the second one ErrStale unless they really race. A state directory restored from a
// backup is noticed where the tags moved since, and on volumes without tags it is not.
// The identity of a plain file ends with the file: replaced by another, it has no state.
package state
