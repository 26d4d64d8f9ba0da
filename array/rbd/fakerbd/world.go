package fakerbd

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Names of the two clusters.
const (
	Primary   = "primary"
	Secondary = "secondary"
)

// How many ticks things take.
const (
	firstCopyTicks = 12
	replayTicks    = 4
	statusTicks    = 20
)

// World is two clusters and the daemons between them. Its methods may be called concurrently.
type World struct {
	mu       sync.Mutex
	clusters map[string]*cluster
	tick     int
	serial   int
	linkDown bool
	copyTime int // ticks of a first copy
	// Calls records every command line, in order.
	calls []string
	// hook runs before a command, with the world unlocked; tests make faults with it.
	hook func(cluster, verb string) (rc int, stderr string, fail bool)
}

type cluster struct {
	name     string
	down     bool // no monitor answers
	daemon   bool // its rbd-mirror runs
	pools    map[string]*pool
	users    map[string]bool
	deadKeys bool
}

type pool struct {
	mode       string
	site       string
	peerName   string // cluster of the peer, empty: none
	peerUUID   string
	mirrorUUID string
	images     map[string]*image
	schedules  map[string][]string // by image; "-" is the pool's own
}

type image struct {
	id, parent    string
	size          int64
	features      []string
	content       []byte
	meta          map[string]string
	watchers      []string
	userSnaps     []string
	mirrored      bool
	mode, global  string
	primary       bool
	lineage       int  // what history the content belongs to
	demoted       bool // was primary, and has not been promoted since
	demotedAt     int  // when: the later one of two demoted sides holds the newer content
	sawDemotion   bool // the other side's demotion has arrived here
	version       int  // of the content, counts writes within a lineage
	copied        int  // version that the other side had when it was last copied here
	written       position
	replayed      position // of the peer, kept in this side's journal
	snaps         []snap
	firstCopyLeft int // ticks until the first copy is complete
	replayLeft    int
	stopped       bool // by the admin socket
	resyncing     bool
	broken        int // promoted by force, but not writable for so many ticks
	status        status
}

type position struct{ tag, entry int }

type snap struct {
	id       int
	state    string
	complete bool
	from     string // mirror uuid
	remoteID int
	version  int
	content  []byte
	created  time.Time
}

type status struct {
	state, description string
	updated            time.Time
	tick               int
}

// New makes two clusters with one pool each, both daemons running, mirroring off.
func New(poolName string) *World {
	w := &World{clusters: map[string]*cluster{}, copyTime: firstCopyTicks}
	for _, n := range []string{Primary, Secondary} {
		w.clusters[n] = &cluster{
			name: n, daemon: true, users: map[string]bool{"admin": true},
			pools: map[string]*pool{poolName: {mode: "disabled", mirrorUUID: w.uuid(), images: map[string]*image{}, schedules: map[string][]string{}}},
		}
	}
	return w
}

// Connect enables mirroring of the pool and adds the peers, as setup would.
func (w *World) Connect(poolName string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, c := range w.clusters {
		p := c.pools[poolName]
		p.mode, p.site, p.peerName, p.peerUUID = "image", n, other(n), w.uuid()
	}
}

func other(name string) string {
	if name == Primary {
		return Secondary
	}
	return Primary
}

func (w *World) uuid() string {
	w.serial++
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", w.serial*2654435761&0xffffffff, w.serial)
}

// SetDown makes a cluster's monitors answer no more, or again. Its daemon dies with it.
func (w *World) SetDown(name string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clusters[name].down = down
}

// SetDaemon stops or starts a cluster's rbd-mirror. A start forgets stops by the admin socket.
func (w *World) SetDaemon(name string, running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[name]
	c.daemon = running
	for _, p := range c.pools {
		for _, i := range p.images {
			i.stopped = false
		}
	}
}

// SetLink cuts or joins what the two daemons need of each other's cluster.
func (w *World) SetLink(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linkDown = !up
}

// SetFirstCopyTicks makes first copies that begin from now on take so long.
func (w *World) SetFirstCopyTicks(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copyTime = n
}

