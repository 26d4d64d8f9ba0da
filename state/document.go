package state

import (
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// Limits of one document; more is refused when it is read and when it is written.
const (
	MaxText        = 4096 // bytes of any text field
	MaxLegs        = 64   // legs of one source volume
	MaxChangedSets = 1024 // changed sets a leg's cursor may name
)

// Document is what one end durably knows about one volume. Source side and target
// side share the schema; Role tells them apart.
type Document struct {
	Revision uint64    `json:"revision"` // of the last commit, kept by Commit
	Updated  time.Time `json:"updated"`  // of the last commit, kept by Commit

	Identity Identity `json:"identity"` // of the volume; the key of the document
	Device   string   `json:"device"`   // path as configured, for people
	Resource string   `json:"resource"` // name in the configuration of whoever replicates it
	Size     int64    `json:"size"`     // bytes, at the last commit

	Role      Role      `json:"role"`
	Fence     uint64    `json:"fence"` // raised by every promote; a lower one is refused
	Condition Condition `json:"condition"`
	// Doubt, on a target, says why it is suspect even after further deltas were written to it:
	// some of it was not what ddsgo had written there. A comparison of all of it ends the doubt.
	Doubt string `json:"doubt,omitempty"`

	// Generation is, on a source, what the tracking snapshot froze: the base of the
	// next delta. On a target it is the newest generation that was ever proven here;
	// what the volume holds now is Condition's to say.
	Generation generation.Generation `json:"generation"`
	Base       *Base                 `json:"base,omitempty"`

	Source   *SourceIdentity `json:"source,omitempty"`   // target side: whose copy this is
	Counters *Counters       `json:"counters,omitempty"` // target side: after the last apply
	// History, on a target, is how many undo deltas it keeps.
	History int `json:"history,omitempty"`
	// Guard is a snapshot of the target under which it is, or was, written. nil: there is none.
	Guard *Guard `json:"guard,omitempty"`

	Tracking *Tracking      `json:"tracking,omitempty"` // source side
	Legs     map[string]Leg `json:"legs,omitempty"`     // source side: by LegName

	// Operation marks what a run was about to do; it survives a crash so that the
	// next run can finish or undo it. nil: nothing was under way.
	Operation *Operation `json:"operation,omitempty"`
	Verified  *Verified  `json:"verified,omitempty"`
}

// Base tells how a target came by its generation.
type Base struct {
	Kind   string                `json:"kind"` // full, delta, resync, adopted, promoted
	From   generation.Generation `json:"from"` // zero for full and adopted
	Digest string                `json:"digest,omitempty"`
	Time   time.Time             `json:"time"` // when it was committed here
}

// SourceIdentity names the source volume of a target.
type SourceIdentity struct {
	ID   string `json:"id"`   // Identity.String of the source volume
	Host string `json:"host"` // name as the source gave it, for people
	Name string `json:"name"` // device path on the source, for people
}

// Counters are the block device's write counters after the last apply. They differ
// before the next apply when somebody else wrote to the device; they restart at boot.
type Counters struct {
	BootID   string    `json:"boot_id"`
	Writes   uint64    `json:"writes"`
	Discards uint64    `json:"discards"`
	Flushes  uint64    `json:"flushes"`
	Taken    time.Time `json:"taken"`
}

// Guard names a snapshot that a target is written under, so that it can be written back.
type Guard struct {
	Run  string `json:"run"`  // value of its tag ddsgo.run
	UUID string `json:"uuid"` // empty: it is about to be made
}

// Tracking is the snapshot whose COW records what changed since Generation.
type Tracking struct {
	UUID string `json:"uuid"` // of the snapshot LV
	Name string `json:"name"` // of the snapshot LV, vg/lv
	// Generation is what the snapshot froze.
	Generation generation.Generation `json:"generation"`
	// Appeared is the snapshot's device as its counters name it (blockdev.Counters.BootID) when it
	// was made, and had not been written to. Empty: not known.
	Appeared string `json:"appeared,omitempty"`
}

// LegName is the key of a leg: target host ("" = local) and device.
func LegName(host, device string) string {
	if host == "" {
		host = "local"
	}
	return host + ":" + device
}

// Leg is the source's cursor for one target.
type Leg struct {
	TargetID string `json:"target_id"` // Identity.String of the target volume
	// Proven is the last generation proven on both ends.
	Proven generation.Generation `json:"proven"`
	// ChangedSets lead from Proven to Tracking.Generation, oldest first: ids in Sets.
	ChangedSets []string  `json:"changed_sets,omitempty"`
	Fence       uint64    `json:"fence"` // the target's, when last seen
	Held        bool      `json:"held,omitempty"`
	LastSuccess time.Time `json:"last_success"`
	LastBytes   int64     `json:"last_bytes"`
	LastError   string    `json:"last_error,omitempty"`
}

// Operation is a run's intent.
type Operation struct {
	Verb       string                `json:"verb"` // sync, full, promote ...
	Run        string                `json:"run"`  // value of the ddsgo.run tag of what it creates
	Phase      string                `json:"phase"`
	Leg        string                `json:"leg,omitempty"`
	From       generation.Generation `json:"from"`
	To         generation.Generation `json:"to"`
	Snapshot   string                `json:"snapshot,omitempty"` // vg/lv of the snapshot being made
	Appeared   string                `json:"appeared,omitempty"` // see Tracking
	ChangedSet string                `json:"changed_set,omitempty"`
	Offset     int64                 `json:"offset,omitempty"` // full: resume point
	Started    time.Time             `json:"started"`
}

// Validate refuses a document that contradicts itself or exceeds a limit.
func (d *Document) Validate() error {
	if err := d.Identity.Validate(); err != nil {
		return err
	}
	switch d.Role {
	case RoleNone, RoleSecondary:
	case RolePrimary:
		if d.Condition.Kind != KindNone {
			return fmt.Errorf("%w: a primary has no condition, not %s", ErrInvalid, d.Condition.Kind)
		}
	default:
		return fmt.Errorf("%w: unknown role %q", ErrInvalid, d.Role)
	}
	if err := d.Condition.validate(); err != nil {
		return err
	}
	if d.Size < 0 {
		return fmt.Errorf("%w: size %d", ErrInvalid, d.Size)
	}
	if len(d.Legs) > MaxLegs {
		return fmt.Errorf("%w: %d legs, the limit is %d", ErrInvalid, len(d.Legs), MaxLegs)
	}
	for name, l := range d.Legs {
		if len(l.ChangedSets) > MaxChangedSets {
			return fmt.Errorf("%w: leg %s names %d changed sets, the limit is %d", ErrInvalid, name, len(l.ChangedSets), MaxChangedSets)
		}
	}
	return d.validateTexts()
}

// validateTexts bounds what people and peers can put into free text, and every UUID.
func (d *Document) validateTexts() error {
	texts := []string{d.Device, d.Resource, d.Condition.Reason, d.Doubt}
	gens := []generation.Generation{d.Generation, d.Condition.At, d.Condition.To}
	if g := d.Guard; g != nil {
		texts = append(texts, g.Run, g.UUID)
	}
	if s := d.Source; s != nil {
		texts = append(texts, s.ID, s.Host, s.Name)
	}
	if t := d.Tracking; t != nil {
		texts = append(texts, t.UUID, t.Name, t.Appeared)
		gens = append(gens, t.Generation)
	}
	for name, l := range d.Legs {
		texts = append(texts, name, l.TargetID, l.LastError)
		gens = append(gens, l.Proven)
	}
	if o := d.Operation; o != nil {
		texts = append(texts, o.Verb, o.Run, o.Phase, o.Leg, o.Snapshot, o.ChangedSet, o.Appeared)
		gens = append(gens, o.From, o.To)
	}
	for _, t := range texts {
		if len(t) > MaxText {
			return fmt.Errorf("%w: a text of %d bytes, the limit is %d", ErrInvalid, len(t), MaxText)
		}
	}
	for _, g := range gens {
		if len(g.UUID) > generation.MaxUUID {
			return fmt.Errorf("%w: a uuid of %d bytes, the limit is %d", ErrInvalid, len(g.UUID), generation.MaxUUID)
		}
	}
	return nil
}

// clone returns a deep copy, so that a caller's document is never aliased.
func (d *Document) clone() *Document {
	c := *d
	c.Base = ptrCopy(d.Base)
	c.Source = ptrCopy(d.Source)
	c.Counters = ptrCopy(d.Counters)
	c.Guard = ptrCopy(d.Guard)
	c.Tracking = ptrCopy(d.Tracking)
	c.Operation = ptrCopy(d.Operation)
	c.Verified = ptrCopy(d.Verified)
	if d.Legs != nil {
		c.Legs = make(map[string]Leg, len(d.Legs))
		for k, l := range d.Legs {
			l.ChangedSets = append([]string(nil), l.ChangedSets...)
			c.Legs[k] = l
		}
	}
	return &c
}

func ptrCopy[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
