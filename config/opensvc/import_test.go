package opensvc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/config"
)

// nodeConf and groupEnv are the samples of OpenSVC's page on 3PAR replication.
const (
	nodeConf = `# root@node1:~ # om cluster print config
...
[array#hp3par1.opensvc.com]
type = hp3par
username = opensvc
manager = hp3par1.opensvc.com
key = /home/opensvc/.ssh/id_dsa

[array#hp3par2.opensvc.com]
type = hp3par
username = opensvc
manager = 192.168.100.199
key = /home/opensvc/.ssh/id_dsa
`
	groupEnv = `[sync#1]
type = hp3par
mode = async
array@node1 = hp3par1.opensvc.com
array@node2 = hp3par2.opensvc.com
rcg@node1 = MYRCG
rcg@node2 = MYRCG.r12345
sync_max_delay = 5
`
	// busybox is the DRP service of OpenSVC's page on Docker, as far as it is read.
	busybox = `[DEFAULT]
autostart_node = deb1.opensvc.com
app = OSVCLAB
nodes = deb1.opensvc.com
drpnodes = deb2.opensvc.com
docker_daemon_args@nodes = --ip 37.59.71.25

[container#1]
type = docker
run_image = b073e328878e

[fs#1]
mnt_opt = rw
dev@deb1.opensvc.com = /dev/mapper/vglocaldeb1-lvbusyboxroot

[sync#1]
type = dds
src = /dev/mapper/vglocaldeb1-lvbusyboxroot
dst = /dev/mapper/vglocaldeb2-lvbusyboxroot
target = drpnodes

[sync#2]
type = dds
src = /dev/mapper/vglocaldeb1-lvbusyboxdata
dst = /dev/mapper/vglocaldeb2-lvbusyboxdata
target = drpnodes
`
)

func translate(t *testing.T, unit time.Duration, files ...File) (*config.Config, string, []string) {
	t.Helper()
	res, err := Import(files, Options{BareUnit: unit})
	require.NoError(t, err)
	c, err := config.Parse("out.yaml", res.YAML)
	require.NoError(t, err, "%s", res.YAML)
	return c, string(res.YAML), res.Notes
}

func file(name, text string) File { return File{Name: name, Text: []byte(text)} }

func TestGroupsAndArrays(t *testing.T) {
	c, _, notes := translate(t, time.Minute, file("/etc/opensvc/node.conf", nodeConf), file("/opt/opensvc/etc/svc1.opensvc.com.env", groupEnv))
	require.Equal(t, []string{"svc1.opensvc.com"}, c.Names())
	r := c.Resources["svc1.opensvc.com"]
	require.Equal(t, "hp3par", r.Driver)
	require.Equal(t, []string{"node1", "node2"}, r.Sites(), "home first")
	require.Equal(t, config.HP3PARSite{Array: "hp3par1.opensvc.com", Group: "MYRCG"}, r.HP3PAR.Sites[0].Of)
	require.Equal(t, config.HP3PARSite{Array: "hp3par2.opensvc.com", Group: "MYRCG.r12345"}, r.HP3PAR.Sites[1].Of)
	require.Equal(t, 5*time.Minute, r.HP3PAR.SyncMaxDelay.D())
	require.Equal(t, "192.168.100.199", c.Arrays["hp3par2.opensvc.com"].Manager)
	require.Equal(t, "/home/opensvc/.ssh/id_dsa", c.Arrays["hp3par1.opensvc.com"].Key)
	require.Contains(t, strings.Join(notes, "\n"), "sites are called node1 and node2")
	require.Contains(t, strings.Join(notes, "\n"), "node.conf:7: array hp3par1.opensvc.com: DSA keys are not used any more")
	c, _, _ = translate(t, time.Second, file("node.conf", nodeConf), file("svc1.env", groupEnv))
	require.Equal(t, 5*time.Second, c.Resources["svc1"].HP3PAR.SyncMaxDelay.D())
}

// A service file alone gives its resources; the arrays are in another file of the
// configuration, and a note says so.
func TestServiceWithoutArrays(t *testing.T) {
	res, err := Import([]File{file("svc1.env", groupEnv)}, Options{BareUnit: time.Minute})
	require.NoError(t, err)
	require.NotContains(t, string(res.YAML), "arrays:")
	require.Contains(t, strings.Join(res.Notes, "\n"), "svc1.env:4: array hp3par1.opensvc.com is in none of these files")
}

