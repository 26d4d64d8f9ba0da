package infinibox

// pool is where datasets get their space.
type pool struct {
	id                   int64
	name                 string
	virtual, physical    int64
	warning, critical    int64
	maxExtend            int64
	ssd, compression     bool
	state                string
	owners               []any
	createdAt, updatedAt int64
}

const (
	tebi            = int64(1) << 40
	defaultCapacity = 1024 * tebi // 1 PiB
	boxCapacity     = 1 << 56     // more than any test adds up to
)

func (b *box) addPool(name string) *pool {
	p := &pool{
		id: b.newID(), name: name, virtual: defaultCapacity, physical: defaultCapacity, warning: 80, critical: 90, ssd: true, compression: true,
		state: "NORMAL", createdAt: b.now(), updatedAt: b.now(),
	}
	b.pools[p.id] = p
	return p
}

// used is the virtual space that a pool's master datasets take.
func (b *box) used(p *pool) int64 {
	var sum int64
	for _, d := range b.datasets {
		if d.pool == p.id && d.isMaster() {
			sum += d.size
		}
	}
	return sum
}

func (b *box) poolView(p *pool) view {
	var volumes, snapshots, filesystems, fsSnapshots, allocated int64
	for _, d := range b.datasets {
		if d.pool != p.id {
			continue
		}
		allocated += d.data.stored()
		switch {
		case d.kind == kindVolume && d.isMaster():
			volumes++
		case d.kind == kindVolume:
			snapshots++
		case d.isMaster():
			filesystems++
		default:
			fsSnapshots++
		}
	}
	return view{
		"id": p.id, "name": p.name, "virtual_capacity": p.virtual, "physical_capacity": p.physical,
		"physical_capacity_warning": p.warning, "physical_capacity_critical": p.critical, "max_extend": p.maxExtend, "ssd_enabled": p.ssd,
		"compression_enabled": p.compression, "capacity_savings": int64(0), "data_reduction_ratio": 1.0, "state": p.state, "owners": list(p.owners),
		"created_at": p.createdAt, "updated_at": p.updatedAt, "reserved_capacity": int64(0), "type": "STANDARD",
		"allocated_physical_space": allocated, "free_physical_space": p.physical - allocated, "free_virtual_space": p.virtual - b.used(p),
		"allocated_virtual_space": b.used(p), "total_disk_usage": allocated,
		"volumes_count": volumes, "snapshots_count": snapshots, "filesystems_count": filesystems, "filesystem_snapshots_count": fsSnapshots,
		"entities_count":          volumes + snapshots + filesystems + fsSnapshots,
		"standard_entities_count": volumes + snapshots + filesystems + fsSnapshots, "standard_volumes_count": volumes, "standard_snapshots_count": snapshots,
		"standard_filesystems_count": filesystems, "standard_filesystem_snapshots_count": fsSnapshots, "vvol_entities_count": int64(0), "vvol_volumes_count": int64(0),
		"qos_policies": []any{}, "tenant_id": int64(1),
	}
}

// capacity is what the whole box reports.
func (b *box) capacity() view {
	var virtual, physical, allocated int64
	for _, p := range b.pools {
		virtual += p.virtual
		physical += p.physical
	}
	for _, d := range b.datasets {
		allocated += d.data.stored()
	}
	return view{
		"total_physical_capacity": int64(boxCapacity), "total_virtual_capacity": int64(boxCapacity),
		"free_physical_space": boxCapacity - physical, "free_virtual_space": boxCapacity - virtual,
		"total_allocated_physical_space": allocated, "allocated_physical_space_within_pools": physical, "allocated_virtual_space_within_pools": virtual,
		"data_reduction_ratio": 1.0,
	}
}

func listPools(r *request) ([]view, view, *apiError) {
	var out []view
	for _, p := range sorted(r.box.pools) {
		out = append(out, r.box.poolView(p))
	}
	return out, r.box.poolView(&pool{}), nil
}

func (b *box) findPool(id int64) (*pool, *apiError) {
	if p, ok := b.pools[id]; ok {
		return p, nil
	}
	return nil, notFound("pool", id)
}

