package infinibox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/ddsgo/ddsgo/array"
)

// Steps that look names up before their request. Each may be repeated: it looks first
// whether it was done.
const (
	specialLink     = "link"
	specialAdd      = "add"
	specialVolume   = "volume"
	specialNoVolume = "no-volume"
	specialExpose   = "expose"
	specialKeep     = "keep"

	argVolume = "volume"
)

func (d *Driver) special(ctx context.Context, s Site, name string, step array.Step) error {
	switch name {
	case specialLink:
		return d.makeLink(ctx, s)
	case specialAdd:
		return d.addMember(ctx, s, step)
	case specialVolume:
		return d.makeVolume(ctx, s, step)
	case specialNoVolume:
		return d.removeVolume(ctx, s, step)
	case specialKeep:
		return d.keep(ctx, s, step)
	case specialExpose:
		return d.expose(ctx, s, step)
	}
	return &array.Error{Kind: array.KindInternal, Reason: "unknown step " + name}
}

// networkSpace has the addresses that links use.
type networkSpace struct {
	ID      int64  `json:"id"`
	Service string `json:"service"`
	IPs     []struct {
		Address string `json:"ip_address"`
	} `json:"ips"`
}

// replicationService is the service of the network spaces that links use.
const replicationService = "RMR_SERVICE"

// makeLink relates the boxes over their first replication network spaces.
func (d *Driver) makeLink(ctx context.Context, s Site) error {
	found, err := byName[link](ctx, s.Client, "links", d.cfg.Link)
	if err != nil || found != nil {
		return err
	}
	var spaces [2]networkSpace
	for i, side := range d.cfg.Sites {
		all, err := list[networkSpace](ctx, side.Client, "network/spaces", eq("service", replicationService))
		if err != nil {
			return typed(side.Name, err)
		}
		if len(all) == 0 || len(all[0].IPs) == 0 {
			return &array.Error{Kind: array.KindConfig, Site: side.Name, Reason: "the box has no replication network space (service " + replicationService + ") with an address: make one with the box's own tools"}
		}
		spaces[i] = all[0]
	}
	body := fmt.Sprintf(`{"name":%s,"local_replication_network_space_id":%d,"remote_host":%s}`, quote(d.cfg.Link), spaces[0].ID, quote(spaces[1].IPs[0].Address))
	_, err = s.Client.do(ctx, call{method: http.MethodPost, path: "links", body: json.RawMessage(body)}, nil)
	return err
}

// addMember adds a volume to the group, and its copy, new or named.
func (d *Driver) addMember(ctx context.Context, s Site, step array.Step) error {
	v, err := d.volume(ctx, s, step.Args[argVolume])
	if err != nil {
		return err
	}
	info := fmt.Sprintf(`{"remote_base_action":%s}`, quote(actionCreate))
	if name := step.Args[paramRemote]; name != "" {
		peer, _ := d.site(d.peer(s.Name))
		far, err := d.volume(ctx, peer, name)
		if err != nil {
			return err
		}
		if err := d.fits(*v, *far); err != nil {
			return err
		}
		info = fmt.Sprintf(`{"remote_base_action":%s,"remote_entity_id":%d}`, quote(actionEmpty), far.ID)
	}
	body := fmt.Sprintf(`{"dataset_id":%d,"replication_pair_info":%s}`, v.ID, info)
	_, err = s.Client.do(ctx, call{method: http.MethodPost, path: step.Args[argPath], body: json.RawMessage(body)}, nil)
	return err
}

// volume finds a volume that has to exist.
func (d *Driver) volume(ctx context.Context, s Site, name string) (*entity, error) {
	v, err := byName[entity](ctx, s.Client, "volumes", name)
	if err != nil {
		return nil, typed(s.Name, err)
	}
	if v == nil {
		return nil, array.Refuse("", "ddsgo array volume create "+d.cfg.Name+" "+name+" --size SIZE", "%s has no volume %q", s.Name, name)
	}
	return v, nil
}

