package infinibox

import (
	"encoding/json"
	"slices"
)

// joinable refuses datasets that cannot become members of g.
func (b *box) joinable(g *group, d *dataset) *apiError {
	switch {
	case g.class != typeMaster:
		return conflict("IS_SNAPSHOT", "cg %q is a snapshot group", g.name)
	case !d.isMaster():
		return conflict("IS_SNAPSHOT", "%s %q is a snapshot", d.noun(), d.name)
	case d.group != 0:
		return conflict("IN_CONSISTENCY_GROUP", "%s %q is in group %d", d.noun(), d.name, d.group)
	case d.pool != g.pool:
		return conflict("POOL_DIFFERS", "%s %q is in pool %d, cg %q in pool %d", d.noun(), d.name, d.pool, g.name, g.pool)
	case len(b.replicasOf(d)) > 0:
		return conflict("ALREADY_REPLICATED", "%s %q is replicated", d.noun(), d.name)
	}
	if first := b.members(g); len(first) > 0 && first[0].kind != d.kind {
		return conflict("KIND_DIFFERS", "cg %q has members of another kind", g.name)
	}
	return nil
}

func addMember(r *request) (any, *apiError) {
	b := r.box
	g, err := b.findGroup(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("members", r.body)
	o.need("dataset_id")
	id := o.number("dataset_id", 0)
	info := o.raw("replication_pair_info")
	if err := o.finish(); err != nil {
		return nil, err
	}
	d, ok := b.datasets[id]
	if !ok {
		return nil, notFound("dataset", id)
	}
	if err := b.joinable(g, d); err != nil {
		return nil, err
	}
	replicas := b.groupReplicas(g)
	if len(replicas) == 0 {
		if info != nil {
			return nil, conflict("NOT_REPLICATED", "cg %q is not replicated: replication_pair_info makes no sense", g.name)
		}
		d.group = g.id
		return b.datasetView(d), nil
	}
	if len(replicas) > 1 || replicas[0].kind == typeActive {
		return nil, notBuilt("members of a group with several or ACTIVE_ACTIVE replicas")
	}
	if err := r.extend(replicas[0], d, info); err != nil {
		return nil, err
	}
	return b.datasetView(d), nil
}

// extend adds a pair to the replica of a group, on both boxes.
func (r *request) extend(x *replica, d *dataset, info json.RawMessage) *apiError {
	b, p := r.box, r.box.peer()
	if x.role != roleSource {
		return conflict("NOT_SOURCE", "replica %d of the group is %s", x.id, x.role)
	}
	there, err := b.target(x)
	if err != nil {
		return err
	}
	if err := r.remotePermission(); err != nil {
		return err
	}
	if info == nil && !b.w.opt.feature(featureAutoCreate) {
		return invalid("members: replication_pair_info is required, the group is replicated")
	}
	if info == nil {
		info = json.RawMessage(`{"remote_base_action":"` + actionCreate + `"}`)
	}
	o := parseObject("replication_pair_info", info)
	if o.err == nil && o.has("local_entity_id") {
		o.fail(fail(400, "SIM_UNKNOWN_FIELD", `replication_pair_info: unknown key "local_entity_id"`))
	}
	o.keys["local_entity_id"], _ = json.Marshal(d.id)
	c := &creation{r: r, replica: &replica{entity: d.kind}, pool: x.remotePool}
	pl, err := c.planPair(o)
	if err != nil {
		return err
	}
	if pl.remote != nil && pl.remote.pool != x.remotePool {
		return remote(conflict("POOL_DIFFERS", "remote entity %q is not in pool %d", pl.remote.name, x.remotePool))
	}
	undo := &undoList{}
	if pl.remote == nil {
		err = c.makeTarget(pl, undo)
	}
	if err == nil {
		err = c.takeSnapshots([]*pairPlan{pl}, undo)
	}
	if err != nil {
		undo.run()
		return err
	}
	d.group, pl.remote.group = x.localGroup, x.remoteGroup
	here, far := b.link(pl)
	x.pairs, there.pairs = append(x.pairs, here), append(there.pairs, far)
	x.updatedAt, there.updatedAt = b.now(), p.now()
	b.catchUp(x)
	return nil
}

// catchUp starts a job that includes members just added.
func (b *box) catchUp(x *replica) {
	if x.state != stateActive {
		return
	}
	if x.kind == typeAsync && x.job != nil {
		x.pending++
		return
	}
	b.dropJob(x)
	b.activate(x, b.w.clock.Now())
	b.w.settle()
}

func removeMember(r *request) (any, *apiError) {
	b := r.box
	g, d, err := r.findMember()
	if err != nil {
		return nil, err
	}
	if make, err := r.flag("create_replica", false); err != nil {
		return nil, err
	} else if make || r.query.Has("replica_name") {
		return nil, notBuilt("create_replica on removing a member")
	}
	opt, err := r.deletion()
	if err != nil {
		return nil, err
	}
	opt.retain = opt.retain && r.query.Has("retain_staging_area")
	if g.class != typeMaster {
		return nil, conflict("IS_SNAPSHOT", "cg %q is a snapshot group", g.name)
	}
	for _, x := range b.groupReplicas(g) {
		if err := r.shrink(x, d, opt); err != nil {
			return nil, err
		}
	}
	d.group = 0
	return b.datasetView(d), nil
}

// shrink takes the pair of d out of replica x, on both boxes.
func (r *request) shrink(x *replica, d *dataset, opt deletion) *apiError {
	b := r.box
	there, err := r.withPeer(x, opt)
	if err != nil {
		return err
	}
	if there != nil {
		if err := r.box.peer().takeOut(there, func(p *pair) bool { return p.remote == d.id }, opt.retain); err != nil {
			return remote(err)
		}
	}
	if err := b.takeOut(x, func(p *pair) bool { return p.local == d.id }, opt.retain); err != nil {
		return err
	}
	return nil
}

func (b *box) takeOut(x *replica, which func(*pair) bool, retain bool) *apiError {
	i := slices.IndexFunc(x.pairs, which)
	if i < 0 {
		return nil
	}
	p := x.pairs[i]
	if retain {
		alone := *x
		alone.entity, alone.pairs = kindVolume, []*pair{p}
		if _, err := b.retain(&alone, "retained"); err != nil {
			return err
		}
	}
	if p.session != nil {
		_ = p.session.remove() // internal content, nobody else has it
	}
	_ = p.setBase(nil)
	if d := b.datasets[p.local]; d != nil {
		d.group = 0
	}
	x.pairs = slices.Delete(x.pairs, i, i+1)
	return nil
}
