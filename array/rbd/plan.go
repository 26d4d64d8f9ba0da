package rbd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/run"
)

// Step IDs; a site follows after a colon where both sites may get the step.
const (
	stepSnapshot    = "snapshot"
	stepMark        = "mark"
	stepPause       = "pause-note"
	stepUnpause     = "pause-forget"
	stepUnschedule  = "unschedule"
	stepSchedule    = "schedule"
	stepStop        = "replay-stop"
	stepStart       = "replay-start"
	stepDemote      = "demote"
	stepPromote     = "promote"
	stepForce       = "promote-force"
	stepProve       = "prove-writable"
	stepUnlock      = "unlock"
	stepKeep        = "keep"
	stepKeepDone    = "keep-name"
	stepResync      = "resync"
	stepPoolEnable  = "pool-enable"
	stepPeerAdd     = "peer-add"
	stepPeerSet     = "peer-set"
	stepNote        = "features-note"
	stepFeature     = "feature"
	stepFeatureOff  = "feature-off"
	stepEnable      = "enable"
	stepDisable     = "disable"
	stepCreate      = "create"
	stepClone       = "clone"
	stepFlatten     = "flatten"
	stepCreatedNote = "created-note"
	stepName        = "name"
	stepForget      = "forget"
	stepRemove      = "remove"
)

const argArgv, argTarget = "argv", "target"

// step makes the step that sends rbd args to a site.
func (d *Driver) step(i int, id, action string, args ...string) array.Step {
	s := d.cfg.Sites[i]
	argv, _ := json.Marshal(args) // strings always marshal
	cmd := run.Cmd{Name: "rbd", Args: append([]string{"--cluster", s.Cluster.Name}, args...)}
	return array.Step{
		ID: id + ":" + s.Name, Site: s.Name, Action: action, Command: cmd.String(),
		Args: map[string]string{argArgv: string(argv)},
	}
}

func stepKind(id string) string { kind, _, _ := strings.Cut(id, ":"); return kind }

// plan is a growing array.Plan.
type planner struct {
	d *Driver
	p pair
	g array.Goal
	array.Plan
}

func (pl *planner) add(steps ...array.Step) { pl.Steps = append(pl.Steps, steps...) }

func (pl *planner) wait(format string, args ...any) {
	pl.Wait = &array.Wait{What: fmt.Sprintf(format, args...)}
}

func (pl *planner) warn(format string, args ...any) {
	pl.Warnings = append(pl.Warnings, fmt.Sprintf(format, args...))
}

func (pl *planner) name(i int) string { return pl.d.cfg.Sites[i].Name }

// Plan implements array.Driver.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	if ok, why := d.Capabilities().Supports(g.Verb); !ok {
		return array.Plan{}, array.Unsupported("", "%s: %s", g.Verb, why)
	}
	pl := &planner{d: d, p: d.pair(o), g: g}
	var err error
	switch g.Verb {
	case array.Update:
		err = pl.update()
	case array.Break:
		err = pl.pause()
	case array.Resume:
		err = pl.resume()
	case array.Swap:
		err = pl.swap()
	case array.Failover:
		err = pl.failover()
	case array.Failback:
		err = pl.failback()
	case array.Resync:
		err = pl.resync()
	case array.Setup:
		err = pl.setup()
	case array.Create:
		err = pl.create()
	case array.Delete:
		err = pl.remove()
	default:
		err = array.Unsupported("", "%s: rbd does not know it", g.Verb)
	}
	if err != nil {
		return array.Plan{}, err
	}
	return pl.Plan, nil
}

// replicating refuses unless exactly one side is primary and both are read.
func (pl *planner) replicating() (from, to int, err error) {
	if err := pl.bothRead(); err != nil {
		return 0, 0, err
	}
	if err := pl.present(); err != nil {
		return 0, 0, err
	}
	if pl.p.bothPrimary() {
		return 0, 0, pl.twoPrimaries()
	}
	if pl.p.prim < 0 {
		return 0, 0, array.Refuse("", "ddsgo swap "+pl.d.cfg.Name+" --site "+pl.name(0), "%s: neither side is primary", pl.d.cfg.Image)
	}
	return pl.p.prim, 1 - pl.p.prim, nil
}

func (pl *planner) twoPrimaries() error {
	return array.Refuse("R1", "ddsgo failback "+pl.d.cfg.Name+" --discard SITE", "%s is primary at both sites", pl.d.cfg.Image)
}

// bothRead refuses while a side does not answer.
func (pl *planner) bothRead() error {
	for i := range pl.d.cfg.Sites {
		if s := pl.p.o.Sides[i]; !s.Reachable {
			next := "ddsgo status " + pl.d.cfg.Name
			if other := pl.name(1 - i); pl.g.Verb == array.Swap && pl.g.Site == other && pl.p.reachable(1-i) {
				next = "ddsgo plan failover " + pl.d.cfg.Name + " --site " + other
			}
			return &array.Error{Kind: array.KindUnreachable, Site: s.Site, Reason: "this verb needs both sides: " + s.Error, Next: next}
		}
	}
	return nil
}

