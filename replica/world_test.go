package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal/journaltest"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// Sizes and names of a world. The target is larger than the source: what lies behind the
// copy must never change.
const (
	volumeBytes = 2 << 20
	behindBytes = 1 << 20
	sourcePath  = "/dev/vg0/data"
	targetPath  = "/dev/vg1/copy"
	chunkBytes  = 4096
)

// world is two machines with a volume each, what ddsgo keeps on them, and other people's
// volumes that nobody may touch.
type world struct {
	t            testing.TB
	src, dst     *lvmfake.Machine
	srcFiles     *memFiles
	dstFiles     *memFiles
	spool        *journaltest.FS
	size         int    // of the source, bytes
	dir          string // real: locks and changed sets
	srcID, dstID state.Identity
	rng          *rand.Rand // of the workload
	boot         int
	chunk        int64 // of snapshots; 0: LVM's default
	guard        bool  // protect: snapshot
	srcBoot      int
	base         string            // UUID of a generation that a scenario remembers
	srcWrites    map[string]uint64 // by snapshot of the source
	written      atomic.Uint64     // write requests that the target's device got
	clock        atomic.Int64
	held         []blockdev.Holder
	far          func(*Host)  // changes the target's host before a run; may be nil
	leg          func(*Leg)   // likewise the leg
	sent         atomic.Int64 // bytes from source to target in all runs
	snapshots    map[string][]byte
	foreign      map[string][]byte // content by path, per machine below
	step         func(string)      // events of runs; may be nil
	initial      []byte            // of the target, before the first copy
}

// newWorld has an origin with content, and a target that never received anything.
func newWorld(t testing.TB, dir string) *world { return newWorldOf(t, dir, volumeBytes) }

// newWorldOf has an origin of size bytes.
func newWorldOf(t testing.TB, dir string, size int) *world {
	w := &world{t: t, size: size, src: lvmfake.New(), dst: lvmfake.New(), srcFiles: newMemFiles(), dstFiles: newMemFiles(),
		spool: journaltest.New(64 << 20), dir: dir, rng: rand.New(rand.NewPCG(7, 7)), snapshots: map[string][]byte{}, foreign: map[string][]byte{}}
	for range 999 { // UUIDs differ between machines
		w.dst.AddVG("vg1", 64<<20)
	}
	for _, m := range []struct {
		m    *lvmfake.Machine
		vg   string
		name string
		size int64
	}{{w.src, "vg0", "data", int64(size)}, {w.dst, "vg1", "copy", int64(size + behindBytes)}} {
		m.m.AddVG(m.vg, int64(5*size+64<<20))
		m.m.AddLV(m.vg, m.name, m.size)
		m.m.AddLV(m.vg, "other", 1<<20)
	}
	w.srcID, w.dstID = w.identity(w.src, sourcePath), w.identity(w.dst, targetPath)
	w.fill(w.src, "/dev/vg0/other", 1<<20)
	w.fill(w.dst, "/dev/vg1/other", 1<<20)
	w.fill(w.dst, targetPath, size+behindBytes)
	w.fill(w.src, sourcePath, size/2) // the rest is zeros
	l := &lvm.LVM{Runner: w.src}
	other, err := l.Find(context.Background(), "/dev/vg0/other")
	require.NoError(t, err)
	_, err = l.CreateSnapshot(context.Background(), other, lvm.SnapshotSpec{Name: "other_osvc_snap1", Size: 1 << 20})
	require.NoError(t, err)
	for _, p := range []string{"/dev/vg0/other", "/dev/vg0/other_osvc_snap1"} {
		w.foreign[p] = w.content(w.src, p)
	}
	w.foreign["/dev/vg1/other"] = w.content(w.dst, "/dev/vg1/other")
	w.foreign["tail"] = w.content(w.dst, targetPath)[size:]
	return w
}

func (w *world) identity(m *lvmfake.Machine, path string) state.Identity {
	lv, err := (&lvm.LVM{Runner: m}).Find(context.Background(), path)
	require.NoError(w.t, err)
	return state.LV(lv.UUID)
}

// noise is n random bytes, which do not compress.
func (w *world) noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(w.rng.Uint32()), byte(w.rng.Uint32())}).Read(b) // never fails
	return b
}

// fill writes random bytes to the first n bytes of a volume, durably.
func (w *world) fill(m *lvmfake.Machine, path string, n int) {
	w.put(m, path, 0, w.noise(n))
}

func (w *world) put(m *lvmfake.Machine, path string, off int64, b []byte) {
	d, err := m.Open(path)
	require.NoError(w.t, err)
	_, err = d.WriteAt(b, off)
	require.NoError(w.t, errors.Join(err, d.Sync(), d.Close()))
}

func (w *world) content(m *lvmfake.Machine, path string) []byte {
	d, err := m.Open(path)
	require.NoError(w.t, err, path)
	b := make([]byte, d.Size())
	_, err = d.ReadAt(b, 0)
	require.NoError(w.t, errors.Join(err, d.Close()), path)
	return b
}

