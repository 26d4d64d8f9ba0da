package infinibox

import "fmt"

const (
	kindVolume     = "VOLUME"
	kindFilesystem = "FILESYSTEM"
	typeMaster     = "MASTER"
	typeSnapshot   = "SNAPSHOT"
)

// dataset is a volume or a filesystem, a master or a snapshot.
type dataset struct {
	id                   int64
	kind, class          string // VOLUME or FILESYSTEM; MASTER or SNAPSHOT
	name                 string
	pool, parent, family int64
	depth                int64
	group                int64
	size                 int64
	provisioning         string
	writeProtected       bool
	ssd, compression     bool
	udid                 *int64
	lockExpires          *int64
	guid                 string // of the replicated point in time that a snapshot holds
	atimeMode            string
	snapdirName          string
	snapdirAccessible    bool
	createdAt, updatedAt int64
	data                 content
}

func (d *dataset) isMaster() bool { return d.class == typeMaster }

func (d *dataset) noun() string {
	if d.kind == kindFilesystem {
		return "filesystem"
	}
	return "volume"
}

// serial is the SCSI serial: company id, reserved, system, volume.
func (b *box) scsiSerial(d *dataset) string {
	return fmt.Sprintf("742b0f00000%04x%017x", b.serial, d.id)
}

func (b *box) datasetView(d *dataset) view {
	source, target, active := b.roles(d)
	children := b.children(d)
	replicaIDs, types := []any{}, []any{}
	for _, r := range b.replicasOf(d) {
		replicaIDs, types = append(replicaIDs, r.id), append(types, r.kind)
	}
	poolName, groupName := any(nil), any(nil)
	if p := b.pools[d.pool]; p != nil {
		poolName = p.name
	}
	if g := b.groups[d.group]; g != nil {
		groupName = g.name
	}
	var stored int64
	if d.data != nil {
		stored = d.data.stored()
	}
	guid := any(nil)
	if d.guid != "" {
		guid = d.guid
	}
	v := view{
		"id": d.id, "dataset_type": d.kind, "type": d.class, "name": d.name, "depth": d.depth, "size": d.size, "num_blocks": d.size / 512,
		"used": stored, "allocated": stored, "tree_allocated": stored, "disk_usage": stored, "capacity_savings": int64(0),
		"capacity_savings_per_entity": int64(0), "data_reduction_ratio": 1.0,
		"pool_id": d.pool, "pool_name": poolName, "family_id": d.family, "parent_id": d.parent, "provtype": d.provisioning,
		"created_at": d.createdAt, "updated_at": d.updatedAt, "ssd_enabled": d.ssd, "write_protected": d.writeProtected,
		"compression_enabled": d.compression, "compression_suppressed": false, "mapped": false, "has_children": len(children) > 0,
		"rmr_source": source, "rmr_target": target, "rmr_active_active_peer": active, "rmr_snapshot_guid": guid, "data_snapshot_guid": guid,
		"mgmt_snapshot_guid": nil, "_cg_snapshot_guid": nil, "_cg_guid": nil, "mobility_source": nil,
		"replica_ids": replicaIDs, "replication_types": types, "cg_id": nullable(d.group), "cg_name": groupName,
		"qos_policy_id": nil, "qos_policy_name": nil, "qos_shared_policy_id": nil, "qos_shared_policy_name": nil,
		"lock_expires_at": fromPointer(d.lockExpires), "lock_state": lockState(d.lockExpires, b.now()), "tenant_id": int64(1),
		"snapshot_policy_id": nil, "snapshot_policy_name": nil, "snapshot_expires_at": nil, "snapshot_retention": nil,
		"created_by_snapshot_policy_id": nil, "created_by_snapshot_policy_name": nil, "created_by_schedule_id": nil, "created_by_schedule_name": nil,
		"source_replicated_sg_id": nil, "_reclaimed_snapshot_remote_system_serial": nil, "ssa_express_enabled": false, "ssa_express_status": nil,
		"nguid": fmt.Sprintf("%032x", d.id),
	}
	if d.kind == kindFilesystem {
		v["atime_mode"], v["_is_established"], v["is_consistent"] = d.atimeMode, true, true
		v["snapdir_name"], v["snapdir_accessible"], v["visible_in_snapdir"] = d.snapdirName, d.snapdirAccessible, d.class == typeSnapshot
		v["root_mode"] = nil
		return v
	}
	v["serial"], v["udid"], v["paths_available"] = b.scsiSerial(d), fromPointer(d.udid), true
	return v
}

