package fakeimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/internal/run"
)

// ErrDead is what every call gives after the client's death.
var ErrDead = errors.New("fakeimage: the client was killed")

// answer is what a command said.
type answer struct {
	out  any
	rc   int
	text string
}

func failed(rc int, format string, args ...any) answer {
	return answer{out: []any{}, rc: rc, text: fmt.Sprintf(format, args...)}
}

// words is a command line without connection and options that change nothing.
type words struct {
	verb  []string
	from  string
	size  string
	whole bool
}

func parse(args []string) words {
	var p words
	for i := 0; i < len(args); i++ {
		switch a := args[i]; a {
		case "--cluster", "--conf", "--id", "--client-mount-timeout", "--rados-mon-op-timeout", "--rados-osd-op-timeout", "--connect-timeout", "--format":
			i++
		case "--from-snap":
			i++
			p.from = args[i]
		case "--size":
			i++
			p.size = args[i]
		case "--whole-object":
			p.whole = true
		case "--log-to-stderr=true", "--no-progress", "--all":
		default:
			p.verb = append(p.verb, a)
		}
	}
	return p
}

// Run implements run.Runner.
func (w *World) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	if err := ctx.Err(); err != nil {
		return run.Result{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	p := parse(c.Args)
	line := strings.Join(p.verb, " ")
	if strings.HasPrefix(line, "export-diff") || strings.HasPrefix(line, "import-diff") {
		return w.stream(ctx, c, p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, line)
	cut, err := w.change(p)
	if err != nil {
		return run.Result{}, err
	}
	a := w.command(c.Name, p)
	if cut != nil {
		return run.Result{}, cut
	}
	return result(c, a)
}

// result is the outcome of a command as package run gives it.
func result(c run.Cmd, a answer) (run.Result, error) {
	var out []byte
	if a.out != nil {
		out, _ = json.Marshal(a.out)
	}
	if a.rc != 0 {
		return run.Result{Stdout: out, ExitCode: a.rc}, &run.ExitError{Cmd: c.String(), ExitCode: a.rc, Stderr: a.text}
	}
	return run.Result{Stdout: out}, nil
}

var changing = []string{"snap create", "snap rm", "snap rollback", "image-meta set", "create", "import-diff"}

// change counts a change. The first error forbids it; the second result is what the client gets
// although it was done.
func (w *World) change(p words) (after, before error) {
	if w.dead {
		return nil, ErrDead
	}
	line := strings.Join(p.verb, " ")
	if w.cutAt == 0 || !slices.ContainsFunc(changing, func(c string) bool { return strings.HasPrefix(line, c+" ") }) {
		return nil, nil
	}
	if w.changes++; w.changes < w.cutAt {
		return nil, nil
	}
	w.dead = true
	if w.cut == Before || w.cut == Middle && !strings.HasPrefix(line, "snap rollback") {
		return nil, ErrDead
	}
	return ErrDead, nil
}

func (w *World) command(program string, p words) answer {
	if w.down {
		return failed(110, "rbd: couldn't connect to the cluster!")
	}
	if program == "ceph" {
		return w.ceph(p.verb)
	}
	if program == "rados" {
		return answer{}
	}
	verb, spec := p.verb[0], ""
	args := p.verb[1:]
	if verb == "snap" || verb == "lock" || verb == "image-meta" {
		verb, args = verb+" "+args[0], args[1:]
	}
	if len(args) > 0 {
		spec = args[0]
	}
	name, snap, _ := strings.Cut(spec, "@")
	pool, _, _ := strings.Cut(name, "/")
	if !slices.Contains(w.pools, pool) {
		return failed(2, "rbd: error opening pool '%s': (2) No such file or directory", pool)
	}
	if verb == "create" {
		return w.cmdCreate(name, p.size)
	}
	i := w.images[name]
	if i == nil {
		return failed(2, "rbd: error opening image %s: (2) No such file or directory", name)
	}
	return w.onImage(i, verb, snap, args, p)
}

func (w *World) ceph(verb []string) answer {
	switch verb[0] {
	case "df":
		var pools []any
		for _, p := range w.pools {
			pools = append(pools, map[string]any{"name": p, "stats": map[string]any{"max_avail": w.free}})
		}
		return answer{out: map[string]any{"pools": pools}}
	}
	return failed(22, "no valid command found")
}

func (w *World) cmdCreate(name, size string) answer {
	n, err := strconv.Atoi(strings.TrimSuffix(size, "B"))
	if err != nil {
		return failed(22, "rbd: invalid size")
	}
	if w.images[name] != nil {
		return failed(17, "rbd: create error: (17) File exists")
	}
	w.create(name, (n+Block-1)/Block)
	return answer{}
}

func (w *World) onImage(i *Image, verb, snap string, args []string, p words) answer {
	if strings.HasPrefix(verb, "snap ") && verb != "snap ls" || verb == "image-meta set" {
		if i.mirror == "non-primary" {
			return failed(30, "rbd: error: (30) Read-only file system")
		}
	}
	switch verb {
	case "info":
		return answer{out: i.info()}
	case "status":
		return i.cmdStatus()
	case "lock ls":
		return i.cmdLocks()
	case "image-meta list":
		if len(i.meta) == 0 {
			return answer{}
		}
		return answer{out: i.meta}
	case "image-meta set":
		i.meta[args[1]] = args[2]
		return answer{}
	case "diff":
		return i.cmdDiff(snap, p)
	case "snap ls":
		rows := []any{}
		for _, s := range i.snaps {
			rows = append(rows, map[string]any{"id": s.id, "name": s.name, "size": len(s.data) * Block, "protected": "false", "timestamp": "Sat Nov 21 00:00:00 2026", "namespace": map[string]string{"type": "user"}})
		}
		return answer{out: rows}
	}
	return i.cmdSnap(verb, snap)
}

func (i *Image) info() map[string]any {
	out := map[string]any{"id": i.ID, "create_timestamp": i.made.Format("Mon Jan _2 15:04:05 2006"), "size": len(i.head) * Block}
	if i.mirror != "" {
		out["mirroring"] = map[string]any{"mode": "snapshot", "state": "enabled", "primary": i.mirror == "primary"}
	}
	return out
}

func (i *Image) cmdStatus() answer {
	rows := []any{}
	for _, a := range i.watchers {
		rows = append(rows, map[string]any{"address": a})
	}
	if i.stale > 0 {
		if i.stale--; i.stale == 0 {
			i.watchers = nil
		}
	}
	return answer{out: map[string]any{"watchers": rows}}
}

func (i *Image) cmdLocks() answer {
	rows := []any{}
	if i.lock != "" {
		rows = append(rows, map[string]string{"id": i.lock, "locker": "client.9", "address": "192.0.2.9:0/1"})
	}
	return answer{out: rows}
}

func (i *Image) cmdSnap(verb, snap string) answer {
	s := i.snap(snap)
	if verb == "snap create" {
		if s != nil {
			return failed(17, "rbd: failed to create snapshot: (17) File exists")
		}
		i.addSnap(snap)
		return answer{}
	}
	if s == nil {
		return failed(2, "rbd: failed to remove snapshot: (2) No such file or directory")
	}
	switch verb {
	case "snap rm":
		i.removeSnap(snap)
	case "snap rollback":
		i.rollback(s.data)
	default:
		return failed(1, "rbd: error: unknown command %q", verb)
	}
	return answer{}
}
