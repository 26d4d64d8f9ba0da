package state

import (
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// Role says who writes to the volume.
type Role string

// The roles. A volume tagged primary is never written by replication.
const (
	RoleNone      Role = "none"      // known, but not part of a replication now
	RolePrimary   Role = "primary"   // applications write, replication reads
	RoleSecondary Role = "secondary" // replication writes, nobody else
)

// Kind is the kind of a target's condition.
type Kind string

// The conditions of a target. A primary's condition is always KindNone.
const (
	KindNone         Kind = "none"         // never filled, or a primary
	KindClean        Kind = "clean"        // equals At exactly
	KindApplying     Kind = "applying"     // a committed journal At -> To is being written
	KindInconsistent Kind = "inconsistent" // an unjournalled write At -> To is under way or was cut
	KindSuspect      Kind = "suspect"      // believed to be At, but written behind our back or a check failed
	KindHeld         Kind = "held"         // equals At after a rollback; waits for resume by name
)

// Condition is what is known about a target's content.
type Condition struct {
	Kind     Kind                  `json:"kind"`
	At       generation.Generation `json:"at"`                 // see Kind; zero = none
	To       generation.Generation `json:"to"`                 // applying and inconsistent only
	Progress int64                 `json:"progress,omitempty"` // inconsistent: bytes from the start of the volume that are durably To
	Reason   string                `json:"reason,omitempty"`   // suspect, held: why, for people
	Since    time.Time             `json:"since"`
}

// None is the condition of a primary and of a target that was never filled.
func None() Condition { return Condition{Kind: KindNone} }

// Clean says that the target equals g.
func Clean(g generation.Generation) Condition { return Condition{Kind: KindClean, At: g} }

// Applying says that a committed journal from -> to is being written.
func Applying(from, to generation.Generation) Condition {
	return Condition{Kind: KindApplying, At: from, To: to}
}

// Inconsistent says that an unjournalled write is under way; progress bytes from
// the start are durable.
func Inconsistent(from, to generation.Generation, progress int64) Condition {
	return Condition{Kind: KindInconsistent, At: from, To: to, Progress: progress}
}

// Suspect says that the content may not be what at names, and why.
func Suspect(at generation.Generation, reason string) Condition {
	return Condition{Kind: KindSuspect, At: at, Reason: reason}
}

// Held says that the target equals at and takes no deltas until resumed by name.
func Held(at generation.Generation, reason string) Condition {
	return Condition{Kind: KindHeld, At: at, Reason: reason}
}

// String is for people: "applying(#7 (...) -> #8 (...))".
func (c Condition) String() string {
	switch c.Kind {
	case KindApplying:
		return fmt.Sprintf("applying(%v -> %v)", c.At, c.To)
	case KindInconsistent:
		return fmt.Sprintf("inconsistent(%v -> %v, %d bytes done)", c.At, c.To, c.Progress)
	case KindClean, KindSuspect, KindHeld:
		return fmt.Sprintf("%s(%v)", c.Kind, c.At)
	}
	return string(KindNone)
}

// validate refuses what no run can have meant.
func (c Condition) validate() error {
	switch c.Kind {
	case KindNone:
		if !c.At.IsZero() || !c.To.IsZero() || c.Progress != 0 {
			return fmt.Errorf("%w: condition none carries a generation", ErrInvalid)
		}
	case KindClean, KindHeld:
		if c.At.IsZero() || !c.To.IsZero() || c.Progress != 0 {
			return fmt.Errorf("%w: condition %s needs exactly one generation", ErrInvalid, c.Kind)
		}
	case KindSuspect: // of a generation, or of content that was never named
		if !c.To.IsZero() || c.Progress != 0 {
			return fmt.Errorf("%w: condition suspect has no aim", ErrInvalid)
		}
	case KindApplying:
		if c.At.IsZero() || c.To.IsZero() || c.Progress != 0 {
			return fmt.Errorf("%w: condition applying needs two generations", ErrInvalid)
		}
	case KindInconsistent: // At is zero while the first full copy runs
		if c.To.IsZero() || c.Progress < 0 || (c.To.Size > 0 && c.Progress > c.To.Size) {
			return fmt.Errorf("%w: condition inconsistent needs an aim and a progress inside it", ErrInvalid)
		}
	default:
		return fmt.Errorf("%w: unknown condition %q", ErrInvalid, c.Kind)
	}
	return nil
}
