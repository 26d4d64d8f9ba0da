package hp3par

// startOptions are the options of starting a group.
type startOptions struct {
	target   string
	noSync   bool
	wait     bool              // the caller waits for the first transfer
	snapshot map[string]string // volume -> snapshot both sides already hold
}

// start starts a group. The returned task ends with the first transfer.
func (m *machine) start(g *group, o startOptions, user string) (*task, *opError) {
	if err := m.checkTarget(g, o.target); err != nil {
		return nil, err
	}
	if g.pair.op != nil {
		return nil, errGroupBusy(g.name)
	}
	if g.role == secondary {
		if g.peer() == nil || !g.array.mirror || o.wait || g.peer().role != primary {
			return nil, errOnlyPrimary(g.name)
		}
		if !m.linked {
			return nil, errTargetNotReady(m.peer(g.array).name)
		}
		g = g.peer() // forwarded under mirror_config
	}
	switch {
	case g.status == statusStarted || g.status == statusStarting:
		return nil, errGroupStarted(g.name)
	case len(g.pair.members) == 0:
		return nil, errGroupEmpty(g.name)
	case !m.linked || g.peer() == nil:
		return nil, errTargetNotReady(m.peer(g.array).name)
	case g.peer().role == primary:
		return nil, errInFailover(g.name)
	case o.snapshot != nil && len(o.snapshot) != len(g.pair.members):
		return nil, refuse(9024, 400, "All the volumes in group %s must be specified to complete this operation", g.name)
	}
	for v := range o.snapshot {
		if g.pair.member(g.array.index, v) == nil {
			return nil, errVolumeNotInGroup(v, g.name)
		}
	}
	return m.started(g, o, user)
}

func (m *machine) started(g *group, o startOptions, user string) (*task, *opError) {
	g.pair.both(func(s *group) { s.status, s.byLink, s.failedOver = statusStarted, false, false })
	t := g.array.newTask(typeRCopySync, g.name, user, m.now)
	if o.noSync {
		for _, mem := range g.pair.members {
			mem.sync, mem.last = syncSynced, m.now
		}
		g.pair.lastSync = m.now
		m.endTask(t, taskDone)
		m.planNext(g.pair)
		return t, nil
	}
	if err := m.startCycle(g, "start", t, nil); err != nil {
		return nil, refuse(9098, 500, "%v", err)
	}
	return t, nil
}

// stop stops a group. Stopping what is stopped is no error.
func (m *machine) stop(g *group, target string, remote bool) *opError {
	if err := m.checkTarget(g, target); err != nil {
		return err
	}
	p := g.pair
	switch {
	case p.op != nil:
		return errGroupBusy(g.name)
	case g.role == secondary && g.array.mirror && !remote:
		return errOnlyPrimary(g.name)
	case g.status == statusNew:
		return errNotStarted(g.name)
	}
	p.both(func(s *group) { s.byLink = false })
	if g.status != statusStarted && g.status != statusStarting {
		return nil
	}
	m.stopNow(p)
	return nil
}

// syncOptions are the options of an immediate synchronisation.
type syncOptions struct {
	target string
	wait   bool
	full   bool // -ovrd, fullSync
}

// sync begins a transfer now.
func (m *machine) sync(g *group, o syncOptions, user string) (*task, *opError) {
	if err := m.checkTarget(g, o.target); err != nil {
		return nil, err
	}
	if g.role == secondary {
		if o.wait || !g.array.mirror || g.peer() == nil || g.peer().role != primary {
			return nil, errOnlyPrimary(g.name)
		}
		if !m.linked {
			return nil, errTargetNotReady(m.peer(g.array).name)
		}
		g = g.peer()
	}
	p := g.pair
	switch {
	case p.op != nil:
		return nil, errGroupBusy(g.name)
	case !m.linked || g.peer() == nil:
		return nil, errTargetNotReady(m.peer(g.array).name)
	case g.status != statusStarted:
		return nil, errNotStarted(g.name)
	case p.cycle != nil:
		return nil, errInSync(g.name)
	}
	t := g.array.newTask(typeRCopySync, g.name, user, m.now)
	if p.mode.mirrored() && !o.full { // nothing to send: it is in step already
		m.equalize(p)
		m.endTask(t, taskDone)
		return t, nil
	}
	cancelEvent(p.next)
	if err := m.startCycle(g, "sync", t, nil); err != nil {
		return nil, refuse(9098, 500, "%v", err)
	}
	return t, nil
}
