package hp3par

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
)

func hostsOf(all []export, volume string) []string {
	var hosts []string
	for _, x := range all {
		if x.Volume == volume && !slices.Contains(hosts, x.Host) {
			hosts = append(hosts, x.Host)
		}
	}
	return hosts
}

// attach exports a volume to a host. Another host that has it is waited for, and then cut off.
func (v view) attach() (array.Plan, error) {
	host, err := v.host()
	if err != nil {
		return array.Plan{}, err
	}
	site, err := v.volumeSite()
	if err != nil {
		return array.Plan{}, err
	}
	delay, given, err := conflictDelay(v.g)
	if err != nil {
		return array.Plan{}, err
	}
	var mine, others []export
	for _, x := range v.facts(site).Exports {
		switch {
		case x.Volume != v.g.Volume:
		case x.Host == host:
			mine = append(mine, x)
		default:
			others = append(others, x)
		}
	}
	shared := v.g.Params[ParamShared] == "yes"
	if len(mine) > 0 && (len(others) == 0 || shared) {
		return array.Plan{Reached: true, Result: v.attached(site, mine[0])}, nil
	}
	if failed := v.refusedExport(site); failed != nil {
		return v.exportAgain(site, failed)
	}
	if err := v.exportable(site, host); err != nil {
		return array.Plan{}, err
	}
	if len(others) > 0 && !shared && !given {
		g := v.g
		g.Params = withParam(g.Params, ParamDelay, "30s")
		return array.Plan{}, array.Refuse("", g.Command(v.d.c.Name), "volume %s is exported to %s at %s; with a conflict delay these are waited for and then cut off", v.g.Volume, hostList(others), site)
	}
	if left := delay - v.At.Sub(v.begun()); len(others) > 0 && !shared && left > 0 {
		p, err := waitFor("%s to let go of %s; it is cut off in %s", hostList(others), v.g.Volume, left.Round(time.Second))
		p.Warnings = []string{fmt.Sprintf("%s has %s: after %s its export is taken away", hostList(others), v.g.Volume, delay)}
		return p, err
	}
	var p array.Plan
	if !shared {
		for _, x := range others {
			p.Steps = append(p.Steps, v.exportStep(opUnexport, site, x.Host, strconv.Itoa(x.LUN), "take the export to "+x.Host+" away"))
		}
	}
	if len(mine) == 0 {
		lun := v.g.Params[ParamLUN]
		if lun == "" {
			lun = autoLUN
		}
		p.Steps = append(p.Steps, v.exportStep(opExport, site, host, lun, "export "+v.g.Volume+" to "+host))
	}
	return p, nil
}

func (v view) host() (string, error) {
	if v.g.Params[ParamHost] == "" {
		return "", badParam(ParamHost, "is missing: --host HOST")
	}
	return v.g.Params[ParamHost], nil
}

// conflictDelay is how long other hosts may keep the volume, and whether anybody said so. A bare
// number is seconds, as in mountConflictDelay.
func conflictDelay(g array.Goal) (time.Duration, bool, error) {
	text := g.Params[ParamDelay]
	if text == "" {
		return 0, false, nil
	}
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, false, badParam(ParamDelay, "%q: write 30s or 5m", text)
	}
	return d, true, nil
}

func withParam(params map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, s := range params {
		if k != key {
			out[k] = s
		}
	}
	return out
}

func hostList(list []export) string {
	var hosts []string
	for _, x := range list {
		if !slices.Contains(hosts, x.Host) {
			hosts = append(hosts, x.Host)
		}
	}
	return strings.Join(hosts, ", ")
}

// begun is when this run read the arrays first.
func (v view) begun() time.Time {
	if v.g.Baseline == nil {
		return v.At
	}
	return v.g.Baseline.At
}

