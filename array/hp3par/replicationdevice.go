package hp3par

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys of the plug-in's configuration.
const (
	keyDevice     = "replication_device"
	keyBackendID  = "backend_id"
	keyReplMode   = "replication_mode"
	keyCPGMap     = "cpg_map"
	keySnapMap    = "snap_cpg_map"
	keySyncPeriod = "sync_period"
	keyWitness    = "quorum_witness_ip"
	keyURL        = "hpe3par_api_url"
	keyUser       = "hpe3par_username"
	keyPassword   = "hpe3par_password"
	keyCPG        = "hpe3par_cpg"
	keySANIP      = "san_ip"
	keySANLogin   = "san_login"
	keySANPass    = "san_password"
	keyISCSI      = "hpe3par_iscsi_ips"
	keyDriver     = "hpedockerplugin_driver"
)

func deviceOnlyKeys() []string {
	return []string{keyBackendID, keyReplMode, keyCPGMap, keySnapMap, keySyncPeriod, keyWitness}
}

func arrayKeys() []string {
	return []string{keyURL, keyUser, keyPassword, keySANIP, keySANLogin, keySANPass, keyISCSI}
}

func deviceKeys() []string { return append(deviceOnlyKeys(), arrayKeys()...) }

// unusedKeys are the plug-in's own: ddsgo has no use for them.
func unusedKeys() []string { return []string{"logging", "host_etcd_", "mount_prefix", "use_multipath"} }

// device is one replication_device: its values, each with its line.
type device struct {
	line   int
	values map[string]piece
}

// cutPair splits key:value, or key=value, which is not what is meant but what is printed.
func cutPair(text string) (key, value string, equals bool) {
	i := strings.IndexAny(text, ":=")
	if i < 0 {
		return strings.TrimSpace(text), "", false
	}
	return strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+1:]), text[i] == '='
}

// readDevice reads a replication_device. Between its pairs stands a comma, or the end of a line
// where the comma was forgotten.
func (d *dockerImport) readDevice(e entry) device {
	dev := device{line: e.line, values: map[string]piece{}}
	for i, line := range e.pieces {
		text := strings.TrimSpace(line.text)
		if i < len(e.pieces)-1 && !strings.HasSuffix(text, ",") {
			key, _, _ := cutPair(text[strings.LastIndex(text, ",")+1:])
			d.note(line.line, "%s: a comma is missing after %s", keyDevice, key)
		}
		for pair := range strings.SplitSeq(text, ",") {
			if pair = strings.TrimSpace(pair); pair != "" {
				d.devicePair(&dev, piece{pair, line.line})
			}
		}
	}
	return dev
}

func (d *dockerImport) devicePair(dev *device, p piece) {
	key, value, equals := cutPair(p.text)
	_, twice := dev.values[key]
	switch {
	case !slices.Contains(deviceKeys(), key) && key == p.text && dev.values[keyISCSI].text != "":
		d.fail(p.line, keyISCSI, "inside %s the addresses are separated by semicolons, not commas (%q)", keyDevice, key)
	case !slices.Contains(deviceKeys(), key):
		d.fail(p.line, key, "is no key of %s; known: %s", keyDevice, strings.Join(deviceKeys(), ", "))
	case twice:
		d.fail(p.line, key, "stands in line %d already", dev.values[key].line)
	case value == "" || strings.ContainsAny(value, " \t"):
		d.fail(p.line, key, "%q is no value: is a comma missing?", value)
	default:
		if equals {
			d.note(p.line, "%s: = stands after %s where : is meant", keyDevice, key)
		}
		dev.values[key] = piece{value, p.line}
	}
}

// backend translates a section.
func (d *dockerImport) backend(s *section) {
	var devices []device
	source := ""
	for _, e := range s.entries {
		if e.key != keyDevice {
			d.unused(e)
			continue
		}
		dev := d.readDevice(e)
		if id, only := dev.values[keyBackendID]; only && len(dev.values) == 1 && d.another(s, e) {
			d.note(dev.line, "%s names only %s %s, and another one follows: taken for the name of the source array", keyDevice, keyBackendID, id.text)
			source = id.text
			continue
		}
		devices = append(devices, dev)
	}
	if len(devices) == 0 {
		d.note(s.line, "[%s] has no %s: not replicated, left out", s.name, keyDevice)
		return
	}
	if len(devices) > 1 {
		d.note(devices[1].line, "[%s]: ddsgo replicates to one target, the first (%s)", s.name, devices[0].values[keyBackendID].text)
	}
	d.out.Backends = append(d.out.Backends, d.translate(s, devices[0], source))
}

