package hp3par

import (
	"fmt"

	"github.com/ddsgo/ddsgo/array"
)

// reasons are the rules of the status, each with its own code.
func (d *Driver) reasons(o *array.Observation, sides [2]seen, s seen, add func(array.ReasonCode, string, ...any)) {
	g := s.g
	for _, x := range sides {
		switch {
		case x.err != nil || !x.here:
		case !x.g.role.primary() && !x.g.role.secondary():
			add(array.ReasonUnknownValue, "%s: role %q of group %s is not known", x.site, x.g.role, x.g.name)
		case statusMeans(x.g, o.Link) == array.ReplicationUnknown:
			add(array.ReasonUnknownValue, "%s: status %q of group %s is not known", x.site, x.g.status, x.g.name)
		case x.g.status == statusFailsafe:
			add(array.ReasonNotStarted, "%s: group %s is Failsafe; see the array's manual before anything else", x.site, x.g.name)
		}
		if x.err == nil && x.here && x.link == array.LinkUnknown {
			add(array.ReasonUnknownValue, "%s: no link to %s is Up, and none is plainly Down", x.site, x.g.target)
		}
	}
	if g.status != statusStarted && g.status != statusFailsafe {
		add(array.ReasonNotStarted, "group %s is %s, not Started", g.name, g.status)
	}
	switch known := g.mode == modeSync || g.mode == modePeriodic || g.mode == modeAsync; {
	case !known:
		add(array.ReasonUnknownValue, "mode %q of group %s is not known", g.mode, g.name)
	case d.c.Mode == "async" && g.mode != modePeriodic && g.mode != modeAsync:
		add(array.ReasonWrongMode, "group %s is configured async, and the array says mode %s", g.name, g.mode)
	case d.c.Mode == "sync" && g.mode != modeSync:
		add(array.ReasonWrongMode, "group %s is configured sync, and the array says mode %s", g.name, g.mode)
	case g.mode == modePeriodic && g.period == 0:
		add(array.ReasonNoPeriod, "group %s has no period: nothing is sent unless somebody asks", g.name)
	}
	if d.c.MaxAge > 0 && g.period > 0 && d.c.MaxAge < 2*g.period {
		for i := range o.Sides {
			if o.Sides[i].Site == s.site {
				o.Sides[i].Native["warning"] = fmt.Sprintf("sync_max_delay %s is less than twice the period %s", d.c.MaxAge, g.period)
			}
		}
	}
	if !g.has("auto_recover") {
		add(array.ReasonNoAutoRecover, "policy auto_recover of group %s is not set", g.name)
	}
	if g.lastSync.err != nil {
		add(array.ReasonUnknownValue, "%v", g.lastSync.err)
	}
	d.memberReasons(g, add)
}

func (d *Driver) memberReasons(g group, add func(array.ReasonCode, string, ...any)) {
	if len(g.members) == 0 {
		add(array.ReasonNotSynced, "group %s has no volumes", g.name)
	}
	for _, m := range g.members {
		word, known := syncWords[m.sync]
		switch {
		case !known:
			add(array.ReasonUnknownValue, "%s: sync status %q is not known", m.local, m.sync)
		case m.last.none() && g.mode != modeSync:
			add(array.ReasonFirstCopy, "%s was never synced", m.local)
		case word == array.Syncing && m.percent >= 0:
			add(array.ReasonNotSynced, "%s is Syncing (%d %%), not Synced", m.local, m.percent)
		case word != array.Synced:
			add(array.ReasonNotSynced, "%s is %s, not Synced", m.local, m.sync)
		}
		if m.last.err != nil && g.lastSync.err == nil {
			add(array.ReasonUnknownValue, "%v", m.last.err)
		}
	}
}
