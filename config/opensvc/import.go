package opensvc

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/ddsgo/ddsgo/config"
)

// Options of Import.
type Options struct {
	// BareUnit is the unit of durations without one; 0: they are refused.
	BareUnit time.Duration
}

// Result is the translation.
type Result struct {
	YAML  []byte   // a configuration of ddsgo
	Notes []string // what could not be translated, each with file and line
}

// Import translates files that belong together. The error is a config.List with every
// mistake.
func Import(files []File, o Options) (Result, error) {
	m := &importer{options: o, arrays: map[string]yaml.MapSlice{}}
	for _, f := range files {
		doc, errs := parse(f)
		m.errs = append(m.errs, errs...)
		m.docs = append(m.docs, doc)
	}
	for _, d := range m.docs {
		m.document(d)
	}
	if len(m.errs) > 0 {
		return Result{}, m.errs
	}
	if len(m.arrays) == 0 && len(m.resources) == 0 {
		return Result{Notes: m.notes}, config.List{{Msg: "no array of type hp3par and no sync of type hp3par, hp3parsnap or dds in " + m.fileNames()}}
	}
	for _, a := range m.used {
		if _, ok := m.arrays[a.text]; !ok {
			m.note(a.in.doc, a.entry.line, "array %s is in none of these files: import them together with node.conf, or write it under arrays by hand", a.text)
		}
	}
	return m.write()
}

// importer collects what is translated.
type importer struct {
	options   Options
	docs      []*document
	arrays    map[string]yaml.MapSlice
	order     []string // of arrays
	resources yaml.MapSlice
	used      []value // arrays that resources name, each once
	notes     []string
	errs      config.List
}

func (m *importer) fileNames() string {
	var names []string
	for _, d := range m.docs {
		names = append(names, d.name)
	}
	return strings.Join(names, ", ")
}

func (m *importer) note(d *document, line int, format string, args ...any) {
	text := fmt.Sprintf("%s:%d: %s", d.name, line, fmt.Sprintf(format, args...))
	if !slices.Contains(m.notes, text) {
		m.notes = append(m.notes, text)
	}
}

func (m *importer) fail(err *config.Error) {
	if err != nil {
		m.errs = append(m.errs, err)
	}
}

