package rbd

import (
	"slices"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

// Parameters of the life-cycle verbs.
const (
	ParamSize           = "size"             // create: as rbd takes it, e.g. 10G
	ParamCloneOf        = "clone_of"         // create: POOL/IMAGE@SNAP
	ParamFlatten        = "flatten"          // create: yes: make the clone independent
	ParamSite           = "site"             // create, setup: the site that becomes primary; default home
	ParamDeletePeerCopy = "delete_peer_copy" // delete: yes: without it delete is refused
	ParamDeleteImage    = "delete_image"     // delete: yes: remove the primary's image too, if create made it
)

// setupFeatures are what journal mode needs, in the order in which they can be enabled.
func setupFeatures(mode string) []string {
	if mode == ModeJournal {
		return []string{"exclusive-lock", "journaling"}
	}
	return nil // snapshot mode replicates any image
}

// setup: mirroring of the pool in image mode on both sides, a peer each way, then the image. The mode
// of a pool that is already mirrored is never changed.
func (pl *planner) setup() error {
	if err := pl.bothRead(); err != nil {
		return err
	}
	if err := pl.pools(); err != nil {
		return err
	}
	if pl.p.bothPrimary() {
		return pl.twoPrimaries()
	}
	prim := pl.p.prim
	if prim < 0 {
		prim = pl.chosenPrimary()
	}
	if !pl.p.facts[prim].Exists {
		return array.Refuse("", "ddsgo array create "+pl.d.cfg.Name+" --size SIZE", "cluster %s has no image %s to be mirrored", pl.p.facts[prim].Cluster, pl.d.cfg.Image)
	}
	if err := pl.image(prim); err != nil {
		return err
	}
	pl.finish(prim)
	return nil
}

// chosenPrimary is the side that shall send first: the one that has the image, else home.
func (pl *planner) chosenPrimary() int {
	if site := pl.g.Params[ParamSite]; site != "" {
		return pl.d.site(site)
	}
	if !pl.p.facts[0].Exists && pl.p.facts[1].Exists {
		return 1
	}
	return 0
}

// pools brings both pools to image mode with a peer each.
func (pl *planner) pools() error {
	for i, s := range pl.d.cfg.Sites {
		f, pool := pl.p.facts[i], pl.d.cfg.Image.Pool
		switch {
		case !f.PoolFound:
			return array.Refuse("", "ceph --cluster "+s.Cluster.Name+" osd pool create "+pool, "%s: cluster %s has no pool %q; both sides need the same", s.Name, s.Cluster.Name, pool)
		case f.PoolMode == "pool":
			return array.Refuse("", "", "%s: pool %q is mirrored as a whole (mode pool); ddsgo needs mode image and never switches it", s.Name, pool)
		case f.PoolMode == "disabled":
			pl.add(pl.d.step(i, stepPoolEnable, "mirror chosen images of the pool", "mirror", "pool", "enable", pool, "image", "--site-name", s.Cluster.Name))
		}
	}
	for i, s := range pl.d.cfg.Sites {
		if pl.p.facts[i].Peer != nil {
			continue
		}
		other := pl.d.cfg.Sites[1-i]
		pl.receiveFrom(i, other)
		if c := other.Cluster; c.Conf != "" && c.Conf != "/etc/ceph/"+c.Name+".conf" && !strings.HasSuffix(c.Conf, "/.ceph/"+c.Name+".conf") {
			pl.warn("rbd-mirror at %s looks for /etc/ceph/%s.conf (or $HOME/.ceph); %s is not used by it", s.Name, other.Cluster.Name, other.Cluster.Conf)
		}
	}
	return nil
}

// receiveFrom adds a peer. Where the other side's rbd-mirror was quicker, there is a row of that name
// already, which only says that it pulls from here: Ceph refuses a second one, so that row is changed.
func (pl *planner) receiveFrom(i int, other Site) {
	user := other.PeerUser
	if user == "" {
		user = "admin"
	}
	pool, action := pl.d.cfg.Image.Pool, "receive from "+other.Name
	for _, row := range pl.p.facts[i].Senders {
		if row.SiteName != other.Cluster.Name {
			continue
		}
		for _, kv := range [][2]string{{"client", "client." + user}, {"direction", "rx-tx"}} {
			s := pl.d.step(i, stepPeerSet, action, "mirror", "pool", "peer", "set", pool, row.UUID, kv[0], kv[1])
			s.ID += ":" + kv[0]
			if kv[0] != "client" || row.ClientName != kv[1] {
				pl.add(s)
			}
		}
		return
	}
	pl.add(pl.d.step(i, stepPeerAdd, action, "mirror", "pool", "peer", "add", pool, "client."+user+"@"+other.Cluster.Name))
}

// image enables mirroring of the image: features first, and before them the note which were added.
func (pl *planner) image(prim int) error {
	f, img := pl.p.facts[prim], pl.d.cfg.Image.String()
	if other := pl.p.facts[1-prim]; other.Exists && !other.Mirrored && !pl.beingMade(1-prim) {
		return array.Refuse("", "rbd --cluster "+other.Cluster+" rename "+img+" "+img+".old",
			"%s has an image %s of its own, which is not mirrored: rbd-mirror would never replace it", pl.name(1-prim), pl.d.cfg.Image)
	}
	if f.Mirrored && f.Mode != pl.d.cfg.Mode {
		return array.Refuse("", "", "%s: image %s is mirrored in mode %s, configured is %s; the mode changes only by disabling, which deletes the peer's copy", pl.name(prim), img, f.Mode, pl.d.cfg.Mode)
	}
	if !f.Mirrored {
		if f.ParentImage != "" && pl.d.cfg.Mode == ModeSnapshot {
			if !pl.g.Force {
				return array.Refuse("", "rbd --cluster "+f.Cluster+" flatten "+img, "%s: %s is a clone of %s: %s (--force mirrors it all the same)", pl.name(prim), img, f.ParentImage, cloneTrap)
			}
			pl.warn("%s is a clone of %s: %s", img, f.ParentImage, cloneTrap)
		}
		pl.features(prim)
		pl.add(pl.d.step(prim, stepEnable, "mirror the image", "mirror", "image", "enable", img, pl.d.cfg.Mode))
	}
	return nil
}

func (pl *planner) features(prim int) {
	f, img := pl.p.facts[prim], pl.d.cfg.Image.String()
	var missing []string
	for _, want := range setupFeatures(pl.d.cfg.Mode) {
		if !f.has(want) {
			missing = append(missing, want)
		}
	}
	if len(missing) == 0 {
		return
	}
	// An earlier run may have been cut after some were enabled: they stay noted.
	noted := splitList(f.Meta[metaFeatures])
	for _, m := range missing {
		if !slices.Contains(noted, m) {
			noted = append(noted, m)
		}
	}
	if note := strings.Join(noted, ","); note != f.Meta[metaFeatures] {
		pl.add(pl.d.step(prim, stepNote, "note the features that are added", "image-meta", "set", img, metaFeatures, note))
	}
	for _, m := range missing {
		s := pl.d.step(prim, stepFeature, "enable "+m, "feature", "enable", img, m)
		s.ID += ":" + m
		pl.add(s)
	}
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// finish adds the schedules: on both sides, because Ceph only snapshots images that are primary there,
// and after a swap the other side has to have them.
func (pl *planner) finish(prim int) {
	if pl.d.cfg.Mode == ModeSnapshot && !pl.p.facts[prim].paused() {
		for _, i := range []int{prim, 1 - prim} {
			// Ceph refuses a schedule for an image that is not there yet.
			if !pl.p.facts[i].Mirrored && (i != prim || len(pl.Steps) == 0) {
				continue
			}
			for _, iv := range pl.d.cfg.Schedules {
				if !slices.ContainsFunc(pl.p.facts[i].Schedules, func(s Schedule) bool { return s.Interval == iv }) {
					pl.add(pl.scheduleStep(i, stepSchedule, "add", Schedule{Interval: iv}))
				}
			}
		}
	}
	if len(pl.Steps) > 0 {
		return
	}
	if !pl.p.facts[1-prim].Mirrored {
		hint := ""
		if pl.bothDaemonsSilent() {
			hint = "; none has reported yet: is one running there?"
		}
		pl.wait("the image to appear at %s (the rbd-mirror of cluster %s makes it%s)", pl.name(1-prim), pl.p.facts[1-prim].Cluster, hint)
		return
	}
	pl.Reached = true
	pl.Result = map[string]string{"global_id": pl.p.facts[prim].GlobalID, "primary": pl.name(prim)}
}

// makingTime is how long an image that rbd-mirror makes may be there without being mirrored.
const makingTime = 20 * time.Second

// beingMade says that an image at a side that receives may be one that rbd-mirror is making: for a moment
// it is there, and its mirroring is not. Somebody's own image of that name stays so; before mirroring is
// enabled, setup has seen that there is none.
func (pl *planner) beingMade(i int) bool {
	f, other := pl.p.facts[i], pl.p.facts[1-i]
	if !f.Exists || f.Mirrored || !other.Primary {
		return false
	}
	if pl.g.Did(stepEnable+":"+pl.name(1-i)) || pl.g.Did(stepResync+":"+pl.name(i)) {
		return true
	}
	switch pl.g.Verb {
	case array.Setup, array.Create, array.Resync, array.Failback: // a run of these may have been cut in that moment
		return pl.g.Baseline == nil || pl.p.o.At.Sub(pl.g.Baseline.At) < makingTime
	}
	return false
}

func (pl *planner) bothDaemonsSilent() bool {
	return !pl.p.facts[0].HasDaemon && !pl.p.facts[1].HasDaemon
}

// remove ends mirroring. Ceph then deletes the peer's image, not into the trash.
func (pl *planner) remove() error {
	img, name := pl.d.cfg.Image.String(), pl.d.cfg.Name
	if pl.p.bothPrimary() {
		return pl.twoPrimaries()
	}
	prim := pl.p.prim
	if prim < 0 {
		return pl.removeLeft()
	}
	f := pl.p.facts[prim]
	if pl.g.Params[ParamDeletePeerCopy] != "yes" {
		return array.Refuse("R3", "ddsgo array delete "+name+" --delete-peer-copy",
			"ending the mirroring of %s makes Ceph delete the image at %s at once", img, pl.name(1-prim))
	}
	if err := pl.otherRead(1 - prim); err != nil {
		return err
	}
	pl.Authoritative = pl.name(prim)
	if pl.p.reachable(1 - prim) {
		pl.warn("the image at %s is deleted, with %d snapshots", pl.name(1-prim), pl.p.facts[1-prim].UserSnaps)
	}
	for _, s := range f.Schedules {
		pl.add(pl.scheduleStep(prim, stepUnschedule, "remove", s))
	}
	pl.add(pl.d.step(prim, stepDisable, "end mirroring; the peer's copy is deleted", "mirror", "image", "disable", img))
	pl.undo(prim)
	return nil
}

// otherRead refuses while a side is silent: what is there would be deleted unseen, or stay. With --force
// that is somebody's decision.
func (pl *planner) otherRead(i int) error {
	s := pl.p.o.Sides[i]
	switch {
	case s.Reachable:
	case !pl.g.Force:
		return &array.Error{Kind: array.KindUnreachable, Site: s.Site, Reason: "what is there is not known: " + s.Error,
			Next: "ddsgo array delete " + pl.d.cfg.Name + " --delete-peer-copy --force"}
	default:
		pl.warn("%s was not read: its copy stays until its rbd-mirror learns that the mirroring has ended", s.Site)
	}
	return nil
}

// removeLeft continues after mirroring has ended: features, notes, on request the image; then rbd-mirror
// of the other side deletes its copy.
func (pl *planner) removeLeft() error {
	for i := range pl.d.cfg.Sites {
		f := pl.p.facts[i]
		if err := pl.otherRead(i); err != nil {
			return err
		}
		if !pl.p.reachable(i) || !f.Exists || f.Mirrored {
			continue
		}
		pl.undo(i)
		if len(pl.Steps) > 0 {
			return nil
		}
	}
	for i := range pl.d.cfg.Sites {
		f, other := pl.p.facts[i], pl.p.facts[1-i]
		switch {
		case !f.Mirrored:
		case other.Mirrored || !pl.p.reachable(1-i) || pl.g.Params[ParamDeletePeerCopy] != "yes":
			return array.Refuse("", "ddsgo status "+pl.d.cfg.Name, "%s: the image is mirrored, but no side is primary", pl.name(i))
		default:
			pl.wait("rbd-mirror at %s to delete its copy, which is mirrored from nothing now (%s)", pl.name(i), f.describe())
			return nil
		}
	}
	pl.Reached = true
	return nil
}

// undo takes back what setup and create added, and nothing else.
func (pl *planner) undo(i int) {
	f, img := pl.p.facts[i], pl.d.cfg.Image.String()
	if _, made := f.Meta[metaCreated]; made && pl.g.Params[ParamDeleteImage] == "yes" {
		pl.add(pl.d.step(i, stepRemove, "remove the image that create made", "rm", "--no-progress", img))
		return
	}
	added := splitList(f.Meta[metaFeatures])
	slices.Reverse(added) // journaling depends on exclusive-lock
	for _, m := range added {
		if f.has(m) {
			s := pl.d.step(i, stepFeatureOff, "disable "+m+", which setup enabled", "feature", "disable", img, m)
			s.ID += ":" + m
			pl.add(s)
		}
	}
	for _, key := range []string{metaFeatures, metaPaused, metaSync, metaWritable} {
		if _, ok := f.Meta[key]; ok {
			s := pl.d.step(i, stepForget, "forget "+key, "image-meta", "remove", img, key)
			s.ID += ":" + key
			pl.add(s)
		}
	}
}
