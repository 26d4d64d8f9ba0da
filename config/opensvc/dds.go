package opensvc

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/ddsgo/ddsgo/config"
)

// dds translates a sync section of type dds.
func (m *importer) dds(s *service, sec *section, name string) {
	m.unused(sec, []string{"type", "src", "dst", "target", "snap_size", "sync_max_delay", "delta_store", "sender", "bwlimit"})
	for _, key := range []string{"delta_store", "sender", "bwlimit"} {
		if v := m.optional(s, sec, key, ""); v.set {
			m.note(sec.doc, v.entry.line, "[%s] %s is not translated", sec.name, v.entry.full())
		}
	}
	if len(s.nodes) == 0 {
		m.fail(sec.missing("nodes", "[DEFAULT] nodes must name the host that holds src"))
		return
	}
	home := s.nodes[0]
	src, ok := m.required(s, sec, "src", home)
	target, ok2 := m.required(s, sec, "target", home)
	if !ok || !ok2 {
		return
	}
	if !filepath.IsAbs(src.text) {
		m.fail(src.fail("%q is no absolute path of a device", src.text))
	}
	hosts, err := s.targets(target, home)
	if err != nil {
		m.fail(err)
		return
	}
	for _, h := range hosts[1:] {
		m.note(sec.doc, target.entry.line, "[%s] target %s is not translated: a resource has one target, here %s", sec.name, h, hosts[0])
	}
	out := yaml.MapSlice{{Key: "source", Value: src.text}}
	if size := m.snapSize(s, sec, home); size != "" {
		out = append(out, yaml.MapItem{Key: "snap_size", Value: size})
	}
	if delay := m.delay(s, sec, home); delay != "" {
		out = append(out, yaml.MapItem{Key: "sync_max_delay", Value: delay})
	}
	state := s.stateFile(sec)
	m.note(sec.doc, sec.line, "[%s] is adopted with the state file %s; check that it is there on both hosts", sec.name, state)
	out = append(out, yaml.MapItem{Key: "opensvc_state", Value: state},
		yaml.MapItem{Key: "targets", Value: []yaml.MapSlice{{{Key: "host", Value: hosts[0]}, {Key: "device", Value: m.destination(s, sec, src, hosts[0])}}}})
	m.resource(sec, name, out)
}

// targets are the hosts that a target list means, without the source.
func (s *service) targets(target value, home string) ([]string, *config.Error) {
	var hosts []string
	for _, word := range strings.Fields(strings.ReplaceAll(target.text, ",", " ")) {
		list := map[string][]string{scopeNodes: s.nodes, scopeDR: s.dr, "both": slices.Concat(s.nodes, s.dr)}[word]
		if list == nil && !slices.Contains([]string{scopeNodes, scopeDR, "both"}, word) {
			err := target.fail("%q is no target", word)
			err.Known = []string{scopeNodes, scopeDR}
			return nil, err
		}
		hosts = append(hosts, list...)
	}
	for _, h := range hosts {
		if !plainName.MatchString(h) || h == config.LVMSourceSite {
			return nil, target.fail("%q is no name of a host that a copy can be on", h)
		}
	}
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return h == home })
	if len(hosts) == 0 {
		return nil, target.fail("%s means no host but %s, which is the source", target.text, home)
	}
	return hosts, nil
}

// destination is dst on the target host, or src as that host knows it.
func (m *importer) destination(s *service, sec *section, src value, host string) string {
	dst := m.optional(s, sec, "dst", host)
	if dst.text == "" {
		if dst = m.optional(s, sec, "src", host); dst.text == "" {
			dst = src
		}
	}
	if !filepath.IsAbs(dst.text) {
		m.fail(dst.fail("%q is no absolute path of a device", dst.text))
	}
	return dst.text
}

// snapSize reads snap_size, which is in MiB where it has no unit; empty: ddsgo's default.
func (m *importer) snapSize(s *service, sec *section, node string) string {
	v := m.optional(s, sec, "snap_size", node)
	if v.text == "" {
		return ""
	}
	text := v.text
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if n < 1 || n > 1<<30 {
			m.fail(v.fail("%q is no size in MiB", text))
			return ""
		}
		text = fmt.Sprintf("%dMiB", int64(n+0.5))
	}
	size, err := config.ParseSize(text)
	if err != nil || size == 0 {
		m.fail(v.fail("%q is no size", v.text))
		return ""
	}
	return size.String()
}

// stateFile is where an agent of the file's age keeps date and uuid of the base.
func (s *service) stateFile(sec *section) string {
	switch {
	case !s.modern:
		return "/opt/opensvc/var/" + s.name + "_" + sec.name + "_dds_state"
	case s.namespace != "":
		return "/var/lib/opensvc/namespaces/" + s.namespace + "/svc/" + s.name + "/" + sec.name + "/dds_state"
	}
	return "/var/lib/opensvc/svc/" + s.name + "/" + sec.name + "/dds_state"
}
