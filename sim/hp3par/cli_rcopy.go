package hp3par

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func flagSet(plain string, valued ...string) map[string]bool {
	f := map[string]bool{}
	for _, name := range strings.Fields(plain) {
		f[name] = false
	}
	for _, name := range valued {
		f[name] = true
	}
	return f
}

func remoteCopyCommands() map[string]command {
	return map[string]command{
		"showrcopy": {flags: flagSet("-d"), max: -1, syntax: "showrcopy [-d] [links|groups|targets [name...]]", run: showRemoteCopy},
		"creatercopygroup": {writes: true, flags: flagSet("", "-domain", "-usr_cpg", "-snp_cpg"), min: 2, max: 4,
			syntax: "creatercopygroup [-domain d] [-usr_cpg local target:remote] [-snp_cpg local target:remote] group target:sync|periodic|async", run: createGroupCommand},
		"admitrcopyvv": {writes: true, flags: flagSet("-createvv -nowwn -nosync"), min: 3, max: 3,
			syntax: "admitrcopyvv [-createvv [-nowwn]] [-nosync] vv[:snap] group target:secondary_vv", run: admitCommand},
		"dismissrcopyvv": {writes: true, flags: flagSet("-f -keepsnap -removevv"), min: 2, max: 2,
			syntax: "dismissrcopyvv [-f] [-keepsnap|-removevv] vv group", run: dismissCommand},
		"setrcopygroup": {writes: true, min: 2, max: -1,
			flags:  flagSet("-f -waittask -nostart -nosync -discard -nopromote -nosnap -stopgroups -local -natural -current", "-t"),
			syntax: "setrcopygroup period value target group | pol policy group | failover|recover|restore|reverse|switchover|override [options] group", run: setGroupCommand},
		"startrcopygroup": {writes: true, flags: flagSet("-wait -nosync", "-t"), min: 1, max: -1,
			syntax: "startrcopygroup [-wait] [-nosync] [-t target] group [vv:sv...]", run: startCommand},
		"stoprcopygroup": {writes: true, flags: flagSet("-f -nosnap -remote", "-t"), min: 1, max: 1,
			syntax: "stoprcopygroup [-f] [-nosnap] [-t target] [-remote] group", run: stopCommand},
		"syncrcopy": {writes: true, flags: flagSet("-w -n -ovrd", "-t"), min: 1, max: 1,
			syntax: "syncrcopy [-w] [-n] [-ovrd] [-t target] group", run: syncCommand},
		"removercopygroup": {writes: true, flags: flagSet("-f -keepsnap -removevv"), min: 1, max: 1,
			syntax: "removercopygroup [-f] [-keepsnap|-removevv] group", run: removeGroupCommand},
		"admitrcopytarget":   {writes: true, min: 3, max: -1, syntax: "admitrcopytarget target mode group [vv:secondary_vv...]", run: admitTargetCommand},
		"dismissrcopytarget": {writes: true, flags: flagSet("-f"), min: 2, max: 2, syntax: "dismissrcopytarget [-f] target group", run: dismissTargetCommand},
		"setrcopytarget":     {writes: true, min: 3, max: 3, syntax: "setrcopytarget pol mirror_config|no_mirror_config target", run: setTargetCommand},
		"admitrcopylink":     {writes: true, min: 2, max: -1, syntax: "admitrcopylink target N:S:P:address...", run: admitLinkCommand},
		"dismissrcopylink":   {writes: true, flags: flagSet("-f"), min: 2, max: -1, syntax: "dismissrcopylink target N:S:P:address...", run: dismissLinkCommand},
		"startrcopy":         {writes: true, syntax: "startrcopy", run: func(context.Context, *cli, input) error { return nil }},
	}
}

// onGroup runs f on the named group with the lock held.
func (c *cli) onGroup(name string, f func(g *group) *opError) error {
	return c.locked(func() *opError {
		g, err := c.m.group(c.a, name)
		if err != nil {
			return err
		}
		return f(g)
	})
}

