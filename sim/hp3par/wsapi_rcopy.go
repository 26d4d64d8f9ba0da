package hp3par

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

func apiRoutes() []route {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return append(objectRoutes(),
		route{method: get, path: "remotecopy", handle: getRemoteCopy},
		route{method: get, path: "remotecopygroups", handle: listGroups},
		route{method: post, path: "remotecopygroups", writes: true, handle: postGroup},
		route{method: get, path: "remotecopygroups/*", handle: getGroup},
		route{method: put, path: "remotecopygroups/*", writes: true, handle: putGroup},
		route{method: post, path: "remotecopygroups/*", writes: true, handle: postDirection},
		route{method: del, path: "remotecopygroups/*", query: []string{"keepSnap"}, writes: true, handle: deleteGroup},
		route{method: get, path: "remotecopygroups/*/volumes", handle: listMembers},
		route{method: post, path: "remotecopygroups/*/volumes", writes: true, handle: postMember},
		route{method: get, path: "remotecopygroups/*/volumes/*", handle: getMember},
		route{method: del, path: "remotecopygroups/*/volumes/*", query: []string{"keepSnap", "removeSecondaryVolume"}, writes: true, handle: deleteMember},
		route{method: get, path: "remotecopygroups/*/targets", handle: listGroupTargets},
		route{method: get, path: "remotecopygroups/*/targets/*", handle: getGroupTarget},
		route{method: get, path: "remotecopytargets", handle: listTargets},
		route{method: get, path: "remotecopytargets/*", handle: getTarget},
		route{method: put, path: "remotecopytargets/*", writes: true, handle: putTarget},
		route{method: get, path: "remotecopylinks", handle: listLinks},
		route{method: get, path: "remotecopylinks/*", handle: getLink},
	)
}

func ok(body any) (reply, *opError) { return reply{status: http.StatusOK, body: body}, nil }

// done is an answer without body, or the refusal.
func done(status int, err *opError) (reply, *opError) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: status}, nil
}

func members[T any](list []T) (reply, *opError) {
	if list == nil {
		list = []T{}
	}
	return ok(map[string]any{"total": len(list), "members": list})
}

type object = map[string]any

func getRemoteCopy(c *call) (reply, *opError) {
	if !c.a.licensed("Remote Copy") {
		return reply{}, errUnlicensed("Remote Copy")
	}
	return ok(object{"mode": 2, "status": 1, "asyncEnabled": false})
}

var stateNumbers = map[status]int{statusNew: 1, statusStarting: 2, statusStarted: 3, statusStopped: 5, statusFailsafe: 7}

var syncNumbers = map[syncStatus]int{syncNew: 1, syncSyncing: 2, syncSynced: 3, syncNotSynced: 4, syncStopped: 6}

// roleNumber is the role as the WSAPI shows it; see the fault role_numbers.
func (m *machine) roleNumber(g *group) int {
	n := int(g.role)
	if f, ok := m.faults.Active(g.array.name, "role_numbers"); ok && f.Text() == "number" && g.reversed() {
		n += 2
	}
	return n
}

func (m *machine) groupObject(g *group) object {
	o := object{"name": g.name, "id": g.id, "role": m.roleNumber(g), "domain": g.domain, "localUserCPG": g.userCPG,
		"targets": m.groupTargets(g), "volumes": m.groupVolumes(g)}
	if p := g.peer(); p != nil {
		o["remoteGroupName"] = p.name
	}
	if g.array.profile.snapCPG {
		o["localSnapCPG"] = g.snapCPG
	}
	for _, key := range []string{"domain", "localUserCPG", "localSnapCPG"} {
		if o[key] == "" {
			delete(o, key)
		}
	}
	return o
}

func (m *machine) groupTargets(g *group) []object {
	peer := g.peer()
	if peer == nil {
		return []object{}
	}
	t := object{
		"targetName": peer.array.name, "mode": int(g.pair.mode), "state": stateNumbers[g.status], "roleReversed": g.reversed(),
		"policies": object{
			"autoRecover": g.policies["auto_recover"], "overPeriodAlert": g.policies["over_per_alert"],
			"autoFailover": g.policies["auto_failover"], "pathManagement": g.policies["path_management"],
		},
	}
	if peer.userCPG != "" {
		t["remoteUserCPG"] = peer.userCPG
	}
	if g.pair.mode == modePeriodic && g.pair.period > 0 {
		t["syncPeriod"] = int(g.pair.period / time.Second)
	}
	if g.role == primary && !g.pair.mode.mirrored() && !g.pair.lastSync.IsZero() {
		t["groupLastSyncTime"] = m.apiTime(g.array, g.pair.lastSync)
	}
	return []object{t}
}

func (m *machine) groupVolumes(g *group) []object {
	list := []object{}
	for _, mem := range g.pair.members {
		list = append(list, m.memberObject(g, mem))
	}
	return list
}

func (m *machine) memberObject(g *group, mem *member) object {
	local, remote := mem.vols[g.array.index], mem.vols[1-g.array.index]
	r := object{"targetName": m.peer(g.array).name, "remoteVolumeName": remote.name, "remoteVolumeID": remote.id, "syncStatus": syncNumbers[mem.sync]}
	if m.lastSyncText(g, mem) != "NA" {
		r["volumeLastSyncTime"] = m.apiTime(g.array, mem.last)
		r["volumeLastSyncTimeSec"] = m.arrayTime(g.array, mem.last).Unix()
	}
	return object{"localVolumeName": local.name, "localVolumeID": local.id, "remoteVolumes": []object{r}}
}

