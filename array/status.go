package array

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/internal/report"
)

// Report turns what a driver observed into the status that every output shows. site is
// where ddsgo runs; empty: none is set. now judges the age of the copy.
func Report(name string, c Capabilities, o Observation, site string, now time.Time) report.Resource {
	o.Normalize()
	site = localSite(c, site)
	reasons := reasonsOf(c, o, now)
	r := report.Resource{
		Name: name, Driver: c.Driver, Mode: c.Mode,
		State:       stateOf(o, reasons),
		Role:        string(roleOf(c, o, site)),
		Reversed:    len(o.Primaries()) > 0 && !slices.Contains(o.Primaries(), c.Home()),
		Link:        string(o.Link),
		Replication: string(o.Replication),
		Generation:  o.Generation,
		LastSync:    utc(o.LastSync), LagSeconds: lagOf(o, now), BytesLeft: o.BytesLeft,
		Sides: sidesOf(c, o), Members: membersOf(o), Reasons: make([]report.Reason, 0, len(reasons)),
	}
	if o.Condition != "" {
		r.Condition = &o.Condition
	}
	for _, why := range reasons {
		r.Reasons = append(r.Reasons, report.Reason{Code: string(why.Code), Text: why.Text})
	}
	if next := nextOf(name, c, o, reasons); next != "" {
		r.Next = &next
	}
	return r
}

// ReportError is the status of a resource that could not be observed at all.
func ReportError(name string, c Capabilities, err error) report.Resource {
	o := Observation{Link: LinkUnknown, Replication: ReplicationUnknown}
	for _, s := range c.Sites {
		o.Sides = append(o.Sides, Side{Site: s, Role: RoleUnknown, Error: err.Error()})
	}
	r := Report(name, c, o, "", time.Time{})
	code := ReasonUnreachable
	if k := KindOf(err); k != KindUnreachable {
		code = ReasonUnknownValue
	}
	next := "ddsgo config check"
	r.Reasons = []report.Reason{{Code: string(code), Text: err.Error()}}
	r.Next = &next
	return r
}

func localSite(c Capabilities, site string) string {
	if c.LocalSite != "" {
		return c.LocalSite
	}
	return site
}

// reasonsOf adds to the driver's own reasons those that follow from the observation, so
// that no driver can forget them.
func reasonsOf(c Capabilities, o Observation, now time.Time) []Reason {
	reasons := slices.Clone(o.Reasons)
	add := func(code ReasonCode, format string, args ...any) {
		if !slices.ContainsFunc(reasons, func(r Reason) bool { return r.Code == code }) {
			reasons = append(reasons, Reason{Code: code, Text: fmt.Sprintf(format, args...)})
		}
	}
	for _, s := range o.Sides {
		if !s.Reachable {
			add(ReasonUnreachable, "%s cannot be read: %s", s.Site, s.Error)
		}
	}
	if p := o.Primaries(); len(p) > 1 {
		add(ReasonTwoPrimaries, "both sides are primary; their contents have parted")
	}
	switch o.Replication {
	case Initial:
		add(ReasonFirstCopy, "the first copy is not complete")
	case Held:
		if c.Driver == "lvm" {
			add(ReasonHeld, "held until resumed by name")
		} else {
			add(ReasonSuspended, "replication is suspended")
		}
	case Stopped:
		add(ReasonNotStarted, "replication is stopped")
	case ReplicationError:
		add(ReasonNotStarted, "replication has failed")
	case ReplicationUnknown:
		if o.AllReachable() && len(reasons) == 0 {
			add(ReasonUnknownValue, "the storage tells a replication state that this version does not know")
		}
	}
	for _, m := range o.Members {
		if m.Sync == Stale && o.Replication == Running {
			add(ReasonNotSynced, "%s is not synced", m.Name)
		}
	}
	if lag := lagOf(o, now); c.MaxAge > 0 && lag != nil && *lag > c.MaxAge.Seconds() {
		add(ReasonTooOld, "the copy is %s old, allowed are %s", round(*lag), c.MaxAge)
	}
	for _, m := range o.Members {
		if m.LastSync != nil && c.MaxAge > 0 && now.Sub(*m.LastSync) > c.MaxAge {
			add(ReasonTooOld, "the copy of %s is %s old, allowed are %s", m.Name, round(now.Sub(*m.LastSync).Seconds()), c.MaxAge)
		}
	}
	if o.Lag == nil && ahead(o.LastSync, now) {
		add(ReasonUnknownValue, "the age of the copy is not known: the storage's clock is %s ahead of the one here", round(o.LastSync.Sub(now).Seconds()))
	}
	return reasons
}

// clockSlack is how far two clocks may differ without a word.
const clockSlack = 30 * time.Second

