package infinibox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// facts are what one box says about the resource. They stand in Side.Native, for
// status, and Plan decides by them.
type facts struct {
	Entity  *entity   `json:"entity"`  // nil: there is none of that name
	Members []entity  `json:"members"` // of a consistency group
	Replica *replica  `json:"replica"` // nil: there is none
	Others  []replica `json:"others"`  // further replicas of the entity
	Link    *link     `json:"link"`    // nil: there is none
	// Only while there is no replica, for create and after delete.
	Pool      *pool    `json:"pool,omitempty"`
	Snapshots []entity `json:"snapshots,omitempty"`

	AutoCreate bool `json:"replica_auto_create"`
	SyncOn     bool `json:"sync_replication"`
}

// nativeKey is where facts stand in Side.Native.
const nativeKey = "infinibox"

// factsOf are what a side told; never nil.
func factsOf(o array.Observation, site string) *facts {
	if f, ok := o.Side(site).Native[nativeKey].(*facts); ok {
		return f
	}
	return &facts{}
}

// Observe implements array.Driver: it reads both boxes at the same time.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	if err := ctx.Err(); err != nil {
		return array.Observation{}, err
	}
	var seen [2]*facts
	var errs [2]error
	var wg sync.WaitGroup
	for i, s := range d.cfg.Sites {
		wg.Go(func() { seen[i], errs[i] = d.read(ctx, s) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return array.Observation{}, err
	}
	for i := range seen { // a side whose entity has another name is found by its partner's id
		if errs[i] == nil && errs[1-i] == nil && seen[i].Replica == nil && seen[1-i].Replica != nil {
			errs[i] = d.readPartner(ctx, d.cfg.Sites[i], seen[i], seen[1-i].Replica)
		}
	}
	o := array.Observation{At: time.Now(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	for i, s := range d.cfg.Sites {
		o.Sides = append(o.Sides, sideOf(s.Name, o.At, seen[i], errs[i]))
	}
	d.judge(&o)
	return o, nil
}

// read asks one box.
func (d *Driver) read(ctx context.Context, s Site) (*facts, error) {
	f := &facts{}
	var err error
	if f.Entity, err = byName[entity](ctx, s.Client, collectionOf(d.cfg.Kind), s.Entity); err != nil {
		return nil, err
	}
	f.AutoCreate, f.SyncOn = s.Client.feature(featureAutoCreate), s.Client.feature(featureSync)
	links, err := list[link](ctx, s.Client, "links")
	if err != nil {
		return nil, err
	}
	if f.Entity != nil {
		field := "local_entity_id"
		if d.cfg.Kind == KindGroup {
			field = "local_cg_id"
		}
		found, err := list[replica](ctx, s.Client, "replicas", eqID(field, f.Entity.ID))
		if err != nil {
			return nil, err
		}
		d.choose(f, links, found)
		if d.cfg.Kind == KindGroup {
			if f.Members, err = list[entity](ctx, s.Client, fmt.Sprintf("cgs/%d/members", f.Entity.ID)); err != nil {
				return nil, err
			}
		}
	}
	f.Link = d.linkOf(links, f.Replica)
	if f.Replica == nil {
		return f, d.readAround(ctx, s, f)
	}
	return f, nil
}

// choose takes the replica over the configured link, or the only one.
func (d *Driver) choose(f *facts, links []link, found []replica) {
	found = slices.DeleteFunc(found, func(r replica) bool { return r.EntityType != "" && r.EntityType != wireKind(d.cfg.Kind) })
	at := -1
	for i, r := range found {
		over := slices.IndexFunc(links, func(l link) bool { return l.ID == number(r.LinkID) })
		if d.cfg.Link == "" || over >= 0 && links[over].Name == d.cfg.Link {
			at = i
			break
		}
	}
	if at < 0 && len(found) == 1 && !slices.ContainsFunc(links, func(l link) bool { return l.Name == d.cfg.Link }) {
		at = 0 // the link has another name on this box
	}
	if at >= 0 {
		r := found[at]
		f.Replica = &r
		found = slices.Delete(found, at, at+1)
	}
	f.Others = found
}

// linkOf is the link of the replica, or the configured one, or the only one.
func (d *Driver) linkOf(links []link, r *replica) *link {
	for _, fits := range []func(link) bool{
		func(l link) bool { return r != nil && l.ID == number(r.LinkID) },
		func(l link) bool { return r == nil && d.cfg.Link != "" && l.Name == d.cfg.Link },
		func(l link) bool { return r == nil && d.cfg.Link == "" && len(links) == 1 },
	} {
		if i := slices.IndexFunc(links, fits); i >= 0 {
			return &links[i]
		}
	}
	return nil
}

// readAround reads what create needs, and what delete left.
func (d *Driver) readAround(ctx context.Context, s Site, f *facts) error {
	var err error
	if s.Pool != "" {
		if f.Pool, err = byName[pool](ctx, s.Client, "pools", s.Pool); err != nil {
			return err
		}
	}
	if f.Entity == nil {
		return nil
	}
	f.Snapshots, err = list[entity](ctx, s.Client, collectionOf(d.cfg.Kind), eqID("parent_id", f.Entity.ID))
	return err
}

// readPartner looks for the replica by the id that the other box remembers.
func (d *Driver) readPartner(ctx context.Context, s Site, f *facts, partner *replica) error {
	if partner.RemoteReplicaID == nil {
		return nil
	}
	r, err := get[replica](ctx, s.Client, fmt.Sprintf("replicas/%d", *partner.RemoteReplicaID))
	if err != nil || r == nil || number(r.RemoteReplicaID) != partner.ID {
		return err
	}
	f.Replica, f.Pool, f.Snapshots = r, nil, nil
	id := number(r.LocalEntityID)
	if d.cfg.Kind == KindGroup {
		id = number(r.LocalCGID)
	}
	if f.Entity, err = get[entity](ctx, s.Client, fmt.Sprintf("%s/%d", collectionOf(d.cfg.Kind), id)); err != nil {
		return err
	}
	if d.cfg.Kind == KindGroup && f.Entity != nil {
		if f.Members, err = list[entity](ctx, s.Client, fmt.Sprintf("cgs/%d/members", id)); err != nil {
			return err
		}
	}
	if f.Link, err = get[link](ctx, s.Client, fmt.Sprintf("links/%d", number(r.LinkID))); err != nil {
		return err
	}
	return nil
}

// sideOf translates one box's answer. A box that answers what cannot be understood is
// reachable and unknown: it must not pass for a lost one.
func sideOf(site string, at time.Time, f *facts, err error) array.Side {
	s := array.Side{Site: site, Role: array.RoleUnknown}
	if err != nil {
		s.Error = err.Error()
		var box *BoxError
		s.Reachable = errors.As(err, &box) || errors.Is(err, ErrUnreadable) || errors.Is(err, ErrUnauthorized)
		if s.Reachable {
			s.ObservedAt, s.Native = at, map[string]any{"error": s.Error}
		}
		return s
	}
	s.Reachable, s.ObservedAt, s.Native = true, at, map[string]any{nativeKey: f}
	s.Writers = writersOf(f)
	switch {
	case f.Replica == nil:
		s.Role = array.RoleNone
	case f.Replica.Role == wordSource:
		s.Role, s.Writable = array.RolePrimary, array.Yes
	case f.Replica.Role == wordTarget:
		s.Role, s.Writable = array.RoleSecondary, array.No
	}
	return s
}

// writersOf: volumes that are mapped to no host have no writers. Who uses a mapping, a
// box does not tell, nor who mounts a filesystem.
func writersOf(f *facts) array.Tri {
	all := f.Members
	if f.Entity != nil && len(all) == 0 {
		all = []entity{*f.Entity}
	}
	for _, e := range all {
		if e.Mapped == nil || *e.Mapped {
			return array.Unknown
		}
	}
	if len(all) == 0 {
		return array.Unknown
	}
	return array.No
}

// judge fills what follows from both sides.
func (d *Driver) judge(o *array.Observation) {
	o.Link = d.linkState(*o)
	var known []*replica
	for _, s := range o.Sides {
		if !s.Reachable {
			continue
		}
		f := factsOf(*o, s.Site)
		switch {
		case f.Replica != nil:
			known = append(known, f.Replica)
			d.judgeForeign(o, s.Site, f)
		case s.Role == array.RoleNone:
			text := fmt.Sprintf("%s: there is no replica of %s %s", s.Site, d.cfg.Kind, d.cfg.Entity)
			o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonAbsent, Text: text, Next: d.command("array create")})
		default:
			o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonUnknownValue, Text: s.Site + ": " + s.Error})
		}
	}
	if len(known) == 0 {
		if o.AllReachable() && len(o.Reasons) > 0 && o.Reasons[0].Code == array.ReasonAbsent {
			o.Replication = array.Stopped
		}
		return
	}
	if len(known) == 2 && (number(known[0].RemoteReplicaID) != known[1].ID || number(known[1].RemoteReplicaID) != known[0].ID) {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonAbsent, Text: fmt.Sprintf("replicas %d and %d are not partners of each other", known[0].ID, known[1].ID), Next: d.command("array show")})
	}
	d.judgeReplica(o)
}

