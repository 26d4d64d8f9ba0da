package hp3par

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/sim/control"
)

// How long things take unless a task_seconds fault says otherwise.
const (
	taskDuration  = 2 * time.Second // failover, reverse, recover, restore
	cycleDuration = time.Second     // one transfer
	autoDelay     = time.Second     // until the array begins something by itself
	failingTime   = 5 * time.Second // how long a lost target is "failing", not yet "failed"
)

// machine is the state of both arrays.
type machine struct {
	clock  *control.Clock
	faults *control.Faults
	files  string // directory for volume files; empty: memory

	scheduled chan struct{}

	mu         sync.Mutex
	now        time.Time // instant up to which events have been carried out
	events     eventQueue
	eventSeq   uint64
	arrays     [2]*array
	pairs      []*pair
	linked     bool
	violations []string
}

var faultKinds = map[string]control.ValueType{
	"link_down": control.Bool, "array_down": control.Bool, "mgmt_down": control.Bool,
	"slow_ms": control.Number, "http_503": control.Bool, "too_many_cli": control.Any,
	"drop_reply": control.Bool, "refuse": control.Text, "expire_session": control.Bool,
	"task_seconds": control.Number, "task_fail": control.Bool, "autonomous_restart": control.Bool,
	"exit_zero": control.Bool, "header_rows": control.Bool,
	"clock_offset_s": control.Number, "timezone": control.Text,
	"returning_role": control.Text, "role_numbers": control.Text, "options": control.Text,
}

func (m *machine) peer(a *array) *array { return m.arrays[1-a.index] }

// faultOn reports whether a condition (not a fault that strikes single requests)
// holds for a. It works without the lock.
func (m *machine) faultOn(a *array, kind string) bool {
	_, on := m.faults.Active(a.name, kind)
	return on
}

// reachable reports whether both arrays are on and the link between them is up.
func (m *machine) reachable() bool {
	for _, a := range m.arrays {
		if m.faultOn(a, "array_down") || m.faultOn(a, "link_down") {
			return false
		}
	}
	return true
}

// recheck compares the faults in force with the state of the link and lets the
// groups know of a change. The lock is held.
func (m *machine) recheck() {
	up := m.reachable()
	if up == m.linked {
		return
	}
	m.linked = up
	for _, a := range m.arrays {
		a.lostAt = time.Time{}
		if !up {
			a.lostAt = m.now
		}
	}
	for _, p := range m.pairs {
		if up {
			m.linkBack(p)
		} else {
			m.linkLost(p)
		}
	}
}

// duration is how long the thing named subject ("sync G") takes on array a.
func (m *machine) duration(a *array, subject string, normal time.Duration) time.Duration {
	if f, ok := m.faults.Take(a.name, "task_seconds", subject); ok {
		return f.Seconds()
	}
	return normal
}

func (m *machine) willFail(a *array, subject string) bool {
	_, ok := m.faults.Take(a.name, "task_fail", subject)
	return ok
}

func (m *machine) autonomous(a *array) bool {
	if f, ok := m.faults.Active(a.name, "autonomous_restart"); ok || f.Kind != "" {
		return f.On()
	}
	return a.profile.autonomous
}

func (m *machine) returning(a *array) string {
	if f, ok := m.faults.Active(a.name, "returning_role"); ok {
		return f.Text()
	}
	return a.profile.returning
}

// location is the zone in which a prints times.
func (m *machine) location(a *array) *time.Location {
	name := a.profile.zone
	if f, ok := m.faults.Active(a.name, "timezone"); ok {
		name = f.Text()
	}
	zone, err := zoneByName(name)
	if err != nil {
		return time.UTC // the fault's value was checked when it was set
	}
	return zone
}

// arrayTime is t as a's clock shows it.
func (m *machine) arrayTime(a *array, t time.Time) time.Time {
	if f, ok := m.faults.Active(a.name, "clock_offset_s"); ok {
		t = t.Add(f.Seconds())
	}
	return t.In(m.location(a))
}

// cliTime is t as the command line prints it.
func (m *machine) cliTime(a *array, t time.Time) string {
	if t.IsZero() {
		return "NA"
	}
	return m.arrayTime(a, t).Format("2006-01-02 15:04:05 MST")
}

// apiTime is t as the WSAPI prints it.
func (m *machine) apiTime(a *array, t time.Time) string {
	return m.arrayTime(a, t).Format("2006-01-02T15:04:05-07:00")
}

func (m *machine) violate(format string, args ...any) {
	m.violations = append(m.violations, m.now.UTC().Format(time.RFC3339)+" "+fmt.Sprintf(format, args...))
}

// newContent makes an empty volume's content.
func (m *machine) newContent(a *array, name string, size int64) (content, error) {
	if m.files == "" {
		return newMemory(), nil
	}
	return newFile(m.files, a.name, name, size)
}

