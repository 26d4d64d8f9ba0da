package opensvc

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ddsgo/ddsgo/config"
)

// Scopes that stand for lists of nodes.
const (
	scopeNodes = "nodes"
	scopeDR    = "drpnodes"
)

// service is a file's nodes and sections, as far as values depend on them.
type service struct {
	name      string // of the service
	namespace string // empty: none
	modern    bool   // .conf, not .env: where an agent keeps its files
	doc       *document
	all       []*document // for references
	nodes, dr []string
}

// section finds a section of the file.
func (s *service) section(name string) *section {
	for _, x := range s.doc.sections {
		if x.name == name {
			return x
		}
	}
	return nil
}

// find is the entry that counts for a key on a node.
func (s *service) find(sec *section, key, node string) (*section, entry, bool) {
	scopes := []string{node}
	if slices.Contains(s.nodes, node) {
		scopes = append(scopes, scopeNodes)
	}
	if slices.Contains(s.dr, node) {
		scopes = append(scopes, scopeDR)
	}
	scopes = append(scopes, "")
	for _, in := range []*section{sec, s.section("DEFAULT")} {
		if in == nil {
			continue
		}
		for _, scope := range scopes {
			for _, e := range in.entries {
				if e.key == key && e.scope == scope {
					return in, e, true
				}
			}
		}
	}
	return nil, entry{}, false
}

// value is a key's value on a node, references replaced.
func (s *service) value(sec *section, key, node string) (value, *config.Error) {
	in, e, ok := s.find(sec, key, node)
	if !ok {
		return value{}, nil
	}
	text, err := s.expand(in, e, e.value, node, 0)
	return value{text: text, in: in, entry: e, set: true}, err
}

// value is what counts for a key, with the place where it stands.
type value struct {
	text  string
	in    *section
	entry entry
	set   bool
}

// fail is an error at the value.
func (v value) fail(format string, args ...any) *config.Error {
	return v.in.fail(v.entry, format, args...)
}

var reference = regexp.MustCompile(`\{([^{}]*)\}`)

// maxReferences bounds how deep references refer to each other.
const maxReferences = 8

// expand replaces references in a value.
func (s *service) expand(in *section, e entry, text, node string, depth int) (string, *config.Error) {
	var bad *config.Error
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		word := ref[1 : len(ref)-1]
		to, ok, err := s.resolve(in, e, word, node, depth)
		switch {
		case err != nil:
			bad = err
		case !ok && bad == nil:
			bad = in.fail(e, "%s refers to nothing that these files hold", ref)
		}
		return to
	})
	return out, bad
}

func (s *service) resolve(in *section, e entry, word, node string, depth int) (string, bool, *config.Error) {
	if depth >= maxReferences {
		return "", false, in.fail(e, "{%s} refers to itself", word)
	}
	switch word {
	case "svcname", "name":
		return s.name, true, nil
	case "nodename":
		return node, node != "", nil
	case "namespace":
		return s.namespace, s.namespace != "", nil
	case "clusternodes":
		word = "cluster.nodes"
	}
	name, key, dotted := strings.Cut(word, ".")
	if !dotted {
		if to, target, ok := s.find(in, word, node); ok {
			text, err := s.expand(to, target, target.value, node, depth+1)
			return text, true, err
		}
		return "", false, nil
	}
	for _, d := range s.all {
		for _, x := range d.sections {
			if x.name != name || d != s.doc && name != "cluster" {
				continue
			}
			if to, target, ok := s.find(x, key, node); ok {
				text, err := s.expand(to, target, target.value, node, depth+1)
				return text, true, err
			}
		}
	}
	return "", false, nil
}

// nodesOf are the nodes for which a section may say different things: those of the service,
// home first, and those that only its scopes name.
func (s *service) nodesOf(sec *section) []string {
	all := slices.Concat(s.nodes, s.dr)
	for _, e := range sec.entries {
		switch {
		case e.scope == "" || slices.Contains(all, e.scope):
		case e.scope == scopeNodes && len(s.nodes) > 0, e.scope == scopeDR && len(s.dr) > 0:
		default:
			all = append(all, e.scope)
		}
	}
	if len(all) == 0 {
		all = []string{""}
	}
	return all
}
