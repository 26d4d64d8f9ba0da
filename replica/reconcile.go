package replica

import (
	"fmt"
	"slices"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
)

// Verdict is what a sync does after the clean-up.
type Verdict int

// Verdicts of reconcile.
const (
	VerdictRefuse Verdict = iota // exit Code, nothing done but the clean-up
	VerdictRejoin                // the chain is broken: only a full copy or a resync helps
	VerdictStart                 // new snapshot, read the tracker's table, send
	VerdictReread                // snapshot is there, its changed set is not: read the table, send
	VerdictResend                // snapshot and changed set are there: send
	VerdictRotate                // the target has it already: rotate, then start anew
)

var verdictNames = [...]string{"refuse", "rejoin", "start", "reread", "resend", "rotate"}

func (v Verdict) String() string { return verdictNames[v] }

// CleanupKind is one repair of what an interrupted run left.
type CleanupKind int

// Repairs, in the only order in which they are safe: a pending table must be
// gone before anything resumes the origin, or the origin's writes fail.
const (
	CleanTable    CleanupKind = iota // clear the origin's inactive table
	CleanLeftover                    // remove a plain left-over that carries our tag
	CleanResume                      // resume the origin
	CleanSnapshot                    // remove a snapshot of ours that no longer serves
)

var cleanupNames = [...]string{"clear-table", "remove-leftover", "resume-origin", "remove-snapshot"}

func (k CleanupKind) String() string { return cleanupNames[k] }

// Cleanup is one repair; LV is the name it is about (empty: the origin).
type Cleanup struct {
	Kind CleanupKind
	LV   string
}

// Decision is the answer of reconcile.
type Decision struct {
	Cleanup []Cleanup
	Verdict Verdict
	Tracker string                // LV whose table tells what changed (start, reread)
	Data    string                // LV that holds the data (reread, resend, rotate)
	From    generation.Generation // what the delta's header names as its base
	Since   generation.Generation // kept sets from here to the tracker's generation belong to the delta; zero: none
	To      generation.Generation // generation of Data (reread, resend, rotate)
	Code    int                   // exit code (refuse, rejoin)
	Reason  string
	Next    string
}

// Err is the decision as an error, nil unless it refuses.
func (d Decision) Err(f Facts) error {
	if d.Verdict != VerdictRefuse && d.Verdict != VerdictRejoin {
		return nil
	}
	return &failure.Error{Code: d.Code, Subject: f.Resource, Reason: d.Reason, Next: d.Next}
}

// Reconcile decides, from what is found on both ends, how a sync goes on. It is
// pure; the table test walks every combination. Snapshots are recognised by UUID,
// never by name: an interrupted rotation leaves the right snapshot under either name.
func Reconcile(f Facts) Decision {
	if d, stop := refuseLocal(f); stop {
		return d
	}
	d := Decision{Cleanup: repairOrigin(f)}
	if d.refuseTarget(f) {
		return d
	}
	if d.refuseUnfinishedFull(f) || d.refuseShrunk(f) {
		return d
	}
	tracker, newer := pick(f, f.Local.Base.UUID), pick(f, f.Local.Pending.UUID)
	since, known := covered(f)
	switch {
	case f.Target.At.Same(f.Local.Pending) && f.Target.Condition == TargetClean:
		d.targetAhead(f, tracker, newer)
	case known:
		d.targetCovered(f, since, tracker, newer)
	case f.Target.Condition != TargetClean:
		d.rejoin(f, fmt.Sprintf("the target holds an unfinished write from %v to %v, this side knows %v", f.Target.At, f.Target.To, f.Local.Base))
	default:
		d.rejoin(f, fmt.Sprintf("the target holds generation %v, this side knows %v", f.Target.At, f.Local.Base))
	}
	d.dropRest(f)
	return d
}

// refuseLocal stops before anything is touched: what cannot be understood is not repaired.
func refuseLocal(f Facts) (Decision, bool) {
	no := func(reason, next string) (Decision, bool) {
		return Decision{Verdict: VerdictRefuse, Code: failure.CodeRefused, Reason: reason, Next: next}, true
	}
	switch f.Local.State {
	case LocalDamaged:
		return no("its state file is damaged", "ddsgo resync "+f.Resource)
	case LocalDisagree:
		return no("its state file and the tags of "+f.Origin+" disagree", "ddsgo resync "+f.Resource)
	}
	if f.Local.Held {
		return no("the leg is held (ddsgo break)", "ddsgo resume "+f.Resource)
	}
	for _, s := range []SnapshotFact{f.Snap1, f.Snap2} {
		switch s.State {
		case SnapPlainForeign:
			return no(s.Name+" exists, is no snapshot, and is not ddsgo's", "lvrename or lvremove "+s.Name+", then ddsgo sync "+f.Resource)
		case SnapOtherOrigin:
			return no(s.Name+" is a snapshot of another volume than "+f.Origin, "lvrename "+s.Name+", then ddsgo sync "+f.Resource)
		case SnapInactive:
			return no(s.Name+" is not active", "lvchange -ay "+f.Origin+", then ddsgo sync "+f.Resource)
		case SnapMerging:
			return no(s.Name+" is being merged into "+f.Origin+": its table no longer says what changed", "wait for the merge, then ddsgo resync "+f.Resource)
		}
	}
	if f.Suspended && !f.PendingTable && f.Snap1.State != SnapPlain && f.Snap2.State != SnapPlain {
		return no(f.Origin+" is suspended, and not by an interrupted run of ddsgo", "dmsetup resume the origin, then ddsgo sync "+f.Resource)
	}
	return Decision{}, false
}

