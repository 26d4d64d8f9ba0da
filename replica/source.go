package replica

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
)

// Phases of Operation at the source, in the order in which a sync passes them.
const (
	phaseSnapshot  = "snapshot"  // the snapshot is being made; its UUID is not known yet
	phaseSnapped   = "snapped"   // Operation.To names it
	phaseSet       = "set"       // the changed set is durable
	phaseCommitted = "committed" // the target has answered; what is left is the rotation
)

// source is one leg under the lock of its source volume.
type source struct {
	h       *Host
	leg     Leg
	ev      Events
	run     string
	id      state.Identity
	vol     *state.Volume
	lvm     *lvm.LVM // runs commands under our lock
	origin  lvm.LV
	seen    []lvm.LV  // look only: one report serves all questions
	names   [2]string // of snap1 and snap2
	lock    *state.Lock
	doc     *state.Document // nil: none
	docErr  error           // why it cannot be read, for reconcile
	conn    *session.Conn
	explain func(error) error // why the connection broke, in words
	far     probeReply
	closer  io.Closer
	// compared is what the target's write counters were when a hash exchange read it.
	compared *state.Counters
	doubt    string           // why the target is suspect although it took what was sent
	growing  bool             // a target that is too small as yet is no refusal
	folds    int              // transfers that were ended for a fold
	fills    map[string]*fill // what the watch saw of the snapshots, by dm name
	leads    []lead           // how kept sets lead to the tracking snapshot; see findLeads
}

// openSource locks the source and reads what is known about it.
func (h *Host) openSource(ctx context.Context, leg Leg, ev Events, purpose string) (*source, error) {
	id, err := h.Identify(leg.Source)
	if err != nil {
		return nil, failure.With(failure.CodeRefused, leg.Source, "the source cannot be used", "check source in the configuration of "+leg.Resource, err)
	}
	if id.Kind != state.IdentityLV {
		return nil, failure.Refused(leg.Source, "the source is no logical volume: only LVM snapshots tell what changed", "check source in the configuration of "+leg.Resource)
	}
	lock, err := h.lockSource(ctx, id, purpose)
	if err != nil {
		return nil, err
	}
	s := &source{h: h, leg: leg, ev: ev, run: newRun(h.Now()), id: id, lock: lock, lvm: h.lvmUnder(lock)}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return s, nil
}

// lockSource takes the source's lock. A verification holds it for a slice at a time only,
// so that is waited for.
func (h *Host) lockSource(ctx context.Context, id state.Identity, purpose string) (*state.Lock, error) {
	lock, err := h.Store.Lock(ctx, id, state.LockOptions{Purpose: purpose})
	var held *state.LockedError
	if errors.As(err, &held) && strings.HasPrefix(held.Purpose, purposeVerify) {
		return h.Store.Lock(ctx, id, state.LockOptions{Purpose: purpose, Wait: 2 * lockWait})
	}
	return lock, err
}

// newRun names a run: sortable by time, unique across hosts.
func newRun(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return now.UTC().Format("20060102T150405") + "-" + hex.EncodeToString(b[:])
}

func (s *source) prepare(ctx context.Context) error {
	origin, err := s.lvm.Find(ctx, s.leg.Source)
	if err != nil {
		return failure.With(failure.CodeRefused, s.leg.Source, "the source cannot be used", "check source in the configuration of "+s.leg.Resource, err)
	}
	s.origin = origin
	s.vol = s.h.Store.Volume(s.id, lvTagger{lvm: s.lvm, lv: origin, flush: s.h.FlushDisks})
	lvs, err := s.lvm.Report(ctx, origin.VG)
	if err != nil {
		return err
	}
	s.names = [2]string{lvm.SnapshotName(origin, 1, lvs), lvm.SnapshotName(origin, 2, lvs)}
	s.doc, s.docErr = s.vol.Load(ctx)
	return s.refuseSecondary(ctx)
}

