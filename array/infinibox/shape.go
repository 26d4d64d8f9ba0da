package infinibox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// Targets of create: what becomes the copy.
const (
	targetNew      = "new"      // the box creates it in the peer's pool
	targetExisting = "existing" // an empty entity of the same size
	targetBase     = "base"     // an entity that shares a snapshot with the source
)

// Parameters of the life-cycle verbs (--param KEY=VALUE).
const (
	paramTarget         = "target"          // create: new, existing, base; delete: delete
	paramLocalSnapshot  = "local_snapshot"  // create, target=base
	paramRemoteSnapshot = "remote_snapshot" // create, target=base
	paramMembers        = "members"         // create, cg with target=existing: LOCAL:REMOTE,...
	paramSize           = "size"            // create: make the source volume; volume create
	paramRetain         = "retain"          // delete, remove: no = leave no snapshots of the last common point
	paramRemote         = "remote"          // add: the volume there that becomes the copy
	paramSite           = "site"            // volume create, volume delete
	paramFrom           = "from"            // volume create: last-consistent
)

// shapes is the table of what can be created. Everything else is refused before the
// first request.
//
//	entity       target    ASYNC  SYNC
//	volume       new         x     x
//	volume       existing    x     x     empty, same size, not replicated
//	volume       base        x     x
//	filesystem   new         x
//	filesystem   base        x
//	cg           new         x     x
//	cg           existing    x     x     every member empty, same size; a map of members
func shapes() []shape {
	return []shape{
		{KindVolume, targetNew, ModeAsync}, {KindVolume, targetNew, ModeSync},
		{KindVolume, targetExisting, ModeAsync}, {KindVolume, targetExisting, ModeSync},
		{KindVolume, targetBase, ModeAsync}, {KindVolume, targetBase, ModeSync},
		{KindFilesystem, targetNew, ModeAsync}, {KindFilesystem, targetBase, ModeAsync},
		{KindGroup, targetNew, ModeAsync}, {KindGroup, targetNew, ModeSync},
		{KindGroup, targetExisting, ModeAsync}, {KindGroup, targetExisting, ModeSync},
	}
}

type shape struct{ kind, target, mode string }

// checkShape refuses what the table does not have, and what the boxes cannot do.
func (d *Driver) checkShape(o array.Observation, target string) error {
	want := shape{d.cfg.Kind, target, d.cfg.Mode}
	if !slices.Contains(shapes(), want) {
		return array.Unsupported("ddsgo array create --help", "%s with target %q in mode %s cannot be replicated (targets: %s, %s, %s; filesystems: %s, %s, async only; groups: not %s)",
			want.kind, target, want.mode, targetNew, targetExisting, targetBase, targetNew, targetBase, targetBase)
	}
	if d.cfg.Mode != ModeSync {
		return nil
	}
	for _, s := range d.cfg.Sites {
		f := factsOf(o, s.Name)
		if !f.SyncOn {
			return array.Unsupported("", "%s: the box has feature %s switched off", s.Name, featureSync)
		}
		if f.Link != nil && truth(f.Link.AsyncOnly) {
			return array.Unsupported("", "%s: link %s is for asynchronous replication only", s.Name, f.Link.Name)
		}
	}
	return nil
}

// creation is the body of POST replicas, in the order in which people read it.
type creation struct {
	LinkID       int64          `json:"link_id"`
	EntityType   string         `json:"entity_type"`
	LocalEntity  *int64         `json:"local_entity_id,omitempty"` // flat form only
	BaseAction   string         `json:"base_action,omitempty"`     // flat form only
	LocalCG      *int64         `json:"local_cg_id,omitempty"`
	RemoteCG     *int64         `json:"remote_cg_id,omitempty"`
	RemotePool   *int64         `json:"remote_pool_id,omitempty"`
	RemoteName   string         `json:"remote_entity_name,omitempty"` // flat form only
	RemoteCGName string         `json:"remote_cg_name,omitempty"`
	Type         string         `json:"replication_type,omitempty"` // absent: ASYNC
	Interval     int64          `json:"sync_interval,omitempty"`    // ms
	RPO          int64          `json:"rpo_value,omitempty"`        // ms
	Pairs        *[]createdPair `json:"entity_pairs,omitempty"`
}