// change writes to the origin: scattered blocks, a larger range, and zeros.
func (w *world) change() {
	for range 8 {
		b := bytes.Repeat([]byte{byte(w.rng.Uint32())}, 512*(1+w.rng.IntN(16)))
		w.put(w.src, sourcePath, int64(w.rng.IntN(w.size/512-16))*512, b)
	}
	large := w.noise(600 << 10)
	w.put(w.src, sourcePath, int64(w.rng.IntN(w.size/4/512))*512, large)
	w.put(w.src, sourcePath, int64(w.size/2)+int64(w.rng.IntN(64))*chunkBytes, make([]byte, 5*chunkBytes))
}

// ends is both hosts of one run, as fresh processes.
type ends struct {
	near, far     *Host
	srcGate       *gate
	dstGate       *gate
	point         *point
	serving       sync.WaitGroup
	mu            sync.Mutex
	client, servr io.Closer
	sent          *atomic.Int64
}

// start makes the processes of one run; p may be nil.
func (w *world) start(p *point) *ends {
	e := &ends{srcGate: newGate("source", p), dstGate: newGate("target", p), point: p, sent: &w.sent}
	e.near = w.host("src", w.src, gatedState{w.srcFiles, e.srcGate}, e.srcGate, func() {})
	e.far = w.host("dst", w.dst, gatedState{w.dstFiles, e.dstGate}, e.dstGate, func() { w.written.Add(1) })
	e.srcGate.hangUp = func() { e.hangUp(true) }
	e.dstGate.hangUp = func() { e.hangUp(false) }
	if p != nil && (p.Fate == linkCut || p.Fate == linkAfter || p.Fate == loseAnswer) {
		e.srcGate.hangUp, e.dstGate.hangUp = e.unplug, e.unplug
	}
	e.srcGate.both, e.dstGate.both = e.dstGate.dieToo, e.srcGate.dieToo
	if w.far != nil {
		w.far(e.far)
	}
	machine := map[string]*lvmfake.Machine{"source": w.src, "target": w.dst}
	for _, m := range machine {
		m.CrashAt(0)
	}
	if p != nil && p.Layer == layerCommand && p.Fate != failOnce && p.Fate != failStays {
		machine[p.End].CrashAt(p.N + 1)
	}
	return e
}

// dieToo is the death of the other end in the same instant.
func (g *gate) dieToo() {
	g.mu.Lock()
	g.dead = true
	g.mu.Unlock()
	g.hangUp()
}

func (e *ends) hangUp(source bool) {
	e.mu.Lock()
	c := e.servr
	if source {
		c = e.client
	}
	e.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// unplug cuts the link between two ends that live.
func (e *ends) unplug() { e.hangUp(true); e.hangUp(false) }

func (w *world) host(name string, m *lvmfake.Machine, files state.FS, g *gate, wrote func()) *Host {
	dir := filepath.Join(w.dir, name)
	h := NewHost(state.OpenFS(dir, files), gatedRunner{g, m}, name, slog.New(slog.DiscardHandler))
	h.Now = func() time.Time { return time.Unix(1_800_000_000+w.clock.Add(1), 0) }
	h.Journal, h.SpoolDir, h.Checkpoint = gatedJournal{w.spool, g}, "/spool", 256<<10
	h.Identify = func(path string) (state.Identity, error) {
		if path == sourcePath && name == "src" {
			return w.srcID, nil
		}
		if path == targetPath && name == "dst" {
			return w.dstID, nil
		}
		return state.Identity{}, &os.PathError{Op: "identify", Path: path, Err: os.ErrNotExist}
	}
	h.Holders = func(string) ([]blockdev.Holder, error) { return w.held, g.alive() }
	h.Counters = func(path string) (blockdev.Counters, error) {
		if name == "src" {
			return blockdev.Counters{BootID: fmt.Sprint("source-boot-", w.srcBoot), Writes: w.srcWrites[path]}, g.alive()
		}
		return blockdev.Counters{BootID: fmt.Sprint("boot", w.boot), Writes: w.written.Load()}, g.alive()
	}
	h.OpenDevice = func(path string, o blockdev.Options) (d blockdev.Device, err error) {
		err = g.do(layerDevice, nil, func() error {
			inner, err := m.Open(path)
			d = gatedDevice{inner, g, wrote}
			return err
		})
		return d, err
	}
	h.WriteSet = func(path string, hd extent.ChangedSetHeader, changed extent.Seq) (id extent.SetID, err error) {
		half := func() error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"12345"), []byte("torn"), 0o600)
		}
		err = g.do(layerSet, half, func() (err error) { id, err = extent.WriteChangedSet(path, hd, changed); return err })
		return id, err
	}
	h.OpenSet = func(path string) (set *extent.ChangedSet, err error) {
		err = g.do(layerSet, nil, func() (err error) { set, err = extent.OpenChangedSet(path); return err })
		return set, err
	}
	return h
}