// judgeForeign: what is not a plain replica is shown, and never healthy.
func (d *Driver) judgeForeign(o *array.Observation, site string, f *facts) {
	if why := f.Replica.foreign(); why != "" {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonUnknownValue, Text: fmt.Sprintf("%s: %s is shown, but not handled", site, why), Next: d.command("array show")})
	} else if len(f.Others) > 0 {
		o.Reasons = append(o.Reasons, array.Reason{Code: array.ReasonUnknownValue, Text: fmt.Sprintf("%s: %d more replica(s) of the same %s are shown, but not handled", site, len(f.Others), d.cfg.Kind), Next: d.command("array show")})
	}
	if want := strings.ToUpper(d.cfg.Mode); f.Replica.foreign() == "" && f.Replica.Type != want {
		d.addOnce(o, array.ReasonWrongMode, fmt.Sprintf("the replica is %s, configured is %s", f.Replica.Type, want), d.command("array create"))
	}
}

func (d *Driver) addOnce(o *array.Observation, code array.ReasonCode, text, next string) {
	if !slices.ContainsFunc(o.Reasons, func(r array.Reason) bool { return r.Code == code }) {
		o.Reasons = append(o.Reasons, array.Reason{Code: code, Text: text, Next: next})
	}
}

// linkState believes "up" only from every box that answers.
func (d *Driver) linkState(o array.Observation) array.Link {
	up := false
	for _, s := range o.Sides {
		l := factsOf(o, s.Site).Link
		if !s.Reachable || l == nil {
			continue
		}
		switch word(l.State) {
		case wordUp:
			up = true
		case wordDown:
			return array.LinkDown
		default:
			return array.LinkUnknown
		}
	}
	if up {
		return array.LinkUp
	}
	return array.LinkUnknown
}
