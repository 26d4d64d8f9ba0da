package infinibox

import (
	"context"
	"fmt"
	"slices"

	"github.com/ddsgo/ddsgo/array"
)

// planDelete ends replication. Both entities stay, and snapshots of the last common
// point unless retain=no: a replica can be created from them without a full copy. With
// target=delete the copy is removed, too.
func (d *Driver) planDelete(o array.Observation, g array.Goal) (array.Plan, error) {
	if t := g.Params[paramTarget]; t != "" && t != "delete" {
		return array.Plan{}, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("target=%s: write target=delete to remove the copy, or leave it out", t)}
	}
	retain, err := d.retain(g)
	if err != nil {
		return array.Plan{}, err
	}
	for _, role := range []array.Role{array.RolePrimary, array.RoleSecondary} {
		for _, s := range o.Sides {
			if f := factsOf(o, s.Site); s.Reachable && s.Role == role && f.Replica != nil {
				return d.planDrop(o, g, s.Site, retain)
			}
		}
	}
	if s := o.Side(d.away()); g.Params[paramTarget] == "delete" && s.Reachable {
		if e := factsOf(o, d.away()).Entity; e != nil {
			return d.planDropTarget(g, factsOf(o, d.away()))
		}
	}
	return array.Plan{Reached: true, Result: d.left(o)}, nil
}

func (d *Driver) retain(g array.Goal) (bool, error) {
	switch g.Params[paramRetain] {
	case "", "yes":
		return true, nil
	case "no":
		return false, nil
	}
	return false, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("retain=%s: write yes or no", g.Params[paramRetain])}
}

// planDrop deletes the replica at its SOURCE, or what is left of it on one side.
func (d *Driver) planDrop(o array.Observation, g array.Goal, site string, retain bool) (array.Plan, error) {
	r, peer := factsOf(o, site).Replica, o.Side(d.peer(site))
	query := fmt.Sprintf("?retain_staging_area=%t", retain)
	alone := !peer.Reachable || o.Link != array.LinkUp
	switch {
	case alone && !g.Force:
		forced := g
		forced.Force = true
		return array.Plan{}, array.Refuse("", forced.Command(d.cfg.Name), "%s cannot be reached, its side of the replica would stay behind", peer.Site)
	case alone:
		query += "&force_if_remote_error=true"
	}
	if o.Side(site).Role == array.RoleSecondary {
		if !g.Force {
			forced := g
			forced.Force = true
			return array.Plan{}, array.Refuse("", forced.Command(d.cfg.Name), "only the TARGET at %s is left", site)
		}
		query += "&force_on_target=true"
	}
	s := d.consented(g, request(stepDelete, site, "delete the replica", "DELETE", fmt.Sprintf("replicas/%d%s", r.ID, query), ""))
	p := array.Plan{Steps: []array.Step{s}}
	if !retain {
		p.Warnings = []string{"without the retained snapshots, replicating again needs a full copy"}
	}
	return p, nil
}

// consented marks what only --force approves, when the box asks.
func (d *Driver) consented(g array.Goal, s array.Step) array.Step {
	if g.Force {
		return approved(s)
	}
	return s
}

func (d *Driver) planDropTarget(g array.Goal, f *facts) (array.Plan, error) {
	if truth(f.Entity.Mapped) {
		return array.Plan{}, array.Refuse("R6", "unmap it, then: "+g.Command(d.cfg.Name), "%s at %s is mapped to a host", f.Entity.Name, d.away())
	}
	path := fmt.Sprintf("%s/%d", collectionOf(d.cfg.Kind), f.Entity.ID)
	if d.cfg.Kind == KindGroup {
		path += "?delete_members=true"
	}
	p := array.Plan{Steps: []array.Step{d.consented(g, request(stepDrop, d.away(), "delete the copy "+f.Entity.Name, "DELETE", path, ""))}}
	if truth(f.Entity.HasChildren) {
		p.Warnings = []string{fmt.Sprintf("the snapshots of %s at %s are deleted with it", f.Entity.Name, d.away())}
	}
	return p, nil
}

// left tells what a deletion left behind.
func (d *Driver) left(o array.Observation) map[string]string {
	out := map[string]string{}
	for _, s := range d.cfg.Sites {
		f := factsOf(o, s.Name)
		if f.Entity != nil {
			out[s.Name] = f.Entity.Name
		}
		for _, snap := range f.Snapshots {
			if snap.RMRGUID != nil {
				out[s.Name+"_base"] = snap.Name // the newest: lists are sorted by id
			}
		}
	}
	return out
}

