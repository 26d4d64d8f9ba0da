package infinibox

import "fmt"

// group is a consistency group, or a snapshot group of one.
type group struct {
	id                   int64
	name, class          string
	pool, parent         int64
	guid                 string
	lockExpires          *int64
	createdAt, updatedAt int64
}

func (b *box) groupView(g *group) view {
	poolName, guid := any(nil), any(nil)
	if p := b.pools[g.pool]; p != nil {
		poolName = p.name
	}
	if g.guid != "" {
		guid = g.guid
	}
	_, hasChildren := find(b.groups, func(x *group) bool { return x.parent == g.id && g.id != 0 })
	replicas := []any{}
	source, target := false, false
	for _, r := range b.groupReplicas(g) {
		replicas = append(replicas, r.id)
		source, target = source || r.role == roleSource, target || r.role == roleTarget
	}
	return view{
		"id": g.id, "name": g.name, "type": g.class, "pool_id": g.pool, "pool_name": poolName, "parent_id": g.parent,
		"is_replicated": len(replicas) > 0, "members_count": int64(len(b.members(g))), "created_at": g.createdAt, "updated_at": g.updatedAt,
		"rmr_snapshot_guid": guid, "lock_expires_at": fromPointer(g.lockExpires), "lock_state": lockState(g.lockExpires, b.now()),
		"tenant_id": int64(1), "has_children": hasChildren, "replica_ids": replicas, "rmr_source": source, "rmr_target": target,
	}
}

// members returns a group's datasets by id.
func (b *box) members(g *group) []*dataset {
	var out []*dataset
	for _, d := range sorted(b.datasets) {
		if d.group == g.id && g.id != 0 {
			out = append(out, d)
		}
	}
	return out
}

func (b *box) findGroup(id int64) (*group, *apiError) {
	if g, ok := b.groups[id]; ok {
		return g, nil
	}
	return nil, notFound("cg", id)
}

func listGroups(r *request) ([]view, view, *apiError) {
	var out []view
	for _, g := range sorted(r.box.groups) {
		out = append(out, r.box.groupView(g))
	}
	return out, r.box.groupView(&group{}), nil
}

func getGroup(r *request) (any, *apiError) {
	g, err := r.box.findGroup(r.id)
	if err != nil {
		return nil, err
	}
	return r.box.groupView(g), nil
}

func createGroup(r *request) (any, *apiError) {
	b := r.box
	o := parseObject("cg", r.body)
	if o.raw("parent_id") != nil {
		return createSnapGroup(r, o)
	}
	if _, err := r.carrySnapshots(true); err != nil {
		return nil, err
	}
	o.need("name", "pool_id")
	g := &group{class: typeMaster, name: o.text("name"), pool: o.number("pool_id", 0), lockExpires: o.optional("lock_expires_at")}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if _, err := b.findPool(g.pool); err != nil {
		return nil, err
	}
	if err := b.addGroup(g); err != nil {
		return nil, err
	}
	return b.groupView(g), nil
}

func (b *box) addGroup(g *group) *apiError {
	if err := checkName("cg", g.name); err != nil {
		return err
	}
	if other, ok := find(b.groups, func(x *group) bool { return x.name == g.name }); ok {
		return conflict("NAME_CONFLICT", "cg %q exists with id %d", g.name, other.id)
	}
	g.id, g.createdAt, g.updatedAt = b.newID(), b.now(), b.now()
	b.groups[g.id] = g
	return nil
}

func createSnapGroup(r *request, o *object) (any, *apiError) {
	b := r.box
	o.need("name", "parent_id")
	parentID := o.number("parent_id", 0)
	prefix, suffix := o.text("snap_prefix"), o.text("snap_suffix")
	s := &group{name: o.text("name"), lockExpires: o.optional("lock_expires_at")}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if carry, err := r.carrySnapshots(r.box.w.opt.atLeast(7, 3, 10)); err != nil {
		return nil, err
	} else if carry {
		return nil, notBuilt("replicate_to_async_target=true for groups")
	}
	if prefix == "" && suffix == "" {
		return nil, invalid("cg: snap_prefix or snap_suffix is required")
	}
	g, err := b.findGroup(parentID)
	if err != nil {
		return nil, err
	}
	if err := b.snapGroup(g, s, func(d *dataset) string { return prefix + d.name + suffix }, nil); err != nil {
		return nil, err
	}
	return b.groupView(s), nil
}

// snapGroup completes s as a snapshot group of g; contents maps members to what
// their snapshots shall hold, nil means what they hold now.
func (b *box) snapGroup(g, s *group, name func(*dataset) string, guid map[int64]string) *apiError {
	members := b.members(g)
	for _, m := range members {
		if err := b.nameFree(&dataset{kind: m.kind, name: name(m)}); err != nil {
			return err
		}
	}
	s.class, s.parent, s.pool = typeSnapshot, g.id, g.pool
	if err := b.addGroup(s); err != nil {
		return err
	}
	for _, m := range members {
		d := &dataset{name: name(m), writeProtected: true, ssd: m.ssd, group: s.id, lockExpires: s.lockExpires, guid: guid[m.id]}
		if err := b.snapshotOf(m, d, nil); err != nil {
			return err
		}
	}
	return nil
}

