package infinibox

import (
	"strings"
	"time"
)

// Words of the box that decisions rest upon. Every other word is unknown.
const (
	wordSource = "SOURCE"
	wordTarget = "TARGET"

	wordAsync = "ASYNC"
	wordSync  = "SYNC"

	wordActive        = "ACTIVE"
	wordSuspended     = "SUSPENDED"
	wordAutoSuspended = "AUTO_SUSPENDED"

	wordSynchronized = "SYNCHRONIZED"

	wordUp   = "UP"
	wordDown = "DOWN"
)

// replica is a replica as one box shows it. What is null or absent is nil.
type replica struct {
	ID               int64    `json:"id"`
	RemoteReplicaID  *int64   `json:"remote_replica_id"`
	LinkID           *int64   `json:"link_id"`
	Role             string   `json:"role"`
	Type             string   `json:"replication_type"`
	EntityType       string   `json:"entity_type"`
	State            *string  `json:"state"`
	StateReason      *string  `json:"state_reason"`
	StateDescription *string  `json:"state_description"`
	JobState         *string  `json:"job_state"`
	PendingJobs      *int64   `json:"pending_job_count"`
	Progress         *float64 `json:"progress"` // percent of the running job
	IsInitial        *bool    `json:"is_initial"`
	SyncState        *string  `json:"sync_state"`
	AsyncMode        *bool    `json:"async_mode"` // SYNC that fell back
	Interval         *int64   `json:"sync_interval"`
	RPO              *int64   `json:"rpo_value"`
	RPOState         *string  `json:"rpo_state"`
	StartedAt        *int64   `json:"started_at"` // of the newest job of this side
	LastSynchronized *int64   `json:"last_synchronized"`
	RestorePoint     *int64   `json:"restore_point"`
	LocalEntityID    *int64   `json:"local_entity_id"`
	RemoteEntityID   *int64   `json:"remote_entity_id"`
	LocalCGID        *int64   `json:"local_cg_id"`
	RemoteCGID       *int64   `json:"remote_cg_id"`
	Concurrent       *bool    `json:"concurrent_replica"`
	Pairs            []pair   `json:"entity_pairs"`
}

// pair is one member of a replica.
type pair struct {
	ID               int64   `json:"id"`
	LocalEntityID    int64   `json:"local_entity_id"`
	RemoteEntityID   int64   `json:"remote_entity_id"`
	LocalName        *string `json:"local_entity_name"`
	RemoteName       *string `json:"remote_entity_name"`
	LastSynchronized *int64  `json:"last_synchronized"`
	RestorePoint     *int64  `json:"restore_point"`
	LocalReclaimed   *int64  `json:"_local_reclaimed_snapshot_id"`
}

// entity is a volume, a filesystem, a consistency group, or a snapshot of one.
type entity struct {
	ID           int64   `json:"id"`
	Name         string  `json:"name"`
	Type         string  `json:"type"` // MASTER or SNAPSHOT
	Size         int64   `json:"size"`
	Used         *int64  `json:"used"`
	PoolID       *int64  `json:"pool_id"`
	ParentID     *int64  `json:"parent_id"`
	CGID         *int64  `json:"cg_id"`
	Mapped       *bool   `json:"mapped"`
	ReplicaIDs   []int64 `json:"replica_ids"`
	RMRGUID      *string `json:"rmr_snapshot_guid"` // of the replicated point in time that a snapshot holds
	HasChildren  *bool   `json:"has_children"`
	MembersCount *int64  `json:"members_count"`
}

type pool struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// link is the relation with the other box.
type link struct {
	ID           int64   `json:"id"`
	Name         string  `json:"name"`
	RemoteLinkID *int64  `json:"remote_link_id"`
	State        *string `json:"link_state"`
	RemoteSystem *string `json:"remote_system_name"`
	RemoteSerial *int64  `json:"remote_system_serial_number"`
	AsyncOnly    *bool   `json:"async_only"`
}

// Kinds of entities, as the configuration writes them.
const (
	KindVolume     = "volume"
	KindFilesystem = "filesystem"
	KindGroup      = "cg"
)

// collectionOf is where entities of a kind are found.
func collectionOf(kind string) string {
	return map[string]string{KindVolume: "volumes", KindFilesystem: "filesystems", KindGroup: "cgs"}[kind]
}

// wireKind is what the box calls a kind.
func wireKind(kind string) string {
	return map[string]string{KindVolume: "VOLUME", KindFilesystem: "FILESYSTEM", KindGroup: "CONSISTENCY_GROUP"}[kind]
}

// word is the text of a field, empty where it is null.
func word(s *string) string {
	if s == nil {
		return ""
	}
	return strings.ToUpper(*s)
}

func truth(b *bool) bool { return b != nil && *b }

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// instant is the time of epoch milliseconds; nil: never.
func instant(ms *int64) *time.Time {
	if ms == nil || *ms <= 0 {
		return nil
	}
	t := time.UnixMilli(*ms).UTC()
	return &t
}

// busy says that a job runs or waits its turn. The words are those of the vendor's
// SDK; a replica without a job shows null or IDLE.
func (r *replica) busy() bool {
	switch word(r.JobState) {
	case "INITIALIZING", "REPLICATING", "PENDING", "STALLED":
		return true
	}
	return number(r.PendingJobs) > 0
}

func (r *replica) stalled() bool { return word(r.JobState) == "STALLED" }

// initial says that the first copy is not complete. A SYNC replica may have no times.
func (r *replica) initial() bool {
	if r.Type == wordSync {
		state := word(r.SyncState)
		return state == "INITIALIZING" || state == "INITIALIZING_PENDING" || truth(r.IsInitial) && state != wordSynchronized
	}
	return truth(r.IsInitial) || r.point() == nil
}

// neverCopied says that a TARGET has nothing to fail over to, as far as can be seen.
func (r *replica) neverCopied() bool { return r.Type == wordAsync && r.point() == nil }

// point is the instant that the copy shows: the restore point, or where the box tells
// none, the end of the last job.
func (r *replica) point() *int64 {
	if r.RestorePoint != nil {
		return r.RestorePoint
	}
	return r.LastSynchronized
}

// freshlyPromoted says that an ASYNC SOURCE has not replicated since it became SOURCE:
// its newest job began before the restore point, which the other side's jobs moved.
func (r *replica) freshlyPromoted() bool {
	if r.Type != wordAsync || r.RestorePoint == nil {
		return false
	}
	return r.StartedAt == nil || *r.StartedAt < *r.RestorePoint
}

// foreign says why a replica is shown and never acted on; empty: it is one of ours.
func (r *replica) foreign() string {
	switch {
	case r.Type != wordAsync && r.Type != wordSync:
		return "replication type " + r.Type
	case r.Role != wordSource && r.Role != wordTarget:
		return "role " + r.Role
	case truth(r.Concurrent):
		return "concurrent replication"
	}
	return ""
}
