package ceph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Names of the two clusters, which are also the site names of their mirroring.
const (
	PrimaryName   = "primary"
	SecondaryName = "secondary"
)

// DefaultOSDBytes is the stated size of each OSD; the file is sparse. Tests keep their data under half of it.
const DefaultOSDBytes = 8 << 30

// Options of a lab; the zero value is a lab with mirroring in both directions.
type Options struct {
	Root       string // parent of all labs; default: ddsgo-ceph-lab-UID in the temporary directory
	OSDBytes   int64  // default DefaultOSDBytes
	Pool       string // default "volumes"
	NoMirror   bool   // clusters and pool only: no peers, no rbd-mirror, mirroring off
	KeepOnExit bool   // leave the directory (logs, data) behind on Close
	// CommitAge is rbd_journal_commit_age, in whole seconds; 0: Ceph's own 5 s. It is most of what an
	// update in journal mode takes.
	CommitAge time.Duration
}

// Lab is a pair of running clusters.
type Lab struct {
	Dir       string
	Home      string
	Pool      string
	Primary   *Cluster
	Secondary *Cluster

	opt     Options
	place   *place
	spawner *spawner
}

func defaultRoot() string {
	return filepath.Join(os.TempDir(), "ddsgo-ceph-lab-"+strconv.Itoa(os.Geteuid()))
}

// Check says whether this machine can run a lab.
func Check() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	for _, tool := range []string{"ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "ceph-authtool", "monmaptool", "rbd", "rbd-mirror"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %s (run lab/ceph/install.sh)", ErrToolMissing, tool)
		}
	}
	return nil
}

// Up starts a lab. Whatever happens afterwards, Close or the end of this process ends it.
func Up(ctx context.Context, opt Options) (*Lab, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	if opt.Root == "" {
		opt.Root = defaultRoot()
	}
	if opt.OSDBytes == 0 {
		opt.OSDBytes = DefaultOSDBytes
	}
	if opt.Pool == "" {
		opt.Pool = "volumes"
	}
	p, err := takePlace(opt.Root)
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: p.dir, Home: filepath.Join(p.dir, "home"), Pool: opt.Pool, opt: opt, place: p, spawner: newSpawner()}
	l.Primary, l.Secondary = l.cluster(PrimaryName, p.port), l.cluster(SecondaryName, p.port+portsPerLab/2)
	if err := l.up(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) cluster(name string, port int) *Cluster {
	dir := filepath.Join(l.Dir, name)
	return &Cluster{
		Name: name, Dir: dir, port: port, lab: l, runs: map[string]*daemon{},
		Conf:         filepath.Join(l.Home, ".ceph", name+".conf"),
		MirrorSocket: filepath.Join(dir, "rbd-mirror.asok"),
	}
}

// Clusters returns both clusters, primary first.
func (l *Lab) Clusters() [2]*Cluster { return [2]*Cluster{l.Primary, l.Secondary} }

func (l *Lab) up(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(l.Home, ".ceph"), 0o700); err != nil {
		return fmt.Errorf("ceph lab: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range l.Clusters() {
		g.Go(func() error {
			if err := c.format(gctx); err != nil {
				return err
			}
			if err := c.Start(gctx); err != nil {
				return err
			}
			return c.MakePool(gctx, l.Pool)
		})
	}
	if err := g.Wait(); err != nil || l.opt.NoMirror {
		return err
	}
	return l.ConnectPools(ctx, l.Pool)
}

// MakePool creates a pool for images on this cluster.
func (c *Cluster) MakePool(ctx context.Context, pool string) error {
	if _, err := c.Ceph(ctx, "osd", "pool", "create", pool, "8"); err != nil {
		return err
	}
	_, err := c.Rbd(ctx, "pool", "init", pool)
	return err
}

// ConnectPools enables image-mode mirroring of the pool on both sides, adds each as the other's
// peer and starts both rbd-mirror daemons.
func (l *Lab) ConnectPools(ctx context.Context, pool string) error {
	for _, c := range l.Clusters() {
		if _, err := c.Rbd(ctx, "mirror", "pool", "enable", pool, "image", "--site-name", c.Name); err != nil {
			return err
		}
	}
	for _, c := range l.Clusters() {
		if _, err := c.Rbd(ctx, "mirror", "pool", "peer", "add", pool, "client.admin@"+c.Peer().Name); err != nil {
			return err
		}
	}
	return l.StartMirrors()
}

// StartMirrors starts both rbd-mirror daemons.
func (l *Lab) StartMirrors() error {
	return errors.Join(l.Primary.StartMirror(), l.Secondary.StartMirror())
}

// Peer is the other cluster.
func (c *Cluster) Peer() *Cluster {
	if c == c.lab.Primary {
		return c.lab.Secondary
	}
	return c.lab.Primary
}

// Env is the environment in which Ceph's tools find this lab and nothing else.
func (l *Lab) Env() []string {
	return []string{"HOME=" + l.Home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "TMPDIR=" + l.Dir}
}

// Output runs a program in the lab's environment. The error carries what it said on standard error.
func (l *Lab) Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	return l.feed(ctx, nil, name, args...)
}

// feed is Output with something on the program's standard input.
func (l *Lab) feed(ctx context.Context, in io.Reader, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.WaitDelay, cmd.Stdin = l.Env(), time.Second, in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("ceph lab: %s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// Close ends all daemons and removes the lab's directory.
func (l *Lab) Close() error {
	for _, c := range l.Clusters() {
		c.Kill() // the data goes too, so there is nothing to end gracefully
	}
	l.spawner.close()
	return l.place.leave(!l.opt.KeepOnExit)
}