func updateGroup(r *request) (any, *apiError) {
	g, err := r.box.findGroup(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("cg", r.body)
	name, lock := g.name, g.lockExpires
	if o.has("name") {
		name = o.text("name")
	}
	if o.has("lock_expires_at") {
		lock = o.optional("lock_expires_at")
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if err := checkName("cg", name); err != nil {
		return nil, err
	}
	if other, ok := find(r.box.groups, func(x *group) bool { return x.name == name && x != g }); ok {
		return nil, conflict("NAME_CONFLICT", "cg %q exists with id %d", name, other.id)
	}
	g.name, g.lockExpires, g.updatedAt = name, lock, r.box.now()
	return r.box.groupView(g), nil
}

func deleteGroup(r *request) (any, *apiError) {
	b := r.box
	g, err := b.findGroup(r.id)
	if err != nil {
		return nil, err
	}
	withMembers, err := r.flag("delete_members", false)
	if err != nil {
		return nil, err
	}
	force, err := r.flag("force_if_snapshot_locked", false)
	if err != nil {
		return nil, err
	}
	if len(b.groupReplicas(g)) > 0 {
		return nil, conflict("IS_REPLICATED", "cg %q is replicated", g.name)
	}
	if lockState(g.lockExpires, b.now()) == "LOCKED" && !force {
		return nil, conflict("SNAPSHOT_LOCKED", "cg %q is locked", g.name)
	}
	if _, ok := find(b.groups, func(x *group) bool { return x.parent == g.id }); ok && withMembers {
		return nil, conflict("HAS_CHILDREN", "cg %q has snapshot groups", g.name)
	}
	shown, members := b.groupView(g), b.members(g)
	for _, m := range members {
		if children := b.children(m); withMembers && len(children) > 0 {
			return nil, conflict("HAS_CHILDREN", "member %q has snapshots", m.name)
		}
	}
	for _, m := range members {
		m.group = 0
		if withMembers {
			if err := b.dropDataset(m); err != nil {
				return nil, err
			}
		}
	}
	for _, x := range b.groups {
		if x.parent == g.id {
			x.parent = 0
		}
	}
	delete(b.groups, g.id)
	return shown, nil
}

func restoreGroup(r *request) (any, *apiError) {
	g, s, err := r.groupAndSource("restore")
	if err != nil {
		return nil, err
	}
	if s.parent != g.id {
		return nil, conflict("NOT_RELATED", "%q is not a snapshot group of %q", s.name, g.name)
	}
	return true, r.overwriteGroup(g, s, func(member, snap *dataset) *apiError { return r.box.overwrite(member, snap) })
}

func refreshGroup(r *request) (any, *apiError) {
	s, g, err := r.groupAndSource("refresh")
	if err != nil {
		return nil, err
	}
	if s.parent != g.id {
		return nil, conflict("NOT_RELATED", "%q is not a snapshot group of %q", s.name, g.name)
	}
	if err := r.overwriteGroup(g, s, func(member, snap *dataset) *apiError { return r.box.overwrite(snap, member) }); err != nil {
		return nil, err
	}
	return r.box.groupView(s), nil
}

func (r *request) groupAndSource(what string) (subject, source *group, err *apiError) {
	o := parseObject(what, r.body)
	o.need("source_id")
	id := o.number("source_id", 0)
	if err := o.finish(); err != nil {
		return nil, nil, err
	}
	if subject, err = r.box.findGroup(r.id); err != nil {
		return nil, nil, err
	}
	source, err = r.box.findGroup(id)
	return subject, source, err
}

func (r *request) overwriteGroup(g, s *group, copyOne func(member, snap *dataset) *apiError) *apiError {
	b := r.box
	snaps := b.members(s)
	for _, snap := range snaps {
		member, ok := b.datasets[snap.parent]
		if !ok || member.group != g.id {
			return conflict("MEMBERS_DIFFER", "%q is not a snapshot of a present member of %q", snap.name, g.name)
		}
		if err := b.overwritable(member, false); err != nil {
			return err
		}
	}
	for _, snap := range snaps {
		if err := copyOne(b.datasets[snap.parent], snap); err != nil {
			return err
		}
	}
	return nil
}

func moveGroup(r *request) (any, *apiError) {
	b := r.box
	g, err := b.findGroup(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("move", r.body)
	o.need("pool_id")
	id := o.number("pool_id", 0)
	o.flag("with_capacity", false)
	if err := o.finish(); err != nil {
		return nil, err
	}
	p, err := b.findPool(id)
	if err != nil {
		return nil, err
	}
	var sum int64
	for _, m := range b.members(g) {
		sum += m.size
	}
	if err := b.room(p, sum); err != nil {
		return nil, err
	}
	g.pool = p.id
	for _, m := range b.members(g) {
		for _, x := range b.tree(m) {
			x.pool = p.id
		}
	}
	for _, x := range b.groups {
		if x.parent == g.id {
			x.pool = p.id
		}
	}
	return b.groupView(g), nil
}

func listMembers(r *request) ([]view, view, *apiError) {
	g, err := r.box.findGroup(r.id)
	if err != nil {
		return nil, nil, err
	}
	var out []view
	for _, m := range r.box.members(g) {
		out = append(out, r.box.datasetView(m))
	}
	return out, r.box.datasetView(&dataset{kind: kindVolume}), nil
}

func (r *request) findMember() (*group, *dataset, *apiError) {
	g, err := r.box.findGroup(r.id)
	if err != nil {
		return nil, nil, err
	}
	d, ok := r.box.datasets[r.member]
	if !ok || d.group != g.id {
		return nil, nil, fail(404, "CG_MEMBER_NOT_FOUND", "%s", fmt.Sprintf("cg %q has no member %d", g.name, r.member))
	}
	return g, d, nil
}

func getMember(r *request) (any, *apiError) {
	_, d, err := r.findMember()
	if err != nil {
		return nil, err
	}
	return r.box.datasetView(d), nil
}