// createGroupCommand: -usr_cpg takes two words, the local CPG and target:CPG, so
// that its second word is among the positional arguments.
func createGroupCommand(_ context.Context, c *cli, in input) error {
	s := groupSpec{domain: in.flags["-domain"], userCPG: in.flags["-usr_cpg"], snapCPG: in.flags["-snp_cpg"]}
	pos := in.pos
	for _, o := range []struct {
		flag string
		to   *string
	}{{"-usr_cpg", &s.remoteUserCPG}, {"-snp_cpg", &s.remoteSnapCPG}} {
		if !in.has(o.flag) {
			continue
		}
		if len(pos) == 0 {
			return fmt.Errorf("%w: creatercopygroup: Invalid %s", errSyntax, o.flag)
		}
		_, cpg, ok := strings.Cut(pos[0], ":")
		if !ok {
			return fmt.Errorf("%w: creatercopygroup: Invalid %s value %s: expected target:CPG", errSyntax, o.flag, pos[0])
		}
		*o.to, pos = cpg, pos[1:]
	}
	if len(pos) != 2 {
		return fmt.Errorf("%w: creatercopygroup: Invalid number of arguments", errSyntax)
	}
	target, word, _ := strings.Cut(pos[1], ":")
	md, err := parseMode(word)
	if err != nil || word == "" {
		return fmt.Errorf("%w: creatercopygroup: Invalid mode %q", errSyntax, word)
	}
	s.name, s.target, s.mode = pos[0], target, md
	return c.locked(func() *opError {
		g, err := c.m.createGroup(c.a, s)
		if err != nil {
			return err
		}
		c.a.sets["RCP_"+g.name] = &volumeSet{name: "RCP_" + g.name}
		return nil
	})
}

func admitCommand(_ context.Context, c *cli, in input) error {
	vol, snap, _ := strings.Cut(in.pos[0], ":")
	target, sec, ok := strings.Cut(in.pos[2], ":")
	if !ok {
		return fmt.Errorf("Invalid target %q: must specify a mapping target:volume", in.pos[2])
	}
	if in.has("-nowwn") && !in.has("-createvv") {
		return fmt.Errorf("%w: admitrcopyvv: Invalid: -nowwn needs -createvv", errSyntax)
	}
	return c.onGroup(in.pos[1], func(g *group) *opError {
		return c.m.admit(g, admission{volume: vol, snapshot: snap, target: target, secondary: sec, create: in.has("-createvv"), noSync: in.has("-nosync")})
	})
}

func dismissCommand(_ context.Context, c *cli, in input) error {
	vol, name := in.pos[0], in.pos[1]
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to dismiss volume %s from group %s?", vol, name)); err != nil {
		return err
	}
	err := c.onGroup(name, func(g *group) *opError {
		return c.m.dismiss(g, vol, in.has("-keepsnap"), in.has("-removevv"))
	})
	if err == nil {
		c.printf("Volume %s has been dismissed from group %s.\n", vol, name)
	}
	return err
}

func setGroupCommand(ctx context.Context, c *cli, in input) error {
	switch in.pos[0] {
	case "period":
		return setPeriodCommand(c, in)
	case "pol":
		if len(in.pos) != 3 || len(in.flags) > 0 {
			return fmt.Errorf("%w: setrcopygroup: Invalid number of arguments", errSyntax)
		}
		name, off := strings.CutPrefix(in.pos[1], "no_")
		return c.onGroup(in.pos[2], func(g *group) *opError { return c.m.setPolicy(g, name, !off) })
	case "failover", "recover", "restore", "reverse", "switchover", "override":
		if len(in.pos) != 2 {
			return fmt.Errorf("%w: setrcopygroup: Invalid number of arguments", errSyntax)
		}
		return directCommand(ctx, c, in)
	}
	return fmt.Errorf("%w: setrcopygroup: Invalid sub-command %s", errSyntax, in.pos[0])
}

