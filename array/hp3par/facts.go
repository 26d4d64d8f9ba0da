package hp3par

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// facts are what one array says beyond groups and links. They are read only for verbs that
// need them: one listing of groups is all that a status costs.
type facts struct {
	Volumes map[string]volumeFacts `json:"volumes,omitempty"` // the goal's, by name; those that do not exist are missing
	Exports []export               `json:"exports"`
	// ExportsError: why the exports are not known. Verbs that only report them go on.
	ExportsError string   `json:"exports_error,omitempty"`
	Hosts        []string `json:"hosts"`          // attach: the hosts that the array knows
	Period       int64    `json:"period_seconds"` // of the group
	Members      []string `json:"members"`        // of the group, by their names here
	// Twins are groups here that belong to the peer's group of the configured name, under
	// another name than the configured one.
	Twins []string `json:"twins,omitempty"`
}

// volumeFacts is one volume as its array shows it.
type volumeFacts struct {
	Name    string `json:"name"`
	SizeMiB int64  `json:"size_mib"`
	Group   string `json:"group"` // of which it is a member; empty: none
	Comment string `json:"comment"`
}

// export is one VLUN template: a volume that a host may see.
type export struct {
	Volume string `json:"volume"`
	LUN    int    `json:"lun"`
	Host   string `json:"host"`
}

// nativeFacts is where facts stand in array.Side.Native.
const nativeFacts = "facts"

func (v view) facts(site string) *facts { return factsOf(v.Side(site)) }

func factsOf(s array.Side) *facts {
	if f, ok := s.Native[nativeFacts].(*facts); ok {
		return f
	}
	return &facts{}
}

// objectTransport is a transport that knows single volumes, exports and hosts.
type objectTransport interface {
	volumeFacts(ctx context.Context, names []string) (map[string]volumeFacts, error)
	exports(ctx context.Context) ([]export, error)
	hosts(ctx context.Context) ([]string, error)
}

var _, _ objectTransport = (*commandLine)(nil), (*webServices)(nil)

// Focus implements array.Focuser.
func (d *Driver) Focus(g array.Goal) { d.focus = &g }

// Show implements array.Shower: the observation, with hosts and exports on both arrays.
func (d *Driver) Show(ctx context.Context) (any, error) {
	d.Focus(array.Goal{Verb: array.VolumeAttach})
	return d.Observe(ctx)
}

// readFacts reads what the goal needs of one array.
func (d *Driver) readFacts(ctx context.Context, s Site, l listing) (*facts, error) {
	g := d.focus
	f := &facts{}
	here := l.groups[s.Group]
	for _, m := range here.members {
		f.Members = append(f.Members, m.local)
	}
	f.Period = int64(here.period.Seconds())
	f.Twins = d.twins(s, l)
	t := s.Array.t.(objectTransport)
	if g.Verb.ChangesDirection() {
		return f, d.readExports(ctx, t, f, here)
	}
	if !lifeCycleOfVolumes(g.Verb) {
		return f, nil
	}
	var err error
	if names := volumeNames(*g); len(names) > 0 {
		if f.Volumes, err = t.volumeFacts(ctx, names); err != nil {
			return f, err
		}
	}
	if g.Verb == array.VolumeAttach {
		if f.Hosts, err = t.hosts(ctx); err != nil {
			return f, err
		}
	}
	if g.Verb == array.VolumeAttach || g.Verb == array.VolumeDetach || g.Verb == array.VolumeDelete {
		f.Exports, err = t.exports(ctx)
	}
	return f, err
}

// readExports is for verbs that only report exports: what cannot be read does not stop them.
// They are read at the beginning on both sides, and later where the verb may have ended.
func (d *Driver) readExports(ctx context.Context, t objectTransport, f *facts, here group) error {
	if !d.first && !here.role.primary() {
		return nil
	}
	var err error
	if f.Exports, err = t.exports(ctx); err != nil {
		f.ExportsError = err.Error()
	}
	return context.Cause(ctx)
}

