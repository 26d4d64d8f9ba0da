package infinibox

import "strings"

// getFeatures lists the features; names as the vendor's SDK looks for them (the
// session feature has had two spellings).
func getFeatures(r *request) (any, *apiError) {
	o := r.box.w.opt
	feature := func(name string, version int64, on bool) view {
		return view{"name": name, "version": version, "experimental": false, "enabled": on}
	}
	sessions := o.feature(featureSessions)
	return []view{
		feature("active_active", 4, o.feature(featureActiveActive)),
		feature("api/auth_sessions", 0, sessions),
		feature("api_auth_sessions", 0, sessions),
		feature("async_replication", 2, true),
		feature("cons_groups", 1, true),
		feature("create_sync_from_base", 0, o.feature(featureSync)),
		feature("filesystem_replicas", 1, true),
		feature("metadata", 2, false),
		feature("nas", 2, true),
		feature("network_configuration", 2, true),
		feature("pools", 0, true),
		feature("qos", 0, false),
		feature("replica_auto_create", 0, o.feature(featureAutoCreate)),
		feature("replicate_snapshots", 4, o.atLeast(7, 1)),
		feature("san", 0, true),
		feature("snap_refresh", 1, true),
		feature("snapshots", 1, true),
		feature("sync_replication", 0, o.feature(featureSync)),
		feature("tenants", 0, false),
	}, nil
}

func (b *box) systemView() view {
	release := strings.Join([]string{"infinibox", b.w.opt.Version}, "-")
	return view{
		"id": int64(0), "name": b.title, "serial_number": b.serial, "version": b.w.opt.Version,
		"model": "F6000-SIMULATED", "model_short_name": "F6000", "model_long_name": "InfiniBox F6000 (simulated)",
		"product_id": "INFINIBOX", "deployment_id": b.title, "wwnn": "5742b0f000000000", "uptime": int64(0),
		"install_timestamp":        int64(0),
		"install_timezone":         "UTC",
		"release":                  view{"system": view{"revision": release, "version": b.w.opt.Version}},
		"operational_state":        view{"state": "ACTIVE", "read_only_system": false, "mode": "ACTIVE", "description": "System is active", "init_state": nil},
		"health_state":             view{"active_drives": int64(0), "failed_drives": int64(0), "bbu_charge_level": nil},
		"localtime":                b.now(),
		"system_power_consumption": int64(0),
		"security":                 view{"encryption_enabled": false, "system_security_state": "CLEAR"},
		"capacity":                 b.capacity(),
		"entity_counts":            b.counts(),
		"mgmt_public_certificate":  nil,
	}
}

func (b *box) counts() view {
	var volumes, filesystems, snapshots, fsSnapshots int64
	for _, d := range b.datasets {
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
		"pools": int64(len(b.pools)), "volumes": volumes, "volume_snapshots": snapshots, "filesystems": filesystems,
		"filesystem_snapshots": fsSnapshots, "cons_groups": int64(len(b.groups)), "links": int64(len(b.links)), "replicas": int64(len(b.replicas)),
		"network_spaces": int64(len(b.spaces)), "hosts": int64(0), "clusters": int64(0),
	}
}

func getSystem(r *request) (any, *apiError) { return r.box.systemView(), nil }

func getSystemField(r *request) (any, *apiError) {
	v, ok := r.box.systemView()[r.segment]
	if !ok {
		return nil, fail(404, "SIM_UNKNOWN_PATH", "there is no /api/rest/system/%s", r.segment)
	}
	return v, nil
}

func putSystemName(r *request) (any, *apiError) {
	var name string
	if parseValue(r.body, &name) != nil {
		return nil, invalid("system name: expected a JSON string, got %s", r.body)
	}
	if err := checkName("system", name); err != nil {
		return nil, err
	}
	r.box.title = name
	return name, nil
}