func (c *call) group() (*group, *opError) { return c.m.group(c.a, c.args[0]) }

func listGroups(c *call) (reply, *opError) {
	var list []object
	for _, g := range sortedGroups(c.a) {
		list = append(list, c.m.groupObject(g))
	}
	return members(list)
}

func getGroup(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	return ok(c.m.groupObject(g))
}

func listMembers(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	return members(c.m.groupVolumes(g))
}

func getMember(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	mem := g.pair.member(c.a.index, c.args[1])
	if mem == nil {
		return reply{}, errVolumeNotInGroup(c.args[1], g.name)
	}
	return ok(c.m.memberObject(g, mem))
}

func listGroupTargets(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	return members(c.m.groupTargets(g))
}

func getGroupTarget(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	if g.peer() == nil || c.args[1] != c.m.peer(c.a).name {
		return reply{}, errInvalidTarget(c.args[1], g.name)
	}
	return ok(c.m.groupTargets(g)[0])
}

func postGroup(c *call) (reply, *opError) {
	var in struct {
		Name         string  `json:"name"`
		Domain       string  `json:"domain"`
		LocalUserCPG string  `json:"localUserCPG"`
		LocalSnapCPG *string `json:"localSnapCPG"`
		Targets      []struct {
			TargetName string  `json:"targetName"`
			Mode       int     `json:"mode"`
			UserCPG    string  `json:"userCPG"`
			SnapCPG    *string `json:"snapCPG"`
		} `json:"targets"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	switch {
	case in.Name == "":
		return reply{}, errMissing("name")
	case len(in.Targets) == 0:
		return reply{}, errMissing("targets")
	case len(in.Targets) > 1:
		return reply{}, errNotSimulated("a group with several targets")
	}
	t := in.Targets[0]
	if (in.LocalSnapCPG != nil || t.SnapCPG != nil) && !c.a.profile.snapCPG {
		return reply{}, errInput("snapCPG", "invalid input: unknown parameter snapCPG")
	}
	md, err := apiMode(t.Mode)
	if err != nil {
		return reply{}, err
	}
	_, err = c.m.createGroup(c.a, groupSpec{
		name: in.Name, target: t.TargetName, domain: in.Domain, mode: md,
		userCPG: in.LocalUserCPG, snapCPG: text(in.LocalSnapCPG), remoteUserCPG: t.UserCPG, remoteSnapCPG: text(t.SnapCPG),
	})
	out, err := done(http.StatusCreated, err)
	out.location = "/api/v1/remotecopygroups/" + url.PathEscape(in.Name)
	return out, err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func apiMode(n int) (mode, *opError) {
	switch n {
	case 1:
		return modeSync, nil
	case 2, 3:
		return modePeriodic, nil
	case 4:
		return modeAsync, nil
	case 0:
		return 0, errMissing("mode")
	}
	return 0, errEnum("mode", n)
}

func deleteGroup(c *call) (reply, *opError) {
	g, err := c.group()
	if err != nil {
		return reply{}, err
	}
	if v := c.query.Get("keepSnap"); c.query.Has("keepSnap") && v != "true" && v != "false" {
		return reply{}, errInput("keepSnap", "invalid input: keepSnap must be true or false")
	}
	return done(http.StatusAccepted, c.m.removeGroup(g, false))
}

func targetNumber(status string) int {
	return map[string]int{"ready": 3, "failing": 4, "failed": 5}[status]
}

func (c *call) target() object {
	peer := c.m.peer(c.a)
	return object{"id": c.a.targetID, "name": peer.name, "type": 2, "state": targetNumber(c.m.targetStatus(c.a)),
		"policies": object{"mirrorConfig": c.a.mirror}}
}

func listTargets(c *call) (reply, *opError) { return members([]object{c.target()}) }

func getTarget(c *call) (reply, *opError) {
	if c.args[0] != c.m.peer(c.a).name {
		return reply{}, refuse(9023, 404, "target %s does not exist", c.args[0])
	}
	return ok(c.target())
}

func putTarget(c *call) (reply, *opError) {
	var in struct {
		Policies *struct {
			MirrorConfig *bool `json:"mirrorConfig"`
		} `json:"policies"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if c.args[0] != c.m.peer(c.a).name {
		return reply{}, refuse(9023, 404, "target %s does not exist", c.args[0])
	}
	if in.Policies == nil || in.Policies.MirrorConfig == nil {
		return reply{}, errMissing("policies")
	}
	c.a.mirror = *in.Policies.MirrorConfig
	return done(http.StatusOK, nil)
}

func (c *call) linkObjects() []object {
	peer, state := c.m.peer(c.a), 1
	if !c.m.linked {
		state = 2
	}
	var list []object
	for _, l := range c.a.links {
		list = append(list, object{"name": l.name(peer.name), "targetName": peer.name, "sourceNSP": l.node,
			"node": strconv.Itoa(int(l.node[0] - '0')), "address": l.peerAddress, "status": state})
	}
	return list
}

func listLinks(c *call) (reply, *opError) { return members(c.linkObjects()) }

func getLink(c *call) (reply, *opError) {
	for _, l := range c.linkObjects() {
		if l["name"] == c.args[0] {
			return ok(l)
		}
	}
	return reply{}, refuse(9028, 404, "link %s does not exist", c.args[0])
}