// volumeNames are the names by which a goal's volume may be known, here or there.
func volumeNames(g array.Goal) []string {
	var names []string
	for _, n := range []string{g.Volume, g.Params[ParamRemote]} {
		if plainWord.MatchString(n) && (len(names) == 0 || names[0] != n) {
			names = append(names, n)
		}
	}
	return names
}

// twins are groups of the peer that the array has named otherwise than the configuration.
func (d *Driver) twins(s Site, l listing) []string {
	peer := d.site(d.peer(s.Name))
	name := regexp.MustCompile(`^` + regexp.QuoteMeta(peer.Group) + `\.r[0-9]+$`)
	var out []string
	for _, g := range l.groups {
		if g.name != s.Group && g.target == peer.Array.Name && name.MatchString(g.name) {
			out = append(out, g.name)
		}
	}
	return out
}

// Questions about volumes, exports and hosts.
const (
	showVolume  = "showvv -showcols Name,VSize_MB,RcopyGroup,Comment"
	showExports = "showvlun -t"
	showHosts   = "showhost"
)

// volumeFacts implements objectTransport.
func (c *commandLine) volumeFacts(ctx context.Context, names []string) (map[string]volumeFacts, error) {
	out, err := c.ask(ctx, showVolume+" "+strings.Join(names, " "), true)
	if err != nil {
		return nil, err
	}
	return parseVolumeFacts(out)
}

// exports implements objectTransport.
func (c *commandLine) exports(ctx context.Context) ([]export, error) {
	out, err := c.ask(ctx, showExports, true)
	if err != nil {
		return nil, err
	}
	return parseExports(out)
}

// hosts implements objectTransport.
func (c *commandLine) hosts(ctx context.Context) ([]string, error) {
	out, err := c.ask(ctx, showHosts, true)
	if err != nil {
		return nil, err
	}
	return parseHosts(out)
}

// noWord are the ways in which an empty column is written.
func noWord(s string) string {
	if strings.Trim(s, "-") == "" {
		return ""
	}
	return s
}

// parseVolumeFacts reads showvv with the columns of showVolume. A comment may hold commas:
// it stands last.
func parseVolumeFacts(out string) (map[string]volumeFacts, error) {
	list, err := table(out)
	if err != nil {
		return nil, err
	}
	volumes := map[string]volumeFacts{}
	for _, f := range list {
		switch {
		case f[0] == "Name" || f[0] == "" || len(f) == 1:
			continue
		case len(f) < 4:
			return nil, fmt.Errorf("%w: a volume's row has %d fields: %q", ErrOutput, len(f), f)
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: size of volume %s: %q", ErrOutput, f[0], f[1])
		}
		volumes[f[0]] = volumeFacts{Name: f[0], SizeMiB: size, Group: noWord(f[2]), Comment: noWord(strings.Join(f[3:], ","))}
	}
	return volumes, nil
}

// parseExports reads `showvlun -t`: Lun,VVName,HostName and more.
func parseExports(out string) ([]export, error) {
	list, err := table(out)
	if err != nil {
		return nil, err
	}
	var exports []export
	for _, f := range list {
		if len(f) < 3 || f[0] == "Lun" || f[0] == "" {
			continue
		}
		lun, err := strconv.Atoi(f[0])
		if err != nil {
			return nil, fmt.Errorf("%w: LUN %q", ErrOutput, f[0])
		}
		exports = append(exports, export{f[1], lun, f[2]})
	}
	return exports, nil
}

// parseHosts reads showhost: Id,Name and more, a row for each path.
func parseHosts(out string) ([]string, error) {
	list, err := table(out)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range list {
		if len(f) < 3 || f[0] == "Id" || f[1] == "" {
			continue
		}
		if len(names) == 0 || names[len(names)-1] != f[1] {
			names = append(names, f[1])
		}
	}
	return names, nil
}

// table reads CSV and trims each field; a complaint is an error.
func table(out string) ([][]string, error) {
	if text := complaint(out); text != "" {
		return nil, &rejection{rc: 1, text: text}
	}
	list, err := rows(out)
	for _, f := range list {
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
	}
	return list, err
}
