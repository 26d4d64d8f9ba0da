package hp3par

import (
	"time"
)

// State is the answer to GET /v1/state.
type State struct {
	SchemaVersion int          `json:"schema_version"`
	Now           time.Time    `json:"now"`
	Profile       Profile      `json:"profile"`
	LinkUp        bool         `json:"link_up"`
	Violations    []string     `json:"violations"`
	Arrays        []StateArray `json:"arrays"`
}

// StateArray is one array.
type StateArray struct {
	Name        string        `json:"name"`
	SystemID    int           `json:"system_id"`
	Down        bool          `json:"down"`
	CLISessions int           `json:"cli_sessions"`
	CLIPeak     int           `json:"cli_sessions_peak"`
	APISessions int           `json:"wsapi_sessions"`
	Groups      []StateGroup  `json:"groups"`
	Volumes     []StateVolume `json:"volumes"`
	VLUNs       []StateVLUN   `json:"vluns"`
	Tasks       []StateTask   `json:"active_tasks"`
}

// StateGroup is a group as its array sees it.
type StateGroup struct {
	Name       string        `json:"name"`
	RemoteName string        `json:"remote_name"`
	Role       string        `json:"role"`
	Status     string        `json:"status"`
	Mode       string        `json:"mode"`
	PeriodS    int           `json:"period_s"`
	Policies   []string      `json:"policies"`
	Writable   bool          `json:"writable"`
	HalfDone   bool          `json:"half_transferred"` // the receiving side holds a cut transfer
	LastSync   *time.Time    `json:"last_sync"`
	Members    []StateMember `json:"members"`
}

// StateMember is one replicated volume.
type StateMember struct {
	Local  string `json:"local"`
	Remote string `json:"remote"`
	Sync   string `json:"sync"`
}

// StateVolume is one volume.
type StateVolume struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	WWN        string `json:"wwn"`
	Size       int64  `json:"size"`
	Prov       string `json:"prov"`
	CopyOf     string `json:"copy_of"`
	Group      string `json:"group"`
	Comment    string `json:"comment"`
	Compressed bool   `json:"compressed"`
	File       string `json:"file,omitempty"` // with --files
}

// StateVLUN is one export.
type StateVLUN struct {
	Volume string `json:"volume"`
	LUN    int    `json:"lun"`
	Host   string `json:"host"`
}

// StateTask is a task that has not ended.
type StateTask struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// State returns what both arrays hold.
func (s *Sim) State() any { return s.Snapshot() }

// Snapshot is State with its type.
func (s *Sim) Snapshot() State {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	st := State{SchemaVersion: 1, Now: m.now.UTC(), Profile: s.profile.name, LinkUp: m.linked, Violations: append([]string{}, m.violations...)}
	for i, a := range m.arrays {
		x := m.arrayState(a)
		x.APISessions = s.sessions[i].count()
		x.CLISessions, x.CLIPeak = s.shells[i].counts()
		st.Arrays = append(st.Arrays, x)
	}
	return st
}

func (s *sshServer) counts() (now, peak int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions, s.peak
}

func (m *machine) arrayState(a *array) StateArray {
	x := StateArray{Name: a.name, SystemID: a.systemID, Down: m.faultOn(a, "array_down"),
		Groups: []StateGroup{}, Volumes: []StateVolume{}, VLUNs: []StateVLUN{}, Tasks: []StateTask{}}
	for _, g := range sortedGroups(a) {
		x.Groups = append(x.Groups, groupState(g))
	}
	for _, v := range sortedVolumes(a) {
		y := StateVolume{ID: v.id, Name: v.name, WWN: v.wwn, Size: v.size, Prov: v.prov, CopyOf: v.copyOf, Comment: v.comment, Compressed: v.compress}
		if v.group != nil {
			y.Group = v.group.name
		}
		if f, isFile := v.data.(*file); isFile {
			y.File = f.path
		}
		x.Volumes = append(x.Volumes, y)
	}
	for _, l := range a.vluns {
		x.VLUNs = append(x.VLUNs, StateVLUN{l.volume, l.lun, l.host})
	}
	for _, t := range a.tasks {
		if t.status == taskActive {
			x.Tasks = append(x.Tasks, StateTask{t.id, t.name})
		}
	}
	return x
}

func groupState(g *group) StateGroup {
	p, i := g.pair, g.array.index
	x := StateGroup{Name: g.name, Role: g.roleName(), Status: string(g.status), Mode: p.mode.String(), PeriodS: int(p.period / time.Second),
		Policies: []string{}, Writable: g.writable(), HalfDone: p.partial, Members: []StateMember{}}
	if peer := g.peer(); peer != nil {
		x.RemoteName = peer.name
	}
	if !p.lastSync.IsZero() {
		at := p.lastSync.UTC()
		x.LastSync = &at
	}
	for _, name := range groupPolicies {
		if g.policies[name] {
			x.Policies = append(x.Policies, name)
		}
	}
	for _, mem := range p.members {
		y := StateMember{Local: mem.vols[i].name, Sync: string(mem.sync)}
		if r := mem.vols[1-i]; r != nil {
			y.Remote = r.name
		}
		x.Members = append(x.Members, y)
	}
	return x
}

// Group returns the state of one group, by array (0 or 1) and name.
func (s State) Group(array int, name string) (StateGroup, bool) {
	for _, g := range s.Arrays[array].Groups {
		if g.Name == name {
			return g, true
		}
	}
	return StateGroup{}, false
}

// String is "Role/Status", as the command line shows them.
func (g StateGroup) String() string { return g.Role + "/" + g.Status }
