package hp3par

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// work is a change of a group's make-up under way: what is true now, and what was true when
// it began, in this run or in one that was cut off.
type work struct {
	view
	at, to  string // the primary's site, which is told everything, and the other one
	name    string // of the volume; empty: the group alone
	remote  string // of its copy
	vol     *volumeFacts
	copy    *volumeFacts
	mark    mark
	options options
}

// mark is what ddsgo notes in a volume's comment while it works on it, so that a run that was
// cut off can be finished or rolled back, by whom and where it may be. The comment
//
//	ddsgo:RESOURCE:new.nogroup
//
// says that the volume and the group did not exist when the work began.
type mark struct {
	there   bool
	made    bool // the volume was made by this work
	noGroup bool // and so was the group
	started bool // the group was Started
	removes bool // the work takes the volume out
}

// Words of a mark.
const (
	markNew     = "new"
	markOld     = "old"
	markNoGroup = "nogroup"
	markStarted = "started"
	markRemoves = "removes"
)

func (d *Driver) markPrefix() string { return "ddsgo:" + d.c.Name + ":" }

func (d *Driver) readMark(comment string) mark {
	words, ok := strings.CutPrefix(comment, d.markPrefix())
	list := strings.Split(words, ".")
	return mark{
		there: ok, made: ok && slices.Contains(list, markNew), noGroup: ok && slices.Contains(list, markNoGroup),
		started: ok && slices.Contains(list, markStarted), removes: ok && slices.Contains(list, markRemoves),
	}
}

func (d *Driver) writeMark(m mark) string {
	words := []string{markOld}
	if m.made {
		words[0] = markNew
	}
	for word, set := range map[string]bool{markNoGroup: m.noGroup, markStarted: m.started, markRemoves: m.removes} {
		if set {
			words = append(words, word)
		}
	}
	slices.Sort(words[1:])
	return d.markPrefix() + strings.Join(words, ".")
}

// lifeCycle plans the verbs that make and remove groups, members, volumes and exports.
func (v view) lifeCycle() (array.Plan, error) {
	if err := v.d.checkParams(v.g); err != nil {
		return array.Plan{}, err
	}
	switch v.g.Verb {
	case array.VolumeCreate:
		return v.makeVolume()
	case array.VolumeAttach:
		return v.attach()
	case array.VolumeDetach:
		return v.detach()
	}
	if err := v.changeable(); err != nil {
		return array.Plan{}, err
	}
	for _, s := range v.Sides {
		if st := v.status(s.Site); st == statusStarting || st == statusStopping {
			return waitFor("group %s to end being %s", v.d.site(s.Site).Group, st)
		}
	}
	w, err := v.work()
	if err != nil {
		return array.Plan{}, err
	}
	switch v.g.Verb {
	case array.Remove:
		return w.takeOut()
	case array.VolumeDelete:
		return w.deleteVolume()
	}
	return w.putIn()
}

// changeable refuses what no change of a group's make-up can begin with.
func (v view) changeable() error {
	name := v.d.c.Name
	for _, s := range v.Sides {
		switch {
		case !s.Reachable:
			return array.Unreachable(s.Site, errors.Join(ErrNoReply, errors.New(s.Error)))
		case s.Role == array.RoleUnknown, v.status(s.Site) == statusFailsafe:
			return array.Refuse("", "ddsgo status "+name, "group %s at %s is %s %s", v.d.site(s.Site).Group, s.Site, v.role(s.Site), v.status(s.Site))
		case v.role(s.Site).reversed():
			return array.Refuse("", "ddsgo failback "+name, "%s at %s is %s: members come and go in the natural direction only", v.d.site(s.Site).Group, s.Site, v.role(s.Site))
		}
	}
	if v.absent() {
		if v.g.Verb != array.Create && v.g.Verb != array.VolumeDelete {
			return array.Refuse("", "ddsgo array create "+name, "group %s does not exist at %s", v.d.site(v.Sides[0].Site).Group, v.Sides[0].Site)
		}
		return nil
	}
	if len(v.Primaries()) > 1 {
		return v.twoPrimaries("")
	}
	return nil
}

// creator is the site whose array makes the group: its name has no number there.
func (d *Driver) creator() (string, error) {
	for i, s := range d.c.Sites {
		other := d.c.Sites[1-i]
		if regexp.MustCompile(`^`+regexp.QuoteMeta(s.Group)+`\.r[0-9]+$`).MatchString(other.Group) && s.Array != other.Array {
			return s.Name, nil
		}
	}
	home, away := d.c.Sites[0], d.c.Sites[1]
	return "", badParam("sites."+away.Name+".group", "%q: an array names the copy of group %s %s.rNNNNN, with the decimal system id of %s (showsys)",
		away.Group, home.Group, home.Group, home.Array.Name)
}

