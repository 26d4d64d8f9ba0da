package hp3par

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// putIn makes the group and the volume where they are missing, and the volume a member: create
// and add. A stage that the array refuses undoes the stages before it.
func (w *work) putIn() (array.Plan, error) {
	if done, result := w.isIn(); done {
		return array.Plan{Reached: true, Result: result, Warnings: w.leftMark()}, nil
	}
	if failed := w.failed(); failed != nil {
		return w.undo(failed)
	}
	if w.half() {
		return waitFor("group %s to show at %s", w.d.site(w.to).Group, w.to)
	}
	if err := w.admissible(); err != nil {
		return array.Plan{}, err
	}
	p := array.Plan{Authoritative: w.at}
	add := func(needed bool, op, words string) {
		if needed {
			p.Steps = append(p.Steps, w.step(op, words))
		}
	}
	in := w.name == "" || w.member()
	add(w.name != "" && w.vol == nil, opMakeVolume, "create volume "+w.name)
	if w.vol != nil && !in && !w.mark.there && (!w.here() || w.started(w.at)) {
		w.noteBefore(&p)
	}
	add(!w.here(), opMakeGroup, "create the group on both arrays")
	add(w.setsPeriod(), opPeriod, "set the period")
	add(w.shapes() && !w.autoRecovers(), opAutoRecover, "set the policy auto_recover")
	add(!in && w.started(w.at), opStop, "stop replication, which members may not join while it runs")
	if !in {
		w.admit(&p)
	}
	add(w.wantsStart() && (!in || !w.started(w.at)), opStart, "start replication")
	add(w.vol != nil && w.mark.there || w.vol == nil && w.name != "" || w.planned(p, opComment), opUncomment, "remove ddsgo's note from the volume's comment")
	return p, nil
}

func (w *work) planned(p array.Plan, op string) bool {
	return slices.ContainsFunc(p.Steps, func(s array.Step) bool { return s.Args["op"] == op })
}

// noteBefore writes the mark of a volume that exists, unless it has a comment of its own: then a
// run that is cut off leaves the group stopped, and the next one says so.
func (w *work) noteBefore(p *array.Plan) {
	if w.vol.Comment != "" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("volume %s has a comment, so that nothing is noted there: if this run is cut off, look whether group %s is started", w.name, w.d.site(w.at).Group))
		return
	}
	p.Steps = append(p.Steps, w.step(opComment, "note in the volume's comment what is under way"))
}

// isIn says whether create or add has reached its goal, and what it has to tell then.
func (w *work) isIn() (bool, map[string]string) {
	noted := w.mark.there && !w.erred(opUncomment)
	if !w.here() || w.name != "" && !w.member() || noted || w.setsPeriod() || w.shapes() && !w.autoRecovers() {
		return false, nil
	}
	if w.wantsStart() && !w.started(w.at) {
		return false, nil
	}
	result := map[string]string{"group": w.d.site(w.at).Group, "peer_group": w.d.site(w.to).Group}
	switch {
	case w.name != "":
		result["volume"], result["copy"] = w.name, w.remote
	case len(w.facts(w.at).Members) == 0:
		result["next"] = "ddsgo array add " + w.d.c.Name + " VOLUME --size SIZE"
	}
	if w.name != "" && !w.started(w.at) {
		result["next"] = "ddsgo resume " + w.d.c.Name
	}
	return true, result
}

func (w *work) leftMark() []string {
	if !w.mark.there {
		return nil
	}
	return []string{fmt.Sprintf("volume %s keeps ddsgo's note as its comment: %s", w.name, w.vol.Comment)}
}

// shapes: create sees to the group's settings, and so does whoever made it.
func (w *work) shapes() bool { return w.g.Verb == array.Create }

func (w *work) setsPeriod() bool {
	if !w.shapes() || w.g.DidOK(opPeriod+"@"+w.at) || w.d.c.Mode == "sync" || w.mode() == asyncTarget || w.here() && w.Mode == modeAsync {
		return false
	}
	now := w.facts(w.at).Period
	if w.here() && now != 0 && w.d.c.Period == 0 {
		return false // nobody asks for another one
	}
	return now != int64(w.d.period().Seconds())
}

