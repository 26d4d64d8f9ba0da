package hp3par

import (
	"errors"

	"github.com/ddsgo/ddsgo/array"
)

// failover makes g.Site primary without the other side.
func (v view) failover() (array.Plan, error) {
	to := v.g.Site
	from := v.d.peer(to)
	s, peer := v.Side(to), v.Side(from)
	if s.Role == array.RolePrimary {
		return v.stays(to)
	}
	if !s.Reachable {
		return array.Plan{}, array.Unreachable(to, errors.Join(ErrNoReply, errors.New(s.Error)))
	}
	p := array.Plan{Authoritative: to, Warnings: []string{v.missing(to)}}
	if v.started(to) {
		stop := v.step(from, opStop, "stop replication")
		if !peer.Reachable {
			if !v.g.Force {
				forced := v.g
				forced.Force = true
				return p, array.Refuse("R1", "stop the application at "+from+", then: "+forced.Command(v.d.c.Name),
					"%s cannot be read, but replication from it still runs: it is alive", from)
			}
			stop = v.step(to, opStopPeer, "stop replication from this side")
		}
		p.Steps = append(p.Steps, stop)
	}
	if v.role(to) == secondaryRev {
		// It was primary once, and the array fails over only the natural secondary.
		back := v.step(to, opRevert, "make it primary again")
		back.GrantsWrite = to
		p.Steps = append(p.Steps, back)
		return p, nil
	}
	p.Steps = append(p.Steps, v.step(to, opFailover, "make it primary"))
	return p, nil
}

// stays is the end of a verb that finds its site primary. Where both are, only the one that was
// failed over holds what was written last; the other one was never told that it is out of date, and
// whoever starts there writes on both sides.
func (v view) stays(site string) (array.Plan, error) {
	if len(v.Primaries()) > 1 && v.role(site) != primaryRev {
		return array.Plan{}, v.twoPrimaries("R1")
	}
	return reached()
}

func (v view) twoPrimaries(rule string) *array.Refusal {
	return array.Refuse(rule, "ddsgo plan failback "+v.d.c.Name+" --discard SITE", "both sides are primary")
}

// missing is what a person has to know before site is made primary. Only the primary's array tells when
// the last copy began; the others know when it had come.
func (v view) missing(site string) string {
	if v.Mode != modeSync && len(v.Primaries()) == 0 && v.LastSync != nil {
		return "what was written since the transfer that ended at " + v.lastCommon() + " (LAST-SYNC) began is not at " + site
	}
	return "writes after " + v.lastCommon() + " (LAST-SYNC) are not at " + site
}

func (v view) lastCommon() string {
	if v.LastSync == nil {
		return "an unknown instant"
	}
	return v.LastSync.UTC().Format("2006-01-02T15:04:05Z")
}

// failback makes the home site primary again.
func (v view) failback() (array.Plan, error) {
	home, away := v.g.HomeSite, v.d.peer(v.g.HomeSite)
	if len(v.Primaries()) > 1 {
		return v.rejoin(home, away)
	}
	if v.Primary() == home {
		return v.restart()
	}
	if v.g.Prepare {
		return v.prepare(home, away)
	}
	return v.move(home, true)
}

// prepare brings home up to date while the application runs on the other side.
func (v view) prepare(home, away string) (array.Plan, error) {
	if _, _, err := v.direction(); err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(home); err != nil {
		return array.Plan{}, err
	}
	if v.started(away) {
		p, done := v.copyNow(away)
		p.Reached = done
		return p, nil
	}
	if v.role(away) == primaryRev && v.role(home) == secondaryRev {
		return v.moveReversed(away, home)
	}
	return steps(away, append(v.settleNatural(), v.step(away, opStart, "start replication"))...)
}

// rejoin ends two primaries: the side named by --discard, else home, becomes a copy.
func (v view) rejoin(home, away string) (array.Plan, error) {
	if err := v.linked(home); err != nil {
		return array.Plan{}, err
	}
	loser := home
	if v.g.Discard != "" {
		loser = v.g.Discard
	}
	winner := v.d.peer(loser)
	p := array.Plan{Authoritative: winner, Overwrites: []array.Overwrite{{Site: loser, LastCommon: v.LastSync}}}
	if v.role(winner) == primaryRev {
		p.Steps = []array.Step{v.step(winner, opRecover, "copy the writes since the failover back")}
		return p, nil
	}
	if v.role(loser) != primaryRev {
		return p, array.Refuse("", "ddsgo status "+v.d.c.Name, "both sides are plain Primary: the array's manual says how such groups are taken apart")
	}
	drop := v.step(loser, opRevert, "take write access")
	drop.TakesWrite, drop.Overwrites = loser, loser
	p.Steps = []array.Step{drop, v.step(winner, opStart, "start replication")}
	return p, nil
}

// revert undoes a failover that wrote nothing.
func (v view) revert() (array.Plan, error) {
	for _, s := range v.Sides {
		if v.role(s.Site) != primaryRev {
			continue
		}
		if v.started(s.Site) {
			return array.Plan{}, array.Refuse("", "ddsgo failback "+v.d.c.Name, "replication from %s runs already: its writes are on both sides", s.Site)
		}
		return v.revertFrom(s.Site)
	}
	for _, s := range v.Sides { // the first half was done before a cut
		if v.role(s.Site) == secondaryRev && v.role(v.d.peer(s.Site)) == secondary {
			return v.promoteCut(s.Site)
		}
	}
	if _, _, err := v.direction(); err != nil {
		return array.Plan{}, err
	}
	return reached()
}

func (v view) revertFrom(site string) (array.Plan, error) {
	peer := v.d.peer(site)
	take := v.step(site, opRevert, "give write access up again")
	take.TakesWrite = site
	p := array.Plan{Authoritative: peer, Steps: []array.Step{take}, Overwrites: []array.Overwrite{{Site: site, LastCommon: v.LastSync}}}
	if v.role(peer) == secondaryRev {
		give := v.step(peer, opRevert, "make it primary again")
		give.GrantsWrite = peer
		p.Steps = append(p.Steps, give)
	}
	return p, nil
}
