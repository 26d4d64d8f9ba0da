package rbd

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// CinderBackend is one Cinder back-end that replicates with RBD mirroring.
type CinderBackend struct {
	Name    string // the section of cinder.conf, "DEFAULT" when there is none
	Pool    string
	Conf    string // of the primary cluster
	User    string
	Cluster string // rbd_cluster_name, or from the name of Conf
	Targets []CinderTarget
}

// CinderTarget is one replication_device.
type CinderTarget struct{ BackendID, Conf, User, Pool string }

// CinderType is a volume type whose extra specs were in the input.
type CinderType struct {
	Name       string
	Backend    string // volume_backend_name
	Replicated bool   // replication_enabled = '<is> True'
}

// Cinder is what an import found. Warnings name what was mended or left out.
type Cinder struct {
	Backends []CinderBackend
	Types    []CinderType
	Warnings []string
}

// Cinder's defaults for an RBD back-end.
const (
	cinderPool = "rbd"
	cinderConf = "/etc/ceph/ceph.conf"
	cinderUser = "admin"
)

// maxCinderLine bounds a line of the input.
const maxCinderLine = 1 << 20

// ImportCinder reads a cinder.conf, or a part of one, and `cinder type-key` lines. It accepts what the
// documentation of the feature prints, a missing comma included, and says so.
func ImportCinder(r io.Reader) (Cinder, error) {
	p := cinderParser{backends: map[string]*CinderBackend{}, section: "DEFAULT"}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxCinderLine)
	for lines.Scan() {
		p.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return Cinder{}, fmt.Errorf("cinder configuration: %w", err)
	}
	p.flush()
	return p.finish()
}

type cinderParser struct {
	out        Cinder
	backends   map[string]*CinderBackend
	order      []string
	section    string
	key, value string
}

var (
	sectionLine = regexp.MustCompile(`^\s*\[([^\]]+)\]\s*$`)
	optionLine  = regexp.MustCompile(`^([A-Za-z_]\w*)\s*=\s*(.*)$`)
	typeKeyLine = regexp.MustCompile(`^\s*\$?\s*cinder\s+type-key\s+(\S+)\s+set\s+(.*)$`)
	deviceKeys  = []string{"backend_id", "conf", "user", "pool", "secret_uuid"}
)

func (p *cinderParser) line(s string) {
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
	case typeKeyLine.MatchString(s):
		p.flush()
		m := typeKeyLine.FindStringSubmatch(s)
		p.typeKey(m[1], m[2])
	case sectionLine.MatchString(s):
		p.flush()
		p.section = sectionLine.FindStringSubmatch(s)[1]
	case optionLine.MatchString(trimmed) && !continues(p.key, trimmed):
		p.flush()
		m := optionLine.FindStringSubmatch(trimmed)
		p.key, p.value = m[1], m[2]
	case p.key != "":
		p.value += "\n" + trimmed
	}
}

// continues says that a line inside a replication_device is one of its keys, not a new option.
func continues(key, line string) bool {
	k, _, _ := strings.Cut(line, ":")
	return key == "replication_device" && slices.Contains(deviceKeys, k)
}

func (p *cinderParser) backend() *CinderBackend {
	b := p.backends[p.section]
	if b == nil {
		b = &CinderBackend{Name: p.section}
		p.backends[p.section], p.order = b, append(p.order, p.section)
	}
	return b
}

func (p *cinderParser) flush() {
	key, value := p.key, p.value
	p.key, p.value = "", ""
	switch key {
	case "rbd_pool":
		p.backend().Pool = value
	case "rbd_ceph_conf":
		p.backend().Conf = value
	case "rbd_user":
		p.backend().User = value
	case "rbd_cluster_name":
		p.backend().Cluster = value
	case "replication_device":
		p.device(value)
	}
}