// exportable refuses what the array would, before anybody is cut off for it.
func (v view) exportable(site, host string) error {
	f := v.facts(site)
	lun := v.g.Params[ParamLUN]
	if n, err := strconv.Atoi(lun); lun != "" && (err != nil || n < 0 || n > maxLUN) {
		return badParam(ParamLUN, "%q is no LUN: 0 to %d", lun, maxLUN)
	}
	if _, ok := f.Volumes[v.g.Volume]; !ok {
		return array.Refuse("", "ddsgo array volume create "+v.d.c.Name+" "+v.g.Volume+" --size SIZE", "%s has no volume %s", v.d.site(site).Array.Name, v.g.Volume)
	}
	if !slices.Contains(f.Hosts, host) {
		return array.Refuse("", "ddsgo array inventory "+v.d.site(site).Array.Name, "%s knows no host %s; known: %s", v.d.site(site).Array.Name, host, strings.Join(f.Hosts, ", "))
	}
	if slices.Contains(f.Members, v.g.Volume) && v.role(site).secondary() {
		return array.Refuse("", "ddsgo status "+v.d.c.Name, "%s at %s is %s: a host could not write there", v.g.Volume, site, v.role(site))
	}
	for _, x := range f.Exports {
		if x.Host == host && x.Volume != v.g.Volume && strconv.Itoa(x.LUN) == lun {
			return array.Refuse("", "ddsgo array volume attach "+v.d.c.Name+" "+v.g.Volume+" --host "+host, "LUN %s of %s is volume %s", lun, host, x.Volume)
		}
	}
	return nil
}

const maxLUN = 16383

func (v view) exportStep(op, site, host, lun, words string) array.Step {
	s := v.stepWith(site, op, words, map[string]string{argVolume: v.g.Volume, argLUN: lun, argHost: host})
	s.ID += " " + host + " " + lun
	return s
}

// attached is what attach has to tell: who has the volume now, and who was cut off for it.
func (v view) attached(site string, x export) map[string]string {
	result := map[string]string{"host": x.Host, "lun": strconv.Itoa(x.LUN), "site": site}
	var cut []string
	for _, s := range v.g.Done {
		if s.Args["op"] == opUnexport && s.Outcome != array.OutcomeError && !slices.Contains(cut, s.Args[argHost]) {
			cut = append(cut, s.Args[argHost])
		}
	}
	if len(cut) > 0 {
		result["cut_off"] = strings.Join(cut, ", ")
	}
	return result
}

// refusedExport is the step of this run that the array refused.
func (v view) refusedExport(site string) *array.DoneStep {
	for i, s := range v.g.Done {
		if s.Site == site && s.Outcome == array.OutcomeError && !isUndo(s) {
			return &v.g.Done[i]
		}
	}
	return nil
}

// exportAgain gives back what was taken from others, after an export that the array refused.
func (v view) exportAgain(site string, failed *array.DoneStep) (array.Plan, error) {
	w := &work{view: v}
	var p array.Plan
	for _, s := range v.g.Done {
		lun, _ := strconv.Atoi(s.Args[argLUN]) // as the array gave it
		x := export{v.g.Volume, lun, s.Args[argHost]}
		if s.Args["op"] != opUnexport || s.Outcome == array.OutcomeError || slices.Contains(v.facts(site).Exports, x) {
			continue
		}
		back := v.exportStep(opExport, site, x.Host, s.Args[argLUN], "export "+v.g.Volume+" to "+x.Host+" again")
		back.ID = undoID + back.ID
		for _, done := range v.g.Done {
			if done.ID == back.ID && done.Outcome == array.OutcomeError {
				return p, w.gaveUp(failed, fmt.Sprintf("%s could not be done either (%s)", back.Command, done.Error))
			}
		}
		p.Steps = append(p.Steps, back)
	}
	if len(p.Steps) == 0 {
		return p, w.gaveUp(failed, "everything was undone")
	}
	return p, nil
}

// detach takes a volume's exports to a host away, at one site or wherever they are.
func (v view) detach() (array.Plan, error) {
	host, err := v.host()
	if err != nil {
		return array.Plan{}, err
	}
	var p array.Plan
	for _, s := range v.Sides {
		if site := v.g.Params[ParamSite]; site != "" && site != s.Site {
			continue
		}
		if !s.Reachable {
			return p, &array.Error{Kind: array.KindUnreachable, Site: s.Site, Reason: "no reply: " + s.Error + "; --param site=SITE names the other side alone"}
		}
		for _, x := range v.facts(s.Site).Exports {
			if x.Volume == v.g.Volume && x.Host == host {
				p.Steps = append(p.Steps, v.exportStep(opUnexport, s.Site, host, strconv.Itoa(x.LUN), "take the export to "+host+" away"))
			}
		}
	}
	if len(p.Steps) == 0 {
		return reached()
	}
	return p, nil
}
