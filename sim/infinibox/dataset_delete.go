package infinibox

import "fmt"

func deleteDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		b := r.box
		d, err := b.findDataset(kind, r.id)
		if err != nil {
			return nil, err
		}
		force, err := r.flag("force_if_snapshot_locked", false)
		if err != nil {
			return nil, err
		}
		tree := b.tree(d)
		for _, x := range tree {
			if err := b.deletable(x, force); err != nil {
				return nil, err
			}
		}
		if !r.approved() {
			return nil, r.deletionApproval(d, tree[1:])
		}
		shown := b.datasetView(d)
		for _, x := range tree {
			if err := b.dropDataset(x); err != nil {
				return nil, err
			}
		}
		return shown, nil
	}
}

func (r *request) deletionApproval(d *dataset, children []*dataset) *apiError {
	if len(children) == 0 {
		return r.approvalRequired("APPROVAL_REQUIRED", reason{Message: fmt.Sprintf("Deleting %s '%s' destroys its data", d.noun(), d.name), Affected: []affectedEntity{}})
	}
	why := reason{Message: fmt.Sprintf("Deleting %s '%s' deletes its snapshots too", d.noun(), d.name)}
	for _, c := range children {
		why.Affected = append(why.Affected, affectedEntity{c.id, c.name, c.kind})
	}
	return r.approvalRequired("APPROVAL_REQUIRED_VOLUME_HAS_CHILDREN", why)
}

// tree is d and all below it, d first.
func (b *box) tree(d *dataset) []*dataset {
	out := []*dataset{d}
	for _, c := range b.children(d) {
		out = append(out, b.tree(c)...)
	}
	return out
}

func (b *box) deletable(d *dataset, force bool) *apiError {
	if len(b.replicasOf(d)) > 0 {
		return conflict("IS_REPLICATED", "%s %q is replicated", d.noun(), d.name)
	}
	if lockState(d.lockExpires, b.now()) == "LOCKED" && !force {
		return conflict("SNAPSHOT_LOCKED", "%q is locked", d.name)
	}
	if g := b.groups[d.group]; g != nil && g.class == typeMaster {
		return conflict("IN_CONSISTENCY_GROUP", "%s %q is a member of %q", d.noun(), d.name, g.name)
	}
	return nil
}

func (b *box) dropDataset(d *dataset) *apiError {
	if err := d.data.remove(); err != nil {
		return fail(500, "SIM_INTERNAL_ERROR", "remove %q: %v", d.name, err)
	}
	delete(b.datasets, d.id)
	return nil
}

func moveDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		d, err := r.box.findDataset(kind, r.id)
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
		p, err := r.box.findPool(id)
		if err != nil {
			return nil, err
		}
		if d.group != 0 || !d.isMaster() {
			return nil, conflict("CANNOT_MOVE", "%q moves with its group or master", d.name)
		}
		if err := r.box.room(p, d.size); err != nil {
			return nil, err
		}
		for _, x := range r.box.tree(d) {
			x.pool = p.id
		}
		return r.box.datasetView(d), nil
	}
}
