package hp3par

import (
	"fmt"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// takeOut makes a member a volume of its own again: remove. Its copy stays, or goes.
func (w *work) takeOut() (array.Plan, error) {
	copyWord := w.g.Params[ParamCopy]
	if copyWord != "" && copyWord != "keep" && copyWord != "delete" {
		return array.Plan{}, badParam(ParamCopy, "%q: write keep or delete", copyWord)
	}
	if w.isOut() && !w.owesStart() && (!w.mark.there || w.erred(opUncomment)) {
		return array.Plan{Reached: true, Result: w.outResult(), Warnings: w.leftMark()}, nil
	}
	if failed := w.failed(); failed != nil && !w.isOut() {
		return w.undo(failed)
	}
	dismiss := opDismiss
	if copyWord == "delete" {
		dismiss = opDismissBoth
	}
	p := array.Plan{Authoritative: w.at}
	w.leave(&p, dismiss)
	if w.vol != nil && (w.mark.there || w.planned(p, opComment)) {
		p.Steps = append(p.Steps, w.step(opUncomment, "remove ddsgo's note from the volume's comment"))
	}
	return p, nil
}

func (w *work) isOut() bool { return !w.member() }

// owesStart: the group was started before, and has members left to replicate.
func (w *work) owesStart() bool {
	return w.here() && w.wasStarted() && w.others() > 0 && !w.started(w.at)
}

func (w *work) outResult() map[string]string {
	result := map[string]string{"volume": w.name}
	if w.here() && len(w.facts(w.at).Members) == 0 {
		result["next"] = "ddsgo array delete " + w.d.c.Name // the group is empty
	}
	return result
}

// leave takes the volume out of the group and lets replication go on.
func (w *work) leave(p *array.Plan, dismiss string) {
	if w.isOut() {
		if w.owesStart() {
			p.Steps = append(p.Steps, w.step(opStart, "start replication again"))
		}
		return
	}
	if w.started(w.at) {
		if !w.mark.there && w.vol != nil && (w.vol.Comment == "" || w.g.Verb == array.VolumeDelete) {
			p.Steps = append(p.Steps, w.step(opComment, "note in the volume's comment what is under way"))
		}
		p.Steps = append(p.Steps, w.step(opStop, "stop replication, which members may not leave while it runs"))
	}
	p.Steps = append(p.Steps, w.step(dismiss, "take "+w.name+" out of the group"))
	if w.wasStarted() && w.others() > 0 {
		p.Steps = append(p.Steps, w.step(opStart, "start replication again"))
	}
}

// deleteVolume deletes a volume; a member with its copy, and the last member with the group.
func (w *work) deleteVolume() (array.Plan, error) {
	if site := w.g.Params[ParamSite]; site != "" && !w.member() && !w.mark.there {
		w.at, w.to = site, w.d.peer(site)
		w.vol = nil
		if f, ok := w.facts(site).Volumes[w.name]; ok {
			w.vol = &f
		}
	}
	if w.vol == nil {
		return reached()
	}
	if failed := w.failed(); failed != nil {
		if !w.isOut() {
			return w.undo(failed)
		}
		return array.Plan{}, w.gaveUp(failed, "the volume is out of its group; the same command goes on from there")
	}
	if err := w.deletable(); err != nil {
		return array.Plan{}, err
	}
	var p array.Plan
	if !w.isOut() && !w.mark.there && !w.started(w.at) {
		p.Steps = append(p.Steps, w.step(opComment, "note in the volume's comment what is under way"))
	}
	last := w.here() && w.others() == 0 && (w.member() || w.mark.removes)
	w.leave(&p, opDismissBoth)
	if last {
		p.Steps = append(p.Steps, w.step(opRemove, "remove the group, which has no other member"))
	}
	p.Steps = append(p.Steps, w.step(opDropVolume, "delete volume "+w.name))
	return p, nil
}

// deletable refuses to delete what is in use, or replicated, without a word about it.
func (w *work) deletable() error {
	name := w.d.c.Name
	if w.vol.Group != "" && !w.member() {
		return array.Refuse("", "ddsgo status "+name, "volume %s is a member of group %s", w.name, w.vol.Group)
	}
	if w.member() && !w.g.Force {
		forced := w.g
		forced.Force = true
		return array.Refuse("", forced.Command(name), "volume %s is replicated: its copy %s at %s would be deleted with it", w.name, w.remote, w.to)
	}
	for site, volume := range map[string]string{w.at: w.name, w.to: w.remote} {
		if site == w.to && !w.member() {
			continue
		}
		if hosts := hostsOf(w.facts(site).Exports, volume); len(hosts) > 0 {
			return array.Refuse("", fmt.Sprintf("ddsgo array volume detach %s %s --host %s", name, volume, hosts[0]),
				"volume %s at %s is exported to %s", volume, site, strings.Join(hosts, ", "))
		}
	}
	return nil
}

// makeVolume makes a volume that is no member of anything.
func (v view) makeVolume() (array.Plan, error) {
	site, err := v.volumeSite()
	if err != nil {
		return array.Plan{}, err
	}
	w := &work{view: v, at: site, to: v.d.peer(site), name: v.g.Volume}
	if w.options, err = volumeOptions(v.g); err != nil {
		return array.Plan{}, err
	}
	have, there := v.facts(site).Volumes[w.name]
	switch {
	case w.options.sizeMiB == 0:
		return array.Plan{}, badParam(ParamSize, "is missing: --size 10G")
	case there && have.SizeMiB == w.options.sizeMiB:
		return reached()
	case there:
		return array.Plan{}, array.Refuse("", "ddsgo array show "+v.d.c.Name, "volume %s exists at %s with %d MiB, not %d", w.name, site, have.SizeMiB, w.options.sizeMiB)
	case v.d.site(site).CPG == "":
		return array.Plan{}, badParam("sites."+site+".cpg", "is missing: where shall new volumes be?")
	}
	with := map[string]string{argVolume: w.name}
	w.describe(with, site)
	return steps("", v.stepWith(site, opMakeVolume, "create volume "+w.name, with))
}

// volumeSite is the site that a verb on one volume is for: the one that is named, else the
// primary's, else the one that was failed over, else where the group is made.
func (v view) volumeSite() (string, error) {
	site := v.g.Params[ParamSite]
	if site == "" {
		site = v.Primary()
	}
	for _, s := range v.Sides {
		if site == "" && v.role(s.Site) == primaryRev {
			site = s.Site
		}
	}
	if site == "" && v.absent() {
		var err error
		if site, err = v.d.creator(); err != nil {
			return "", err
		}
	}
	if site == "" {
		return "", array.Refuse("", "ddsgo status "+v.d.c.Name, "no side is primary, or it cannot be read; name the side with --param site=SITE")
	}
	if s := v.Side(site); !s.Reachable {
		return "", array.Unreachable(site, fmt.Errorf("%w: %s", ErrNoReply, s.Error))
	}
	return site, nil
}
