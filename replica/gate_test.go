package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
	"github.com/ddsgo/ddsgo/state"
)

// layer is a kind of operation that a crash can come at.
type layer string

const (
	layerCommand layer = "LVM and dm commands"
	layerState   layer = "state files"
	layerSet     layer = "changed sets"
	layerJournal layer = "journal files"
	layerDevice  layer = "devices"
	layerMessage layer = "messages"
)

// fate is what happens at an operation.
type fate string

const (
	killBefore fate = "killed before"      // commands: before, inside each step, after
	killInside fate = "killed half done"   // half of the bytes
	killAfter  fate = "killed after"       // it is done, its caller never learns
	killBoth   fate = "both killed"        // before it
	failOnce   fate = "error once"         // EIO, exit status 5; of a write half the bytes are there
	failStays  fate = "error from then on" // of this kind of operation, until the next run
	powerCut   fate = "power cut"          // before it, and what was not synced is lost
	linkCut    fate = "link cut before"    // the message is lost, both ends live
	linkAfter  fate = "link cut after"     // the message is the last
	loseAnswer fate = "answer lost"        // the link is cut once the target has dropped its journal
	noFate     fate = ""
)

// point is one operation of one end, and its fate.
type point struct {
	End   string // "source" or "target"
	Layer layer
	N     int // from 0
	Fate  fate
}

func (p point) String() string {
	return fmt.Sprintf("%s of %s, %s, operation %d", p.Fate, p.End, p.Layer, p.N)
}

var (
	errKilled = errors.New("this process was killed")
	errIO     = fmt.Errorf("injected: %w", syscall.EIO)
)

// gate is what every operation of one end passes. It counts them, and kills the end or
// fails an operation where a point says so.
type gate struct {
	mu     sync.Mutex
	point  *point // of this end; nil: none
	seen   map[layer]int
	fired  bool
	dead   bool
	broken layer
	done   bool // the target has dropped its journal

	stopAt  int           // message at which the process is stopped
	stopped chan struct{} // until this is closed; nil: never

	hangUp func() // closes the connection as a dying process does
	both   func() // kills the other end too
}

func newGate(end string, p *point) *gate {
	g := &gate{seen: map[layer]int{}, hangUp: func() {}}
	if p != nil && p.End == end {
		g.point = p
	}
	return g
}

// enter counts an operation and says whether it meets its fate.
func (g *gate) enter(l layer) (fate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.dead:
		return noFate, errKilled
	case g.broken == l:
		return noFate, errIO
	}
	n := g.seen[l]
	g.seen[l]++
	if g.done && l == layerMessage && g.point != nil && g.point.Fate == loseAnswer {
		g.fired = true
		return linkCut, nil
	}
	if g.point == nil || g.fired || g.point.Layer != l || g.point.N != n {
		return noFate, nil
	}
	g.fired = true
	if g.point.Fate == failStays {
		g.broken = l
	}
	return g.point.Fate, nil
}

func (g *gate) alive() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return errKilled
	}
	return nil
}

// stop lets the process stop before its n-th message until c is closed.
func (g *gate) stop(n int, c chan struct{}) { g.stopAt, g.stopped = n, c }

// die makes every later operation fail.
func (g *gate) die() {
	g.mu.Lock()
	g.dead, g.fired = true, true
	both := g.both
	if g.point == nil || g.point.Fate != killBoth {
		both = nil
	}
	g.mu.Unlock()
	g.hangUp()
	if both != nil {
		both()
	}
}

// do runs one operation; half does a part of it and may be nil.
func (g *gate) do(l layer, half, whole func() error) error {
	what, err := g.enter(l)
	if err != nil {
		return err
	}
	switch what {
	case noFate:
		return whole()
	case killAfter:
		err := whole()
		g.die()
		return errors.Join(errKilled, err)
	case linkAfter:
		err := whole()
		g.hangUp()
		return err
	case linkCut:
		g.hangUp()
		return io.ErrClosedPipe
	}
	if half != nil && (what == killInside || what == failOnce || what == failStays) {
		err = half()
	}
	if what == failOnce || what == failStays {
		return errors.Join(errIO, err)
	}
	g.die()
	return errors.Join(errKilled, err)
}

// gatedRunner runs the commands of one end. Kills at commands are the machine's own points.
type gatedRunner struct {
	g *gate
	m *lvmfake.Machine
}

