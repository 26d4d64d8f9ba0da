// Package infinibox simulates two related Infinidat InfiniBox systems over HTTP
// and HTTPS, strictly enough that the vendor's own SDK runs against it unmodified
// and that a driver which guesses is found out.
//
// # Glossary
//
//   - Box: one storage system, ibox1 (serial 1111) or ibox2 (serial 2222). Their
//     numeric ids come from disjoint ranges, so that a client that mixes up a
//     local and a remote id fails at once.
//   - Network space: a set of addresses. A link finds the other box by an address
//     of a space whose service is RMR_SERVICE (192.0.2.11 and 192.0.2.12).
//   - Dataset: a volume or a filesystem; a master or a snapshot of one.
//   - Consistency group, snapshot group: datasets that are replicated, or were
//     snapshot, at one instant.
//   - Link: the relation of two boxes; it exists on both, each side knowing the
//     other's id as remote_link_id.
//   - Replica: the replication of one dataset or group over a link; it exists on
//     both boxes, as SOURCE (writable) and TARGET (read-only), each side knowing
//     the other's id as remote_replica_id. entity_pairs is its list of members.
//   - Job: one transfer of an ASYNC replica, or the catching-up of a SYNC one.
//   - Restore point: the instant that the target's content shows.
//
// # Rules
//
//	role       only on    writes   actions it accepts
//	SOURCE     both       yes      suspend resume sync(ASYNC) switch_role(SYNC) change_type_*
//	                               change_role when suspended
//	TARGET     both       no       change_role, expose_last_consistent_snapshot
//
// A TARGET that can see its peer over the link becomes SOURCE only when the peer
// is TARGET already; cut off from it, always (that is failover, and two SOURCEs
// are then possible: the link comes back, and neither side resumes until one of
// them is changed to TARGET). The content of a target changes only at the end of
// a job, all members at once. state is null on a TARGET.
//
// What a running job needs is a link that is up and a peer that is TARGET;
// otherwise it is STALLED, and after temporary_failure_retry_count times
// temporary_failure_retry_interval the replica is AUTO_SUSPENDED; it tries again
// after permanent_failure_wait_interval.
//
// # Requests
//
// Every answer is {"result", "error", "metadata"}; collections add paging to the
// metadata. Requests that destroy or overwrite something need ?approved=true and
// otherwise fail with APPROVAL_REQUIRED, status 403 or what fault approval_status
// says. An unknown query, body key, path or filter field is an error; parts of
// the real API that are not built answer 501 and say so.
//
// # What is known and what is not
//
// Paths, field names and request bodies are those of the vendor's public SDK and
// CSI driver. Not public, and therefore this package's own: error codes that
// begin with SIM_, the status of APPROVAL_REQUIRED, the words in state_reason, the
// duration of jobs, the type of a job, which requests need approval, and what
// change_role does on a linked replica (see fault change_role). Base snapshots
// are compared by content: where a real box would trust the caller, the simulator
// refuses two bases that differ, because from them on the copies would silently
// diverge.
//
// # Faults
//
// See faultKinds in fault.go. Arrays are ibox1 and ibox2.
package infinibox
