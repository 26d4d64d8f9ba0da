package replica

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal/journaltest"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// copied is a world with a first copy and changes since.
func copied(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, t.TempDir())
	w.must(doFull)
	w.change()
	return w
}

// connected runs do over a session with the target.
func (w *world) connected(do func(*session.Conn) error) error {
	e := w.start(nil)
	rw, err := e.dial(context.Background(), transport.Target{})
	require.NoError(w.t, err)
	c, err := session.Connect(context.Background(), rw, session.Options{})
	require.NoError(w.t, err)
	err = do(c)
	require.NoError(w.t, c.Close())
	e.serving.Wait()
	return err
}

func (w *world) ask(op string) {
	w.t.Helper()
	ref := VolumeRef{Device: targetPath, Resource: "app", Source: w.srcID.String()}
	require.NoError(w.t, w.connected(func(c *session.Conn) error { return c.Call(context.Background(), op, ref, nil, nil) }))
}

// announce offers the target a delta and returns its answer to that: nil if it would take it.
func (w *world) announce(change func(*receiveRequest)) error {
	at := w.claimed()
	h := stream.Header{Version: stream.Version, Kind: stream.KindDelta, Checksum: stream.ChecksumXXH64SHA256, FrameSize: stream.DefaultFrameSize,
		ChunkSize: chunkBytes, VolumeSize: int64(w.size), From: at, SetBytes: chunkBytes, Source: sourcePath,
		To: generation.Generation{UUID: "next", Seq: at.Seq + 1, Time: at.Time, Size: int64(w.size)}}
	h.SetID[0] = 1
	in := receiveRequest{VolumeRef: VolumeRef{Device: targetPath, Resource: "app", Source: w.srcID.String()}, Mode: modeJournal, Header: h, Need: 1 << 20, SourceHost: "src"}
	change(&in)
	return w.connected(func(c *session.Conn) error {
		x, err := c.Start(context.Background(), opReceive, in, nil)
		require.NoError(w.t, err)
		err = x.Ready(&receiveReady{})
		x.Abort(errors.New("the test is over"))
		_ = x.Finish(nil)
		return err
	})
}

// claimed is the generation in the target's own document.
func (w *world) claimed() generation.Generation {
	if d := w.document(); d != nil {
		return d.Generation
	}
	return generation.Generation{UUID: "base", Seq: 1, Size: int64(w.size)}
}

func (w *world) document() *state.Document {
	docs, err := w.start(nil).far.Copies()
	require.NoError(w.t, err)
	if len(docs) == 0 {
		return nil
	}
	return &docs[0]
}

// amend changes the target's document as an earlier life of it would have.
func (w *world) amend(change func(*state.Document)) {
	far := w.start(nil).far
	target, err := far.openTarget(context.Background(), VolumeRef{Device: targetPath, Resource: "app"}, "test")
	require.NoError(w.t, err)
	require.NoError(w.t, errors.Join(target.commit(context.Background(), change), target.release()))
}

// refusal is what a target must not take. The table in docs/CRASH.md is made from these.
type refusal struct {
	name   string
	before func(w *world)
	change func(*receiveRequest)
	code   int
	words  string
}

func heldBy(kind blockdev.HolderKind, detail string) func(*world) {
	return func(w *world) { w.held = []blockdev.Holder{{Kind: kind, Detail: detail}} }
}

func same(*receiveRequest) {}