// repairOrigin undoes a killed lvcreate or lvremove. Order matters, see CleanTable.
func repairOrigin(f Facts) []Cleanup {
	var c []Cleanup
	if f.PendingTable {
		c = append(c, Cleanup{Kind: CleanTable})
	}
	for _, s := range []SnapshotFact{f.Snap1, f.Snap2} {
		if s.State == SnapPlain {
			c = append(c, Cleanup{CleanLeftover, s.Name})
		}
	}
	if f.Suspended {
		c = append(c, Cleanup{Kind: CleanResume})
	}
	return c
}

// refuseTarget handles the answers of the target that end a sync whatever is here.
func (d *Decision) refuseTarget(f Facts) bool {
	set := func(code int, reason, next string) bool {
		d.Verdict, d.Code, d.Reason, d.Next = VerdictRefuse, code, reason, next
		if code == failure.CodeNeedFull {
			d.Verdict = VerdictRejoin
		}
		if f.Target.Detail != "" {
			d.Reason += ": " + f.Target.Detail
		}
		return true
	}
	switch f.Target.Condition {
	case TargetUnreachable:
		return set(failure.CodeUnreachable, "the target does not answer", "ddsgo sync "+f.Resource+" when it does")
	case TargetPrimary:
		return set(failure.CodeRefused, "the target is primary: it was promoted and may be in use", "ddsgo failback "+f.Resource)
	case TargetHeld:
		return set(failure.CodeRefused, "the target is held", "ddsgo resume "+f.Resource)
	case TargetDamaged:
		return set(failure.CodeRefused, "the target's state is damaged", "ddsgo resync "+f.Resource)
	case TargetSuspect:
		if newer := pick(f, f.Local.Pending.UUID); f.Local.State == LocalLoaded && !f.Local.Full && f.Target.At.Same(f.Local.Pending) && newer.tracks() {
			// It took the delta and the answer was lost. A verification needs the rotation.
			d.Verdict, d.Data, d.From, d.To = VerdictRotate, newer.Name, f.Local.Base, f.Local.Pending
			d.dropRest(f)
			return true
		}
		next := "ddsgo resync " + f.Resource
		if f.Target.At.Same(f.Local.Base) { // there is a snapshot to compare it with
			next = "ddsgo verify " + f.Resource + " --repair, or " + next
		}
		return set(failure.CodeNeedFull, "the target was written behind ddsgo's back", next)
	case TargetOtherVolume:
		return set(failure.CodeRefused, "the target holds a copy of another volume", "ddsgo full "+f.Resource+" --overwrite, if that copy may go")
	case TargetEmpty:
		return set(failure.CodeNeedFull, "the target never received a full copy", "ddsgo full "+f.Resource)
	}
	return false
}

// refuseUnfinishedFull sends the user to full, which goes on where it was cut.
func (d *Decision) refuseUnfinishedFull(f Facts) bool {
	if f.Local.State == LocalLoaded && f.Local.Full && !f.Target.At.Same(f.Local.Pending) {
		d.Verdict, d.Code = VerdictRejoin, failure.CodeNeedFull
		d.Reason, d.Next = "the full copy is not finished", "ddsgo full "+f.Resource
		if !f.Target.At.IsZero() { // it was cut before the first byte of a copy over another
			d.Next += " --overwrite, or ddsgo resync " + f.Resource
		}
		return true
	}
	if f.Target.Condition == TargetInconsistent && f.Target.At.IsZero() {
		d.rejoin(f, "the target holds an unfinished full copy")
		d.dropRest(f)
		return true
	}
	return false
}

// refuseShrunk: what was written to a volume that has lost its end is not known any more.
func (d *Decision) refuseShrunk(f Facts) bool {
	base := f.Local.Base
	if f.Local.State != LocalLoaded || f.OriginSize == 0 || f.OriginSize >= base.Size {
		return false
	}
	d.Verdict, d.Code = VerdictRefuse, failure.CodeRefused
	d.Reason = fmt.Sprintf("%s has shrunk: %d bytes, generation %v has %d", f.Origin, f.OriginSize, base, base.Size)
	d.Next = "ddsgo resync " + f.Resource + ", if that was meant"
	return true
}

