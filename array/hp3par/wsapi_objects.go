package hp3par

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// groupObject is a group as the WSAPI shows it.
type groupObject struct {
	Name            string `json:"name"`
	Role            int    `json:"role"`
	RemoteGroupName string `json:"remoteGroupName"`
	Targets         []struct {
		TargetName        string `json:"targetName"`
		Target            string `json:"target"` // as some releases call it
		Mode              int    `json:"mode"`
		State             int    `json:"state"`
		RoleReversed      bool   `json:"roleReversed"`
		SyncPeriod        int64  `json:"syncPeriod"`
		GroupLastSyncTime string `json:"groupLastSyncTime"`
		Policies          struct {
			AutoRecover     bool `json:"autoRecover"`
			OverPeriodAlert bool `json:"overPeriodAlert"`
			AutoFailover    bool `json:"autoFailover"`
			PathManagement  bool `json:"pathManagement"`
		} `json:"policies"`
	} `json:"targets"`
	Volumes []struct {
		LocalVolumeName string `json:"localVolumeName"`
		RemoteVolumes   []struct {
			RemoteVolumeName      string `json:"remoteVolumeName"`
			SyncStatus            int    `json:"syncStatus"`
			VolumeLastSyncTimeSec int64  `json:"volumeLastSyncTimeSec"`
		} `json:"remoteVolumes"`
	} `json:"volumes"`
}

// Numbers of the WSAPI. Those not in these tables are shown as they are and are unknown.
func wsapiModes() map[int]string {
	return map[int]string{1: modeSync, 2: modePeriodic, 3: modePeriodic, 4: modeAsync}
}

func wsapiStates() map[int]string {
	return map[int]string{1: statusNew, 2: statusStarting, 3: statusStarted, 4: "Restart", 5: statusStopped, 6: "Backup", 7: statusFailsafe, 9: "Logging"}
}

func wsapiSyncs() map[int]string {
	return map[int]string{1: "New", 2: "Syncing", 3: "Synced", 4: "NotSynced", 5: "Stale", 6: "Stopped"}
}

func word(table map[int]string, n int) string {
	if w := table[n]; w != "" {
		return w
	}
	return fmt.Sprintf("number %d", n)
}

// group translates an object. A reversed role is either number 3 or 4, or the plain
// number with roleReversed.
func (g groupObject) group() group {
	out := group{name: g.Name, peerName: g.RemoteGroupName, role: role(fmt.Sprintf("number %d", g.Role))}
	reversed := g.Role == 3 || g.Role == 4
	for _, t := range g.Targets[:min(1, len(g.Targets))] {
		out.target, out.mode, out.status = t.TargetName+t.Target, word(wsapiModes(), t.Mode), word(wsapiStates(), t.State)
		if t.TargetName == t.Target {
			out.target = t.Target
		}
		out.period = time.Duration(min(max(t.SyncPeriod, 0), 366*24*3600)) * time.Second
		out.lastSync = isoStamp(t.GroupLastSyncTime)
		reversed = reversed || t.RoleReversed
		for _, p := range []struct {
			on   bool
			name string
		}{{t.Policies.AutoRecover, "auto_recover"}, {t.Policies.OverPeriodAlert, "over_per_alert"}, {t.Policies.AutoFailover, "auto_failover"}, {t.Policies.PathManagement, "path_management"}} {
			if p.on {
				out.policies = append(out.policies, p.name)
			}
		}
	}
	switch {
	case g.Role == 1 && !reversed:
		out.role = primary
	case g.Role == 1 || g.Role == 3:
		out.role = primaryRev
	case g.Role == 2 && !reversed:
		out.role = secondary
	case g.Role == 2 || g.Role == 4:
		out.role = secondaryRev
	}
	for _, v := range g.Volumes {
		m := member{local: v.LocalVolumeName, percent: -1}
		if len(v.RemoteVolumes) > 0 {
			r := v.RemoteVolumes[0]
			m.remote, m.sync = r.RemoteVolumeName, word(wsapiSyncs(), r.SyncStatus)
			if r.VolumeLastSyncTimeSec > 0 {
				m.last = stamp{text: "epoch", wall: r.VolumeLastSyncTimeSec, at: time.Unix(r.VolumeLastSyncTimeSec, 0)}
			}
		}
		out.members = append(out.members, m)
	}
	return out
}

func isoStamp(text string) stamp {
	s := stamp{text: text}
	if s.none() {
		return s
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		s.err = fmt.Errorf("%w: time %q", ErrOutput, text)
		return s
	}
	s.at, s.wall = at, at.Unix()
	return s
}

