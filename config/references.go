package config

import (
	"maps"
	"slices"
)

// references checks what a resource says about arrays, which may stand in another file.
func (l *loader) references(r Resource) {
	p, ok := l.nodes[r.Name]
	if !ok {
		return // its own defects are reported already
	}
	l.path, l.lines = p.path, p.lines
	switch {
	case r.HP3PAR != nil:
		for _, s := range r.HP3PAR.Sites {
			l.arrayRef(p, s.Of.Array, DriverHP3PAR, "sites", s.Name, "array")
		}
	case r.InfiniBox != nil:
		for _, s := range r.InfiniBox.Sites {
			l.arrayRef(p, s.Of.Array, DriverInfiniBox, "sites", s.Name, "array")
		}
	case r.HP3PARSnap != nil:
		l.arrayRef(p, r.HP3PARSnap.Array, DriverHP3PAR, "array")
	}
}

func (l *loader) arrayRef(p placed, name, typ string, path ...string) {
	a, ok := l.cfg.Arrays[name]
	if ok && a.Type == typ {
		return
	}
	e := nodeError(at(p.node, path...), "array %q is not defined under arrays", name)
	if ok {
		e.Msg = "array \"" + name + "\" is of type " + a.Type + ", not " + typ
	}
	for _, n := range slices.Sorted(maps.Keys(l.cfg.Arrays)) {
		if l.cfg.Arrays[n].Type == typ {
			e.Known = append(e.Known, n)
		}
	}
	l.fail(e)
}

// checkLocalSite refuses a site that no resource has: a typing error there would turn
// failover round.
func (l *loader) checkLocalSite() {
	site := l.cfg.LocalSite
	known := l.cfg.SiteNames()
	if site == "" || len(known) == 0 || slices.Contains(known, site) {
		return
	}
	e := &Error{Pos: l.cfg.localSiteAt, Msg: "local_site \"" + site + "\" is a site of no resource", Known: known}
	l.errs = append(l.errs, e)
}

// SiteNames are the sites that resources name, sorted. The sites of LVM resources are
// not among them: they are made from roles and hosts.
func (c *Config) SiteNames() []string {
	var names []string
	for _, r := range c.Resources {
		if r.LVM == nil {
			names = append(names, r.Sites()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