// another says that a replication_device follows e.
func (d *dockerImport) another(s *section, e entry) bool {
	return slices.ContainsFunc(s.entries, func(x entry) bool { return x.key == keyDevice && x.line > e.line })
}

func (d *dockerImport) unused(e entry) {
	known := append(arrayKeys(), keyCPG, keyDriver)
	if slices.Contains(known, e.key) {
		return
	}
	for _, own := range unusedKeys() {
		if strings.HasPrefix(e.key, own) {
			d.note(e.line, "%s is the plug-in's own: not used", e.key)
			return
		}
	}
	d.note(e.line, "%s is not known: not used", e.key)
}

func (d *dockerImport) translate(s *section, dev device, source string) DockerBackend {
	b := DockerBackend{Name: s.name}
	here := func(key string) piece {
		e, _ := s.find(key)
		return piece{e.value, e.line}
	}
	there := func(key string) piece {
		p := dev.values[key]
		if p.line == 0 {
			p.line = dev.line
		}
		return p
	}
	b.Source, b.Target = d.array(here), d.array(there)
	b.Target.Name = d.required(there(keyBackendID), keyBackendID)
	d.mode(&b, there)
	cpgs := splitTrim(d.required(here(keyCPG), keyCPG), ",")
	b.Source.CPG, b.Target.CPG = d.pair(there(keyCPGMap), keyCPGMap)
	b.Source.SnapCPG, b.Target.SnapCPG = d.pair(there(keySnapMap), keySnapMap)
	if b.Source.CPG != "" && len(cpgs) > 0 && !slices.Contains(cpgs, b.Source.CPG) {
		d.fail(there(keyCPGMap).line, keyCPGMap, "maps from %s, and %s is %s", b.Source.CPG, keyCPG, strings.Join(cpgs, ","))
	}
	d.iscsi(&b, here, there)
	d.passwords(here, there)
	b.Source.Name = source
	if source == "" {
		b.Source.Name = b.Source.SANIP
		if u, err := url.Parse(b.Source.URL); b.Source.Name == "" && err == nil {
			b.Source.Name = u.Hostname()
		}
		d.note(s.line, "[%s] does not tell the source array's name: %s is taken; it must be the one that showrcopy targets shows at the target", s.name, b.Source.Name)
	}
	if w := there(keyWitness); w.text != "" {
		d.note(w.line, "%s is for Peer Persistence, where both arrays are active: not used", keyWitness)
	}
	return b
}

func (d *dockerImport) required(p piece, key string) string {
	if p.text == "" {
		d.fail(p.line, key, "is missing")
	}
	return p.text
}

// array reads what both arrays have.
func (d *dockerImport) array(get func(string) piece) DockerArray {
	a := DockerArray{
		URL: d.required(get(keyURL), keyURL), User: d.required(get(keyUser), keyUser),
		SANIP: get(keySANIP).text, SANLogin: get(keySANLogin).text,
	}
	if u, err := url.Parse(a.URL); a.URL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		d.fail(get(keyURL).line, keyURL, "%q is no address: write https://ARRAY:8080/api/v1", a.URL)
	}
	if !d.options.NoPasswords {
		a.Password, a.SANPassword = d.required(get(keyPassword), keyPassword), get(keySANPass).text
	}
	if (a.SANIP == "") != (a.SANLogin == "") {
		missing := keySANIP
		if a.SANIP != "" {
			missing = keySANLogin
		}
		d.required(get(missing), missing)
	}
	return a
}

