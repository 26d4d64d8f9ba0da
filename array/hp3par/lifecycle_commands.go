package hp3par

import (
	"slices"

	"github.com/ddsgo/ddsgo/array"
)

var _ array.VolumeCommander = (*Driver)(nil)

// VolumeCommands implements array.VolumeCommander: every command line that the verbs on one volume
// may send, for rules of a proxy. LUNs are known beforehand only where the parameters name one.
func (d *Driver) VolumeCommands(method string, g array.Goal) ([]string, error) {
	base, err := d.Commands(method)
	if err != nil {
		return nil, err
	}
	if _, err := volumeOptions(g); err != nil {
		return nil, err
	}
	out := append(base, showHosts)
	for i := range d.c.Sites {
		lines, err := d.volumeLines(g, d.c.Sites[i].Name)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	slices.Sort(out[len(base):])
	return slices.Compact(out), nil
}

// marks are the notes that may stand in a comment.
func (d *Driver) marks() (made, found []string) {
	for _, m := range []mark{{noGroup: true}, {started: true}, {}} {
		found = append(found, d.writeMark(m))
		m.made = true
		made = append(made, d.writeMark(m))
	}
	return made, append(found, d.writeMark(mark{removes: true}), d.writeMark(mark{removes: true, started: true}))
}

func (d *Driver) volumeLines(g array.Goal, at string) ([]string, error) {
	w := &work{view: view{d: d, g: g}, at: at, to: d.peer(at), name: g.Volume, remote: g.Params[ParamRemote]}
	if w.remote == "" {
		w.remote = w.name
	}
	w.options, _ = volumeOptions(g) // checked by the caller
	var acts []act
	add := func(op string, change func(with map[string]string)) {
		s := w.step(op, "")
		with := s.Args
		if change != nil {
			change(with)
		}
		acts = append(acts, act{op: op, group: d.site(at).Group, with: with})
	}
	made, found := d.marks()
	if w.options.sizeMiB != 0 && d.site(at).CPG != "" {
		for _, m := range append(made, "") {
			add(opMakeVolume, func(with map[string]string) { with[argComment] = m })
		}
	}
	for _, m := range found {
		add(opComment, func(with map[string]string) { with[argComment] = m })
	}
	if creator, err := d.creator(); err == nil && creator == at && d.site(at).CPG != "" && d.site(w.to).CPG != "" {
		add(opMakeGroup, nil)
	}
	for _, op := range []string{opUncomment, opPeriod, opAutoRecover, opAdmit, opAdmitOld, opDismiss, opDismissBoth, opDropVolume} {
		add(op, nil)
	}
	if host := g.Params[ParamHost]; host != "" {
		lun := func(n string) func(map[string]string) {
			return func(with map[string]string) { with[argHost], with[argLUN] = host, n }
		}
		add(opExport, lun(autoLUN))
		if n := g.Params[ParamLUN]; n != "" {
			add(opExport, lun(n))
			add(opUnexport, lun(n))
		}
	}
	out := []string{showVolume + " " + w.name}
	if w.remote != w.name {
		out[0] += " " + w.remote
	}
	for _, a := range acts {
		line, err := a.cli()
		if err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, nil
}
