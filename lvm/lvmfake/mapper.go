package lvmfake

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/lvm"
)

// device is a device-mapper device.
type device struct {
	name, uuid     string
	minor          int
	live, inactive *table
	suspended      bool
	readonly       bool
	handles        int // open by processes
}

// table is a table with one target.
type table struct {
	kind      string  // linear, snapshot-origin, snapshot
	vol       *volume // linear: whose extents; else whose device
	real, cow *device // what lies below
}

func (t *table) sectors() int64 {
	switch t.kind {
	case "snapshot":
		return t.vol.originSize / sector
	}
	return t.vol.size / sector
}

func (t *table) uses(d *device) bool { return t != nil && (t.real == d || t.cow == d) }

func (m *Machine) newDevice(name, uuid string) *device {
	minor := 0
	for slices.ContainsFunc(m.list(), func(d *device) bool { return d.minor == minor }) {
		minor++
	}
	d := &device{name: name, uuid: uuid, minor: minor}
	m.devices[name] = d
	return d
}

func (m *Machine) list() []*device {
	var all []*device
	for _, d := range m.devices {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *device) int { return strings.Compare(a.name, b.name) })
	return all
}

// opens is the open count: processes, and tables of other devices, loaded ones included.
func (m *Machine) opens(d *device) int {
	n := d.handles
	for _, o := range m.devices {
		if o.live.uses(d) {
			n++
		}
		if o.inactive.uses(d) {
			n++
		}
	}
	return n
}

// activate gives a volume of the metadata its devices, if it has none.
func (m *Machine) activate(v *volume) {
	if v.origin != nil {
		m.activate(v.origin)
		return
	}
	if m.devices[v.dmName()] != nil {
		return
	}
	d := m.newDevice(v.dmName(), v.dmUUID(""))
	d.readonly = v.readonly
	if len(v.snapshots()) == 0 {
		d.live = &table{kind: "linear", vol: v}
		return
	}
	real := m.newDevice(v.dmName()+"-real", v.dmUUID("-real"))
	real.live = &table{kind: "linear", vol: v}
	d.live = &table{kind: "snapshot-origin", vol: v, real: real}
	for _, s := range v.snapshots() {
		cow := m.newDevice(s.dmName()+"-cow", s.dmUUID("-cow"))
		cow.live = &table{kind: "linear", vol: s}
		sd := m.newDevice(s.dmName(), s.dmUUID(""))
		sd.live = &table{kind: "snapshot", vol: s, real: real, cow: cow}
		sd.readonly = s.readonly
		s.attach()
	}
}

func (m *Machine) deactivate(v *volume) error {
	if v.origin != nil {
		v = v.origin // LVM keeps origin and snapshots active together
	}
	group := append([]*volume{v}, v.snapshots()...)
	for _, o := range group {
		if d := m.devices[o.dmName()]; d != nil && d.handles > 0 {
			return failed("  Logical volume %s/%s in use.", o.vg.name, o.name)
		}
	}
	for _, o := range group {
		for _, layer := range []string{"", "-cow", "-real"} {
			delete(m.devices, o.dmName()+layer)
		}
	}
	return nil
}

// preload loads the tables of a new snapshot v without taking them into use.
func (m *Machine) preload(origin, v *volume) error {
	if d := m.devices[v.dmName()+"-cow"]; d != nil {
		return failed("  device-mapper: create ioctl on %s failed: Device or resource busy\n  Aborting. Manual intervention required.", d.name)
	}
	real := m.devices[origin.dmName()+"-real"]
	if real == nil {
		real = m.newDevice(origin.dmName()+"-real", origin.dmUUID("-real"))
		real.inactive = &table{kind: "linear", vol: origin}
	}
	cow := m.newDevice(v.dmName()+"-cow", v.dmUUID("-cow"))
	cow.live = &table{kind: "linear", vol: v}
	d := m.newDevice(v.dmName(), v.dmUUID(""))
	d.inactive = &table{kind: "snapshot", vol: v, real: real, cow: cow}
	d.readonly = v.readonly
	m.devices[origin.dmName()].inactive = &table{kind: "snapshot-origin", vol: origin, real: real}
	return nil
}

// resume takes a pending table into use and lets I/O go on.
func (m *Machine) resume(d *device) {
	if d.inactive != nil {
		d.live, d.inactive = d.inactive, nil
	}
	if d.live != nil && d.live.kind == "snapshot" {
		d.live.vol.attach()
	}
	d.suspended = false
	m.resumed.Broadcast()
}

// find resolves a dm name or a device path.
func (m *Machine) find(name string) *device {
	if d := m.devices[strings.TrimPrefix(name, "/dev/mapper/")]; d != nil {
		return d
	}
	rest, isPath := strings.CutPrefix(name, "/dev/")
	if !isPath {
		return nil
	}
	if minor, ok := strings.CutPrefix(rest, "dm-"); ok {
		i := slices.IndexFunc(m.list(), func(d *device) bool { return strconv.Itoa(d.minor) == minor })
		if i >= 0 {
			return m.list()[i]
		}
	}
	vg, lv, _ := strings.Cut(rest, "/")
	return m.devices[lvm.DMName(vg, lv)]
}

