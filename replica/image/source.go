package image

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/stream/session"
)

// source is one run of a leg.
type source struct {
	leg  Leg
	run  string
	lock *flock.Flock
	look
	doc     *Tracker // nil: none
	docErr  error    // why it cannot be believed
	conn    *session.Conn
	explain func(error) error
	closer  io.Closer
	far     replica.ProbeReply
}

// open locks the leg and reads the source image.
func (l Leg) open(ctx context.Context) (*source, error) {
	dir := filepath.Join(l.Dir(l.StateDir))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "leg-"+hash(l.Name(), 16)+".lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		return nil, failure.With(failure.CodeLocked, l.Resource, "another ddsgo works on the leg (lock "+lock.Path()+")", "fuser -v "+lock.Path(), err)
	}
	s := &source{leg: l, run: newRun(l.Now()), lock: lock}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(Explain(l.End, err), lock.Unlock())
	}
	return s, nil
}

// newRun names a run: sortable by time, unique across hosts.
func newRun(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return now.UTC().Format("20060102T150405") + "-" + hex.EncodeToString(b[:])
}

func (s *source) load(ctx context.Context) error {
	var err error
	if s.look, err = s.leg.look(ctx); err != nil {
		return err
	}
	if !s.exists {
		return fmt.Errorf("cluster %s: %s: %w", s.leg.CLI.Cluster().Name, s.leg.Image, rbd.ErrNoImage)
	}
	var doc Tracker
	s.doc, s.docErr = nil, nil
	switch err := readLine(s.look, s.leg.key(), &doc); {
	case err == nil:
		s.doc = &doc
	case !errors.Is(err, ErrNoMetadata):
		s.docErr = err
	}
	return nil
}

// close ends the connection and gives the lock back.
func (s *source) close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	if s.closer != nil {
		err = errors.Join(err, s.closer.Close())
	}
	return errors.Join(err, s.lock.Unlock())
}

// commit changes the tracker durably.
func (s *source) commit(ctx context.Context, change func(*Tracker)) error {
	var doc Tracker
	if s.doc != nil {
		doc = *s.doc
		doc.Drop = slices.Clone(doc.Drop)
	}
	doc.header, doc.Resource, doc.Target, doc.Host = header{schema, s.id}, s.leg.Resource, s.leg.Name(), s.leg.Host
	change(&doc)
	if err := s.leg.writeLine(ctx, s.leg.key(), doc); err != nil {
		return Explain(s.leg.End, err)
	}
	s.doc, s.docErr = &doc, nil
	return nil
}

// connect dials the target's owner and asks what it holds.
func (s *source) connect(ctx context.Context) error {
	s.step("connect to " + s.leg.Name())
	conn, err := s.leg.Dial(ctx, s.leg.Target)
	if err != nil {
		return s.unreachable(err)
	}
	s.closer, s.explain = conn, conn.Explain
	c, err := session.Connect(ctx, conn, session.Options{ProgressTimeout: s.leg.ProgressTimeout, Host: s.leg.Host})
	if err != nil {
		return s.unreachable(conn.Explain(err))
	}
	s.conn = c
	return s.probe(ctx)
}

func (s *source) unreachable(err error) error {
	if _, has := failure.CodeOf(err); has {
		return err
	}
	return failure.With(failure.CodeUnreachable, s.leg.Resource, "the target's host "+s.leg.Site()+" does not answer", "ddsgo sync "+s.leg.Resource+" when it does", err)
}

// ref names the target.
func (s *source) ref() replica.VolumeRef {
	return replica.VolumeRef{Device: s.leg.Device, Resource: s.leg.Resource, Source: s.id}
}

// probe asks what the target holds; it finishes what it can first.
func (s *source) probe(ctx context.Context) error {
	var r replica.ProbeReply
	if err := s.call(ctx, replica.OpProbe, s.ref(), &r); err != nil {
		return err
	}
	s.far = r
	if facts := replica.TargetFactsOf(r, s.id); facts.Condition == replica.TargetDamaged || facts.Condition == replica.TargetPrimary {
		return nil // Reconcile refuses, and says why
	}
	if r.InUse != "" {
		return failure.Refused(s.leg.Device, "the target is in use: "+r.InUse, "close it on "+r.Host+", then run the same command again")
	}
	if r.Size < s.info.Size && !r.Grows {
		return failure.Refused(s.leg.Device, fmt.Sprintf("the target is too small: %d bytes, the source has %d", r.Size, s.info.Size), fmt.Sprintf("enlarge it on %s to at least %d bytes", r.Host, s.info.Size))
	}
	return nil
}

