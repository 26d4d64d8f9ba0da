package opensvc

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/ddsgo/ddsgo/config"
)

// array translates [array#NAME].
func (m *importer) array(s *service, sec *section) {
	name := strings.TrimPrefix(sec.name, "array#")
	typ, ok := m.required(s, sec, "type", "")
	if !ok {
		return
	}
	if typ.text != config.DriverHP3PAR {
		m.note(sec.doc, sec.line, "[%s] of type %s is not translated", sec.name, typ.text)
		return
	}
	if !plainName.MatchString(name) || name == "array" {
		m.fail(sec.doc.fail(sec.line, 1, "[%s] names no array: write [array#NAME], NAME as in the Target column of showrcopy", sec.name))
		return
	}
	if _, twice := m.arrays[name]; twice {
		m.fail(sec.doc.fail(sec.line, 1, "array %s stands in another of these files already", name))
		return
	}
	out := yaml.MapSlice{{Key: "type", Value: config.DriverHP3PAR}}
	method := m.anywhere(s, sec, "method")
	if method.text != "" {
		if !slices.Contains([]string{"ssh", "cli", "proxy"}, method.text) {
			err := method.fail("%q is no method", method.text)
			err.Known = []string{"ssh", "cli", "proxy"}
			m.fail(err)
		}
		out = append(out, yaml.MapItem{Key: "method", Value: method.text})
	}
	ours := []string{"manager", "username", "key", "cli", "pwf"}
	for _, key := range ours {
		if v := m.anywhere(s, sec, key); v.text != "" {
			out = append(out, yaml.MapItem{Key: key, Value: v.text})
			if strings.HasPrefix(v.text, "-") {
				m.fail(v.fail("%q would be taken for an option", v.text))
			}
			if v.entry.scope != "" {
				m.note(sec.doc, v.entry.line, "[%s] %s: taken for every host; change it where it differs", sec.name, v.entry.full())
			}
		}
	}
	if v := m.anywhere(s, sec, "password"); v.set {
		m.note(sec.doc, v.entry.line, "[%s] password: put it into a file (chmod 600) and name that as password_file", sec.name)
	}
	m.reachable(s, sec, name, method.text)
	m.unused(sec, append(ours, "type", "method", "password"))
	m.arrays[name] = out
	m.order = append(m.order, name)
}

// reachable checks what a method needs, and tells what OpenSVC does not ask for.
func (m *importer) reachable(s *service, sec *section, name, method string) {
	needs := map[string][]string{"": {"username", "key"}, "ssh": {"username", "key"}, "cli": {"pwf"}, "proxy": {"manager"}}[method]
	for _, key := range needs {
		if m.anywhere(s, sec, key).text == "" {
			m.fail(sec.missing(key, "is missing"))
		}
	}
	switch method {
	case "", "ssh":
		m.note(sec.doc, sec.line, "array %s: ddsgo checks host keys; the array's must be in known_hosts", name)
	case "proxy":
		m.note(sec.doc, sec.line, "array %s: the proxy wants this node's uuid ([node] uuid of node.conf): put it into a file (chmod 600) and name that as password_file", name)
	}
	if v := m.anywhere(s, sec, "key"); strings.Contains(v.text, "_dsa") {
		m.note(sec.doc, v.entry.line, "array %s: DSA keys are not used any more; if %s is one, make another (ssh-keygen -t rsa, setsshkey -add on the array)", name, v.text)
	}
	m.note(sec.doc, sec.line, "array %s: if its times are not UTC, name its zones: timezones: {CET: \"+01:00\"}", name)
}

// anywhere is a key's value on the first node that has one.
func (m *importer) anywhere(s *service, sec *section, key string) value {
	for _, node := range s.nodesOf(sec) {
		if v := m.optional(s, sec, key, node); v.set {
			return v
		}
	}
	return value{}
}

// side is one array with what a section names on it.
type side struct {
	site  string // the first node that is there
	array value
	what  value // rcg, vv_names
}