// present refuses what is not a mirrored pair in the configured mode. A target that the daemon has not
// yet made is no reason: it is the beginning of the first copy, or of a resync.
func (pl *planner) present() error {
	img, name := pl.d.cfg.Image, pl.d.cfg.Name
	for i, s := range pl.d.cfg.Sites {
		f, other := pl.p.facts[i], pl.p.facts[1-i]
		switch {
		case !pl.p.reachable(i):
		case !f.PoolFound:
			return array.Refuse("", "ceph --cluster "+s.Cluster.Name+" osd pool ls", "%s: cluster %s has no pool %q", s.Name, s.Cluster.Name, img.Pool)
		case f.PoolMode == "pool":
			return array.Refuse("", "", "%s: pool %q is mirrored as a whole (mode pool); ddsgo needs mode image and never switches it", s.Name, img.Pool)
		case !f.Exists && other.Mirrored, pl.beingMade(i):
		case !f.Exists:
			return array.Refuse("", "ddsgo array create "+name, "%s: cluster %s has no image %s", s.Name, s.Cluster.Name, img)
		case !f.Mirrored:
			return array.Refuse("", "ddsgo array setup "+name, "%s: image %s is not mirrored", s.Name, img)
		case f.Mode != pl.d.cfg.Mode:
			return array.Refuse("", "", "%s: image %s is mirrored in mode %s, configured is %s", s.Name, img, f.Mode, pl.d.cfg.Mode)
		}
	}
	return nil
}

// update brings the copy up to now; see the package comment, "Exact".
func (pl *planner) update() error {
	from, to, err := pl.replicating()
	if err != nil {
		return err
	}
	if err := pl.flowing(from, to); err != nil {
		return err
	}
	if pl.byHand(to) {
		return array.Refuse("", "ddsgo resume "+pl.d.cfg.Name, "rbd-mirror at %s was told to stop replaying %s", pl.name(to), pl.d.cfg.Image)
	}
	pl.cloneWarning()
	pl.Authoritative = pl.name(from)
	if pl.d.cfg.Mode == ModeJournal {
		pl.updateJournal(from, to)
	} else {
		pl.updateSnapshot(from, to)
	}
	return nil
}

// flowing refuses a wait that could not end: held, split brain, no peer, no daemon.
func (pl *planner) flowing(from, to int) error {
	name, b := pl.d.cfg.Name, pl.p.facts[to]
	switch {
	case b.splitBrain():
		return array.Refuse("", "ddsgo array resync "+name+" --discard "+pl.name(to), "split brain: %s has writes that %s lacks", pl.name(to), pl.name(from))
	case pl.p.facts[from].PeerLost:
		return array.Refuse("", "ddsgo array resync "+name+" --discard "+pl.name(to), "the journal has disconnected %s", pl.name(to))
	case pl.d.held(pl.p.facts[from], b):
		return array.Refuse("", "ddsgo resume "+name, "replication of %s is held", pl.d.cfg.Image)
	case b.PoolMode == "image" && b.Peer == nil:
		return array.Refuse("", "ddsgo array setup "+name, "pool %q of cluster %s has no peer to receive from: nothing flows from %s to %s", pl.d.cfg.Image.Pool, b.Cluster, pl.name(from), pl.name(to))
	case b.daemonGone():
		return array.Refuse("", "ddsgo doctor "+name, "no live rbd-mirror at %s: %s", pl.name(to), b.describe())
	}
	return nil
}

// updateSnapshot: one snapshot taken now, complete on the other side. A schedule's snapshot that came
// after the first observation serves as well.
func (pl *planner) updateSnapshot(from, to int) {
	var base int64
	if b := pl.g.Baseline; b != nil {
		if n := pl.d.pair(*b).facts[from].Newest; n != nil {
			base = n.ID
		}
	} else if n := pl.p.facts[from].Newest; n != nil {
		base = n.ID
	}
	a, b := pl.p.facts[from], pl.p.facts[to]
	switch {
	case b.copyOf(a) && b.Complete.ID > base:
		pl.Reached = true
	case a.Newest == nil || a.Newest.ID <= base:
		pl.add(pl.d.step(from, stepSnapshot, "take a mirror snapshot", "mirror", "image", "snapshot", pl.d.cfg.Image.String()))
	default:
		pl.wait("mirror snapshot %d of %s to be complete at %s (%s)", a.Newest.ID, pl.d.cfg.Image, pl.name(to), b.describe())
	}
}

// updateJournal: the commit position lags the last write by up to the commit age. So wait that long,
// note the position in the image (which itself moves the journal), and wait until the peer is there.
func (pl *planner) updateJournal(from, to int) {
	a := pl.p.facts[from]
	if target, ok := pl.marked(a); ok {
		if a.Replayed != nil && target.Before(*a.Replayed) {
			pl.Reached = true
			return
		}
		pl.wait("%s to replay the journal beyond %s (now %s)", pl.name(to), target, positionOr(a.Replayed))
		return
	}
	settle := pl.settle()
	if b := pl.g.Baseline; b != nil && pl.p.o.At.Sub(b.At) < settle {
		pl.wait("the journal's commit position to settle (%s)", settle.Round(time.Second))
		return
	}
	if a.Written == nil || pl.p.facts[to].FirstCopy || a.Replayed == nil {
		pl.wait("the first copy onto %s", pl.name(to))
		return
	}
	s := pl.d.step(from, stepMark, "note the journal position to be reached", "image-meta", "set", pl.d.cfg.Image.String(), metaSync, a.Written.String())
	s.Args[argTarget] = a.Written.String()
	pl.add(s)
}

// settle is how long the commit position of a journal may lag the writes that are in it.
func (pl *planner) settle() time.Duration { return pl.d.cfg.CommitAge + commitSlack }

// marked is the position that this run noted in the image. A note without a reply counts if it is there.
func (pl *planner) marked(a facts) (Position, bool) {
	for _, s := range pl.g.Done {
		if stepKind(s.ID) == stepMark && (s.Outcome == array.OutcomeOK || a.Meta[metaSync] == s.Args[argTarget]) {
			return parsePosition(s.Args[argTarget])
		}
	}
	return Position{}, false
}

func positionOr(p *Position) string {
	if p == nil {
		return "unknown"
	}
	return p.String()
}
