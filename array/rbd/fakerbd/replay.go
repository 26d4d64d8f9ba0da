package fakerbd

import (
	"maps"
	"slices"
	"time"
)

// advance is one tick of everything that happens by itself.
func (w *World) advance() {
	w.tick++
	for _, name := range []string{Primary, Secondary} {
		c := w.clusters[name]
		for poolName, p := range c.pools {
			w.mirrorPool(c, w.clusters[other(name)], poolName, p)
		}
	}
}

// mirrorPool is one tick of the rbd-mirror of cluster c: it pulls from peer.
func (w *World) mirrorPool(c, peer *cluster, poolName string, p *pool) {
	for _, i := range p.images {
		if i.broken > 0 {
			i.broken--
		}
	}
	far := peer.pools[poolName]
	if !c.daemon || c.down {
		return
	}
	if p.mode == "image" && p.peerName != "" && far != nil && !peer.down && !w.linkDown {
		w.meet(far)
		for name, src := range far.images {
			if src.mirrored && src.primary {
				w.pull(p, far, name, src)
			} else if src.mirrored && src.demoted {
				w.pullDemotion(p, far, name, src)
			}
		}
		for name, i := range p.images { // the primary's image is gone or no longer mirrored: so is this one
			src := far.images[name]
			if i.mirrored && !i.primary && !i.demoted && (src == nil || !src.mirrored) && i.lineage != 0 && !w.lost(far, name) {
				if i.orphan++; i.orphan > orphanTicks { // gone within two seconds, and not into the trash
					delete(p.images, name)
				}
			}
		}
	}
	w.report(c, p)
}

// meet: an rbd-mirror that pulls makes a row at the side that it pulls from, where that has no peer.
func (w *World) meet(far *pool) {
	if far.mode != "image" || far.peerName != "" || far.txUUID != "" {
		return
	}
	if far.metLeft++; far.metLeft > w.meetTicks {
		far.txUUID = w.uuid()
	}
}

// lost: the source is missing because it is being resynced, not because it was disabled.
func (w *World) lost(far *pool, name string) bool {
	i := far.images[name]
	return i != nil && i.resyncing
}

func (w *World) pull(p, far *pool, name string, src *image) {
	i := p.images[name]
	switch {
	case i == nil:
		i = w.newImage(src.size, make([]byte, len(src.content)), src.features)
		i.making, i.mode, i.global, i.lineage = makingTicks, src.mode, src.global, src.lineage
		i.firstCopyLeft, i.version = w.copyTime, 0
		p.images[name] = i
	case i.making > 0: // it is there before its mirroring is
		i.making--
		i.mirrored = i.making == 0
	case i.resyncing:
		delete(p.images, name)
		src.replayed = position{}
	case !i.mirrored || i.primary || i.stopped:
	case i.lineage != src.lineage: // split brain: nothing moves
	case i.firstCopyLeft > 1:
		i.firstCopyLeft--
	default:
		w.replay(i, src, far, i.firstCopyLeft == 1)
		i.firstCopyLeft, i.demoted = 0, false
	}
}

// pullDemotion copies the last writes of an image that was demoted over there.
func (w *World) pullDemotion(p, far *pool, name string, src *image) {
	i := p.images[name]
	if i == nil || i.primary || i.stopped || i.lineage != src.lineage || i.firstCopyLeft > 0 || i.demotedAt > src.demotedAt {
		return
	}
	if w.replay(i, src, far, false) {
		i.sawDemotion, i.demoted = true, false
	}
}

// replay copies what is new, in some ticks; it says whether this side is up to date.
func (w *World) replay(i, src *image, far *pool, at1st bool) bool {
	if src.mode == "journal" {
		if i.copied == src.version && !at1st {
			src.replayed = src.committed()
			return true
		}
		if i.replayLeft++; i.replayLeft < replayTicks && !at1st {
			return false
		}
		i.replayLeft, i.copied, i.version = 0, src.version, src.version
		i.content, i.meta, src.replayed = slices.Clone(src.content), maps.Clone(src.meta), src.committed()
		i.userSnaps = slices.Clone(src.userSnaps)
		return true
	}
	last := len(src.snaps) - 1
	for ; last >= 0 && src.snaps[last].from != ""; last-- {
	}
	if last < 0 {
		return false
	}
	s := src.snaps[last]
	for _, have := range i.snaps {
		if have.from == far.mirrorUUID && have.remoteID == s.id {
			return have.complete
		}
	}
	if i.replayLeft++; i.replayLeft < replayTicks {
		return false
	}
	first := len(i.snaps) == 0
	i.replayLeft, i.content, i.meta, i.version = 0, slices.Clone(s.content), maps.Clone(src.meta), s.version
	if src.parent != "" && !first {
		i.content = []byte("without the parent's data")
	}
	i.userSnaps = slices.Clone(src.userSnaps)
	w.serial++
	i.snaps = append(i.snaps, snap{id: w.serial, state: "non-primary", complete: true, from: far.mirrorUUID, remoteID: s.id, version: s.version, created: w.now()})
	i.prune()
	return true
}

// now is the fake's time: it follows the real clock from the world's start, so that ages are small.
func (w *World) now() time.Time { return time.Now().UTC() }

// report refreshes what the daemon says about its images, every statusTicks.
func (w *World) report(c *cluster, p *pool) {
	for name, i := range p.images {
		if i.mirrored && (i.status.tick == 0 && w.tick%statusTicks == 0 || i.status.tick > 0 && w.tick-i.status.tick >= statusTicks) {
			i.status = w.describe(c, p, name, i)
		}
	}
}
