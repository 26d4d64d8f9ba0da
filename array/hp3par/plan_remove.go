package hp3par

import "github.com/ddsgo/ddsgo/array"

// absent says that both arrays were read and neither has the group.
func (v view) absent() bool {
	for _, s := range v.Sides {
		if !s.Reachable || s.Role != array.RoleNone {
			return false
		}
	}
	return true
}

// remove ends replication: the group goes, the volumes of both sides stay.
func (v view) remove() (array.Plan, error) {
	from, to, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(to); err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Authoritative: from}
	if v.started(from) {
		p.Steps = append(p.Steps, v.step(from, opStop, "stop replication"))
	}
	p.Steps = append(p.Steps, v.step(from, opRemove, "remove the group from both arrays"))
	return p, nil
}
