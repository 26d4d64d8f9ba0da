package array

import (
	"encoding/json"
	"slices"
)

// Role of a side.
type Role string

// Roles. RoleNone: the storage has the volume, in neither role, or not at all.
const (
	RolePrimary   Role = "primary"
	RoleSecondary Role = "secondary"
	RoleNone      Role = "none"
	RoleBoth      Role = "both" // of a resource, never of a side: two primaries
	RoleUnknown   Role = "unknown"
)

// Link between the sites.
type Link string

// Links.
const (
	LinkUp      Link = "up"
	LinkDown    Link = "down"
	LinkUnknown Link = "unknown"
)

// Replication is whether changes flow.
type Replication string

// Replications. Held: stopped by an operator or by a break, and to stay so.
const (
	Running            Replication = "running"
	Held               Replication = "held"
	Stopped            Replication = "stopped"
	Initial            Replication = "initial" // the first copy is on its way
	ReplicationError   Replication = "error"
	ReplicationUnknown Replication = "unknown"
)

// Sync says how a member's copy compares with its source.
type Sync string

// Syncs.
const (
	Synced      Sync = "synced"
	Syncing     Sync = "syncing"
	Stale       Sync = "stale"
	SyncUnknown Sync = "unknown"
)

// ReasonCode says why a resource is not up. The codes are an interface for scripts.
type ReasonCode string

// Reason codes.
const (
	ReasonNotStarted    ReasonCode = "not_started"
	ReasonWrongMode     ReasonCode = "wrong_mode"
	ReasonNoPeriod      ReasonCode = "no_period"
	ReasonNoAutoRecover ReasonCode = "no_auto_recover"
	ReasonNotSynced     ReasonCode = "not_synced"
	ReasonTooOld        ReasonCode = "too_old"
	ReasonUnreachable   ReasonCode = "unreachable"
	ReasonAbsent        ReasonCode = "absent"
	ReasonSplitBrain    ReasonCode = "split_brain"
	ReasonTwoPrimaries  ReasonCode = "two_primaries"
	ReasonFirstCopy     ReasonCode = "first_copy"
	ReasonSuspended     ReasonCode = "suspended"
	ReasonUnknownValue  ReasonCode = "unknown_value"
	ReasonApplying      ReasonCode = "applying"
	ReasonInconsistent  ReasonCode = "inconsistent"
	ReasonSuspect       ReasonCode = "suspect"
	ReasonHeld          ReasonCode = "held"
	ReasonSnapshotFull  ReasonCode = "snapshot_full"
	ReasonStateMissing  ReasonCode = "state_missing"
	ReasonStateDamaged  ReasonCode = "state_damaged"
)

// Reason is one answer to "why is it not up".
type Reason struct {
	Code ReasonCode `json:"code"`
	Text string     `json:"text"`
	Next string     `json:"next,omitempty"` // the command that helps; empty: the code's usual one
}

// Tri is an answer that may be unknown: true, false or null in JSON.
type Tri int

// Answers. The zero value is Unknown: what was not read is not known.
const (
	Unknown Tri = iota
	No
	Yes
)

// TriOf turns a bool into an answer.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// String is yes, no or unknown.
func (t Tri) String() string { return []string{"unknown", "no", "yes"}[max(0, min(int(t), 2))] }

// MarshalJSON writes true, false or null.
func (t Tri) MarshalJSON() ([]byte, error) {
	switch t {
	case Yes:
		return []byte("true"), nil
	case No:
		return []byte("false"), nil
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads a boolean or "yes" and "no"; whatever else is unknown.
func (t *Tri) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v {
	case true, "yes":
		*t = Yes
	case false, "no":
		*t = No
	default:
		*t = Unknown
	}
	return nil
}

// Normalize replaces values that this version does not know by "unknown", so that an
// observation from a newer plug-in is never misread.
func (o *Observation) Normalize() {
	o.Link = known(o.Link, LinkUnknown, LinkUp, LinkDown)
	o.Replication = known(o.Replication, ReplicationUnknown, Running, Held, Stopped, Initial, ReplicationError)
	for i := range o.Sides {
		o.Sides[i].Role = known(o.Sides[i].Role, RoleUnknown, RolePrimary, RoleSecondary, RoleNone)
	}
	for i := range o.Members {
		o.Members[i].Sync = known(o.Members[i].Sync, SyncUnknown, Synced, Syncing, Stale)
	}
}

func known[T comparable](v, unknown T, values ...T) T {
	if slices.Contains(values, v) {
		return v
	}
	return unknown
}