// pick returns the snapshot with this UUID under either name.
func pick(f Facts, uuid string) SnapshotFact {
	for _, s := range []SnapshotFact{f.Snap1, f.Snap2} {
		if uuid != "" && s.UUID == uuid {
			return s
		}
	}
	return SnapshotFact{}
}

// covered says that the target is at a generation from which on every chunk that was
// written is known, or is a mixture that ddsgo itself wrote while going on from there: then
// the superset rule holds. since is where the record begins: our base, whose tracker knows
// every chunk written since, or an older generation from which kept sets lead to it.
func covered(f Facts) (since generation.Generation, ok bool) {
	if f.Local.State != LocalLoaded || f.Local.Base.IsZero() {
		return since, false
	}
	record := append([]generation.Generation{f.Local.Base}, f.Local.Older...)
	same := func(g generation.Generation) func(generation.Generation) bool { return g.Same }
	at, to := f.Target.At, f.Target.To
	i := slices.IndexFunc(record, same(at))
	if i < 0 && at.Same(f.Local.Proven) {
		// An instant of ours without a set of its own: what was written since an earlier one.
		i = slices.IndexFunc(record, func(g generation.Generation) bool { return g.Seq < at.Seq })
	}
	if i < 0 {
		return since, false
	}
	switch f.Target.Condition {
	case TargetClean:
		return record[i], true
	case TargetApplying, TargetInconsistent:
		return record[i], to.Same(f.Local.Pending) || to.Seq > at.Seq && slices.ContainsFunc(record, same(to))
	}
	return since, false
}

// targetAhead: the run was cut after the target had committed.
func (d *Decision) targetAhead(f Facts, tracker, newer SnapshotFact) {
	switch {
	case newer.tracks():
		d.Verdict, d.Data, d.From, d.To = VerdictRotate, newer.Name, f.Local.Base, f.Local.Pending
	case tracker.tracks():
		// All writes since Base, a superset of those since Pending: right on a target at Pending.
		d.Verdict, d.Tracker, d.From = VerdictStart, tracker.Name, f.Target.At
	default:
		d.rejoin(f, "no snapshot tracks the writes since "+f.Local.Pending.String())
	}
}

// targetCovered: the run was cut before the target had committed, or there was none.
func (d *Decision) targetCovered(f Facts, since generation.Generation, tracker, newer SnapshotFact) {
	d.From = f.Target.At
	if !since.Same(f.Local.Base) {
		d.Since = since
	}
	switch {
	case newer.State == SnapGood && f.Local.SetSaved:
		d.Verdict, d.Data, d.To = VerdictResend, newer.Name, f.Local.Pending
	case newer.State == SnapGood && tracker.tracks():
		d.Verdict, d.Tracker, d.Data, d.To = VerdictReread, tracker.Name, newer.Name, f.Local.Pending
	case tracker.tracks():
		d.Verdict, d.Tracker = VerdictStart, tracker.Name
	case tracker.State == SnapMiswired:
		d.rejoin(f, "the tracking snapshot "+tracker.Name+" does not see the source's writes (a command of LVM was killed)")
	case tracker.State == SnapOverflowed:
		d.rejoin(f, "the tracking snapshot "+tracker.Name+" overflowed")
	default:
		d.rejoin(f, "the tracking snapshot of generation "+f.Local.Base.String()+" is gone")
	}
}

func (d *Decision) rejoin(f Facts, reason string) {
	if f.Local.State == LocalMissing {
		reason = "this side has no state of the replica"
	}
	d.Verdict, d.Code, d.Reason = VerdictRejoin, failure.CodeNeedFull, reason
	d.Next = "ddsgo resync " + f.Resource
}

// dropRest removes snapshots of ours that the decision does not use. A broken chain
// keeps them: they are evidence, and the full copy replaces them.
func (d *Decision) dropRest(f Facts) {
	if d.Verdict == VerdictRejoin || d.Verdict == VerdictRefuse {
		return
	}
	for _, s := range []SnapshotFact{f.Snap1, f.Snap2} {
		switch {
		case s.State == SnapAbsent, s.State == SnapPlain, s.Name == d.Tracker, s.Name == d.Data:
		case d.Verdict == VerdictResend && s.UUID == f.Local.Base.UUID:
			// The old tracker goes in the rotation, after the target has committed.
		case s.Ours:
			d.Cleanup = append(d.Cleanup, Cleanup{CleanSnapshot, s.Name})
		default:
			*d = Decision{Cleanup: d.Cleanup, Verdict: VerdictRefuse, Code: failure.CodeRefused,
				Reason: s.Name + " exists and is not ddsgo's", Next: "lvrename or lvremove " + s.Name + ", then ddsgo sync " + f.Resource}
			return
		}
	}
}
