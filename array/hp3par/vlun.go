package hp3par

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// toExport lists, after a change of direction, the exports that hosts had on the other array
// and do not have on the new primary's yet, each with the command that makes it. Nothing is
// exported by itself: a host that sees the volume on both sides at once is worse than one that
// has to be told.
func (v view) toExport() map[string]string {
	site := v.g.Site
	if site == "" {
		site = v.Primary()
	}
	if site == "" || !v.role(site).primary() {
		return nil // failback --prepare: the application still runs on the other side
	}
	peer := v.d.peer(site)
	have := v.facts(site)
	result := map[string]string{}
	if have.ExportsError != "" {
		result["exports"] = "not known at " + site + ": " + have.ExportsError
		return result
	}
	for _, x := range v.wanted(site, peer) {
		if slices.ContainsFunc(have.Exports, func(y export) bool { return y.Volume == x.Volume && y.Host == x.Host }) {
			continue
		}
		command := fmt.Sprintf("ddsgo array volume attach %s %s --host %s --param site=%s", v.d.c.Name, x.Volume, x.Host, site)
		if x.LUN >= 0 {
			command += " --param lun=" + strconv.Itoa(x.LUN)
		}
		result["export "+x.Volume+" to "+x.Host] = command
	}
	if why := v.unknownExports(site, peer); why != "" {
		result["exports"] = why
	}
	if len(result) == 0 {
		return nil
	}
	return result
}

// wanted are the exports that there should be at site: those of the peer at the beginning of the
// run, and one of each volume to each host that the configuration names.
func (v view) wanted(site, peer string) []export {
	base := v.Observation
	if v.g.Baseline != nil {
		base = *v.g.Baseline
	}
	here := v.localNames(site)
	var out []export
	hosts := v.d.site(site).Hosts
	for _, host := range hosts {
		for _, volume := range v.facts(site).Members {
			out = append(out, export{volume, v.sameLUN(base, peer, volume), host})
		}
	}
	if len(hosts) > 0 {
		return out
	}
	for _, x := range factsOf(base.Side(peer)).Exports {
		volume, member := here[x.Volume]
		if member && !strings.HasPrefix(x.Host, "-") && x.Host != "" {
			out = append(out, export{volume, x.LUN, x.Host})
		}
	}
	return out
}

// sameLUN is the number that the peer exports a volume with; -1: none.
func (v view) sameLUN(base array.Observation, peer, volume string) int {
	here := v.localNames(v.d.peer(peer))
	for _, x := range factsOf(base.Side(peer)).Exports {
		if here[x.Volume] == volume {
			return x.LUN
		}
	}
	return -1
}

// localNames are the members' names at site, by their names at the other one.
func (v view) localNames(site string) map[string]string {
	names := map[string]string{}
	local := v.facts(site).Members
	for _, m := range v.Members {
		for _, pair := range [][2]string{{m.Name, m.Peer}, {m.Peer, m.Name}} {
			if slices.Contains(local, pair[0]) {
				names[pair[1]] = pair[0]
			}
		}
	}
	return names
}

// unknownExports says what an operator has to find out alone.
func (v view) unknownExports(site, peer string) string {
	if len(v.d.site(site).Hosts) > 0 {
		return ""
	}
	base := v.Observation
	if v.g.Baseline != nil {
		base = *v.g.Baseline
	}
	s := base.Side(peer)
	why := s.Error
	if s.Reachable {
		why = factsOf(s).ExportsError
	}
	if why == "" {
		return ""
	}
	return fmt.Sprintf("which hosts %s exported to is not known (%s): export %s to them with ddsgo array volume attach %s VOLUME --host HOST; sites.%s.hosts names them for the next time",
		v.d.site(peer).Array.Name, why, strings.Join(v.facts(site).Members, ", "), v.d.c.Name, site)
}
