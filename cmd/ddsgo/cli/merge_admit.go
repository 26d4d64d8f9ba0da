package cli

import (
	"fmt"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// arrivalFacts is all that decides whether, and how, merge takes a delta.
type arrivalFacts struct {
	device  string
	size    int64 // of the device
	head    stream.Header
	stamp   *state.Stamp    // nil: none
	pending *journal.Member // nil: no committed journal waits
	force   bool            // --force-base
	dds     bool            // the OpenSVC agent has checked on its own
	direct  bool            // --direct
}

// admission is what merge does.
type admission struct {
	rollForward bool // write the waiting journal first
	dropPending bool // delete it unread
	direct      bool // write while it arrives; the device is marked inconsistent first
	warnings    []string
}

func (a *admission) warn(format string, args ...any) {
	a.warnings = append(a.warnings, fmt.Sprintf(format, args...))
}

// admit decides; an error is a refusal, and nothing is touched.
func admit(f arrivalFacts) (admission, error) {
	a := admission{direct: f.direct || f.head.Kind == stream.KindFull}
	if f.head.First != 0 {
		return a, failure.Refused(f.device, fmt.Sprintf("the delta is the rest of a cut transfer (from frame %d): it is no whole", f.head.First), "extract it again")
	}
	if f.size < f.head.VolumeSize {
		return a, failure.Refused(f.device, fmt.Sprintf("it has %d bytes, the delta's volume has %d", f.size, f.head.VolumeSize), "make the target at least as large as the source")
	}
	if f.direct && f.head.SubChunk {
		return a, failure.Refused(f.device, "a sub-chunk delta is only written from a checked journal", "run merge without --direct")
	}
	stamp := f.stamp
	if f.pending != nil {
		stamp = a.settlePending(f, stamp)
	}
	err := a.checkBase(f, stamp)
	return a, err
}

// settlePending decides about a journal that a run before has committed and not finished. It
// returns the stamp as it is after that.
func (a *admission) settlePending(f arrivalFacts, stamp *state.Stamp) *state.Stamp {
	p := f.pending.Header
	if f.head.From.Same(p.From) || f.head.From.Same(p.To) || (f.head.SetID == p.SetID && !f.head.SetID.IsZero()) {
		a.rollForward = true
		a.warn("%s: finishing a merge to %v that was cut", f.device, p.To)
		if p.To.IsZero() {
			return nil
		}
		return &state.Stamp{Generation: p.To, Condition: state.KindClean, Set: p.SetID.String()}
	}
	a.dropPending = true
	a.warn("%s: dropping the unfinished merge of %v -> %v: the delta that arrives does not follow it", f.device, p.From, p.To)
	return stamp
}

// checkBase compares what the delta builds on with what the stamp says.
func (a *admission) checkBase(f arrivalFacts, stamp *state.Stamp) error {
	if stamp == nil {
		return nil
	}
	why := mismatch(f.head, stamp, a.rollForward)
	switch {
	case why == "" && f.head.To.IsZero():
		a.warn("%s: the delta carries no identity; the stamp of %v is removed", f.device, stamp.Generation)
		return nil
	case why == "":
		return nil
	}
	if f.force || f.dds {
		a.warn("%s: %s; going on", f.device, why)
		return nil
	}
	return failure.Refused(f.device, why, "make a full copy (ddsgo extract --full | ddsgo merge --force-base), or pass --force-base if you know that the device holds the base")
}

// mismatch says why a delta does not fit on what the stamp says; "" = it fits. A delta of
// whole chunks is right on any instant between its base and its end, and on a mixture of
// such that ddsgo wrote; a sub-chunk delta on exactly its base only.
func mismatch(h stream.Header, st *state.Stamp, rolled bool) string {
	cut := st.Condition == state.KindApplying || st.Condition == state.KindInconsistent
	whole := !h.SubChunk
	switch {
	case h.Kind == stream.KindFull && cut:
		return "" // it replaces the mixture
	case h.Kind == stream.KindFull && h.To.IsZero():
		return ""
	case h.Kind == stream.KindFull && h.To.Same(st.Generation):
		return ""
	case h.Kind == stream.KindFull:
		return fmt.Sprintf("it holds %v, which a full copy would replace", st.Generation)
	case cut && whole && (h.From.Same(st.Generation) || st.Set == h.SetID.String()):
		return ""
	case cut:
		return fmt.Sprintf("a merge from %v to %v was cut: it holds a mixture", st.Generation, st.To)
	case h.To.IsZero(), h.From.Same(st.Generation), whole && (h.To.Same(st.Generation) || rolled):
		return ""
	}
	return fmt.Sprintf("it holds %v, the delta needs %v", st.Generation, h.From)
}
