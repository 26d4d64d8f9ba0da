package hp3par

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// objectRoutes are the resources besides Remote Copy.
func objectRoutes() []route {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	query := []string{"query"}
	return []route{
		{method: get, path: "system", handle: getSystem},
		{method: get, path: "wsapiconfiguration", handle: getConfiguration},
		{method: get, path: "capacity", handle: getCapacity},
		{method: get, path: "ports", handle: listPorts},
		{method: get, path: "users", handle: listUsers},
		{method: get, path: "users/*", handle: getUser},
		{method: get, path: "cpgs", handle: listCPGs},
		{method: get, path: "cpgs/*", handle: getCPG},
		{method: get, path: "tasks", handle: listTasks},
		{method: get, path: "tasks/*", handle: getTask},
		{method: get, path: "volumes", query: query, handle: listVolumes},
		{method: post, path: "volumes", writes: true, handle: postVolume},
		{method: get, path: "volumes/*", handle: getVolume},
		{method: put, path: "volumes/*", writes: true, handle: putVolume},
		{method: post, path: "volumes/*", writes: true, handle: postSnapshot},
		{method: del, path: "volumes/*", writes: true, handle: deleteVolume},
		{method: get, path: "volumesets", query: query, handle: listSets},
		{method: post, path: "volumesets", writes: true, handle: postSet},
		{method: get, path: "volumesets/*", handle: getSet},
		{method: put, path: "volumesets/*", writes: true, handle: putSet},
		{method: del, path: "volumesets/*", writes: true, handle: deleteSet},
		{method: get, path: "hosts", query: query, handle: listHosts},
		{method: post, path: "hosts", writes: true, handle: postHost},
		{method: get, path: "hosts/*", handle: getHost},
		{method: put, path: "hosts/*", writes: true, handle: putHost},
		{method: del, path: "hosts/*", writes: true, handle: deleteHost},
		{method: get, path: "vluns", query: query, handle: listVLUNs},
		{method: post, path: "vluns", writes: true, handle: postVLUN},
		{method: get, path: "vluns/*", handle: getVLUN},
		{method: del, path: "vluns/*", writes: true, handle: deleteVLUN},
	}
}

func getSystem(c *call) (reply, *opError) {
	licences := []object{}
	for _, l := range c.a.licences {
		licences = append(licences, object{"name": l})
	}
	used := (&cli{a: c.a}).usedMiB()
	return ok(object{
		"id": c.a.systemID, "name": c.a.name, "systemVersion": c.a.profile.release, "model": c.a.profile.model, "serialNumber": c.a.serial,
		"totalNodes": 2, "masterNode": 0, "onlineNodes": []int{0, 1}, "clusterNodes": []int{0, 1}, "chunkletSizeMiB": 1024,
		"totalCapacityMiB": totalMiB, "allocatedCapacityMiB": used, "freeCapacityMiB": totalMiB - used, "failedCapacityMiB": 0,
		"timeZone": c.m.location(c.a).String(), "licenseInfo": object{"licenseState": object{"generated": true}, "licenses": licences},
	})
}

func getConfiguration(c *call) (reply, *opError) {
	return ok(object{"version": fmt.Sprintf("1.%d.0", c.a.profile.wsapiMinor), "httpState": "Enabled", "httpsState": "Enabled",
		"sessionTimeout": int(sessionIdle / time.Minute)})
}

func getCapacity(c *call) (reply, *opError) {
	used := (&cli{a: c.a}).usedMiB()
	return ok(object{"allCapacity": object{"totalMiB": totalMiB, "freeMiB": totalMiB - used, "failedCapacityMiB": 0,
		"allocated": object{"totalAllocatedMiB": used, "volumes": object{"totalVolumesMiB": used, "CPGsMiB": used, "CPGUserMiB": used}}}})
}

func listPorts(c *call) (reply, *opError) {
	var list []object
	for n := range 2 {
		pos := object{"node": n, "slot": 1, "cardPort": 1}
		list = append(list,
			object{"portPos": pos, "mode": 2, "linkState": 4, "type": 1, "protocol": 1, "portWWN": fmt.Sprintf("2%d110002AC%06X", n, c.a.systemID)},
			object{"portPos": object{"node": n, "slot": 3, "cardPort": 1}, "mode": 4, "linkState": 4, "type": 7, "protocol": 4})
	}
	return members(list)
}