// dial starts the target's process at the other end of a pipe.
func (e *ends) dial(context.Context, transport.Target) (Connection, error) {
	if err := e.srcGate.alive(); err != nil {
		return nil, err
	}
	client, server := transport.Pipe()
	e.mu.Lock()
	e.client, e.servr = client, server
	e.mu.Unlock()
	e.serving.Go(func() {
		// A session that was cut ends with an error; what counts is what it left.
		_ = Service{Host: e.far}.Serve(context.Background(), gatedConn{server, e.dstGate}, session.Options{})
		_ = server.Close()
	})
	return gatedConn{counted{client, e.sent}, e.srcGate}, nil
}

// counted counts what is written.
type counted struct {
	io.ReadWriteCloser
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// verb is one command of a user.
type verb string

const (
	doSync      verb = "sync"
	doFull      verb = "full"
	doOverwrite verb = "full --overwrite"
	doFold      verb = "fold"
	doFoldSync  verb = "fold, sync"
)

func (w *world) theLeg() Leg {
	l := Leg{Resource: "app", Source: sourcePath, Device: targetPath, SnapSize: func(o int64) int64 { return o }, Codec: engine.CodecS2}
	if w.leg != nil {
		w.leg(&l)
	}
	return l
}

// deadline is after how long a run counts as hung.
const deadline = time.Minute

// run runs one command with fresh processes, and waits until both are gone.
func (w *world) run(e *ends, v verb) (rep report.Sync, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	hung := time.AfterFunc(deadline+20*time.Second, func() {
		b := make([]byte, 1<<20)
		panic(fmt.Sprintf("%s hangs at %v\n%s", v, e.point, b[:runtime.Stack(b, true)]))
	})
	defer hung.Stop()
	opt := SyncOptions{Dial: e.dial, Overwrite: v == doOverwrite, Events: Events{Step: w.step}}
	if v == doFold || v == doFoldSync {
		_, err = e.near.Fold(ctx, w.theLeg(), opt)
	}
	switch {
	case err != nil || v == doFold:
	case v == doSync || v == doFoldSync:
		rep, err = e.near.Sync(ctx, w.theLeg(), opt)
	default:
		rep, err = e.near.Full(ctx, w.theLeg(), opt)
	}
	e.serving.Wait()
	return rep, err
}

// must runs a command without faults.
func (w *world) must(v verb) report.Sync {
	rep, err := w.run(w.start(nil), v)
	require.NoError(w.t, err)
	w.remember()
	return rep
}

// fired says that the run reached its point.
func (e *ends) fired() bool { return e.srcGate.fired || e.dstGate.fired }

// restart starts the machines anew after a run: killed programs are gone, a power cut has
// lost what was not synced.
func (w *world) restart(p *point, rng *rand.Rand) {
	cut := p != nil && p.Fate == powerCut
	if cut && p.End == "source" {
		w.src.PowerCut()
		w.src.LoseUnsynced(rng, rng.Float64())
		w.srcFiles = w.srcFiles.afterPowerCut(rng)
		w.srcBoot++
		w.src.PowerOn()
	}
	if cut && p.End == "target" {
		w.dst.PowerCut()
		w.dst.LoseUnsynced(rng, rng.Float64())
		w.dstFiles, w.spool = w.dstFiles.afterPowerCut(rng), w.spool.CrashClone(rng)
		w.boot++
		w.written.Store(0)
		w.dst.PowerOn()
	}
	w.src.Restart()
	w.dst.Restart()
}

// lvs lists a volume group without what is not ddsgo's.
func (w *world) lvs(m *lvmfake.Machine, vg string) []lvm.LV {
	lvs, err := (&lvm.LVM{Runner: m}).Report(context.Background(), vg)
	require.NoError(w.t, err)
	return slices.DeleteFunc(lvs, func(v lvm.LV) bool { return strings.HasPrefix(v.Name, "other") })
}

// remember keeps the content of each snapshot of the source by its UUID. A snapshot that
// cannot be read is of no use to anybody.
func (w *world) remember() {
	for _, v := range w.lvs(w.src, "vg0") {
		if !v.Snapshot() {
			continue
		}
		d, err := w.src.Open(v.Path)
		if err != nil {
			continue
		}
		b := make([]byte, d.Size())
		_, err = d.ReadAt(b, 0)
		if errors.Join(err, d.Close()) == nil {
			w.snapshots[v.UUID] = b
		}
	}
}

// copyNow is what the target holds in the range of the source.
func (w *world) copyNow() []byte { return w.content(w.dst, targetPath)[:w.size] }

// probe is what the target says of itself, without a change.
func (w *world) probe() (probeReply, error) {
	return w.start(nil).far.inspectVolume(context.Background(), VolumeRef{Device: targetPath, Resource: "app", Source: w.srcID.String()})
}