// io is a host's read or write. A write is refused unless the volume is one that
// a host may write: not the secondary of a group, not while roles are changing.
func (m *machine) io(ctx context.Context, r control.IORequest) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.settle()
	a := m.arrayByName(r.Array)
	if a == nil {
		return nil, fmt.Errorf("%w: array %q", control.ErrNotFound, r.Array)
	}
	v := a.volumes[r.Volume]
	if v == nil {
		return nil, fmt.Errorf("%w: volume %q on %s", control.ErrNotFound, r.Volume, r.Array)
	}
	if m.faultOn(a, "array_down") {
		return nil, fmt.Errorf("%w: array %s is down", control.ErrForbidden, a.name)
	}
	if r.Op == "read" {
		if r.Offset+r.Length > v.size {
			return nil, fmt.Errorf("%w: %d bytes at %d are beyond the end of %s (%d bytes)", control.ErrBadRequest, r.Length, r.Offset, v.name, v.size)
		}
		p := make([]byte, r.Length)
		return p, v.data.ReadAt(p, r.Offset)
	}
	if r.Offset+int64(len(r.Data)) > v.size {
		return nil, fmt.Errorf("%w: %d bytes at %d are beyond the end of %s (%d bytes)", control.ErrBadRequest, len(r.Data), r.Offset, v.name, v.size)
	}
	return nil, m.hostWrite(v, r.Data, r.Offset)
}

func (m *machine) hostWrite(v *volume, data []byte, off int64) error {
	if v.readOnly {
		return fmt.Errorf("%w: volume %s is read-only", control.ErrForbidden, v.name)
	}
	g := v.group
	if g == nil {
		return v.data.WriteAt(data, off)
	}
	if !g.writable() {
		return fmt.Errorf("%w: %s of group %s on %s is %s", control.ErrForbidden, v.name, g.name, g.array.name, g.roleName())
	}
	if err := v.data.WriteAt(data, off); err != nil {
		return err
	}
	m.noteDualWrite(g)
	p := g.pair
	if peer := g.peer(); p.mode.mirrored() && g.status == statusStarted && m.linked && peer != nil && p.cycle == nil {
		mem := p.member(g.array.index, v.name)
		return mem.vols[peer.array.index].data.WriteAt(data, off)
	}
	return nil
}

// writable reports whether hosts may write to the group's volumes.
func (g *group) writable() bool {
	return g.role == primary && (g.pair.op == nil || !g.pair.op.freezes) && g.status != statusFailsafe
}

// noteDualWrite records a split brain that hosts have made use of. Hosts of a side that was cut off
// when its peer was failed over may go on: nobody could tell them. That ends when the link returns.
func (m *machine) noteDualWrite(g *group) {
	peer := g.peer()
	if peer == nil || peer.role != primary {
		g.writes = 0
		return
	}
	if g.cutOff {
		return
	}
	g.writes++
	if peer.writes > 0 && g.writes == 1 {
		m.violate("group %s: hosts wrote on %s and on %s while both were primary", g.name, peer.array.name, g.array.name)
	}
}

// newEpoch forgets writes of an earlier time with two primaries.
func (p *pair) newEpoch() {
	a, b := p.sides[0], p.sides[1]
	if a != nil && b != nil && a.role == primary && b.role == primary {
		return
	}
	p.both(func(g *group) { g.writes, g.cutOff = 0, false })
}

// silent says that an array answers neither its peer nor anybody who would manage it.
func (m *machine) silent(a *array) bool {
	return !m.linked && (m.faultOn(a, "array_down") || m.faultOn(a, "mgmt_down"))
}

func (m *machine) arrayByName(name string) *array {
	for _, a := range m.arrays {
		if a.name == name {
			return a
		}
	}
	return nil
}

// validateFault refuses values that only this simulator can judge.
func (m *machine) validateFault(f control.Fault) error {
	switch f.Kind {
	case "timezone":
		if _, err := zoneByName(f.Text()); err != nil {
			return fmt.Errorf("%w: %w", control.ErrBadRequest, err)
		}
	case "returning_role":
		if t := f.Text(); t != "primary" && t != "secondary-rev" {
			return fmt.Errorf("%w: returning_role %q: expected primary or secondary-rev", control.ErrBadRequest, t)
		}
	case "role_numbers":
		if t := f.Text(); t != "flag" && t != "number" {
			return fmt.Errorf("%w: role_numbers %q: expected flag or number", control.ErrBadRequest, t)
		}
	case "options":
		if t := f.Text(); t != "quoted" && t != "bare" && t != "empty" {
			return fmt.Errorf("%w: options %q: expected quoted, bare or empty", control.ErrBadRequest, t)
		}
	case "slow_ms", "task_seconds":
		if f.Number() < 0 {
			return fmt.Errorf("%w: %s %v is negative", control.ErrBadRequest, f.Kind, f.Number())
		}
	}
	return nil
}

// asOpError returns the refusal in err, or nil when err is of another kind.
func asOpError(err error) *opError {
	var op *opError
	if errors.As(err, &op) {
		return op
	}
	return nil
}