// userObject: role numbers are not public; the privilege list carries the name.
func userObject(name string, u *user) object {
	return object{"name": name, "domainPrivileges": []object{{"domain": "all", "role": u.role}}}
}

func listUsers(c *call) (reply, *opError) {
	var list []object
	for _, name := range slices.Sorted(maps.Keys(c.a.users)) {
		list = append(list, userObject(name, c.a.users[name]))
	}
	return members(list)
}

func getUser(c *call) (reply, *opError) {
	u := c.a.users[c.args[0]]
	if u == nil {
		return reply{}, refuse(9029, 404, "user %s does not exist", c.args[0])
	}
	return ok(userObject(c.args[0], u))
}

func listCPGs(c *call) (reply, *opError) {
	var list []object
	for _, p := range c.a.cpgs {
		list = append(list, c.cpgObject(p))
	}
	return members(list)
}

func (c *call) cpgObject(p *cpg) object {
	all, thin, used := 0, 0, int64(0)
	for _, v := range c.a.volumes {
		if v.userCPG == p.name {
			all, used = all+1, used+v.size/mib
			if v.prov == "tpvv" {
				thin++
			}
		}
	}
	return object{"id": p.id, "name": p.name, "numFPVVs": all - thin, "numTPVVs": thin, "numTDVVs": 0, "state": 1,
		"UsrUsage": object{"totalMiB": used, "usedMiB": used, "rawTotalMiB": used, "rawUsedMiB": used}}
}

func getCPG(c *call) (reply, *opError) {
	p := c.a.cpg(c.args[0])
	if p == nil {
		return reply{}, errCPGMissing(c.args[0])
	}
	return ok(c.cpgObject(p))
}

func (c *call) taskObject(t *task) object {
	o := object{"id": t.id, "type": t.kind, "name": t.name, "status": int(t.status), "startTime": c.m.cliTime(c.a, t.started),
		"finishTime": "-", "priority": -1, "user": t.user}
	if !t.finished.IsZero() {
		o["finishTime"] = c.m.cliTime(c.a, t.finished)
	}
	return o
}

func listTasks(c *call) (reply, *opError) {
	var list []object
	for _, t := range c.a.tasks {
		list = append(list, c.taskObject(t))
	}
	return members(list)
}

func getTask(c *call) (reply, *opError) {
	id, err := strconv.Atoi(c.args[0])
	if err != nil {
		return reply{}, &opError{code: 39, http: 400, desc: "invalid input: wrong type", ref: "id"}
	}
	t := c.a.task(id)
	if t == nil {
		return reply{}, refuse(145, 404, "Task does not exist: %d", id)
	}
	return ok(c.taskObject(t))
}

// filter keeps the members that satisfy ?query="field EQ value [OR ...]". Each
// field must be one that the resource knows.
func (c *call) filter(list []object, fields ...string) (reply, *opError) {
	if !c.query.Has("query") {
		return members(list)
	}
	q := strings.TrimSpace(strings.Trim(strings.TrimSpace(c.query.Get("query")), `"`))
	type term struct{ field, value string }
	var terms []term
	for _, part := range strings.Split(strings.ReplaceAll(q, " or ", " OR "), " OR ") {
		f := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(part))
		if len(f) == 4 { // FCPaths[wwn EQ x]
			f = []string{f[0] + "." + f[1], f[2], f[3]}
		}
		if len(f) != 3 || !strings.EqualFold(f[1], "EQ") || !slices.Contains(fields, f[0]) {
			return reply{}, errInput("query", "invalid input: query %q: expected FIELD EQ VALUE with FIELD one of %s", part, strings.Join(fields, ", "))
		}
		terms = append(terms, term{f[0], f[2]})
	}
	return members(slices.DeleteFunc(list, func(o object) bool {
		return !slices.ContainsFunc(terms, func(t term) bool { return fieldHas(o, t.field, t.value) })
	}))
}

// fieldHas compares a plain field, or any element of PATHS.FIELD.
func fieldHas(o object, field, value string) bool {
	list, inner, nested := strings.Cut(field, ".")
	if !nested {
		return fmt.Sprint(o[field]) == value
	}
	elements, _ := o[list].([]object)
	return slices.ContainsFunc(elements, func(e object) bool { return fmt.Sprint(e[inner]) == value })
}

func located(kind, name string, err *opError) (reply, *opError) {
	out, err := done(http.StatusCreated, err)
	out.location = "/api/v1/" + kind + "/" + url.PathEscape(name)
	return out, err
}
