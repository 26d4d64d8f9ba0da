package lvmfake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func number(s string) (int64, bool) {
	unit := int64(1)
	switch {
	case strings.HasSuffix(s, "s"):
		unit = sector
	case !strings.HasSuffix(s, "b"):
		return 0, false
	}
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
	return n * unit, err == nil && n > 0
}

func (m *Machine) operand(a arguments) (*volume, error) {
	if len(a.rest) != 1 {
		return nil, exitStatus{3, "one volume, please"}
	}
	vg, name, _ := strings.Cut(a.rest[0], "/")
	if v := m.lookup(vg, name); v != nil {
		return v, nil
	}
	return nil, failed("  Failed to find logical volume \"%s\"", a.rest[0])
}

func (m *Machine) lvcreate(a arguments) error {
	origin, err := m.operand(a)
	if err != nil {
		return err
	}
	name := a.get("--name")
	size, ok := number(a.get("--size"))
	if !ok || !a.has("--snapshot") || name == "" {
		return exitStatus{3, "  Invalid argument for --size: " + a.get("--size")}
	}
	chunk := int64(4096)
	if c := a.get("--chunksize"); c != "" {
		if chunk, ok = number(c); !ok {
			return exitStatus{3, "  Invalid argument for --chunksize: " + c}
		}
	}
	if m.lookup(origin.vg.name, name) != nil {
		return failed("  Logical Volume \"%s\" already exists in volume group \"%s\"", name, origin.vg.name)
	}
	if origin.origin != nil {
		return failed("  Snapshots of snapshots are not supported.")
	}
	chunks := roundUp(origin.size, chunk) / chunk
	largest := roundUp((1+chunks+roundUp(chunks, chunk/16)/(chunk/16))*chunk, ExtentSize)
	size = min(roundUp(size, ExtentSize), largest)
	if size > origin.vg.free() {
		return failed("  Volume group \"%s\" has insufficient free space (%d extents): %d required.",
			origin.vg.name, origin.vg.free()/ExtentSize, size/ExtentSize)
	}
	return m.create(origin, name, size, chunk, a.get("--permission") == "r", a.flags["--addtag"])
}

// create is lvcreate -s, step by step.
func (m *Machine) create(origin *volume, name string, size, chunk int64, readonly bool, tags []string) error {
	var v *volume
	active := m.devices[origin.dmName()]
	return m.steps(
		func() error {
			v = m.addVolume(origin.vg, name, size)
			v.readonly, v.tags, v.chunk = readonly, slices.Clone(tags), chunk
			return nil
		},
		func() error {
			// LVM activates the plain volume, zeroes its start and deactivates it.
			return v.data.ZeroAt(0, min(size, 4096))
		},
		func() error {
			if active == nil {
				return nil
			}
			return m.preload(origin, v)
		},
		func() error {
			if active != nil {
				active.suspended = true
			}
			return nil
		},
		func() error {
			v.origin, v.originSize = origin, origin.size
			return nil
		},
		func() error {
			if active == nil {
				return nil
			}
			for _, d := range []*device{m.devices[origin.dmName()+"-real"], m.devices[v.dmName()+"-cow"], m.devices[v.dmName()], active} {
				m.resume(d)
			}
			return nil
		},
	)
}

func (m *Machine) lvremove(a arguments) error {
	uuid, ok := strings.CutPrefix(a.get("--select"), "lv_uuid=")
	if !ok || len(a.rest) != 1 {
		return exitStatus{3, "unrecognised selection field"}
	}
	g := m.groups[a.rest[0]]
	if g == nil {
		return failed("  Volume group \"%s\" not found", a.rest[0])
	}
	i := slices.IndexFunc(g.volumes, func(v *volume) bool { return v.uuid == uuid })
	if i < 0 {
		return nil // a selection that selects nothing is success
	}
	v := g.volumes[i]
	if len(v.snapshots()) > 0 {
		return failed("  Logical volume %s/%s has snapshots; remove them first.", g.name, v.name)
	}
	if d := m.devices[v.dmName()]; d != nil && d.handles > 0 {
		return failed("  Logical volume %s/%s contains a filesystem in use.", g.name, v.name)
	}
	return m.steps(
		func() error { return m.unsnap(v) },
		func() error { return m.takeDown(v) },
		func() error {
			g.volumes = slices.DeleteFunc(g.volumes, func(o *volume) bool { return o == v })
			return nil
		},
	)
}

