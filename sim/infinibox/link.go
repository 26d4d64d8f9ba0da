package infinibox

// link is one side of the relation of two boxes.
type link struct {
	id, remoteID int64
	name         string
	space        int64 // 0 when detached
	remoteHost   string
	witness      string
	createdAt    int64
}

func (b *box) linkState() (state, description any) {
	switch {
	case b.fault(faultPeerDown):
		return "UNKNOWN", "The remote system does not answer"
	case !b.w.linkUp():
		return "DOWN", "The connection to the remote system is lost"
	}
	return "UP", nil
}

func (b *box) linkView(l *link) view {
	p := b.peer()
	state, description := b.linkState()
	if l.space == 0 && l.id != 0 {
		state, description = "DOWN", "The link is detached from its network space"
	}
	witness, witnessState := any(nil), "NOT_CONFIGURED"
	resiliency := "NONE"
	if l.witness != "" {
		witness, witnessState, resiliency = l.witness, "UP", "WITNESS"
	}
	sync := b.w.opt.feature(featureSync)
	types := []any{"ASYNC"}
	if sync {
		types = append(types, "SYNC")
	}
	var remoteSpace int64
	addresses := []any{}
	if p != nil {
		if s, ok := p.spaceByIP(l.remoteHost); ok {
			remoteSpace = s.id
			for _, ip := range s.ips {
				addresses = append(addresses, view{"id": int64(1), "ip_address": ip.address, "local": false, "management": true, "type": "MANAGEMENT", "link_id": l.id})
			}
		}
	}
	return view{
		"id": l.id, "_version": int64(1), "name": l.name, "local_replication_network_space_id": nullable(l.space), "remote_link_id": l.remoteID,
		"remote_host": l.remoteHost, "_remote_management_ip": l.remoteHost, "remote_system_name": p.title, "remote_system_serial_number": p.serial,
		"remote_version": b.w.opt.Version, "remote_replication_network_space_id": remoteSpace, "remote_replication_ip_addresses": addresses,
		"link_state": state, "state_description": description, "last_connection_timestamp": b.now(), "connect_timeout": int64(10000),
		"keep_alive_time": int64(10000), "retry_count": int64(3), "retry_wait": int64(5000), "_local_host": nil, "witness_address": witness,
		"_link_configuration_guid": nil, "link_mode": "ACTIVE", "resiliency_mode": resiliency, "local_witness_state": witnessState,
		"local_witness_state_description": nil, "remote_witness_state": witnessState, "async_only": !sync, "is_local_link_ready_for_sync": sync,
		"local_link_replication_type": types, "link_replication_type": types, "created_at": l.createdAt,
	}
}

func listLinks(r *request) ([]view, view, *apiError) {
	var out []view
	for _, l := range sorted(r.box.links) {
		out = append(out, r.box.disguise(r.box.linkView(l)))
	}
	return out, r.box.linkView(&link{}), nil
}

func (b *box) findLink(id int64) (*link, *apiError) {
	if l, ok := b.links[id]; ok {
		return l, nil
	}
	return nil, notFound("link", id)
}

func getLink(r *request) (any, *apiError) {
	l, err := r.box.findLink(r.id)
	if err != nil {
		return nil, err
	}
	return r.box.disguise(r.box.linkView(l)), nil
}

// connect makes a link on both boxes.
func (b *box) connect(name string, local, remoteSpace *netSpace, witness string) *link {
	p := b.peer()
	here := &link{id: b.newID(), name: name, space: local.id, remoteHost: remoteSpace.ips[0].address, witness: witness, createdAt: b.now()}
	there := &link{id: p.newID(), name: name, space: remoteSpace.id, remoteHost: local.ips[0].address, witness: witness, createdAt: p.now()}
	here.remoteID, there.remoteID = there.id, here.id
	b.links[here.id], p.links[there.id] = here, there
	return here
}

