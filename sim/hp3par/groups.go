package hp3par

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	minPeriod        = 300 * time.Second
	maxPeriod        = 31622400 * time.Second
	maxMirroredGroup = 22
	maxVolumeName    = 31
)

// groupSpec is what creating a group needs.
type groupSpec struct {
	name, target, domain         string
	mode                         mode
	userCPG, snapCPG             string // local
	remoteUserCPG, remoteSnapCPG string
}

func (m *machine) group(a *array, name string) (*group, *opError) {
	if g := a.groups[name]; g != nil {
		return g, nil
	}
	return nil, errGroupMissing(name)
}

// createGroup makes both sides of a group.
func (m *machine) createGroup(a *array, s groupSpec) (*group, *opError) {
	peer := m.peer(a)
	remote := fmt.Sprintf("%s.r%d", s.name, a.systemID)
	switch {
	case !a.licensed("Remote Copy"):
		return nil, errUnlicensed("Remote Copy")
	case !validName(s.name):
		return nil, errInput("name", "invalid group name %q", s.name)
	case len(s.name) > maxMirroredGroup:
		return nil, errTooLong("group", s.name, maxMirroredGroup)
	case a.groups[s.name] != nil:
		return nil, errGroupExists(s.name)
	case s.target != peer.name:
		return nil, errInvalidTarget(s.target, s.name)
	case !a.mirror:
		return nil, errNotSimulated("creating a group while mirror_config is off")
	case !m.linked:
		return nil, errTargetNotReady(s.target)
	case peer.groups[remote] != nil:
		return nil, errGroupExists(remote)
	}
	for _, c := range []struct {
		on   *array
		name string
	}{{a, s.userCPG}, {a, s.snapCPG}, {peer, s.remoteUserCPG}, {peer, s.remoteSnapCPG}} {
		if c.name != "" && c.on.cpg(c.name) == nil {
			return nil, errCPGMissing(c.name)
		}
	}
	p := &pair{creator: a.index, mode: s.mode, pointSide: noSide}
	here := &group{array: a, pair: p, name: s.name, role: primary, userCPG: s.userCPG, snapCPG: s.snapCPG, domain: s.domain}
	there := &group{array: peer, pair: p, name: remote, role: secondary, userCPG: s.remoteUserCPG, snapCPG: s.remoteSnapCPG, domain: s.domain}
	for _, g := range []*group{here, there} {
		g.natural, g.status, g.policies = g.role, statusNew, map[string]bool{}
		g.array.nextRCG++
		g.id = g.array.nextRCG
		p.sides[g.array.index] = g
		g.array.groups[g.name] = g
	}
	m.pairs = append(m.pairs, p)
	return here, nil
}

