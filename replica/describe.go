package replica

import "fmt"

// describe lists the steps of a sync for --dry-run: the same Decision that pass executes.
func describe(leg Leg, d Decision) []string {
	steps := describeCleanup(d)
	switch d.Verdict {
	case VerdictRefuse, VerdictRejoin:
		return append(steps, "stop: "+d.Reason)
	case VerdictStart:
		steps = append(steps, "take a new read-only snapshot of "+leg.Source, "read what changed from the exception table of "+d.Tracker)
	case VerdictReread:
		steps = append(steps, "reuse the snapshot "+d.Data+" of an interrupted run", "read what changed from the exception table of "+d.Tracker)
	case VerdictResend:
		steps = append(steps, "reuse the snapshot "+d.Data+" and the changed set of an interrupted run")
	case VerdictRotate:
		return append(steps, "the target already holds "+d.To.String()+": make "+d.Data+" the tracking snapshot", "then sync again")
	}
	if !d.Since.IsZero() {
		steps = append(steps, "add the kept changed sets since "+d.Since.String()+": the target is further behind than the tracking snapshot")
	}
	return append(steps, fmt.Sprintf("send it to %s:%s, whose base is %v", leg.Site(), leg.Device, d.From), "remove the old tracking snapshot, rename the new one")
}

func describeCleanup(d Decision) []string {
	var steps []string
	for _, c := range d.Cleanup {
		switch c.Kind {
		case CleanTable:
			steps = append(steps, "clear the pending device-mapper table of the source")
		case CleanResume:
			steps = append(steps, "resume the source")
		default:
			steps = append(steps, "remove "+c.LV+" (left by an interrupted run, or no longer needed)")
		}
	}
	return steps
}

// describe lists the steps of a full copy.
func (p fullPlan) describe(leg Leg) []string {
	steps := describeCleanup(p.Decision)
	switch {
	case p.Verdict != VerdictStart:
		return append(steps, "stop: "+p.Reason)
	case p.Rotate:
		return append(steps, "the target already holds the copy: make "+p.Data+" the tracking snapshot")
	case p.Resume:
		steps = append(steps, "go on with the cut copy of snapshot "+p.Data)
	default:
		steps = append(steps, "take a new read-only snapshot of "+leg.Source)
	}
	return append(steps, "overwrite "+leg.Site()+":"+leg.Device+" with the whole volume", "keep the snapshot: it tracks what changes from now on")
}

// headline is the one line that a finished sync is told by.
func headline(leg Leg, d Decision) string {
	to := "to " + leg.Site() + ":" + leg.Device
	switch d.Verdict {
	case VerdictRotate:
		return "finish the rotation of an interrupted sync, then send what changed " + to
	case VerdictResend, VerdictReread:
		return "send the snapshot of an interrupted sync, then what changed since, " + to
	}
	return fmt.Sprintf("send what changed since #%d %s", d.From.Seq, to)
}