// ahead says that a time of the storage's own lies in the future, so that it tells no age.
func ahead(t *time.Time, now time.Time) bool {
	return t != nil && !now.IsZero() && t.Sub(now) > clockSlack
}

func round(seconds float64) time.Duration {
	return (time.Duration(seconds * float64(time.Second))).Round(time.Second)
}

// stateOf: nothing read is unknown; a copy that cannot be relied upon is down; any other
// reason is a warning.
func stateOf(o Observation, reasons []Reason) string {
	if !slices.ContainsFunc(o.Sides, func(s Side) bool { return s.Reachable }) {
		return report.StateUnknown
	}
	down := []ReasonCode{ReasonAbsent, ReasonSplitBrain, ReasonTwoPrimaries, ReasonInconsistent, ReasonStateDamaged}
	for _, r := range reasons {
		if slices.Contains(down, r.Code) {
			return report.StateDown
		}
	}
	if o.Replication == ReplicationError {
		return report.StateDown
	}
	if len(reasons) > 0 || o.Replication != Running {
		return report.StateWarn
	}
	return report.StateUp
}

// roleOf is the role of this site, or of the home site where none is set.
func roleOf(c Capabilities, o Observation, site string) Role {
	if len(o.Primaries()) > 1 {
		return RoleBoth
	}
	if site == "" || !slices.Contains(c.Sites, site) {
		site = c.Home()
	}
	if s := o.Side(site); s.Reachable {
		return s.Role
	}
	return RoleUnknown
}

func lagOf(o Observation, now time.Time) *float64 {
	if o.Lag != nil {
		return o.Lag
	}
	if o.LastSync == nil || now.IsZero() || ahead(o.LastSync, now) {
		return nil
	}
	lag := max(0, now.Sub(*o.LastSync).Seconds())
	return &lag
}

func sidesOf(c Capabilities, o Observation) []report.Side {
	out := make([]report.Side, 0, 2)
	for _, site := range sitesIn(c, o) {
		s := o.Side(site)
		side := report.Side{Site: s.Site, Reachable: s.Reachable, Role: string(s.Role), Native: map[string]any{}}
		if !s.ObservedAt.IsZero() {
			side.ObservedAt = utc(&s.ObservedAt)
		}
		if s.Writable != Unknown {
			w := s.Writable == Yes
			side.Writable = &w
		}
		maps.Copy(side.Native, s.Native)
		out = append(out, side)
	}
	return out
}

// sitesIn are the configured sites, then those that only the driver knows.
func sitesIn(c Capabilities, o Observation) []string {
	sites := slices.Clone(c.Sites)
	for _, s := range o.Sides {
		if !slices.Contains(sites, s.Site) {
			sites = append(sites, s.Site)
		}
	}
	return sites
}

func membersOf(o Observation) []report.Member {
	out := make([]report.Member, 0, len(o.Members))
	for _, m := range o.Members {
		out = append(out, report.Member{Name: m.Name, Peer: m.Peer, Sync: string(m.Sync), LastSync: utc(m.LastSync)})
	}
	return out
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// nextOf is the command that helps with the first reason that has one.
func nextOf(name string, c Capabilities, o Observation, reasons []Reason) string {
	if o.Next != "" {
		return o.Next
	}
	for _, r := range reasons {
		if r.Next != "" {
			return r.Next
		}
	}
	for _, r := range reasons {
		if next := usualNext(name, c, o, r.Code); next != "" {
			return next
		}
	}
	return ""
}

// usualNext is the command that usually helps, if the driver knows that verb.
func usualNext(name string, c Capabilities, o Observation, code ReasonCode) string {
	can := func(v Verb) bool { ok, _ := c.Supports(v); return ok }
	switch code {
	case ReasonTwoPrimaries, ReasonSplitBrain:
		if can(Failback) {
			return fmt.Sprintf("ddsgo plan failback %s --discard SITE", name)
		}
	case ReasonNotStarted, ReasonSuspended, ReasonHeld:
		if p := o.Primary(); p != "" && p != c.Home() && !o.Side(c.Home()).Reachable {
			return ""
		}
		if can(Resume) {
			return "ddsgo resume " + name
		}
	case ReasonTooOld, ReasonNotSynced, ReasonApplying:
		if can(Update) {
			return "ddsgo update " + name
		}
	case ReasonAbsent:
		if can(Create) {
			return "ddsgo array create " + name
		}
	case ReasonUnreachable:
		for _, s := range o.Sides {
			if s.Reachable && s.Role != RolePrimary && can(Failover) {
				return fmt.Sprintf("ddsgo plan failover %s --site %s", name, s.Site)
			}
		}
	}
	return ""
}
