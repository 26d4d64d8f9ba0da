package config

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// resource reads one resource: first its driver, then the keys that this driver knows.
func (l *loader) resource(name string, p *ast.MappingValueNode) {
	if old, ok := l.cfg.Resources[name]; ok {
		l.fail(nodeError(p.Key, "resource %q is defined already in %s", name, old.At))
		return
	}
	r := Resource{Name: name, Driver: DriverLVM, At: l.pos(p.Key)}
	if d := find(p.Value, "driver"); d != nil {
		r.Driver = scalar(d)
		if why := badDriver(r.Driver); why != "" {
			e := nodeError(d, "%q is no driver: %s", r.Driver, why)
			e.Known = Drivers()
			l.fail(e)
			return
		}
	}
	ok := l.settings(&r, p)
	if r.Plugin != nil && ok {
		// A misspelt driver would pass as a plug-in: name the likely one.
		if near := nearest(r.Driver, Drivers()); near != "" {
			e := nodeError(find(p.Value, "driver"), "unknown driver %q (did you mean %s?)", r.Driver, near)
			e.Known = Drivers()
			l.fail(e)
		}
	}
	l.cfg.Resources[name] = r
	if ok {
		l.nodes[name] = placed{p.Value, l.path, l.lines}
	}
}

// badDriver says why a driver's name cannot be one.
func badDriver(d string) string {
	if filepath.IsAbs(d) && filepath.Clean(d) == d {
		return ""
	}
	if strings.Contains(d, "/") {
		return "a plug-in is a name or an absolute path"
	}
	return badName(d)
}

// settings reads the keys of the driver and checks their values.
func (l *loader) settings(r *Resource, p *ast.MappingValueNode) bool {
	type validator interface {
		validate(*ast.MappingValueNode) List
	}
	var v validator
	switch r.Driver {
	case DriverLVM:
		r.LVM = &LVM{}
		v = r.LVM
	case DriverHP3PAR:
		r.HP3PAR = &HP3PAR{}
		v = r.HP3PAR
	case DriverRBD:
		r.RBD = &RBD{}
		v = r.RBD
	case DriverInfiniBox:
		r.InfiniBox = &InfiniBox{}
		v = r.InfiniBox
	case DriverHP3PARSnap:
		r.HP3PARSnap = &HP3PARSnap{}
		v = r.HP3PARSnap
	default:
		r.Plugin = &Plugin{}
		v = r.Plugin
	}
	if !l.decodeResource(p.Value, v) {
		return false
	}
	errs := v.validate(p)
	l.failAll(errs)
	return len(errs) == 0
}

// decodeResource is decode with the key driver, which every resource has.
func (l *loader) decodeResource(n ast.Node, v any) bool {
	entries, ok := pairs(n)
	t := reflect.TypeOf(v).Elem()
	known := append([]string{"driver"}, keysOf(t)...)
	if !ok {
		l.fail(nodeError(n, "expected a mapping; known keys: %s", strings.Join(known, ", ")))
		return false
	}
	before := len(l.errs)
	for _, p := range entries {
		switch key := keyOf(p); {
		case key == "driver":
		case !slices.Contains(known, key):
			l.fail(unknownKey(p, known))
		default:
			l.failAll(checkKeys(p.Value, fieldOf(t, key)))
		}
	}
	if len(l.errs) > before {
		return false
	}
	if err := yaml.NodeToValue(n, v); err != nil {
		l.fail(fromYAML(err))
		return false
	}
	return true
}

// checks collects the defects of one mapping.
type checks struct {
	p    *ast.MappingValueNode
	errs List
}

func (c *checks) fail(path []string, format string, args ...any) *Error {
	n := at(c.p.Value, path...)
	if len(path) == 0 || n == c.p.Value {
		n = c.p.Key
	}
	e := nodeError(n, format, args...)
	c.errs = append(c.errs, e)
	return e
}

// required fails where a key has no value.
func (c *checks) required(value string, path ...string) {
	if value == "" {
		c.fail(path, "%s is missing", strings.Join(path, "."))
	}
}

// oneOf fails where a value is none of the known ones.
func (c *checks) oneOf(value string, known []string, path ...string) {
	if !slices.Contains(known, value) {
		e := c.fail(path, "%s: unknown value %q", strings.Join(path, "."), value)
		if value == "" {
			e.Msg = strings.Join(path, ".") + " is missing"
		}
		e.Known = known
	}
}

// pair fails unless there are exactly two sites with usable names.
func (c *checks) pair(sites []string) {
	if len(sites) != 2 {
		c.fail([]string{"sites"}, "sites names exactly two sites, home first; found %d", len(sites))
	}
	for _, s := range sites {
		if why := badName(s); why != "" {
			c.fail([]string{"sites", s}, "%q is no site name: %s", s, why)
		}
	}
}

