package infinibox

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/sim/control"
)

// world is both boxes. mu guards everything in it.
type world struct {
	mu     sync.Mutex
	opt    Options
	clock  *control.Clock
	faults *control.Faults
	store  contentStore
	boxes  [2]*box

	violations []string     // see noteWrite
	twoSources []twoSources // see watch
	internal   int          // numbers contents that no dataset owns
}

// box is one InfiniBox.
type box struct {
	w      *world
	index  int
	name   string // of the simulator's array, never changes
	title  string // system name as reported
	serial int64

	lastID     int64
	interfaces map[int64]*netInterface
	spaces     map[int64]*netSpace
	pools      map[int64]*pool
	datasets   map[int64]*dataset
	groups     map[int64]*group
	links      map[int64]*link
	replicas   map[int64]*replica
	sessions   map[string]string // cookie value to user name
}

func boxName(index int) string { return fmt.Sprintf("ibox%d", index+1) }

// resetBoxes puts the scenario in place.
func (w *world) resetBoxes() error {
	if err := w.store.reset(); err != nil {
		return fmt.Errorf("reset volumes: %w", err)
	}
	w.violations, w.twoSources = nil, nil
	for i := range w.boxes {
		b := &box{
			w: w, index: i, name: boxName(i), title: boxName(i), serial: []int64{1111, 2222}[i],
			lastID:     []int64{1000, 500000}[i],
			interfaces: map[int64]*netInterface{}, spaces: map[int64]*netSpace{},
			pools: map[int64]*pool{}, datasets: map[int64]*dataset{}, groups: map[int64]*group{},
			links: map[int64]*link{}, replicas: map[int64]*replica{}, sessions: map[string]string{},
		}
		w.boxes[i] = b
		b.addNetwork(fmt.Sprintf("192.0.2.%d", 11+i))
		if w.opt.Scenario == ScenarioLinked {
			b.addPool(fmt.Sprintf("p%d", i+1))
		}
	}
	if w.opt.Scenario == ScenarioLinked {
		b := w.boxes[0]
		b.connect("link1", b.replicationSpace(), w.boxes[1].replicationSpace(), "")
	}
	return nil
}

func (b *box) peer() *box { return b.w.boxes[1-b.index] }

func (b *box) newID() int64 {
	b.lastID++
	return b.lastID
}

// millis is an instant on this box's clock, as the API shows it.
func (b *box) millis(t time.Time) int64 {
	if f, on := b.w.faults.Active(b.name, faultClock); on {
		t = t.Add(f.Seconds())
	}
	return t.UnixMilli()
}

func (b *box) now() int64 { return b.millis(b.w.clock.Now()) }

// internalName names a content that no dataset owns.
func (w *world) internalName() string {
	w.internal++
	return fmt.Sprintf("%s%d", internalPrefix, w.internal)
}

// sorted returns the members of a collection by id.
func sorted[T any](m map[int64]T) []T {
	out := make([]T, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[id])
	}
	return out
}

// find returns the first member of a collection, by id, that fits.
func find[T any](m map[int64]T, fits func(T) bool) (T, bool) {
	for _, v := range sorted(m) {
		if fits(v) {
			return v, true
		}
	}
	var none T
	return none, false
}

// checkName refuses names that a box would not take.
func checkName(what, name string) *apiError {
	if name == "" || len(name) > 65 {
		return invalid("%s name %q: expected 1..65 characters", what, name)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return invalid("%s name %q: control characters are not allowed", what, name)
		}
	}
	return nil
}

func nullable(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func fromPointer(p *int64) any {
	if p == nil {
		return nil
	}
	return *p
}

func pointer(v int64) *int64 { return &v }
