package hp3par

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ddsgo/ddsgo/array"
)

// Parameters of the life cycle.
const (
	ParamSize         = "size"
	ParamProvisioning = "provisioning"   // thin (default), dedup, full
	ParamCompression  = "compression"    // true or false
	ParamRemote       = "remote"         // the volume's name at the other site; default the same
	ParamMode         = "mode"           // create: streaming, where mode is async and the array can
	ParamCopy         = "copy"           // remove: keep (default) or delete the other site's volume
	ParamHost         = "host"           // attach, detach
	ParamLUN          = "lun"            // attach; default: the array chooses
	ParamShared       = "shared"         // attach: yes, other hosts keep it, too
	ParamSite         = "site"           // where; default: the primary's site
	ParamDelay        = "conflict_delay" // attach: how long other hosts may keep it
)

// Provisioning types, in the words of the Docker plug-in.
const (
	provThin  = "thin"
	provDedup = "dedup"
	provFull  = "full"
)

// Limits of a periodic group's period, and what it is where nobody says.
const (
	MinPeriod     = 300 * time.Second
	MaxPeriod     = 31622400 * time.Second
	DefaultPeriod = 900 * time.Second
)

func badParam(key, format string, args ...any) error {
	return &array.Error{Kind: array.KindConfig, Reason: key + ": " + fmt.Sprintf(format, args...)}
}

// lifeCycleParams are the parameters that a verb knows.
func lifeCycleParams(v array.Verb) []string {
	return map[array.Verb][]string{
		array.Create:       {ParamSize, ParamProvisioning, ParamCompression, ParamRemote, ParamMode},
		array.Add:          {ParamSize, ParamProvisioning, ParamCompression, ParamRemote},
		array.Remove:       {ParamCopy},
		array.VolumeCreate: {ParamSize, ParamProvisioning, ParamCompression, ParamSite},
		array.VolumeDelete: {ParamSite},
		array.VolumeAttach: {ParamHost, ParamLUN, ParamShared, ParamSite, ParamDelay},
		array.VolumeDetach: {ParamHost, ParamSite},
	}[v]
}

// lifeCycleOfVolumes says that the verb is planned in this part of the driver.
func lifeCycleOfVolumes(v array.Verb) bool { return lifeCycleParams(v) != nil }

// checkParams refuses what means nothing to the verb or cannot be sent.
func (d *Driver) checkParams(g array.Goal) error {
	known := lifeCycleParams(g.Verb)
	for k, s := range g.Params {
		if !slices.Contains(known, k) {
			return badParam(k, "means nothing to %s of a 3PAR resource; known: %s", g.Verb, strings.Join(known, ", "))
		}
		if k != ParamSize && !plainWord.MatchString(s) {
			return badParam(k, "%q is nothing that an array takes", s)
		}
	}
	if g.Volume != "" && !plainWord.MatchString(g.Volume) {
		return badParam("volume", "%q is no name that an array takes", g.Volume)
	}
	if s := g.Params[ParamSite]; s != "" && s != d.c.Sites[0].Name && s != d.c.Sites[1].Name {
		return badParam(ParamSite, "unknown site %q; known: %s, %s", s, d.c.Sites[0].Name, d.c.Sites[1].Name)
	}
	_, err := volumeOptions(g)
	return err
}

// options are what a volume shall be.
type options struct {
	sizeMiB     int64 // 0: none is given, so none is made
	prov        string
	compression bool
}

const mib = 1 << 20

func volumeOptions(g array.Goal) (options, error) {
	o := options{prov: g.Params[ParamProvisioning]}
	if text := g.Params[ParamSize]; text != "" {
		n, err := parseSize(text)
		if err != nil {
			return o, err
		}
		o.sizeMiB = n
	}
	switch o.prov {
	case "":
		o.prov = provThin
	case provThin, provDedup, provFull:
	default:
		return o, badParam(ParamProvisioning, "%q: write thin, dedup or full", o.prov)
	}
	if text := g.Params[ParamCompression]; text != "" {
		on, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return o, badParam(ParamCompression, "%q: write True or False", text)
		}
		o.compression = on
	}
	if o.compression && o.prov == provFull {
		return o, badParam(ParamCompression, "a volume that is fully provisioned cannot be compressed: provisioning is thin or dedup")
	}
	return o, nil
}

// parseSize reads 10G or 512MiB, powers of 1024 as the array has them, and returns MiB.
func parseSize(text string) (int64, error) {
	iec := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "IB"), "B")
	if iec == "" || !strings.ContainsAny(iec[len(iec)-1:], "MGT") {
		return 0, badParam(ParamSize, "%q: write 10G or 512MiB", text)
	}
	n, err := humanize.ParseBytes(iec + "iB")
	if err != nil || n == 0 || n > 1<<60 {
		return 0, badParam(ParamSize, "%q: write 10G or 512MiB", text)
	}
	if n%mib != 0 {
		return 0, badParam(ParamSize, "%q is not a whole number of MiB, which is all that an array knows", text)
	}
	return int64(n / mib), nil
}

// period is what a new periodic group gets.
func (d *Driver) period() time.Duration {
	if d.c.Period == 0 {
		return DefaultPeriod
	}
	return d.c.Period
}
