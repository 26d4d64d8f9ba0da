package hp3par

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Scenario is what the arrays hold at the beginning. A scenario file is this
// structure in JSON; unknown keys are refused.
type Scenario struct {
	Arrays []ScenarioArray `json:"arrays"` // none: the default two; else exactly two
	Groups []ScenarioGroup `json:"groups"`
	// Generate adds many groups GROUP_0001 ..., for benchmarks and for tests that
	// relocate a whole site.
	Generate *ScenarioGenerate `json:"generate"`
}

// ScenarioArray describes one array.
type ScenarioArray struct {
	Name     string         `json:"name"`
	SystemID int            `json:"system_id"`
	Users    []ScenarioUser `json:"users"`    // none: opensvc (super) and browse
	CPGs     []string       `json:"cpgs"`     // none: CPG1, SNAPCPG1
	Licences []string       `json:"licences"` // none: Remote Copy, Virtual Copy and more
	Hosts    []ScenarioHost `json:"hosts"`
	FirstVV  int            `json:"first_vv"` // id of the first volume created
	Volumes  []ScenarioVol  `json:"volumes"`
}

// ScenarioUser is a user of an array; the role is super, edit, service or browse.
type ScenarioUser struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Role     string `json:"role"`
}

// ScenarioHost is a host that volumes can be exported to.
type ScenarioHost struct {
	Name string   `json:"name"`
	WWNs []string `json:"wwns"`
	IQNs []string `json:"iqns"`
}

// ScenarioVol is a volume outside any group, or a snapshot of one.
type ScenarioVol struct {
	Name    string `json:"name"`
	SizeMiB int64  `json:"size_mib"`
	Prov    string `json:"prov"`    // full, tpvv, tdvv
	CopyOf  string `json:"copy_of"` // makes it a snapshot of a volume or group member
}

// ScenarioGroup is a group created on one array and its peer.
type ScenarioGroup struct {
	Name     string   `json:"name"`
	Creator  int      `json:"creator"` // 0 (first array) or 1
	Mode     string   `json:"mode"`    // sync, periodic or async
	PeriodS  int      `json:"period_s"`
	Policies []string `json:"policies"`
	State    string   `json:"state"`         // started (default), stopped, new or failsafe
	AgeS     int      `json:"last_sync_age"` // seconds since the last point
	SizeMiB  int64    `json:"size_mib"`
	Volumes  []string `json:"volumes"`
}

// ScenarioGenerate makes Groups groups of Volumes volumes each.
type ScenarioGenerate struct {
	Groups  int    `json:"groups"`
	Volumes int    `json:"volumes_per_group"`
	Mode    string `json:"mode"`
	PeriodS int    `json:"period_s"`
	Prefix  string `json:"prefix"`
}

// LoadScenario returns the scenario called default or empty, or that of a file.
func LoadScenario(name string) (Scenario, error) {
	switch name {
	case "", "default":
		return defaultScenario(), nil
	case "empty":
		return Scenario{}, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Scenario{}, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	var s Scenario
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Scenario{}, fmt.Errorf("%w %s: %w", ErrScenario, name, err)
	}
	return s, nil
}

func defaultScenario() Scenario {
	return Scenario{Groups: []ScenarioGroup{{
		Name: "MYRCG", Mode: "periodic", PeriodS: 300, Policies: []string{"auto_recover", "over_per_alert"},
		AgeS: 60, Volumes: []string{"VV_SVC1_ROOT"},
	}}}
}

func defaultArrays() []ScenarioArray {
	return []ScenarioArray{
		{Name: "hp3par1.opensvc.com", SystemID: 12345, FirstVV: 31110},
		{Name: "hp3par2.opensvc.com", SystemID: 12346, FirstVV: 31079},
	}
}

