// Package infinibox drives Infinidat InfiniBox replicas over the REST API of both
// boxes.
//
// # Words
//
//   - box: one InfiniBox system, reached at one or several management addresses.
//   - entity: what is replicated: a volume, a filesystem or a consistency group.
//   - replica: the replication of one entity; it exists on both boxes, as SOURCE
//     (writable) and TARGET (read-only), each knowing the other's id.
//   - pair: one member of a replica; a volume's replica has exactly one.
//   - restore point: the instant that the TARGET's content shows; it moves when a job
//     ends, to the instant at which the job began.
//   - link: the relation of the two boxes, which exists on both, too.
//
// # How the box's words become those of package array
//
//	box                                array
//	role SOURCE / TARGET               primary, writable / secondary, not writable
//	role ACTIVE_ACTIVE, any other      unknown; such a replica is shown, never acted on
//	no replica                         none, reason absent
//	state ACTIVE, first job not ended  initial
//	state ACTIVE                       running (link down or sync_state behind: with a reason)
//	state SUSPENDED                    held
//	state AUTO_SUSPENDED               stopped, reason not_started with the box's own reason
//	any other state                    unknown, reason unknown_value
//	restore_point                      last_sync, and the sync point of R4 (ASYNC)
//	volume that is mapped to no host   no writers; mapped: unknown
//
// state, job_state and sync_state are believed on the SOURCE only: on a TARGET they
// mean nothing. Times are epoch milliseconds of the box's clock.
//
// # The verbs
//
//	update     SOURCE: wait for a running job to end, sync, wait for a restore point
//	           that is newer. SYNC: wait for SYNCHRONIZED
//	break      suspend on the SOURCE          resume     resume on the SOURCE
//	swap       SYNC, SYNCHRONIZED: switch_role. ASYNC: update, suspend, change_role of the
//	           old SOURCE, then of the old TARGET, resume on the new SOURCE. Never
//	           the other way round: where the old SOURCE refuses, replication is
//	           resumed and the verb fails
//	failover   change_role on the TARGET; what is reported is its restore point. With
//	           --force, an old SOURCE that answers loses its role first
//	failback   two SOURCEs: the one named by --discard becomes TARGET, the other one
//	           resumes. Then, unless --prepare, swap to the home site
//	create     the table in shape.go; run again, it brings type, interval and RPO in line
//	           with the configuration
//
// The box suspends a replica whose role was changed. Such a suspension is told from one
// by an operator by the box's own times: a SOURCE whose newest job began before its
// restore point, or that never had one, has not replicated since it became SOURCE. A
// swap that was cut off there is finished by the same swap; a break stays.
//
// # Requests
//
// One envelope {"result", "error", "metadata"} is around every answer. A session is
// opened where the box offers it, renewed once when it has expired, else each request
// carries Basic credentials. Only a request that was not sent, one that the box
// refused with 503, and a GET are tried on another management address: a lost reply to
// anything else is followed by an observation (R7). When a box asks for approval, its
// reasons are logged and the request is repeated as approved if the verb implies
// consent (role and type changes of direction verbs); deletions need --force.
//
// What is not publicly documented, and so taken from the vendor's SDK and CSI driver:
// docs/infinibox.md has the list.
package infinibox
