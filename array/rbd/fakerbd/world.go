package fakerbd

import (
	"bytes"
	"context"
	"fmt"
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
	orphanTicks    = 30
	makingTicks    = 25
	meetTicks      = 40
)

// World is two clusters and the daemons between them. Its methods may be called concurrently.
type World struct {
	mu        sync.Mutex
	clusters  map[string]*cluster
	tick      int
	serial    int
	linkDown  bool
	noFlush   bool // clients write without a flush after it
	copyTime  int  // ticks of a first copy
	meetTicks int  // how long an rbd-mirror needs to make itself known at the side that it pulls from
	// Calls records every command line, in order.
	calls []string
	// hook runs before a command, with the world unlocked; tests make faults with it.
	hook func(cluster, verb string) (rc int, stderr string, fail bool)
}

type cluster struct {
	name    string
	down    bool // no monitor answers
	daemon  bool // its rbd-mirror runs
	daemons int  // how many it has, if more than one
	pools   map[string]*pool
	users   map[string]bool
}

type pool struct {
	mode       string
	site       string
	peerName   string // cluster of the peer, empty: none
	peerUUID   string
	txUUID     string // of the row that the other side's rbd-mirror made here; empty: none
	txClient   string
	metLeft    int // ticks until it does
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
	tail          int      // entries since the last one that flushes: replayed, but not committed
	replayed      position // of the peer, kept in this side's journal
	snaps         []snap
	making        int // ticks until rbd-mirror, which made the image, has enabled its mirroring
	firstCopyLeft int // ticks until the first copy is complete
	replayLeft    int
	orphan        int  // ticks since the primary's image is no longer mirrored
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
	w := &World{clusters: map[string]*cluster{}, copyTime: firstCopyTicks, meetTicks: meetTicks}
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

// SetMeetTicks says how long an rbd-mirror needs to make itself known at the side that it pulls from.
func (w *World) SetMeetTicks(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meetTicks = n
}

// AddUser makes a user known to both clusters, beside admin.
func (w *World) AddUser(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.clusters {
		c.users[user] = true
	}
}

// SetDaemons says how many rbd-mirror daemons report to a cluster that has any.
func (w *World) SetDaemons(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clusters[name].daemons = n
}

// RemovePeer makes a pool forget whom it receives from.
func (w *World) RemovePeer(clusterName, poolName string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clusters[clusterName].pools[poolName].peerName = ""
}

// SetLink cuts or joins what the two daemons need of each other's cluster.
func (w *World) SetLink(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linkDown = !up
}

// SetFlush says whether clients flush what they write. Where they do not, rbd-mirror replays the last
// writes and does not commit its position until something that flushes comes after them.
func (w *World) SetFlush(flush bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noFlush = !flush
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
	case i.mirrored && !i.primary, i.making > 0, i.broken > 0:
		return fmt.Errorf("image %s on %s: read-only", name, clusterName)
	}
	i.content = slices.Clone(content)
	tail := i.tail
	i.changed()
	if w.noFlush {
		i.tail = tail + 1
	}
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

// committed is how far rbd-mirror's commit position can come.
func (i *image) committed() position { return position{i.written.tag, i.written.entry - i.tail} }

// changed counts a write that is followed by a flush, in the journal too.
func (i *image) changed() {
	i.version++
	i.tail = 0
	if slices.Contains(i.features, "journaling") {
		i.written.entry++
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
