package infinibox

import "net/http"

// source finds the replica of an action that only a SOURCE accepts.
func (r *request) source(what string) (*replica, *apiError) {
	x, err := r.box.findReplica(r.id)
	switch {
	case err != nil:
		return nil, err
	case x.kind == typeActive:
		return nil, notBuilt("%s of an ACTIVE_ACTIVE replica", what)
	case x.role != roleSource:
		return nil, conflict("NOT_SOURCE", "%s is for the SOURCE, replica %d is %s", what, x.id, x.role)
	}
	return x, nil
}

// target returns the peer's side, which must be reachable and TARGET.
func (b *box) target(x *replica) (*replica, *apiError) {
	if err := b.reachPeer(); err != nil {
		return nil, err
	}
	there, ok := b.other(x)
	if !ok {
		return nil, remote(notFound("replica", x.remoteID))
	}
	if there.role != roleTarget {
		return nil, remote(conflict("REMOTE_IS_NOT_TARGET", "the remote replica %d is %s", there.id, there.role))
	}
	return there, nil
}

func suspendReplica(r *request) (any, *apiError) {
	x, err := r.source("suspend")
	if err != nil {
		return nil, err
	}
	if x.state == stateSuspended {
		return nil, conflict("ALREADY_SUSPENDED", "replica %d is suspended", x.id)
	}
	r.box.dropJob(x)
	x.state, x.reason, x.pending = stateSuspended, "", 0
	if x.kind == typeSync {
		r.box.setSyncState(x, syncOutOfSync)
	}
	x.updatedAt = r.box.now()
	return r.box.replicaView(x), nil
}

func resumeReplica(r *request) (any, *apiError) {
	x, err := r.source("resume")
	if err != nil {
		return nil, err
	}
	if x.state == stateActive {
		return nil, conflict("NOT_SUSPENDED", "replica %d is active", x.id)
	}
	if _, err := r.box.target(x); err != nil {
		return nil, err
	}
	r.box.activate(x, r.box.w.clock.Now())
	x.updatedAt = r.box.now()
	r.box.w.settle()
	return r.box.replicaView(x), nil
}

func syncReplica(r *request) (any, *apiError) {
	x, err := r.source("sync")
	if err != nil {
		return nil, err
	}
	switch {
	case x.kind != typeAsync:
		return nil, conflict("NOT_ASYNC", "replica %d is %s", x.id, x.kind)
	case x.state != stateActive:
		return nil, conflict("NOT_ACTIVE", "replica %d is %s", x.id, x.state)
	}
	if err := r.box.reachPeer(); err != nil {
		return nil, err
	}
	if x.job != nil {
		x.pending++
	} else {
		r.box.startJob(x, r.box.w.clock.Now())
	}
	return r.box.replicaView(x), nil
}

func switchRole(r *request) (any, *apiError) {
	b := r.box
	x, err := r.source("switch_role")
	if err != nil {
		return nil, err
	}
	if x.kind != typeSync {
		return nil, conflict("NOT_SYNC", "switch_role is for SYNC, replica %d is %s", x.id, x.kind)
	}
	there, err := b.target(x)
	if err != nil {
		return nil, err
	}
	if x.state != stateActive || x.syncState != syncSynchronized || x.job != nil {
		return nil, conflict("NOT_SYNCHRONIZED", "replica %d is %s, %s", x.id, x.state, x.syncState)
	}
	x.role = roleTarget
	b.peer().becomeSource(there)
	there.state = stateActive
	there.syncState = syncSynchronized
	for _, p := range there.pairs {
		if p.sent, err = b.peer().markOf(p); err != nil {
			return nil, err
		}
	}
	return b.replicaView(x), nil
}

func (b *box) markOf(p *pair) (int64, *apiError) {
	mark, err := b.datasets[p.local].data.mark()
	if err != nil {
		return 0, fail(http.StatusInternalServerError, "SIM_INTERNAL_ERROR", "%v", err)
	}
	return mark, nil
}

// becomeSource makes x writable; nothing is replicated until it is resumed.
func (b *box) becomeSource(x *replica) {
	now := b.w.clock.Now()
	x.role, x.state, x.reason, x.initial, x.job, x.pending = roleSource, stateSuspended, "", false, nil, 0
	x.cursor, x.nextJob, x.updatedAt = now, now, b.now()
}

