package lvmfake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm"
)

// ErrCrashed is the answer to every command after the crash point: the program that runs them is dead.
var ErrCrashed = errors.New("lvmfake: the program was killed here")

// ExtentSize of every group.
const ExtentSize = 1 << 20

const sector = 512

// Machine is one machine with its volume groups.
type Machine struct {
	mu      sync.Mutex
	resumed *sync.Cond
	groups  map[string]*group
	devices map[string]*device // by dm name
	uuids   int
	clock   time.Time
	log     []string

	point   int // points passed since CrashAt
	crashAt int // 0 = never
	dead    bool
	epoch   int // counts restarts: a command begun before a crash does not go on after the restart
	faults  []fault
}

type fault struct {
	match  string
	exit   int
	stderr string
}

type group struct {
	name, uuid string
	size       int64
	volumes    []*volume
}

// volume is an entry of LVM's metadata together with what its extents hold.
type volume struct {
	name, uuid string
	vg         *group
	size       int64
	data       *mem.Device
	tags       []string
	created    time.Time
	readonly   bool
	skip       bool
	merging    bool

	origin     *volume // of a snapshot
	originSize int64
	chunk      int64
	store      *store
}

// New is a machine without groups.
func New() *Machine {
	m := &Machine{groups: map[string]*group{}, devices: map[string]*device{}, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	m.resumed = sync.NewCond(&m.mu)
	return m
}

// AddVG makes a volume group of size bytes.
func (m *Machine) AddVG(name string, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[name] = &group{name: name, uuid: m.newUUID(), size: size}
}

// AddLV makes a linear, active volume, all zeros, and returns its path.
func (m *Machine) AddLV(vg, name string, size int64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.addVolume(m.groups[vg], name, roundUp(size, ExtentSize))
	m.activate(v)
	return "/dev/" + vg + "/" + name
}

func (m *Machine) addVolume(g *group, name string, size int64) *volume {
	m.clock = m.clock.Add(time.Second)
	v := &volume{name: name, uuid: m.newUUID(), vg: g, size: size, created: m.clock}
	v.data = mem.New(g.name+"/"+name, size)
	g.volumes = append(g.volumes, v)
	return v
}

// newUUID is a fresh UUID in LVM's form. They differ in their first letters, as real ones do.
func (m *Machine) newUUID() string {
	m.uuids++
	u := fmt.Sprintf("%06d%026d", m.uuids*7919%1000000, m.uuids)
	return strings.Join([]string{u[0:6], u[6:10], u[10:14], u[14:18], u[18:22], u[22:26], u[26:32]}, "-")
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

func (g *group) free() int64 {
	free := g.size
	for _, v := range g.volumes {
		free -= v.size
	}
	return free
}

func (m *Machine) lookup(vg, name string) *volume {
	g := m.groups[vg]
	if g == nil {
		return nil
	}
	i := slices.IndexFunc(g.volumes, func(v *volume) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return g.volumes[i]
}

func (v *volume) snapshots() []*volume {
	var list []*volume
	for _, s := range v.vg.volumes {
		if s.origin == v {
			list = append(list, s)
		}
	}
	return list
}

func (v *volume) dmName() string { return lvm.DMName(v.vg.name, v.name) }

func (v *volume) dmUUID(layer string) string {
	return "LVM-" + strings.ReplaceAll(v.vg.uuid+v.uuid, "-", "") + layer
}

// CrashAt kills the program at the n-th point from now, n from 1; 0 = never.
func (m *Machine) CrashAt(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.point, m.crashAt = 0, n
}

// Points is the number of points passed since CrashAt.
func (m *Machine) Points() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.point
}

// Crashed reports whether the crash point was reached.
func (m *Machine) Crashed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// Restart starts the program anew: commands work again, no crash is planned. Disks, metadata and tables are as they
// were; a suspended device stays suspended.
func (m *Machine) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead, m.crashAt = false, 0
	m.epoch++
}

// Fail makes the next command that contains match end with this exit status and stderr, without doing anything.
func (m *Machine) Fail(match string, exit int, stderr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fault{match, exit, stderr})
}

// Commands returns every command line so far.
func (m *Machine) Commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

// killed is the panic-free way out of a command at a crash point.
var errKilledInside = errors.New("killed inside")

// pass passes a crash point.
func (m *Machine) pass() bool {
	m.point++
	if m.crashAt != 0 && m.point == m.crashAt {
		m.dead = true
	}
	return !m.dead
}

