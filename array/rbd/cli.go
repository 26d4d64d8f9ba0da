package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/internal/run"
)

// Cluster says how to reach one Ceph cluster. Name alone suffices where /etc/ceph/NAME.conf exists.
type Cluster struct {
	Name         string // --cluster
	Conf         string // --conf, empty: found by name
	User         string // --id, empty: admin
	MirrorSocket string // admin socket of this cluster's rbd-mirror, empty: not known here
}

// Times bounds every call.
type Times struct {
	Connect time.Duration // client mount and monitor operations; default 5 s
	Op      time.Duration // one OSD operation; default 15 s
	Call    time.Duration // a whole call that moves no data; default 60 s
}

func (t Times) withDefaults() Times {
	if t.Connect <= 0 {
		t.Connect = 5 * time.Second
	}
	if t.Op <= 0 {
		t.Op = 15 * time.Second
	}
	if t.Call <= 0 {
		t.Call = 60 * time.Second
	}
	return t
}

// CLI calls the rbd program (and ceph for admin sockets) of one cluster.
//
// The exit status is always looked at before the output: rbd prints `[]` beside a failure.
// Time zone of children is UTC, because rbd prints local times without naming the zone.
type CLI struct {
	cluster Cluster
	times   Times
	runner  run.Runner
}

// NewCLI makes a CLI for one cluster. A nil runner means real programs.
func NewCLI(c Cluster, t Times, r run.Runner) *CLI {
	if r == nil {
		r = run.OS{}
	}
	return &CLI{cluster: c, times: t.withDefaults(), runner: r}
}

// Cluster returns what the CLI was made for.
func (c *CLI) Cluster() Cluster { return c.cluster }

// connection is the part of the command line that says where to and how long.
func (c *CLI) connection() []string {
	secs := func(d time.Duration) string { return strconv.Itoa(int(max(d/time.Second, 1))) }
	args := []string{"--cluster", c.cluster.Name}
	if c.cluster.Conf != "" {
		args = append(args, "--conf", c.cluster.Conf)
	}
	if c.cluster.User != "" {
		args = append(args, "--id", c.cluster.User)
	}
	// All three are needed: with dead monitors the monitor time-out alone still hangs.
	return append(args, "--client-mount-timeout", secs(c.times.Connect), "--rados-mon-op-timeout", secs(c.times.Connect),
		"--rados-osd-op-timeout", secs(c.times.Op), "--log-to-stderr=true")
}

// Command is the full command line of an rbd call, for plans and for people.
func (c *CLI) Command(args ...string) run.Cmd {
	return run.Cmd{Name: "rbd", Args: append(c.connection(), args...), Env: []string{"TZ=UTC"}, Pdeathsig: true}
}

// short is the command without paths and time-outs, as error messages show it. Who asks is part of it:
// for an unknown user and for a wrong key Ceph has the same answer.
func (c *CLI) short(args []string) string {
	who := []string{"--cluster", c.cluster.Name}
	if c.cluster.User != "" {
		who = append(who, "--id", c.cluster.User)
	}
	return run.Cmd{Name: "rbd", Args: append(who, args...)}.String()
}

// call runs rbd within Times.Call and returns its standard output.
func (c *CLI) call(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.times.Call)
	defer cancel()
	return c.run(ctx, c.Command(args...), c.short(args))
}

// long runs rbd for a call that moves data; only ctx bounds it.
func (c *CLI) long(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, c.Command(args...), c.short(args))
}

func (c *CLI) run(ctx context.Context, cmd run.Cmd, shown string) ([]byte, error) {
	res, err := c.runner.Run(ctx, cmd)
	if err == nil {
		return res.Stdout, nil
	}
	return nil, c.explain(ctx, err, shown)
}

// explain gives a failed run its meaning. shown replaces the long command line.
func (c *CLI) explain(ctx context.Context, err error, shown string) error {
	var exit *run.ExitError
	switch {
	case errors.As(err, &exit):
		e := classify(c.cluster.Name, exit)
		e.Cmd = shown
		return e
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("cluster %s: %s: %w: install the ceph-common package", c.cluster.Name, shown, ErrNoTool)
	case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return fmt.Errorf("cluster %s: %s: %w: killed after its deadline: %w", c.cluster.Name, shown, ErrTimeout, err)
	}
	return fmt.Errorf("cluster %s: %s: %w", c.cluster.Name, shown, err)
}