// SetHook installs a function that may make a command fail.
func (w *World) SetHook(h func(cluster, verb string) (rc int, stderr string, fail bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = h
}

// Open puts a watcher on an image, as a client does that uses it; Shut removes it.
func (w *World) Open(clusterName, poolName, name string) {
	w.withImage(clusterName, poolName, name, func(i *image) { i.watchers = append(i.watchers, "192.0.2.7:0/123") })
}

// Shut removes all watchers of Open.
func (w *World) Shut(clusterName, poolName, name string) {
	w.withImage(clusterName, poolName, name, func(i *image) { i.watchers = nil })
}

// AddUserSnapshot makes a snapshot that is not mirroring's own.
func (w *World) AddUserSnapshot(clusterName, poolName, name, snapName string) {
	w.withImage(clusterName, poolName, name, func(i *image) { i.userSnaps = append(i.userSnaps, snapName) })
}

// SetPoolMode changes a pool's mirroring mode behind everybody's back.
func (w *World) SetPoolMode(clusterName, poolName, mode string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clusters[clusterName].pools[poolName].mode = mode
}

// BreakPromotion makes the next forced promotion of an image leave it read-only for so many ticks.
func (w *World) BreakPromotion(clusterName, poolName, name string, ticks int) {
	w.withImage(clusterName, poolName, name, func(i *image) { i.broken = -ticks })
}

func (w *World) withImage(clusterName, poolName, name string, f func(*image)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.clusters[clusterName].pools[poolName].images[name]; i != nil {
		f(i)
	}
}

// Make creates an image with content on one cluster.
func (w *World) Make(clusterName, poolName, name string, content []byte, features ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clusters[clusterName].pools[poolName].images[name] = w.newImage(int64(len(content)), content, features)
}

func (w *World) newImage(size int64, content []byte, features []string) *image {
	w.serial++
	if features == nil {
		features = []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"}
	}
	return &image{id: fmt.Sprintf("%x", 0x10000000+w.serial), size: size, content: slices.Clone(content), meta: map[string]string{}, features: slices.Clone(features), version: 1}
}

// Write changes an image's content as a client would; it fails where the image is not writable.
func (w *World) Write(clusterName, poolName, name string, content []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[clusterName]
	i := c.pools[poolName].images[name]
	switch {
	case c.down:
		return fmt.Errorf("cluster %s is down", clusterName)
	case i == nil:
		return fmt.Errorf("no image %s on %s", name, clusterName)
	case i.mirrored && !i.primary, i.broken > 0:
		return fmt.Errorf("image %s on %s: read-only", name, clusterName)
	}
	i.content = slices.Clone(content)
	i.changed()
	return nil
}

// Content reads an image; nil when it is not there.
func (w *World) Content(clusterName, poolName, name string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.clusters[clusterName].pools[poolName].images[name]; i != nil {
		return bytes.Clone(i.content)
	}
	return nil
}

// ID is an image's id, empty when it is not there. A resync gives it a new one.
func (w *World) ID(clusterName, poolName, name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.clusters[clusterName].pools[poolName].images[name]; i != nil {
		return i.id
	}
	return ""
}

// Calls returns the command lines so far.
func (w *World) Calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// changed counts a write, in the journal too.
func (i *image) changed() {
	i.version++
	if slices.Contains(i.features, "journaling") {
		i.written.entry++
	}
}

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
				delete(p.images, name)
			}
		}
	}
	w.report(c, p)
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
		i.mirrored, i.mode, i.global, i.lineage = true, src.mode, src.global, src.lineage
		i.firstCopyLeft, i.version = w.copyTime, 0
		p.images[name] = i
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
			src.replayed = src.written
			return true
		}
		if i.replayLeft++; i.replayLeft < replayTicks && !at1st {
			return false
		}
		i.replayLeft, i.copied, i.version = 0, src.version, src.version
		i.content, i.meta, src.replayed = slices.Clone(src.content), maps.Clone(src.meta), src.written
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
	i.replayLeft, i.content, i.meta, i.version = 0, slices.Clone(s.content), maps.Clone(src.meta), s.version
	w.serial++
	i.snaps = append(i.snaps, snap{id: w.serial, state: "non-primary", complete: true, from: far.mirrorUUID, remoteID: s.id, version: s.version, created: w.now()})
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

// IsPrimary says whether an image is primary on a cluster.
func (w *World) IsPrimary(clusterName, poolName, name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.clusters[clusterName].pools[poolName].images[name]
	return i != nil && i.primary
}

// Socket sends a word (start, stop) for an image to the admin socket of a cluster's rbd-mirror.
func (w *World) Socket(_ context.Context, clusterName, word, spec string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.socket(clusterName, []string{"rbd", "mirror", word, spec}); err != nil {
		return fmt.Errorf("%s", err.stderr)
	}
	return nil
}
