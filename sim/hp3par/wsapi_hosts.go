package hp3par

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func hostObject(h *host) object {
	fc, iscsi := []object{}, []object{}
	for _, w := range h.wwns {
		fc = append(fc, object{"wwn": w, "hostSpeed": 0})
	}
	for _, n := range h.iqns {
		iscsi = append(iscsi, object{"name": n, "hostSpeed": 0})
	}
	return object{"id": h.id, "name": h.name, "persona": h.perso, "FCPaths": fc, "iSCSIPaths": iscsi}
}

func listHosts(c *call) (reply, *opError) {
	var list []object
	for _, h := range sortedHosts(c.a) {
		list = append(list, hostObject(h))
	}
	return c.filter(list, "name", "FCPaths.wwn", "iSCSIPaths.name")
}

func (c *call) host() (*host, *opError) {
	h := c.a.hosts[c.args[0]]
	if h == nil {
		return nil, errHostMissing(c.args[0])
	}
	return h, nil
}

func getHost(c *call) (reply, *opError) {
	h, err := c.host()
	if err != nil {
		return reply{}, err
	}
	return ok(hostObject(h))
}

func postHost(c *call) (reply, *opError) {
	var in struct {
		Name       string   `json:"name"`
		FCWWNs     []string `json:"FCWWNs"`
		ISCSINames []string `json:"iSCSINames"`
		Persona    int      `json:"persona"`
		Domain     string   `json:"domain"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	switch {
	case in.Name == "":
		return reply{}, errMissing("name")
	case in.FCWWNs != nil && in.ISCSINames != nil:
		return reply{}, errConflict("FCWWNs")
	}
	return located("hosts", in.Name, c.m.createHost(c.a, in.Name, in.FCWWNs, in.ISCSINames, max(1, in.Persona)))
}

// putHost adds (1) or removes (2) paths.
func putHost(c *call) (reply, *opError) {
	h, err := c.host()
	if err != nil {
		return reply{}, err
	}
	var in struct {
		PathOperation int      `json:"pathOperation"`
		FCWWNs        []string `json:"FCWWNs"`
		ISCSINames    []string `json:"iSCSINames"`
		ForcePath     bool     `json:"forcePathRemoval"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	switch in.PathOperation {
	case 1:
		h.wwns, h.iqns = append(h.wwns, in.FCWWNs...), append(h.iqns, in.ISCSINames...)
	case 2:
		h.wwns = slices.DeleteFunc(h.wwns, func(w string) bool { return slices.Contains(in.FCWWNs, w) })
		h.iqns = slices.DeleteFunc(h.iqns, func(n string) bool { return slices.Contains(in.ISCSINames, n) })
	default:
		return reply{}, errEnum("pathOperation", in.PathOperation)
	}
	return done(http.StatusOK, nil)
}

func deleteHost(c *call) (reply, *opError) {
	return done(http.StatusOK, c.m.removeHost(c.a, c.args[0]))
}

func (c *call) vlunObject(x *vlun) object {
	o := object{"lun": x.lun, "volumeName": x.volume, "hostname": x.host, "type": 3, "active": false}
	if v := c.a.volumes[x.volume]; v != nil {
		o["volumeWWN"] = v.wwn
	}
	return o
}

func listVLUNs(c *call) (reply, *opError) {
	var list []object
	for _, x := range c.a.vluns {
		list = append(list, c.vlunObject(x))
	}
	return c.filter(list, "hostname", "volumeName", "volumeWWN", "lun")
}

func postVLUN(c *call) (reply, *opError) {
	var in struct {
		VolumeName string  `json:"volumeName"`
		LUN        *int    `json:"lun"`
		Hostname   string  `json:"hostname"`
		AutoLUN    bool    `json:"autoLun"`
		MaxAutoLUN int     `json:"maxAutoLun"`
		NoVCN      bool    `json:"noVcn"`
		Override   bool    `json:"overrideLowerPriority"`
		PortPos    *object `json:"portPos"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	lun := -1
	switch {
	case in.VolumeName == "":
		return reply{}, errMissing("volumeName")
	case in.Hostname == "":
		return reply{}, errMissing("hostname")
	case in.PortPos != nil:
		return reply{}, errNotSimulated("exporting to a port")
	case in.LUN == nil && !in.AutoLUN:
		return reply{}, errMissing("lun")
	case in.LUN != nil && *in.LUN < 0:
		return reply{}, &opError{code: 115, http: 400, desc: "invalid input: below range", ref: "lun"}
	case in.LUN != nil && !in.AutoLUN:
		lun = *in.LUN
	}
	x, err := c.m.export(c.a, in.VolumeName, in.Hostname, lun)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, location: fmt.Sprintf("/api/v1/vluns/%s,%d,%s", x.volume, x.lun, x.host)}, nil
}

// cutVLUN reads VOLUME,LUN[,HOST].
func (c *call) cutVLUN() (vol string, lun int, host string, err *opError) {
	f := strings.Split(c.args[0], ",")
	if len(f) < 2 || len(f) > 3 {
		return "", 0, "", errInput("", "invalid input: expected VOLUME,LUN,HOST")
	}
	n, bad := strconv.Atoi(f[1])
	if bad != nil {
		return "", 0, "", errInput("lun", "invalid input: lun %q", f[1])
	}
	return f[0], n, strings.Join(f[2:], ""), nil
}

func getVLUN(c *call) (reply, *opError) {
	vol, lun, host, err := c.cutVLUN()
	if err != nil {
		return reply{}, err
	}
	for _, x := range c.a.vluns {
		if x.volume == vol && x.lun == lun && (host == "" || x.host == host) {
			return ok(c.vlunObject(x))
		}
	}
	return reply{}, refuse(19, 404, "VLUN %s does not exist", c.args[0])
}

func deleteVLUN(c *call) (reply, *opError) {
	vol, lun, host, err := c.cutVLUN()
	if err != nil {
		return reply{}, err
	}
	return done(http.StatusOK, c.m.unexport(c.a, vol, lun, host))
}