func (s *source) call(ctx context.Context, op string, in, out any) error {
	return s.explain(s.conn.Call(ctx, op, in, out, s.relay()))
}

func (s *source) relay() func(session.Progress) {
	return func(p session.Progress) {
		if s.leg.Events.Progress != nil {
			s.leg.Events.Progress("target: "+p.Phase, p.Done, p.Total, 0)
		}
	}
}

func (s *source) step(text string) {
	if s.leg.Events.Step != nil {
		s.leg.Events.Step(text)
	}
}

// facts gathers what both ends hold.
func (s *source) facts() Facts {
	f := Facts{Resource: s.leg.Resource, Mirrored: s.nonPrimary(), Rewinds: s.leg.Rewinds, Target: replica.TargetFactsOf(s.far, s.id)}
	if s.docErr != nil {
		f.Tracker, f.Why = TrackerDamaged, s.docErr.Error()
		return f
	}
	if s.doc == nil {
		return f
	}
	d := s.doc
	f.Tracker, f.Held, f.Full = TrackerLoaded, d.Held, d.Full
	if d.Base == nil && d.Pending == nil {
		f.Tracker = TrackerMissing // held or released before there was a copy
	}
	f.Base, f.Pending = s.marked(d.Base), s.marked(d.Pending)
	for _, name := range d.Drop {
		if _, ok := s.snapshot(name); ok {
			f.Old = append(f.Old, name)
		}
	}
	return f
}

// marked finds a snapshot that the tracker names: by its name, and by its id where that is known.
func (s *source) marked(m *Marker) SnapshotFact {
	if m == nil {
		return SnapshotFact{}
	}
	f := SnapshotFact{Name: m.Snapshot, Generation: m.Generation}
	sn, ok := s.snapshot(m.Snapshot)
	if !ok {
		return f
	}
	g := delta.GenerationOf(s.id, sn)
	if m.Generation.IsZero() || g.Same(m.Generation) {
		f.Generation, f.Present = g, true
	}
	return f
}

// take makes a snapshot: its name is committed before it exists, its id after.
func (s *source) take(ctx context.Context, full bool) error {
	name := s.leg.snapshotName(s.run)
	if s.doc != nil && s.doc.Pending != nil && s.doc.Pending.Snapshot == name { // a second one in this run
		s.run = newRun(s.leg.Now())
		name = s.leg.snapshotName(s.run)
	}
	s.step("take snapshot " + s.leg.Image.At(name))
	if err := s.commit(ctx, func(d *Tracker) { d.Pending, d.Full = &Marker{Snapshot: name}, full }); err != nil {
		return err
	}
	if err := s.leg.CLI.SnapshotCreate(ctx, s.leg.Image, name); err != nil {
		return Explain(s.leg.End, err)
	}
	if err := s.refresh(ctx); err != nil {
		return err
	}
	sn, ok := s.snapshot(name)
	if !ok {
		return fmt.Errorf("%s: %w", s.leg.Image.At(name), rbd.ErrNoSnapshot)
	}
	g := delta.GenerationOf(s.id, sn)
	return s.commit(ctx, func(d *Tracker) { d.Pending = &Marker{Snapshot: name, Generation: g} })
}

// refresh lists the snapshots again.
func (s *source) refresh(ctx context.Context) error {
	snaps, err := s.leg.CLI.Snapshots(ctx, s.leg.Image)
	if err != nil {
		return Explain(s.leg.End, err)
	}
	s.snaps = snaps
	return nil
}

// clean removes snapshots of ours that serve no longer.
func (s *source) clean(ctx context.Context, names []string) error {
	if err := s.remove(ctx, names); err != nil || len(names) == 0 {
		return err
	}
	return s.refresh(ctx)
}

func (s *source) remove(ctx context.Context, names []string) error {
	for _, name := range names {
		s.step("remove snapshot " + s.leg.Image.At(name))
		if err := s.leg.CLI.SnapshotRemove(ctx, s.leg.Image, name); err != nil && !errors.Is(err, rbd.ErrNoSnapshot) {
			return Explain(s.leg.End, err)
		}
	}
	return nil
}
