package hp3par

import "time"

// cycle is one transfer of a point in time to the other side.
type cycle struct {
	from    *group
	started time.Time
	frozen  []content // per member: the sender's content at started
	end     *event
	task    *task
	fails   bool
	done    func(ok bool) // called after the transfer has ended
}

// startCycle begins to send g's content to its peer. done may be nil.
func (m *machine) startCycle(g *group, verb string, t *task, done func(ok bool)) error {
	p := g.pair
	c := &cycle{from: g, started: m.now, task: t, done: done}
	for _, mem := range p.members {
		frozen, err := mem.vols[g.array.index].data.Snapshot()
		if err != nil {
			return err
		}
		c.frozen = append(c.frozen, frozen)
	}
	p.setSync(syncSyncing)
	for _, mem := range p.members {
		mem.progress = m.now
	}
	subject := verb + " " + g.name
	d := m.duration(g.array, subject, cycleDuration)
	c.fails = m.willFail(g.array, subject)
	if t != nil {
		t.due = m.now.Add(d)
	}
	p.cycle = c
	c.end = m.after(d, func() { m.endCycle(p, c) })
	return nil
}

// endCycle gives the receiving side its new point.
func (m *machine) endCycle(p *pair, c *cycle) {
	p.cycle = nil
	if c.fails {
		m.cutTransfer(p, c)
		m.stopBoth(p, syncNotSynced)
		m.endTask(c.task, taskFailed)
		m.finishCycle(c, false)
		return
	}
	to := 1 - c.from.array.index
	for i, mem := range p.members {
		src := c.frozen[i]
		if p.mode.mirrored() { // writes during the transfer were sent along
			src = mem.vols[c.from.array.index].data
		}
		if err := mem.vols[to].data.Assign(src, false); err != nil {
			m.violate("group %s: transfer of %s: %v", c.from.name, mem.vols[to].name, err)
		}
		mem.before, mem.sync, mem.last = nil, syncSynced, m.now
	}
	p.partial, p.lastSync = false, c.started
	m.recordPoint(p, to)
	m.endTask(c.task, taskDone)
	m.finishCycle(c, true)
	m.planNext(p)
}

func (m *machine) finishCycle(c *cycle, ok bool) {
	if c.done != nil {
		c.done(ok)
	}
}

// recordPoint remembers what side to holds as a completed point.
func (m *machine) recordPoint(p *pair, to int) {
	d, err := m.digestOf(p, to)
	if err != nil {
		m.violate("digest: %v", err)
		return
	}
	p.point, p.pointSide = d, to
}

// digestOf identifies the content of all of the pair's volumes on one side.
func (m *machine) digestOf(p *pair, side int) (string, error) {
	all := ""
	for _, mem := range p.members {
		d, err := mem.vols[side].data.Digest()
		if err != nil {
			return "", err
		}
		all += d
	}
	return all, nil
}

// planNext schedules the next periodic cycle, counted from the last one's begin.
func (m *machine) planNext(p *pair) {
	cancelEvent(p.next)
	p.next = nil
	g := p.sender()
	if g == nil || p.mode != modePeriodic || p.period <= 0 || g.status != statusStarted {
		return
	}
	wait := p.lastSync.Add(p.period).Sub(m.now)
	p.next = m.after(max(0, wait), func() { m.periodic(p) })
}

// sender is the side that sends: the primary one.
func (p *pair) sender() *group {
	for _, g := range p.sides {
		if g != nil && g.role == primary {
			return g
		}
	}
	return nil
}

func (m *machine) periodic(p *pair) {
	p.next = nil
	g := p.sender()
	if g == nil || g.status != statusStarted || p.cycle != nil || !m.linked || len(p.members) == 0 {
		return
	}
	t := g.array.newTask(typeRCopySync, g.name, "-", m.now)
	if err := m.startCycle(g, "sync", t, nil); err != nil {
		m.violate("group %s: %v", g.name, err)
	}
}

// cutTransfer leaves the receiving side as an interrupted transfer does: partly
// new, with what it held before kept aside.
func (m *machine) cutTransfer(p *pair, c *cycle) {
	to := 1 - c.from.array.index
	for i, mem := range p.members {
		if mem.before == nil {
			before, err := mem.vols[to].data.Snapshot()
			if err != nil {
				m.violate("snapshot of %s: %v", mem.vols[to].name, err)
				continue
			}
			mem.before = before
		}
		if err := mem.vols[to].data.Assign(c.frozen[i], true); err != nil {
			m.violate("transfer of %s: %v", mem.vols[to].name, err)
		}
	}
	p.partial = true
}

// interrupt ends what is under way, unfinished.
func (m *machine) interrupt(p *pair) {
	cancelEvent(p.next)
	p.next = nil
	if c := p.cycle; c != nil {
		cancelEvent(c.end)
		p.cycle = nil
		m.cutTransfer(p, c)
		m.endTask(c.task, taskFailed)
		m.finishCycle(c, false)
	}
}

