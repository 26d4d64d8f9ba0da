package array

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// resolve fills the sites of a goal and refuses a verb or a site that does not exist.
func resolve(name string, c Capabilities, g Goal) (Goal, error) {
	if ok, why := c.Supports(g.Verb); !ok {
		return g, Unsupported("ddsgo status "+name, "%s: %s", g.Verb, why)
	}
	g.LocalSite, g.HomeSite = localSite(c, g.LocalSite), c.Home()
	for _, s := range []string{g.Site, g.Discard} {
		if s != "" && !slices.Contains(c.Sites, s) {
			return g, &Error{Kind: KindConfig, Reason: fmt.Sprintf("unknown site %q; known: %s", s, strings.Join(c.Sites, ", "))}
		}
	}
	switch g.Verb {
	case Swap, Failover, Start:
		if g.Site == "" {
			g.Site = g.LocalSite
		}
		if !slices.Contains(c.Sites, g.Site) {
			return g, &Error{Kind: KindConfig, Reason: fmt.Sprintf("%s needs the site that shall be primary: use --site, or set local_site; known: %s", g.Verb, strings.Join(c.Sites, ", "))}
		}
	case Failback:
		if g.Site != "" && g.Site != g.HomeSite {
			return g, &Error{Kind: KindConfig, Reason: fmt.Sprintf("failback makes the home site %s primary; for %s use swap", g.HomeSite, g.Site)}
		}
		g.Site = g.HomeSite
	}
	return g, nil
}

// Command is the command line that asks for this goal again, in the name of a resource.
func (g Goal) Command(name string) string {
	cmd := "ddsgo " + string(g.Verb)
	if slices.Contains(LifeCycleVerbs(), g.Verb) {
		cmd = "ddsgo array " + strings.ReplaceAll(string(g.Verb), "-", " ")
	}
	cmd += " " + name
	if g.Volume != "" {
		cmd += " " + g.Volume
	}
	if g.Site != "" && g.Verb != Failback {
		cmd += " --site " + g.Site
	}
	for _, f := range []struct {
		set  bool
		flag string
	}{{g.Force, "--force"}, {g.Discard != "", "--discard " + g.Discard}, {g.KeepDiscarded, "--keep-discarded"},
		{g.WritersStopped, "--writers-stopped"}, {g.Prepare, "--prepare"}, {g.NoStart, "--no-start"}} {
		if f.set {
			cmd += " " + f.flag
		}
	}
	for _, k := range slices.Sorted(maps.Keys(g.Params)) {
		if k == ParamSyncFirst {
			cmd += " --sync-first"
			continue
		}
		cmd += " --param " + shellWord(k+"="+g.Params[k])
	}
	return cmd
}