func (a *Array) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.oneOf(a.Type, []string{"hp3par", "infinibox"}, "type")
	switch a.Type {
	case "hp3par":
		if a.Method == "" {
			a.Method = "ssh"
		}
		c.oneOf(a.Method, []string{"ssh", "cli", "proxy", "wsapi"}, "method")
		c.hp3parMethod(a)
	case "infinibox":
		if a.Method != "" {
			c.fail([]string{"method"}, "method is for arrays of type hp3par")
		}
		if len(a.URL) == 0 {
			c.fail([]string{"url"}, "url is missing")
		}
	}
	if a.Piped && a.Method != "ssh" {
		c.fail([]string{"piped"}, "piped is for method ssh: commands go to the standard input of a shell")
	}
	if a.Insecure && a.Type != "infinibox" {
		c.fail([]string{"insecure"}, "insecure is for arrays of type infinibox")
	}
	if a.Manager == "" {
		a.Manager = a.Name
	}
	if a.Port < 0 || a.Port > 65535 {
		c.fail([]string{"port"}, "port %d is not between 1 and 65535", a.Port)
	}
	if a.MaxCLI < 0 {
		c.fail([]string{"max_cli"}, "max_cli is negative")
	}
	if strings.HasPrefix(a.Manager, "-") || strings.HasPrefix(a.Username, "-") {
		c.fail([]string{"manager"}, "manager and username must not start with -")
	}
	for zone, off := range a.Timezones {
		if _, err := time.Parse("-07:00", off); err != nil {
			c.fail([]string{"timezones", zone}, "%q is no offset: write +01:00", off)
		}
	}
	return c.errs
}

// hp3parMethod checks what each method cannot do without. Passwords may come from the
// environment, so that their absence shows only when an array is asked.
func (c *checks) hp3parMethod(a *Array) {
	switch {
	case a.Method == "cli" && a.PWF == "":
		c.fail([]string{"method"}, "method cli needs pwf, the program's password file")
	case (a.Method == "ssh" || a.Method == "wsapi") && a.Username == "":
		c.fail([]string{"method"}, "method %s needs username", a.Method)
	}
}

// MaxHistory bounds how many undo deltas a target may be asked to keep.
const MaxHistory = 1000

func (r *LVM) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.required(r.Source, "source")
	if r.Source != "" && !filepath.IsAbs(r.Source) && !r.FromImage() {
		c.fail([]string{"source"}, "source is an absolute path, for instance /dev/vg0/appdata, or rbd:POOL/IMAGE")
	}
	r.images(c)
	if r.SnapSize.IsZero() && !r.FromImage() {
		r.SnapSize = SnapSize{Percent: 10}
	}
	r.SnapExtend.validate(c, r.SnapSize)
	if r.SyncMaxDelay == 0 {
		r.SyncMaxDelay = Duration(27 * time.Hour)
	}
	if r.ProgressTimeout == 0 {
		r.ProgressTimeout = Duration(5 * time.Minute)
	}
	if r.Codec == "" {
		r.Codec = "auto"
	}
	c.oneOf(r.Codec, []string{"auto", "none", "s2", "zstd"}, "codec")
	if r.SubChunk == "" {
		r.SubChunk = "auto"
	}
	c.oneOf(r.SubChunk, []string{"auto", "always", "never"}, "sub_chunk")
	if r.Protect == "" && !r.Direct {
		r.Protect = "journal"
	}
	switch {
	case r.Direct && r.Protect != "":
		c.fail([]string{"protect"}, "protect: %s: with direct: true the target is not protected", r.Protect)
	case !r.Direct:
		c.oneOf(r.Protect, []string{"journal", "snapshot"}, "protect")
	}
	switch {
	case r.History < 0 || r.History > MaxHistory:
		c.fail([]string{"history"}, "history %d is not between 0 and %d", r.History, MaxHistory)
	case r.History > 0 && r.Protect != "journal":
		c.fail([]string{"history"}, "history needs protect: journal: undo deltas are made from the journal")
	}
	if n := r.ChunkSize; n != 0 && (n < 4<<10 || n > 512<<10 || n&(n-1) != 0) {
		c.fail([]string{"chunk_size"}, "chunk_size %s: want a power of two from 4KiB to 512KiB", n)
	}
	if r.OpenSVCState != "" && !filepath.IsAbs(r.OpenSVCState) {
		c.fail([]string{"opensvc_state"}, "opensvc_state is an absolute path, the same on both ends")
	}
	switch len(r.Targets) {
	case 0:
		c.fail([]string{"targets"}, "targets is missing: one entry {host, device}")
	case 1:
		r.Targets[0].validate(c)
	default:
		c.fail([]string{"targets"}, "%d targets: several legs do not exist yet, a resource has one target (give each target its own resource and its own source)", len(r.Targets))
	}
	return c.errs
}

func (x *SnapExtend) validate(c *checks, size SnapSize) {
	if x == nil {
		return
	}
	if x.Step.IsZero() {
		c.fail([]string{"snap_extend"}, "snap_extend.step is missing: by how much to extend at a time, for instance 5%% or 1GiB")
	}
	if x.Max.IsZero() {
		c.fail([]string{"snap_extend"}, "snap_extend.max is missing: how large a snapshot may become, for instance 50%% or 20GiB")
		return
	}
	if (x.Max.Percent > 0) == (size.Percent > 0) && (x.Max.Percent <= size.Percent && x.Max.Bytes <= size.Bytes) {
		c.fail([]string{"snap_extend", "max"}, "snap_extend.max %s does not exceed snap_size %s: nothing could ever be extended", x.Max, size)
	}
}

