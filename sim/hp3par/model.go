package hp3par

import (
	"slices"
	"time"
)

type role int

const (
	primary role = iota + 1
	secondary
)

func (r role) String() string {
	if r == primary {
		return "Primary"
	}
	return "Secondary"
}

func (r role) other() role { return primary + secondary - r }

type mode int

const (
	modeSync     mode = 1
	modePeriodic mode = 2
	modeAsync    mode = 4
)

func (m mode) String() string {
	switch m {
	case modeSync:
		return "Sync"
	case modePeriodic:
		return "Periodic"
	default:
		return "Async"
	}
}

// mirrored reports whether host writes reach the other side at once.
func (m mode) mirrored() bool { return m == modeSync }

// status of a group.
type status string

const (
	statusNew      status = "New"
	statusStarting status = "Starting"
	statusStarted  status = "Started"
	statusStopped  status = "Stopped"
	statusFailsafe status = "Failsafe"
)

// syncStatus of a member volume.
type syncStatus string

const (
	syncNew       syncStatus = "New"
	syncSyncing   syncStatus = "Syncing"
	syncSynced    syncStatus = "Synced"
	syncNotSynced syncStatus = "NotSynced"
	syncStopped   syncStatus = "Stopped"
)

// Policies that a group can have, in the order in which they are shown.
var groupPolicies = []string{"auto_recover", "over_per_alert", "auto_failover", "path_management", "auto_synchronize", "active_active"}

// array is one of the two systems.
type array struct {
	index    int
	name     string
	systemID int
	serial   string
	profile  profile
	licences []string
	users    map[string]*user
	cpgs     []*cpg
	volumes  map[string]*volume
	groups   map[string]*group
	hosts    map[string]*host
	vluns    []*vlun
	sets     map[string]*volumeSet
	links    []*link
	mirror   bool // target policy mirror_config
	targetID int
	nextVV   int
	nextHost int
	nextTask int
	nextRCG  int
	tasks    []*task
	lostAt   time.Time // when the link was lost; zero while it is up
}

type user struct {
	name, password, role string
	keys                 []string // authorized_keys form, without comment
}

func (u *user) mayWrite() bool { return u.role == "super" || u.role == "edit" }

type cpg struct {
	id     int
	name   string
	domain string
}

type host struct {
	id    int
	name  string
	wwns  []string
	iqns  []string
	perso int
}

type vlun struct {
	lun    int
	volume string
	host   string
}

type volumeSet struct {
	name    string
	members []string
}

// link is one Remote Copy link as one array sees it.
type link struct {
	node, address string // node is N:S:P
	peerAddress   string
}

func (l *link) name(target string) string {
	n := []byte(l.node)
	for i := range n {
		if n[i] == ':' {
			n[i] = '_'
		}
	}
	return target + "_" + string(n)
}

type volume struct {
	id       int
	name     string
	wwn      string
	size     int64
	userCPG  string
	snapCPG  string
	prov     string // full, tpvv, tdvv, snp
	copyOf   string
	readOnly bool
	comment  string
	compress bool
	created  time.Time
	expires  time.Time
	data     content
	group    *group
}

// group is a Remote Copy group as one array sees it.
type group struct {
	id         int
	array      *array
	pair       *pair
	name       string
	role       role
	natural    role
	status     status
	userCPG    string
	snapCPG    string
	domain     string
	writes     int  // host writes accepted while the peer was primary too
	cutOff     bool // the peer was failed over while nobody could reach this side, and still cannot
	byLink     bool // stopped because the link was lost, not by command
	policies   map[string]bool
	failedOver bool // made primary by failover; the peer has not followed yet
}

// reversed reports whether the role is not the natural one.
func (g *group) reversed() bool { return g.role != g.natural }

// roleName is the role as the command line shows it.
func (g *group) roleName() string {
	if g.reversed() {
		return g.role.String() + "-Rev"
	}
	return g.role.String()
}

func (g *group) peer() *group { return g.pair.sides[1-g.array.index] }

func (g *group) hasPolicy(name string) bool { return g.policies[name] }

// member is one replicated volume: on each side, by array index.
type member struct {
	vols     [2]*volume
	sync     syncStatus
	progress time.Time // when the running cycle of this member began
	last     time.Time // when this member was last brought up to date
	before   content   // receiving side's content before a cut cycle
}

// pair is what the two groups have in common.
type pair struct {
	sides    [2]*group
	creator  int // index of the array that created the group
	mode     mode
	period   time.Duration
	members  []*member
	lastSync time.Time // the instant that the secondary holds
	cycle    *cycle
	next     *event // next periodic cycle
	op       *operation
	partial  bool   // the receiving side is half written
	point    string // digest of the newest completed point
	// pointSide is the array that received the newest point and has not been
	// promoted since, or noSide.
	pointSide int
}

const noSide = -1

func (p *pair) member(array int, vol string) *member {
	for _, m := range p.members {
		if v := m.vols[array]; v != nil && v.name == vol {
			return m
		}
	}
	return nil
}

func (p *pair) setSync(s syncStatus) {
	for _, m := range p.members {
		m.sync = s
	}
}

// both calls f for the sides that exist.
func (p *pair) both(f func(g *group)) {
	for _, g := range p.sides {
		if g != nil {
			f(g)
		}
	}
}

type taskStatus int

const (
	taskDone taskStatus = iota + 1
	taskActive
	taskCancelled
	taskFailed
)

func (s taskStatus) String() string {
	return [...]string{"", "done", "active", "cancelled", "failed"}[s]
}

// Task types of the WSAPI.
const (
	typeRCopySync     = 5
	typeRCopyReverse  = 6
	typeRCopyFailover = 7
	typeRCopyRecover  = 8
	typeRCopyRestore  = 9
)

var taskTypeNames = map[int]string{
	typeRCopySync: "remote_copy_sync", typeRCopyReverse: "remote_copy_reverse", typeRCopyFailover: "remote_copy_failover",
	typeRCopyRecover: "remote_copy_recover", typeRCopyRestore: "remote_copy_restore",
}

type task struct {
	id       int
	kind     int
	name     string
	user     string
	status   taskStatus
	started  time.Time
	finished time.Time
	due      time.Time // earliest instant at which it can end
}

func (a *array) cpg(name string) *cpg {
	for _, c := range a.cpgs {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (a *array) licensed(feature string) bool { return slices.Contains(a.licences, feature) }

func (a *array) task(id int) *task {
	for _, t := range a.tasks {
		if t.id == id {
			return t
		}
	}
	return nil
}

// newTask records a task that begins now. Old tasks are forgotten.
func (a *array) newTask(kind int, name, user string, now time.Time) *task {
	a.nextTask++
	t := &task{id: a.nextTask, kind: kind, name: name, user: user, status: taskActive, started: now, due: now}
	a.tasks = append(a.tasks, t)
	if len(a.tasks) > 1000 {
		a.tasks = slices.Clone(a.tasks[len(a.tasks)-1000:])
	}
	return t
}