func (r gatedRunner) Run(ctx context.Context, c run.Cmd) (res run.Result, err error) {
	fails := r.g.point != nil && (r.g.point.Fate == failOnce || r.g.point.Fate == failStays)
	if err := r.g.alive(); err != nil {
		return run.Result{ExitCode: -1}, err
	}
	if fails {
		if what, err := r.g.enter(layerCommand); err != nil || what != noFate {
			return run.Result{ExitCode: 5}, &run.ExitError{Cmd: c.String(), ExitCode: 5, Stderr: "  injected failure\n"}
		}
	}
	res, err = r.m.Run(ctx, c)
	if r.m.Crashed() {
		r.g.die()
	}
	return res, err
}

// gatedDevice is an open device of one end. Writes are told to wrote.
type gatedDevice struct {
	blockdev.Device
	g     *gate
	wrote func()
}

func (d gatedDevice) ReadAt(p []byte, off int64) (n int, err error) {
	err = d.g.do(layerDevice, nil, func() (err error) { n, err = d.Device.ReadAt(p, off); return err })
	return n, err
}

func (d gatedDevice) WriteAt(p []byte, off int64) (n int, err error) {
	write := func(p []byte) func() error {
		return func() (err error) { d.wrote(); n, err = d.Device.WriteAt(p, off); return err }
	}
	err = d.g.do(layerDevice, write(p[:len(p)/1024*512]), write(p))
	return n, err
}

func (d gatedDevice) ZeroAt(off, length int64) error {
	zero := func(n int64) func() error {
		return func() error { d.wrote(); return d.Device.ZeroAt(off, n) }
	}
	return d.g.do(layerDevice, zero(length/1024*512), zero(length))
}

func (d gatedDevice) Sync() error { return d.g.do(layerDevice, nil, d.Device.Sync) }

// gatedConn is one end of the connection; every Write is a message.
type gatedConn struct {
	io.ReadWriteCloser
	g *gate
}

func (c gatedConn) Write(p []byte) (n int, err error) {
	c.g.mu.Lock()
	wait := c.g.stopped
	if c.g.seen[layerMessage] < c.g.stopAt {
		wait = nil
	}
	c.g.mu.Unlock()
	if wait != nil {
		<-wait
	}
	err = c.g.do(layerMessage,
		func() (err error) { n, err = c.ReadWriteCloser.Write(p[:len(p)/2]); return err },
		func() (err error) { n, err = c.ReadWriteCloser.Write(p); return err })
	return n, err
}

// Read does not read on once the process is stopped.
func (c gatedConn) Read(p []byte) (int, error) {
	c.g.mu.Lock()
	wait := c.g.stopped
	if c.g.seen[layerMessage] < c.g.stopAt {
		wait = nil
	}
	c.g.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return c.ReadWriteCloser.Read(p)
}

// Explain implements Connection.
func (c gatedConn) Explain(err error) error { return err }

// gatedState is the state directory of one end.
type gatedState struct {
	inner *memFiles
	g     *gate
}

func (f gatedState) do(op func() error) error { return f.g.do(layerState, nil, op) }

func (f gatedState) MkdirAll(dir string) error {
	return f.do(func() error { return f.inner.MkdirAll(dir) })
}
func (f gatedState) Link(from, to string) error {
	return f.do(func() error { return f.inner.Link(from, to) })
}
func (f gatedState) Rename(from, to string) error {
	return f.do(func() error { return f.inner.Rename(from, to) })
}
func (f gatedState) Remove(p string) error  { return f.do(func() error { return f.inner.Remove(p) }) }
func (f gatedState) SyncDir(d string) error { return f.do(func() error { return f.inner.SyncDir(d) }) }
func (f gatedState) ReadDir(dir string) (names []string, err error) {
	err = f.do(func() (err error) { names, err = f.inner.ReadDir(dir); return err })
	return names, err
}

func (f gatedState) ReadFile(p string, limit int64) (b []byte, err error) {
	err = f.do(func() (err error) { b, err = f.inner.ReadFile(p, limit); return err })
	return b, err
}

func (f gatedState) Create(path string) (p state.Pending, err error) {
	err = f.do(func() error { p = &gatedPending{f.inner.create(path), f.g}; return nil })
	return p, err
}

type gatedPending struct {
	*memPending
	g *gate
}

func (p *gatedPending) Write(b []byte) (int, error) {
	err := p.g.do(layerState,
		func() error { return p.memPending.write(b[:len(b)/2]) },
		func() error { return p.memPending.write(b) })
	return len(b), err
}

func (p *gatedPending) CloseAtomicallyReplace() error {
	if err := p.g.do(layerState, nil, p.sync); err != nil {
		return err
	}
	return p.g.do(layerState, nil, p.rename)
}

func (p *gatedPending) Cleanup() error { return p.g.do(layerState, nil, p.drop) }
