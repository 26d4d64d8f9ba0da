package hp3par

import (
	"fmt"
	"slices"
	"time"
)

const (
	mib        = int64(1) << 20
	minVolume  = 256 * mib
	maxVolume  = 16777216 * mib
	maxLUN     = 16383
	maxVolumes = 65536
	maxComment = 511
)

type volumeSpec struct {
	name, cpg, snapCPG, prov, wwn, comment string
	size                                   int64
	compress                               bool
}

func (m *machine) createVolume(a *array, s volumeSpec) (*volume, *opError) {
	switch {
	case !validName(s.name):
		return nil, &opError{code: 69, http: 400, desc: fmt.Sprintf("invalid input: illegal character in volume name %q", s.name), ref: "name"}
	case len(s.name) > maxVolumeName:
		return nil, errTooLong("volume", s.name, maxVolumeName)
	case a.volumes[s.name] != nil:
		return nil, errVolumeExists(s.name)
	case a.cpg(s.cpg) == nil:
		return nil, errCPGMissing(s.cpg)
	case s.snapCPG != "" && a.cpg(s.snapCPG) == nil:
		return nil, errCPGMissing(s.snapCPG)
	case s.compress && s.prov != "tpvv" && s.prov != "tdvv":
		return nil, errInput("compression", "invalid input: compression needs a thin volume")
	case s.size < minVolume:
		return nil, &opError{code: 115, http: 400, desc: "invalid input: below range (at least 256 MiB)", ref: "sizeMiB"}
	case s.size > maxVolume:
		return nil, refuse(28, 400, "invalid input: too large")
	case len(a.volumes) >= maxVolumes:
		return nil, refuse(9025, 403, "too many volumes")
	}
	data, err := m.newContent(a, s.name, s.size)
	if err != nil {
		return nil, refuse(9098, 500, "%v", err)
	}
	a.nextVV++
	v := &volume{
		id: a.nextVV, name: s.name, size: s.size, userCPG: s.cpg, snapCPG: s.snapCPG, prov: s.prov, wwn: s.wwn,
		comment: s.comment, compress: s.compress, created: m.now, data: data,
	}
	if v.prov == "" {
		v.prov = "full"
	}
	if v.wwn == "" {
		v.wwn = newWWN(a, v.id)
	}
	a.volumes[v.name] = v
	return v, nil
}

// newWWN is an NAA 6 identifier with HPE's OUI, like 60002AC0000000000000797A00003039.
func newWWN(a *array, id int) string { return fmt.Sprintf("60002AC000000000%08X%08X", id, a.systemID) }

func (a *array) exported(vol string) bool {
	return slices.ContainsFunc(a.vluns, func(x *vlun) bool { return x.volume == vol })
}

