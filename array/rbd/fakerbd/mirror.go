package fakerbd

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (w *World) cmdPoolInfo(c *cluster, a []string) (string, *failed) {
	p := c.pools[a[0]]
	if p == nil {
		return "", fail(2, "rbd: error opening pool '%s': (2) No such file or directory", a[0])
	}
	return text(w.poolInfo(c, p)), nil
}

func (w *World) cmdPoolStatus(c *cluster, a []string) (string, *failed) {
	p := c.pools[a[0]]
	if p == nil {
		return "", fail(2, "rbd: error opening pool '%s': (2) No such file or directory", a[0])
	}
	if p.mode == "disabled" {
		return "", fail(22, "rbd: mirroring not enabled on the pool")
	}
	images, states := []obj{}, map[string]int{}
	for _, n := range slices.Sorted(maps.Keys(p.images)) {
		if i := p.images[n]; i.mirrored {
			s := w.imageStatus(c, p, n, i)
			images = append(images, s)
			_, state, _ := strings.Cut(s["state"].(string), "+")
			states[state]++
		}
	}
	daemons := []obj{}
	for n := 0; c.daemon && n < max(1, c.daemons); n++ {
		daemons = append(daemons, obj{"service_id": "4134", "instance_id": "4136", "client_id": "a", "hostname": "h", "ceph_version": "16.2.15", "leader": true, "health": "OK"})
	}
	return text(obj{"summary": obj{"health": "OK", "daemon_health": "OK", "image_health": "OK", "states": states}, "daemons": daemons, "images": images}), nil
}

func (w *World) cmdPoolEnable(c *cluster, a []string) (string, *failed) {
	p := c.pools[a[0]]
	if p == nil {
		return "", fail(2, "rbd: error opening pool '%s': (2) No such file or directory", a[0])
	}
	p.mode, p.site = a[1], c.name // it switches modes silently, too
	return "", nil
}

func (w *World) cmdPeerAdd(c *cluster, a []string) (string, *failed) {
	p := c.pools[a[0]]
	if p.peerName != "" {
		return "", fail(22, "librbd: multiple RX peers are not currently supported")
	}
	if p.txUUID != "" {
		return "", fail(17, "rbd: mirror peer already exists\n2026-11-21T01:20:12.874+0000 7f0068a0f6c0 -1 librbd::api::Mirror: peer_site_add: failed to add mirror peer '%s': (17) File exists", other(c.name))
	}
	_, p.peerName, _ = strings.Cut(a[1], "@")
	p.peerUUID = w.uuid()
	return p.peerUUID + "\n", nil
}

func (w *World) cmdPeerSet(c *cluster, a []string) (string, *failed) {
	p := c.pools[a[0]]
	if p.txUUID == "" || a[1] != p.txUUID {
		return "", fail(2, "rbd: mirror peer %s does not exist", a[1])
	}
	if a[2] == "client" {
		p.txClient = a[3]
	}
	if a[2] == "direction" && p.txClient != "" && strings.Contains(a[3], "rx") {
		p.peerName, p.peerUUID, p.txUUID = other(c.name), p.txUUID, ""
	}
	return "", nil
}

const notMirrored = "rbd: mirroring not enabled on the image"

func (w *World) cmdStatus(t target, _ []string) (string, *failed) {
	if !t.image.mirrored {
		return "", fail(22, notMirrored)
	}
	return text(w.imageStatus(t.cluster, t.pool, t.name, t.image)), nil
}

func (w *World) cmdEnable(t target, a []string) (string, *failed) {
	i, mode := t.image, "journal"
	if len(a) > 0 {
		mode = a[0]
	}
	switch {
	case t.pool.mode != "image":
		return "", fail(22, "")
	case i.mirrored && i.mode == mode:
		return "Mirroring enabled\n", nil
	case i.mirrored, mode == "journal" && !slices.Contains(i.features, "journaling"):
		return "", fail(22, "2026-11-20T20:18:13.090+0000 7f411bfff6c0 -1 librbd::mirror::EnableRequest: 0x558823da52e0 handle_get_mirror_image: invalid current image mirror mode")
	}
	w.serial++
	i.mirrored, i.mode, i.primary, i.global, i.lineage = true, mode, true, w.uuid(), w.serial
	w.mirrorSnapshot(t, "primary")
	return "Mirroring enabled\n", nil
}

// mirrorSnapshot takes a mirror snapshot, in snapshot mode only.
func (w *World) mirrorSnapshot(t target, state string) int {
	if t.image.mode != "snapshot" {
		return 0
	}
	w.serial++
	t.image.snaps = append(t.image.snaps, snap{id: w.serial, state: state, complete: true, version: t.image.version, content: slices.Clone(t.image.content), created: w.now()})
	t.image.prune()
	return w.serial
}

// keptSnaps is how many mirror snapshots of each kind an image keeps; Ceph unlinks old ones, too.
const keptSnaps = 3

// prune drops the oldest mirror snapshots.
func (i *image) prune() {
	own, copied := 0, 0
	for n := len(i.snaps) - 1; n >= 0; n-- {
		kind := &own
		if i.snaps[n].from != "" {
			kind = &copied
		}
		if *kind++; *kind > keptSnaps {
			i.snaps = slices.Delete(i.snaps, n, n+1)
		}
	}
}

func (w *World) cmdDisable(t target, _ []string) (string, *failed) {
	i := t.image
	if !i.mirrored {
		return "", fail(22, notMirrored)
	}
	if !i.primary {
		return "", fail(22, "")
	}
	i.mirrored, i.primary, i.mode, i.global, i.snaps, i.lineage = false, false, "", "", nil, 0
	return "Mirroring disabled\n", nil
}