func (d *dockerImport) mode(b *DockerBackend, there func(string) piece) {
	mode, period := there(keyReplMode), there(keySyncPeriod)
	switch mode.text {
	case "synchronous":
		b.Mode = "sync"
	case "asynchronous":
		b.Mode, b.Period = "async", DefaultPeriod
	case "streaming":
		b.Mode, b.Streaming = "async", true
	case "":
		d.required(mode, keyReplMode)
	default:
		d.fail(mode.line, keyReplMode, "%q: write synchronous, asynchronous or streaming", mode.text)
	}
	if period.text == "" {
		return
	}
	if mode.text != "asynchronous" {
		d.note(period.line, "%s means nothing where %s is %s", keySyncPeriod, keyReplMode, mode.text)
		return
	}
	n, err := strconv.Atoi(period.text)
	if p := time.Duration(n) * time.Second; err == nil && p >= MinPeriod && p <= MaxPeriod {
		b.Period = p
		return
	}
	d.fail(period.line, keySyncPeriod, "%q is not between 300 and 31622400 seconds", period.text)
}

// pair reads SOURCE:TARGET.
func (d *dockerImport) pair(p piece, key string) (from, to string) {
	if d.required(p, key) == "" {
		return "", ""
	}
	from, to, ok := strings.Cut(p.text, ":")
	if !ok || !plainWord.MatchString(from) || !plainWord.MatchString(to) || strings.Contains(to, ":") {
		d.fail(p.line, key, "%q: write SOURCE:TARGET", p.text)
		return "", ""
	}
	return from, to
}

// iscsi: with the iSCSI driver both arrays need addresses, in two spellings.
func (d *dockerImport) iscsi(b *DockerBackend, here, there func(string) piece) {
	driver, source, target := here(keyDriver), here(keyISCSI), there(keyISCSI)
	iscsi := strings.Contains(strings.ToLower(driver.text), "iscsi")
	switch {
	case driver.text == "":
		d.required(driver, keyDriver)
	case !iscsi && !strings.Contains(strings.ToLower(driver.text), "fc"):
		d.fail(driver.line, keyDriver, "%q is neither the FC nor the iSCSI driver", driver.text)
	case !iscsi && (source.text != "" || target.text != ""):
		d.note(max(source.line, 0), "%s is for iSCSI: not used", keyISCSI)
		return
	}
	if !iscsi {
		return
	}
	if strings.Contains(source.text, ";") {
		d.fail(source.line, keyISCSI, "outside %s the addresses are separated by commas, not semicolons", keyDevice)
	} else {
		b.Source.ISCSI = d.addresses(source, ",")
	}
	b.Target.ISCSI = d.addresses(target, ";")
	d.note(source.line, "%s: hosts are exported to by name; ddsgo does not log in to iSCSI targets", keyISCSI)
}

func (d *dockerImport) addresses(p piece, separator string) []string {
	if p.text == "" {
		d.fail(p.line, keyISCSI, "is missing: with the iSCSI driver both arrays need it")
		return nil
	}
	list := splitTrim(p.text, separator)
	for _, a := range list {
		if _, err := netip.ParseAddr(a); err != nil {
			d.fail(p.line, keyISCSI, "%q is no address", a)
		}
	}
	return list
}

// passwords that the plug-in has encrypted cannot be read without its pass-phrase. Both arrays' are,
// or neither's.
func (d *dockerImport) passwords(here, there func(string) piece) {
	if d.options.NoPasswords {
		return
	}
	for _, key := range []string{keyPassword, keySANPass} {
		source, target := here(key), there(key)
		for _, p := range []piece{source, target} {
			if encrypted(p.text) {
				d.fail(p.line, key, "is encrypted with a pass-phrase that ddsgo does not have: write the password itself, or leave passwords out (--no-passwords) and put them into password_file")
			}
		}
		if source.text != "" && target.text != "" && encrypted(source.text) != encrypted(target.text) {
			d.fail(target.line, key, "one array's is encrypted and the other one's is not: the plug-in wants both encrypted with the same pass-phrase, or neither")
		}
	}
}

// Sizes of what the plug-in's cipher makes.
const (
	cipherBlock   = 16
	cipherMinimum = 32 // characters, from which on no padding is needed to tell
)

// encrypted: the plug-in's tool prints base64 of whole ciphers; a password that people choose hardly
// ever ends in = or is as long as that.
func encrypted(text string) bool {
	if strings.HasPrefix(text, "ENC(") {
		return true
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || text == "" {
		return false
	}
	return strings.HasSuffix(text, "=") || len(text) >= cipherMinimum && len(raw)%cipherBlock == 0
}

func splitTrim(text, separator string) []string {
	var out []string
	for part := range strings.SplitSeq(text, separator) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