// unsnap makes a snapshot a plain volume in the metadata, and the kernel forget it.
func (m *Machine) unsnap(v *volume) error {
	origin := v.origin
	if origin == nil {
		return nil
	}
	v.origin, v.store, v.merging = nil, nil, false
	delete(m.devices, v.dmName())
	if d := m.devices[origin.dmName()]; d != nil && len(origin.snapshots()) == 0 {
		d.live, d.inactive, d.suspended = &table{kind: "linear", vol: origin}, nil, false
		m.resumed.Broadcast()
		if real := m.devices[origin.dmName()+"-real"]; real != nil && m.opens(real) == 0 {
			delete(m.devices, real.name)
		}
	}
	return nil
}

// takeDown deactivates a plain volume or what is left of a snapshot. A store that is open stays, as an orphan.
func (m *Machine) takeDown(v *volume) error {
	if cow := m.devices[v.dmName()+"-cow"]; cow != nil && cow.uuid == v.dmUUID("-cow") {
		if m.opens(cow) > 0 {
			return failed("  Unable to deactivate %s (254:%d).\n  Unable to deactivate logical volume %s/%s.", cow.name, cow.minor, v.vg.name, v.name)
		}
		delete(m.devices, cow.name)
	}
	delete(m.devices, v.dmName())
	return nil
}

func (m *Machine) lvrename(a arguments) error {
	if len(a.rest) != 3 {
		return exitStatus{3, "  Old and new logical volume names required"}
	}
	v := m.lookup(a.rest[0], a.rest[1])
	switch {
	case a.rest[1] == a.rest[2]:
		return exitStatus{3, "  Old and new logical volume names must differ"}
	case v == nil:
		return failed("  Existing logical volume \"%s\" not found in volume group \"%s\"", a.rest[1], a.rest[0])
	case m.lookup(a.rest[0], a.rest[2]) != nil:
		return failed("  Logical Volume \"%s\" already exists in volume group \"%s\"", a.rest[2], a.rest[0])
	}
	return m.steps(func() error {
		old := v.dmName()
		v.name = a.rest[2]
		for _, layer := range []string{"", "-cow", "-real"} {
			if d := m.devices[old+layer]; d != nil && d.uuid == v.dmUUID(layer) {
				delete(m.devices, d.name)
				d.name = v.dmName() + layer
				m.devices[d.name] = d
			}
		}
		return nil
	})
}

func (m *Machine) lvchange(a arguments) error {
	v, err := m.operand(a)
	if err != nil {
		return err
	}
	if p := a.get("--permission"); p != "" && (p == "r") == v.readonly {
		return failed("  Logical volume \"%s/%s\" is already %s.", v.vg.name, v.name, map[bool]string{true: "read only", false: "writable"}[v.readonly])
	}
	return m.steps(func() error {
		if p := a.get("--permission"); p != "" {
			v.readonly = p == "r"
			if d := m.devices[v.dmName()]; d != nil {
				d.readonly = v.readonly
			}
		}
		for _, t := range a.flags["--deltag"] {
			v.tags = slices.DeleteFunc(v.tags, func(o string) bool { return o == t })
		}
		for _, t := range a.flags["--addtag"] {
			if !slices.Contains(v.tags, t) {
				v.tags = append(v.tags, t)
			}
		}
		if s := a.get("--setactivationskip"); s != "" {
			v.skip = s == "y"
		}
		switch a.get("--activate") {
		case "y":
			if !v.skip || a.has("--ignoreactivationskip") {
				m.activate(v)
			}
		case "n":
			return m.deactivate(v)
		}
		return nil
	})
}

func (m *Machine) lvextend(a arguments) error {
	v, err := m.operand(a)
	if err != nil {
		return err
	}
	size, ok := number(a.get("--size"))
	size = roundUp(size, ExtentSize)
	switch {
	case !ok:
		return exitStatus{3, "  Invalid argument for --size"}
	case size == v.size:
		return failed("  New size (%d extents) matches existing size (%d extents).", size/ExtentSize, size/ExtentSize)
	case size < v.size:
		return failed("  New size given (%d extents) not larger than existing size", size/ExtentSize)
	case size-v.size > v.vg.free():
		return failed("  Insufficient free space: %d extents needed, but only %d available", (size-v.size)/ExtentSize, v.vg.free()/ExtentSize)
	case len(v.snapshots()) > 0 && m.devices[v.dmName()] != nil:
		return failed("  Snapshot origin volumes can be resized only while inactive: try lvchange -an.")
	}
	return m.steps(func() error { return v.grow(size) })
}