func (t *LVMTarget) validate(c *checks) {
	path := []string{"targets"}
	switch {
	case t.Device == "":
		c.fail(path, "targets: device is missing")
	case strings.HasPrefix(t.Device, ImagePrefix):
		c.ceph(t.Ceph, true, path...)
		t.image(c)
		return
	case !filepath.IsAbs(t.Device):
		c.fail(path, "targets: device is an absolute path, for instance /dev/vg1/appdata, or rbd:POOL/IMAGE")
	}
	c.ceph(t.Ceph, false, "targets")
	if t.Keep != 0 {
		c.fail(path, "targets: keep is for RBD images")
	}
	if strings.HasPrefix(t.Host, "-") || strings.ContainsAny(t.Host, " \t\n") {
		c.fail(path, "targets: host %q: a host must not start with - or hold blanks", t.Host)
	}
	if t.Host == LVMSourceSite {
		c.fail(path, "targets: host %q is the name of the other site", t.Host)
	}
	if t.StateDir != "" && !filepath.IsAbs(t.StateDir) {
		c.fail(path, "targets: state_dir is an absolute path")
	}
	if len(t.Command) == 0 {
		t.Command = []string{"ddsgo"}
	}
}

// groupName is what an array takes as the name of a group.
var groupName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$`)

func (r *HP3PAR) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.oneOf(r.Mode, []string{"async", "sync"}, "mode")
	if r.ResumeAfterStart == "" {
		r.ResumeAfterStart = "never"
	}
	c.oneOf(r.ResumeAfterStart, []string{"never", "prod"}, "resume_after_start")
	if r.Period != 0 && r.Mode == "sync" {
		c.fail([]string{"period"}, "period is for mode async")
	}
	if r.Period != 0 && (r.Period.D() < 300*time.Second || r.Period.D() > 31622400*time.Second) {
		c.fail([]string{"period"}, "period %s is not between 300 and 31622400 seconds", r.Period)
	}
	c.pair(r.Sites.Names())
	for _, s := range r.Sites {
		c.required(s.Of.Array, "sites", s.Name, "array")
		c.required(s.Of.Group, "sites", s.Name, "group")
		if s.Of.Group != "" && !groupName.MatchString(s.Of.Group) {
			c.fail([]string{"sites", s.Name, "group"}, "sites.%s.group %q is no name of a group", s.Name, s.Of.Group)
		}
	}
	return c.errs
}

func (r *RBD) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.oneOf(r.Mode, []string{"journal", "snapshot"}, "mode")
	c.required(r.Pool, "pool")
	if len(r.Images) == 0 {
		c.fail([]string{"images"}, "images is missing: at least one image")
	}
	if r.Namespace != "" {
		c.fail([]string{"namespace"}, "namespaces are not supported yet")
	}
	if len(r.Schedules) > 0 && r.Mode == "journal" {
		c.fail([]string{"schedules"}, "schedules is for mode snapshot")
	}
	c.pair(r.Sites.Names())
	for _, s := range r.Sites {
		if s.Of.Cluster == "" && s.Of.Conf == "" {
			c.fail([]string{"sites", s.Name}, "sites.%s: cluster or conf is missing", s.Name)
		}
	}
	return c.errs
}

func (r *InfiniBox) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.oneOf(r.Mode, []string{"async", "sync"}, "mode")
	if r.Entity == "" {
		r.Entity = "volume"
	}
	c.oneOf(r.Entity, []string{"volume", "filesystem", "cg"}, "entity")
	c.required(r.Name, "name")
	if r.Mode == "sync" && (r.Interval != 0 || r.RPO != 0) {
		c.fail([]string{"interval"}, "interval and rpo are for mode async")
	}
	if r.Interval != 0 && r.RPO != 0 && r.RPO <= r.Interval {
		c.fail([]string{"rpo"}, "rpo %s must exceed interval %s", r.RPO, r.Interval)
	}
	c.pair(r.Sites.Names())
	for _, s := range r.Sites {
		c.required(s.Of.Array, "sites", s.Name, "array")
	}
	return c.errs
}

func (r *HP3PARSnap) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.required(r.Array, "array")
	if len(r.VVNames) == 0 {
		c.fail([]string{"vv_names"}, "vv_names is missing: at least one snapshot")
	}
	seen := map[string]bool{}
	for _, n := range r.VVNames {
		switch {
		case strings.HasPrefix(n, "set:"):
			c.fail([]string{"vv_names"}, "vv_names: %q is a set; name its snapshots, so that each can be checked", n)
		case badName(n) != "":
			c.fail([]string{"vv_names"}, "vv_names: %q is no name of a snapshot: %s", n, badName(n))
		case seen[n]:
			c.fail([]string{"vv_names"}, "vv_names: %q stands there twice", n)
		}
		seen[n] = true
	}
	return c.errs
}

func (r *Plugin) validate(p *ast.MappingValueNode) List {
	c := &checks{p: p}
	c.pair(r.Sites.Names())
	return c.errs
}
