package infinibox

import (
	"encoding/json"
	"fmt"
)

// pairPlan is one pair of a new replica, checked but not made.
type pairPlan struct {
	local, remote         *dataset // remote is nil until it is created
	localAction, action   string
	localBase, remoteBase *int64
	name                  string // of the dataset to create
}

// flatPair is the pair that a flat body means.
func flatPair(id int64, name string) *object {
	raw := map[string]any{"local_entity_id": id, "remote_base_action": actionCreate}
	if name != "" {
		raw["remote_entity_name"] = name
	}
	body, _ := json.Marshal(raw) // numbers and strings
	return parseObject("replica", body)
}

func (c *creation) datasetKind() string {
	if c.replica.entity == kindFilesystem {
		return kindFilesystem
	}
	return kindVolume
}

// local is the id of the only local dataset.
func (c *creation) local() int64 { return c.pairs[0].number("local_entity_id", 0) }

func (c *creation) planPairs() ([]*pairPlan, *apiError) {
	if c.replica.entity == entityGroup {
		g, err := c.r.box.findGroup(c.replica.localGroup)
		if err != nil {
			return nil, err
		}
		if g.class != typeMaster {
			return nil, conflict("IS_SNAPSHOT", "cg %q is a snapshot group", g.name)
		}
		if c.flat {
			for _, m := range c.r.box.members(g) {
				c.pairs = append(c.pairs, flatPair(m.id, ""))
			}
		}
	}
	var out []*pairPlan
	seen := map[int64]bool{}
	for _, o := range c.pairs {
		pl, err := c.planPair(o)
		if err != nil {
			return nil, err
		}
		if seen[pl.local.id] || (pl.remote != nil && seen[-pl.remote.id]) {
			return nil, invalid("entity_pairs: %q is in two pairs", pl.local.name)
		}
		seen[pl.local.id] = true
		if pl.remote != nil {
			seen[-pl.remote.id] = true
		}
		if len(out) > 0 && out[0].action != pl.action {
			return nil, invalid("entity_pairs: all pairs must have one remote_base_action")
		}
		out = append(out, pl)
	}
	return out, c.poolAgrees(out)
}

// poolAgrees: remote_pool_id is needed to create datasets, and elsewhere must
// not contradict where they are.
func (c *creation) poolAgrees(plans []*pairPlan) *apiError {
	creates := c.remoteGroup == 0 && c.replica.entity == entityGroup && len(plans) == 0
	for _, pl := range plans {
		creates = creates || pl.action == actionCreate
		if pl.remote != nil && c.pool != 0 && pl.remote.pool != c.pool {
			return remote(conflict("POOL_DIFFERS", "remote entity %q is not in pool %d", pl.remote.name, c.pool))
		}
	}
	if !creates {
		return nil
	}
	if c.pool == 0 {
		return invalid("replica: remote_pool_id is required to create the remote entity")
	}
	if c.remoteGroup != 0 {
		return invalid("replica: remote_cg_id and CREATE exclude each other")
	}
	p, err := c.r.box.peer().findPool(c.pool)
	if err != nil {
		return remote(err)
	}
	var sum int64
	for _, pl := range plans {
		sum += pl.local.size
	}
	return remote(c.r.box.peer().room(p, sum))
}