// promote makes side to's volumes hold one completed point.
func (m *machine) promote(g *group, skip bool) {
	p, side := g.pair, g.array.index
	for _, mem := range p.members {
		if mem.before != nil && !skip {
			if err := mem.vols[side].data.Assign(mem.before, false); err != nil {
				m.violate("promote %s: %v", mem.vols[side].name, err)
			}
		}
		mem.before = nil
	}
	if p.partial && skip {
		m.violate("group %s: made primary with a half written point", g.name)
	}
	p.partial = false
	m.checkPoint(g)
}

// checkPoint records a violation when a promoted side is not a completed point.
func (m *machine) checkPoint(g *group) {
	p := g.pair
	side := g.array.index
	if len(p.members) == 0 || p.pointSide != side {
		return // what it holds was not given to it by the last transfer
	}
	p.pointSide = noSide
	d, err := m.digestOf(p, side)
	if err != nil {
		m.violate("digest: %v", err)
		return
	}
	if d != p.point {
		m.violate("group %s: promoted content is not the newest completed point", g.name)
	}
}

// equalize makes a mirrored secondary hold what the primary holds now: writes
// made outside the simulator (volume files) were mirrored until this instant.
func (m *machine) equalize(p *pair) {
	g := p.sender()
	if g == nil || g.peer() == nil || m.files == "" || !p.mode.mirrored() || g.status != statusStarted || p.cycle != nil {
		return
	}
	side := g.array.index
	for _, mem := range p.members {
		if err := mem.vols[1-side].data.Assign(mem.vols[side].data, false); err != nil {
			m.violate("mirror %s: %v", mem.vols[side].name, err)
		}
	}
}

// stopBoth stops the group on every side.
func (m *machine) stopBoth(p *pair, s syncStatus) {
	p.both(func(g *group) {
		if g.status != statusFailsafe {
			g.status = statusStopped
		}
	})
	cancelEvent(p.next)
	p.next = nil
	p.setSync(s)
	if p.mode.mirrored() { // a stopped synchronous group shows when it stopped
		p.lastSync = m.now
		for _, mem := range p.members {
			mem.last = m.now
		}
	}
}

// stopNow stops a group that runs. What a synchronous one has mirrored until now is a point.
func (m *machine) stopNow(p *pair) {
	m.equalize(p)
	if g := p.sender(); g != nil && p.mode.mirrored() && g.status == statusStarted && p.cycle == nil && !p.partial {
		m.recordPoint(p, 1-g.array.index)
	}
	m.interrupt(p)
	m.stopBoth(p, syncStopped)
}

// linkLost stops the group on both sides.
func (m *machine) linkLost(p *pair) {
	active := false
	p.both(func(g *group) { active = active || g.status == statusStarted || g.status == statusStarting })
	m.failOperation(p)
	if active {
		p.both(func(g *group) { g.byLink = true })
		m.stopNow(p)
	}
}

// linkBack lets the groups find out about each other again.
func (m *machine) linkBack(p *pair) {
	a, b := p.sides[0], p.sides[1]
	if a == nil || b == nil {
		return
	}
	a.cutOff, b.cutOff = false, false
	for _, g := range []*group{a, b} {
		if g.failedOver && g.peer().role == primary {
			m.peerMet(g, true)
			return
		}
	}
	if g := p.sender(); g != nil && g.byLink && g.hasPolicy("auto_recover") && g.peer().role == secondary {
		m.autoStart(g, nil)
	}
}

// peerMet is what the old primary does once it learns that g was failed over.
func (m *machine) peerMet(g *group, start bool) {
	old := g.peer()
	auto := m.autonomous(g.array)
	if auto || m.returning(old.array) == "secondary-rev" {
		old.role, old.status, g.failedOver = secondary, statusStopped, false
		g.pair.newEpoch()
	}
	if auto && start {
		m.autoStart(g, func() {
			g.natural, old.natural = primary, secondary
		})
	}
}

// autoStart starts g by itself a moment later; synced runs when it is synced.
func (m *machine) autoStart(g *group, synced func()) {
	p := g.pair
	if len(p.members) == 0 {
		return
	}
	p.both(func(s *group) { s.status = statusStarting })
	m.after(autoDelay, func() {
		if g.status != statusStarting || g.role != primary || !m.linked || p.cycle != nil {
			return
		}
		p.both(func(s *group) { s.status, s.byLink = statusStarted, false })
		err := m.startCycle(g, "start", nil, func(ok bool) {
			if ok && synced != nil {
				synced()
			}
		})
		if err != nil {
			m.violate("group %s: %v", g.name, err)
		}
	})
}

func (m *machine) endTask(t *task, s taskStatus) {
	if t != nil && t.status == taskActive {
		t.status, t.finished = s, m.now
	}
}