// device reads backend_id:X,conf:Y,... A line that ends without a comma is mended.
func (p *cinderParser) device(value string) {
	var pairs []string
	lines := strings.Split(value, "\n")
	for i, l := range lines {
		if i < len(lines)-1 && !strings.HasSuffix(strings.TrimSpace(l), ",") {
			p.warn("[%s] replication_device: a comma is missing after %q", p.section, strings.TrimSpace(l))
		}
		for pair := range strings.SplitSeq(l, ",") {
			if pair = strings.TrimSpace(pair); pair != "" {
				pairs = append(pairs, pair)
			}
		}
	}
	var t CinderTarget
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, ":")
		if !ok {
			p.warn("[%s] replication_device: %q is no KEY:VALUE", p.section, pair)
			continue
		}
		switch k = strings.TrimSpace(k); k {
		case "backend_id":
			t.BackendID = v
		case "conf":
			t.Conf = v
		case "user":
			t.User = v
		case "pool":
			t.Pool = v
		case "secret_uuid": // for the hypervisor
		default:
			p.warn("[%s] replication_device: unknown key %q", p.section, k)
		}
	}
	b := p.backend()
	b.Targets = append(b.Targets, t)
}

func (p *cinderParser) typeKey(name, spec string) {
	i := slices.IndexFunc(p.out.Types, func(t CinderType) bool { return t.Name == name })
	if i < 0 {
		p.out.Types, i = append(p.out.Types, CinderType{Name: name}), len(p.out.Types)
	}
	k, v, _ := strings.Cut(strings.TrimSpace(spec), "=")
	v = strings.Trim(v, `'"`)
	switch k {
	case "volume_backend_name":
		p.out.Types[i].Backend = v
	case "replication_enabled":
		p.out.Types[i].Replicated = v == "<is> True"
		if v != "<is> True" && v != "<is> False" {
			p.warn("type %s: replication_enabled=%q: Cinder knows only '<is> True' and '<is> False'", name, v)
		}
	}
}

func (p *cinderParser) warn(format string, args ...any) {
	p.out.Warnings = append(p.out.Warnings, fmt.Sprintf(format, args...))
}

// finish fills in defaults and drops what does not replicate.
func (p *cinderParser) finish() (Cinder, error) {
	for _, name := range p.order {
		b := p.backends[name]
		if len(b.Targets) == 0 {
			if b.Pool != "" {
				p.warn("[%s] has no replication_device: not replicated, left out", name)
			}
			continue
		}
		p.defaults(b)
		p.out.Backends = append(p.out.Backends, *b)
	}
	if len(p.out.Backends) == 0 {
		return p.out, fmt.Errorf("no RBD back-end with a replication_device found")
	}
	return p.out, nil
}

func (p *cinderParser) defaults(b *CinderBackend) {
	t := &b.Targets[0]
	if len(b.Targets) > 1 {
		p.warn("[%s] has %d replication devices; ddsgo mirrors to one, the first (%s)", b.Name, len(b.Targets), t.BackendID)
	}
	if t.Conf == "" {
		t.Conf = "/etc/ceph/" + t.BackendID + ".conf" // as Cinder
	}
	if b.Pool == "" {
		b.Pool = cinderPool
		if t.Pool != "" {
			b.Pool = t.Pool
			p.warn("[%s] rbd_pool is not in the input: taken from the replication device (%s)", b.Name, t.Pool)
		}
	}
	if t.Pool != "" && t.Pool != b.Pool {
		p.warn("[%s] pool %q here, %q at %s: mirroring needs the same name on both sides", b.Name, b.Pool, t.Pool, t.BackendID)
	}
	if b.Conf == "" {
		b.Conf = cinderConf
	}
	if b.User == "" {
		b.User = cinderUser
		p.warn("[%s] rbd_user is not in the input: %s", b.Name, cinderUser)
	}
	if t.User == "" {
		t.User = b.User
	}
	if b.Cluster == "" {
		b.Cluster = ClusterOfConf(b.Conf)
	}
}

// ClusterOfConf is the cluster's name that a configuration's path implies.
func ClusterOfConf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".conf") }