// sides groups the nodes of a section by array and what.
func (m *importer) sides(s *service, sec *section, key string) ([]side, bool) {
	var out []side
	for _, node := range s.nodesOf(sec) {
		a, ok1 := m.required(s, sec, "array", node)
		w, ok2 := m.required(s, sec, key, node)
		if !ok1 || !ok2 {
			return nil, false
		}
		if !plainName.MatchString(a.text) {
			m.fail(a.fail("%q is no name of an array", a.text))
			return nil, false
		}
		if node != "" && !plainName.MatchString(node) {
			m.fail(a.fail("%q is no name of a node", node))
			return nil, false
		}
		if !slices.ContainsFunc(out, func(x side) bool { return x.array.text == a.text && x.what.text == w.text }) {
			out = append(out, side{node, a, w})
		}
		if !slices.ContainsFunc(m.used, func(v value) bool { return v.text == a.text }) {
			m.used = append(m.used, a)
		}
	}
	return out, true
}

// group translates a sync section of type hp3par.
func (m *importer) group(s *service, sec *section, name string) {
	m.unused(sec, []string{"type", "array", "rcg", "mode", "method", "sync_max_delay"})
	home := s.nodesOf(sec)[0]
	mode, ok := m.required(s, sec, "mode", home)
	if ok && !slices.Contains([]string{"async", "sync"}, mode.text) {
		err := mode.fail("%q is no mode", mode.text)
		err.Known = []string{"async", "sync"}
		m.fail(err)
	}
	delay := m.delay(s, sec, home)
	sides, ok := m.sides(s, sec, "rcg")
	if !ok {
		return
	}
	for _, x := range sides {
		if !plainName.MatchString(x.what.text) {
			m.fail(x.what.fail("%q is no name of a group", x.what.text))
			return
		}
	}
	last := sides[len(sides)-1]
	switch {
	case len(sides) != 2:
		m.fail(last.what.fail("%d pairs of array and rcg, a group has 2: write array@NODE and rcg@NODE for a node of each site", len(sides)))
		return
	case sides[0].array.text == sides[1].array.text:
		m.fail(last.array.fail("both sites are on array %s", last.array.text))
		return
	}
	if v := m.optional(s, sec, "method", ""); v.set {
		m.note(sec.doc, v.entry.line, "[%s] method = %s: the method is one of the array's, set it there", sec.name, v.text)
	}
	sites := yaml.MapSlice{}
	for _, x := range sides {
		sites = append(sites, yaml.MapItem{Key: x.site, Value: yaml.MapSlice{{Key: "array", Value: x.array.text}, {Key: "group", Value: x.what.text}}})
	}
	m.note(sec.doc, sec.line, "resource %s: its sites are called %s and %s, after a node of each; set local_site on each host", name, sides[0].site, sides[1].site)
	m.note(sec.doc, sec.line, "resource %s: after start replication stays stopped, as OpenSVC's documentation says; its agent starts it at home: resume_after_start: prod", name)
	out := yaml.MapSlice{{Key: "driver", Value: config.DriverHP3PAR}, {Key: "mode", Value: mode.text}}
	if delay != "" {
		out = append(out, yaml.MapItem{Key: "sync_max_delay", Value: delay})
	}
	m.resource(sec, name, append(out, yaml.MapItem{Key: "sites", Value: sites}))
}

// snapshots translates a sync section of type hp3parsnap: a resource per array and list.
func (m *importer) snapshots(s *service, sec *section, name string) {
	m.unused(sec, []string{"type", "array", "vv_names", "sync_max_delay"})
	delay := m.delay(s, sec, s.nodesOf(sec)[0])
	sides, _ := m.sides(s, sec, "vv_names")
	for _, x := range sides {
		names := strings.Fields(strings.ReplaceAll(x.what.text, ",", " "))
		if len(names) == 0 {
			m.fail(x.what.fail("%q names no snapshot", x.what.text))
			return
		}
		for _, n := range names {
			if strings.HasPrefix(n, "set:") {
				m.fail(x.what.fail("%s is a set: name its snapshots, so that each can be checked", n))
			}
		}
		out := yaml.MapSlice{{Key: "driver", Value: config.DriverHP3PARSnap}, {Key: "array", Value: x.array.text}, {Key: "vv_names", Value: names}}
		if delay != "" {
			out = append(out, yaml.MapItem{Key: "sync_max_delay", Value: delay})
		}
		full := name
		if len(sides) > 1 {
			full += "-" + x.site
		}
		m.resource(sec, full, out)
	}
}