// list implements transport.
func (w *webServices) list(ctx context.Context) (listing, error) {
	l := listing{at: time.Now(), groups: map[string]group{}}
	err := w.with(ctx, func(s *session) error {
		var groups struct {
			Members []groupObject `json:"members"`
		}
		if err := s.call(ctx, http.MethodGet, "/remotecopygroups", nil, &groups); err != nil {
			return err
		}
		for _, g := range groups.Members {
			l.groups[g.Name] = g.group()
		}
		var links struct {
			Members []struct {
				TargetName string `json:"targetName"`
				Status     int    `json:"status"`
			} `json:"members"`
		}
		if err := s.call(ctx, http.MethodGet, "/remotecopylinks", nil, &links); err != nil {
			return err
		}
		for _, x := range links.Members {
			l.links = append(l.links, link{x.TargetName, map[int]string{1: "Up", 2: "Down"}[x.Status]})
		}
		return nil
	})
	return l, err
}

// request is one HTTP request that changes something.
type request struct {
	method, path string
	body         map[string]any
	until        func(group) bool // the group's state that ends it; nil: the reply does
}

// requestOf translates an act.
func requestOf(a act) (request, error) {
	if r, ok, err := lifeCycleRequest(a); ok {
		return r, err
	}
	path := "/remotecopygroups/" + url.PathEscape(a.group)
	put := func(n int) request { return request{http.MethodPut, path, map[string]any{"action": n}, nil} }
	post := func(n int, until func(group) bool, more ...string) request {
		r := request{http.MethodPost, path, map[string]any{"action": n}, until}
		for _, k := range more {
			r.body[k] = true
		}
		return r
	}
	if !plainWord.MatchString(a.group) {
		return request{}, fmt.Errorf("%w: %q", ErrArgument, a.group)
	}
	switch a.op {
	case opStart:
		return put(3), nil
	case opStop:
		return put(4), nil
	case opSync:
		return put(5), nil
	case opReverse:
		return post(6, func(g group) bool { return g.role.primary() }), nil
	case opRevert:
		return post(6, nil, "stopGroups", "localGroupsDirection"), nil
	case opFailover:
		return post(7, func(g group) bool { return g.role.primary() }), nil
	case opRecover:
		return post(9, func(g group) bool { return g.status == statusStarted || g.role == primary }), nil
	case opRestore:
		return post(10, func(g group) bool { return !g.role.primary() }), nil
	case opRestore0:
		return post(10, func(g group) bool { return !g.role.primary() }, "skipStart"), nil
	}
	if a.op == opRemove {
		return request{http.MethodDelete, path + "?keepSnap=false", nil, nil}, nil
	}
	return request{}, fmt.Errorf("%w: operation %q has no form in the WSAPI; use method ssh for this array", ErrConfig, a.op)
}

// text implements transport.
func (w *webServices) text(a act) (string, error) {
	r, err := requestOf(a)
	if err != nil {
		return "", err
	}
	if r.body == nil {
		return r.method + " /api/v1" + r.path, nil
	}
	if r.body["action"] == nil {
		body, err := json.Marshal(r.body)
		return fmt.Sprintf("%s /api/v1%s %s", r.method, r.path, body), err
	}
	return fmt.Sprintf("%s /api/v1%s action=%v", r.method, r.path, r.body["action"]), nil
}

// do implements transport. A change of direction is answered before it is done: the
// group is asked until it shows.
func (w *webServices) do(ctx context.Context, a act) error {
	r, err := requestOf(a)
	if err != nil {
		return err
	}
	return w.with(ctx, func(s *session) error {
		if a.op == opRevert { // it is done when the role has turned, whatever it was
			g, err := s.group(ctx, r.path)
			if err != nil {
				return err
			}
			r.until = func(now group) bool { return now.role.primary() != g.role.primary() }
		}
		var body any
		if r.body != nil {
			body = r.body
		}
		if err := s.call(ctx, r.method, r.path, body, nil); err != nil {
			return err
		}
		return s.await(ctx, r)
	})
}

func (s *session) group(ctx context.Context, path string) (group, error) {
	var g groupObject
	err := s.call(ctx, http.MethodGet, path, nil, &g)
	return g.group(), err
}

// await returns when the group shows what was asked for, or when nothing has moved for so long that
// it will not: the next observation tells then what became of it. A transfer may take hours.
func (s *session) await(ctx context.Context, r request) error {
	for idle := 0; r.until != nil && idle < pollIdle; idle++ {
		if err := s.w.sleep(ctx, pollPause); err != nil {
			return &silence{err, false}
		}
		g, err := s.group(ctx, r.path)
		if err != nil {
			return err
		}
		if r.until(g) {
			return nil
		}
		if g.moves() {
			idle = 0
		}
	}
	return nil
}

// moves says that the group is between two states.
func (g group) moves() bool {
	return g.status == statusStarting || g.status == statusStopping || slices.ContainsFunc(g.members, func(m member) bool { return m.sync == "Syncing" })
}