// refuseSecondary refuses a source that its state, or its tags where that cannot be believed,
// call somebody's copy: to send from it would make it primary by the way.
func (s *source) refuseSecondary(ctx context.Context) error {
	var role state.Role
	if s.doc != nil {
		role = s.doc.Role
	} else if tags, err := s.vol.TagState(ctx); err == nil {
		role = tags.Role
	}
	if role != state.RoleSecondary {
		return nil
	}
	name := s.leg.Resource
	return failure.Refused(s.leg.Source, "the source is a copy itself: its role is secondary", "ddsgo status "+name+"; ddsgo failover "+name+" makes a copy the primary")
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
	if s.lock == nil {
		return err
	}
	return errors.Join(err, s.lock.Release())
}

// commit changes the document durably, in file and tags.
func (s *source) commit(ctx context.Context, change func(*state.Document)) error {
	doc := s.doc
	if doc == nil {
		doc = &state.Document{Identity: s.id, Condition: state.None()}
	}
	doc.Device, doc.Resource, doc.Role, doc.Size = s.leg.Source, s.leg.Resource, state.RolePrimary, s.origin.Size
	change(doc)
	if err := s.vol.Commit(ctx, doc); err != nil {
		return fmt.Errorf("%s: %w", s.leg.Source, err)
	}
	s.doc = doc
	return nil
}

// cursor is what the document says of our leg.
func (s *source) cursor() state.Leg {
	if s.doc == nil {
		return state.Leg{}
	}
	return s.doc.Legs[s.leg.Name()]
}

// setCursor changes our leg within a commit.
func (s *source) setCursor(d *state.Document, change func(*state.Leg)) {
	l := d.Legs[s.leg.Name()]
	change(&l)
	if d.Legs == nil {
		d.Legs = map[string]state.Leg{}
	}
	d.Legs[s.leg.Name()] = l
}

// localFacts is the document as reconcile sees it.
func (s *source) localFacts() LocalFacts {
	switch {
	case errors.Is(s.docErr, state.ErrNotFound):
		return LocalFacts{State: LocalMissing}
	case errors.Is(s.docErr, state.ErrDisagree), errors.Is(s.docErr, state.ErrLost):
		return LocalFacts{State: LocalDisagree}
	case s.docErr != nil:
		return LocalFacts{State: LocalDamaged}
	}
	f := LocalFacts{State: LocalLoaded, Proven: s.cursor().Proven, Held: s.cursor().Held}
	if t := s.doc.Tracking; t != nil {
		f.Base = t.Generation
	}
	for _, l := range s.leads {
		f.Older = append(f.Older, l.From)
	}
	if op := s.doc.Operation; op != nil && op.Phase != phaseFolded {
		f.Pending, f.Full = op.To, op.Verb == verbFull
		if set, err := s.openSet(); err == nil {
			f.SetSaved = true
			_ = set.Close()
		}
	}
	return f
}

// openSet opens the changed set of the unfinished run, if it is the right one.
func (s *source) openSet() (*extent.ChangedSet, error) {
	op := s.doc.Operation
	if op == nil || op.ChangedSet == "" {
		return nil, errors.New("no changed set")
	}
	path, err := s.vol.Sets().Path(op.ChangedSet)
	if err != nil {
		return nil, err
	}
	set, err := s.h.OpenSet(path)
	if err != nil {
		return nil, err
	}
	if s.doc.Tracking == nil || !set.Header.From.Same(s.doc.Tracking.Generation) || !set.Header.To.Same(op.To) || set.Header.Volume != s.id.String() {
		return nil, errors.Join(errors.New("changed set of another run"), set.Close())
	}
	return set, nil
}

// report lists the volume group; under the lock always anew.
func (s *source) report(ctx context.Context) ([]lvm.LV, error) {
	if s.seen != nil {
		return s.seen, nil
	}
	return s.lvm.Report(ctx, s.origin.VG)
}

// facts gathers what both ends hold.
func (s *source) facts(ctx context.Context) (Facts, error) {
	if err := s.findLeads(); err != nil {
		return Facts{}, err
	}
	f := Facts{Resource: s.leg.Resource, Origin: s.origin.FullName(), OriginSize: s.origin.Size, Local: s.localFacts(), Target: s.targetFacts()}
	lvs, err := s.report(ctx)
	if err != nil {
		return f, err
	}
	for i, to := range []*SnapshotFact{&f.Snap1, &f.Snap2} {
		if *to, err = s.snapshotFact(ctx, lvs, s.names[i]); err != nil {
			return f, err
		}
	}
	info, err := s.lvm.DM().Info(ctx, s.origin.DMName)
	if err != nil {
		return f, err
	}
	f.PendingTable, f.Suspended = info.Inactive, info.Suspended
	return f, nil
}