func lockState(expires *int64, now int64) string {
	switch {
	case expires == nil:
		return "UNLOCKED"
	case *expires > now:
		return "LOCKED"
	}
	return "EXPIRED"
}

func (b *box) children(d *dataset) []*dataset {
	var out []*dataset
	for _, c := range sorted(b.datasets) {
		if c.parent == d.id && d.id != 0 {
			out = append(out, c)
		}
	}
	return out
}

func listDatasets(kind string) lister {
	return func(r *request) ([]view, view, *apiError) {
		var out []view
		for _, d := range sorted(r.box.datasets) {
			if kind == "" || d.kind == kind {
				out = append(out, r.box.datasetView(d))
			}
		}
		return out, r.box.datasetView(&dataset{kind: kind}), nil
	}
}

func (b *box) findDataset(kind string, id int64) (*dataset, *apiError) {
	d, ok := b.datasets[id]
	if !ok || d.kind != kind {
		return nil, notFound(map[string]string{kindVolume: "volume", kindFilesystem: "filesystem"}[kind], id)
	}
	return d, nil
}

func getDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		d, err := r.box.findDataset(kind, r.id)
		if err != nil {
			return nil, err
		}
		return r.box.datasetView(d), nil
	}
}

// createDataset makes a master, or a snapshot when the body has parent_id.
func createDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		o := parseObject("new "+kind, r.body)
		if o.has("parent_id") {
			return createSnapshot(r, kind, o)
		}
		if r.query.Has("replicate_to_async_target") {
			return nil, invalid("replicate_to_async_target is for snapshots")
		}
		d := &dataset{kind: kind, class: typeMaster, ssd: true, compression: true, atimeMode: "RELATIME", snapdirName: ".snapshot"}
		o.need("name", "pool_id", "size")
		d.pool = o.number("pool_id", 0)
		d.provisioning = o.oneOf("provtype", "THIN", "THIN", "THICK")
		if err := r.box.fillDataset(d, o); err != nil {
			return nil, err
		}
		p, err := r.box.findPool(d.pool)
		if err != nil {
			return nil, err
		}
		if err := r.box.room(p, d.size); err != nil {
			return nil, err
		}
		if err := r.box.addDataset(d, nil); err != nil {
			return nil, err
		}
		return r.box.datasetView(d), nil
	}
}

// fillDataset reads the keys that create and update have in common.
func (b *box) fillDataset(d *dataset, o *object) *apiError {
	if o.has("name") {
		d.name = o.text("name")
		if err := checkName(d.noun(), d.name); err != nil {
			o.fail(err)
		}
	}
	d.size = o.number("size", d.size)
	d.writeProtected = o.flag("write_protected", d.writeProtected)
	d.ssd = o.flag("ssd_enabled", d.ssd)
	d.compression = o.flag("compression_enabled", d.compression)
	if o.has("lock_expires_at") {
		d.lockExpires = o.optional("lock_expires_at")
	}
	if d.kind == kindVolume {
		if o.has("udid") {
			d.udid = o.optional("udid")
		}
	} else {
		d.atimeMode = o.oneOf("atime_mode", d.atimeMode, "RELATIME", "NOATIME")
		d.snapdirAccessible = o.flag("snapdir_accessible", d.snapdirAccessible)
		if name := o.text("snapdir_name"); name != "" {
			d.snapdirName = name
		}
		o.text("root_mode")
		o.text("security_style")
	}
	if o.err == nil && (d.size <= 0 || d.size%512 != 0 || d.size > boxCapacity) {
		o.fail(invalid("size %d: expected a positive multiple of 512", d.size))
	}
	if err := b.nameFree(d); err != nil {
		o.fail(err)
	}
	return o.finish()
}