func changeRole(r *request) (any, *apiError) {
	b := r.box
	if body := string(r.body); body != "" && body != "null" {
		o := parseObject("change_role", r.body)
		if o.raw("entity_pairs") != nil {
			return nil, notBuilt("change_role with entity_pairs")
		}
		if err := o.finish(); err != nil {
			return nil, err
		}
	}
	x, err := b.findReplica(r.id)
	if err != nil {
		return nil, err
	}
	switch x.role {
	case roleSource:
		err = b.demote(x)
	case roleTarget:
		err = b.promote(x)
	default:
		return nil, notBuilt("change_role of an ACTIVE_ACTIVE replica")
	}
	if err != nil {
		return nil, err
	}
	b.w.settle()
	return b.replicaView(x), nil
}

// roleFault is the value of fault change_role.
func (b *box) roleFault() string {
	f, on := b.w.faults.Active(b.name, faultChangeRole)
	if !on {
		return ""
	}
	return f.Text()
}

func (b *box) demote(x *replica) *apiError {
	if b.roleFault() == "refuse_source" && b.w.linkUp() {
		return conflict("LINK_IS_UP", "replica %d is the SOURCE of a working link", x.id)
	}
	if x.state != stateSuspended && x.state != stateAutoSuspended {
		return conflict("NOT_SUSPENDED", "replica %d is %s: suspend it before changing its role", x.id, x.state)
	}
	b.dropJob(x)
	x.role, x.state, x.reason, x.updatedAt = roleTarget, stateSuspended, "", b.now()
	return nil
}

func (b *box) promote(x *replica) *apiError {
	if b.w.linkUp() && b.roleFault() != "allow_target" {
		if there, ok := b.other(x); ok && there.role == roleSource {
			return conflict("REMOTE_IS_SOURCE", "the remote replica %d is SOURCE and the link is up: two sources are refused", there.id)
		}
	}
	if x.restore == nil {
		return conflict("NO_CONSISTENT_DATA", "replica %d has never been synchronized", x.id)
	}
	for _, p := range x.pairs {
		if p.base != nil {
			continue
		}
		base, err := b.datasets[p.local].data.clone(b.w.internalName())
		if err != nil {
			return fail(http.StatusInternalServerError, "SIM_INTERNAL_ERROR", "%v", err)
		}
		p.base = base
	}
	b.becomeSource(x)
	if x.kind == typeSync {
		x.syncState = syncOutOfSync
	}
	return nil
}

func changeType(kind string) handler {
	return func(r *request) (any, *apiError) {
		b := r.box
		x, err := r.source("change_type")
		if err != nil {
			return nil, err
		}
		o := parseObject("change_type", r.body)
		interval, rpo := x.interval, x.rpo
		if kind == typeAsync {
			interval = o.number("sync_interval", interval)
			rpo = o.number("rpo_value", max(rpo, interval+60_000))
		}
		if err := o.finish(); err != nil {
			return nil, err
		}
		if err := checkSchedule(interval, rpo); err != nil {
			return nil, err
		}
		if err := b.convertible(x, kind); err != nil {
			return nil, err
		}
		there, err := b.target(x)
		if err != nil {
			return nil, err
		}
		b.dropJob(x)
		for _, side := range []*replica{x, there} {
			side.kind, side.interval, side.rpo, side.syncState = kind, interval, rpo, ""
		}
		x.updatedAt = b.now()
		if kind == typeSync {
			b.setSyncState(x, syncOutOfSync) // the next step catches up
		} else {
			x.nextJob = b.w.clock.Now()
		}
		b.w.settle()
		return b.replicaView(x), nil
	}
}

// convertible refuses a change of type.
func (b *box) convertible(x *replica, kind string) *apiError {
	switch {
	case x.entity == kindFilesystem:
		return conflict("TYPE_NOT_SUPPORTED", "filesystems replicate ASYNC only")
	case kind == typeSync && !b.w.opt.feature(featureSync):
		return fail(http.StatusBadRequest, "SIM_FEATURE_DISABLED", "feature sync_replication is off")
	case x.kind == kind:
		return conflict("SAME_TYPE", "replica %d is %s", x.id, kind)
	case x.initial:
		return conflict("INITIALIZING", "replica %d is INITIALIZING", x.id)
	}
	return nil
}
