package hp3par

import "time"

// verb is a direction-changing operation.
type verb string

const (
	verbFailover   verb = "failover"
	verbRecover    verb = "recover"
	verbRestore    verb = "restore"
	verbReverse    verb = "reverse"
	verbSwitchover verb = "switchover"
	verbOverride   verb = "override"
)

var verbTaskType = map[verb]int{
	verbFailover: typeRCopyFailover, verbRecover: typeRCopyRecover, verbRestore: typeRCopyRestore,
	verbReverse: typeRCopyReverse, verbSwitchover: typeRCopyReverse, verbOverride: typeRCopyFailover,
}

// drOptions are the options of a direction change; which verb takes which is
// checked by checkOptions.
type drOptions struct {
	target                                      string
	noStart, noSync, discard, noPromote, noSnap bool
	stopGroups, local, natural, current         bool
}

// operation is a direction change under way.
type operation struct {
	verb    verb
	group   *group
	task    *task
	options drOptions
	freezes bool // host writes are refused on both sides meanwhile
	end     *event
	fails   bool
}

// checkOptions refuses options that the verb does not take.
func (o drOptions) check(v verb) *opError {
	redirects := v == verbFailover || v == verbRecover || v == verbRestore
	switch {
	case o.noStart && !redirects:
		return errConflict("skipStart")
	case o.noSync && !redirects:
		return errConflict("skipSync")
	case o.discard && v != verbFailover:
		return errConflict("discardNewData")
	case o.noPromote && v != verbFailover && v != verbReverse:
		return errConflict("skipPromote")
	case o.noSnap && v != verbFailover && v != verbReverse && v != verbRestore:
		return errConflict("noSnapshot")
	case (o.stopGroups || o.local || o.natural || o.current) && v != verbReverse:
		return errConflict("stopGroups")
	case o.natural && o.current:
		return errConflict("localGroupsDirection")
	}
	return nil
}

// direct begins a direction change on g and returns its task.
func (m *machine) direct(g *group, v verb, o drOptions, user string) (*task, *opError) {
	if err := o.check(v); err != nil {
		return nil, err
	}
	if err := m.checkTarget(g, o.target); err != nil {
		return nil, err
	}
	if g.pair.op != nil {
		return nil, errGroupBusy(g.name)
	}
	if err := m.mayDirect(g, v, o); err != nil {
		return nil, err
	}
	subject := string(v) + " " + g.name
	op := &operation{verb: v, group: g, options: o}
	op.task = g.array.newTask(verbTaskType[v], subject, user, m.now)
	d := m.duration(g.array, subject, taskDuration)
	op.fails = m.willFail(g.array, subject)
	g.pair.op = op
	m.beginOperation(op, d)
	return op.task, nil
}

func (m *machine) checkTarget(g *group, target string) *opError {
	if target != "" && target != m.peer(g.array).name {
		return errInvalidTarget(target, g.name)
	}
	return nil
}

// mayDirect checks role, status and reachability.
func (m *machine) mayDirect(g *group, v verb, o drOptions) *opError {
	peer := g.peer()
	started := g.status == statusStarted || g.status == statusStarting
	talks := m.linked && peer != nil
	switch v {
	case verbFailover:
		if g.role != secondary {
			return errRoleConflict(g.name, g.roleName())
		}
		if started {
			return errGroupNotStopped(g.name)
		}
		return nil
	case verbRecover:
		return m.mayRecover(g, started, talks)
	case verbRestore:
		return m.mayRestore(g, started, talks)
	case verbReverse:
		return m.mayReverse(g, o, started, talks)
	case verbSwitchover:
		return m.maySwitchover(g, started, talks)
	default: // override
		if g.status != statusFailsafe {
			return errRoleConflict(g.name, g.roleName()+", not Failsafe")
		}
		return nil
	}
}

func (m *machine) mayRecover(g *group, started, talks bool) *opError {
	switch {
	case started:
		return errGroupNotStopped(g.name)
	case g.role != primary || !g.reversed():
		return errRoleConflict(g.name, g.roleName())
	case !talks:
		return errTargetNotReady(m.peer(g.array).name)
	case len(g.pair.members) == 0:
		return errGroupEmpty(g.name)
	}
	return nil
}

func (m *machine) mayRestore(g *group, started, talks bool) *opError {
	peer := g.peer()
	switch {
	case !g.reversed() && (peer == nil || !peer.reversed()):
		return errNotSwitched(g.name)
	case g.role != primary || !g.reversed():
		return errRoleConflict(g.name, g.roleName())
	case !talks:
		return errTargetNotReady(m.peer(g.array).name)
	case peer.role != secondary || !peer.reversed():
		return errInFailover(g.name)
	case !started:
		return errNotStarted(g.name)
	case g.pair.cycle != nil:
		return errInSync(g.name)
	}
	return nil
}

func (m *machine) mayReverse(g *group, o drOptions, started, talks bool) *opError {
	switch {
	case started && !o.stopGroups && !o.natural:
		return errGroupNotStopped(g.name)
	case o.local && !o.natural && !o.current:
		return errConflict("localGroupsDirection")
	case o.local:
		return nil
	case !talks:
		return errTargetNotReady(m.peer(g.array).name)
	case !o.natural && g.peer().role == g.role:
		return errInFailover(g.name)
	}
	return nil
}