func setPeriodCommand(c *cli, in input) error {
	if len(in.pos) != 4 || len(in.flags) > 0 {
		return fmt.Errorf("%w: setrcopygroup: Invalid number of arguments", errSyntax)
	}
	d, err := parsePeriod(in.pos[1])
	if err != nil {
		return err
	}
	return c.onGroup(in.pos[3], func(g *group) *opError { return c.m.setPeriod(g, in.pos[2], d) })
}

// parsePeriod reads a number with a unit s, m, h or d.
func parsePeriod(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if len(s) < 2 || units[s[len(s)-1]] == 0 {
		return 0, fmt.Errorf("Invalid period %q: expected a number with s, m, h or d", s)
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	if err != nil || n < 0 || n > 31622400 {
		return 0, fmt.Errorf("Invalid period %q", s)
	}
	return time.Duration(n) * units[s[len(s)-1]], nil
}

func directCommand(ctx context.Context, c *cli, in input) error {
	v, name := verb(in.pos[0]), in.pos[1]
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to %s group %s?", v, name)); err != nil {
		return err
	}
	o := drOptions{
		target: in.flags["-t"], noStart: in.has("-nostart"), noSync: in.has("-nosync"), discard: in.has("-discard"),
		noPromote: in.has("-nopromote"), noSnap: in.has("-nosnap"), stopGroups: in.has("-stopgroups"),
		local: in.has("-local"), natural: in.has("-natural"), current: in.has("-current"),
	}
	var t *task
	err := c.onGroup(name, func(g *group) *opError {
		var err *opError
		t, err = c.m.direct(g, v, o, c.user)
		return err
	})
	if err != nil {
		return err
	}
	c.printf("setrcopygroup for %s %s\n%s started with tasks: %d\n", v, name, v, t.id)
	if !in.has("-waittask") {
		return nil
	}
	c.printf("Waiting for tasks to complete\n")
	state, err := c.m.wait(ctx, t)
	if err != nil {
		return err
	}
	c.printf("Task %d %s\n", t.id, state)
	if state != taskDone {
		return errSilent
	}
	return nil
}

func startCommand(ctx context.Context, c *cli, in input) error {
	o := startOptions{target: in.flags["-t"], noSync: in.has("-nosync"), wait: in.has("-wait")}
	for _, pair := range in.pos[1:] {
		vol, snap, ok := strings.Cut(pair, ":")
		if !ok {
			return fmt.Errorf("%w: startrcopygroup: Invalid pair %s: expected vv:sv", errSyntax, pair)
		}
		if o.snapshot == nil {
			o.snapshot = map[string]string{}
		}
		o.snapshot[vol] = snap
	}
	var t *task
	err := c.onGroup(in.pos[0], func(g *group) *opError {
		var err *opError
		t, err = c.m.start(g, o, c.user)
		return err
	})
	if err != nil || !o.wait {
		return err
	}
	state, err := c.m.wait(ctx, t)
	if err == nil && state != taskDone {
		err = fmt.Errorf("Synchronization of group %s failed", in.pos[0])
	}
	return err
}

func stopCommand(_ context.Context, c *cli, in input) error {
	name := in.pos[0]
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to stop group %s?", name)); err != nil {
		return err
	}
	return c.onGroup(name, func(g *group) *opError { return c.m.stop(g, in.flags["-t"], in.has("-remote")) })
}

func syncCommand(ctx context.Context, c *cli, in input) error {
	name := in.pos[0]
	var t *task
	err := c.onGroup(name, func(g *group) *opError {
		var err *opError
		t, err = c.m.sync(g, syncOptions{target: in.flags["-t"], wait: in.has("-w"), full: in.has("-ovrd")}, c.user)
		return err
	})
	if err != nil {
		return err
	}
	if !in.has("-w") {
		c.printf("Synchronization request issued for group %s\n", name)
		return nil
	}
	state, err := c.m.wait(ctx, t)
	if err != nil {
		return err
	}
	if state != taskDone {
		return fmt.Errorf("Synchronization failed for group %s", name)
	}
	c.printf("Completed synchronization for group %s\n", name)
	return nil
}

