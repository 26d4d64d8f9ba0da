package hp3par

import "github.com/ddsgo/ddsgo/array"

// swap makes g.Site primary and loses nothing.
func (v view) swap() (array.Plan, error) {
	to := v.g.Site
	if v.Primary() == to {
		return v.restart()
	}
	return v.move(to, true)
}

// restart starts replication at the end of a swap, where that is possible and wanted.
func (v view) restart() (array.Plan, error) {
	p := v.Primary()
	peer := v.d.peer(p)
	plain := v.role(p) == primary && v.role(peer) == secondary
	if v.g.NoStart || v.started(p) || v.Link != array.LinkUp || !v.AllReachable() || !plain {
		return reached()
	}
	return steps(p, v.step(p, opStart, "start replication"))
}

// move makes to primary instead of its peer: copy, stop, turn round, start.
func (v view) move(to string, copyFirst bool) (array.Plan, error) {
	if v.Primary() == "" && len(v.Primaries()) == 0 && v.AllReachable() {
		return v.promoteCut(to)
	}
	from, _, err := v.direction()
	if err != nil {
		return array.Plan{}, err
	}
	if err := v.linked(from); err != nil {
		return array.Plan{}, err
	}
	if mend := v.settleNatural(); mend != nil {
		return steps(from, mend...)
	}
	if v.role(from) == primaryRev {
		return v.moveReversed(from, to)
	}
	var p array.Plan
	if copyFirst {
		stopped := v.g.DidOK(opStop + "@" + from)
		if !v.started(from) && !stopped {
			return steps(from, append([]array.Step{v.step(from, opStart, "start replication")}, v.turn(from, to)...)...)
		}
		var done bool
		if p, done = v.copyNow(from); !stopped && !done && p.Wait != nil {
			return p, nil
		}
		if stopped {
			p.Steps = nil
		}
	}
	p.Authoritative, p.Wait = from, nil
	p.Steps = append(p.Steps, v.turn(from, to)...)
	return p, nil
}

// turn are the last steps of a planned change of direction.
func (v view) turn(from, to string) []array.Step {
	var out []array.Step
	if v.started(from) || !v.g.Did(opStop+"@"+from) && v.g.Verb != array.Start {
		out = append(out, v.step(from, opStop, "stop replication"))
	}
	out = append(out, v.step(to, opReverse, "turn the direction round"))
	if v.startsAfter() {
		out = append(out, v.step(to, opStart, "start replication"))
	}
	return out
}

func (v view) startsAfter() bool {
	if v.g.Verb == array.Start {
		return v.d.c.ResumeAfterStart && v.g.Site == v.g.HomeSite
	}
	return !v.g.NoStart
}

// moveReversed goes back to the natural direction after a failover.
func (v view) moveReversed(from, to string) (array.Plan, error) {
	if !v.started(from) {
		p := array.Plan{Authoritative: from, Steps: []array.Step{v.step(from, opRecover, "copy the writes since the failover back")}}
		p.Steps[0].TakesWrite = ""
		v.mayLose(&p, to)
		return p, nil
	}
	p, done := v.copyNow(from)
	if !done && p.Wait != nil {
		return p, nil
	}
	op := opRestore
	if !v.startsAfter() {
		op = opRestore0
	}
	p.Wait = nil
	p.Steps = append(p.Steps, v.step(from, op, "make the natural primary primary again"))
	return p, nil
}

// promoteCut makes to primary where nobody is: the second half of something that was cut off.
func (v view) promoteCut(to string) (array.Plan, error) {
	s := v.step(to, opRevert, "make it primary")
	s.GrantsWrite = to
	p, err := steps(to, s)
	p.Warnings = []string{"no side is primary; " + to + " goes on with the content that it has"}
	return p, err
}

// relocate is start with the sites joined: the seed's stop, and reverse on this side.
func (v view) relocate() (array.Plan, error) {
	to := v.g.Site
	if v.Primary() == to {
		if v.startsAfter() {
			return v.restart()
		}
		return reached()
	}
	if v.role(to) == primaryRev {
		return v.stays(to)
	}
	first := v.g.Params[array.ParamSyncFirst] == "true"
	p, err := v.move(to, first)
	copies := first && len(p.Steps) > 0 && (p.Steps[0].Args["op"] == opSync || p.Steps[0].Args["op"] == opStart)
	inStep := v.Mode == modeSync && (v.Replication == array.Running && v.AllSynced() || v.g.Did(opStop+"@"+v.d.peer(to)))
	if err == nil && len(p.Steps) > 0 && !inStep && !copies {
		p.Warnings = append(p.Warnings, v.missing(to))
	}
	return p, err
}