func (b *box) nameFree(d *dataset) *apiError {
	if other, ok := find(b.datasets, func(x *dataset) bool { return x.name == d.name && x.kind == d.kind && x.id != d.id }); ok {
		return conflict("NAME_CONFLICT", "%s %q exists with id %d", d.noun(), d.name, other.id)
	}
	return nil
}

// addDataset gives d an id and its content, a copy of from unless that is nil.
func (b *box) addDataset(d *dataset, from content) *apiError {
	if err := b.nameFree(d); err != nil {
		return err
	}
	var err error
	if d.data, err = b.w.store.create(b.name, d.contentName(), d.size); err == nil && from != nil {
		err = d.data.copyFrom(from)
	}
	if err != nil {
		return fail(500, "SIM_INTERNAL_ERROR", "%s %q: %v", d.noun(), d.name, err)
	}
	d.id, d.createdAt, d.updatedAt = b.newID(), b.now(), b.now()
	if d.family == 0 {
		d.family = d.id
	}
	b.datasets[d.id] = d
	return nil
}

// contentName is the name of the file: volumes plain, filesystems apart.
func (d *dataset) contentName() string {
	if d.kind == kindFilesystem {
		return "fs:" + d.name
	}
	return d.name
}

func updateDataset(kind string) handler {
	return func(r *request) (any, *apiError) {
		d, err := r.box.findDataset(kind, r.id)
		if err != nil {
			return nil, err
		}
		changed := *d
		o := parseObject(d.noun(), r.body)
		changed.provisioning = o.oneOf("provtype", d.provisioning, "THIN", "THICK")
		if err := r.box.fillDataset(&changed, o); err != nil {
			return nil, err
		}
		if err := r.box.applyUpdate(d, &changed); err != nil {
			return nil, err
		}
		changed.updatedAt = r.box.now()
		*d = changed
		return r.box.datasetView(d), nil
	}
}

func (b *box) applyUpdate(d, changed *dataset) *apiError {
	if changed.size != d.size {
		if err := b.resizable(d, changed.size); err != nil {
			return err
		}
		if err := changed.data.resize(changed.size); err != nil {
			return fail(500, "SIM_INTERNAL_ERROR", "resize: %v", err)
		}
	}
	if changed.name != d.name {
		if err := changed.data.rename(changed.contentName()); err != nil {
			return fail(500, "SIM_INTERNAL_ERROR", "rename: %v", err)
		}
	}
	return nil
}

func (b *box) resizable(d *dataset, size int64) *apiError {
	switch {
	case size < d.size:
		return conflict("SHRINK", "%s %q cannot shrink from %d to %d", d.noun(), d.name, d.size, size)
	case len(b.replicasOf(d)) > 0:
		return notBuilt("resizing a replicated %s", d.noun())
	case !d.isMaster():
		return conflict("IS_SNAPSHOT", "%q is a snapshot", d.name)
	}
	return b.room(b.pools[d.pool], size-d.size)
}

func listLUNs(r *request) ([]view, view, *apiError) {
	_, err := r.box.findDataset(kindVolume, r.id)
	return nil, view{"id": nil, "lun": nil, "volume_id": nil, "host_id": nil, "host_cluster_id": nil, "clustered": nil}, err
}

func deleteSimulation(kind string) handler {
	return func(r *request) (any, *apiError) {
		o := parseObject("delete_simulation", r.body)
		o.need("entities")
		ids, _ := decode[[]int64](o, "entities", "an array of ids")
		if err := o.finish(); err != nil {
			return nil, err
		}
		var sum int64
		for _, id := range ids {
			d, err := r.box.findDataset(kind, id)
			if err != nil {
				return nil, err
			}
			sum += d.data.stored()
		}
		return view{"space_reclaimable": sum}, nil
	}
}
