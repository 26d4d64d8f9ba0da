package hp3par

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func sortedHosts(a *array) []*host {
	out := slices.Collect(maps.Values(a.hosts))
	slices.SortFunc(out, func(x, y *host) int { return x.id - y.id })
	return out
}

func showHosts(_ context.Context, c *cli, in input) error {
	return c.locked(func() *opError {
		t := table{header: []string{"Id", "Name", "Persona", "-WWN/iSCSI_Name-", "Port"}}
		for _, h := range sortedHosts(c.a) {
			if len(in.pos) > 0 && !slices.Contains(in.pos, h.name) {
				continue
			}
			paths := slices.Concat(h.wwns, h.iqns)
			if len(paths) == 0 {
				paths = []string{"--"}
			}
			for _, p := range paths {
				t.rows = append(t.rows, []string{strconv.Itoa(h.id), h.name, "Generic", p, "---"})
			}
		}
		if len(t.rows) == 0 {
			c.printf("no hosts listed\n")
			return nil
		}
		t.total = []string{strconv.Itoa(len(t.rows)), "total"}
		c.print(t)
		return nil
	})
}

func (m *machine) createHost(a *array, name string, wwns, iqns []string, persona int) *opError {
	switch {
	case !validName(name):
		return &opError{code: 69, http: 400, desc: fmt.Sprintf("invalid input: illegal character in host name %q", name), ref: "name"}
	case len(name) > 31:
		return errTooLong("host", name, 31)
	case a.hosts[name] != nil:
		return refuse(16, 409, "host %s already exists", name)
	}
	for _, h := range a.hosts {
		for _, p := range slices.Concat(wwns, iqns) {
			if slices.Contains(h.wwns, p) || slices.Contains(h.iqns, p) {
				return refuse(73, 409, "host WWN/iSCSI name already used by another host %s", h.name)
			}
		}
	}
	a.nextHost++
	a.hosts[name] = &host{id: a.nextHost, name: name, wwns: wwns, iqns: iqns, perso: persona}
	return nil
}

func (m *machine) removeHost(a *array, name string) *opError {
	if a.hosts[name] == nil {
		return errHostMissing(name)
	}
	if slices.ContainsFunc(a.vluns, func(x *vlun) bool { return x.host == name }) {
		return refuse(26, 409, "host %s has exported VLUNs", name)
	}
	delete(a.hosts, name)
	return nil
}

func createHostCommand(_ context.Context, c *cli, in input) error {
	wwns, iqns := in.pos[1:], []string(nil)
	if in.has("-iscsi") {
		wwns, iqns = nil, in.pos[1:]
	}
	persona := 1
	if in.has("-persona") {
		n, err := strconv.Atoi(in.flags["-persona"])
		if err != nil || n < 1 || n > 11 {
			return fmt.Errorf("Invalid persona %q", in.flags["-persona"])
		}
		persona = n
	}
	return c.locked(func() *opError { return c.m.createHost(c.a, in.pos[0], wwns, iqns, persona) })
}

func removeHostCommand(_ context.Context, c *cli, in input) error {
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to remove host %s?", in.pos[0])); err != nil {
		return err
	}
	return c.locked(func() *opError { return c.m.removeHost(c.a, in.pos[0]) })
}

func showExports(_ context.Context, c *cli, in input) error {
	return c.locked(func() *opError {
		t := table{header: []string{"Lun", "VVName", "HostName", "-Host_WWN/iSCSI_Name-", "Port", "Type"}}
		for _, x := range c.a.vluns {
			if (in.has("-host") && in.flags["-host"] != x.host) || (in.has("-v") && in.flags["-v"] != x.volume) {
				continue
			}
			t.rows = append(t.rows, []string{strconv.Itoa(x.lun), x.volume, x.host, strings.Repeat("-", 16), "---", "host"})
		}
		if len(t.rows) == 0 {
			c.printf("no vluns listed\n")
			return nil
		}
		t.total = []string{strconv.Itoa(len(t.rows)), "total"}
		c.print(t)
		return nil
	})
}

func createExportCommand(_ context.Context, c *cli, in input) error {
	lun := -1
	if in.pos[1] != "auto" {
		n, err := strconv.Atoi(in.pos[1])
		if err != nil || n < 0 {
			return fmt.Errorf("Invalid LUN %q", in.pos[1])
		}
		lun = n
	}
	return c.locked(func() *opError {
		_, err := c.m.export(c.a, in.pos[0], in.pos[2], lun)
		return err
	})
}

func removeExportCommand(_ context.Context, c *cli, in input) error {
	lun, err := strconv.Atoi(in.pos[1])
	if err != nil {
		return fmt.Errorf("Invalid LUN %q", in.pos[1])
	}
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to remove VLUN %s %d %s?", in.pos[0], lun, in.pos[2])); err != nil {
		return err
	}
	return c.locked(func() *opError { return c.m.unexport(c.a, in.pos[0], lun, in.pos[2]) })
}