func (d *Driver) makeVolume(ctx context.Context, s Site, step array.Step) error {
	name := step.Args[argVolume]
	size, err := strconv.ParseInt(step.Args[paramSize], 10, 64)
	if err != nil {
		return fmt.Errorf("size: %w", err)
	}
	v, err := byName[entity](ctx, s.Client, "volumes", name)
	switch {
	case err != nil:
		return err
	case v != nil && v.Size == size:
		return nil
	case v != nil:
		return array.Refuse("", "", "%s has a volume %q of %d bytes", s.Name, name, v.Size)
	case s.Pool == "":
		return &array.Error{Kind: array.KindConfig, Site: s.Name, Reason: "no pool: set sites." + s.Name + ".pool"}
	}
	p, err := byName[pool](ctx, s.Client, "pools", s.Pool)
	if err != nil {
		return err
	}
	if p == nil {
		return &array.Error{Kind: array.KindConfig, Site: s.Name, Reason: fmt.Sprintf("pool %q does not exist", s.Pool)}
	}
	body := fmt.Sprintf(`{"name":%s,"pool_id":%d,"size":%d,"provtype":"THIN"}`, quote(name), p.ID, size)
	_, err = s.Client.do(ctx, call{method: http.MethodPost, path: "volumes", body: json.RawMessage(body)}, nil)
	return err
}

// removeVolume deletes a volume that replication does not use.
func (d *Driver) removeVolume(ctx context.Context, s Site, step array.Step) error {
	name := step.Args[argVolume]
	v, err := byName[entity](ctx, s.Client, "volumes", name)
	switch {
	case err != nil || v == nil:
		return err
	case len(v.ReplicaIDs) > 0 || number(v.CGID) != 0:
		return array.Refuse("", d.command("array show"), "volume %q at %s is replicated or in a consistency group", name, s.Name)
	case truth(v.Mapped):
		return array.Refuse("R6", "unmap it first", "volume %q at %s is mapped to a host", name, s.Name)
	}
	_, err = s.Client.do(ctx, call{method: http.MethodDelete, path: fmt.Sprintf("volumes/%d", v.ID), approved: step.Args[argApprove] == "yes"}, nil)
	return err
}

// keep takes a snapshot, unless it is there already.
func (d *Driver) keep(ctx context.Context, s Site, step array.Step) error {
	at := collectionOf(d.cfg.Kind)
	found, err := byName[entity](ctx, s.Client, at, step.Args[argVolume])
	if err != nil || found != nil {
		return err
	}
	_, err = s.Client.do(ctx, call{method: http.MethodPost, path: at, body: json.RawMessage(step.Args[argBody])}, nil)
	return err
}

// expose makes the last consistent point of the TARGET a snapshot of that name. The box
// names it by itself, so it is renamed; a run that is killed between leaves it under
// the box's name.
func (d *Driver) expose(ctx context.Context, _ Site, step array.Step) error {
	name, at := step.Args[argVolume], collectionOf(d.cfg.Kind)
	for _, s := range d.cfg.Sites {
		f, err := d.read(ctx, s)
		if err != nil {
			return typed(s.Name, err)
		}
		if f.Replica == nil || f.Replica.Role != wordTarget {
			continue
		}
		found, err := byName[entity](ctx, s.Client, at, name)
		if err != nil {
			return typed(s.Name, err)
		}
		if found != nil {
			if number(found.ParentID) != f.Entity.ID {
				return array.Refuse("", "", "%s has a %s %q already", s.Name, d.cfg.Kind, name)
			}
			return nil
		}
		var r replica
		path := fmt.Sprintf("replicas/%d/expose_last_consistent_snapshot", f.Replica.ID)
		if _, err := s.Client.do(ctx, call{method: http.MethodPost, path: path}, &r); err != nil {
			return typed(s.Name, err)
		}
		if len(r.Pairs) == 0 || r.Pairs[0].LocalReclaimed == nil {
			return array.Refuse("", d.command("status"), "%s has nothing to expose: no copy was ever complete", s.Name)
		}
		path = fmt.Sprintf("%s/%d", at, *r.Pairs[0].LocalReclaimed)
		_, err = s.Client.do(ctx, call{method: http.MethodPut, path: path, body: json.RawMessage(`{"name":` + quote(name) + `}`)}, nil)
		return typed(s.Name, err)
	}
	return array.Refuse("", d.command("status"), "no side is TARGET")
}

// Inventory lists what a box holds, in its own words.
func Inventory(ctx context.Context, c *Client) (map[string]any, error) {
	out := map[string]any{}
	system, err := get[any](ctx, c, "system")
	if err != nil {
		return nil, typed(c.access.Name, err)
	}
	out["system"] = system
	for _, path := range []string{"pools", "volumes", "filesystems", "cgs", "links", "replicas"} {
		all, err := list[any](ctx, c, path)
		if err != nil {
			return nil, typed(c.access.Name, err)
		}
		out[path] = append([]any{}, all...)
	}
	return out, nil
}
