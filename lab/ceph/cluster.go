package ceph

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Daemon names, as Ceph spells them.
const (
	Mon    = "mon.a"
	Mgr    = "mgr.x"
	OSD    = "osd.0"
	Mirror = "rbd-mirror"
	// SecondMirror is one more rbd-mirror of the same cluster, as after a mistake in --cluster.
	SecondMirror = "rbd-mirror-2"
)

const (
	readyTime = 60 * time.Second
	stopGrace = 10 * time.Second
	pollEvery = 100 * time.Millisecond
)

// startOrder is also the reverse of the order in which a cluster is stopped.
var startOrder = [...]string{Mon, Mgr, OSD, Mirror, SecondMirror}

// Cluster is one of the two clusters of a lab.
type Cluster struct {
	Name string
	Dir  string
	// Conf is the path of the cluster's configuration; its keyring is named in it.
	Conf string
	// MirrorSocket is the admin socket of this cluster's rbd-mirror daemon.
	MirrorSocket string

	lab  *Lab
	port int
	mu   sync.Mutex
	runs map[string]*daemon
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// format writes configuration, keys, monitor map and an empty monitor store.
func (c *Cluster) format(ctx context.Context) error {
	for _, d := range []string{"mon", "mgr", "osd", "crash"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, d), 0o700); err != nil {
			return fmt.Errorf("ceph lab: %w", err)
		}
	}
	data := confData{Dir: c.Dir, FSID: newUUID(), Port: c.port, OSDBytes: c.lab.opt.OSDBytes, CommitAge: c.lab.opt.CommitAge}
	conf, err := renderConf(data)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Conf, []byte(conf), 0o600); err != nil {
		return fmt.Errorf("ceph lab: %w", err)
	}
	keyring, monmap := filepath.Join(c.Dir, "keyring"), filepath.Join(c.Dir, "monmap")
	steps := [][]string{
		{"ceph-authtool", "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"},
		{"ceph-authtool", keyring, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"},
		{"ceph-authtool", keyring, "--gen-key", "-n", "mgr.x", "--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *"},
		{"ceph-authtool", keyring, "--gen-key", "-n", "osd.0", "--cap", "mon", "allow profile osd", "--cap", "mgr", "allow profile osd", "--cap", "osd", "allow *"},
		{"ceph-authtool", keyring, "--gen-key", "-n", "client.rbd-mirror.a", "--cap", "mon", "profile rbd-mirror", "--cap", "osd", "profile rbd"},
		{"monmaptool", "--create", "--clobber", "--fsid", data.FSID, "--addv", "a", data.Addrs(), monmap},
		{"ceph-mon", "--cluster", c.Name, "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring},
	}
	for _, s := range steps {
		if _, err := c.lab.Output(ctx, s[0], s[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// Start starts monitor, manager and OSD, and waits until the OSD is up. The first start formats the OSD.
func (c *Cluster) Start(ctx context.Context) error {
	if err := c.spawn(Mon, "ceph-mon", "-f", "--cluster", c.Name, "-i", "a"); err != nil {
		return err
	}
	if err := c.await(ctx, Mon, "mon stat"); err != nil {
		return err
	}
	if err := c.spawn(Mgr, "ceph-mgr", "-f", "--cluster", c.Name, "-i", "x"); err != nil {
		return err
	}
	if err := c.formatOSD(ctx); err != nil {
		return err
	}
	if err := c.spawn(OSD, "ceph-osd", "-f", "--cluster", c.Name, "-i", "0"); err != nil {
		return err
	}
	return c.await(ctx, OSD, `osd stat`, `"num_up_osds":1`)
}

func (c *Cluster) formatOSD(ctx context.Context) error {
	ready := filepath.Join(c.Dir, "osd", "formatted")
	if exists(ready) {
		return nil
	}
	uuid := newUUID()
	steps := [][]string{
		{"ceph", "--cluster", c.Name, "osd", "new", uuid, "0"},
		{"ceph-osd", "--cluster", c.Name, "-i", "0", "--mkfs", "--osd-uuid", uuid},
		{"ceph", "--cluster", c.Name, "osd", "crush", "add", "osd.0", "1.0", "host=h", "root=default"},
	}
	for _, s := range steps {
		if _, err := c.lab.Output(ctx, s[0], s[1:]...); err != nil {
			return err
		}
	}
	return os.WriteFile(ready, nil, 0o600)
}

// StartMirror starts this cluster's rbd-mirror daemon.
func (c *Cluster) StartMirror() error {
	return c.spawn(Mirror, "rbd-mirror", "-f", "--cluster", c.Name, "-n", "client.rbd-mirror.a")
}

// StartSecondMirror starts one more rbd-mirror daemon that pulls into this cluster.
func (c *Cluster) StartSecondMirror() error {
	return c.spawn(SecondMirror, "rbd-mirror", "-f", "--cluster", c.Name, "-n", "client.rbd-mirror.a", "--admin-socket", filepath.Join(c.Dir, "rbd-mirror-2.asok"))
}

func (c *Cluster) spawn(name string, argv ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.runs[name]; d != nil && !d.ended() {
		return nil
	}
	d, err := c.lab.spawner.start(c.Name+" "+name, filepath.Join(c.Dir, name+".out"), c.lab.Env(), argv)
	if err != nil {
		return err
	}
	c.runs[name] = d
	return nil
}

// await polls `ceph WHAT` until it succeeds and its output contains all of want.
func (c *Cluster) await(ctx context.Context, name, what string, want ...string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	args := append([]string{"--cluster", c.Name, "--connect-timeout", "3", "-f", "json"}, strings.Fields(what)...)
	for {
		out, err := c.lab.Output(ctx, "ceph", args...)
		if err == nil && containsAll(string(out), want) {
			return nil
		}
		if d := c.daemon(name); d == nil || d.ended() {
			return fmt.Errorf("%w: %s %s, see %s", ErrDaemonEnded, c.Name, name, c.Dir)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s %s: %w (last: %w)", ErrNotReady, c.Name, name, ctx.Err(), errOr(err, errors.New(string(out))))
		case <-time.After(pollEvery):
		}
	}
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func containsAll(s string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

func (c *Cluster) daemon(name string) *daemon {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[name]
}

// Stop ends the named daemons (all when none is named) in order, waiting for each.
func (c *Cluster) Stop(names ...string) { c.end(stopGrace, names) }

// Kill ends the named daemons (all when none is named) with SIGKILL.
func (c *Cluster) Kill(names ...string) { c.end(0, names) }

func (c *Cluster) end(grace time.Duration, names []string) {
	if len(names) == 0 {
		names = startOrder[:]
	}
	for i := len(names) - 1; i >= 0; i-- {
		if d := c.daemon(names[i]); d != nil {
			d.stop(grace)
		}
	}
}

// Freeze stops a daemon in its tracks (SIGSTOP); Thaw lets it go on.
func (c *Cluster) Freeze(name string) { c.signal(name, syscall.SIGSTOP) }

// Thaw lets a frozen daemon go on.
func (c *Cluster) Thaw(name string) { c.signal(name, syscall.SIGCONT) }

func (c *Cluster) signal(name string, sig syscall.Signal) {
	if d := c.daemon(name); d != nil {
		d.signal(sig)
	}
}

// Running says whether the daemon is alive.
func (c *Cluster) Running(name string) bool {
	d := c.daemon(name)
	return d != nil && !d.ended()
}

// Rbd runs the rbd command line tool against this cluster, with time-outs.
func (c *Cluster) Rbd(ctx context.Context, args ...string) ([]byte, error) {
	return c.lab.Output(ctx, "rbd", append([]string{"--cluster", c.Name, "--client-mount-timeout", "10", "--rados-osd-op-timeout", "60"}, args...)...)
}

// ImportDiff applies a stream of rbd's to an image, as a client that writes.
func (c *Cluster) ImportDiff(ctx context.Context, stream io.Reader, spec string) error {
	_, err := c.lab.feed(ctx, stream, "rbd", "--cluster", c.Name, "--client-mount-timeout", "10", "--rados-osd-op-timeout", "60", "import-diff", "--no-progress", "-", spec)
	return err
}

// Used says how much of the cluster's OSD is used, and how large it is.
func (c *Cluster) Used(ctx context.Context) (used, size int64, err error) {
	out, err := c.Ceph(ctx, "df", "-f", "json")
	if err != nil {
		return 0, 0, err
	}
	var df struct {
		Stats struct {
			Used  int64 `json:"total_used_raw_bytes"`
			Total int64 `json:"total_bytes"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(out, &df); err != nil {
		return 0, 0, fmt.Errorf("ceph lab: df: %w", err)
	}
	return df.Stats.Used, df.Stats.Total, nil
}

// Ceph runs the ceph command line tool against this cluster.
func (c *Cluster) Ceph(ctx context.Context, args ...string) ([]byte, error) {
	return c.lab.Output(ctx, "ceph", append([]string{"--cluster", c.Name, "--connect-timeout", "10"}, args...)...)
}

// ExitCode is the exit status of a failed Output, -1 when the command did not run to its end.
func ExitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return -1
}
