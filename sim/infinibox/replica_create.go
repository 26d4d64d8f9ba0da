package infinibox

import (
	"slices"
	"time"
)

// creation collects what POST replicas asks for.
type creation struct {
	r            *request
	replica      *replica
	pool         int64 // remote pool, 0 when not given
	remoteGroup  int64
	pairs        []*object
	flat         bool
	remoteName   string
	remoteCGName string
}

const (
	actionCreate = "CREATE"
	actionEmpty  = "NO_BASE_DATA"
	actionBase   = "BASE"
	actionSnap   = "TAKE_SNAP"
	actionNew    = "NEW" // of the flat body
)

func createReplica(r *request) (any, *apiError) {
	c, err := readCreation(r)
	if err != nil {
		return nil, err
	}
	if err := c.checkEntity(); err != nil {
		return nil, err
	}
	plans, err := c.planPairs()
	if err != nil {
		return nil, err
	}
	if err := c.checkGroup(plans); err != nil {
		return nil, err
	}
	if err := c.carryOut(plans); err != nil {
		return nil, err
	}
	r.box.w.settle()
	return r.box.replicaView(c.replica), nil
}

// readCreation reads both generations of the body: entity_pairs, and (with
// feature replica_auto_create) local_entity_id with base_action.
func readCreation(r *request) (*creation, *apiError) {
	opt := r.box.w.opt
	o := parseObject("replica", r.body)
	x := &replica{
		role: roleSource, state: stateActive, initial: true, retryInterval: 60_000, retryCount: 3, permanentWait: 600_000,
		link: o.number("link_id", 0), description: o.text("description"), localGroup: o.number("local_cg_id", 0),
		entity: o.oneOf("entity_type", kindVolume, kindVolume, kindFilesystem, entityGroup),
		kind:   o.oneOf("replication_type", typeAsync, typeAsync, typeSync, typeActive),
	}
	o.need("link_id")
	c := &creation{r: r, replica: x, pool: o.number("remote_pool_id", 0), remoteGroup: o.number("remote_cg_id", 0), remoteCGName: o.text("remote_cg_name")}
	x.interval = o.number("sync_interval", defaultInterval)
	x.rpo = o.number("rpo_value", max(defaultRPO, x.interval+60_000))
	if x.kind != typeAsync && (o.raw("sync_interval") != nil || o.raw("rpo_value") != nil) {
		o.fail(invalid("replica: sync_interval and rpo_value are for replication_type ASYNC"))
	}
	o.oneOf("rpo_type", "TIME", "TIME")
	x.retryInterval = o.number("temporary_failure_retry_interval", x.retryInterval)
	x.retryCount = o.number("temporary_failure_retry_count", x.retryCount)
	x.permanentWait = o.number("permanent_failure_wait_interval", x.permanentWait)
	if opt.atLeast(7, 1) {
		x.includingSnapshots = o.flag("including_snapshots", false)
		x.snapshotsRetention = o.optional("snapshots_retention")
	}
	if opt.atLeast(7, 2) {
		x.lockRetain, x.snapshotSuffix = o.optional("lock_remote_snapshot_retention"), o.text("remote_snapshot_suffix")
	}
	if opt.feature(featureActiveActive) {
		if v, ok := decode[bool](o, "is_preferred", "true or false"); ok {
			x.preferred = &v
		}
	}
	if o.has("base_action") || o.has("local_entity_id") {
		c.readFlat(o)
	} else {
		o.need("entity_pairs")
		c.pairs = o.objects("entity_pairs")
	}
	return c, o.finish()
}

func (c *creation) readFlat(o *object) {
	if !c.r.box.w.opt.feature(featureAutoCreate) {
		return // the keys stay unknown
	}
	if o.has("entity_pairs") {
		o.fail(invalid("replica: entity_pairs and local_entity_id exclude each other"))
		return
	}
	o.need("local_entity_id", "base_action")
	c.flat = true
	id, action := o.number("local_entity_id", 0), o.text("base_action")
	c.remoteName = o.text("remote_entity_name")
	o.text("local_entity_name")
	if remoteID := o.optional("remote_entity_id"); remoteID != nil {
		o.fail(notBuilt("remote_entity_id with base_action: use entity_pairs"))
	}
	if o.err == nil && action != actionNew {
		o.fail(notBuilt("base_action %q: only NEW is publicly known", action))
	}
	c.replica.baseAction = action
	if c.replica.entity == entityGroup {
		c.replica.localGroup, c.remoteCGName = id, c.remoteName
		return
	}
	c.pairs = []*object{flatPair(id, c.remoteName)}
}

// checkEntity refuses what the table of entity, type and features does not have.
func (c *creation) checkEntity() *apiError {
	x, b, opt := c.replica, c.r.box, c.r.box.w.opt
	if _, err := b.findLink(x.link); err != nil {
		return err
	}
	if x.kind == typeSync && !opt.feature(featureSync) {
		return fail(400, "SIM_FEATURE_DISABLED", "feature sync_replication is off")
	}
	if x.kind == typeActive && !opt.feature(featureActiveActive) {
		return fail(400, "SIM_FEATURE_DISABLED", "feature active_active is off")
	}
	if x.entity == kindFilesystem && x.kind != typeAsync {
		return conflict("TYPE_NOT_SUPPORTED", "filesystems replicate ASYNC only")
	}
	if err := x.checkRetries(); err != nil {
		return err
	}
	if x.kind == typeAsync {
		if err := checkSchedule(x.interval, x.rpo); err != nil {
			return err
		}
	}
	if (x.entity == entityGroup) != (x.localGroup != 0) {
		return invalid("replica: local_cg_id is for entity_type CONSISTENCY_GROUP, and needed there")
	}
	if x.entity != entityGroup && (c.remoteGroup != 0 || c.remoteCGName != "") {
		return invalid("replica: remote_cg_id is for entity_type CONSISTENCY_GROUP")
	}
	return b.reachPeer()
}

