package hp3par

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

func (c *call) volumeObject(v *volume) object {
	kind, number := 1, map[string]int{"full": 1, "tpvv": 2, "snp": 3, "tdvv": 6}[v.prov]
	o := object{"id": v.id, "name": v.name, "wwn": v.wwn, "sizeMiB": v.size / mib, "provisioningType": number, "state": 1,
		"userCPG": v.userCPG, "readOnly": v.readOnly, "copyType": kind, "rcopyStatus": 1, "baseId": v.id,
		"creationTime8601": c.m.apiTime(c.a, v.created), "uuid": "00000000-0000-4000-8000-" + v.wwn[len(v.wwn)-12:]}
	if v.prov == "snp" {
		o["copyType"], o["copyOf"] = 3, v.copyOf
	}
	if v.snapCPG != "" {
		o["snapCPG"] = v.snapCPG
	}
	if v.compress {
		o["compressionState"] = 1
	}
	if v.comment != "" {
		o["comment"] = v.comment
	}
	if v.group != nil {
		o["rcopyStatus"], o["rcopyGroup"] = 2, v.group.name
	}
	return o
}

func listVolumes(c *call) (reply, *opError) {
	var list []object
	for _, v := range sortedVolumes(c.a) {
		list = append(list, c.volumeObject(v))
	}
	return c.filter(list, "name", "userCPG", "snapCPG", "copyOf", "wwn", "rcopyGroup")
}

func (c *call) volume() (*volume, *opError) {
	v := c.a.volumes[c.args[0]]
	if v == nil {
		return nil, errVolumeMissing(c.args[0])
	}
	return v, nil
}

func getVolume(c *call) (reply, *opError) {
	v, err := c.volume()
	if err != nil {
		return reply{}, err
	}
	return ok(c.volumeObject(v))
}

