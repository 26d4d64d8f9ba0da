package rbd

import (
	"errors"
	"fmt"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/run"
)

// DriverName is the name of this driver in the configuration.
const DriverName = "rbd"

// defaultCommitAge is Ceph's rbd_journal_commit_age: how long a write may be missing from the commit
// position of the journal it is already in.
const defaultCommitAge = 5 * time.Second

// commitSlack is added to the commit age, for the clock of another host and for one slow commit.
const commitSlack = time.Second

// Config is one mirrored image and the two clusters that hold it.
type Config struct {
	Name      string // of the resource
	Image     Image
	Mode      string  // ModeJournal or ModeSnapshot
	Sites     [2]Site // home first
	LocalSite string  // may be empty
	// Schedules are the mirror snapshot intervals that setup puts on both clusters (snapshot mode).
	Schedules []string
	MaxAge    time.Duration
	// CommitAge must not be shorter than rbd_journal_commit_age of the image; default 5 s.
	CommitAge time.Duration
	Times     Times
	Runner    run.Runner // nil: real programs
}

// Site is one side of the resource.
type Site struct {
	Name    string
	Cluster Cluster
	// PeerUser is the user that the *other* side's rbd-mirror uses here; default admin, as in
	// `peer add POOL client.admin@CLUSTER`.
	PeerUser string
}

func (c Config) check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := c.Image.check(); err != nil {
		errs = append(errs, err)
	}
	if c.Mode != ModeJournal && c.Mode != ModeSnapshot {
		fail("mode %q: must be journal or snapshot", c.Mode)
	}
	if c.Mode == ModeJournal && len(c.Schedules) > 0 {
		fail("schedules: only mode snapshot has them")
	}
	for _, s := range c.Sites {
		if s.Name == "" || s.Cluster.Name == "" {
			fail("site %q: name and cluster are both needed", s.Name)
		}
		if s.Cluster.Name != "" {
			if err := checkName("cluster", s.Cluster.Name); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if c.Sites[0].Name == c.Sites[1].Name {
		fail("both sites are named %q", c.Sites[0].Name)
	}
	same := c.Sites[0].Cluster == c.Sites[1].Cluster
	if same || c.Sites[0].Cluster.Name == c.Sites[1].Cluster.Name {
		fail("both sites name cluster %q: mirroring needs two", c.Sites[0].Cluster.Name)
	}
	if err := errors.Join(errs...); err != nil {
		return &array.Error{Kind: array.KindConfig, Reason: "resource " + c.Name, Err: err}
	}
	return nil
}

// Driver replicates one image. See the package comment for how it decides.
type Driver struct {
	cfg Config
	cli [2]*CLI
}

// New checks the configuration and makes a driver. It does no I/O.
func New(cfg Config) (*Driver, error) {
	if cfg.CommitAge <= 0 {
		cfg.CommitAge = defaultCommitAge
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg}
	for i, s := range cfg.Sites {
		d.cli[i] = NewCLI(s.Cluster, cfg.Times, cfg.Runner)
	}
	return d, nil
}

var _ array.Driver = (*Driver)(nil)

func (d *Driver) site(name string) int {
	if name == d.cfg.Sites[0].Name {
		return 0
	}
	return 1
}

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities {
	c := array.Capabilities{
		Driver: DriverName, Mode: d.cfg.Mode, MaxAge: d.cfg.MaxAge, LocalSite: d.cfg.LocalSite,
		Sites: []string{d.cfg.Sites[0].Name, d.cfg.Sites[1].Name},
		Verbs: []array.Verb{
			array.Update, array.Swap, array.Failover, array.Failback,
			array.Setup, array.Create, array.Delete, array.Resync,
		},
		Missing: map[array.Verb]string{
			array.Start:        "rbd has no relocation of its own: use swap (planned) or failover",
			array.Revert:       "rbd cannot undo a forced promotion: use failback with --discard",
			array.Add:          "an rbd resource is one image; name more images in the configuration",
			array.Remove:       "an rbd resource is one image; use array delete --delete-peer-copy",
			array.VolumeCreate: "use array create", array.VolumeDelete: "use `rbd rm`, after array delete",
			array.VolumeAttach: "use `rbd map` or the hypervisor", array.VolumeDetach: "use `rbd unmap` or the hypervisor",
		},
	}
	sockets := d.cfg.Sites[0].Cluster.MirrorSocket != "" || d.cfg.Sites[1].Cluster.MirrorSocket != ""
	if d.cfg.Mode == ModeSnapshot || sockets {
		c.Verbs = append(c.Verbs, array.Break, array.Resume)
	} else {
		const why = "journal mode pauses only through the admin socket of the target's rbd-mirror: set mirror_admin_socket"
		c.Missing[array.Break], c.Missing[array.Resume] = why, why
	}
	return c
}