// What is not set is the agent's default; what is set for a node counts there.
func TestDelays(t *testing.T) {
	for want, line := range map[time.Duration]string{27 * time.Hour: "", 10 * time.Minute: "sync_max_delay@node1 = 10m\n", 14 * 24 * time.Hour: "sync_max_delay = 2w\n"} {
		c, _, _ := translate(t, 0, file("node.conf", nodeConf), file("svc1.conf", strings.Replace(groupEnv, "sync_max_delay = 5\n", line, 1)))
		require.Equal(t, want, c.Resources["svc1"].HP3PAR.SyncMaxDelay.D())
	}
}

// The same with the scopes of today: lists of nodes, references, an inherited value.
func TestScopesAndReferences(t *testing.T) {
	const conf = `[DEFAULT]
nodes = node1 node1b
drpnodes = node2
sync_max_delay = 10m
schedule = 04:00-06:00@121

[env]
group = MYRCG
local = hp3par1.opensvc.com

[sync#1]
type = hp3par
mode = sync
array@nodes = {env.local}
array@drpnodes = hp3par2.opensvc.com
rcg = {env.group}
rcg@drpnodes = {env.group}.r12345
pre_sync_update = /usr/bin/true
tags = a
    b
`
	c, _, notes := translate(t, 0, file("cluster.conf", nodeConf), file("/etc/opensvc/namespaces/prod/svc/svc1.conf", conf))
	r := c.Resources["svc1"]
	require.Equal(t, []string{"node1", "node2"}, r.Sites())
	require.Equal(t, "MYRCG.r12345", r.HP3PAR.Sites[1].Of.Group)
	require.Equal(t, 10*time.Minute, r.HP3PAR.SyncMaxDelay.D())
	all := strings.Join(notes, "\n")
	require.Contains(t, all, "svc1.conf:5: [DEFAULT] schedule = 04:00-06:00@121: ddsgo keeps no schedule")
	require.Contains(t, all, "svc1.conf:18: [sync#1] pre_sync_update is not translated")
	require.Contains(t, all, "[sync#1] tags is not translated")
}

// A pair of dds is adopted with the agent's own state file.
func TestDDS(t *testing.T) {
	c, _, notes := translate(t, 0, file("/opt/opensvc/etc/busybox.opensvc.com.env", busybox))
	require.Equal(t, []string{"busybox.opensvc.com-1", "busybox.opensvc.com-2"}, c.Names())
	r := c.Resources["busybox.opensvc.com-2"].LVM
	require.Equal(t, "/dev/mapper/vglocaldeb1-lvbusyboxdata", r.Source)
	require.Equal(t, "deb2.opensvc.com", r.Targets[0].Host)
	require.Equal(t, "/dev/mapper/vglocaldeb2-lvbusyboxdata", r.Targets[0].Device)
	require.Equal(t, "/opt/opensvc/var/busybox.opensvc.com_sync#2_dds_state", r.OpenSVCState)
	require.Contains(t, strings.Join(notes, "\n"), "busybox.opensvc.com_sync#2_dds_state; check that it is there on both hosts")
	require.NotContains(t, strings.Join(notes, "\n"), "container", "what is no replication is not mentioned")

	const modern = `[DEFAULT]
nodes = a b
drpnodes = c
[sync#data]
type = dds
src = /dev/vg0/data
dst@drpnodes = /dev/vg1/data
target = nodes drpnodes
snap_size = 102
sync_max_delay = 1d3h
`
	c, _, notes = translate(t, 0, file("/etc/opensvc/svc1.conf", modern))
	r = c.Resources["svc1"].LVM
	require.Equal(t, "b", r.Targets[0].Host, "the source's own host is no target")
	require.Equal(t, "/dev/vg0/data", r.Targets[0].Device, "without dst it is src")
	require.EqualValues(t, 102<<20, r.SnapSize.Bytes)
	require.Equal(t, "/var/lib/opensvc/svc/svc1/sync#data/dds_state", r.OpenSVCState)
	require.Contains(t, strings.Join(notes, "\n"), "target c is not translated")
	c, _, _ = translate(t, 0, file("/etc/opensvc/namespaces/prod/svc/svc1.conf", modern))
	require.Equal(t, "/var/lib/opensvc/namespaces/prod/svc/svc1/sync#data/dds_state", c.Resources["svc1"].LVM.OpenSVCState)
}

func TestSnapshots(t *testing.T) {
	const conf = `[sync#1]
type = hp3parsnap
array = hp3par1.opensvc.com
vv_names = SNAP1 SNAP2
sync_max_delay = 2h
[sync#2]
type = rsync
src = /etc
`
	c, _, notes := translate(t, 0, file("node.conf", nodeConf), file("report.conf", conf))
	r := c.Resources["report"].HP3PARSnap
	require.Equal(t, []string{"SNAP1", "SNAP2"}, r.VVNames)
	require.Equal(t, 2*time.Hour, r.SyncMaxDelay.D())
	require.Contains(t, strings.Join(notes, "\n"), "report.conf:6: [sync#2] of type rsync is not for ddsgo")
}