func validName(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '.' {
		return false
	}
	for _, c := range s {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

// removeGroup deletes the group: both sides under mirror_config, else this one.
func (m *machine) removeGroup(g *group, removeVolumes bool) *opError {
	a, peer := g.array, g.peer()
	if err := m.mayConfigure(g); err != nil {
		return err
	}
	if a.mirror && peer != nil {
		if peer.role == primary {
			return errInFailover(g.name)
		}
		if removeVolumes {
			m.removeSecondaries(g.pair)
		}
		m.forget(peer)
	}
	m.forget(g)
	return nil
}

// mayConfigure checks what every change of a group's make-up needs.
func (m *machine) mayConfigure(g *group) *opError {
	switch {
	case g.pair.op != nil:
		return errGroupBusy(g.name)
	case g.status == statusStarted || g.status == statusStarting:
		return errGroupStarted(g.name)
	case g.array.mirror && g.role != primary:
		return errOnlyPrimary(g.name)
	case g.array.mirror && g.peer() != nil && !m.linked:
		return errTargetNotReady(m.peer(g.array).name)
	}
	return nil
}

func (m *machine) forget(g *group) {
	p := g.pair
	m.interrupt(p)
	for _, mem := range p.members {
		if v := mem.vols[g.array.index]; v != nil {
			v.group = nil
		}
	}
	delete(g.array.groups, g.name)
	p.sides[g.array.index] = nil
	if p.sides[1-g.array.index] == nil {
		m.pairs = slices.DeleteFunc(m.pairs, func(q *pair) bool { return q == p })
	}
}

func (m *machine) removeSecondaries(p *pair) {
	for _, mem := range p.members {
		m.removeSecondary(p, mem)
	}
}

func (m *machine) removeSecondary(p *pair, mem *member) {
	sec := p.sides[1-p.sender().array.index]
	if sec == nil {
		return
	}
	v := mem.vols[sec.array.index]
	v.group = nil
	m.dropVolume(sec.array, v)
}

// admission is what adding a volume to a group needs.
type admission struct {
	volume, target, secondary string
	create, noSync            bool
	snapshot                  string
}

func (m *machine) admit(g *group, in admission) *opError {
	if err := m.mayConfigure(g); err != nil {
		return err
	}
	a, peer := g.array, m.peer(g.array)
	v := a.volumes[in.volume]
	switch {
	case in.target != peer.name || g.peer() == nil:
		return errInvalidTarget(in.target, g.name)
	case !a.mirror:
		return errNotSimulated("admitting a volume while mirror_config is off")
	case v == nil:
		return errVolumeMissing(in.volume)
	case v.group != nil:
		return errVolumeInGroup(v.name, v.group.name)
	case v.prov == "snp":
		return errNotSimulated("replicating a snapshot")
	case in.create && in.snapshot != "":
		return errConflict("volumeAutoCreation")
	case in.snapshot != "" && (a.volumes[in.snapshot] == nil || a.volumes[in.snapshot].copyOf != v.name):
		return errVolumeMissing(in.snapshot)
	}
	sec, err := m.secondaryVolume(g, v, in)
	if err != nil {
		return err
	}
	mem := &member{sync: syncNew}
	mem.vols[a.index], mem.vols[peer.index] = v, sec
	v.group, sec.group = g, g.peer()
	g.pair.members = append(g.pair.members, mem)
	g.pair.point, g.pair.pointSide = "", noSide
	return nil
}

// secondaryVolume finds or creates the volume that receives v's content.
func (m *machine) secondaryVolume(g *group, v *volume, in admission) (*volume, *opError) {
	peer := g.peer()
	sec := peer.array.volumes[in.secondary]
	if in.create {
		switch {
		case sec != nil:
			return nil, errVolumeExists(in.secondary)
		case peer.userCPG == "":
			return nil, refuse(9018, 403, "No CPG has been defined for group %s on target %s", g.name, peer.array.name)
		}
		return m.createVolume(peer.array, volumeSpec{
			name: in.secondary, cpg: peer.userCPG, snapCPG: peer.snapCPG, size: v.size, prov: v.prov, wwn: v.wwn, compress: v.compress,
		})
	}
	switch {
	case sec == nil:
		return nil, errVolumeMissing(in.secondary)
	case sec.group != nil:
		return nil, errVolumeInGroup(sec.name, sec.group.name)
	case sec.size != v.size:
		return nil, errSizeMismatch(v.name, sec.name)
	case peer.array.exported(sec.name):
		return nil, refuse(26, 403, "volume %s is exported on target %s", sec.name, peer.array.name)
	}
	return sec, nil
}

// dismiss takes a volume out of its group.
func (m *machine) dismiss(g *group, vol string, keepSnap, removeSecondary bool) *opError {
	if keepSnap && removeSecondary {
		return errConflict("keepSnap")
	}
	if removeSecondary && !g.array.mirror {
		return errNotSimulated("removing a secondary volume while mirror_config is off")
	}
	if err := m.mayConfigure(g); err != nil {
		return err
	}
	mem := g.pair.member(g.array.index, vol)
	if mem == nil {
		return errVolumeNotInGroup(vol, g.name)
	}
	if removeSecondary && g.peer() != nil {
		m.removeSecondary(g.pair, mem)
	}
	for _, v := range mem.vols {
		v.group = nil
	}
	g.pair.members = slices.DeleteFunc(g.pair.members, func(x *member) bool { return x == mem })
	g.pair.point, g.pair.pointSide = "", noSide
	return nil
}

// setPeriod sets how often a periodic group is synchronised; 0 means never.
func (m *machine) setPeriod(g *group, target string, d time.Duration) *opError {
	if target != m.peer(g.array).name {
		return errInvalidTarget(target, g.name)
	}
	switch {
	case g.pair.mode == modeSync:
		return refuse(9019, 403, "Group %s: a synchronization period is not valid for synchronous groups", g.name)
	case d != 0 && d < minPeriod:
		return &opError{code: 115, http: 400, desc: "invalid input: below range (300..31622400 seconds)", ref: "syncPeriod"}
	case d > maxPeriod:
		return &opError{code: 43, http: 400, desc: "invalid input: exceeds range (300..31622400 seconds)", ref: "syncPeriod"}
	case g.array.mirror && g.role != primary:
		return errOnlyPrimary(g.name)
	}
	g.pair.period = d
	m.planNext(g.pair)
	return nil
}

// setPolicy sets or clears a group policy, on both sides under mirror_config.
func (m *machine) setPolicy(g *group, name string, on bool) *opError {
	switch {
	case !slices.Contains(groupPolicies, name):
		return errEnum("policies", name)
	case name == "active_active":
		return refuse(9020, 403, "Cannot remove active_active policy: Operation failed. The policy is not simulated")
	case (name == "auto_failover" || name == "path_management") && g.pair.mode != modeSync:
		return refuse(9021, 403, "Group %s: policy %s needs synchronous mode", g.name, name)
	}
	set := func(s *group) {
		if on {
			s.policies[name] = true
		} else {
			delete(s.policies, name)
		}
	}
	set(g)
	if peer := g.peer(); peer != nil && g.array.mirror && m.linked {
		set(peer)
	}
	return nil
}

// dismissTarget takes the (only) target away from a group.
func (m *machine) dismissTarget(g *group, target string) *opError {
	if target != m.peer(g.array).name || g.peer() == nil {
		return errInvalidTarget(target, g.name)
	}
	if err := m.mayConfigure(g); err != nil {
		return err
	}
	peer := g.peer()
	for _, mem := range g.pair.members {
		mem.vols[peer.array.index].group = nil
		mem.vols[g.array.index].group = nil
	}
	g.pair.members = nil
	delete(peer.array.groups, peer.name)
	g.pair.sides[peer.array.index] = nil
	return nil
}

// admitTarget gives a group without target one again.
func (m *machine) admitTarget(g *group, target string, md mode, volumes map[string]string) *opError {
	peer := m.peer(g.array)
	switch {
	case g.peer() != nil:
		return refuse(9022, 409, "Target is already in this group.")
	case target != peer.name:
		return refuse(9023, 404, "target %s does not exist", target)
	case !m.linked:
		return errTargetNotReady(target)
	}
	other := &group{array: peer, pair: g.pair, role: secondary, natural: secondary, status: statusNew, policies: maps.Clone(g.policies)}
	other.name = fmt.Sprintf("%s.r%d", g.name, g.array.systemID)
	if peer.groups[other.name] != nil {
		return errGroupExists(other.name)
	}
	peer.nextRCG++
	other.id = peer.nextRCG
	g.pair.sides[peer.index], g.pair.mode = other, md
	peer.groups[other.name] = other
	for _, v := range slices.Sorted(maps.Keys(volumes)) {
		if err := m.admit(g, admission{volume: v, target: target, secondary: volumes[v]}); err != nil {
			return err
		}
	}
	return nil
}