// arrayList fills in what a scenario leaves out.
func (s Scenario) arrayList() ([]ScenarioArray, error) {
	list := slices.Clone(s.Arrays)
	if len(list) == 0 {
		list = defaultArrays()
	}
	if len(list) != 2 {
		return nil, fmt.Errorf("%w: %d arrays, expected 2", ErrScenario, len(list))
	}
	if list[0].Name == list[1].Name || list[0].SystemID == list[1].SystemID {
		return nil, fmt.Errorf("%w: both arrays have the same name or system_id", ErrScenario)
	}
	for i := range list {
		a := &list[i]
		if a.Name == "" || a.SystemID <= 0 {
			return nil, fmt.Errorf("%w: array %d needs name and system_id", ErrScenario, i+1)
		}
		if len(a.Users) == 0 {
			a.Users = []ScenarioUser{{"opensvc", "opensvc", "super"}, {"browse", "browse", "browse"}}
		}
		if len(a.CPGs) == 0 {
			a.CPGs = []string{"CPG1", "SNAPCPG1"}
		}
		if a.Licences == nil {
			a.Licences = []string{"Dynamic Optimization", "InForm CLI", "Remote Copy", "Thin Provisioning", "Virtual Copy"}
		}
		if a.FirstVV == 0 {
			a.FirstVV = 1
		}
	}
	return list, nil
}

// build replaces the machine's state by the scenario's. The lock is held.
func (m *machine) build(s Scenario, prof profile) error {
	list, err := s.arrayList()
	if err != nil {
		return err
	}
	if m.arrays[0] != nil {
		for _, a := range m.arrays {
			for _, v := range sortedVolumes(a) {
				m.dropVolume(a, v)
			}
		}
	}
	m.events, m.pairs, m.violations = nil, nil, nil
	m.now = m.clock.Now()
	for i, in := range list {
		m.arrays[i] = newArray(i, in, prof)
	}
	m.linked = m.reachable()
	for i := range list {
		m.arrays[i].links = newLinks(i)
	}
	for _, g := range s.allGroups() {
		if err := m.buildGroup(g); err != nil {
			return err
		}
	}
	for i, in := range list {
		if err := m.buildVolumes(m.arrays[i], in.Volumes); err != nil {
			return err
		}
	}
	return nil
}

func newArray(i int, in ScenarioArray, prof profile) *array {
	a := &array{
		index: i, name: in.Name, systemID: in.SystemID, serial: fmt.Sprintf("CZ3%07d", in.SystemID), profile: prof,
		licences: in.Licences, users: map[string]*user{}, volumes: map[string]*volume{}, groups: map[string]*group{},
		hosts: map[string]*host{}, sets: map[string]*volumeSet{}, mirror: true, targetID: 1, nextVV: in.FirstVV - 1, nextTask: 2575,
	}
	for _, u := range in.Users {
		a.users[u.Name] = &user{name: u.Name, password: u.Password, role: u.Role}
	}
	for n, c := range in.CPGs {
		a.cpgs = append(a.cpgs, &cpg{id: n, name: c})
	}
	for _, h := range in.Hosts {
		a.nextHost++
		a.hosts[h.Name] = &host{id: a.nextHost, name: h.Name, wwns: h.WWNs, iqns: h.IQNs, perso: 1}
	}
	return a
}

// newLinks makes two links per array, between documentation addresses.
func newLinks(i int) []*link {
	var links []*link
	for n := range 2 {
		links = append(links, &link{
			node:        fmt.Sprintf("%d:3:1", n),
			address:     fmt.Sprintf("192.0.2.%d", 10*(i+1)+n),
			peerAddress: fmt.Sprintf("192.0.2.%d", 10*(2-i)+n),
		})
	}
	return links
}

func (s Scenario) allGroups() []ScenarioGroup {
	all := slices.Clone(s.Groups)
	if s.Generate == nil {
		return all
	}
	prefix := s.Generate.Prefix
	if prefix == "" {
		prefix = "GROUP_"
	}
	for n := 1; n <= s.Generate.Groups; n++ {
		g := ScenarioGroup{
			Name: fmt.Sprintf("%s%04d", prefix, n), Mode: s.Generate.Mode, PeriodS: s.Generate.PeriodS,
			Policies: []string{"auto_recover", "over_per_alert"}, AgeS: 60,
		}
		for v := 1; v <= s.Generate.Volumes; v++ {
			g.Volumes = append(g.Volumes, fmt.Sprintf("VV_%s_%02d", g.Name, v))
		}
		all = append(all, g)
	}
	return all
}