// autoRecovers: the policy is set on both sides; or the array has just said so, whatever it shows.
func (w *work) autoRecovers() bool {
	for _, s := range w.Sides {
		policies, _ := s.Native["policies"].([]string)
		if !slices.Contains(policies, "auto_recover") {
			return w.g.DidOK(opAutoRecover + "@" + w.at)
		}
	}
	return true
}

// wantsStart: replication runs at the end if it ran before, or if there was none.
func (w *work) wantsStart() bool {
	if w.g.NoStart || w.name == "" {
		return false
	}
	return w.wasStarted() || !w.hadGroup() || w.before().status(w.at) == statusNew
}

// admissible refuses what cannot end well before anything is done.
func (w *work) admissible() error {
	s := w.d.site(w.at)
	create := "ddsgo array create " + w.d.c.Name + " " + w.name
	missing := ""
	for _, c := range w.d.c.Sites {
		if c.CPG == "" && (!w.here() || w.vol == nil && c.Name == w.at && w.name != "") {
			missing = "sites." + c.Name + ".cpg"
		}
	}
	from, to := w.d.site(w.at), w.d.site(w.to)
	switch {
	case missing != "":
		return badParam(missing, "is missing: where shall new volumes be?")
	case !w.here() && (from.SnapCPG == "") != (to.SnapCPG == ""):
		return badParam("snap_cpg", "is set for one site and not for the other: an array wants both or neither")
	case w.here() && w.Side(w.to).Role == array.RoleNone:
		return w.misnamed()
	case w.name == "":
	case w.vol == nil && w.options.sizeMiB == 0:
		return array.Refuse("", create+" --size SIZE", "%s has no volume %s", s.Array.Name, w.name)
	case w.vol != nil && w.options.sizeMiB != 0 && w.vol.SizeMiB != w.options.sizeMiB:
		return array.Refuse("", "ddsgo array show "+w.d.c.Name, "volume %s exists with %d MiB, not %d", w.name, w.vol.SizeMiB, w.options.sizeMiB)
	case w.vol != nil && w.vol.Group != "" && w.vol.Group != s.Group:
		return array.Refuse("", "ddsgo array show "+w.d.c.Name, "volume %s is in group %s", w.name, w.vol.Group)
	case w.copy != nil && !w.member() && w.copy.Group != "":
		return array.Refuse("", "ddsgo array add "+w.d.c.Name+" "+w.name+" --param remote=NAME", "volume %s at %s is in group %s", w.remote, w.to, w.copy.Group)
	case w.vol != nil && w.copy != nil && !w.member() && w.vol.SizeMiB != w.copy.SizeMiB:
		return array.Refuse("", "ddsgo array show "+w.d.c.Name, "volumes %s (%d MiB) and %s at %s (%d MiB) do not have the same size", w.name, w.vol.SizeMiB, w.remote, w.to, w.copy.SizeMiB)
	}
	if !w.here() && w.Link == array.LinkDown {
		return w.linked(w.to)
	}
	return nil
}

// misnamed: one array has the group and the other one has it not, under this name.
func (w *work) misnamed() error {
	to := w.d.site(w.to)
	if twins := w.facts(w.to).Twins; len(twins) > 0 {
		return badParam("sites."+w.to+".group", "%s has named the group %s: write that, not %s", to.Array.Name, strings.Join(twins, " or "), to.Group)
	}
	return array.Refuse("", "ddsgo status "+w.d.c.Name, "group %s does not exist at %s", to.Group, w.to)
}

// admit adds the step that makes the volume a member. A copy that exists is overwritten.
func (w *work) admit(p *array.Plan) {
	if w.copy == nil {
		p.Steps = append(p.Steps, w.step(opAdmit, "make "+w.name+" a member, and its copy "+w.remote))
		return
	}
	s := w.step(opAdmitOld, "make "+w.name+" a member; "+w.remote+" at "+w.to+" is overwritten")
	s.Overwrites = w.to
	p.Steps = append(p.Steps, s)
	p.Overwrites = append(p.Overwrites, array.Overwrite{Site: w.to})
}

