package infinibox

import (
	"fmt"
	"time"
)

// settle carries out everything that is due, so that what a request sees is the
// state at its instant. w.mu is held.
func (w *world) settle() {
	now := w.clock.Now()
	for _, b := range w.boxes {
		for _, r := range sorted(b.replicas) {
			if r.role == roleSource {
				b.advance(r, now)
			}
		}
	}
	w.watch()
}

// maxBacklog bounds how many missed intervals are made up one by one after the
// clock jumped; nobody could have seen the earlier ones.
const maxBacklog = 20

// advance moves a SOURCE from its cursor to now, event by event.
func (b *box) advance(r *replica, now time.Time) {
	for !r.cursor.After(now) {
		behind := time.Duration(maxBacklog*r.interval) * time.Millisecond
		if r.kind == typeAsync && r.job == nil && r.state == stateActive && now.Sub(r.cursor) > behind {
			r.cursor = now.Add(-behind)
			r.nextJob = later(r.nextJob, r.cursor)
		}
		next, again := b.step(r, now)
		r.cursor = later(r.cursor, next)
		if !again {
			return
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// step does the next thing due and returns its instant, or now and false when
// there is nothing more.
func (b *box) step(r *replica, now time.Time) (time.Time, bool) {
	if r.state == stateSuspended {
		return now, false
	}
	blocked := !b.w.linkUp()
	if !blocked && r.state == stateActive {
		if there, ok := b.other(r); !ok {
			b.autoSuspend(r, r.cursor, reasonNoPeer)
			return now, false
		} else if there.role != roleTarget {
			b.autoSuspend(r, r.cursor, reasonPeerRole)
			return now, false
		}
	}
	switch {
	case r.state == stateAutoSuspended:
		return b.retry(r, now, blocked)
	case r.job != nil:
		return b.stepJob(r, now, blocked || b.fault(faultStalled))
	case r.kind == typeSync:
		return b.stepSync(r, now, blocked)
	case r.nextJob.After(now):
		return now, false
	}
	at := later(r.cursor, r.nextJob)
	b.startJob(r, at)
	return at, r.job != nil
}

// retry resumes an AUTO_SUSPENDED replica after permanentWait, if the peer is there.
func (b *box) retry(r *replica, now time.Time, blocked bool) (time.Time, bool) {
	at := later(r.cursor, r.failedAt.Add(time.Duration(r.permanentWait)*time.Millisecond))
	if blocked || at.After(now) {
		return now, false
	}
	if there, ok := b.other(r); !ok || there.role != roleTarget {
		return now, false
	}
	b.activate(r, at)
	return at, true
}

func (b *box) stepJob(r *replica, now time.Time, blocked bool) (time.Time, bool) {
	j := r.job
	if blocked {
		if j.stalled.IsZero() {
			j.stalled = r.cursor
		}
		giveUp := j.stalled.Add(time.Duration(r.retryInterval*r.retryCount) * time.Millisecond)
		if giveUp.After(now) || b.fault(faultStalled) {
			return now, false
		}
		b.autoSuspend(r, giveUp, reasonLinkLost)
		return giveUp, true
	}
	j.stalled = time.Time{}
	finish := r.cursor.Add(j.duration - j.done)
	if finish.After(now) {
		j.done += now.Sub(r.cursor)
		return now, false
	}
	if _, broken := b.w.faults.Take(b.name, faultTaskFail, "job"); broken {
		b.autoSuspend(r, finish, reasonJobFailed)
		return finish, true
	}
	if err := b.complete(r, finish); err != nil {
		b.autoSuspend(r, finish, reasonBadContent)
	}
	return finish, true
}

// stepSync keeps the target of a SYNC replica equal while the link is up.
func (b *box) stepSync(r *replica, now time.Time, blocked bool) (time.Time, bool) {
	there, _ := b.other(r)
	switch {
	case blocked:
		b.setSyncState(r, syncOutOfSync)
		return now, false
	case r.syncState == syncSynchronized:
		if err := b.copyChanged(r, there); err != nil {
			b.autoSuspend(r, r.cursor, reasonBadContent)
		}
		return now, false
	}
	b.setSyncState(r, syncInProgress)
	b.startJob(r, r.cursor)
	return r.cursor, r.job != nil
}

func (b *box) setSyncState(r *replica, state string) {
	r.syncState = state
	if there, ok := b.other(r); ok && b.w.linkUp() {
		there.syncState = state
	}
}

// autoSuspend stops a replica by itself.
func (b *box) autoSuspend(r *replica, at time.Time, why string) {
	b.dropJob(r)
	r.state, r.reason, r.failedAt, r.pending = stateAutoSuspended, why, at, 0
	if r.kind == typeSync {
		b.setSyncState(r, syncOutOfSync)
	}
}

// activate lets a SOURCE replicate from the instant at on.
func (b *box) activate(r *replica, at time.Time) {
	r.state, r.reason, r.nextJob = stateActive, "", at
	r.cursor = later(r.cursor, at)
	if r.kind == typeSync {
		b.setSyncState(r, syncInProgress)
		b.startJob(r, at)
	}
}

// startJob begins a transfer of the content that the members have now.
func (b *box) startJob(r *replica, at time.Time) {
	r.jobCount++
	j := &job{id: r.id*1000 + r.jobCount, initial: r.initial, start: at, duration: b.jobDuration(r.initial), carry: r.toCarry}
	r.toCarry = nil
	r.job = j
	r.startedAt = pointer(b.millis(at))
	if r.kind != typeAsync {
		return // sends what is there when it ends
	}
	for _, p := range r.pairs {
		d := b.datasets[p.local]
		s, err := d.data.clone(b.w.internalName())
		if err != nil {
			b.autoSuspend(r, at, reasonBadContent)
			return
		}
		p.session = s
	}
}

// dropJob ends a transfer without result.
func (b *box) dropJob(r *replica) {
	if r.job != nil {
		r.toCarry = append(r.job.carry, r.toCarry...)
	}
	r.job = nil
	for _, p := range r.pairs {
		if p.session != nil {
			_ = p.session.remove() // internal content, nobody else has it
			p.session = nil
		}
	}
}

// complete makes the target show what the job brought, all members at once.
func (b *box) complete(r *replica, at time.Time) error {
	there, _ := b.other(r)
	j := r.job
	point := j.start
	if r.kind != typeAsync {
		point = at
	}
	restore, finished, guid := b.millis(point), b.millis(at), b.newGUID()
	for _, p := range r.pairs {
		if there.counterpart(p) == nil {
			return fmt.Errorf("dataset %d is not replicated on %s", p.local, b.peer().title)
		}
	}
	for _, p := range r.pairs {
		far := there.counterpart(p)
		if err := b.deliver(r, p, far); err != nil {
			return err
		}
		for _, side := range []*pair{p, far} {
			side.lastSync, side.restore, side.written, side.guid = pointer(finished), pointer(restore), false, guid
		}
	}
	for _, side := range []*replica{r, there} {
		side.lastSync, side.restore, side.guid = pointer(finished), pointer(restore), guid
		side.syncDuration = at.Sub(j.start).Milliseconds()
	}
	carry := j.carry
	r.job, r.initial = nil, false
	if err := b.carryOver(r, there, carry); err != nil {
		return err
	}
	if r.kind == typeSync {
		b.setSyncState(r, syncSynchronized)
		return nil
	}
	r.nextJob = later(at, j.start.Add(time.Duration(r.interval)*time.Millisecond))
	if r.pending > 0 {
		r.pending--
		r.nextJob = at
	}
	return nil
}

// deliver replaces the content of one target dataset, and keeps on both sides
// what the common point in time is.
func (b *box) deliver(r *replica, p, far *pair) error {
	source, target := b.datasets[p.local], b.peer().datasets[far.local]
	from := source.data
	if r.kind == typeAsync {
		if p.session == nil {
			return nil // became a member while the job ran
		}
		from = p.session
	}
	if err := target.data.copyFrom(from); err != nil {
		return fmt.Errorf("copy to %q: %w", target.name, err)
	}
	if err := far.setBase(nil); err != nil {
		return err
	}
	if r.kind != typeAsync {
		var err error
		if p.sent, err = source.data.mark(); err != nil {
			return err
		}
		return p.setBase(nil)
	}
	err := p.setBase(p.session)
	p.session = nil
	return err
}

// setBase remembers a content as the common point in time, forgetting the last one.
func (p *pair) setBase(c content) error {
	old := p.base
	p.base = c
	if old == nil {
		return nil
	}
	return old.remove()
}

// carryOver makes the snapshots that the job brought on the target.
func (b *box) carryOver(r, there *replica, ids []int64) error {
	for _, id := range ids {
		s, ok := b.datasets[id]
		if !ok {
			continue // deleted meanwhile
		}
		for _, p := range r.pairs {
			if p.local != s.parent {
				continue
			}
			far := b.peer().datasets[p.remote]
			d := &dataset{name: b.peer().freeName(&dataset{kind: s.kind, name: s.name + r.snapshotSuffix}), writeProtected: true, ssd: s.ssd, guid: s.guid}
			if err := b.peer().snapshotOf(far, d, s.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyChanged brings what was written since the last look to a SYNC target.
func (b *box) copyChanged(r, there *replica) error {
	for _, p := range r.pairs {
		source := b.datasets[p.local]
		mark, err := source.data.mark()
		if err != nil {
			return err
		}
		if mark == p.sent || there.counterpart(p) == nil {
			continue
		}
		if err := b.peer().datasets[p.remote].data.copyFrom(source.data); err != nil {
			return err
		}
		p.sent = mark
	}
	now := pointer(b.now())
	for _, side := range []*replica{r, there} {
		side.restore, side.lastSync = now, now
	}
	return nil
}

// mirror is called after the content of d changed: SYNC targets follow at once.
func (b *box) mirror(d *dataset) {
	for _, r := range b.replicasOf(d) {
		switch {
		case r.role == roleSource:
			b.advance(r, b.w.clock.Now())
		case r.role == roleActive:
			if there, ok := b.other(r); ok && b.w.linkUp() {
				_ = b.copyAll(r, there) // a failed copy shows as different content
			}
		}
	}
}

// copyAll makes every dataset of the peer's side equal.
func (b *box) copyAll(r, there *replica) *apiError {
	for _, p := range r.pairs {
		if there.counterpart(p) == nil {
			continue
		}
		if err := b.peer().datasets[p.remote].data.copyFrom(b.datasets[p.local].data); err != nil {
			return fail(500, "SIM_INTERNAL_ERROR", "%v", err)
		}
	}
	return nil
}

// watch records every moment from which both sides of a replica were SOURCE.
func (w *world) watch() {
	for _, r := range sorted(w.boxes[0].replicas) {
		there, ok := w.boxes[0].other(r)
		if !ok || r.role != roleSource || there.role != roleSource {
			r.split = false
			continue
		}
		if !r.split {
			r.split = true
			w.twoSources = append(w.twoSources, twoSources{w.clock.Now().UTC(), r.id, there.id, w.linkUp()})
		}
	}
}

// twoSources is the beginning of a split: failover without the peer causes it
// rightly, with the link up it never should begin.
type twoSources struct {
	Since  time.Time `json:"since"`
	First  int64     `json:"ibox1_replica_id"`
	Second int64     `json:"ibox2_replica_id"`
	LinkUp bool      `json:"link_up"`
}
