package array

import (
	"context"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// Driver is one replicated resource. The next observation decides the next step; a
// fixed list of commands is never replayed. A Driver need not be safe for concurrent use.
type Driver interface {
	// Capabilities says what the resource is and which verbs it supports. It does no
	// I/O: it knows only the configuration.
	Capabilities() Capabilities
	// Observe reads both sides. A side that does not answer is data (Side.Reachable
	// false and Side.Error), not an error; an error means that nothing can be said, for
	// instance because the configuration is wrong. It changes nothing and may be
	// repeated at any time. Errors: *Error, or the context's.
	Observe(ctx context.Context) (Observation, error)
	// Plan is pure: the same arguments give the same plan. It lists all steps that are
	// foreseen from here; only the first is done before the next observation. No steps
	// and neither Reached nor Wait is a defect of the driver. Errors: *Refusal when the
	// state forbids the verb or the mode does not know it, else *Error.
	Plan(o Observation, g Goal) (Plan, error)
	// Do does one step: one native command or request. It may be called again with the
	// same step when the next observation shows that the step is still needed. Errors:
	// *Error of KindUnreachable when no reply came (the step may have been done),
	// of KindArray when the storage said no, *Refusal, or the context's.
	Do(ctx context.Context, s Step) error
}

// Verb is what a person asks for.
type Verb string

// The verbs of replication. Status needs no verb: it is Observe.
const (
	Update   Verb = "update"   // bring the copy up to now
	Break    Verb = "break"    // pause replication, keep both sides
	Resume   Verb = "resume"   // go on in the same direction
	Swap     Verb = "swap"     // planned: make Site primary, losing nothing
	Failover Verb = "failover" // make Site primary, the other side is lost
	Failback Verb = "failback" // make the home site primary again
	Start    Verb = "start"    // make Site primary: relocation when joined, failover when split (3PAR)
	Revert   Verb = "revert"   // undo a failover that wrote nothing (3PAR)
)

// The verbs of the life cycle.
const (
	Setup        Verb = "setup"         // what both sides need before the first resource (peers, links)
	Create       Verb = "create"        // create the replicated resource
	Delete       Verb = "delete"        // end replication and remove what Create made
	Add          Verb = "add"           // add Goal.Volume as a member
	Remove       Verb = "remove"        // remove member Goal.Volume
	Resync       Verb = "resync"        // copy everything again, one side overwritten
	VolumeCreate Verb = "volume-create" // create volume Goal.Volume (Params: size...)
	VolumeDelete Verb = "volume-delete"
	VolumeAttach Verb = "volume-attach" // export Goal.Volume to Params["host"]
	VolumeDetach Verb = "volume-detach"
)

// ParamSyncFirst is the key of Goal.Params with which start copies before it turns round.
const ParamSyncFirst = "sync_first"

// ReplicationVerbs are the verbs that the command line offers at its top level.
func ReplicationVerbs() []Verb {
	return []Verb{Update, Break, Resume, Swap, Failover, Failback, Start, Revert}
}

// LifeCycleVerbs are the verbs below `ddsgo array`.
func LifeCycleVerbs() []Verb {
	return []Verb{Setup, Create, Delete, Add, Remove, Resync, VolumeCreate, VolumeDelete, VolumeAttach, VolumeDetach}
}

// ChangesDirection says that the verb may change which side is primary.
func (v Verb) ChangesDirection() bool {
	return slices.Contains([]Verb{Swap, Failover, Failback, Start, Revert}, v)
}

// KeepsDirection says that the verb must not change which side is primary (R5).
func (v Verb) KeepsDirection() bool { return slices.Contains([]Verb{Update, Break, Resume}, v) }

// Capabilities says what a resource is and what can be done with it.
type Capabilities struct {
	Driver    string   `json:"driver"`               // name of the driver, as in the configuration
	Mode      string   `json:"mode"`                 // as in the configuration: sync, async, journal, ...
	Sites     []string `json:"sites"`                // exactly two, home first
	LocalSite string   `json:"local_site,omitempty"` // where the driver knows it better than the configuration (LVM)
	Verbs     []Verb   `json:"verbs"`                // supported
	// Missing gives the reason for verbs that are not supported; a verb in neither list
	// is refused with a general reason.
	Missing map[Verb]string `json:"missing,omitempty"`
	// MaxAge is the recovery point objective: older than this is the reason too_old.
	// Zero: none is set.
	MaxAge time.Duration `json:"-"`
}

// Supports says whether v is supported, and why not.
func (c Capabilities) Supports(v Verb) (bool, string) {
	if slices.Contains(c.Verbs, v) {
		return true, ""
	}
	if why := c.Missing[v]; why != "" {
		return false, why
	}
	return false, "driver " + c.Driver + " in mode " + c.Mode + " does not know it"
}

// Home is the home site.
func (c Capabilities) Home() string {
	if len(c.Sites) == 0 {
		return ""
	}
	return c.Sites[0]
}

// Peer is the other site.
func (c Capabilities) Peer(site string) string {
	for _, s := range c.Sites {
		if s != site {
			return s
		}
	}
	return ""
}

// Goal is a verb with its parameters. Run fills the fields from Baseline on.
type Goal struct {
	Verb           Verb              `json:"verb"`
	Site           string            `json:"site,omitempty"`       // direction verbs: the site to be primary
	LocalSite      string            `json:"local_site,omitempty"` // where ddsgo runs; may be empty
	HomeSite       string            `json:"home_site,omitempty"`
	Force          bool              `json:"force,omitempty"`
	Discard        string            `json:"discard,omitempty"` // R3: the site whose own writes may be lost
	KeepDiscarded  bool              `json:"keep_discarded,omitempty"`
	WritersStopped bool              `json:"writers_stopped,omitempty"` // R6: the operator says so
	Prepare        bool              `json:"prepare,omitempty"`         // failback: bring home up to date only, the application still runs
	NoStart        bool              `json:"no_start,omitempty"`        // swap, failback: leave replication stopped
	Volume         string            `json:"volume,omitempty"`
	Params         map[string]string `json:"params,omitempty"`

	Baseline *Observation `json:"baseline,omitempty"` // the first observation of this run
	Last     *Observation `json:"last,omitempty"`     // the one before the present one
	Done     []DoneStep   `json:"done,omitempty"`     // what this run has done, oldest first
	// ObservedSince counts the observations since the last step of Done, the present one
	// included.
	ObservedSince int `json:"observed_since,omitempty"`
}

// Did says whether this run sent the step, with or without an answer.
func (g Goal) Did(id string) bool {
	return slices.ContainsFunc(g.Done, func(d DoneStep) bool { return d.ID == id })
}

// DidOK says whether this run did the step and the storage confirmed it.
func (g Goal) DidOK(id string) bool {
	return slices.ContainsFunc(g.Done, func(d DoneStep) bool { return d.ID == id && d.Outcome == OutcomeOK })
}

// Outcome of a step.
type Outcome string

// Outcomes.
const (
	OutcomeOK    Outcome = "ok"
	OutcomeLost  Outcome = "lost"  // no reply: done or not done
	OutcomeError Outcome = "error" // the storage answered with an error
)

// DoneStep is a step that this run has sent.
type DoneStep struct {
	Step
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
}

// Plan leads from an observation to a goal.
type Plan struct {
	Steps   []Step `json:"steps"`
	Reached bool   `json:"reached,omitempty"` // the goal holds; no steps are left
	// Wait says that nothing is to be done but to observe again later.
	Wait *Wait `json:"wait,omitempty"`
	// Authoritative is the site whose content survives; empty where nothing is copied.
	Authoritative string `json:"authoritative,omitempty"`
	// Overwrites lists the writes that exist on one side only and that the plan destroys.
	Overwrites []Overwrite `json:"overwrites,omitempty"`
	Warnings   []string    `json:"warnings,omitempty"`
	// Result is what a life-cycle verb has to tell when Reached (names, identifiers).
	Result map[string]string `json:"result,omitempty"`
}

// Step is one native command or request.
type Step struct {
	ID      string `json:"id"`      // stable within the driver: what Goal.Did asks for
	Site    string `json:"site"`    // the side it is sent to
	Action  string `json:"action"`  // in words: "stop the group"
	Command string `json:"command"` // native text, without secrets
	// TakesWrite is the site that loses write access by this step, GrantsWrite the one
	// that gains it. A command that does both at once names both.
	TakesWrite  string `json:"takes_write,omitempty"`
	GrantsWrite string `json:"grants_write,omitempty"`
	// Overwrites is the site whose own writes this step destroys (R3).
	Overwrites string            `json:"overwrites,omitempty"`
	Args       map[string]string `json:"args,omitempty"` // what Do needs beyond ID and Site
}

// Wait is what a run is waiting for. Done and Total are in bytes or items, 0 if unknown.
type Wait struct {
	What  string `json:"what"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
}

// Overwrite is the loss that an operator has to agree to.
type Overwrite struct {
	Site       string     `json:"site"`
	LastCommon *time.Time `json:"last_common,omitempty"` // nil: unknown
	Kept       string     `json:"kept,omitempty"`        // name of the snapshot that keeps the content; empty: not kept
}

// Observation is what both sides said. The driver fills everything it can see.
type Observation struct {
	At          time.Time   `json:"at"`
	Sides       []Side      `json:"sides"` // in the order of Capabilities.Sites, both always present
	Link        Link        `json:"link"`
	Replication Replication `json:"replication"`
	Mode        string      `json:"mode,omitempty"` // what the storage says; empty: as configured
	Members     []Member    `json:"members,omitempty"`
	LastSync    *time.Time  `json:"last_sync,omitempty"` // the instant that the secondary holds
	Lag         *float64    `json:"lag_seconds,omitempty"`
	BytesLeft   *int64      `json:"bytes_left,omitempty"`
	Reasons     []Reason    `json:"reasons,omitempty"` // why it is not up
	Next        string      `json:"next,omitempty"`    // a better next command than the one that follows from Reasons

	Condition  string                 `json:"condition,omitempty"`  // LVM
	Generation *generation.Generation `json:"generation,omitempty"` // LVM
}

// Side is one copy as its own storage describes it.
type Side struct {
	Site       string    `json:"site"`
	Reachable  bool      `json:"reachable"`
	ObservedAt time.Time `json:"observed_at"`
	Role       Role      `json:"role"`
	Writable   Tri       `json:"writable"`        // the storage accepts writes of hosts
	Writers    Tri       `json:"writers"`         // somebody has it open for writing (mounts, exports, watchers)
	Error      string    `json:"error,omitempty"` // why it was not read
	// Native is what the storage said in its own words, for status and for Plan.
	Native map[string]any `json:"native,omitempty"`
}

// Member is one volume of the resource.
type Member struct {
	Name     string     `json:"name"`
	Peer     string     `json:"peer"`
	Sync     Sync       `json:"sync"`
	LastSync *time.Time `json:"last_sync,omitempty"`
	// SyncPoint is a counter or a time of the storage's own that grows when a copy is
	// complete (R4). nil: the storage keeps none. Never from the local clock.
	SyncPoint *int64 `json:"sync_point,omitempty"`
}

// Side returns the side of a site; an unknown site gives a side that was not read.
func (o Observation) Side(site string) Side {
	for _, s := range o.Sides {
		if s.Site == site {
			return s
		}
	}
	return Side{Site: site, Role: RoleUnknown, Error: "not observed"}
}

// Primaries are the sites whose storage says that they are primary.
func (o Observation) Primaries() []string {
	var out []string
	for _, s := range o.Sides {
		if s.Reachable && s.Role == RolePrimary {
			out = append(out, s.Site)
		}
	}
	return out
}

// Primary is the one primary site; empty where there is none or more than one.
func (o Observation) Primary() string {
	if p := o.Primaries(); len(p) == 1 {
		return p[0]
	}
	return ""
}

// AllReachable says that every side was read.
func (o Observation) AllReachable() bool {
	return len(o.Sides) > 0 && !slices.ContainsFunc(o.Sides, func(s Side) bool { return !s.Reachable })
}

// AllSynced says that there are members and that each is synced.
func (o Observation) AllSynced() bool {
	return len(o.Members) > 0 && !slices.ContainsFunc(o.Members, func(m Member) bool { return m.Sync != Synced })
}
