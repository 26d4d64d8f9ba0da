package hp3par

import (
	"strconv"

	"github.com/ddsgo/ddsgo/array"
)

// update brings the copy up to now.
func (v view) update() (array.Plan, error) {
	from, to, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(to); err != nil {
		return array.Plan{}, err
	}
	if !v.started(from) {
		return array.Plan{}, array.Refuse("", "ddsgo resume "+v.d.c.Name, "group %s is %s, not Started", v.d.site(from).Group, v.status(from))
	}
	p, done := v.copyNow(from)
	p.Reached = done
	return p, nil
}

// syncedAt is the newest point that all volumes have; 0: unknown.
func (v view) syncedAt() int64 {
	var at int64
	for i, m := range v.Members {
		if m.SyncPoint == nil {
			return 0
		}
		if i == 0 || *m.SyncPoint < at {
			at = *m.SyncPoint
		}
	}
	return at
}

func (v view) any(s array.Sync) bool {
	for _, m := range v.Members {
		if m.Sync == s {
			return true
		}
	}
	return false
}

// copyNow is what is left to do until the secondary holds a point that began after the verb. A
// transfer that is under way does not count: it began before.
func (v view) copyNow(from string) (array.Plan, bool) {
	p := array.Plan{Authoritative: from}
	if v.Mode == modeSync {
		if v.AllSynced() {
			return p, true
		}
		p.Wait = v.transfer()
		return p, false
	}
	sync := v.step(from, opSync, "copy now and wait")
	sync.Args["after"] = strconv.FormatInt(v.syncedAt(), 10)
	sent := false
	for _, done := range v.g.Done {
		if done.ID != sync.ID || done.Outcome == array.OutcomeError {
			continue
		}
		sent = true
		before, err := strconv.ParseInt(done.Args["after"], 10, 64)
		if err == nil && v.syncedAt() > before {
			return p, true
		}
	}
	if v.any(array.Syncing) || sent && v.g.ObservedSince < 3 {
		p.Wait = v.transfer()
		return p, false
	}
	p.Steps = []array.Step{sync}
	return p, false
}

func (v view) transfer() *array.Wait {
	return &array.Wait{What: "the transfer of group " + v.d.site(v.Primary()).Group}
}

// halt stops replication (break).
func (v view) halt() (array.Plan, error) {
	if len(v.Primaries()) > 1 && !v.started(v.Sides[0].Site) && !v.started(v.Sides[1].Site) {
		return reached()
	}
	p := v.Primary()
	if p == "" {
		_, _, err := v.direction()
		return array.Plan{}, err
	}
	if !v.started(p) {
		return reached()
	}
	return steps("", v.step(p, opStop, "stop replication"))
}

// resume goes on in the present direction.
func (v view) resume() (array.Plan, error) {
	from, to, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if v.started(from) {
		return reached()
	}
	if err := v.linked(to); err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Authoritative: from, Steps: append(v.settleNatural(), v.step(from, opStart, "start replication"))}
	v.mayLose(&p, to)
	return p, nil
}

// mayLose: a side that was primary when the other was failed over may hold writes of its own. The
// array does not tell.
func (v view) mayLose(p *array.Plan, site string) {
	if v.role(site) != secondaryRev && v.role(site) != primary || v.started(site) {
		return
	}
	if v.role(v.d.peer(site)) != primaryRev {
		return
	}
	for i := range p.Steps {
		if op := p.Steps[i].Args["op"]; op == opStart || op == opRecover {
			p.Steps[i].Overwrites = site
		}
	}
	p.Overwrites = append(p.Overwrites, array.Overwrite{Site: site, LastCommon: v.LastSync})
}
