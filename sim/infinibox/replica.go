package infinibox

import "time"

const (
	roleSource = "SOURCE"
	roleTarget = "TARGET"
	roleActive = "ACTIVE_ACTIVE"

	typeAsync  = "ASYNC"
	typeSync   = "SYNC"
	typeActive = "ACTIVE_ACTIVE"

	stateActive        = "ACTIVE"
	stateSuspended     = "SUSPENDED"
	stateAutoSuspended = "AUTO_SUSPENDED"

	syncSynchronized = "SYNCHRONIZED"
	syncInProgress   = "SYNC_IN_PROGRESS"
	syncInitializing = "INITIALIZING"
	syncOutOfSync    = "OUT_OF_SYNC"

	entityGroup = "CONSISTENCY_GROUP"

	defaultInterval = 240_000 // ms
	defaultRPO      = 300_000 // ms
)

// replica is one side of a replication.
type replica struct {
	id, remoteID int64
	link         int64
	entity       string // VOLUME, FILESYSTEM, CONSISTENCY_GROUP
	kind         string // ASYNC, SYNC, ACTIVE_ACTIVE
	role         string
	state        string // shown on the SOURCE only
	reason       string // of AUTO_SUSPENDED
	description  string
	localGroup   int64
	remoteGroup  int64
	localPool    int64
	remotePool   int64
	baseAction   string
	pairs        []*pair
	interval     int64 // ms
	rpo          int64 // ms

	retryInterval, retryCount, permanentWait int64 // ms, count, ms

	includingSnapshots             bool
	snapshotsRetention, lockRetain *int64
	snapshotSuffix                 string
	preferred                      *bool
	toCarry                        []int64 // local snapshots that the next job brings over

	createdAt, updatedAt int64
	startedAt            *int64 // of the last job
	lastSync, restore    *int64
	syncDuration         int64
	syncState            string // SYNC
	guid                 string // of the restore point

	// below: only on a SOURCE, on the world's clock
	cursor   time.Time // everything due before this has been done
	nextJob  time.Time
	pending  int
	job      *job
	jobCount int64
	initial  bool // the first job has not ended
	split    bool // the peer is SOURCE too
	failedAt time.Time
}

// pair is one dataset of a replica.
type pair struct {
	id, remoteID           int64
	local, remote          int64
	localAction, action    string
	localBase, remoteBase  *int64
	lastSync, restore      *int64
	session                content // what the running job sends
	base                   content // the common point in time, where the dataset has moved on
	sent                   int64   // mark of the content that a SYNC target equals
	written                bool    // the host wrote here since the last common point
	reclaimed, peerReclaim *int64
	guid                   string
}

// job is one transfer.
type job struct {
	id       int64
	initial  bool
	start    time.Time
	duration time.Duration
	done     time.Duration
	stalled  time.Time // since when, zero when it moves
	carry    []int64
}

func (b *box) findReplica(id int64) (*replica, *apiError) {
	if r, ok := b.replicas[id]; ok {
		return r, nil
	}
	return nil, notFound("replica", id)
}

// other returns the peer's side, if it exists.
func (b *box) other(r *replica) (*replica, bool) {
	there, ok := b.peer().replicas[r.remoteID]
	if !ok || there.remoteID != r.id {
		return nil, false
	}
	return there, true
}

// replicasOf returns the replicas that a dataset is in.
func (b *box) replicasOf(d *dataset) []*replica {
	var out []*replica
	for _, r := range sorted(b.replicas) {
		for _, p := range r.pairs {
			if p.local == d.id && d.id != 0 {
				out = append(out, r)
			}
		}
	}
	return out
}

// counterpart returns the peer's half of a pair of this side; nil when a member
// was taken out on that side only.
func (r *replica) counterpart(p *pair) *pair {
	for _, far := range r.pairs {
		if far.id == p.remoteID {
			return far
		}
	}
	return nil
}

func (b *box) groupReplicas(g *group) []*replica {
	var out []*replica
	for _, r := range sorted(b.replicas) {
		if r.localGroup == g.id && g.id != 0 {
			out = append(out, r)
		}
	}
	return out
}

// roles says what a dataset is in its replicas.
func (b *box) roles(d *dataset) (source, target, active bool) {
	for _, r := range b.replicasOf(d) {
		source = source || r.role == roleSource
		target = target || r.role == roleTarget
		active = active || r.role == roleActive
	}
	return source, target, active
}