// lvs prints the fields that it is asked for.
func (m *Machine) lvs(a arguments) (string, error) {
	var names []string
	for n := range m.groups {
		names = append(names, n)
	}
	slices.Sort(names)
	if len(a.rest) > 0 {
		if m.groups[a.rest[0]] == nil {
			return "", failed("  Volume group \"%s\" not found\n  Cannot process volume group %s", a.rest[0], a.rest[0])
		}
		names = a.rest[:1]
	}
	rows := []map[string]string{}
	for _, n := range names {
		volumes := slices.Clone(m.groups[n].volumes)
		slices.SortFunc(volumes, func(a, b *volume) int { return strings.Compare(a.name, b.name) })
		for _, v := range volumes {
			full := m.row(v)
			row := map[string]string{}
			for _, f := range strings.Split(a.get("--options"), ",") {
				val, ok := full[f]
				if !ok {
					return "", exitStatus{3, "  Unrecognised field: " + f}
				}
				row[f] = val
			}
			rows = append(rows, row)
		}
	}
	out, err := json.Marshal(map[string]any{"report": []any{map[string]any{"lv": rows}}})
	return string(out), err
}

func (m *Machine) row(v *volume) map[string]string {
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	d := m.devices[v.dmName()]
	r := map[string]string{
		"lv_name": v.name, "vg_name": v.vg.name, "lv_uuid": v.uuid, "vg_uuid": v.vg.uuid,
		"lv_path": "/dev/" + v.vg.name + "/" + v.name, "lv_dm_path": "/dev/mapper/" + v.dmName(), "lv_attr": m.attr(v, d),
		"origin": "", "origin_uuid": "", "lv_size": n(v.size), "origin_size": "", "snap_percent": "", "chunk_size": "0",
		"lv_tags": strings.Join(v.tags, ","), "lv_time": v.created.Format("2006-01-02 15:04:05 -0700"), "lv_role": "public",
		"pool_lv": "", "thin_id": "", "lv_suspended": "", "lv_inactive_table": "", "vg_extent_size": n(ExtentSize), "vg_free": n(v.vg.free()),
	}
	if v.merging && v.origin != nil {
		r["lv_name"], r["lv_path"] = "["+v.name+"]", ""
	}
	if v.origin != nil {
		r["origin"], r["origin_uuid"] = v.origin.name, v.origin.uuid
		r["origin_size"], r["chunk_size"] = n(v.originSize), n(v.chunk)
		r["lv_role"] = "public,snapshot,thicksnapshot"
		if d != nil && v.store != nil {
			r["snap_percent"] = v.store.percent()
		}
	} else if len(v.snapshots()) > 0 {
		r["origin_size"], r["lv_role"] = n(v.size), "public,origin,thickorigin"
	}
	switch {
	case d == nil:
		r["lv_suspended"], r["lv_inactive_table"] = "unknown", "unknown"
	default:
		if d.suspended {
			r["lv_suspended"] = "suspended"
		}
		if d.inactive != nil {
			r["lv_inactive_table"] = "inactive table present"
		}
	}
	return r
}

func (m *Machine) attr(v *volume, d *device) string {
	kind, perm, state, open, target, skip := byte('-'), byte('w'), byte('-'), byte('-'), byte('-'), byte('-')
	switch {
	case v.origin != nil:
		kind, target = 's', 's'
		if v.merging {
			kind = 'S'
		}
	case len(v.snapshots()) > 0:
		kind, target = 'o', 's'
		if slices.ContainsFunc(v.snapshots(), func(s *volume) bool { return s.merging }) {
			kind = 'O'
		}
	}
	if v.readonly {
		perm = 'r'
	}
	if v.skip {
		skip = 'k'
	}
	if d != nil {
		invalid := v.store != nil && v.store.invalid
		switch {
		case d.live == nil && d.inactive != nil:
			state = 'i'
		case d.live == nil:
			state = 'd'
		case invalid && d.suspended:
			state = 'S'
		case invalid:
			state = 'I'
		case d.suspended:
			state = 's'
		default:
			state = 'a'
		}
		if d.handles > 0 {
			open = 'o'
		}
	} else {
		target = '-'
	}
	return fmt.Sprintf("%c%ci-%c%c%c--%c", kind, perm, state, open, target, skip)
}
