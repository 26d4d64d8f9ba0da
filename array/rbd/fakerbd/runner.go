package fakerbd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ddsgo/ddsgo/internal/run"
)

// Run implements run.Runner: it understands the command lines that package rbd sends.
func (w *World) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	if err := ctx.Err(); err != nil {
		return run.Result{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	name, words := splitArgs(c)
	if err := w.fault(name, strings.Join(words, " ")); err != nil {
		return run.Result{}, w.exit(c, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, c.Name+" "+name+" "+strings.Join(words, " "))
	w.advance()
	stdout, err := w.dispatch(c.Name, name, words)
	if err != nil {
		return run.Result{Stdout: []byte(stdout), ExitCode: err.rc}, w.exit(c, err)
	}
	return run.Result{Stdout: []byte(stdout)}, nil
}

func (w *World) fault(name, verb string) *failed {
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook == nil {
		return nil
	}
	if rc, stderr, fail := hook(name, verb); fail {
		return &failed{rc, stderr}
	}
	return nil
}

func (w *World) exit(c run.Cmd, f *failed) error {
	return &run.ExitError{Cmd: c.String(), ExitCode: f.rc, Stderr: f.stderr}
}

// failed is an exit status with what was said.
type failed struct {
	rc     int
	stderr string
}

func fail(rc int, format string, args ...any) *failed {
	return &failed{rc, fmt.Sprintf(format, args...)}
}

// splitArgs takes the connection off a command line: the cluster, and the words that are left.
func splitArgs(c run.Cmd) (name string, words []string) {
	for i := 0; i < len(c.Args); i++ {
		switch a := c.Args[i]; a {
		case "--cluster":
			i++
			name = c.Args[i]
		case "--admin-daemon":
			i++
			name = c.Args[i]
		case "--conf", "--client-mount-timeout", "--rados-mon-op-timeout", "--rados-osd-op-timeout", "--format":
			i++
		case "--id":
			i++
			words = append(words, "\x00"+c.Args[i])
		case "--log-to-stderr=true", "--no-progress", "--verbose", "--all", "-R":
		default:
			words = append(words, a)
		}
	}
	return name, words
}

const noConnection = "rbd: couldn't connect to the cluster!"

func (w *World) dispatch(program, name string, words []string) (string, *failed) {
	user := "admin"
	if len(words) > 0 && strings.HasPrefix(words[0], "\x00") {
		user, words = words[0][1:], words[1:]
	}
	if program == "ceph" {
		return w.socket(name, words)
	}
	c := w.clusters[name]
	switch {
	case c == nil:
		return "", fail(2, "can't open %s.conf: (2) No such file or directory\n%s", name, noConnection)
	case c.down:
		return "", fail(110, noConnection)
	case !c.users[user]:
		return "", fail(13, noConnection)
	}
	if program == "rados" {
		var b strings.Builder
		for n, d := range w.clusters {
			if d.daemon {
				fmt.Fprintf(&b, "watcher=%s client.4136 cookie=1\n", daemonAddress(n))
			}
		}
		return b.String(), nil
	}
	for _, v := range verbs {
		if n := len(strings.Fields(v.words)); len(words) >= n && strings.Join(words[:n], " ") == v.words {
			return v.run(w, c, words[n:])
		}
	}
	return "usage: rbd <command>", fail(1, "rbd: error: unknown command %q", words)
}

func daemonAddress(name string) string { return "127.0.0.1:0/" + name }

// verb is one rbd command.
type verb struct {
	words string
	run   func(w *World, c *cluster, args []string) (string, *failed)
}

// verbs lists the longer commands before those that they begin with.
var verbs = []verb{
	{"mirror pool info", (*World).cmdPoolInfo},
	{"mirror pool status", (*World).cmdPoolStatus},
	{"mirror pool enable", (*World).cmdPoolEnable},
	{"mirror pool peer add", (*World).cmdPeerAdd},
	{"mirror pool peer set", (*World).cmdPeerSet},
	{"mirror snapshot schedule ls", func(_ *World, c *cluster, _ []string) (string, *failed) { return text(scheduleList(c)), nil }},
	{"mirror snapshot schedule add", func(_ *World, c *cluster, a []string) (string, *failed) { return schedule(c, a, true) }},
	{"mirror snapshot schedule remove", func(_ *World, c *cluster, a []string) (string, *failed) { return schedule(c, a, false) }},
	{"mirror image status", onImage((*World).cmdStatus)},
	{"mirror image enable", onImage((*World).cmdEnable)},
	{"mirror image disable", onImage((*World).cmdDisable)},
	{"mirror image promote --force", onImage((*World).cmdPromoteForce)},
	{"mirror image promote", onImage((*World).cmdPromote)},
	{"mirror image demote", onImage((*World).cmdDemote)},
	{"mirror image resync", onImage((*World).cmdResync)},
	{"mirror image snapshot", onImage((*World).cmdSnapshot)},
	{"info", onImage(func(_ *World, t target, _ []string) (string, *failed) { return text(imageInfo(t.name, t.image)), nil })},
	{"snap ls", onImage(func(w *World, t target, _ []string) (string, *failed) { return text(w.snapList(t.image)), nil })},
	{"status", onImage((*World).cmdWatchers)},
	{"lock ls", onImage(cmdLockList)},
	{"lock rm", onImage(cmdLockRemove)},
	{"image-meta list", onImage(cmdMetaList)},
	{"image-meta set", onImage((*World).cmdMetaSet)},
	{"image-meta remove", onImage((*World).cmdMetaRemove)},
	{"feature enable", onImage(cmdFeatureEnable)},
	{"feature disable", onImage(cmdFeatureDisable)},
	{"journal status", (*World).cmdJournal},
	{"create", (*World).cmdCreate},
	{"clone", (*World).cmdClone},
	{"flatten", onImage(func(_ *World, t target, _ []string) (string, *failed) { t.image.parent = ""; return "", nil })},
	{"cp", onImage((*World).cmdCopy)},
	{"rename", onImage(cmdRename)},
	{"rm", onImage(func(_ *World, t target, _ []string) (string, *failed) { delete(t.pool.images, t.name); return "", nil })},
	{"ls -l", (*World).cmdList},
}

// target is an image that a command names.
type target struct {
	cluster  *cluster
	pool     *pool
	poolName string
	name     string
	image    *image
	far      *pool  // the other cluster's pool, nil when that does not answer
	peer     *image // its image
}

// onImage finds the image that the first argument names.
func onImage(f func(*World, target, []string) (string, *failed)) func(*World, *cluster, []string) (string, *failed) {
	return func(w *World, c *cluster, args []string) (string, *failed) {
		if len(args) == 0 {
			return "", fail(22, "rbd: image name was not specified")
		}
		t, err := w.find(c, args[0])
		if err != nil {
			return "", err
		}
		return f(w, t, args[1:])
	}
}

func (w *World) find(c *cluster, spec string) (target, *failed) {
	poolName, name, _ := strings.Cut(spec, "/")
	p := c.pools[poolName]
	if p == nil {
		return target{}, fail(2, "rbd: error opening pool '%s': (2) No such file or directory", poolName)
	}
	i := p.images[name]
	if i == nil {
		return target{}, fail(2, "rbd: error opening image %s: (2) No such file or directory", name)
	}
	t := target{cluster: c, pool: p, poolName: poolName, name: name, image: i}
	if far := w.clusters[other(c.name)]; !far.down && !w.linkDown && far.pools[poolName] != nil {
		t.far = far.pools[poolName]
		t.peer = t.far.images[name]
	}
	return t, nil
}

// socket is the admin socket of a cluster's rbd-mirror; its path is the cluster's name.
func (w *World) socket(name string, words []string) (string, *failed) {
	c := w.clusters[name]
	if c == nil || !c.daemon || c.down {
		return "", fail(22, "admin_socket: exception getting command descriptions: [Errno 2] No such file or directory")
	}
	if len(words) != 4 || words[0] != "rbd" || words[1] != "mirror" {
		return "", fail(22, "no valid command found")
	}
	t, err := w.find(c, words[3])
	if err != nil || !t.image.mirrored {
		return "", fail(22, "Invalid command: unused arguments: ['%s']\nadmin_socket: invalid command", words[3])
	}
	switch words[2] {
	case "status":
		state := "Replaying"
		// A link that is down does not show here.
		far := w.clusters[other(c.name)].pools[t.poolName].images[t.name]
		if t.image.stopped || t.image.primary || far == nil || !far.primary {
			state = "Stopped"
		}
		return text(obj{"name": words[3], "state": state}), nil
	case "stop":
		t.image.stopped = true
	case "start":
		t.image.stopped = false
	}
	return "{}\n", nil
}

func schedule(c *cluster, args []string, add bool) (string, *failed) {
	var poolName, img, interval string
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--pool":
			i++
			poolName = args[i]
		case "--image":
			i++
			img = args[i]
		default:
			if interval == "" {
				interval = args[i]
			}
		}
	}
	p := c.pools[poolName]
	if p == nil || img != "" && (p.images[img] == nil || p.images[img].mode != "snapshot") {
		return "", fail(22, "rbd: rbd mirror snapshot schedule failed: (22) Invalid argument: Invalid level spec")
	}
	if img == "" {
		img = "-"
	}
	p.schedules[img] = slices.DeleteFunc(p.schedules[img], func(s string) bool { return s == interval })
	if add {
		p.schedules[img] = append(p.schedules[img], interval)
	}
	return "", nil
}