// checkGroup matches the pairs with the members of the group.
func (c *creation) checkGroup(plans []*pairPlan) *apiError {
	b, p, x := c.r.box, c.r.box.peer(), c.replica
	if x.entity != entityGroup {
		if len(plans) != 1 {
			return invalid("entity_pairs: a %s has exactly one pair, got %d", x.entity, len(plans))
		}
		return nil
	}
	g := b.groups[x.localGroup]
	if len(b.groupReplicas(g)) > 0 {
		return conflict("ALREADY_REPLICATED", "cg %q is replicated", g.name)
	}
	members := b.members(g)
	if len(plans) != len(members) {
		return conflict("MEMBERS_DIFFER", "cg %q has %d members, entity_pairs has %d", g.name, len(members), len(plans))
	}
	for _, m := range members {
		if !slices.ContainsFunc(plans, func(pl *pairPlan) bool { return pl.local == m }) {
			return conflict("MEMBERS_DIFFER", "member %q of cg %q is not in entity_pairs", m.name, g.name)
		}
	}
	if c.remoteGroup == 0 {
		if len(plans) > 0 && plans[0].action != actionCreate {
			return invalid("replica: remote_cg_id is required unless the members are created")
		}
		return nil
	}
	there, err := p.findGroup(c.remoteGroup)
	if err != nil {
		return remote(err)
	}
	if there.class != typeMaster || len(p.groupReplicas(there)) > 0 {
		return remote(conflict("ALREADY_REPLICATED", "cg %q on the remote system is a snapshot group or replicated", there.name))
	}
	for _, pl := range plans {
		if pl.remote == nil || pl.remote.group != there.id {
			return remote(conflict("MEMBERS_DIFFER", "the remote entity of %q is not a member of cg %q", pl.local.name, there.name))
		}
	}
	if len(p.members(there)) != len(plans) {
		return remote(conflict("MEMBERS_DIFFER", "cg %q has %d members, entity_pairs has %d", there.name, len(p.members(there)), len(plans)))
	}
	return nil
}

// carryOut makes the replica on both boxes. Nothing is left behind on failure.
func (c *creation) carryOut(plans []*pairPlan) *apiError {
	b, p, x := c.r.box, c.r.box.peer(), c.replica
	undo := &undoList{}
	err := c.makeTargets(plans, undo)
	if err == nil {
		err = c.takeSnapshots(plans, undo)
	}
	if err != nil {
		undo.run()
		return err
	}
	now := b.w.clock.Now()
	x.id, x.createdAt, x.updatedAt = b.newID(), b.now(), b.now()
	x.localPool, x.cursor, x.nextJob = c.localPool(), now, now
	x.remoteGroup, x.remotePool = c.remoteGroup, c.remotePool(plans)
	there := *x
	there.id, there.role, there.state, there.initial = p.newID(), roleTarget, stateSuspended, false
	there.link, there.createdAt, there.updatedAt = b.links[x.link].remoteID, p.now(), p.now()
	there.localGroup, there.remoteGroup = x.remoteGroup, x.localGroup
	there.localPool, there.remotePool = x.remotePool, x.localPool
	if x.kind == typeActive {
		x.role, there.role, there.state, x.syncState, there.syncState = roleActive, roleActive, stateActive, syncSynchronized, syncSynchronized
		x.initial = false
	}
	if x.kind == typeSync {
		x.syncState, there.syncState = syncInitializing, syncInitializing
	}
	x.remoteID, there.remoteID = there.id, x.id
	for _, pl := range plans {
		here, far := b.link(pl)
		x.pairs, there.pairs = append(x.pairs, here), append(there.pairs, far)
	}
	b.replicas[x.id], p.replicas[there.id] = x, &there
	if x.kind == typeActive {
		return b.copyAll(x, &there)
	}
	b.startJob(x, now)
	return nil
}

// link makes both sides of a pair.
func (b *box) link(pl *pairPlan) (here, far *pair) {
	here = &pair{id: b.newID(), local: pl.local.id, remote: pl.remote.id, localAction: pl.localAction, action: pl.action, localBase: pl.localBase, remoteBase: pl.remoteBase}
	far = &pair{id: b.peer().newID(), remoteID: here.id, local: pl.remote.id, remote: pl.local.id, localAction: pl.action, action: pl.localAction, localBase: pl.remoteBase, remoteBase: pl.localBase}
	here.remoteID = far.id
	return here, far
}

func (c *creation) localPool() int64 {
	if g := c.r.box.groups[c.replica.localGroup]; g != nil && c.replica.localGroup != 0 {
		return g.pool
	}
	return c.r.box.datasets[c.local()].pool
}

func (c *creation) remotePool(plans []*pairPlan) int64 {
	if g := c.r.box.peer().groups[c.remoteGroup]; g != nil && c.remoteGroup != 0 {
		return g.pool
	}
	return plans[0].remote.pool
}

// jobDuration is how long a job takes, see fault task_seconds.
func (b *box) jobDuration(initial bool) time.Duration {
	if f, on := b.w.faults.Active(b.name, faultTaskSeconds); on {
		return f.Seconds()
	}
	if initial {
		return 2 * time.Second
	}
	return time.Second
}
