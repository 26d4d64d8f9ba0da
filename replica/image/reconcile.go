package image

import (
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
)

// Verdict is what a run does after the clean-up.
type Verdict int

// Verdicts.
const (
	VerdictRefuse Verdict = iota // exit Code
	VerdictStart                 // new snapshot, send what changed since From
	VerdictResend                // the snapshot of an interrupted run is there: send it
	VerdictRotate                // the target has it already: it becomes the base, then start anew
)

var verdictNames = [...]string{"refuse", "start", "resend", "rotate"}

func (v Verdict) String() string { return verdictNames[v] }

// Decision is the answer of Reconcile and PlanFull.
type Decision struct {
	Verdict Verdict
	Cleanup []string // snapshots to be removed first
	From    generation.Generation
	To      generation.Generation // resend, rotate
	Code    int
	Reason  string
	Next    string
}

// Err is the decision as an error, nil unless it refuses.
func (d Decision) Err(f Facts) error {
	if d.Verdict != VerdictRefuse {
		return nil
	}
	return &failure.Error{Code: d.Code, Subject: f.Resource, Reason: d.Reason, Next: d.Next}
}

func refuse(code int, reason, next string) Decision {
	return Decision{Code: code, Reason: reason, Next: next}
}

// Reconcile decides, from what is found on both ends, how a sync goes on. It is pure.
func Reconcile(f Facts) Decision {
	full := "ddsgo full " + f.Resource
	if d, stop := refuseSource(f); stop {
		return d
	}
	if f.Tracker == TrackerMissing {
		return refuse(failure.CodeNeedFull, "there is no first copy yet", full)
	}
	if d, stop := refuseTarget(f); stop {
		return d
	}
	d := decide(f)
	d.Cleanup = f.Old
	if d.Verdict == VerdictStart {
		d.Cleanup = withPending(f)
	}
	return d
}

// withPending are the snapshots that serve no longer when a new one is taken.
func withPending(f Facts) []string {
	out := append([]string{}, f.Old...)
	if f.Pending.Present {
		out = append(out, f.Pending.Name)
	}
	return out
}

// refuseSource is what no verb can work with.
func refuseSource(f Facts) (Decision, bool) {
	switch {
	case f.Tracker == TrackerDamaged:
		return refuse(failure.CodeRefused, "what the source's metadata says cannot be believed: "+f.Why, "ddsgo full "+f.Resource+" --overwrite"), true
	case f.Held:
		return refuse(failure.CodeRefused, "the leg is held (ddsgo break)", "ddsgo resume "+f.Resource), true
	case f.Mirrored:
		return refuse(failure.CodeRefused, "the source is the non-primary side of a mirror: no snapshot can be taken", "run the leg from the primary side"), true
	}
	return Decision{}, false
}

// refuseTarget is what only an operator can change.
func refuseTarget(f Facts) (Decision, bool) {
	full, t := "ddsgo full "+f.Resource, f.Target
	detail := ""
	if t.Detail != "" {
		detail = ": " + t.Detail
	}
	switch t.Condition {
	case replica.TargetUnreachable:
		return refuse(failure.CodeUnreachable, "the target does not answer"+detail, "ddsgo sync "+f.Resource+" when it does"), true
	case replica.TargetPrimary:
		return refuse(failure.CodeRefused, "the target is primary: it was promoted and may be in use", "ddsgo status "+f.Resource), true
	case replica.TargetHeld:
		return refuse(failure.CodeRefused, "the target is held"+detail, "ddsgo resume "+f.Resource), true
	case replica.TargetOtherVolume:
		return refuse(failure.CodeRefused, "the target holds a copy of another volume"+detail, full+" --overwrite, if that copy may go"), true
	case replica.TargetDamaged:
		return refuse(failure.CodeRefused, "the target's state cannot be believed"+detail, full+" --overwrite"), true
	case replica.TargetSuspect:
		next := full + " --overwrite"
		if f.Rewinds {
			next = "ddsgo rollback " + f.Resource + ", which drops those writes, or " + next
		}
		return refuse(failure.CodeNeedFull, "the target's content is suspect"+detail, next), true
	case replica.TargetEmpty:
		return refuse(failure.CodeNeedFull, "the target never received a full copy", full), true
	}
	return Decision{}, false
}

// decide compares what the target holds with the two snapshots of the source.
func decide(f Facts) Decision {
	full, t := "ddsgo full "+f.Resource, f.Target
	again := full + " --overwrite"
	if f.Rewinds {
		again = "ddsgo rollback " + f.Resource + " --to GENERATION, one that the source has, or " + again
	}
	pending := f.Pending.Present && !f.Pending.Generation.IsZero()
	switch {
	case t.Condition == replica.TargetClean && pending && t.At.Same(f.Pending.Generation):
		return Decision{Verdict: VerdictRotate, From: f.Base.Generation, To: t.At}
	case t.At.IsZero(): // a full copy was cut
		return refuse(failure.CodeNeedFull, "a full copy was cut", full)
	case !f.Base.Present || !t.At.Same(f.Base.Generation):
		return refuse(failure.CodeNeedFull, "the target holds "+t.At.String()+", and the source has no snapshot of that instant any more", again)
	case t.Condition == replica.TargetClean && pending && !f.Full:
		return Decision{Verdict: VerdictResend, From: t.At, To: f.Pending.Generation}
	case t.Condition == replica.TargetClean:
		return Decision{Verdict: VerdictStart, From: t.At}
	case pending && t.To.Same(f.Pending.Generation): // applying or inconsistent
		return Decision{Verdict: VerdictResend, From: t.At, To: f.Pending.Generation}
	}
	return refuse(failure.CodeNeedFull, "an import of "+t.To.String()+" was cut, and the source has no snapshot of that instant any more", again)
}

// PlanFull decides how a full copy begins; pure, like Reconcile.
func PlanFull(f Facts, overwrite bool) Decision {
	if d, stop := refuseSource(f); stop && !(f.Tracker == TrackerDamaged && overwrite && !f.Held && !f.Mirrored) {
		return d
	}
	t, again := f.Target, "ddsgo full "+f.Resource+" --overwrite"
	pending := f.Full && f.Pending.Present && !f.Pending.Generation.IsZero()
	switch {
	case t.Condition == replica.TargetUnreachable, t.Condition == replica.TargetPrimary:
		d, _ := refuseTarget(f)
		return d
	case pending && t.Condition == replica.TargetClean && t.At.Same(f.Pending.Generation):
		return Decision{Verdict: VerdictRotate, To: t.At, Cleanup: f.Old}
	case pending && (t.Condition == replica.TargetEmpty || t.Condition == replica.TargetInconsistent && t.At.IsZero() && t.To.Same(f.Pending.Generation)):
		return Decision{Verdict: VerdictResend, To: f.Pending.Generation, Cleanup: f.Old}
	case t.Condition == replica.TargetEmpty, t.Condition == replica.TargetInconsistent && t.At.IsZero(), overwrite:
		return Decision{Verdict: VerdictStart, Cleanup: withPending(f)} // the base stays until the copy is there
	case t.Condition == replica.TargetClean:
		return refuse(failure.CodeRefused, "the target already holds generation "+t.At.String(), "ddsgo sync "+f.Resource+", or "+again)
	}
	return refuse(failure.CodeRefused, "the target is "+t.Condition.String()+": "+t.Detail, "ddsgo sync "+f.Resource+", or "+again+", if what it holds may go")
}
