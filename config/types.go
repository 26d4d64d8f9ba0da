package config

import (
	"path/filepath"
	"slices"
)

// Config is the whole configuration, validated.
type Config struct {
	LocalSite string              // empty: none is set
	Arrays    map[string]Array    // by name
	Resources map[string]Resource // by name
	Plugins   Plugins
	Files     []string // that were read, in order

	localSiteAt, pluginsAt Pos
}

// Names are the names of all resources, sorted.
func (c *Config) Names() []string {
	names := make([]string, 0, len(c.Resources))
	for n := range c.Resources {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Plugins says where driver plug-ins are looked for.
type Plugins struct {
	Dirs      []string `yaml:"dirs"`       // default DefaultPluginDir
	AllowPath bool     `yaml:"allow_path"` // also look in $PATH
}

// DefaultPluginDir is where packages install driver plug-ins.
const DefaultPluginDir = "/usr/libexec/ddsgo"

// Array is a storage system that drivers talk to.
type Array struct {
	Name string `yaml:"-"`
	At   Pos    `yaml:"-"`

	Type         string            `yaml:"type"`              // hp3par or infinibox
	Method       string            `yaml:"method,omitempty"`  // hp3par: ssh (default), cli, proxy, wsapi
	Manager      string            `yaml:"manager,omitempty"` // host; default the array's name
	Port         int               `yaml:"port,omitempty"`
	Username     string            `yaml:"username,omitempty"`
	Key          string            `yaml:"key,omitempty"` // ssh private key file; proxy: PEM of a client certificate and its key
	PasswordFile string            `yaml:"password_file,omitempty"`
	KnownHosts   string            `yaml:"known_hosts,omitempty"`
	CAFile       string            `yaml:"ca_file,omitempty"`
	URL          Strings           `yaml:"url,omitempty"`      // one, or several management addresses
	Insecure     bool              `yaml:"insecure,omitempty"` // infinibox: do not verify the certificate
	Timezones    map[string]string `yaml:"timezones,omitempty"`
	CLI          string            `yaml:"cli,omitempty"`     // path of the vendor's command line
	PWF          string            `yaml:"pwf,omitempty"`     // its password file
	MaxCLI       int               `yaml:"max_cli,omitempty"` // sessions at once
	Piped        bool              `yaml:"piped,omitempty"`   // method ssh: commands go to a shell's standard input
}

// Resource is one replicated thing. Exactly one of the driver fields is set.
type Resource struct {
	Name   string
	Driver string // lvm, hp3par, rbd, infinibox, hp3parsnap, or the name of a plug-in
	At     Pos

	LVM        *LVM
	HP3PAR     *HP3PAR
	RBD        *RBD
	InfiniBox  *InfiniBox
	HP3PARSnap *HP3PARSnap
	Plugin     *Plugin
}

// Names of the drivers that are built in.
const (
	DriverLVM        = "lvm"
	DriverHP3PAR     = "hp3par"
	DriverRBD        = "rbd"
	DriverInfiniBox  = "infinibox"
	DriverHP3PARSnap = "hp3parsnap"
)

// Drivers are the drivers that are built in.
func Drivers() []string {
	return []string{DriverLVM, DriverHP3PAR, DriverRBD, DriverInfiniBox, DriverHP3PARSnap}
}

// Sites are the resource's sites, home first; LVM: "source" and the target's host.
func (r Resource) Sites() []string {
	switch {
	case r.LVM != nil:
		return r.LVM.Sites()
	case r.HP3PAR != nil:
		return r.HP3PAR.Sites.Names()
	case r.RBD != nil:
		return r.RBD.Sites.Names()
	case r.InfiniBox != nil:
		return r.InfiniBox.Sites.Names()
	case r.Plugin != nil:
		return r.Plugin.Sites.Names()
	}
	return nil
}

// Mode is the configured mode; empty where the driver has none.
func (r Resource) Mode() string {
	switch {
	case r.HP3PAR != nil:
		return r.HP3PAR.Mode
	case r.RBD != nil:
		return r.RBD.Mode
	case r.InfiniBox != nil:
		return r.InfiniBox.Mode
	case r.LVM != nil:
		return "async"
	}
	return ""
}

// SyncMaxDelay is the age from which on a copy is too old; 0: not set.
func (r Resource) SyncMaxDelay() Duration {
	switch {
	case r.LVM != nil:
		return r.LVM.SyncMaxDelay
	case r.HP3PAR != nil:
		return r.HP3PAR.SyncMaxDelay
	case r.RBD != nil:
		return r.RBD.SyncMaxDelay
	case r.InfiniBox != nil:
		return r.InfiniBox.SyncMaxDelay
	case r.HP3PARSnap != nil:
		return r.HP3PARSnap.SyncMaxDelay
	case r.Plugin != nil:
		return r.Plugin.SyncMaxDelay
	}
	return 0
}

// LVM is a logical volume that is replicated to another host.
type LVM struct {
	Source          string      `yaml:"source"`                     // block device of the logical volume
	SnapSize        SnapSize    `yaml:"snap_size,omitempty"`        // default 10%
	SnapExtend      *SnapExtend `yaml:"snap_extend,omitempty"`      // nil: snapshots are never extended
	SyncMaxDelay    Duration    `yaml:"sync_max_delay,omitempty"`   // default 1d3h
	ChunkSize       Size        `yaml:"chunk_size,omitempty"`       // of snapshots, 4 KiB to 512 KiB; default LVM's
	Codec           string      `yaml:"codec,omitempty"`            // auto (default), none, s2, zstd
	SubChunk        string      `yaml:"sub_chunk,omitempty"`        // auto (default), always, never
	Direct          bool        `yaml:"direct,omitempty"`           // write the target without a journal
	Protect         string      `yaml:"protect,omitempty"`          // journal (default), snapshot
	History         int         `yaml:"history,omitempty"`          // undo deltas that the target keeps
	ProgressTimeout Duration    `yaml:"progress_timeout,omitempty"` // default 5m
	// OpenSVCState is the path of the `date;uuid` file of a pair adopted from OpenSVC,
	// the same on both ends; empty: not adopted.
	OpenSVCState string      `yaml:"opensvc_state,omitempty"`
	Ceph         *Ceph       `yaml:"ceph,omitempty"` // of a source that is an RBD image
	Targets      []LVMTarget `yaml:"targets"`        // exactly one, as yet
}

// SnapExtend is how far a snapshot may be extended while it fills.
type SnapExtend struct {
	Step SnapSize `yaml:"step"` // at a time, at least
	Max  SnapSize `yaml:"max"`  // of each of the two snapshots
}

// LVMTarget is one copy of a logical volume.
type LVMTarget struct {
	Host     string   `yaml:"host,omitempty"` // anything that ssh knows; empty: this host
	Device   string   `yaml:"device"`
	Command  []string `yaml:"command,omitempty"`   // how to start ddsgo there; default [ddsgo]
	StateDir string   `yaml:"state_dir,omitempty"` // its --state-dir; empty: its default
	Ceph     *Ceph    `yaml:"ceph,omitempty"`      // of a device that is an RBD image
	Keep     int      `yaml:"keep,omitempty"`      // generations that an RBD image keeps; default 7
}

// Names of the sites of LVM resources.
const (
	LVMSourceSite = "source"
	LVMLocalSite  = "local" // a target without host
)

// Sites are "source" and the target's host.
func (l *LVM) Sites() []string {
	sites := []string{LVMSourceSite}
	for _, t := range l.Targets {
		if t.Host == "" {
			sites = append(sites, LVMLocalSite)
		} else {
			sites = append(sites, t.Host)
		}
	}
	return sites
}

// HP3PAR is a remote copy group.
type HP3PAR struct {
	Mode             string            `yaml:"mode"` // async or sync
	SyncMaxDelay     Duration          `yaml:"sync_max_delay,omitempty"`
	Period           Duration          `yaml:"period,omitempty"`             // of a periodic group, for create
	ResumeAfterStart string            `yaml:"resume_after_start,omitempty"` // never (default) or prod
	Sites            Sites[HP3PARSite] `yaml:"sites"`
}

// HP3PARSite is one side of a remote copy group.
type HP3PARSite struct {
	Array   string `yaml:"array"`
	Group   string `yaml:"group"` // the group's name on this array
	CPG     string `yaml:"cpg,omitempty"`
	SnapCPG string `yaml:"snap_cpg,omitempty"`
	// Hosts shall see the volumes when this side is primary: after a failover they are told of, even
	// where the other array cannot be asked. Default: those that the other array exports to.
	Hosts []string `yaml:"hosts,omitempty"`
}

// RBD is one or more mirrored images.
type RBD struct {
	Mode         string         `yaml:"mode"` // journal or snapshot
	Pool         string         `yaml:"pool"`
	Namespace    string         `yaml:"namespace,omitempty"`
	Images       []string       `yaml:"images"`              // several are handled one by one; "*": all mirrored ones
	Schedules    []string       `yaml:"schedules,omitempty"` // mode snapshot: intervals as Ceph takes them (5m, 1h, 1d)
	SyncMaxDelay Duration       `yaml:"sync_max_delay,omitempty"`
	Sites        Sites[RBDSite] `yaml:"sites"`
}

// RBDSite is one cluster.
type RBDSite struct {
	Cluster           string `yaml:"cluster"`
	Conf              string `yaml:"conf,omitempty"`
	User              string `yaml:"user,omitempty"`
	PeerUser          string `yaml:"peer_user,omitempty"` // as whom the other side's rbd-mirror comes here; default admin
	MirrorAdminSocket string `yaml:"mirror_admin_socket,omitempty"`
}

// InfiniBox is a replica.
type InfiniBox struct {
	Mode         string               `yaml:"mode"`   // async or sync
	Entity       string               `yaml:"entity"` // volume, filesystem or cg
	Name         string               `yaml:"name"`
	Link         string               `yaml:"link"`
	Interval     Duration             `yaml:"interval,omitempty"`
	RPO          Duration             `yaml:"rpo,omitempty"`
	SyncMaxDelay Duration             `yaml:"sync_max_delay,omitempty"`
	Sites        Sites[InfiniBoxSite] `yaml:"sites"`
}

// InfiniBoxSite is one box.
type InfiniBoxSite struct {
	Array string `yaml:"array"`
	Pool  string `yaml:"pool,omitempty"`
	Name  string `yaml:"name,omitempty"` // of the entity there; default as Name
}

// HP3PARSnap is a set of snapshots on one array that `update` refreshes.
type HP3PARSnap struct {
	Array        string   `yaml:"array"`
	VVNames      []string `yaml:"vv_names"`
	SyncMaxDelay Duration `yaml:"sync_max_delay,omitempty"`
}

// Plugin is a resource of a driver outside this program. Config and the settings of
// the sites are passed on unread.
type Plugin struct {
	Mode         string                `yaml:"mode,omitempty"`
	SyncMaxDelay Duration              `yaml:"sync_max_delay,omitempty"`
	Sites        Sites[map[string]any] `yaml:"sites"`
	Config       map[string]any        `yaml:"config,omitempty"`
}

// Path is the configuration file that a command reads: the flag, DDSGO_CONFIG, or the
// default.
func Path(flag string, getenv func(string) string) string {
	if flag != "" {
		return flag
	}
	if p := getenv("DDSGO_CONFIG"); p != "" {
		return p
	}
	return DefaultPath
}

// DefaultPath is the configuration file where neither flag nor environment names one.
const DefaultPath = "/etc/ddsgo/ddsgo.yaml"

// confDir is the directory of further files beside the configuration file.
func confDir(path string) string { return filepath.Join(filepath.Dir(path), "conf.d") }