// steps does the steps in order; a crash point is before each.
func (m *Machine) steps(steps ...func() error) error {
	for _, step := range steps {
		if !m.pass() {
			return errKilledInside
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// exitStatus is how a command ends other than well.
type exitStatus struct {
	code   int
	stderr string
}

func (e exitStatus) Error() string { return e.stderr }

func failed(format string, args ...any) error { return exitStatus{5, fmt.Sprintf(format, args...)} }

// warning is what LVM prints at each change where metadata backup is off; a good run prints it too.
const warning = "  WARNING: This metadata update is NOT backed up.\n"

// Run implements run.Runner.
func (m *Machine) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	if err := ctx.Err(); err != nil {
		return run.Result{}, fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || !m.pass() {
		return run.Result{ExitCode: -1}, ErrCrashed
	}
	line := c.String()
	m.log = append(m.log, line)
	for i, f := range m.faults {
		if strings.Contains(line, f.match) {
			m.faults = slices.Delete(m.faults, i, i+1)
			return result(line, "", exitStatus{f.exit, f.stderr})
		}
	}
	out, err := m.dispatch(c)
	if errors.Is(err, errKilledInside) || !m.pass() {
		return run.Result{ExitCode: -1}, ErrCrashed
	}
	return result(line, out, err)
}

func result(line, out string, err error) (run.Result, error) {
	res := run.Result{Stdout: []byte(out), Stderr: []byte(warning)}
	if err == nil {
		return res, nil
	}
	e := &run.ExitError{Cmd: line, ExitCode: 1, Stderr: err.Error()}
	var status exitStatus
	if errors.As(err, &status) {
		e.ExitCode = status.code
	}
	if e.ExitCode < 0 {
		e.Signal = syscall.SIGKILL
	}
	res.ExitCode, res.Stderr = e.ExitCode, []byte(warning+e.Stderr+"\n")
	return res, e
}

func (m *Machine) dispatch(c run.Cmd) (string, error) {
	if len(c.Args) == 0 {
		return "", exitStatus{3, "no command"}
	}
	a, err := parseArgs(c.Args[1:])
	if err != nil {
		return "", err
	}
	switch c.Name + " " + c.Args[0] {
	case "lvm lvs":
		return m.lvs(a)
	case "lvm lvcreate":
		return "", m.lvcreate(a)
	case "lvm lvremove":
		return "", m.lvremove(a)
	case "lvm lvrename":
		return "", m.lvrename(a)
	case "lvm lvchange":
		return "", m.lvchange(a)
	case "lvm lvextend":
		return "", m.lvextend(a)
	case "lvm vgmknodes", "dmsetup mknodes":
		return "", nil // nodes are never missing here
	case "dmsetup info":
		return m.dmInfo(a)
	case "dmsetup table", "dmsetup status":
		return m.dmTargets(c.Args[0], a)
	case "dmsetup suspend", "dmsetup resume", "dmsetup clear", "dmsetup remove":
		return "", m.dmChange(c.Args[0], a)
	}
	return "", exitStatus{3, "No such command. Try 'help'."}
}

// arguments is a command line taken apart.
type arguments struct {
	flags map[string][]string
	rest  []string
}

func (a arguments) get(flag string) string {
	if v := a.flags[flag]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (a arguments) has(flag string) bool { return a.flags[flag] != nil }

// flagsWithValue are those of the commands that package lvm sends; noValue have none. Any other flag is exit status 3,
// so that a change of the command lines does not pass unseen.
var (
	flagsWithValue = []string{"--reportformat", "--units", "--options", "--name", "--size", "--chunksize", "--permission",
		"--addtag", "--deltag", "--select", "--activate", "--setactivationskip", "--separator"}
	noValue = []string{"--all", "--nosuffix", "--yes", "--snapshot", "--ignoreactivationskip", "--columns", "--noheadings"}
)

func parseArgs(args []string) (arguments, error) {
	a := arguments{flags: map[string][]string{}}
	for i := 0; i < len(args); i++ {
		switch {
		case slices.Contains(noValue, args[i]):
			a.flags[args[i]] = append(a.flags[args[i]], "")
		case slices.Contains(flagsWithValue, args[i]) && i+1 < len(args):
			a.flags[args[i]] = append(a.flags[args[i]], args[i+1])
			i++
		case strings.HasPrefix(args[i], "-"):
			return a, exitStatus{3, "unrecognized option '" + args[i] + "'"}
		default:
			a.rest = append(a.rest, args[i])
		}
	}
	return a, nil
}