// Methods, with what each needs; no secret is repeated.
func TestArrayMethods(t *testing.T) {
	const conf = `[array#a]
type = hp3par
method = proxy
manager = proxy.opensvc.com
[array#b]
type = hp3par
method = cli
cli = /opt/3PAR/bin/cli
pwf@node1 = /etc/b.pwf
password = hunter2
[array#c]
type = symmetrix
[node]
uuid = 3b2c325d-4321-6789-b32f-b987654cb092874a
`
	c, out, notes := translate(t, 0, file("node.conf", conf))
	require.Equal(t, "proxy", c.Arrays["a"].Method)
	require.Equal(t, "/etc/b.pwf", c.Arrays["b"].PWF)
	require.Len(t, c.Arrays, 2)
	all := out + strings.Join(notes, "\n")
	c2, _, _ := translate(t, 0, file("auth.conf", strings.ReplaceAll(nodeConf, "array#", "")))
	require.Equal(t, "192.168.100.199", c2.Arrays["hp3par2.opensvc.com"].Manager, "as auth.conf of 2014 has it")
	require.Contains(t, all, "[array#c] of type symmetrix is not translated")
	require.Contains(t, all, "password: put it into a file")
	require.NotContains(t, all, "hunter2")
	require.NotContains(t, all, "3b2c325d")
}

// Every mistake is refused with file, line and key.
func TestMistakes(t *testing.T) {
	group := func(old, new string) string { return strings.Replace(groupEnv, old, new, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"no unit":              {groupEnv, `svc1.env:8:1: [sync#1] sync_max_delay: "5" has no unit`},
		"no delay":             {group("= 5", "= 0"), `svc1.env:8:1: [sync#1] sync_max_delay: "0" is no delay`},
		"odd unit":             {group("= 5", "= 5y"), `svc1.env:8:1: [sync#1] sync_max_delay: "5y" is no duration`},
		"misspelt key":         {group("sync_max_delay", "sync_max_dely"), "svc1.env:8:1: [sync#1] sync_max_dely: is not known (did you mean sync_max_delay?)"},
		"bad mode":             {group("async", "asynchronous"), `svc1.env:3:1: [sync#1] mode: "asynchronous" is no mode; known: async, sync`},
		"no mode":              {group("mode = async\n", ""), "svc1.env:1:1: [sync#1] mode: is missing for node node1"},
		"no rcg on one node":   {group("rcg@node2", "rcg@node3"), "[sync#1] rcg: is missing for node node2"},
		"one array":            {group("array@node2 = hp3par2", "array@node2 = hp3par1"), "svc1.env:5:1: [sync#1] array@node2: both sites are on array hp3par1.opensvc.com"},
		"one site":             {"[sync#1]\ntype = hp3par\nmode = sync\narray = a\nrcg = G\n", "svc1.env:5:1: [sync#1] rcg: 1 pairs of array and rcg, a group has 2"},
		"a key twice":          {group("mode = async", "type = hp3par"), "svc1.env:3:1: [sync#1] type: stands in line 2 already"},
		"a section twice":      {groupEnv + "[sync#1]\ntype = dds\n", "svc1.env:9:1: section [sync#1] stands in line 1 already"},
		"no section":           {"type = hp3par\n", "svc1.env:1:1: type stands before any [SECTION]"},
		"no INI":               {"[sync#1]\nhello\n", "svc1.env:2:1: expected [SECTION] or KEY = VALUE"},
		"open section":         {"[sync#1\n", "svc1.env:1:1: expected [SECTION]"},
		"no key":               {"[sync#1]\n@node = x\n", `svc1.env:2:1: "@node" is no key`},
		"reference to nothing": {group("rcg@node1 = MYRCG", "rcg@node1 = {env.x}"), "svc1.env:6:1: [sync#1] rcg@node1: {env.x} refers to nothing"},
		"reference to itself":  {group("rcg@node1 = MYRCG", "rcg@node1 = {rcg}"), "refers to itself"},
		"no src":               {strings.Replace(busybox, "src = /dev/mapper/vglocaldeb1-lvbusyboxroot\n", "", 1), "svc1.env:16:1: [sync#1] src: is missing for node deb1.opensvc.com"},
		"bad target":           {strings.Replace(busybox, "target = drpnodes", "target = everywhere", 1), `svc1.env:20:1: [sync#1] target: "everywhere" is no target; known: nodes, drpnodes`},
		"target is the source": {strings.Replace(busybox, "target = drpnodes", "target = nodes", 1), "target: nodes means no host but deb1.opensvc.com"},
		"src is no path":       {strings.Replace(busybox, "src = /dev/mapper/vglocaldeb1", "src = vglocaldeb1", 1), "svc1.env:18:1: [sync#1] src:"},
		"bad snap_size":        {strings.Replace(busybox, "target = drpnodes", "target = drpnodes\nsnap_size = big", 1), `svc1.env:21:1: [sync#1] snap_size: "big" is no size`},
		"no nodes":             {"[sync#1]\ntype = dds\nsrc = /a\ntarget = nodes\n", "svc1.env:1:1: [sync#1] nodes: [DEFAULT] nodes must name the host that holds src"},
		"a set of snapshots":   {"[sync#1]\ntype = hp3parsnap\narray = a\nvv_names = set:S\n", "svc1.env:4:1: [sync#1] vv_names: set:S is a set"},
		"array without key":    {"[array#a]\ntype = hp3par\nusername = u\n", "svc1.env:1:1: [array#a] key: is missing"},
		"array's method":       {"[array#a]\ntype = hp3par\nmethod = telnet\nusername = u\nkey = /k\n", `svc1.env:3:1: [array#a] method: "telnet" is no method; known: ssh, cli, proxy`},
		"array without name":   {"[array#]\ntype = hp3par\nusername = u\nkey = /k\n", "svc1.env:1:1: [array#] names no array"},
		"nothing of ours":      {"[DEFAULT]\nnodes = a\n", "no array of type hp3par and no sync of type"},
		"bytes":                {"\x00\x01", "svc1.env: is no configuration file of OpenSVC"},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := Import([]File{file("svc1.env", c.text)}, Options{})
			var list config.List
			require.ErrorAs(t, err, &list)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, res.YAML)
		})
	}
	_, err := Import([]File{file("svc 1.env", strings.Replace(groupEnv, "= 5", "= 5m", 1))}, Options{})
	require.ErrorContains(t, err, "is no name of a resource")
	_, err = Import([]File{file("a.conf", nodeConf), file("b.conf", nodeConf)}, Options{})
	require.ErrorContains(t, err, "b.conf:3:1: array hp3par1.opensvc.com stands in another of these files already")
	ours := strings.Replace(groupEnv, "= 5", "= 5m", 1)
	_, err = Import([]File{file("a/svc1.conf", ours), file("b/svc1.env", ours)}, Options{})
	require.ErrorContains(t, err, "b/svc1.env:1:1: [sync#1]: there is a resource svc1 already")
	_, err = Import([]File{file("a.conf", "[array#a]\ntype = hp3par\npassword = hunter2\npasswordd\n")}, Options{})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