func getPool(r *request) (any, *apiError) {
	p, err := r.box.findPool(r.id)
	if err != nil {
		return nil, err
	}
	return r.box.poolView(p), nil
}

func createPool(r *request) (any, *apiError) {
	b := r.box
	p := &pool{warning: 80, critical: 90, ssd: true, compression: true, state: "NORMAL"}
	o := parseObject("pool", r.body)
	o.need("name", "virtual_capacity", "physical_capacity")
	if err := b.fillPool(p, o); err != nil {
		return nil, err
	}
	p.id, p.createdAt, p.updatedAt = b.newID(), b.now(), b.now()
	b.pools[p.id] = p
	return b.poolView(p), nil
}

func updatePool(r *request) (any, *apiError) {
	p, err := r.box.findPool(r.id)
	if err != nil {
		return nil, err
	}
	changed := *p
	if err := r.box.fillPool(&changed, parseObject("pool", r.body)); err != nil {
		return nil, err
	}
	changed.updatedAt = r.box.now()
	*p = changed
	return r.box.poolView(p), nil
}

func (b *box) fillPool(p *pool, o *object) *apiError {
	if o.has("name") {
		p.name = o.text("name")
		if err := checkName("pool", p.name); err != nil {
			o.fail(err)
		}
	}
	p.virtual = o.number("virtual_capacity", p.virtual)
	p.physical = o.number("physical_capacity", p.physical)
	p.warning = o.number("physical_capacity_warning", p.warning)
	p.critical = o.number("physical_capacity_critical", p.critical)
	p.maxExtend = o.number("max_extend", p.maxExtend)
	p.ssd = o.flag("ssd_enabled", p.ssd)
	p.compression = o.flag("compression_enabled", p.compression)
	if raw := o.raw("owners"); raw != nil {
		ids, _ := decode[[]int64](o, "owners", "an array of ids")
		p.owners = nil
		for _, id := range ids {
			p.owners = append(p.owners, id)
		}
	}
	if o.err == nil && (p.virtual <= 0 || p.physical <= 0 || p.virtual > boxCapacity || p.physical > boxCapacity) {
		o.fail(invalid("pool capacity: expected 1..%d bytes", int64(boxCapacity)))
	}
	if o.err == nil && p.virtual < b.used(p) {
		o.fail(conflict("POOL_CAPACITY", "pool %q holds %d bytes of datasets", p.name, b.used(p)))
	}
	if other, ok := find(b.pools, func(x *pool) bool { return x.name == p.name && x.id != p.id }); ok {
		o.fail(conflict("NAME_CONFLICT", "pool %q exists with id %d", p.name, other.id))
	}
	return o.finish()
}

func deletePool(r *request) (any, *apiError) {
	b := r.box
	p, err := b.findPool(r.id)
	if err != nil {
		return nil, err
	}
	if d, ok := find(b.datasets, func(d *dataset) bool { return d.pool == p.id }); ok {
		return nil, conflict("POOL_NOT_EMPTY", "pool %q still holds %q", p.name, d.name)
	}
	if g, ok := find(b.groups, func(g *group) bool { return g.pool == p.id }); ok {
		return nil, conflict("POOL_NOT_EMPTY", "pool %q still holds group %q", p.name, g.name)
	}
	delete(b.pools, p.id)
	return b.poolView(p), nil
}

func lockPool(state string) handler {
	return func(r *request) (any, *apiError) {
		p, err := r.box.findPool(r.id)
		if err != nil {
			return nil, err
		}
		p.state = state
		return r.box.poolView(p), nil
	}
}

// room refuses a dataset that a pool cannot take.
func (b *box) room(p *pool, more int64) *apiError {
	if p.state == "LOCKED" {
		return conflict("POOL_LOCKED", "pool %q is locked", p.name)
	}
	if b.used(p)+more > p.virtual {
		return conflict("POOL_CAPACITY", "pool %q has %d bytes left, %d are needed", p.name, p.virtual-b.used(p), more)
	}
	return nil
}
