package hp3par_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/sim/control"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

var testStart = time.Date(2014, 3, 25, 15, 13, 47, 0, time.UTC)

// keyDir is where all tests of this run share the simulator's keys.
var (
	keyDir string
	making sync.Mutex // of keys
)

func TestMain(m *testing.M) {
	if os.Getenv(standInMode) != "" {
		os.Exit(standIn(os.Args[1:]))
	}
	dir, err := os.MkdirTemp("", "hp3par-driver-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	keyDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // nothing depends on it any more
	os.Exit(code)
}

// bench is a simulated pair and the two arrays as the driver sees them.
type bench struct {
	sim    *simulator.Sim
	arrays [2]*hp3par.Array
	mode   string
	count  atomic.Int64
	// isolate cuts a lost side off instead of switching it off: nobody reaches its array, but its
	// hosts go on writing until they are found again.
	isolate bool
	lost    string
}

func newBench(t testing.TB, mode string, change func(*simulator.Options)) *bench {
	t.Helper()
	scenario, err := simulator.LoadScenario("default")
	require.NoError(t, err)
	if mode == "sync" {
		scenario.Groups[0].Mode, scenario.Groups[0].PeriodS = "sync", 0
	}
	o := simulator.Options{Dir: t.TempDir(), KeyDir: keyDir, Scenario: scenario, Clock: control.Auto, Start: testStart}
	if change != nil {
		change(&o)
	}
	making.Lock()
	s, err := simulator.Start(t.Context(), o)
	making.Unlock()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Empty(t, s.Violations(), "in no test may both sides accept writes, or a promoted side be no completed point")
		require.NoError(t, s.Close())
	})
	b := &bench{sim: s, mode: mode}
	for i := range b.arrays {
		b.arrays[i] = b.ssh(t, i)
	}
	return b
}

func (b *bench) options(i int) hp3par.Options {
	return hp3par.Options{Name: b.sim.Ready().Arrays[i].Name, Timezones: map[string]string{"CET": "+01:00"}, Sleep: b.sleep}
}

func (b *bench) ssh(t testing.TB, i int) *hp3par.Array {
	t.Helper()
	r := b.sim.Ready().Arrays[i]
	a, err := hp3par.NewSSH(b.options(i), hp3par.SSH{Address: r.SSH, User: "opensvc", KeyFile: r.ClientKey, KnownHosts: r.KnownHosts})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func (b *bench) sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return b.sim.Advance(d)
}

func (b *bench) config() hp3par.Config {
	return hp3par.Config{Name: "svc1", Mode: b.mode, Sites: [2]hp3par.Site{
		{Name: "site1", Array: b.arrays[0], Group: "MYRCG"}, {Name: "site2", Array: b.arrays[1], Group: "MYRCG.r12345"},
	}}
}

func (b *bench) driver(t testing.TB) *hp3par.Driver {
	t.Helper()
	d, err := hp3par.New(b.config())
	require.NoError(t, err)
	return d
}

// lab lets the conformance suite hurt a bench.
type lab struct{ *bench }

func (l lab) Open(context.Context, string) (array.Driver, error) {
	l.arrays[0].Forget()
	l.arrays[1].Forget()
	return hp3par.New(l.config())
}

func (l lab) name(site string) string {
	if site == "site1" {
		return l.sim.Ready().Arrays[0].Name
	}
	return l.sim.Ready().Arrays[1].Name
}

func (l lab) SiteDown(_ context.Context, site string) error {
	if !l.isolate {
		return l.sim.AddFault(l.name(site), "array_down", true)
	}
	l.lost = site
	return errors.Join(l.sim.AddFault(l.name(site), "link_down", true), l.sim.AddFault(l.name(site), "mgmt_down", true))
}

func (l lab) SiteUp(_ context.Context, site string) error {
	if l.lost == site {
		l.lost = ""
	}
	for _, fault := range []string{"array_down", "mgmt_down", "link_down"} {
		l.sim.ClearFaults(l.name(site), fault)
	}
	return nil
}

func (l lab) LinkDown(context.Context) error { return l.sim.AddFault("", "link_down", true) }

func (l lab) LinkUp(context.Context) error {
	l.sim.ClearFaults("", "link_down")
	return nil
}

const volume = "VV_SVC1_ROOT"

func (l lab) Read(ctx context.Context, site string) (string, error) {
	p, err := l.sim.IO(ctx, control.IORequest{Array: l.name(site), Volume: volume, Op: "read", Length: 4096})
	sum := sha256.Sum256(p)
	return strings.TrimRight(string(p[:min(16, len(p))]), "\x00") + hex.EncodeToString(sum[:4]), err
}

func (l lab) Write(ctx context.Context, site string) error {
	if l.lost != "" && l.lost != site {
		if err := l.write(ctx, l.lost); err != nil && !errors.Is(err, arraytest.ErrReadOnly) {
			return err
		}
	}
	return l.write(ctx, site)
}

func (l lab) write(ctx context.Context, site string) error {
	n := l.count.Add(1)
	_, err := l.sim.IO(ctx, control.IORequest{Array: l.name(site), Volume: volume, Op: "write", Data: fmt.Appendf(nil, "%08d %s", n, site)})
	if errors.Is(err, control.ErrForbidden) {
		return arraytest.ErrReadOnly
	}
	return err
}

func (l lab) Foreign(ctx context.Context, verb string) error {
	for i, group := range []string{"MYRCG", "MYRCG.r12345"} {
		command := map[string]string{"break": "stoprcopygroup -f ", "resume": "startrcopygroup "}[verb] + group
		// Another operator's command may fail, as any command may.
		_ = l.arrays[i].Command(ctx, command)
	}
	return nil
}

func (l lab) Harm() []string { return l.sim.Violations() }

func (l lab) Sleep(ctx context.Context, d time.Duration) error { return l.sleep(ctx, d) }

func TestConformance(t *testing.T) {
	for _, mode := range []string{"async", "sync"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode, nil)
			arraytest.Test(t, lab{b}, arraytest.Options{Quick: os.Getenv("DDSGO_FULL") == "", Only: os.Getenv("DDSGO_CONFORMANCE_ONLY")})
			b.checkJournal(t)
		})
	}
}