// document translates the sections of a file.
func (m *importer) document(d *document) {
	s := &service{doc: d, all: m.docs}
	s.name, s.namespace, s.modern = serviceName(d.name)
	if def := s.section("DEFAULT"); def != nil {
		s.nodes, s.dr = m.nodeList(s, def, "nodes"), m.nodeList(s, def, "drpnodes")
		s.dr = append(s.dr, m.nodeList(s, def, "drpnode")...)
		m.unused(def, nil, scheduleKeys()...)
	}
	var syncs []syncSection
	for _, sec := range d.sections {
		kind, _, numbered := strings.Cut(sec.name, "#")
		switch {
		case kind == "array", !numbered && s.isArray(sec):
			m.array(s, sec)
		case kind == "sync":
			if x, ok := m.sync(s, sec); ok {
				syncs = append(syncs, x)
			}
		}
	}
	if len(syncs) > 0 && !plainName.MatchString(s.name) {
		m.fail(d.fail(0, 0, "the service's name %q, taken from the file's, is no name of a resource: rename the file", s.name))
		return
	}
	for _, x := range syncs {
		name := s.name
		if len(syncs) > 1 {
			name += "-" + strings.TrimPrefix(x.sec.name, "sync#")
		}
		x.translate(m, s, x.sec, name)
	}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,180}$`)

// isArray says that a section without a number is an array: in auth.conf of 2014 they are
// called by their names alone.
func (s *service) isArray(sec *section) bool {
	v, err := s.value(sec, "type", "")
	return err == nil && v.in == sec && v.text == config.DriverHP3PAR
}

// nodeList reads a list of nodes; selectors that only a running cluster can resolve are
// left to the scopes.
func (m *importer) nodeList(s *service, def *section, key string) []string {
	var names []string
	_, e, ok := s.find(def, key, "")
	if !ok {
		return nil
	}
	text, err := s.expand(def, e, e.value, "", 0)
	if err != nil {
		m.note(def.doc, e.line, "%s = %s is known to a running cluster only: the nodes are taken from the scopes", key, e.value)
		return nil
	}
	for _, n := range strings.Fields(strings.ReplaceAll(text, ",", " ")) {
		if strings.ContainsAny(n, "*?=") {
			m.note(def.doc, e.line, "%s = %s is known to a running cluster only: the nodes are taken from the scopes", key, e.value)
			return nil
		}
		names = append(names, n)
	}
	return names
}

// serviceName takes a service's name from its file: /etc/opensvc/svc1.conf, svc1.env, or
// .../namespaces/NS/svc/svc1.conf.
func serviceName(path string) (name, namespace string, modern bool) {
	base := filepath.Base(path)
	name = strings.TrimSuffix(strings.TrimSuffix(base, ".conf"), ".env")
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i, p := range parts {
		if p == "namespaces" && i+1 < len(parts) {
			namespace = parts[i+1]
		}
	}
	return name, namespace, !strings.HasSuffix(base, ".env")
}

// syncSection is a sync section that ddsgo has a driver for.
type syncSection struct {
	sec       *section
	translate func(m *importer, s *service, sec *section, name string)
}

func (m *importer) sync(s *service, sec *section) (syncSection, bool) {
	typ, err := s.value(sec, "type", "")
	m.fail(err)
	translate := map[string]func(*importer, *service, *section, string){
		"hp3par": (*importer).group, "hp3parsnap": (*importer).snapshots, "dds": (*importer).dds,
	}[typ.text]
	if translate == nil {
		kind := typ.text
		if !typ.set {
			kind = "rsync (the default)"
		}
		m.note(sec.doc, sec.line, "[%s] of type %s is not for ddsgo", sec.name, kind)
	}
	return syncSection{sec, translate}, translate != nil
}

// resource adds a resource; two files may not give it the same name.
func (m *importer) resource(sec *section, name string, settings yaml.MapSlice) {
	if slices.ContainsFunc(m.resources, func(x yaml.MapItem) bool { return x.Key == name }) {
		m.fail(sec.doc.fail(sec.line, 1, "[%s]: there is a resource %s already, of a file of the same name or another section", sec.name, name))
		return
	}
	m.resources = append(m.resources, yaml.MapItem{Key: name, Value: settings})
}

// write makes the configuration and reads it back: what does not pass is a defect here.
func (m *importer) write() (Result, error) {
	doc := yaml.MapSlice{}
	arrays := yaml.MapSlice{}
	for _, n := range m.order {
		arrays = append(arrays, yaml.MapItem{Key: n, Value: m.arrays[n]})
	}
	if len(arrays) > 0 {
		doc = append(doc, yaml.MapItem{Key: "arrays", Value: arrays})
	}
	if len(m.resources) > 0 {
		doc = append(doc, yaml.MapItem{Key: "resources", Value: m.resources})
	}
	out, err := yaml.Marshal(doc)
	if err != nil {
		return Result{}, fmt.Errorf("opensvc: %w", err)
	}
	for _, a := range m.used {
		if _, ok := m.arrays[a.text]; !ok {
			arrays = append(arrays, yaml.MapItem{Key: a.text, Value: yaml.MapSlice{{Key: "type", Value: config.DriverHP3PAR}, {Key: "username", Value: "none"}}})
		}
	}
	whole, err := yaml.Marshal(yaml.MapSlice{{Key: "arrays", Value: arrays}, {Key: "resources", Value: m.resources}})
	if err == nil {
		_, err = config.Parse("translation", whole)
	}
	if err != nil {
		return Result{Notes: m.notes}, fmt.Errorf("the translation is no configuration of ddsgo: %w", err)
	}
	return Result{YAML: out, Notes: m.notes}, nil
}