func removeGroupCommand(_ context.Context, c *cli, in input) error {
	name := in.pos[0]
	if in.has("-keepsnap") && in.has("-removevv") {
		return fmt.Errorf("%w: removercopygroup: Invalid: -keepsnap and -removevv exclude each other", errSyntax)
	}
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to remove group %s?", name)); err != nil {
		return err
	}
	err := c.onGroup(name, func(g *group) *opError {
		c.printf("Removing %s\n", name)
		delete(c.a.sets, "RCP_"+name)
		return c.m.removeGroup(g, in.has("-removevv"))
	})
	if err == nil {
		c.printf("Group %s has been deleted.\n", name)
	}
	return err
}

func admitTargetCommand(_ context.Context, c *cli, in input) error {
	md, err := parseMode(in.pos[1])
	if err != nil {
		return fmt.Errorf("Invalid mode %q", in.pos[1])
	}
	volumes := map[string]string{}
	for _, pair := range in.pos[3:] {
		vol, sec, ok := strings.Cut(pair, ":")
		if !ok {
			return fmt.Errorf("must specify a mapping vv:secondary_vv, not %q", pair)
		}
		volumes[vol] = sec
	}
	return c.onGroup(in.pos[2], func(g *group) *opError { return c.m.admitTarget(g, in.pos[0], md, volumes) })
}

func dismissTargetCommand(_ context.Context, c *cli, in input) error {
	target, name := in.pos[0], in.pos[1]
	if err := c.confirm(in, fmt.Sprintf("Are you sure you want to dismiss target %s from group %s?", target, name)); err != nil {
		return err
	}
	err := c.onGroup(name, func(g *group) *opError { return c.m.dismissTarget(g, target) })
	if err == nil {
		c.printf("Target %s has been dismissed from group %s.\n", target, name)
	}
	return err
}

func setTargetCommand(_ context.Context, c *cli, in input) error {
	on := in.pos[1] == "mirror_config"
	if in.pos[0] != "pol" || (!on && in.pos[1] != "no_mirror_config") {
		return fmt.Errorf("%w: setrcopytarget: Invalid policy %s", errSyntax, in.pos[1])
	}
	return c.locked(func() *opError {
		if in.pos[2] != c.m.peer(c.a).name {
			return refuse(9023, 404, "target %s does not exist", in.pos[2])
		}
		c.a.mirror = on
		return nil
	})
}

// cutLink splits N:S:P:address.
func cutLink(s string) (node, address string, err error) {
	f := strings.SplitN(s, ":", 4)
	if len(f) != 4 || f[3] == "" {
		return "", "", fmt.Errorf("Invalid link %q: expected N:S:P:address", s)
	}
	return strings.Join(f[:3], ":"), f[3], nil
}

func admitLinkCommand(_ context.Context, c *cli, in input) error {
	return c.eachLink(in, func(spec, node, address string) *opError {
		if slices.ContainsFunc(c.a.links, func(l *link) bool { return l.node == node || l.peerAddress == address }) {
			return refuse(9027, 409, "Link %s appears to exist on another target.", spec)
		}
		c.a.links = append(c.a.links, &link{node: node, peerAddress: address})
		return nil
	})
}

func dismissLinkCommand(_ context.Context, c *cli, in input) error {
	return c.eachLink(in, func(spec, node, address string) *opError {
		before := len(c.a.links)
		c.a.links = slices.DeleteFunc(c.a.links, func(l *link) bool { return l.node == node && l.peerAddress == address })
		if len(c.a.links) == before {
			return refuse(9028, 404, "Link %s does not exist", spec)
		}
		return nil
	})
}

func (c *cli) eachLink(in input, f func(spec, node, address string) *opError) error {
	return c.locked(func() *opError {
		if in.pos[0] != c.m.peer(c.a).name {
			return refuse(9023, 404, "target %s does not exist", in.pos[0])
		}
		for _, spec := range in.pos[1:] {
			node, address, err := cutLink(spec)
			if err != nil {
				return errInput("", "%v", err)
			}
			if refused := f(spec, node, address); refused != nil {
				return refused
			}
		}
		return nil
	})
}
