package config

import "strings"

// ImagePrefix begins a source or a target's device that is an RBD image: rbd:POOL/IMAGE.
const ImagePrefix = "rbd:"

// Ceph says how the cluster of an RBD image is reached.
type Ceph struct {
	Cluster string `yaml:"cluster,omitempty"` // default ceph
	Conf    string `yaml:"conf,omitempty"`    // default /etc/ceph/CLUSTER.conf
	User    string `yaml:"user,omitempty"`    // without "client."; default admin
}

// DefaultKeep is how many generations an image keeps as snapshots.
const DefaultKeep = 7

// MaxKeep bounds it: the list of them is one line of the image's metadata.
const MaxKeep = 256

// FromImage says that the source is an RBD image.
func (l *LVM) FromImage() bool { return strings.HasPrefix(l.Source, ImagePrefix) }

// ToImage says that the target is an RBD image.
func (l *LVM) ToImage() bool {
	return len(l.Targets) > 0 && strings.HasPrefix(l.Targets[0].Device, ImagePrefix)
}

// image checks POOL/IMAGE behind the prefix.
func (c *checks) image(device string, path ...string) {
	pool, name, ok := strings.Cut(strings.TrimPrefix(device, ImagePrefix), "/")
	bad := func(s string) bool {
		return s == "" || s[0] == '-' || strings.ContainsAny(s, "/@ \t\n\x00")
	}
	if !ok || bad(pool) || bad(name) {
		c.fail(path, "%q is no RBD image: write rbd:POOL/IMAGE", device)
	}
}

// ceph checks how a cluster is reached, and that this is said of images alone.
func (c *checks) ceph(ceph *Ceph, image bool, path ...string) {
	if ceph == nil {
		return
	}
	if !image {
		c.fail(path, "%s is for RBD images (rbd:POOL/IMAGE)", strings.Join(path, "."))
		return
	}
	for _, s := range []string{ceph.Cluster, ceph.User} {
		if strings.HasPrefix(s, "-") || strings.ContainsAny(s, "/ \t\n") {
			c.fail(path, "%s: %q must not start with - nor hold / or blanks", strings.Join(path, "."), s)
		}
	}
	if ceph.Conf != "" && !strings.HasPrefix(ceph.Conf, "/") {
		c.fail(path, "%s: conf is an absolute path", strings.Join(path, "."))
	}
}

// images checks what a leg with an RBD image at one end can have, and what it cannot.
func (r *LVM) images(c *checks) {
	c.ceph(r.Ceph, r.FromImage(), "ceph")
	if r.FromImage() {
		c.image(r.Source, "source")
		if !r.SnapSize.IsZero() {
			c.fail([]string{"snap_size"}, "snap_size is for logical volumes: snapshots of RBD images have no size")
		}
	}
	if r.FromImage() && (r.SnapExtend != nil || r.ChunkSize != 0) {
		c.fail([]string{"source"}, "snap_extend and chunk_size are for logical volumes: snapshots of RBD images have neither")
	}
	if !r.FromImage() && !r.ToImage() {
		return
	}
	for _, k := range []struct {
		set bool
		key string
	}{{r.OpenSVCState != "", "opensvc_state"}, {r.Direct, "direct"}, {r.Protect == "snapshot", "protect"}, {r.History > 0, "history"}, {r.SubChunk == "always", "sub_chunk"}} {
		if k.set {
			c.fail([]string{k.key}, "%s is for pairs of logical volumes: one end of this leg is an RBD image", k.key)
		}
	}
}

// image checks a target that is an RBD image.
func (t *LVMTarget) image(c *checks) {
	path := []string{"targets"}
	c.image(t.Device, path...)
	if t.Host != "" || len(t.Command) > 0 || t.StateDir != "" {
		c.fail(path, "targets: host, command and state_dir are not for RBD images, which are reached from the source's host")
	}
	if t.Keep < 0 || t.Keep > MaxKeep {
		c.fail(path, "targets: keep %d is not between 1 and %d", t.Keep, MaxKeep)
	}
	if t.Keep == 0 {
		t.Keep = DefaultKeep
	}
}