func (m *Machine) dmInfo(a arguments) (string, error) {
	devices := m.list()
	if len(a.rest) > 0 {
		d := m.find(a.rest[0])
		if d == nil {
			return "", exitStatus{1, "Device does not exist.\nCommand failed."}
		}
		devices = []*device{d}
	}
	if len(devices) == 0 {
		return "No devices found\n", nil
	}
	var out strings.Builder
	for _, d := range devices {
		fields := map[string]string{
			"name": d.name, "uuid": d.uuid, "suspended": "Active", "readonly": "Writeable",
			"open": strconv.Itoa(m.opens(d)), "major": "254", "minor": strconv.Itoa(d.minor),
			"tables_loaded": map[[2]bool]string{{true, false}: "Live", {false, true}: "Inactive", {true, true}: "Both", {false, false}: "None"}[[2]bool{d.live != nil, d.inactive != nil}],
		}
		if d.suspended {
			fields["suspended"] = "Suspended"
		}
		if d.readonly {
			fields["readonly"] = "Read-only"
		}
		var cells []string
		for _, f := range strings.Split(a.get("--options"), ",") {
			cell, ok := fields[f]
			if !ok {
				return "", exitStatus{3, "Unrecognised field: " + f}
			}
			cells = append(cells, cell)
		}
		out.WriteString(strings.Join(cells, a.get("--separator")) + "\n")
	}
	return out.String(), nil
}

func (m *Machine) dmTargets(verb string, a arguments) (string, error) {
	d := m.find(strings.Join(a.rest, " "))
	if d == nil {
		return "", exitStatus{1, "Device does not exist.\nCommand failed."}
	}
	if d.live == nil {
		return "", nil
	}
	t := d.live
	below := func(d *device) string { return fmt.Sprintf("254:%d", d.minor) }
	args := ""
	switch {
	case verb == "status" && t.kind == "snapshot":
		args = t.vol.store.status()
	case verb == "table" && t.kind == "snapshot":
		args = fmt.Sprintf("%s %s P %d", below(t.real), below(t.cow), t.vol.chunk/sector)
	case verb == "table" && t.kind == "snapshot-origin":
		args = below(t.real)
	case verb == "table":
		args = "7:0 2048"
	}
	return fmt.Sprintf("0 %d %s %s\n", t.sectors(), t.kind, args), nil
}

func (m *Machine) dmChange(verb string, a arguments) error {
	d := m.find(strings.Join(a.rest, " "))
	if d == nil {
		return exitStatus{1, "Device does not exist.\nCommand failed."}
	}
	return m.steps(func() error {
		switch verb {
		case "suspend":
			d.suspended = true
		case "resume":
			m.resume(d)
		case "clear":
			d.inactive = nil
		case "remove":
			if m.opens(d) > 0 {
				return exitStatus{1, fmt.Sprintf("device-mapper: remove ioctl on %s failed: Device or resource busy\nCommand failed.", d.name)}
			}
			delete(m.devices, d.name)
		}
		return nil
	})
}

// PowerCut loses every device-mapper table and ends the program; PowerOn is the way back.
func (m *Machine) PowerCut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.devices)
	m.dead = true
	m.resumed.Broadcast()
}

// LoseUnsynced makes volumes lose, after a power cut, what was written and not synced: each sector of it arrived with the
// probability kept. Exception stores lose nothing: the kernel writes them through.
func (m *Machine) LoseUnsynced(rng *rand.Rand, kept float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.groups {
		for _, v := range g.volumes {
			if v.store == nil {
				v.data = v.data.CrashClone(rng, kept)
			}
		}
	}
}

// PowerOn activates every volume that has not the skip flag, as a boot does, and starts the program anew.
func (m *Machine) PowerOn() {
	m.mu.Lock()
	for _, g := range m.groups {
		for _, v := range g.volumes {
			if !v.skip {
				m.activate(v)
			}
		}
	}
	m.mu.Unlock()
	m.Restart()
}

// Suspend suspends a device behind everybody's back.
func (m *Machine) Suspend(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.find(path).suspended = true
}

// LoadPending loads a table behind everybody's back, which answers EIO once it is resumed into.
func (m *Machine) LoadPending(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.find(path)
	d.inactive = &table{kind: "snapshot-origin", vol: d.live.vol, real: &device{name: "nothing", minor: 999}}
}

// StartMerge puts a snapshot and its origin into the state of a merge that waits for the next activation.
func (m *Machine) StartMerge(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.find(path).live.vol.merging = true
}

// Overflow invalidates a snapshot.
func (m *Machine) Overflow(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.find(path).live.vol.store.overflow()
}