// failed is the stage that an array refused in this run, and that still is not done: nil if
// there is none. A note that could not be removed is no such stage.
func (w *work) failed() *array.DoneStep {
	for i := range w.g.Done {
		s := &w.g.Done[i]
		if s.Outcome == array.OutcomeError && s.Args["op"] != opUncomment && !isUndo(*s) {
			return s
		}
	}
	if w.half() && (len(w.facts(w.to).Twins) > 0 || w.g.ObservedSince > peerLooks) {
		return &array.DoneStep{Error: w.misnamed().Error()}
	}
	for _, s := range w.g.Done {
		if isUndo(s) {
			return &array.DoneStep{Error: s.Args[argWhy]} // what has begun to be undone is undone
		}
	}
	return nil
}

// peerLooks is how often the peer is read, at growing intervals, until the group that was made
// at its side is believed not to be there.
const peerLooks = 5

// half: this work has made the group, and the peer does not show it under its name.
func (w *work) half() bool {
	mine := w.mark.noGroup || w.g.Did(opMakeGroup+"@"+w.at)
	return w.here() && mine && w.Side(w.to).Role == array.RoleNone
}

func (w *work) erred(op string) bool {
	return slices.ContainsFunc(w.g.Done, func(s array.DoneStep) bool { return s.Args["op"] == op && s.Outcome == array.OutcomeError })
}

// undoID begins the identifiers of steps that undo.
const undoID = "undo "

func isUndo(s array.DoneStep) bool { return strings.HasPrefix(s.ID, undoID) }

// undo takes back what this work has done, last stage first, and ends the run with the reason.
func (w *work) undo(failed *array.DoneStep) (array.Plan, error) {
	p := array.Plan{Authoritative: w.at}
	add := func(needed bool, op, words string) {
		if needed {
			s := w.step(op, words)
			s.ID, s.Args[argWhy] = undoID+s.ID, failed.Error
			p.Steps = append(p.Steps, s)
		}
	}
	joined := w.member() && !w.hadMember()
	dismiss := opDismissBoth
	if w.g.Did(opAdmitOld + "@" + w.at) {
		dismiss = opDismiss
	}
	mine := w.here() && !w.hadGroup() && w.others() == 0
	add(joined && w.started(w.at), opStop, "stop replication again")
	add(joined, dismiss, "take "+w.name+" out again")
	add(mine, opRemove, "remove the group again")
	left := len(w.facts(w.at).Members)
	if joined {
		left = w.others()
	}
	add(w.here() && !mine && w.wasStarted() && left > 0 && (joined || !w.started(w.at)), opStart, "start replication again, as it was")
	made := w.vol != nil && !w.hadVolume()
	add(made, opDropVolume, "remove volume "+w.name+" again")
	add(!made && w.vol != nil && w.mark.there, opUncomment, "remove ddsgo's note from the volume's comment")
	if len(p.Steps) == 0 {
		return p, w.gaveUp(failed, "everything was undone")
	}
	for _, s := range w.g.Done {
		if isUndo(s) && s.Outcome == array.OutcomeError {
			var left []string
			for _, s := range p.Steps {
				left = append(left, s.Command)
			}
			return p, w.gaveUp(failed, fmt.Sprintf("%s could not be done either (%s); left to do: %s", s.Command, s.Error, strings.Join(left, "; ")))
		}
	}
	return p, nil
}

// gaveUp is the end of a run whose stage an array refused.
func (w *work) gaveUp(failed *array.DoneStep, how string) error {
	reason := failed.Error + "; " + how
	if failed.Command != "" {
		reason = failed.Command + ": " + reason
	}
	return &array.Error{Kind: array.KindArray, Reason: reason, Next: w.g.Command(w.d.c.Name)}
}
