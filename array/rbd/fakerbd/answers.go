package fakerbd

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// obj is one JSON object.
type obj = map[string]any

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // test code: every value here is plain data
	}
	return string(b) + "\n"
}

// describe is what a live daemon would report now.
func (w *World) describe(c *cluster, p *pool, name string, i *image) status {
	s := status{updated: w.now(), tick: w.tick}
	peer := w.clusters[other(c.name)]
	var src *image
	if far := peer.pools[w.poolName(c, p)]; far != nil {
		src = far.images[name]
	}
	switch {
	case i.primary:
		s.state, s.description = "up+stopped", "local image is primary"
	case i.stopped:
		s.state, s.description = "up+stopped", "stopped"
	case src != nil && src.lineage != i.lineage && src.primary:
		s.state, s.description = "up+error", map[string]string{"journal": "split-brain detected", "snapshot": "split-brain"}[i.mode]
	case src == nil || !src.primary:
		s.state, s.description = "up+unknown", "remote image is not primary"
	case i.firstCopyLeft > 0 && i.mode == "journal":
		s.state, s.description = "up+syncing", "bootstrapping, IMAGE_SYNC/COPY_IMAGE 46%"
	case i.mode == "journal":
		s.state, s.description = "up+replaying", `replaying, {"bytes_per_second":0.0,"entries_behind_primary":0,"entries_per_second":0.0}`
	default:
		s.state, s.description = "up+replaying", `replaying, {"replay_state":"idle"}`
	}
	return s
}

func (w *World) poolName(c *cluster, p *pool) string {
	for n, x := range c.pools {
		if x == p {
			return n
		}
	}
	return ""
}

func (w *World) imageStatus(c *cluster, p *pool, name string, i *image) obj {
	o := obj{"name": name, "global_id": i.global, "state": "down+unknown", "description": "status not found", "last_update": ""}
	if !i.status.updated.IsZero() {
		state := i.status.state
		if !c.daemon {
			state = "down" + state[2:] // kept from its daemon's last words
		} else {
			o["daemon_service"] = obj{"service_id": "4134", "instance_id": "4136", "daemon_id": "a", "hostname": "h"}
		}
		o["state"], o["description"] = state, i.status.description
		o["last_update"] = i.status.updated.Format("2006-01-02 15:04:05")
	}
	peerState := obj{"site_name": other(c.name), "mirror_uuids": "", "state": "down+unknown", "description": "status not found", "last_update": ""}
	if far := w.clusters[other(c.name)].pools[w.poolName(c, p)]; far != nil && far.images[name] != nil && far.images[name].status.tick > 0 {
		s := far.images[name].status
		peerState["state"], peerState["description"], peerState["last_update"] = s.state, s.description, s.updated.Format("2006-01-02 15:04:05")
	}
	o["peer_sites"] = []obj{peerState}
	return o
}

func imageInfo(name string, i *image) obj {
	o := obj{"name": name, "id": i.id, "size": i.size, "objects": 1, "object_size": 4194304, "snapshot_count": len(i.userSnaps), "features": slices.Clone(i.features), "flags": []string{}}
	if i.parent != "" {
		var pool, img, sn string
		if _, err := fmt.Sscanf(i.parent, "%s %s %s", &pool, &img, &sn); err == nil {
			o["parent"] = obj{"pool": pool, "pool_namespace": "", "image": img, "snapshot": sn, "trash": false, "overlap": i.size}
		}
	}
	if slices.Contains(i.features, "journaling") {
		o["journal"] = i.id
	}
	if i.mirrored {
		o["mirroring"] = obj{"mode": i.mode, "state": "enabled", "global_id": i.global, "primary": i.primary}
		if !i.primary && i.mode == "snapshot" {
			o["features"] = append(slices.Clone(i.features), "non-primary")
		}
	}
	return o
}

func (w *World) snapList(i *image) []obj {
	rows := []obj{}
	for n, s := range i.userSnaps {
		rows = append(rows, obj{"id": n + 1, "name": s, "size": i.size, "protected": "false", "timestamp": "Fri Nov 20 20:17:34 2026", "namespace": obj{"type": "user"}})
	}
	if i.firstCopyLeft > 0 && i.mode == "journal" {
		rows = append(rows, obj{"id": 900, "name": ".rbd-mirror.aaaa.bbbb", "size": i.size, "protected": "false", "timestamp": "", "namespace": obj{"type": "user"}})
	}
	for _, s := range i.snaps {
		ns := obj{"type": "mirror", "state": s.state, "mirror_peer_uuids": []string{}, "complete": s.complete}
		name := ".mirror.primary." + i.global
		if s.from != "" {
			ns["primary_mirror_uuid"], ns["primary_snap_id"] = s.from, s.remoteID
			name = ".mirror.non_primary." + i.global
		}
		rows = append(rows, obj{"id": s.id, "name": fmt.Sprint(name, ".", s.id), "size": i.size, "protected": "false", "timestamp": s.created.Format("Mon Jan _2 15:04:05 2006"), "namespace": ns})
	}
	return rows
}

func (w *World) journalStatus(peer *pool, i *image) obj {
	at := func(x position) []obj {
		if x == (position{}) {
			return []obj{}
		}
		return []obj{{"object_number": 7, "tag_tid": x.tag, "entry_tid": x.entry}}
	}
	clients := []obj{{"id": "", "commit_position": obj{"object_positions": at(i.written)}, "state": "connected"}}
	if peer != nil && peer.peerName != "" { // who pulls registers, whoever this side pulls from
		clients = append(clients, obj{"id": peer.mirrorUUID, "commit_position": obj{"object_positions": at(i.replayed)}, "state": "connected"})
	}
	return obj{"minimum_set": 0, "active_set": 0, "registered_clients": clients}
}

func (w *World) poolInfo(c *cluster, p *pool) obj {
	if p.mode == "disabled" {
		return obj{"mode": "disabled"}
	}
	o := obj{"mode": p.mode, "site_name": p.site, "peers": []obj{}}
	if p.peerName == "" && p.txUUID != "" {
		o["peers"] = []obj{{"uuid": p.txUUID, "direction": "tx-only", "site_name": other(c.name), "mirror_uuid": w.clusters[other(c.name)].pools[w.poolName(c, p)].mirrorUUID, "client_name": p.txClient}}
	}
	if p.peerName != "" {
		far := w.clusters[p.peerName].pools[w.poolName(c, p)]
		uuid := ""
		if far != nil {
			uuid = far.mirrorUUID
		}
		o["peers"] = []obj{{"uuid": p.peerUUID, "direction": "rx-tx", "site_name": p.peerName, "mirror_uuid": uuid, "client_name": "client.admin"}}
	}
	return o
}

func scheduleList(c *cluster) []obj {
	rows := []obj{}
	for _, poolName := range slices.Sorted(maps.Keys(c.pools)) {
		for _, img := range slices.Sorted(maps.Keys(c.pools[poolName].schedules)) {
			items := []obj{}
			for _, iv := range c.pools[poolName].schedules[img] {
				items = append(items, obj{"interval": iv, "start_time": ""})
			}
			if len(items) > 0 {
				ns := ""
				if img == "-" {
					ns = "-"
				}
				rows = append(rows, obj{"pool": poolName, "namespace": ns, "image": img, "items": items})
			}
		}
	}
	return rows
}