func (a *array) snapshotsOf(vol string) []*volume {
	var out []*volume
	for _, v := range a.volumes {
		if v.copyOf == vol {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(x, y *volume) int { return x.id - y.id })
	return out
}

func (m *machine) removeVolume(a *array, name string) *opError {
	v := a.volumes[name]
	switch {
	case v == nil:
		return errVolumeMissing(name)
	case v.group != nil:
		return errVolumeInRcopy(name)
	case a.exported(name):
		return refuse(26, 403, "volume %s is exported", name)
	case len(a.snapshotsOf(name)) > 0:
		return refuse(32, 409, "volume %s has a child", name)
	case slices.ContainsFunc(sortedSets(a), func(s *volumeSet) bool { return slices.Contains(s.members, name) }):
		return refuse(34, 409, "volume %s is in a volume set", name)
	}
	m.dropVolume(a, v)
	return nil
}

func (m *machine) dropVolume(a *array, v *volume) {
	delete(a.volumes, v.name)
	if err := v.data.Remove(); err != nil {
		m.violate("remove %s: %v", v.name, err)
	}
}

func (m *machine) growVolume(a *array, name string, by int64) *opError {
	v := a.volumes[name]
	switch {
	case v == nil:
		return errVolumeMissing(name)
	case v.group != nil && (v.group.status == statusStarted || v.group.status == statusStarting):
		return errGroupStarted(v.group.name)
	case by <= 0 || v.size+by > maxVolume:
		return &opError{code: 152, http: 400, desc: "invalid input: volume size", ref: "sizeMiB"}
	}
	v.size += by
	if f, ok := v.data.(*file); ok {
		f.size = v.size
	}
	return nil
}

// snapshot makes a virtual copy of a volume.
func (m *machine) snapshot(a *array, of, name string, readOnly bool, expires time.Duration) *opError {
	v := a.volumes[of]
	switch {
	case !a.licensed("Virtual Copy"):
		return errUnlicensed("Virtual Copy")
	case v == nil:
		return errVolumeMissing(of)
	case a.volumes[name] != nil:
		return errVolumeExists(name)
	case !validName(name):
		return &opError{code: 69, http: 400, desc: fmt.Sprintf("invalid input: illegal character in volume name %q", name), ref: "name"}
	case len(name) > maxVolumeName:
		return errTooLong("volume", name, maxVolumeName)
	}
	data, err := v.data.Snapshot()
	if err != nil {
		return refuse(9098, 500, "%v", err)
	}
	a.nextVV++
	s := &volume{
		id: a.nextVV, name: name, size: v.size, userCPG: v.userCPG, snapCPG: v.snapCPG, prov: "snp", copyOf: of,
		readOnly: readOnly, created: m.now, data: data, wwn: newWWN(a, a.nextVV),
	}
	if expires > 0 {
		s.expires = m.now.Add(expires)
	}
	a.volumes[name] = s
	return nil
}

// update refreshes snapshots with the present content of their parents. All
// names are checked before anything is changed.
func (m *machine) update(a *array, names []string) *opError {
	if !a.licensed("Virtual Copy") {
		return errUnlicensed("Virtual Copy")
	}
	for _, n := range names {
		v := a.volumes[n]
		switch {
		case v == nil:
			return errVolumeMissing(n)
		case v.prov != "snp":
			return refuse(9026, 400, "volume %s is not a snapshot", n)
		case a.exported(n):
			return refuse(26, 403, "volume %s is exported", n)
		case a.volumes[v.copyOf] == nil:
			return errVolumeMissing(v.copyOf)
		}
	}
	for _, n := range names {
		v := a.volumes[n]
		data, err := a.volumes[v.copyOf].data.Snapshot()
		if err != nil {
			return refuse(9098, 500, "%v", err)
		}
		v.data, v.created = data, m.now
	}
	return nil
}

// export makes a volume visible to a host. lun -1 lets the array choose.
func (m *machine) export(a *array, vol, toHost string, lun int) (*vlun, *opError) {
	v := a.volumes[vol]
	switch {
	case v == nil:
		return nil, errVolumeMissing(vol)
	case a.hosts[toHost] == nil:
		return nil, errHostMissing(toHost)
	case lun > maxLUN:
		return nil, &opError{code: 43, http: 400, desc: "invalid input: exceeds range", ref: "lun"}
	}
	used := map[int]bool{}
	for _, x := range a.vluns {
		if x.host == toHost {
			used[x.lun] = true
		}
		if x.host == toHost && x.volume == vol && (lun == x.lun || lun < 0) {
			return nil, refuse(20, 409, "VLUN %s,%d,%s already exists", vol, x.lun, toHost)
		}
	}
	if lun < 0 {
		for lun = 0; used[lun]; lun++ {
		}
	} else if used[lun] {
		return nil, refuse(20, 409, "lun %d is in use for host %s", lun, toHost)
	}
	x := &vlun{lun: lun, volume: vol, host: toHost}
	a.vluns = append(a.vluns, x)
	return x, nil
}

func (m *machine) unexport(a *array, vol string, lun int, fromHost string) *opError {
	before := len(a.vluns)
	a.vluns = slices.DeleteFunc(a.vluns, func(x *vlun) bool {
		return x.volume == vol && x.lun == lun && (fromHost == "" || x.host == fromHost)
	})
	if len(a.vluns) == before {
		return refuse(19, 404, "VLUN %s,%d,%s does not exist", vol, lun, fromHost)
	}
	return nil
}

func sortedSets(a *array) []*volumeSet {
	out := make([]*volumeSet, 0, len(a.sets))
	for _, s := range a.sets {
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y *volumeSet) int {
		if x.name < y.name {
			return -1
		}
		return 1
	})
	return out
}

func sortedVolumes(a *array) []*volume {
	out := make([]*volume, 0, len(a.volumes))
	for _, v := range a.volumes {
		out = append(out, v)
	}
	slices.SortFunc(out, func(x, y *volume) int { return x.id - y.id })
	return out
}

func sortedGroups(a *array) []*group {
	out := make([]*group, 0, len(a.groups))
	for _, g := range a.groups {
		out = append(out, g)
	}
	slices.SortFunc(out, func(x, y *group) int { return x.id - y.id })
	return out
}