func refusals() []refusal {
	return []refusal{
		{"wrong base", nil, func(r *receiveRequest) { r.Header.From.UUID = "another" }, failure.CodeRefused, "wrong base"},
		{"older generation", nil, func(r *receiveRequest) { r.Header.To.Seq = r.Header.From.Seq }, failure.CodeRefused, "leads back"},
		{"mounted", heldBy(blockdev.HeldByMount, "/srv"), same, failure.CodeRefused, "mounted on /srv"},
		{"used as swap", heldBy(blockdev.HeldBySwap, ""), same, failure.CodeRefused, "used as swap"},
		{"another device above it", heldBy(blockdev.HeldByDevice, "vg-above"), same, failure.CodeRefused, "part of vg-above"},
		{"opened by somebody (device-mapper counts)", heldBy(blockdev.HeldByOpen, "once"), same, failure.CodeRefused, "open once"},
		{"held with O_EXCL", heldBy(blockdev.HeldExclusively, ""), same, failure.CodeRefused, "held exclusively"},
		{"too small", nil, func(r *receiveRequest) { r.Header.VolumeSize, r.Header.To.Size = 64<<20, 64<<20 }, failure.CodeRefused, "too small"},
		{"promoted", func(w *world) { w.ask(opPromote) }, same, failure.CodeRefused, "it is primary"},
		{"held by an operator", func(w *world) { w.ask(opHold) }, same, failure.CodeRefused, "it is held"},
		{"suspect: write counters moved", func(w *world) { w.written.Add(1) }, same, failure.CodeNeedFull, "were not ddsgo's"},
		{"delta of another volume", nil, func(r *receiveRequest) { r.Source = "lv-elsewhere" }, failure.CodeRefused, "holds a copy of"},
		{"a request that names no source", nil, func(r *receiveRequest) { r.Source = "" }, failure.CodeCorrupt, "malformed request"},
		{"lower fence", func(w *world) { w.amend(func(d *state.Document) { d.Fence = 3 }) }, same, failure.CodeRefused, "promoted since"},
		{"no room in the spool", nil, func(r *receiveRequest) { r.Need = 1 << 40 }, failure.CodeRefused, "no room"},
		{"more than the key's quota", func(w *world) { w.far = func(h *Host) { h.SpoolQuota = 3 << 20 } }, func(r *receiveRequest) { r.Need = 4 << 20 }, failure.CodeRefused, "no room"},
		{"full copy over a good one", nil, func(r *receiveRequest) {
			r.Mode, r.Header.Kind, r.Header.From, r.Header.SetBytes = modeFull, stream.KindFull, generation.Generation{}, r.Header.VolumeSize
		}, failure.CodeRefused, "already holds a copy"},
		{"a volume that is not there", nil, func(r *receiveRequest) { r.Device = "/dev/vg1/other" }, failure.CodeRefused, "cannot be used as a target"},
		{"a volume outside the key's allow-list", func(w *world) { w.far = func(h *Host) { h.Allow = &Allow{Devices: []string{"/dev/vg1/other"}} } }, same, failure.CodeRefused, "may not reach the volume"},
		{"a verb outside the key's allow-list", func(w *world) {
			w.far = func(h *Host) { h.Allow = &Allow{Devices: []string{targetPath}, Verbs: []string{opProbe}} }
		}, same, failure.CodeRefused, "may not receive"},
	}
}

// TestRefusals asks a target to take what it must not: it says so with its exit code, its
// reason and the next command, and not a byte is written.
func TestRefusals(t *testing.T) {
	for _, c := range refusals() {
		t.Run(c.name, func(t *testing.T) {
			w := copied(t)
			require.NoError(t, w.announce(same), "the request without its flaw is taken")
			w.must(doSync)
			w.change()
			content, at := w.content(w.dst, targetPath), w.claimed()
			if c.before != nil {
				c.before(w)
			}
			writes := w.written.Load()
			w.refused(w.announce(c.change), c.code, c.words)
			require.Equal(t, content, w.content(w.dst, targetPath), "written in spite of the refusal")
			require.Equal(t, writes, w.written.Load())
			require.Equal(t, at, w.claimed())
			require.NoError(t, w.foreignUntouched())
		})
	}
}

// TestCountersOfAnotherBoot: counters restart at boot and prove nothing across it; within one boot
// one write makes the copy suspect until it was verified.
func TestCountersOfAnotherBoot(t *testing.T) {
	w := copied(t)
	w.written.Add(5)
	w.boot++
	w.must(doSync)
	w.change()
	w.written.Store(0) // the volume was deactivated and activated, on a kernel that does not tell
	w.must(doSync)
	w.change()
	w.written.Add(1)
	w.refused(w.announce(same), failure.CodeNeedFull, "were not ddsgo's")
	w.boot++ // it stays suspect, whatever happens
	w.refused(w.announce(same), failure.CodeNeedFull, "were not ddsgo's")
	_, err := w.verify(VerifyOptions{})
	require.NoError(t, err)
	w.must(doSync)
	require.NoError(t, w.settled())
}

// refusedSync is the same seen from the source. after mends the cause; nil: only a full copy or a
// resync helps.
type refusedSync struct {
	name   string
	before func(w *world)
	code   int
	words  string
	after  func(w *world)
}