func postVolume(c *call) (reply, *opError) {
	var in struct {
		Name        string  `json:"name"`
		CPG         string  `json:"cpg"`
		SizeMiB     *int64  `json:"sizeMiB"`
		SnapCPG     *string `json:"snapCPG"`
		Comment     string  `json:"comment"`
		TPVV        bool    `json:"tpvv"`
		TDVV        bool    `json:"tdvv"`
		Reduce      bool    `json:"reduce"`
		Compression *bool   `json:"compression"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	switch {
	case in.Name == "":
		return reply{}, errMissing("name")
	case in.CPG == "":
		return reply{}, errMissing("cpg")
	case in.SizeMiB == nil:
		return reply{}, errMissing("sizeMiB")
	case in.TPVV && (in.TDVV || in.Reduce):
		return reply{}, errConflict("tpvv")
	case in.SnapCPG != nil && !c.a.profile.snapCPG:
		return reply{}, errInput("snapCPG", "invalid input: unknown parameter snapCPG")
	case *in.SizeMiB > maxVolume/mib:
		return reply{}, refuse(28, 400, "invalid input: too large")
	}
	s := volumeSpec{name: in.Name, cpg: in.CPG, snapCPG: text(in.SnapCPG), size: *in.SizeMiB * mib, comment: in.Comment, prov: "full"}
	if in.TPVV {
		s.prov = "tpvv"
	}
	if in.TDVV || in.Reduce {
		s.prov = "tdvv"
	}
	s.compress = in.Compression != nil && *in.Compression
	_, err := c.m.createVolume(c.a, s)
	return located("volumes", in.Name, err)
}

func putVolume(c *call) (reply, *opError) {
	v, err := c.volume()
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Action  *int    `json:"action"`
		SizeMiB int64   `json:"sizeMiB"`
		Comment *string `json:"comment"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	switch {
	case in.Action == nil && in.Comment != nil:
		v.comment = *in.Comment
		return done(http.StatusOK, nil)
	case in.Action == nil:
		return reply{}, &opError{code: 78, http: 400, desc: "invalid input: one of the parameters is required", ref: "action"}
	case *in.Action == 3:
		return done(http.StatusOK, c.m.growVolume(c.a, v.name, in.SizeMiB*mib))
	case *in.Action == 7:
		return done(http.StatusOK, c.m.update(c.a, []string{v.name}))
	case *in.Action == 1 || *in.Action == 2 || *in.Action == 4 || *in.Action == 5:
		return reply{}, errNotSimulated("physical copies and promotion of virtual copies")
	}
	return reply{}, errEnum("action", *in.Action)
}

func postSnapshot(c *call) (reply, *opError) {
	var in struct {
		Action     string          `json:"action"`
		Parameters json.RawMessage `json:"parameters"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if in.Action != "createSnapshot" {
		return reply{}, errNotSimulated("volume action " + in.Action)
	}
	var p struct {
		Name            string `json:"name"`
		Comment         string `json:"comment"`
		ReadOnly        bool   `json:"readOnly"`
		ExpirationHours int    `json:"expirationHours"`
		RetentionHours  int    `json:"retentionHours"`
	}
	if err := decode(in.Parameters, &p); err != nil {
		return reply{}, err
	}
	if p.Name == "" {
		return reply{}, errMissing("name")
	}
	return located("volumes", p.Name, c.m.snapshot(c.a, c.args[0], p.Name, p.ReadOnly, time.Duration(p.ExpirationHours)*time.Hour))
}

func deleteVolume(c *call) (reply, *opError) {
	return done(http.StatusOK, c.m.removeVolume(c.a, c.args[0]))
}

func setObject(s *volumeSet, id int) object {
	return object{"id": id, "name": s.name, "setmembers": slices.Clone(s.members)}
}

func listSets(c *call) (reply, *opError) {
	var list []object
	for i, s := range sortedSets(c.a) {
		list = append(list, setObject(s, i+1))
	}
	return c.filter(list, "name")
}

func (c *call) set() (*volumeSet, *opError) {
	s := c.a.sets[c.args[0]]
	if s == nil {
		return nil, refuse(102, 404, "set %s does not exist", c.args[0])
	}
	return s, nil
}

func getSet(c *call) (reply, *opError) {
	s, err := c.set()
	if err != nil {
		return reply{}, err
	}
	return ok(setObject(s, 1+slices.Index(sortedSets(c.a), s)))
}

func (c *call) knownVolumes(names []string) *opError {
	for _, n := range names {
		if c.a.volumes[n] == nil {
			return errVolumeMissing(n)
		}
	}
	return nil
}

func postSet(c *call) (reply, *opError) {
	var in struct {
		Name    string   `json:"name"`
		Comment string   `json:"comment"`
		Domain  string   `json:"domain"`
		Members []string `json:"setmembers"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	switch {
	case !validName(in.Name):
		return reply{}, errMissing("name")
	case c.a.sets[in.Name] != nil:
		return reply{}, refuse(101, 409, "Set exists")
	}
	if err := c.knownVolumes(in.Members); err != nil {
		return reply{}, err
	}
	c.a.sets[in.Name] = &volumeSet{name: in.Name, members: in.Members}
	return located("volumesets", in.Name, nil)
}

func putSet(c *call) (reply, *opError) {
	s, err := c.set()
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Action  int      `json:"action"`
		Members []string `json:"setmembers"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if err := c.knownVolumes(in.Members); err != nil {
		return reply{}, err
	}
	switch in.Action {
	case 1:
		for _, n := range in.Members {
			if !slices.Contains(s.members, n) {
				s.members = append(s.members, n)
			}
		}
	case 2:
		s.members = slices.DeleteFunc(s.members, func(n string) bool { return slices.Contains(in.Members, n) })
	default:
		return reply{}, errEnum("action", in.Action)
	}
	return done(http.StatusOK, nil)
}

func deleteSet(c *call) (reply, *opError) {
	s, err := c.set()
	if err != nil {
		return reply{}, err
	}
	delete(c.a.sets, s.name)
	return done(http.StatusOK, nil)
}