// Uniformly indented text, as pages show it, is read like Python reads it.
func TestIndented(t *testing.T) {
	var indented strings.Builder
	for line := range strings.Lines(strings.Replace(groupEnv, "= 5", "= 5m", 1)) {
		indented.WriteString("        " + line)
	}
	c, _, _ := translate(t, 0, file("node.conf", nodeConf), file("svc1.env", indented.String()))
	require.Len(t, c.Resources, 1)
}

// Whatever the bytes are: a configuration that passes, or mistakes with a place.
func FuzzImport(f *testing.F) {
	f.Add(nodeConf + groupEnv)
	f.Add(busybox)
	f.Add("[DEFAULT]\nnodes = {a}\na = {b}\nb = {a}\n[sync#1]\ntype = dds\nsrc = {nodes}\ntarget = both\n")
	f.Add("[sync#1]\ntype = hp3parsnap\narray = a\nvv_names@x = S\nvv_names@y = T\n")
	f.Add("[array#-a]\ntype = hp3par\nusername = -x\nkey = -\nmanager = -o\n[sync#1]\ntype = hp3parsnap\narray = b c\nvv_names = ,\n")
	f.Add("[DEFAULT]\nnodes = a\ndrpnodes = source -x\n[sync#1]\ntype = dds\nsrc = /a\ntarget = both\n")
	f.Add("[sync#1]\ntype = hp3par\nmode = sync\narray@/ = a\narray@: = b\nrcg@/ = G\nrcg@: = H I\n")
	f.Fuzz(func(t *testing.T, text string) {
		res, err := Import([]File{file("svc1.conf", text)}, Options{BareUnit: time.Minute})
		if err != nil {
			var list config.List
			if !errors.As(err, &list) {
				t.Fatal(err)
			}
			require.NotEmpty(t, list)
			return
		}
		require.NotEmpty(t, res.YAML)
	})
}