// localEntity is the id and name of what a replica replicates here; a member of
// a group is never it.
func (r *replica) localEntity(b *box) (id int64, name any) {
	if r.entity == entityGroup {
		if g := b.groups[r.localGroup]; g != nil {
			return g.id, g.name
		}
		return r.localGroup, nil
	}
	if len(r.pairs) != 1 {
		return 0, nil
	}
	if d := b.datasets[r.pairs[0].local]; d != nil {
		return d.id, d.name
	}
	return r.pairs[0].local, nil
}

// mirrored describes the peer's side as this side remembers it.
func (b *box) mirrored(r *replica) (entityID int64, entityName, groupName, poolName any) {
	p := b.peer()
	if pool := p.pools[r.remotePool]; pool != nil {
		poolName = pool.name
	}
	if g := p.groups[r.remoteGroup]; g != nil && r.remoteGroup != 0 {
		groupName = g.name
	}
	if r.entity == entityGroup {
		return r.remoteGroup, groupName, groupName, poolName
	}
	if len(r.pairs) == 1 {
		entityID = r.pairs[0].remote
		if d := p.datasets[entityID]; d != nil {
			entityName = d.name
		}
	}
	return entityID, entityName, nil, poolName
}

func listReplicas(r *request) ([]view, view, *apiError) {
	var out []view
	for _, x := range sorted(r.box.replicas) {
		out = append(out, r.box.disguise(r.box.replicaView(x)))
	}
	return out, r.box.replicaView(&replica{}), nil
}

func getReplica(r *request) (any, *apiError) {
	x, err := r.box.findReplica(r.id)
	if err != nil {
		return nil, err
	}
	return r.box.disguise(r.box.replicaView(x)), nil
}

func updateReplica(r *request) (any, *apiError) {
	b := r.box
	x, err := b.findReplica(r.id)
	if err != nil {
		return nil, err
	}
	o := parseObject("replica", r.body)
	changed := *x
	if o.has("description") {
		changed.description = o.text("description")
	}
	scheduled := o.has("sync_interval") || o.has("rpo_value")
	changed.interval = o.number("sync_interval", x.interval)
	changed.rpo = o.number("rpo_value", x.rpo)
	changed.retryInterval = o.number("temporary_failure_retry_interval", x.retryInterval)
	changed.retryCount = o.number("temporary_failure_retry_count", x.retryCount)
	changed.permanentWait = o.number("permanent_failure_wait_interval", x.permanentWait)
	changed.includingSnapshots = o.flag("including_snapshots", x.includingSnapshots)
	if o.has("snapshots_retention") {
		changed.snapshotsRetention = o.optional("snapshots_retention")
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	if scheduled {
		if x.kind != typeAsync {
			return nil, conflict("NOT_ASYNC", "replica %d is %s and has no interval", x.id, x.kind)
		}
		if x.role != roleSource {
			return nil, conflict("NOT_SOURCE", "the interval is set on the SOURCE, replica %d is %s", x.id, x.role)
		}
		if err := checkSchedule(changed.interval, changed.rpo); err != nil {
			return nil, err
		}
	}
	if err := changed.checkRetries(); err != nil {
		return nil, err
	}
	changed.updatedAt = b.now()
	if scheduled && changed.interval != x.interval {
		changed.nextJob = b.w.clock.Now().Add(time.Duration(changed.interval) * time.Millisecond)
	}
	*x = changed
	if there, ok := b.other(x); ok && b.w.linkUp() {
		there.interval, there.rpo = x.interval, x.rpo
	}
	return b.replicaView(x), nil
}

// checkRetries refuses waits that would make the replica busy with nothing else.
func (r *replica) checkRetries() *apiError {
	if r.retryInterval < 0 || r.retryCount < 0 || r.permanentWait < 1000 {
		return invalid("replica: expected temporary_failure_retry_interval and _count of 0 or more, permanent_failure_wait_interval of 1000 ms or more")
	}
	return nil
}

func checkSchedule(interval, rpo int64) *apiError {
	if interval < 4000 || interval > 24*3600*1000 {
		return invalid("sync_interval %d: expected 4000..86400000 ms", interval)
	}
	if rpo <= interval {
		return invalid("rpo_value %d ms must exceed sync_interval %d ms", rpo, interval)
	}
	return nil
}