// snapshotFact says what stands under a snapshot name.
func (s *source) snapshotFact(ctx context.Context, lvs []lvm.LV, name string) (SnapshotFact, error) {
	f := SnapshotFact{Name: name}
	lv, ok := lvm.ByName(lvs, name)
	if !ok {
		return f, nil
	}
	f.UUID = lv.UUID
	_, tagged := lv.TagValue(lvm.TagRun)
	f.Ours = tagged || s.knows(lv.UUID)
	switch {
	case !lv.Snapshot() && f.Ours:
		f.State = SnapPlain
	case !lv.Snapshot():
		f.State = SnapPlainForeign
	case !lv.SnapshotOf(s.origin):
		f.State = SnapOtherOrigin
	case lv.Merging():
		f.State = SnapMerging
	case lv.Invalid():
		f.State = SnapOverflowed
	case !lv.Active():
		f.State = SnapInactive
	case lv.Writable():
		f.State = SnapWritable
	default:
		f.State = SnapGood
	}
	if !f.tracks() {
		return f, nil
	}
	// LVM's report shows its metadata; only the kernel's tables tell what really runs.
	err := s.lvm.CheckWiring(ctx, s.origin, lv)
	if errors.Is(err, lvm.ErrMiswired) {
		f.State, err = SnapMiswired, nil
	}
	return f, err
}

// knows says that the document names this snapshot.
func (s *source) knows(uuid string) bool {
	if s.doc == nil {
		return false
	}
	if t := s.doc.Tracking; t != nil && t.UUID == uuid {
		return true
	}
	op := s.doc.Operation
	return op != nil && (op.To.UUID == uuid || (op.Phase == phaseFolded || op.Verb == verbGrow) && op.From.UUID == uuid)
}

// targetFacts is the far side's answer as reconcile sees it.
func (s *source) targetFacts() TargetFacts { return targetFactsOf(s.far, s.id.String()) }

func targetFactsOf(r probeReply, source string) TargetFacts {
	t := TargetFacts{At: r.Generation, To: r.To, Detail: r.Detail}
	kinds := map[state.Kind]TargetCondition{state.KindClean: TargetClean, state.KindApplying: TargetApplying,
		state.KindInconsistent: TargetInconsistent, state.KindSuspect: TargetSuspect, state.KindHeld: TargetHeld}
	c, known := kinds[state.Kind(r.Condition)]
	switch {
	case r.Damaged:
		t.Condition = TargetDamaged
	case state.Role(r.Role) == state.RolePrimary:
		t.Condition = TargetPrimary
	case r.Condition == "" || r.Condition == string(state.KindNone):
		t.Condition = TargetEmpty
	case r.Source != "" && r.Source != source:
		t.Condition, t.Detail = TargetOtherVolume, r.Source
	case known:
		t.Condition = c
	default:
		t.Condition, t.Detail = TargetDamaged, "unknown condition "+r.Condition
	}
	return t
}

// nextSeq is the sequence number of a new generation: above every one that either end knows.
func (s *source) nextSeq() uint64 {
	n := max(s.far.Generation.Seq, s.far.To.Seq)
	if s.doc != nil {
		n = max(n, s.doc.Generation.Seq, s.cursor().Proven.Seq)
		if s.doc.Operation != nil {
			n = max(n, s.doc.Operation.To.Seq)
		}
	}
	return n + 1
}

// snapshotSource is a snapshot's content at the extents that changed.
type snapshotSource struct {
	io.ReaderAt
	extents extent.Seq
}

// Extents implements engine.Source.
func (s snapshotSource) Extents() extent.Seq { return s.extents }

var _ engine.Source = snapshotSource{}

// generationOf names the instant that a new snapshot froze.
func (s *source) generationOf(lv lvm.LV, seq uint64) generation.Generation {
	return generation.Generation{UUID: lv.UUID, Seq: seq, Time: s.h.Now().UTC().Truncate(time.Second), Size: s.origin.Size}
}