// mirrorDaemons lists the addresses of the rbd-mirror daemons that work on a pool, of either side: they
// watch its mirroring object. In snapshot mode the peer's daemon keeps the primary image open, and
// must not be taken for somebody who uses it.
func (c *CLI) mirrorDaemons(ctx context.Context, pool string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.times.Call)
	defer cancel()
	args := append(c.connection(), "--pool", pool, "listwatchers", "rbd_mirroring")
	cmd := run.Cmd{Name: "rados", Args: args, Env: []string{"TZ=UTC"}, Pdeathsig: true}
	out, err := c.run(ctx, cmd, "rados --cluster "+c.cluster.Name+" --pool "+pool+" listwatchers rbd_mirroring")
	var addrs []string
	for line := range strings.Lines(string(out)) { // watcher=127.0.0.1:0/3069352438 client.4136 cookie=93863740006400
		if addr, ok := strings.CutPrefix(line, "watcher="); ok {
			addr, _, _ = strings.Cut(addr, " ")
			addrs = append(addrs, addr)
		}
	}
	return addrs, err
}

// query runs rbd with --format json and decodes what it printed. Unknown keys are ignored,
// missing ones stay zero.
func query[T any](ctx context.Context, c *CLI, args ...string) (T, error) {
	var v T
	out, err := c.call(ctx, append(args, "--format", "json")...)
	if err != nil {
		return v, err
	}
	return decode[T](c, out, c.short(args))
}

// cephQuery is query for the ceph program.
func cephQuery[T any](ctx context.Context, c *CLI, words ...string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, c.times.Call)
	defer cancel()
	out, err := c.run(ctx, c.cephCommand(words...), c.cephShown(words))
	if err != nil {
		var zero T
		return zero, err
	}
	return decode[T](c, out, c.cephShown(words))
}

func decode[T any](c *CLI, out []byte, shown string) (T, error) {
	var v T
	if err := json.Unmarshal(out, &v); err != nil {
		return v, fmt.Errorf("cluster %s: %s: %w: %w: %.80q", c.cluster.Name, shown, ErrBadAnswer, err, out)
	}
	return v, nil
}

// mirrorSocket sends one command to the admin socket of this cluster's rbd-mirror.
func (c *CLI) mirrorSocket(ctx context.Context, words ...string) ([]byte, error) {
	if c.cluster.MirrorSocket == "" {
		return nil, fmt.Errorf("cluster %s: %w", c.cluster.Name, ErrNoSocket)
	}
	// A daemon whose peer died may accept the connection and never answer.
	ctx, cancel := context.WithTimeout(ctx, c.times.Connect)
	defer cancel()
	cmd := run.Cmd{Name: "ceph", Args: append([]string{"--admin-daemon", c.cluster.MirrorSocket}, words...), Env: []string{"TZ=UTC"}, Pdeathsig: true}
	out, err := c.run(ctx, cmd, cmd.String())
	var e *CallError
	if errors.As(err, &e) && int(e.Errno) == rcInvalid {
		if contains(e.Text, "[Errno 2]", "[Errno 111]", "[Errno 13]") {
			e.Kind = ErrNoDaemon
		} else if contains(e.Text, "Invalid command", "unused arguments") {
			e.Kind = ErrNotReplayed
		}
	}
	return out, err
}

var (
	// ErrNoSocket: mirror_admin_socket is not configured for that site.
	ErrNoSocket = errors.New("mirror_admin_socket not configured")
	// ErrNoDaemon: nobody listens on rbd-mirror's admin socket.
	ErrNoDaemon = errors.New("rbd-mirror is not running or its admin socket is elsewhere")
	// ErrNotReplayed: the rbd-mirror behind the socket does not know the image.
	ErrNotReplayed = errors.New("rbd-mirror does not handle that image")
)

// jsonTail parses "label, {json}" as used in mirroring descriptions.
func jsonTail(s string, v any) (label string, ok bool) {
	i := strings.IndexByte(s, '{')
	if i < 0 {
		return strings.TrimSpace(s), false
	}
	label = strings.TrimRight(strings.TrimSpace(s[:i]), ",")
	return label, json.Unmarshal([]byte(s[i:]), v) == nil
}
