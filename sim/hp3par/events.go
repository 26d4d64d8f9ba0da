package hp3par

import (
	"container/heap"
	"context"
	"time"

	"github.com/ddsgo/ddsgo/sim/control"
)

// event is something that will happen at an instant, with the lock held.
type event struct {
	at   time.Time
	seq  uint64
	do   func()
	dead bool
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].seq < q[j].seq
	}
	return q[i].at.Before(q[j].at)
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// after schedules do; the lock is held now and when it runs.
func (m *machine) after(d time.Duration, do func()) *event {
	m.eventSeq++
	e := &event{at: m.now.Add(d), seq: m.eventSeq, do: do}
	heap.Push(&m.events, e)
	m.poke()
	return e
}

// poke makes run look again. It needs no lock.
func (m *machine) poke() {
	select {
	case m.scheduled <- struct{}{}:
	default:
	}
}

func cancelEvent(e *event) {
	if e != nil {
		e.dead = true
	}
}

// settle carries out everything that is due, each thing at its own instant. A
// link that was lost or came back is noticed first: faults are set at the present
// time, which is not later than anything due. The lock is held.
func (m *machine) settle() {
	m.recheck()
	target := m.clock.Now()
	for len(m.events) > 0 && !m.events[0].at.After(target) {
		e := heap.Pop(&m.events).(*event)
		if e.dead {
			continue
		}
		if e.at.After(m.now) {
			m.now = e.at
		}
		e.do()
	}
	if target.After(m.now) {
		m.now = target
	}
}

// run settles whenever something becomes due, so that content files change in
// time even when nobody asks. An Auto clock moves only for those who wait.
func (m *machine) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := m.clock.Changed() // taken first: a jump from here on wakes us
		m.mu.Lock()
		m.settle()
		next := m.now.Add(time.Hour)
		if len(m.events) > 0 {
			next = m.events[0].at
		}
		m.mu.Unlock()
		m.sleep(ctx, next, changed)
	}
}

// sleep returns when next may have been reached or anything was scheduled.
func (m *machine) sleep(ctx context.Context, next time.Time, changed <-chan struct{}) {
	var due <-chan time.Time
	if m.clock.Mode() == control.Real {
		timer := time.NewTimer(max(0, next.Sub(m.clock.Now())))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-due:
	case <-m.scheduled:
	}
}

// wait blocks until t has ended and returns its final status.
func (m *machine) wait(ctx context.Context, t *task) (taskStatus, error) {
	for {
		m.mu.Lock()
		m.settle()
		state, due := t.status, t.due
		m.mu.Unlock()
		if state != taskActive {
			return state, nil
		}
		if err := m.clock.WaitUntil(ctx, due); err != nil {
			return state, err
		}
	}
}
