package replica

import "github.com/ddsgo/ddsgo/generation"

// Snapshot says what stands under one of the two snapshot names of a source.
type Snapshot int

// What a logical volume under a snapshot name can be.
const (
	SnapAbsent       Snapshot = iota
	SnapGood                  // valid, active, read-only snapshot of our origin
	SnapWritable              // valid and active, but somebody may have written to it
	SnapOverflowed            // invalid: its table no longer tells the truth
	SnapMiswired              // valid and active, but the kernel does not connect it with the origin's writes
	SnapMerging               // being merged into the origin: its table drains
	SnapInactive              // known to LVM, not to the kernel
	SnapOtherOrigin           // a snapshot of another volume
	SnapPlain                 // no snapshot (any more), but it carries our tag
	SnapPlainForeign          // no snapshot and not ours: never touched
)

var snapshotNames = [...]string{"absent", "good", "writable", "overflowed", "miswired", "merging", "inactive", "other-origin", "plain", "plain-foreign"}

func (s Snapshot) String() string { return snapshotNames[s] }

// SnapshotFact is a snapshot name, what stands under it, and its LV UUID.
type SnapshotFact struct {
	Name  string
	State Snapshot
	UUID  string
	Ours  bool // carries a ddsgo tag, or the local state knows its UUID
}

// tracks says that the snapshot's table still records every write since it was made.
// Writes to the snapshot itself only add chunks, so a writable one tracks too.
func (s SnapshotFact) tracks() bool { return s.State == SnapGood || s.State == SnapWritable }

// LocalState says how much of the source's own state could be read.
type LocalState int

// The source's own state document.
const (
	LocalMissing  LocalState = iota
	LocalDamaged             // unreadable: refused, never guessed around
	LocalDisagree            // file and LV tags name different states, and not by a cut commit
	LocalLoaded
)

var localNames = [...]string{"missing", "damaged", "tags-disagree", "loaded"}

func (l LocalState) String() string { return localNames[l] }

// LocalFacts is the source's own memory of the chain.
type LocalFacts struct {
	State    LocalState
	Base     generation.Generation // of the tracking snapshot; proven on the target
	Pending  generation.Generation // of the snapshot of an unfinished run, or zero
	SetSaved bool                  // the changed set Base -> Pending is on disk and valid
	Full     bool                  // the unfinished run is a full copy
	// Proven is the newest generation that the target was seen to hold, where that is newer
	// than Base: then the tracker covers more than is needed.
	Proven generation.Generation
	// Older are the generations, newest first, from which kept changed sets lead to Base.
	Older []generation.Generation
	Held  bool // by `ddsgo break`
}

// TargetCondition is what the far side answered.
type TargetCondition int

// Conditions as the source sees them. Primary and Unreachable are not conditions
// of a volume but answers of the far side all the same.
const (
	TargetEmpty TargetCondition = iota // no state there: never received anything
	TargetClean
	TargetApplying     // a journal that could not be rolled forward yet
	TargetInconsistent // an unjournalled write was cut
	TargetSuspect
	TargetHeld
	TargetPrimary
	TargetOtherVolume // holds a generation of another source
	TargetDamaged     // its state cannot be read
	TargetUnreachable
)

var targetNames = [...]string{"empty", "clean", "applying", "inconsistent", "suspect", "held", "primary", "other-volume", "damaged", "unreachable"}

func (t TargetCondition) String() string { return targetNames[t] }

// TargetFacts is the far side's answer. At is its generation (clean) or the one its
// unfinished write started from; To is where that write leads.
type TargetFacts struct {
	Condition TargetCondition
	At        generation.Generation
	To        generation.Generation
	Detail    string // reason in words, for refusals
}

// Facts is everything that reconcile looks at.
type Facts struct {
	Resource     string
	Origin       string // vg/lv of the source, for messages
	OriginSize   int64  // bytes, now
	Snap1, Snap2 SnapshotFact
	PendingTable bool // the origin has an inactive device-mapper table
	Suspended    bool // the origin is suspended
	Local        LocalFacts
	Target       TargetFacts
}