func (m *machine) maySwitchover(g *group, started, talks bool) *opError {
	synced := true
	for _, mem := range g.pair.members {
		synced = synced && mem.sync == syncSynced
	}
	switch {
	case g.role != primary:
		return errOnlyPrimary(g.name)
	case !talks:
		return errTargetNotReady(m.peer(g.array).name)
	case !started || !synced:
		return errNotStarted(g.name)
	case g.pair.mode != modeSync || !g.hasPolicy("path_management"):
		return refuse(9017, 403, "Group %s: switchover needs synchronous mode and the path_management policy", g.name)
	}
	return nil
}

// beginOperation makes the first changes and plans the rest.
func (m *machine) beginOperation(op *operation, d time.Duration) {
	g, p := op.group, op.group.pair
	op.task.due = m.now.Add(d)
	switch op.verb {
	case verbRecover:
		old := g.peer()
		old.role, old.natural, g.failedOver = secondary, primary, false
		p.newEpoch()
		if op.options.noStart || op.options.noSync {
			break
		}
		m.transferFor(op, func(ok bool) { m.endRecover(op, ok) })
		return
	case verbRestore:
		op.freezes = true
		if op.options.noSync {
			break
		}
		cancelEvent(p.next)
		m.transferFor(op, func(ok bool) { m.endRestore(op, ok) })
		return
	case verbReverse:
		op.freezes = !op.options.natural
		if op.options.stopGroups && g.status != statusStopped {
			m.stopNow(p)
		}
	case verbSwitchover:
		op.freezes = true
	}
	op.end = m.after(d, func() { m.endOperation(op) })
}

// transferFor runs op's cycle; group and peer show Started and Syncing.
func (m *machine) transferFor(op *operation, done func(ok bool)) {
	g := op.group
	d := op.task.due.Sub(m.now)
	g.pair.both(func(s *group) { s.status, s.byLink = statusStarted, false })
	if err := m.startCycle(g, string(op.verb)+" transfer", nil, done); err != nil {
		m.violate("group %s: %v", g.name, err)
		op.fails = true
		op.end = m.after(d, func() { m.endOperation(op) })
		return
	}
	c := g.pair.cycle
	cancelEvent(c.end)
	// A failed restore falls back to "reversed and synced": its transfer ends
	// well and the role change does not follow.
	c.fails = c.fails || (op.fails && op.verb != verbRestore)
	c.end = m.after(d, func() { m.endCycle(g.pair, c) })
}

// endOperation finishes a direction change that needs no transfer.
func (m *machine) endOperation(op *operation) {
	p, g := op.group.pair, op.group
	if op.verb == verbRecover {
		m.endRecover(op, !op.fails)
		return
	}
	if op.verb == verbRestore {
		m.endRestore(op, !op.fails)
		return
	}
	p.op = nil
	if op.fails {
		m.endTask(op.task, taskFailed)
		return
	}
	switch op.verb {
	case verbFailover:
		m.endFailover(op)
	case verbReverse:
		m.endReverse(op)
	case verbSwitchover:
		p.both(func(s *group) { s.role = s.role.other() })
		m.planNext(p)
	case verbOverride:
		g.status = statusStopped
	}
	p.newEpoch()
	m.endTask(op.task, taskDone)
}

func (m *machine) endFailover(op *operation) {
	g := op.group
	m.promote(g, op.options.noPromote)
	g.role, g.writes, g.failedOver = primary, 0, true
	if peer := g.peer(); peer != nil {
		peer.writes, peer.cutOff = 0, peer.role == primary && m.silent(peer.array)
		if m.linked && peer.role == primary {
			m.peerMet(g, !op.options.noStart)
		}
	}
}

func (m *machine) endReverse(op *operation) {
	g, o := op.group, op.options
	turn := func(s *group) {
		if !o.natural {
			if s.role == secondary {
				m.promote(s, o.noPromote)
			}
			s.role, s.failedOver = s.role.other(), false
		}
		if !o.current {
			s.natural = s.natural.other()
		}
	}
	if o.local {
		turn(g)
		return
	}
	g.pair.both(turn)
}

func (m *machine) endRecover(op *operation, ok bool) {
	p := op.group.pair
	p.op = nil
	if !ok {
		m.stopBoth(p, syncStopped)
		m.endTask(op.task, taskFailed)
		return
	}
	if !op.options.noStart {
		p.both(func(s *group) { s.status, s.byLink = statusStarted, false })
		p.setSync(syncSynced)
		m.planNext(p)
	}
	m.endTask(op.task, taskDone)
}

func (m *machine) endRestore(op *operation, ok bool) {
	p := op.group.pair
	p.op = nil
	if !ok || op.fails {
		m.endTask(op.task, taskFailed)
		if m.linked { // back to where it was: reversed, started, synced
			p.both(func(s *group) { s.status = statusStarted })
			p.setSync(syncSynced)
			m.planNext(p)
		}
		return
	}
	p.both(func(s *group) { s.role = s.natural })
	if op.options.noStart {
		m.stopBoth(p, syncStopped)
	} else {
		p.both(func(s *group) { s.status, s.byLink = statusStarted, false })
		p.setSync(syncSynced)
		m.planNext(p)
	}
	m.endTask(op.task, taskDone)
}

// failOperation ends a direction change whose arrays can no longer talk. One
// that needs only its own array goes on.
func (m *machine) failOperation(p *pair) {
	op := p.op
	if op == nil || op.verb == verbFailover || op.verb == verbOverride || op.options.local {
		return
	}
	cancelEvent(op.end)
	p.op = nil
	m.endTask(op.task, taskFailed)
}