// planMember adds a volume to a group, or takes one out, at the SOURCE.
func (d *Driver) planMember(o array.Observation, g array.Goal) (array.Plan, error) {
	if err := d.guard(o, ""); err != nil {
		return array.Plan{}, err
	}
	p, _, err := d.oneSource(o)
	if err != nil {
		return array.Plan{}, err
	}
	f := factsOf(o, p)
	i := slices.IndexFunc(f.Members, func(e entity) bool { return e.Name == g.Volume })
	if (i >= 0) == (g.Verb == array.Add) {
		return reached()
	}
	if err := d.linked(o, string(g.Verb)); err != nil {
		return array.Plan{}, err
	}
	members := fmt.Sprintf("cgs/%d/members", f.Entity.ID)
	if g.Verb == array.Remove {
		retain, err := d.retain(g)
		if err != nil {
			return array.Plan{}, err
		}
		path := fmt.Sprintf("%s/%d?retain_staging_area=%t", members, f.Members[i].ID, retain)
		return steps("", d.consented(g, request("remove", p, "take "+g.Volume+" out of the group", "DELETE", path, "")))
	}
	s := d.specialStep(specialAdd, p, "add "+g.Volume+" to the group", fmt.Sprintf("POST %s%s %s", apiRoot, members, quote(g.Volume)))
	s.Args[argPath], s.Args[paramRemote], s.Args[argVolume] = members, g.Params[paramRemote], g.Volume
	return array.Plan{Steps: []array.Step{s}, Authoritative: p}, nil
}

// planVolume creates or deletes a volume by name. Whether it exists is looked up by
// the step, which does nothing when there is nothing to do.
func (d *Driver) planVolume(g array.Goal) (array.Plan, error) {
	site := g.Params[paramSite]
	from := g.Params[paramFrom]
	if site == "" {
		site = d.home()
	}
	if _, ok := d.site(site); !ok {
		return array.Plan{}, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("unknown site %q; known: %s, %s", site, d.home(), d.away())}
	}
	size, err := d.size(g)
	name, action := specialVolume, "create volume "+g.Volume
	command := fmt.Sprintf(`POST %svolumes {"name":%s,"pool_id":POOL,"size":%d,"provtype":"THIN"}`, apiRoot, quote(g.Volume), size)
	switch {
	case err != nil:
		return array.Plan{}, err
	case g.Verb == array.VolumeDelete:
		name, action, command = specialNoVolume, "delete volume "+g.Volume, "DELETE "+apiRoot+"volumes/ID of "+quote(g.Volume)
	case from == "last-consistent" && d.cfg.Kind != KindGroup:
		name, action = specialExpose, "expose the last consistent point of the copy as "+g.Volume
		command = "POST " + apiRoot + "replicas/ID/expose_last_consistent_snapshot"
	case from == "last-consistent":
		return array.Plan{}, array.Unsupported("", "from=last-consistent is for volumes and filesystems; of a group the box exposes a whole snapshot group")
	case from != "":
		return array.Plan{}, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("from=%s: write from=last-consistent", from)}
	case size == 0:
		return array.Plan{}, &array.Error{Kind: array.KindConfig, Reason: "volume create needs --size SIZE, or --param from=last-consistent"}
	}
	s := d.specialStep(name, site, action, command)
	s.Args[argVolume], s.Args[paramSize] = g.Volume, fmt.Sprint(size)
	if g.DidOK(s.ID) {
		return reached()
	}
	return steps("", d.consented(g, s))
}

// Show implements array.Shower: both boxes in their own words.
func (d *Driver) Show(ctx context.Context) (any, error) {
	out := map[string]any{}
	for _, s := range d.cfg.Sites {
		f, err := d.read(ctx, s)
		if err != nil {
			out[s.Name] = map[string]string{"error": err.Error()}
			continue
		}
		one := map[string]any{"entity": f.Entity, "members": f.Members, "snapshots": f.Snapshots}
		ids := []int64{}
		if f.Replica != nil {
			ids = append(ids, f.Replica.ID)
		}
		for _, r := range f.Others {
			ids = append(ids, r.ID)
		}
		var raw []any
		for _, id := range ids {
			r, err := get[any](ctx, s.Client, fmt.Sprintf("replicas/%d", id))
			if err != nil {
				return nil, typed(s.Name, err)
			}
			raw = append(raw, r)
		}
		one["replicas"] = raw
		if f.Link != nil {
			if one["link"], err = get[any](ctx, s.Client, fmt.Sprintf("links/%d", f.Link.ID)); err != nil {
				return nil, typed(s.Name, err)
			}
		}
		out[s.Name] = one
	}
	return out, nil
}
