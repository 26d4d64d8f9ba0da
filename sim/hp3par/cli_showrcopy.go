package hp3par

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func showRemoteCopy(_ context.Context, c *cli, in input) error {
	sections := in.pos
	if len(sections) == 0 {
		sections = []string{"targets", "links", "groups"}
	}
	return c.locked(func() *opError {
		if !c.a.licensed("Remote Copy") {
			return errUnlicensed("Remote Copy")
		}
		if !c.bare {
			c.printf("\nRemote Copy System Information\nStatus: Started, Normal\n")
		}
		if len(in.pos) > 0 {
			return c.section(in.pos[0], in.pos[1:], in.has("-d"))
		}
		for _, s := range sections {
			if err := c.section(s, nil, in.has("-d")); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *cli) section(name string, patterns []string, detail bool) *opError {
	switch name {
	case "targets":
		c.title("Target Information")
		return c.rcopyTargets(patterns)
	case "links":
		c.title("Link Information")
		return c.rcopyLinks(patterns)
	case "groups":
		c.title("Group Information")
		return c.rcopyGroups(patterns, detail)
	}
	return errInput("", "Invalid showrcopy object %q: expected links, groups or targets", name)
}

func (c *cli) title(text string) {
	if !c.bare {
		c.printf("\n%s\n\n", text)
	}
}

// targetStatus is ready, failing (just lost) or failed.
func (m *machine) targetStatus(a *array) string {
	switch {
	case m.linked:
		return "ready"
	case m.now.Sub(a.lostAt) < failingTime:
		return "failing"
	default:
		return "failed"
	}
}

func (c *cli) rcopyTargets(patterns []string) *opError {
	peer := c.m.peer(c.a)
	if len(patterns) > 0 && !slices.Contains(patterns, peer.name) {
		return refuse(9023, 404, "target matching %s does not exist on the system", patterns[0])
	}
	policy := "mirror_config"
	if !c.a.mirror {
		policy = "no_mirror_config"
	}
	c.print(table{
		header: []string{"Name", "ID", "Type", "Status", "Options", "Policy"},
		rows:   [][]string{{peer.name, strconv.Itoa(c.a.targetID), "IP", c.m.targetStatus(c.a), "-", policy}},
	})
	return nil
}

func (c *cli) rcopyLinks(patterns []string) *opError {
	peer, state := c.m.peer(c.a), "Up"
	if !c.m.linked {
		state = "Down"
	}
	t := table{header: []string{"Target", "Node", "Address", "Status", "Options"}}
	for _, l := range c.a.links {
		t.rows = append(t.rows, []string{peer.name, l.node, l.peerAddress, state, "-"})
	}
	for _, l := range c.a.links { // the inbound half of each link
		t.rows = append(t.rows, []string{"receive", l.node, "receive", state, "-"})
	}
	if len(patterns) > 0 {
		t.rows = slices.DeleteFunc(t.rows, func(r []string) bool { return !slices.Contains(patterns, r[0]) })
		if len(t.rows) == 0 {
			return refuse(9023, 404, "link matching %s does not exist on the system", patterns[0])
		}
	}
	c.print(t)
	return nil
}

const groupOptionsColumn = 5

var (
	groupHeader  = []string{"Name", "Target", "Status", "Role", "Mode", "Options"}
	memberHeader = []string{" ", "LocalVV", "ID", "RemoteVV", "ID", "SyncStatus", "LastSyncTime"}
)

func (c *cli) rcopyGroups(patterns []string, detail bool) *opError {
	groups := sortedGroups(c.a)
	for _, p := range patterns {
		if c.a.groups[p] == nil {
			return refuse(187, 404, "group matching %s does not exist on the system", p)
		}
	}
	for _, g := range groups {
		if len(patterns) == 0 || slices.Contains(patterns, g.name) {
			c.rcopyGroup(g, detail)
		}
	}
	return nil
}

// rcopyGroup prints one group and its volumes, with a blank line after them.
func (c *cli) rcopyGroup(g *group, detail bool) {
	head, member := groupHeader, memberHeader
	row := []string{g.name, c.m.peer(g.array).name, string(g.status), g.roleName(), g.pair.mode.String(), c.m.groupOptions(g)}
	if detail {
		head = append(head[:len(head):len(head)], "ID", "LocalUserCpg", "RmUserCpg")
		row = append(row, strconv.Itoa(g.id), dash(g.userCPG), dash(g.remoteCPG()))
		member = append(member[:len(member):len(member)], "Resync_ss", "Sync_ss", "VV_iter", "R_iter", "S_iter", "LocalSet", "RemoteSet")
	}
	headers := !c.bare || c.m.faultOn(c.a, "header_rows")
	lines := [][]string{}
	for _, mem := range g.pair.members {
		lines = append(lines, c.m.memberRow(g, mem, detail))
	}
	if !c.csv {
		c.humanGroup(headers, head, row, member, lines)
		return
	}
	if headers {
		c.printf("%s\n", csvLine(head))
	}
	c.printf("%s\n", c.csvGroup(row))
	if headers {
		c.printf("%s\n", csvLine(member))
	}
	for _, l := range lines {
		c.printf("%s\n", csvLine(l))
	}
	c.printf("\n")
}

// csvGroup is a group's row. How its Options look differs between releases.
func (c *cli) csvGroup(row []string) string {
	switch f, _ := c.m.faults.Active(c.a.name, "options"); f.Text() {
	case "empty":
		row[groupOptionsColumn] = ""
	case "bare":
		return strings.Join(row, ",")
	}
	return csvLine(row)
}

func (c *cli) humanGroup(headers bool, head, row, member []string, lines [][]string) {
	if headers {
		c.columns([][]string{head, row}, nil)
		lines = append([][]string{member}, lines...)
	} else {
		c.columns([][]string{row}, nil)
	}
	c.columns(lines, nil)
	c.printf("\n")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (g *group) remoteCPG() string {
	if p := g.peer(); p != nil {
		return p.userCPG
	}
	return ""
}

func (m *machine) memberRow(g *group, mem *member, detail bool) []string {
	i := g.array.index
	local, remote := mem.vols[i], mem.vols[1-i]
	row := []string{" ", local.name, strconv.Itoa(local.id), remote.name, strconv.Itoa(remote.id), m.syncText(g, mem), m.lastSyncText(g, mem)}
	if detail {
		row = append(row, "NA", "NA", "0", "0", "0", "NA", "NA")
	}
	return row
}

// syncText is the SyncStatus column; a transfer under way shows its progress.
func (m *machine) syncText(g *group, mem *member) string {
	c := g.pair.cycle
	if mem.sync != syncSyncing || c == nil {
		return string(mem.sync)
	}
	whole := c.end.at.Sub(c.started)
	if whole <= 0 || g.role != primary {
		return string(mem.sync)
	}
	return fmt.Sprintf("%s (%d%%)", syncSyncing, min(99, 100*m.now.Sub(c.started)/whole))
}

// lastSyncText is NA for a synchronous group that runs: it has no such time.
func (m *machine) lastSyncText(g *group, mem *member) string {
	if g.pair.mode.mirrored() && (g.status == statusStarted || g.status == statusStarting) {
		return "NA"
	}
	return m.cliTime(g.array, mem.last)
}

// groupOptions is the Options column. The secondary side has no Last-Sync.
func (m *machine) groupOptions(g *group) string {
	p := g.pair
	first := ""
	if g.role == primary && !p.mode.mirrored() && !p.lastSync.IsZero() {
		first = "Last-Sync " + m.cliTime(g.array, p.lastSync)
	}
	period := ""
	if p.mode == modePeriodic && p.period > 0 {
		period = "Period " + periodText(p.period)
	}
	var policies []string
	for _, name := range groupPolicies {
		if g.policies[name] {
			policies = append(policies, name)
		}
	}
	pol := strings.Join(policies, ",")
	if g.array.profile.tightCommas {
		return joinOptions([]string{first, period}, ", ", pol, ",")
	}
	return joinOptions([]string{first, period}, " , ", pol, ", ")
}

// joinOptions joins the times with sep and puts the policies behind them.
func joinOptions(times []string, sep, policies, before string) string {
	times = slices.DeleteFunc(times, func(s string) bool { return s == "" })
	text := strings.Join(times, sep)
	if text == "" || policies == "" {
		return text + policies
	}
	return text + before + policies
}

// periodText is the shortest form with one unit: 5m, 90s, 1h, 2d.
func periodText(d time.Duration) string {
	s := int64(d / time.Second)
	for _, u := range []struct {
		secs int64
		unit string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}} {
		if s%u.secs == 0 {
			return fmt.Sprintf("%d%s", s/u.secs, u.unit)
		}
	}
	return fmt.Sprintf("%ds", s)
}