func (w *World) cmdPromote(t target, _ []string) (string, *failed) {
	i := t.image
	switch {
	case !i.mirrored:
		return "", fail(22, notMirrored)
	case i.primary:
		return "", fail(22, "rbd: error promoting image to primary")
	case !i.demoted && !i.sawDemotion:
		return "", fail(16, "rbd: error promoting image to primary\n2026-11-20T20:18:12.874+0000 7f0068a0f6c0 -1 librbd::mirror::PromoteRequest: 0x7f0050003d70 handle_get_info: image is primary within a remote cluster or demotion is not propagated yet")
	}
	if i.demoted && t.peer != nil && t.peer.primary { // the trap: nobody asks the other side
		w.serial++
		i.lineage = w.serial
	}
	w.becomePrimary(t)
	return "Image promoted to primary\n", nil
}

func (w *World) cmdPromoteForce(t target, _ []string) (string, *failed) {
	i := t.image
	switch {
	case !i.mirrored:
		return "", fail(22, notMirrored)
	case i.primary:
		return "", fail(22, "rbd: error promoting image to primary")
	case i.firstCopyLeft > 0 && i.mode == "snapshot":
		return "", fail(22, "rbd: error promoting image to primary")
	}
	w.serial++
	i.lineage = w.serial
	w.becomePrimary(t)
	if i.broken < 0 {
		i.broken = -i.broken
	}
	return "Image promoted to primary\n", nil
}

func (w *World) becomePrimary(t target) {
	i := t.image
	i.primary, i.demoted, i.sawDemotion, i.firstCopyLeft = true, false, false, 0
	i.written, i.replayed, i.tail = position{i.written.tag + 10, 0}, position{}, 0
	if t.peer != nil {
		t.peer.sawDemotion = false
	}
	w.mirrorSnapshot(t, "primary")
}

func (w *World) cmdDemote(t target, _ []string) (string, *failed) {
	i := t.image
	switch {
	case !i.mirrored:
		return "", fail(22, notMirrored)
	case !i.primary:
		return "", fail(22, "rbd: error demoting image to non-primary")
	case len(i.watchers) > 0 && i.mode == "journal":
		return "", fail(16, "rbd: error demoting image to non-primary")
	}
	w.mirrorSnapshot(t, "demoted")
	w.serial++
	i.primary, i.demoted, i.sawDemotion, i.demotedAt, i.tail = false, true, false, w.serial, 0
	return "Image demoted to non-primary\n", nil
}

func (w *World) cmdResync(t target, _ []string) (string, *failed) {
	switch {
	case !t.image.mirrored:
		return "", fail(22, notMirrored)
	case t.image.primary:
		return "", fail(22, "rbd: error flagging image resync")
	}
	t.image.resyncing = true
	return "Flagged image for resync from primary\n", nil
}

func (w *World) cmdSnapshot(t target, _ []string) (string, *failed) {
	if !t.image.mirrored || !t.image.primary || t.image.mode != "snapshot" {
		return "", fail(22, "rbd: error creating snapshot")
	}
	return "Snapshot ID: " + strconv.Itoa(w.mirrorSnapshot(t, "primary")) + "\n", nil
}

func (w *World) cmdCreate(c *cluster, a []string) (string, *failed) {
	poolName, name, _ := strings.Cut(a[0], "/")
	p := c.pools[poolName]
	if p == nil {
		return "", fail(2, "rbd: error opening pool '%s': (2) No such file or directory", poolName)
	}
	if p.images[name] != nil {
		return "", fail(17, "rbd: create error: (17) File exists")
	}
	var features []string
	size := 0
	for i := 1; i+1 < len(a); i += 2 {
		switch a[i] {
		case "--size":
			n := strings.TrimRight(a[i+1], "KMGT")
			var err error
			if size, err = strconv.Atoi(n); err != nil {
				return "", fail(22, "rbd: invalid size")
			}
		case "--image-feature":
			features = strings.Split(a[i+1], ",")
		}
	}
	i := w.newImage(int64(size)<<20, make([]byte, 64), features)
	if slices.Contains(features, "journaling") {
		i.written = position{1, 0}
	}
	p.images[name] = i
	return "", nil
}

func (w *World) cmdClone(c *cluster, a []string) (string, *failed) {
	spec, snapName, _ := strings.Cut(a[0], "@")
	parent, err := w.find(c, spec)
	if err != nil {
		return "", err
	}
	if !slices.Contains(parent.image.userSnaps, snapName) {
		return "", fail(2, "rbd: error setting snapshot context: (2) No such file or directory")
	}
	poolName, name, _ := strings.Cut(a[1], "/")
	i := w.newImage(parent.image.size, parent.image.content, parent.image.features)
	i.parent = parent.poolName + " " + parent.name + " " + snapName
	if slices.Contains(i.features, "journaling") {
		i.written = position{1, 0}
	}
	c.pools[poolName].images[name] = i
	return "", nil
}

func (w *World) cmdCopy(t target, a []string) (string, *failed) {
	_, name, _ := strings.Cut(a[0], "/")
	if t.pool.images[name] != nil {
		return "", fail(17, "rbd: copy error: (17) File exists")
	}
	t.pool.images[name] = w.newImage(t.image.size, t.image.content, t.image.features)
	return "", nil
}

func cmdRename(_ *World, t target, a []string) (string, *failed) {
	_, name, _ := strings.Cut(a[0], "/")
	if t.pool.images[name] != nil {
		return "", fail(17, "rbd: rename error: (17) File exists")
	}
	t.pool.images[name] = t.image
	delete(t.pool.images, t.name)
	return "", nil
}