// shellWord quotes what a shell would not take as one word.
func shellWord(s string) string {
	if !strings.ContainsAny(s, " \t\n\"'\\$`&;|<>*?()[]{}!#~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// canWrite says that a side accepts writes, or may do so.
func canWrite(s Side) bool {
	return s.Writable == Yes || s.Writable == Unknown && s.Role == RolePrimary
}

// lastResort says that the verb is for the loss of the other side: failover, and start
// while the sites are split.
func lastResort(o Observation, g Goal) bool {
	return g.Verb == Failover || g.Verb == Start && o.Link != LinkUp
}

// checkPlan applies the rules that need the whole plan: reachability, R1, R3, R5, R6.
func checkPlan(name string, c Capabilities, o Observation, g Goal, p Plan) error {
	if len(p.Steps) == 0 {
		return nil
	}
	for _, check := range []func(string, Capabilities, Observation, Goal, Plan) error{checkReach, checkR1, checkR3, checkR5, checkR6} {
		if err := check(name, c, o, g, p); err != nil {
			return err
		}
	}
	return nil
}

// checkReach: a site that cannot be read is never made primary, and a planned verb needs
// both.
func checkReach(name string, c Capabilities, o Observation, g Goal, _ Plan) error {
	switch g.Verb {
	case Swap, Failover, Failback, Start:
	default:
		return nil
	}
	if s := o.Side(g.Site); !s.Reachable {
		return &Error{Kind: KindUnreachable, Site: s.Site, Reason: "cannot be read, and shall become primary: " + s.Error, Next: "ddsgo status " + name}
	}
	peer := o.Side(c.Peer(g.Site))
	if peer.Reachable || lastResort(o, g) {
		return nil
	}
	e := &Error{Kind: KindUnreachable, Site: peer.Site, Reason: fmt.Sprintf("cannot be read, and %s needs both sides: %s", g.Verb, peer.Error), Next: "ddsgo status " + name}
	if g.Verb == Swap && o.Side(g.Site).Role != RolePrimary {
		e.Next = fmt.Sprintf("ddsgo plan failover %s --site %s", name, g.Site)
	}
	return e
}

// checkR1: failover is for a peer that is gone.
func checkR1(name string, c Capabilities, o Observation, g Goal, _ Plan) error {
	if !lastResort(o, g) || g.Force {
		return nil
	}
	peer := o.Side(c.Peer(g.Site))
	if !peer.Reachable || peer.Role != RolePrimary && peer.Writable != Yes {
		return nil
	}
	next := fmt.Sprintf("ddsgo swap %s --site %s", name, g.Site)
	if ok, _ := c.Supports(Swap); !ok || o.Link == LinkDown {
		forced := g
		forced.Force = true
		next = "stop the application at " + peer.Site + ", then: " + forced.Command(name)
	}
	return Refuse("R1", next, "%s answers and is %s; failover would make two primaries", peer.Site, sideWords(peer))
}

func sideWords(s Side) string {
	if s.Role == RolePrimary {
		return "primary"
	}
	return "writable"
}

// checkR3: whose own writes are lost, is for the operator to say.
func checkR3(name string, _ Capabilities, o Observation, g Goal, p Plan) error {
	lost := slices.Clone(p.Overwrites)
	for _, s := range p.Steps {
		if s.Overwrites != "" && !slices.ContainsFunc(lost, func(ow Overwrite) bool { return ow.Site == s.Overwrites }) {
			lost = append(lost, Overwrite{Site: s.Overwrites})
		}
	}
	for _, ow := range lost {
		if ow.Site != g.Discard && g.Discard != "" {
			return Refuse("R3", "ddsgo plan "+strings.TrimPrefix(g.Command(name), "ddsgo "), "the writes that only %s holds would be lost, and --discard names %s", ow.Site, g.Discard)
		}
		if ow.Site != g.Discard {
			agreed := g
			agreed.Discard = ow.Site
			return Refuse("R3", agreed.Command(name), "%s holds writes that exist only there (%s); they would be lost", ow.Site, lastCommon(ow))
		}
		if o.Side(ow.Site).Writers == Yes {
			return Refuse("R6", "stop the application at "+ow.Site+", then: "+g.Command(name), "%s is in use and would be overwritten", ow.Site)
		}
	}
	return nil
}

func lastCommon(ow Overwrite) string {
	text := "last common point: unknown"
	if ow.LastCommon != nil {
		text = "last common point: " + ow.LastCommon.UTC().Format("2006-01-02T15:04:05Z")
	}
	if ow.Kept != "" {
		text += ", kept in " + ow.Kept
	}
	return text
}

// checkR5: what is no direction verb moves no write access.
func checkR5(_ string, c Capabilities, _ Observation, g Goal, p Plan) error {
	if !g.Verb.KeepsDirection() {
		return nil
	}
	for _, s := range p.Steps {
		if s.GrantsWrite != "" || s.TakesWrite != "" {
			return &Error{Kind: KindInternal, Site: s.Site, Reason: fmt.Sprintf("driver %s plans to move write access (%s) for %s, which never changes the direction (R5)", c.Driver, s.Action, g.Verb)}
		}
	}
	return nil
}

// checkR6: planned verbs need stopped writers on the side that loses write access.
func checkR6(name string, c Capabilities, o Observation, g Goal, _ Plan) error {
	if g.Verb != Swap && g.Verb != Failback || g.Prepare {
		return nil
	}
	old := o.Side(c.Peer(g.Site))
	if !old.Reachable || !canWrite(old) {
		return nil // nobody can write there, so nothing is left to stop
	}
	if old.Writers == Yes {
		return Refuse("R6", "stop the application at "+old.Site+", then: "+g.Command(name), "%s is in use; %s needs stopped writers", old.Site, g.Verb)
	}
	if old.Writers == Unknown && !g.WritersStopped {
		said := g
		said.WritersStopped = true
		return Refuse("R6", "stop the application at "+old.Site+", then: "+said.Command(name), "whether %s is in use cannot be seen; %s needs stopped writers", old.Site, g.Verb)
	}
	return nil
}

// checkStep applies R1 and R2 to the step that is to be done now, on the newest
// observation.
func checkStep(name string, o Observation, g Goal, s Step) error {
	if s.GrantsWrite == "" {
		return nil
	}
	for _, peer := range o.Sides {
		switch {
		case peer.Site == s.GrantsWrite:
		case !peer.Reachable && !lastResort(o, g):
			return Refuse("R1", "ddsgo status "+name, "%s cannot be read, so %s is not made writable", peer.Site, s.GrantsWrite)
		case peer.Reachable && canWrite(peer) && s.TakesWrite != peer.Site && !(g.Force && lastResort(o, g)):
			return Refuse("R2", "ddsgo status "+name, "%s still accepts writes, so %s is not made writable", peer.Site, s.GrantsWrite)
		}
	}
	return nil
}

// checkReached refuses to believe a driver that calls a direction verb done while the
// roles say otherwise.
func checkReached(c Capabilities, o Observation, g Goal) error {
	if g.Verb == Failback && g.Prepare {
		return nil
	}
	defect := func(why string) error {
		return &Error{Kind: KindInternal, Reason: fmt.Sprintf("driver %s calls %s done, but %s", c.Driver, g.Verb, why)}
	}
	switch g.Verb {
	case Swap, Failback, Failover, Start:
	default:
		return nil
	}
	if s := o.Side(g.Site); !s.Reachable || s.Role != RolePrimary || s.Writable == No {
		return defect(g.Site + " is not a writable primary")
	}
	if peer := o.Side(c.Peer(g.Site)); (g.Verb == Swap || g.Verb == Failback) && peer.Reachable && canWrite(peer) {
		return defect(peer.Site + " still accepts writes")
	}
	return nil
}

// settled is R4: the storage's own counter has moved past the one read before the act,
// or, where there is none, two successive observations agree.
func settled(o Observation, g Goal) bool {
	if g.Verb != Update || len(g.Done) == 0 || g.Baseline == nil {
		return true
	}
	steady := true
	for _, m := range o.Members {
		if m.SyncPoint == nil {
			steady = false
			continue
		}
		if before := pointOf(*g.Baseline, m.Name); before != nil && *m.SyncPoint <= *before {
			return false
		}
	}
	if steady && len(o.Members) > 0 {
		return true
	}
	return g.ObservedSince >= 2 && g.Last != nil && running(o) && running(*g.Last)
}

func running(o Observation) bool { return o.Replication == Running && o.AllSynced() }

func pointOf(o Observation, member string) *int64 {
	for _, m := range o.Members {
		if m.Name == member {
			return m.SyncPoint
		}
	}
	return nil
}