func (c *creation) planPair(o *object) (*pairPlan, *apiError) {
	o.need("local_entity_id", "remote_base_action")
	pl := &pairPlan{
		action:      o.oneOf("remote_base_action", "", actionCreate, actionEmpty, actionBase, actionSnap),
		localAction: o.oneOf("local_base_action", "", actionEmpty, actionBase, actionSnap),
		localBase:   o.optional("local_base_entity_id"), remoteBase: o.optional("remote_base_entity_id"),
		name: o.text("remote_entity_name"),
	}
	localID, remoteID := o.number("local_entity_id", 0), o.optional("remote_entity_id")
	o.text("local_entity_name")
	if err := o.finish(); err != nil {
		return nil, err
	}
	var err *apiError
	if pl.local, err = c.r.box.findDataset(c.datasetKind(), localID); err != nil {
		return nil, err
	}
	if err := c.r.box.replicable(pl.local, c.replica); err != nil {
		return nil, err
	}
	if err := pl.consistent(remoteID); err != nil {
		return nil, err
	}
	if remoteID == nil {
		return pl, nil
	}
	p := c.r.box.peer()
	if pl.remote, err = p.findDataset(c.datasetKind(), *remoteID); err != nil {
		return nil, remote(err)
	}
	if err := p.replicable(pl.remote, &replica{localGroup: c.remoteGroup}); err != nil {
		return nil, remote(err)
	}
	if pl.remote.size != pl.local.size {
		return nil, remote(conflict("SIZE_DIFFERS", "%q has %d bytes, remote %q has %d", pl.local.name, pl.local.size, pl.remote.name, pl.remote.size))
	}
	return pl, c.checkTarget(pl)
}

// consistent checks the actions and ids of a pair against each other.
func (pl *pairPlan) consistent(remoteID *int64) *apiError {
	want := map[string]string{actionBase: actionBase, actionSnap: actionSnap}[pl.action]
	if pl.localAction != want && (want != "" || pl.localAction != actionEmpty) {
		return invalid("entity_pairs: local_base_action %q does not go with remote_base_action %q", pl.localAction, pl.action)
	}
	bases := pl.localBase != nil && pl.remoteBase != nil
	switch {
	case (pl.action == actionCreate) != (remoteID == nil):
		return invalid("entity_pairs: remote_entity_id is for every remote_base_action but CREATE, and needed there")
	case (pl.action == actionBase) != bases || (pl.localBase == nil) != (pl.remoteBase == nil):
		return invalid("entity_pairs: local_base_entity_id and remote_base_entity_id are for BASE, and needed there")
	case pl.name != "" && pl.action != actionCreate:
		return invalid("entity_pairs: remote_entity_name is for CREATE")
	}
	return nil
}

// replicable refuses datasets that cannot be one end of replica x.
func (b *box) replicable(d *dataset, x *replica) *apiError {
	switch {
	case !d.isMaster():
		return conflict("IS_SNAPSHOT", "%s %q is a snapshot", d.noun(), d.name)
	case len(b.replicasOf(d)) > 0:
		return conflict("ALREADY_REPLICATED", "%s %q is replicated", d.noun(), d.name)
	case d.group != x.localGroup:
		return conflict("GROUP_DIFFERS", "%s %q is in group %d, the replica is for group %d", d.noun(), d.name, d.group, x.localGroup)
	}
	return nil
}

// checkTarget looks at the content that an existing target has.
func (c *creation) checkTarget(pl *pairPlan) *apiError {
	b, p := c.r.box, c.r.box.peer()
	switch pl.action {
	case actionEmpty:
		if c.datasetKind() == kindFilesystem {
			return conflict("TYPE_NOT_SUPPORTED", "a filesystem cannot be replicated to an existing one without base snapshots")
		}
		empty, err := pl.remote.data.empty()
		if err != nil {
			return fail(500, "SIM_INTERNAL_ERROR", "%v", err)
		}
		if !empty {
			return remote(conflict("TARGET_NOT_EMPTY", "remote volume %q is not formatted: it holds data", pl.remote.name))
		}
	case actionSnap:
		return sameData(pl.local, pl.remote)
	case actionBase:
		local, err := b.findDataset(c.datasetKind(), *pl.localBase)
		if err != nil {
			return err
		}
		far, err := p.findDataset(c.datasetKind(), *pl.remoteBase)
		if err != nil {
			return remote(err)
		}
		if local.parent != pl.local.id {
			return conflict("NOT_RELATED", "base %q is not a snapshot of %q", local.name, pl.local.name)
		}
		if far.parent != pl.remote.id {
			return remote(conflict("NOT_RELATED", "base %q is not a snapshot of %q", far.name, pl.remote.name))
		}
		return sameData(local, far)
	}
	return nil
}