func refusedSyncs() []refusedSync {
	return []refusedSync{
		{"the target is mounted", heldBy(blockdev.HeldByMount, "/srv"), failure.CodeRefused, "mounted on /srv", func(w *world) { w.held = nil }},
		{"the target was promoted", func(w *world) { w.ask(opPromote) }, failure.CodeRefused, "primary", nil},
		{"the target is held", func(w *world) { w.ask(opHold) }, failure.CodeRefused, "held", func(w *world) { w.ask(opRelease) }},
		{"the target is suspect", func(w *world) { w.written.Add(1) }, failure.CodeNeedFull, "behind ddsgo's back", nil},
		{"no room in the spool", func(w *world) { w.spool = journaltest.New(100 << 10) }, failure.CodeRefused, "no room", func(w *world) { w.spool = journaltest.New(64 << 20) }},
		{"the tracking snapshot overflowed", func(w *world) { w.src.Overflow("/dev/vg0/" + w.tracker().Name) }, failure.CodeNeedFull, "overflowed", nil},
		{"the tracking snapshot is lost", func(w *world) { w.remove(w.tracker()) }, failure.CodeNeedFull, "is gone", nil},
		{"the source is not the state's: another volume under its name", func(w *world) { w.srcID = state.LV("another-volume"); w.retag(w.src, sourcePath, nil) }, failure.CodeRefused, "a copy of another volume", nil},
		{"the source's state is damaged", func(w *world) { w.srcFiles.spoil() }, failure.CodeRefused, "damaged", nil},
		{"the source's state and its tags disagree", func(w *world) { w.retag(w.src, sourcePath, nil) }, failure.CodeRefused, "disagree", nil},
	}
}

// TestRefusedSync: nothing is written and no snapshot stays; where the cause can go, the next sync
// succeeds.
func TestRefusedSync(t *testing.T) {
	for _, c := range refusedSyncs() {
		t.Run(c.name, func(t *testing.T) {
			w := copied(t)
			c.before(w)
			content := w.content(w.dst, targetPath)
			_, err := w.run(w.start(nil), doSync)
			w.refused(err, c.code, c.words)
			require.Equal(t, content, w.content(w.dst, targetPath))
			require.NoError(t, w.foreignUntouched())
			if c.after != nil {
				c.after(w)
				require.NoError(t, w.repair(doSync))
			}
		})
	}
}

func (w *world) tracker() lvm.LV {
	for _, v := range w.lvs(w.src, "vg0") {
		if v.Snapshot() {
			return v
		}
	}
	w.t.Fatal("no tracker")
	return lvm.LV{}
}

func (w *world) remove(v lvm.LV) {
	require.NoError(w.t, (&lvm.LVM{Runner: w.src}).Remove(context.Background(), v))
}

func (w *world) refused(err error, code int, words string) {
	w.t.Helper()
	var f *failure.Error
	require.ErrorAs(w.t, err, &f)
	require.Equal(w.t, code, f.Code, "%v", err)
	require.ErrorContains(w.t, err, words)
	require.NotEmpty(w.t, f.Next, "the next command")
}

// TestShrunkSource: what is not there any more cannot be sent, and a copy is not cut by itself.
func TestShrunkSource(t *testing.T) {
	w := copied(t)
	near := w.start(nil).near
	s, err := near.lookAtSource(t.Context(), w.theLeg())
	require.NoError(t, err)
	f := Facts{Resource: "app", Origin: "vg0/data", OriginSize: volumeBytes - 4096, Snap1: SnapshotFact{"snap1", SnapGood, s.doc.Tracking.UUID, true},
		Local: LocalFacts{State: LocalLoaded, Base: s.doc.Tracking.Generation}, Target: TargetFacts{Condition: TargetClean, At: s.doc.Tracking.Generation}}
	w.refused(Reconcile(f).Err(f), failure.CodeRefused, "has shrunk")
	f.OriginSize = volumeBytes
	require.NoError(t, Reconcile(f).Err(f))
}

// TestRefusalIsNoSilence: a target that answers and refuses our key is not called unreachable.
func TestRefusalIsNoSilence(t *testing.T) {
	w := copied(t)
	w.far = func(h *Host) { h.Allow = &Allow{Devices: []string{"/dev/vg1/other"}} }
	e := w.start(nil)
	d := &Driver{Host: e.near, Leg: w.theLeg(), Opt: SyncOptions{Dial: e.dial}}
	o, err := d.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, array.LinkUp, o.Link)
	sum, err := array.Run(t.Context(), d, array.Goal{Verb: array.Update}, array.Options{Resource: "app"})
	e.serving.Wait()
	require.Error(t, err)
	require.Equal(t, failure.CodeRefused, sum.ExitCode, sum.Reason)
	require.Contains(t, sum.Reason, "may not reach the volume")
	require.Contains(t, sum.Next, "forced command")
}