func createLink(r *request) (any, *apiError) {
	b, p := r.box, r.box.peer()
	o := parseObject("link", r.body)
	o.need("name", "local_replication_network_space_id", "remote_host")
	name, spaceID, host := o.text("name"), o.number("local_replication_network_space_id", 0), o.text("remote_host")
	witness := o.text("witness_address")
	if err := o.finish(); err != nil {
		return nil, err
	}
	if err := checkName("link", name); err != nil {
		return nil, err
	}
	local, ok := b.spaces[spaceID]
	if !ok {
		return nil, notFound("network space", spaceID)
	}
	if local.service != replicationService || len(local.ips) == 0 {
		return nil, conflict("NOT_A_REPLICATION_SPACE", "network space %q has service %s and %d addresses; a link needs %s and one address", local.name, local.service, len(local.ips), replicationService)
	}
	if err := b.reachPeer(); err != nil {
		return nil, err
	}
	there, ok := p.spaceByIP(host)
	if !ok {
		return nil, remote(conflict("REMOTE_UNREACHABLE", "no InfiniBox answers at %s", host))
	}
	for _, side := range []*box{b, p} {
		if _, taken := find(side.links, func(l *link) bool { return l.name == name }); taken {
			return nil, conflict("NAME_CONFLICT", "link %q exists on %s", name, side.title)
		}
	}
	if l, exists := find(b.links, func(l *link) bool { return l.space == local.id && l.remoteHost == host }); exists {
		return nil, conflict("LINK_EXISTS", "link %q connects these network spaces already", l.name)
	}
	return b.linkView(b.connect(name, local, there, witness)), nil
}

func updateLink(r *request) (any, *apiError) {
	b := r.box
	l, err := b.findLink(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("link", r.body)
	changed := *l
	if o.has("name") {
		changed.name = o.text("name")
		if err := checkName("link", changed.name); err != nil {
			o.fail(err)
		}
	}
	if o.has("local_replication_network_space_id") {
		changed.space = o.number("local_replication_network_space_id", 0)
		if s, ok := b.spaces[changed.space]; changed.space != 0 && (!ok || s.service != replicationService) {
			o.fail(notFound("network space", changed.space))
		}
	}
	if host := o.text("remote_host"); host != "" {
		changed.remoteHost = host
		if _, ok := b.peer().spaceByIP(host); !ok {
			o.fail(remote(conflict("REMOTE_UNREACHABLE", "no InfiniBox answers at %s", host)))
		}
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	*l = changed
	return b.linkView(l), nil
}

func refreshLink(r *request) (any, *apiError) {
	l, err := r.box.findLink(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("refresh", r.body)
	host := o.text("remote_host")
	if err := o.finish(); err != nil {
		return nil, err
	}
	if err := r.box.reachPeer(); err != nil {
		return nil, err
	}
	if host != "" {
		if _, ok := r.box.peer().spaceByIP(host); !ok {
			return nil, remote(conflict("REMOTE_UNREACHABLE", "no InfiniBox answers at %s", host))
		}
		l.remoteHost = host
	}
	return r.box.linkView(l), nil
}

func setWitness(r *request) (any, *apiError) {
	l, err := r.box.findLink(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("set_witness_address", r.body)
	address := o.text("witness_address")
	o.raw("witness_address")
	if !o.has("witness_address") {
		o.fail(invalid("set_witness_address: witness_address is required"))
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if err := r.box.reachPeer(); err != nil {
		return nil, err
	}
	l.witness = address
	if there, ok := r.box.peer().links[l.remoteID]; ok {
		there.witness = address
	}
	return r.box.linkView(l), nil
}

func deleteLink(r *request) (any, *apiError) {
	b, p := r.box, r.box.peer()
	l, err := b.findLink(r.id)
	if err != nil {
		return nil, err
	}
	force, err := r.flag("force_if_remote_error", false)
	if err != nil {
		return nil, err
	}
	alone, err := r.flag("force_if_no_remote_credentials", false)
	if err != nil {
		return nil, err
	}
	if rep, used := find(b.replicas, func(x *replica) bool { return x.link == l.id }); used {
		return nil, conflict("LINK_IN_USE", "link %q carries replica %d", l.name, rep.id)
	}
	reach, permitted := b.reachPeer(), r.remotePermission()
	if reach != nil && !force {
		return nil, reach
	}
	if permitted != nil && !alone {
		return nil, permitted
	}
	shown := b.linkView(l)
	delete(b.links, l.id)
	if reach == nil && permitted == nil {
		delete(p.links, l.remoteID)
	}
	return shown, nil
}