// sameData refuses bases that differ; see the package comment.
func sameData(a, b *dataset) *apiError {
	same, err := a.data.equal(b.data)
	if err != nil {
		return fail(500, "SIM_INTERNAL_ERROR", "%v", err)
	}
	if !same {
		return conflict("BASE_DIFFERS", "%q and remote %q do not hold the same data", a.name, b.name)
	}
	return nil
}

// undoList takes back, newest first, what a failed creation made.
type undoList struct{ steps []func() }

func (u *undoList) add(f func()) { u.steps = append(u.steps, f) }

func (u *undoList) run() {
	for i := len(u.steps) - 1; i >= 0; i-- {
		u.steps[i]()
	}
}

// makeTargets creates the remote group and datasets.
func (c *creation) makeTargets(plans []*pairPlan, undo *undoList) *apiError {
	b, p, x := c.r.box, c.r.box.peer(), c.replica
	if x.entity == entityGroup && c.remoteGroup == 0 {
		g := &group{class: typeMaster, name: c.remoteCGName, pool: c.pool}
		if g.name == "" {
			g.name = p.freeGroupName(b.groups[x.localGroup].name)
		}
		if err := p.addGroup(g); err != nil {
			return remote(err)
		}
		undo.add(func() { delete(p.groups, g.id) })
		c.remoteGroup = g.id
	}
	for _, pl := range plans {
		if pl.remote != nil {
			continue
		}
		if err := c.makeTarget(pl, undo); err != nil {
			return err
		}
	}
	return nil
}

func (c *creation) makeTarget(pl *pairPlan, undo *undoList) *apiError {
	p := c.r.box.peer()
	d := &dataset{
		kind: pl.local.kind, class: typeMaster, name: pl.name, pool: c.pool, size: pl.local.size, provisioning: pl.local.provisioning,
		ssd: pl.local.ssd, compression: pl.local.compression, atimeMode: pl.local.atimeMode, snapdirName: pl.local.snapdirName,
	}
	if c.replica.entity == entityGroup {
		d.group = c.remoteGroup
	}
	if d.name == "" {
		d.name = p.freeName(pl.local)
	}
	if err := checkName(d.noun(), d.name); err != nil {
		return remote(err)
	}
	if err := p.addDataset(d, nil); err != nil {
		return remote(err)
	}
	undo.add(func() { _ = p.dropDataset(d) })
	pl.remote = d
	return nil
}

// freeName is the name of a created target: the source's, unless it is taken.
func (b *box) freeName(like *dataset) string {
	name := like.name
	for i := 1; b.nameFree(&dataset{kind: like.kind, name: name}) != nil; i++ {
		name = fmt.Sprintf("%s_%d", like.name, i)
	}
	return name
}

func (b *box) freeGroupName(like string) string {
	name := like
	taken := func(g *group) bool { return g.name == name }
	for i := 1; ; i++ {
		if _, ok := find(b.groups, taken); !ok {
			return name
		}
		name = fmt.Sprintf("%s_%d", like, i)
	}
}

// takeSnapshots makes the base snapshots of TAKE_SNAP.
func (c *creation) takeSnapshots(plans []*pairPlan, undo *undoList) *apiError {
	for _, pl := range plans {
		if pl.action != actionSnap {
			continue
		}
		guid := c.r.box.newGUID()
		for _, side := range []struct {
			box  *box
			of   *dataset
			base **int64
		}{{c.r.box, pl.local, &pl.localBase}, {c.r.box.peer(), pl.remote, &pl.remoteBase}} {
			s := &dataset{name: fmt.Sprintf("%s_base_%d", side.of.name, side.box.lastID+1), writeProtected: true, ssd: true, guid: guid}
			if err := side.box.snapshotOf(side.of, s, nil); err != nil {
				return err
			}
			undo.add(func() { _ = side.box.dropDataset(s) })
			*side.base = &s.id
		}
	}
	return nil
}