func cmdMetaList(_ *World, t target, _ []string) (string, *failed) {
	if len(t.image.meta) == 0 {
		return "", nil // nothing at all, not {}
	}
	return text(maps.Clone(t.image.meta)), nil
}

// cmdLockList: a forced promotion may leave the lock with this side's rbd-mirror.
func cmdLockList(_ *World, t target, _ []string) (string, *failed) {
	if t.image.broken > 0 {
		return text([]obj{{"id": "auto 94460064001408", "locker": "client.4138", "address": daemonAddress(t.cluster.name)}}), nil
	}
	return text([]obj{}), nil
}

func cmdLockRemove(_ *World, t target, a []string) (string, *failed) {
	if t.image.broken == 0 || len(a) != 2 {
		return "", fail(2, "rbd: releasing lock failed: (2) No such file or directory")
	}
	t.image.broken = 0
	return "", nil
}

// writable is what every change of an image asks.
func (t target) writable() *failed {
	if t.image.mirrored && !t.image.primary || t.image.making > 0 || t.image.broken > 0 {
		return fail(30, "rbd: error: (30) Read-only file system")
	}
	return nil
}

func (w *World) cmdMetaSet(t target, a []string) (string, *failed) {
	if err := t.writable(); err != nil {
		return "", err
	}
	t.image.meta[a[0]] = a[1]
	t.image.changed()
	return "", nil
}

