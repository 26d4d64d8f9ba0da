//go:build lab

package replica_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lab"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// pairLab is a pair on real LVM under the conformance suite. The target's end serves in
// this process, with a host and a state directory of its own: starting the program for
// each of the suite's many sessions is slow where the lab is.
type pairLab struct {
	*pair
	serving        sync.WaitGroup
	turns, remakes int
	mu             sync.Mutex
	down           map[string]bool
	cut            bool
}

const pairBytes = 4 * mib

var _ arraytest.Remaker = (*pairLab)(nil)

// Remake implements arraytest.Remaker: new volumes, and a first full copy.
func (l *pairLab) Remake(context.Context) error {
	l.remakes++
	if l.remakes > 1 {
		lab.Run(l.t, "lvm", "lvremove", "--yes", "--force", l.src.Name, l.dst.Name)
		l.src.LV(l.t, "app-data", pairBytes)
		l.dst.LV(l.t, "appdata", pairBytes)
	}
	lab.Fill(l.t, l.source, uint64(l.remakes), 2*mib)
	l.ok("full", "app")
	return nil
}

func (l *pairLab) reach(site string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down[site] || site == "" && l.cut {
		return &os.PathError{Op: "reach", Path: "the host", Err: syscall.EHOSTDOWN}
	}
	return nil
}

// host is the machine of one side; it loses its volumes when its side dies.
func (l *pairLab) host(site, dir string) (*replica.Host, error) {
	store, err := state.Open(filepath.Join(l.dir, dir))
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	h := replica.NewHost(store, run.OS{Log: log}, dir, log)
	identify := h.Identify
	h.Identify = func(path string) (state.Identity, error) {
		if err := l.reach(site); err != nil {
			return state.Identity{}, err
		}
		return identify(path)
	}
	return h, nil
}

// Open makes the driver of the source's host; where that host is lost, the one that is
// left to an administrator: the target's.
func (l *pairLab) Open(_ context.Context, site string) (array.Driver, error) {
	leg := replica.Leg{Resource: "app", Source: l.source, Device: l.target, SnapSize: func(o int64) int64 { return o }, Codec: engine.CodecS2}
	if l.reach(replica.SiteSource) != nil {
		h, err := l.host(replica.SiteLocal, "far")
		return &replica.Driver{Host: h, Leg: leg, AtTarget: true}, err
	}
	if site == replica.SiteLocal {
		return nil, fmt.Errorf("%w: a leg is driven from its source's host while that lives", arraytest.ErrLeftOut)
	}
	dial := func(context.Context, transport.Target) (replica.Connection, error) {
		if err := errors.Join(l.reach(""), l.reach(replica.SiteLocal)); err != nil {
			return nil, err
		}
		return l.serve()
	}
	h, err := l.host(replica.SiteSource, "near")
	return &replica.Driver{Host: h, Leg: leg, Opt: replica.SyncOptions{Dial: dial}}, err
}

// pipe is the source's end of a session.
type pipe struct{ io.ReadWriteCloser }

func (pipe) Explain(err error) error { return err }

// serve starts the target's end of a session.
func (l *pairLab) serve() (replica.Connection, error) {
	h, err := l.host(replica.SiteLocal, "far")
	if err != nil {
		return nil, err
	}
	client, server := transport.Pipe()
	l.serving.Go(func() {
		// A session that was cut ends with an error; what counts is what it left.
		_ = replica.Service{Host: h}.Serve(context.Background(), server, session.Options{})
		_ = server.Close()
	})
	return pipe{client}, nil
}

func (l *pairLab) set(change func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	return nil
}

func (l *pairLab) SiteDown(_ context.Context, site string) error {
	return l.set(func() { l.down[site] = true })
}

func (l *pairLab) SiteUp(_ context.Context, site string) error {
	return l.set(func() { l.down[site] = false })
}

func (l *pairLab) LinkDown(context.Context) error { return l.set(func() { l.cut = true }) }
func (l *pairLab) LinkUp(context.Context) error   { return l.set(func() { l.cut = false }) }

func (l *pairLab) device(site string) string {
	if site == replica.SiteSource {
		return l.source
	}
	return l.target
}

// Read hashes the device itself.
func (l *pairLab) Read(_ context.Context, site string) (string, error) {
	return lab.Hash(l.t, l.device(site)), nil
}

// Write writes to the device itself: what it accepts is for the kernel to say.
func (l *pairLab) Write(_ context.Context, site string) error {
	f, err := os.OpenFile(l.device(site), os.O_WRONLY|syscall.O_SYNC, 0)
	if err == nil {
		l.turns++
		block := make([]byte, 4096)
		copy(block, fmt.Sprintf("write %08d", l.turns))
		_, err = f.WriteAt(block, int64(l.turns%64)*4096)
		err = errors.Join(err, f.Close())
	}
	for _, no := range []error{syscall.EACCES, syscall.EPERM, syscall.EROFS} {
		if errors.Is(err, no) {
			return arraytest.ErrReadOnly
		}
	}
	return err
}

// Foreign is another operator's command on the source's host, which may fail as any may.
func (l *pairLab) Foreign(_ context.Context, verb string) error {
	if l.reach(replica.SiteSource) == nil {
		l.run(verb, "app")
	}
	return nil
}

func (l *pairLab) Sleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }

// TestConformanceLVM runs the conformance suite on real LVM: update, resume and failover
// where they have something to do (break makes the state before resume), each with one
// disturbance of each kind; with LAB_FULL=1, every verb in every state that LVM legs have, a subtest
// per state.
func TestConformanceLVM(t *testing.T) {
	subset := []string{"home side gone: failover", "broken: resume", "normal: update"}
	if os.Getenv("LAB_FULL") != "" {
		subset = []string{"normal: ", "broken: ", "link down: ", "away side gone: ", "home side gone: ", "failed over: ", "lost side back: ", "own writes: ", "deadline: "}
	}
	l := &pairLab{pair: newPair(t, pairBytes, nil), down: map[string]bool{}}
	t.Cleanup(l.serving.Wait)
	require.NoError(t, l.Remake(t.Context()))
	for _, only := range subset {
		t.Run(only, func(t *testing.T) {
			began := time.Now()
			say := func(text string) { t.Logf("%4.0f s: %s", time.Since(began).Seconds(), text) }
			arraytest.Test(t, l, arraytest.Options{Quick: true, Only: only, Log: say})
			say(fmt.Sprintf("the end; %d resources made so far", l.remakes))
		})
	}
}