func parseMode(s string) (mode, error) {
	switch s {
	case "sync":
		return modeSync, nil
	case "periodic", "":
		return modePeriodic, nil
	case "async":
		return modeAsync, nil
	}
	return 0, fmt.Errorf("mode %q: expected sync, periodic or async", s)
}

func (m *machine) buildGroup(in ScenarioGroup) error {
	md, err := parseMode(in.Mode)
	if err != nil {
		return fmt.Errorf("%w: group %s: %w", ErrScenario, in.Name, err)
	}
	if in.Creator != 0 && in.Creator != 1 {
		return fmt.Errorf("%w: group %s: creator %d: expected 0 or 1", ErrScenario, in.Name, in.Creator)
	}
	a := m.arrays[in.Creator]
	cpg := a.cpgs[0].name
	g, refused := m.createGroup(a, groupSpec{name: in.Name, target: m.peer(a).name, mode: md, userCPG: cpg, remoteUserCPG: m.peer(a).cpgs[0].name})
	if refused != nil {
		return fmt.Errorf("%w: group %s: %w", ErrScenario, in.Name, refused)
	}
	for _, p := range in.Policies {
		if refused := m.setPolicy(g, p, true); refused != nil {
			return fmt.Errorf("%w: group %s: %w", ErrScenario, in.Name, refused)
		}
	}
	g.pair.period = time.Duration(in.PeriodS) * time.Second
	size := in.SizeMiB * mib
	if size == 0 {
		size = minVolume
	}
	for _, v := range in.Volumes {
		if err := m.buildMember(g, v, cpg, size); err != nil {
			return fmt.Errorf("%w: group %s: %w", ErrScenario, in.Name, err)
		}
	}
	return m.buildState(g, in)
}

func (m *machine) buildMember(g *group, name, cpg string, size int64) error {
	if _, err := m.createVolume(g.array, volumeSpec{name: name, cpg: cpg, size: size, prov: "tpvv"}); err != nil {
		return err
	}
	if err := m.admit(g, admission{volume: name, target: m.peer(g.array).name, secondary: name, create: true}); err != nil {
		return err
	}
	return nil
}

func (m *machine) buildState(g *group, in ScenarioGroup) error {
	p := g.pair
	state := map[string]status{
		"": statusStarted, "started": statusStarted, "stopped": statusStopped, "new": statusNew, "failsafe": statusFailsafe,
	}
	to, ok := state[in.State]
	if !ok {
		return fmt.Errorf("%w: group %s: state %q: expected started, stopped, new or failsafe", ErrScenario, in.Name, in.State)
	}
	p.both(func(s *group) { s.status = to })
	if to == statusNew {
		return nil
	}
	p.lastSync = m.now.Add(-time.Duration(in.AgeS) * time.Second)
	for _, mem := range p.members {
		mem.sync, mem.last = syncStopped, p.lastSync.Add(cycleDuration)
		if to == statusStarted {
			mem.sync = syncSynced
		}
	}
	m.recordPoint(p, 1-g.array.index)
	m.planNext(p)
	return nil
}

func (m *machine) buildVolumes(a *array, vols []ScenarioVol) error {
	for _, in := range vols {
		var err *opError
		if in.CopyOf != "" {
			err = m.snapshot(a, in.CopyOf, in.Name, false, 0)
		} else {
			_, err = m.createVolume(a, volumeSpec{name: in.Name, cpg: a.cpgs[0].name, size: max(in.SizeMiB*mib, minVolume), prov: in.Prov})
		}
		if err != nil {
			return fmt.Errorf("%w: volume %s: %w", ErrScenario, in.Name, err)
		}
	}
	return nil
}