func (w *World) cmdMetaRemove(t target, a []string) (string, *failed) {
	if err := t.writable(); err != nil {
		return "", err
	}
	if _, ok := t.image.meta[a[0]]; !ok {
		return "", fail(2, "rbd: no existing metadata key %s of image : (2) No such file or directory", a[0])
	}
	delete(t.image.meta, a[0])
	t.image.changed()
	return "", nil
}

func cmdFeatureEnable(_ *World, t target, a []string) (string, *failed) {
	if a[0] == "journaling" && !slices.Contains(t.image.features, "exclusive-lock") {
		return "", fail(22, "rbd: failed to update image features: (22) Invalid argument")
	}
	t.image.features = append(t.image.features, a[0])
	if a[0] == "journaling" {
		t.image.written = position{1, 0}
	}
	return "", nil
}

func cmdFeatureDisable(_ *World, t target, a []string) (string, *failed) {
	t.image.features = slices.DeleteFunc(t.image.features, func(f string) bool { return f == a[0] })
	return "", nil
}

func (w *World) cmdWatchers(t target, _ []string) (string, *failed) {
	rows := []obj{}
	for _, a := range t.image.watchers {
		rows = append(rows, obj{"address": a, "client": 1, "cookie": 1})
	}
	if t.image.mirrored && (!t.image.primary || t.image.broken > 0) && t.cluster.daemon {
		rows = append(rows, obj{"address": daemonAddress(t.cluster.name), "client": 2, "cookie": 2})
	}
	if far := w.clusters[other(t.cluster.name)]; t.image.mirrored && t.image.primary && t.image.mode == "snapshot" && far.daemon {
		rows = append(rows, obj{"address": daemonAddress(far.name), "client": 3, "cookie": 3})
	}
	return text(obj{"watchers": rows}), nil
}

func (w *World) cmdJournal(c *cluster, a []string) (string, *failed) {
	if len(a) != 4 {
		return "", fail(1, "usage: rbd journal status")
	}
	t, err := w.find(c, a[1]+"/"+a[3])
	if err != nil {
		return "", err
	}
	if !slices.Contains(t.image.features, "journaling") {
		return "", fail(22, "rbd: journaling is not enabled for image %s", t.name)
	}
	return text(w.journalStatus(w.clusters[other(c.name)].pools[t.poolName], t.image)), nil
}

func (w *World) cmdList(c *cluster, a []string) (string, *failed) {
	p := c.pools[a[0]]
	if p == nil {
		return "", fail(2, "rbd: error opening pool '%s': (2) No such file or directory\nrbd: listing images failed: (2) No such file or directory", a[0])
	}
	rows := []obj{}
	for _, n := range slices.Sorted(maps.Keys(p.images)) {
		row := obj{"image": n, "id": p.images[n].id, "size": p.images[n].size, "format": 2}
		if i := p.images[n]; i.mirrored && !i.primary && c.daemon {
			row["lock_type"] = "exclusive" // its rbd-mirror holds it
		}
		rows = append(rows, row)
		for k, s := range p.images[n].userSnaps {
			rows = append(rows, obj{"image": n, "snapshot": s, "snapshot_id": k + 1, "protected": "false", "size": p.images[n].size, "format": 2})
		}
	}
	return text(rows), nil
}
