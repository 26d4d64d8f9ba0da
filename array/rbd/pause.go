package rbd

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/run"
)

// pause is break: never a demotion, never a disable.
func (pl *planner) pause() error {
	from, to, err := pl.replicating()
	if err != nil {
		return err
	}
	a, b, img := pl.p.facts[from], pl.p.facts[to], pl.d.cfg.Image.String()
	if pl.d.cfg.Mode == ModeJournal {
		if err := pl.socketAt(to); err != nil {
			return err
		}
		// A daemon that does not replay just now may only be changing direction: it is told all the same.
		site := func(kind string, i int) string { return kind + ":" + pl.name(i) }
		if pl.Reached = pl.d.held(a, b) && !pl.g.NoStart || pl.g.DidOK(site(stepPause, from)) && pl.g.DidOK(site(stepStop, to)); pl.Reached {
			return nil
		}
		// The note comes last and goes first: a daemon that replays beside a note has been restarted.
		if !pl.g.DidOK(site(stepStop, to)) {
			pl.add(pl.socketStep(to, stepStop, "stop replaying", "stop"))
		}
		if !pl.g.DidOK(site(stepPause, from)) {
			pl.add(pl.d.step(from, stepPause, "note the break in the image", "image-meta", "set", img, metaPaused, "[]"))
		}
		return nil
	}
	return pl.pauseSchedules(from)
}

// pauseSchedules saves the image's schedules in the image before it removes them. A note that was left
// by a break or resume that was cut is completed, never replaced.
func (pl *planner) pauseSchedules(from int) error {
	a, img := pl.p.facts[from], pl.d.cfg.Image.String()
	if len(a.Inherited) > 0 {
		return array.Unsupported("rbd --cluster "+a.Cluster+" mirror snapshot schedule ls -R",
			"break: the pool or the cluster has a snapshot schedule that %s inherits; removing the image's own would not pause it", img)
	}
	saved, err := pl.savedSchedules(from)
	if err != nil {
		return err
	}
	missing := !a.paused()
	for _, s := range a.Schedules {
		if !slices.Contains(saved, s) {
			saved, missing = append(saved, s), true
		}
	}
	if missing {
		note, err := json.Marshal(append([]Schedule{}, saved...))
		if err != nil {
			return fmt.Errorf("schedules of %s: %w", img, err)
		}
		pl.add(pl.d.step(from, stepPause, "save the image's snapshot schedules in the image", "image-meta", "set", img, metaPaused, string(note)))
	}
	for _, s := range a.Schedules {
		pl.add(pl.scheduleStep(from, stepUnschedule, "remove", s))
	}
	pl.Reached = len(pl.Steps) == 0
	return nil
}

// savedSchedules are those in the note of a break.
func (pl *planner) savedSchedules(i int) ([]Schedule, error) {
	a := pl.p.facts[i]
	if !a.paused() {
		return nil, nil
	}
	var saved []Schedule
	if err := json.Unmarshal([]byte(a.Meta[metaPaused]), &saved); err != nil {
		return nil, array.Refuse("", "rbd --cluster "+a.Cluster+" image-meta get "+pl.d.cfg.Image.String()+" "+metaPaused, "the schedules saved by break cannot be read: %v", err)
	}
	return saved, nil
}

// socketAt refuses when the target's rbd-mirror cannot be talked to.
func (pl *planner) socketAt(i int) error {
	s, f := pl.d.cfg.Sites[i], pl.p.facts[i]
	if s.Cluster.MirrorSocket == "" {
		return array.Unsupported("", "break and resume: site %s has no mirror_admin_socket; run the verb where its rbd-mirror runs", s.Name)
	}
	if f.Socket == "" {
		return array.Refuse("", "ddsgo doctor "+pl.d.cfg.Name, "%s: rbd-mirror does not answer on %s: %s", s.Name, s.Cluster.MirrorSocket, f.SockErr)
	}
	return nil
}

func (pl *planner) socketStep(i int, id, action, word string) array.Step {
	s := pl.d.cfg.Sites[i]
	words := []string{"rbd", "mirror", word, pl.d.cfg.Image.String()}
	argv, _ := json.Marshal(words)
	cmd := run.Cmd{Name: "ceph", Args: append([]string{"--admin-daemon", s.Cluster.MirrorSocket}, words...)}
	return array.Step{ID: id + ":" + s.Name, Site: s.Name, Action: action, Command: cmd.String(), Args: map[string]string{argArgv: string(argv)}}
}

func (pl *planner) scheduleStep(i int, id, verb string, s Schedule) array.Step {
	args := []string{"mirror", "snapshot", "schedule", verb, "--pool", pl.d.cfg.Image.Pool, "--image", pl.d.cfg.Image.Name, s.Interval}
	if s.Start != "" {
		args = append(args, s.Start)
	}
	st := pl.d.step(i, id, verb+" the snapshot schedule "+s.Interval, args...)
	st.ID += ":" + s.Interval + ":" + s.Start
	return st
}

// resume puts back what pause took. The direction stays as it is.
func (pl *planner) resume() error {
	from, to, err := pl.replicating()
	if err != nil {
		return err
	}
	if err := pl.release(from, to); err != nil || len(pl.Steps) > 0 {
		return err
	}
	if err := pl.flowing(from, to); err != nil {
		return err
	}
	if pl.Reached = pl.p.o.Replication != array.Stopped; !pl.Reached {
		pl.wait("rbd-mirror at %s to go on (%s)", pl.name(to), pl.p.facts[to].describe())
	}
	return nil
}

// release ends a break: the daemon goes on, or the schedules come back.
func (pl *planner) release(from, to int) error {
	a, b, img := pl.p.facts[from], pl.p.facts[to], pl.d.cfg.Image.String()
	forget := pl.d.step(from, stepUnpause, "forget the break", "image-meta", "remove", img, metaPaused)
	if pl.d.cfg.Mode == ModeJournal {
		if err := pl.socketAt(to); err != nil {
			return err
		}
		if a.paused() {
			pl.add(forget)
		}
		if b.stopped() {
			pl.add(pl.socketStep(to, stepStart, "go on replaying", "start"))
		}
		return nil
	}
	saved, err := pl.savedSchedules(from)
	if err != nil {
		return err
	}
	for _, s := range saved {
		if !slices.Contains(a.Schedules, s) {
			pl.add(pl.scheduleStep(from, stepSchedule, "add", s))
		}
	}
	if a.paused() {
		pl.add(forget)
	}
	return nil
}