type createdPair struct {
	LocalAction  string `json:"local_base_action,omitempty"`
	RemoteAction string `json:"remote_base_action"`
	Local        int64  `json:"local_entity_id"`
	Remote       *int64 `json:"remote_entity_id"` // null: it is created
	LocalBase    *int64 `json:"local_base_entity_id,omitempty"`
	RemoteBase   *int64 `json:"remote_base_entity_id,omitempty"`
	RemoteName   string `json:"remote_entity_name,omitempty"`
}

// What becomes of a pair's content.
const (
	actionCreate = "CREATE"
	actionEmpty  = "NO_BASE_DATA"
	actionBase   = "BASE"
	actionNew    = "NEW" // flat form
)

// common fills what every body has.
func (d *Driver) common(o array.Observation) creation {
	c := creation{LinkID: factsOf(o, d.home()).Link.ID, EntityType: wireKind(d.cfg.Kind)}
	if d.cfg.Mode == ModeSync {
		c.Type = wordSync
		return c
	}
	c.Interval, c.RPO = d.cfg.Interval.Milliseconds(), d.cfg.RPO.Milliseconds()
	return c
}

// bodyNew creates the target. Boxes with feature replica_auto_create take the flat
// body; for a group, and for boxes without it, there are entity_pairs.
func (d *Driver) bodyNew(o array.Observation) (creation, error) {
	here, there := factsOf(o, d.home()), factsOf(o, d.away())
	c := d.common(o)
	if there.Pool == nil {
		return c, &array.Error{Kind: array.KindConfig, Site: d.away(), Reason: fmt.Sprintf("pool %q does not exist: a new target needs sites.%s.pool", d.cfg.Sites[1].Pool, d.away())}
	}
	if there.Entity != nil {
		return c, array.Refuse("", d.command("array create")+" --param target=existing", "%s has a %s %q already: use it with target=existing or target=base, or name the copy otherwise (sites.%s.name)", d.away(), d.cfg.Kind, there.Entity.Name, d.away())
	}
	c.RemotePool = &there.Pool.ID
	name := ""
	if d.cfg.Sites[1].Entity != d.cfg.Entity {
		name = d.cfg.Sites[1].Entity
	}
	switch {
	case d.cfg.Kind == KindGroup:
		c.LocalCG, c.RemoteCGName = &here.Entity.ID, name
		pairs := []createdPair{}
		for _, m := range here.Members {
			pairs = append(pairs, createdPair{RemoteAction: actionCreate, Local: m.ID})
		}
		c.Pairs = &pairs
	case here.AutoCreate:
		c.LocalEntity, c.BaseAction, c.RemoteName = &here.Entity.ID, actionNew, name
	default:
		c.Pairs = &[]createdPair{{RemoteAction: actionCreate, Local: here.Entity.ID, RemoteName: name}}
	}
	return c, nil
}

// bodyExisting copies to an entity that exists and is empty.
func (d *Driver) bodyExisting(o array.Observation, g array.Goal) (creation, error) {
	here, there := factsOf(o, d.home()), factsOf(o, d.away())
	c := d.common(o)
	if there.Entity == nil {
		return c, array.Refuse("", d.command("array create"), "%s has no %s %q", d.away(), d.cfg.Kind, d.cfg.Sites[1].Entity)
	}
	pairs := []createdPair{}
	if d.cfg.Kind != KindGroup {
		if err := d.fits(*here.Entity, *there.Entity); err != nil {
			return c, err
		}
		pairs = append(pairs, createdPair{RemoteAction: actionEmpty, Local: here.Entity.ID, Remote: &there.Entity.ID})
		c.Pairs = &pairs
		return c, nil
	}
	c.LocalCG, c.RemoteCG = &here.Entity.ID, &there.Entity.ID
	peers, err := d.memberMap(g, here.Members, there.Members)
	if err != nil {
		return c, err
	}
	for i, m := range here.Members {
		if err := d.fits(m, peers[i]); err != nil {
			return c, err
		}
		pairs = append(pairs, createdPair{RemoteAction: actionEmpty, Local: m.ID, Remote: &peers[i].ID})
	}
	c.Pairs = &pairs
	return c, nil
}

