package infinibox

import "fmt"

// createSnapshot is POST volumes or filesystems with parent_id.
func createSnapshot(r *request, kind string, o *object) (any, *apiError) {
	b := r.box
	o.need("name", "parent_id")
	parentID := o.number("parent_id", 0)
	s := &dataset{
		name: o.text("name"), writeProtected: o.flag("write_protected", true), ssd: o.flag("ssd_enabled", true), lockExpires: o.optional("lock_expires_at"),
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if err := checkName("snapshot", s.name); err != nil {
		return nil, err
	}
	parent, err := b.findDataset(kind, parentID)
	if err != nil {
		return nil, err
	}
	carry, err := r.carrySnapshots(kind == kindVolume)
	if err != nil {
		return nil, err
	}
	var carriers []*replica
	if carry {
		if carriers, err = b.carriers(parent); err != nil {
			return nil, err
		}
		s.guid = b.newGUID()
	}
	if err := b.snapshotOf(parent, s, nil); err != nil {
		return nil, err
	}
	for _, c := range carriers {
		c.toCarry = append(c.toCarry, s.id)
	}
	return b.datasetView(s), nil
}

// carrySnapshots reads replicate_to_async_target, which 7.1 brought.
func (r *request) carrySnapshots(supported bool) (bool, *apiError) {
	if !r.query.Has("replicate_to_async_target") {
		return false, nil
	}
	if !supported || !r.box.w.opt.atLeast(7, 1) {
		return false, fail(400, "SIM_UNKNOWN_QUERY", "replicate_to_async_target is not supported for this in version %s", r.box.w.opt.Version)
	}
	return r.flag("replicate_to_async_target", false)
}

// carriers are the replicas that can bring a snapshot of d to the other box.
func (b *box) carriers(d *dataset) ([]*replica, *apiError) {
	var out []*replica
	for _, rep := range b.replicasOf(d) {
		if rep.role == roleSource && rep.kind == typeAsync && rep.includingSnapshots {
			out = append(out, rep)
		}
	}
	if len(out) == 0 {
		return nil, conflict("NOT_REPLICATED_WITH_SNAPSHOTS", "%q is not the source of an ASYNC replica with including_snapshots", d.name)
	}
	return out, nil
}

// snapshotOf completes s as a snapshot of parent; its content is from, or the
// parent's present content.
func (b *box) snapshotOf(parent, s *dataset, from content) *apiError {
	if from == nil {
		from = parent.data
	}
	s.kind, s.class, s.parent, s.family, s.depth = parent.kind, typeSnapshot, parent.id, parent.family, parent.depth+1
	s.pool, s.size, s.provisioning, s.compression = parent.pool, parent.size, "THIN", parent.compression
	s.atimeMode, s.snapdirName = parent.atimeMode, parent.snapdirName
	return b.addDataset(s, from)
}

func groupSnapshot(r *request) (any, *apiError) {
	b := r.box
	o := parseObject("group_snapshot", r.body)
	prefix, suffix := o.text("snap_prefix"), o.text("snap_suffix")
	o.need("entities")
	var parents []*dataset
	for _, e := range o.objects("entities") {
		e.need("id")
		id := e.number("id", 0)
		if err := e.finish(); err != nil {
			return nil, err
		}
		d, err := b.findDataset(kindVolume, id)
		if err != nil {
			return nil, err
		}
		parents = append(parents, d)
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if prefix == "" && suffix == "" {
		return nil, invalid("group_snapshot: snap_prefix or snap_suffix is required")
	}
	for _, p := range parents {
		if err := b.nameFree(&dataset{kind: kindVolume, name: prefix + p.name + suffix}); err != nil {
			return nil, err
		}
	}
	out := []view{}
	for _, p := range parents {
		s := &dataset{name: prefix + p.name + suffix, writeProtected: true, ssd: true}
		if err := b.snapshotOf(p, s, nil); err != nil {
			return nil, err
		}
		out = append(out, b.datasetView(s))
	}
	return out, nil
}

// ownSnapshot makes a snapshot that replication keeps into one of the user's.
func ownSnapshot(r *request) (any, *apiError) {
	d, err := r.box.findDataset(kindVolume, r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("own_snapshot", r.body)
	o.need("name")
	s := &dataset{name: o.text("name"), writeProtected: true, ssd: d.ssd, guid: d.guid}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if err := checkName("snapshot", s.name); err != nil {
		return nil, err
	}
	if d.isMaster() || d.guid == "" {
		return nil, conflict("NOT_A_REPLICATION_SNAPSHOT", "%q is not a snapshot made by replication", d.name)
	}
	if err := r.box.snapshotOf(d, s, nil); err != nil {
		return nil, err
	}
	return r.box.datasetView(s), nil
}

// overwritable refuses to replace the content of a replicated dataset on its target.
func (b *box) overwritable(d *dataset, force bool) *apiError {
	if _, target, _ := b.roles(d); target && !force {
		return conflict("IS_REPLICATION_TARGET", "%s %q is a replication target", d.noun(), d.name)
	}
	return nil
}

// overwrite replaces the content of d by that of from, both of one family.
func (b *box) overwrite(d, from *dataset) *apiError {
	if d.family != from.family || d == from {
		return conflict("NOT_RELATED", "%q is not a snapshot of %q", from.name, d.name)
	}
	if err := d.data.copyFrom(from.data); err != nil {
		return fail(500, "SIM_INTERNAL_ERROR", "restore: %v", err)
	}
	d.updatedAt = b.now()
	b.mirror(d)
	return nil
}

func restoreDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		d, err := r.box.findDataset(kind, r.id)
		if err != nil {
			return nil, err
		}
		var id int64
		if parseValue(r.body, &id) != nil {
			return nil, invalid("restore: expected the bare id of a snapshot, got %s", r.body)
		}
		s, err := r.box.findDataset(kind, id)
		if err != nil {
			return nil, err
		}
		if s.isMaster() {
			return nil, conflict("NOT_A_SNAPSHOT", "%q is not a snapshot", s.name)
		}
		if err := r.box.overwritable(d, false); err != nil {
			return nil, err
		}
		if err := r.box.overwrite(d, s); err != nil {
			return nil, err
		}
		return true, nil
	}
}

func refreshDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		s, err := r.box.findDataset(kind, r.id)
		if err != nil {
			return nil, err
		}
		o := parseObject("refresh", r.body)
		o.need("source_id")
		id := o.number("source_id", 0)
		if err := o.finish(); err != nil {
			return nil, err
		}
		parent, err := r.box.findDataset(kind, id)
		if err != nil {
			return nil, err
		}
		force, err := r.flag("force_if_replicated_on_target", false)
		if err != nil {
			return nil, err
		}
		if s.isMaster() || s.parent != parent.id {
			return nil, conflict("NOT_RELATED", "%q is not a snapshot of %q", s.name, parent.name)
		}
		if err := r.box.overwritable(parent, force); err != nil {
			return nil, err
		}
		if err := r.box.overwrite(s, parent); err != nil {
			return nil, err
		}
		return r.box.datasetView(s), nil
	}
}

// newGUID names a replicated point in time.
func (b *box) newGUID() string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", b.serial, b.newID())
}