// work finds out where a change of the group's make-up stands.
func (v view) work() (*work, error) {
	w := &work{view: v, name: v.g.Volume, at: v.Primary()}
	var err error
	if w.options, err = volumeOptions(v.g); err != nil {
		return nil, err
	}
	if w.at == "" {
		if w.at, err = v.d.creator(); err != nil {
			return nil, err
		}
	}
	w.to = v.d.peer(w.at)
	w.remote = v.g.Params[ParamRemote]
	for _, m := range v.Members {
		if m.Name == w.name && w.remote == "" {
			w.remote = m.Peer
		}
	}
	if w.remote == "" {
		w.remote = w.name
	}
	if f, ok := v.facts(w.at).Volumes[w.name]; ok {
		w.vol = &f
		w.mark = v.d.readMark(f.Comment)
	}
	if f, ok := v.facts(w.to).Volumes[w.remote]; ok {
		w.copy = &f
	}
	return w, nil
}

func (w *work) here() bool { return w.Side(w.at).Role != array.RoleNone }

func (w *work) member() bool {
	return w.name != "" && slices.Contains(w.facts(w.at).Members, w.name)
}

// before is the first observation of this run.
func (w *work) before() view {
	if w.g.Baseline == nil {
		return w.view
	}
	return view{*w.g.Baseline, w.d, w.g}
}

// Whether the group, the volume and its membership were there, and the group started, before
// the work began.
func (w *work) hadGroup() bool {
	return !w.mark.noGroup && w.before().Side(w.at).Role != array.RoleNone
}

func (w *work) hadVolume() bool {
	_, had := w.before().facts(w.at).Volumes[w.name]
	return had && !w.mark.made
}

func (w *work) hadMember() bool {
	return slices.Contains(w.before().facts(w.at).Members, w.name) && (!w.mark.there || w.mark.removes)
}

func (w *work) wasStarted() bool {
	return w.mark.started || w.before().started(w.at)
}

// others are the group's members besides the volume.
func (w *work) others() int {
	n := 0
	for _, m := range w.facts(w.at).Members {
		if m != w.name {
			n++
		}
	}
	return n
}

// step is the step of an operation of the life cycle.
func (w *work) step(op, words string) array.Step {
	with := map[string]string{argVolume: w.name, argRemote: w.remote, argTarget: w.d.site(w.to).Array.Name}
	switch op {
	case opMakeVolume:
		w.describe(with, w.at)
		with[argComment] = w.d.writeMark(mark{made: true, noGroup: !w.here(), started: w.wasStarted()})
	case opComment:
		with[argComment] = w.d.writeMark(mark{started: w.wasStarted(), noGroup: !w.hadGroup(), removes: w.g.Verb == array.Remove || w.g.Verb == array.VolumeDelete})
	case opMakeGroup:
		from, to := w.d.site(w.at), w.d.site(w.to)
		with = map[string]string{argTarget: to.Array.Name, argCPG: from.CPG, argSnapCPG: from.SnapCPG, argPeerCPG: to.CPG, argPeerSnp: to.SnapCPG, argMode: w.mode()}
	case opPeriod:
		with = map[string]string{argTarget: with[argTarget], argPeriod: strconv.Itoa(int(w.d.period().Seconds()))}
	case opAutoRecover:
		with = map[string]string{argTarget: with[argTarget]}
	}
	return w.stepWith(w.at, op, words, with)
}

// describe adds what a new volume shall be.
func (w *work) describe(with map[string]string, site string) {
	s := w.d.site(site)
	with[argCPG], with[argSnapCPG], with[argSizeMiB], with[argProv] = s.CPG, s.SnapCPG, strconv.FormatInt(w.options.sizeMiB, 10), w.options.prov
	if w.options.compression {
		with[argCompr] = "true"
	}
}

func (w *work) mode() string {
	switch {
	case w.d.c.Mode == "sync":
		return "sync"
	case w.g.Params[ParamMode] == "streaming":
		return asyncTarget
	}
	return periodicTarget
}

// stepWith makes a step of an operation that needs more than the group's name.
func (v view) stepWith(site, op, words string, with map[string]string) array.Step {
	a := act{op: op, group: v.d.site(site).Group, with: with}
	text, err := v.d.site(site).Array.t.text(a)
	if err != nil {
		text = err.Error()
	}
	args := map[string]string{"op": op, "group": a.group}
	for k, s := range with {
		if s != "" {
			args[k] = s
		}
	}
	return array.Step{ID: op + "@" + site, Site: site, Action: words, Command: text, Args: args}
}