// fits checks an existing target: same size, empty, in no replica yet.
func (d *Driver) fits(local, remote entity) error {
	switch {
	case local.Size != remote.Size:
		return array.Refuse("", "", "%s has %d bytes, its copy %s at %s has %d", local.Name, local.Size, remote.Name, d.away(), remote.Size)
	case len(remote.ReplicaIDs) > 0:
		return array.Refuse("", d.command("array show"), "%s at %s is replicated already", remote.Name, d.away())
	case number(remote.Used) > 0:
		return array.Refuse("", "", "%s at %s is not empty: %d bytes are used; an existing target must be newly formatted, or share a base snapshot (target=base)", remote.Name, d.away(), *remote.Used)
	case remote.Mapped != nil && *remote.Mapped:
		return array.Refuse("R6", "", "%s at %s is mapped to a host", remote.Name, d.away())
	}
	return nil
}

// memberMap finds the copy of each member: by the map LOCAL:REMOTE,..., else by name.
func (d *Driver) memberMap(g array.Goal, local, remote []entity) ([]entity, error) {
	names := map[string]string{}
	for pair := range strings.SplitSeq(g.Params[paramMembers], ",") {
		if pair == "" {
			continue
		}
		l, r, ok := strings.Cut(pair, ":")
		if !ok || l == "" || r == "" || names[l] != "" {
			return nil, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("members: %q: write LOCAL:REMOTE,LOCAL:REMOTE, each once", pair)}
		}
		names[l] = r
	}
	var out []entity
	for _, m := range local {
		want := m.Name
		if len(names) > 0 {
			want = names[m.Name]
		}
		i := slices.IndexFunc(remote, func(e entity) bool { return e.Name == want })
		if i < 0 {
			return nil, array.Refuse("", d.command("array create")+" --param target=existing --param members=LOCAL:REMOTE,...", "member %s has no copy in the group at %s", m.Name, d.away())
		}
		if slices.ContainsFunc(out, func(e entity) bool { return e.ID == remote[i].ID }) {
			return nil, &array.Error{Kind: array.KindConfig, Reason: "members: " + want + " is named twice"}
		}
		out = append(out, remote[i])
	}
	if len(out) != len(remote) {
		return nil, array.Refuse("", d.command("array show"), "the group at %s has %d members, the source has %d", d.away(), len(remote), len(local))
	}
	return out, nil
}

// bodyBase goes on from a snapshot that both sides hold.
func (d *Driver) bodyBase(o array.Observation, g array.Goal) (creation, error) {
	here, there := factsOf(o, d.home()), factsOf(o, d.away())
	c := d.common(o)
	if there.Entity == nil {
		return c, array.Refuse("", d.command("array create"), "%s has no %s %q", d.away(), d.cfg.Kind, d.cfg.Sites[1].Entity)
	}
	local, err := d.base(d.home(), here, g.Params[paramLocalSnapshot], paramLocalSnapshot)
	if err != nil {
		return c, err
	}
	remote, err := d.base(d.away(), there, g.Params[paramRemoteSnapshot], paramRemoteSnapshot)
	if err != nil {
		return c, err
	}
	same := local.RMRGUID != nil && remote.RMRGUID != nil && *local.RMRGUID == *remote.RMRGUID && *local.RMRGUID != ""
	if !same && !g.Force {
		return c, array.Refuse("R3", "the same command with --force, if you know that they are equal", "nothing proves that %s at %s and %s at %s hold the same data (they are not snapshots of one replicated point in time); unequal bases make copies that differ for ever", local.Name, d.home(), remote.Name, d.away())
	}
	if here.Entity.Size != there.Entity.Size {
		return c, array.Refuse("", "", "%s has %d bytes, its copy at %s has %d", here.Entity.Name, here.Entity.Size, d.away(), there.Entity.Size)
	}
	c.Pairs = &[]createdPair{{
		LocalAction: actionBase, RemoteAction: actionBase, Local: here.Entity.ID, Remote: &there.Entity.ID,
		LocalBase: &local.ID, RemoteBase: &remote.ID,
	}}
	return c, nil
}

// base is the named snapshot of a side's entity.
func (d *Driver) base(site string, f *facts, name, param string) (entity, error) {
	if name == "" {
		return entity{}, &array.Error{Kind: array.KindConfig, Reason: fmt.Sprintf("target=base needs --param %s=NAME", param)}
	}
	i := slices.IndexFunc(f.Snapshots, func(e entity) bool { return e.Name == name })
	if i < 0 {
		return entity{}, array.Refuse("", "ddsgo array inventory ARRAY", "%s: %s has no snapshot %q", site, f.Entity.Name, name)
	}
	return f.Snapshots[i], nil
}

// quote is a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string can always be encoded
	return string(b)
}
