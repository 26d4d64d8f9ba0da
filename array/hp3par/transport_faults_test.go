package hp3par_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/sim/control"
)

// fault strikes what holds a text, so many times.
func (b *bench) fault(t testing.TB, kind string, value any, match string, count int) {
	t.Helper()
	f, err := control.NewFault("", kind, value)
	require.NoError(t, err)
	f.Match, f.Count = match, count
	_, err = b.sim.Faults().Add(f)
	require.NoError(t, err)
}

func (b *bench) observe(t testing.TB) array.Observation {
	t.Helper()
	b.arrays[0].Forget()
	b.arrays[1].Forget()
	o, err := b.driver(t).Observe(t.Context())
	require.NoError(t, err)
	return o
}

// An array that has no session left is asked eleven times, a second apart.
func TestTooManySessions(t *testing.T) {
	for _, transport := range []string{"ssh", "piped", "cli"} {
		for _, refusals := range []int{10, 11} {
			t.Run(fmt.Sprint(transport, refusals), func(t *testing.T) {
				b := newBench(t, "async", nil)
				over(t, b, transport)
				b.arrays[1] = b.ssh(t, 1)
				f, err := control.NewFault("hp3par1.opensvc.com", "too_many_cli", true)
				require.NoError(t, err)
				f.Count = refusals
				_, err = b.sim.Faults().Add(f)
				require.NoError(t, err)
				start := b.sim.Clock().Now()
				o := b.observe(t)
				require.Equal(t, refusals == 10, o.Sides[0].Reachable, o.Sides[0].Error)
				require.Equal(t, 10*time.Second, b.sim.Clock().Now().Sub(start))
				if refusals == 11 {
					require.Contains(t, o.Sides[0].Error, "Too many local CLI connections.")
				}
			})
		}
	}
}

// hangUp is an address at which the first connections are closed before a word is said.
func hangUp(t *testing.T, to string, first int32) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var seen atomic.Int32
	var open sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if seen.Add(1) <= first {
				_, _ = c.Read(make([]byte, 256)) // what the client says first; else it is a reset, not an end
				_ = c.Close()
				continue
			}
			open.Go(func() { splice(c, to) })
		}
	})
	return l.Addr().String()
}

func splice(c net.Conn, to string) {
	defer c.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	go func() { _, _ = io.Copy(far, c); _ = far.Close() }()
	_, _ = io.Copy(c, far)
}

func TestConnectionClosedByRemoteHost(t *testing.T) {
	for first, reachable := range map[int32]bool{10: true, 11: false} {
		b := newBench(t, "async", nil)
		r := b.sim.Ready().Arrays[0]
		address := hangUp(t, r.SSH, first)
		known, err := os.ReadFile(r.KnownHosts)
		require.NoError(t, err)
		_, port, _ := net.SplitHostPort(r.SSH)
		_, fake, _ := net.SplitHostPort(address)
		file := filepath.Join(t.TempDir(), "known_hosts")
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(known), ":"+port, ":"+fake)), 0o600))
		a, err := hp3par.NewSSH(b.options(0), hp3par.SSH{Address: address, User: "opensvc", KeyFile: r.ClientKey, KnownHosts: file})
		b.arrays[0] = closing(t)(a, err)
		start := b.sim.Clock().Now()
		o := b.observe(t)
		require.Equal(t, reachable, o.Sides[0].Reachable, o.Sides[0].Error)
		require.Equal(t, 10*time.Second, b.sim.Clock().Now().Sub(start))
	}
}

// A connection that broke while nobody used it is replaced without a word.
func TestConnectionThatBrokeMeanwhile(t *testing.T) {
	for _, transport := range []string{"ssh", "piped"} {
		b := newBench(t, "async", nil)
		over(t, b, transport)
		require.True(t, b.observe(t).AllReachable())
		require.NoError(t, b.sim.AddFault("", "mgmt_down", true)) // cuts what is open
		b.sim.ClearFaults("", "mgmt_down")
		o := b.observe(t)
		require.True(t, o.AllReachable(), "%s: %+v", transport, o.Sides)
	}
}

// Many resources at once open no more sessions than max_cli.
func TestMaxCLI(t *testing.T) {
	for _, transport := range []string{"ssh", "piped", "wsapi"} {
		b := newBench(t, "async", nil)
		over(t, b, transport)
		b.fault(t, "slow_ms", 5, "", 0)
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				d, err := hp3par.New(b.config())
				if err == nil {
					_, err = array.Run(t.Context(), d, array.Goal{Verb: array.Resume}, array.Options{Resource: "svc1", Sleep: b.sleep})
				}
				if err != nil {
					t.Error(err)
				}
				b.arrays[0].Forget()
			})
		}
		all.Wait()
		for i, a := range b.sim.Snapshot().Arrays {
			require.LessOrEqual(t, max(a.CLIPeak, b.mostSessions(i)), hp3par.DefaultMaxCLI, transport)
			require.Zero(t, a.APISessions)
		}
	}
}

// mostSessions is how many WSAPI sessions an array ever had at once.
func (b *bench) mostSessions(i int) int {
	now, most := 0, 0
	for _, e := range b.sim.Journal().Since(0) {
		switch {
		case e.Array != b.sim.Ready().Arrays[i].Name || !strings.HasPrefix(e.Path, "/api/v1/credentials"):
		case e.Method == "POST":
			now++
			most = max(most, now)
		default:
			now--
		}
	}
	return most
}

// The reply to each act of each verb is lost once, by the array itself; the verb ends as if it had come,
// and the act is not done twice.
func TestLostReplies(t *testing.T) {
	for transport, acts := range map[string][]string{
		"ssh": {"syncrcopy", "stoprcopygroup", "setrcopygroup", "startrcopygroup"}, "piped": {"stoprcopygroup", "setrcopygroup"},
		"proxy": {"setrcopygroup"}, "wsapi": {`PUT `, `POST /api/v1/remotecopygroups`},
	} {
		for _, act := range acts {
			t.Run(transport+" "+act, func(t *testing.T) {
				b := newBench(t, "async", nil)
				over(t, b, transport)
				b.fault(t, "drop_reply", true, act, 1)
				s := b.run(t, array.Goal{Verb: array.Swap, Site: "site2", WritersStopped: true})
				require.Equal(t, report.ResultDone, s.Result)
				o := b.observe(t)
				require.Equal(t, []string{"site2"}, o.Primaries())
				require.Equal(t, array.Running, o.Replication)
				require.Empty(t, b.sim.Faults().List(), "the fault has struck")
				reverses := 0
				for _, c := range b.changes() {
					if strings.Contains(c, "reverse") || strings.HasSuffix(c, "POST 6") {
						reverses++
					}
				}
				require.Equal(t, 1, reverses, b.changes())
				b.checkJournal(t)
			})
		}
	}
}

// 503 is answered five times at most, counted per call: each of two calls has all its attempts.
func TestWSAPIBusy(t *testing.T) {
	for busy, reachable := range map[int]bool{4: true, 5: false} {
		b := newBench(t, "async", nil)
		over(t, b, "wsapi")
		for _, call := range []string{"POST /api/v1/credentials", "GET /api/v1/remotecopygroups", "GET /api/v1/remotecopylinks"} {
			f, err := control.NewFault("hp3par1.opensvc.com", "http_503", true)
			require.NoError(t, err)
			f.Match, f.Count = call, busy
			_, err = b.sim.Faults().Add(f)
			require.NoError(t, err)
		}
		start := b.sim.Clock().Now()
		o := b.observe(t)
		require.Equal(t, reachable, o.Sides[0].Reachable, o.Sides[0].Error)
		if reachable {
			require.Equal(t, 3*(1+3+7+15)*time.Second, b.sim.Clock().Now().Sub(start).Truncate(time.Second))
		} else {
			require.Contains(t, o.Sides[0].Error, "503")
		}
		b.checkJournal(t)
	}
}

func (b *bench) logins() int {
	n := 0
	for _, e := range b.sim.Journal().Since(0) {
		if e.Method == "POST" && e.Path == "/api/v1/credentials" {
			n++
		}
	}
	return n
}

// A session that has ended is replaced, once; what the array forbids for another reason, with the same
// HTTP status, is no reason to log in again.
func TestWSAPISessions(t *testing.T) {
	b := newBench(t, "async", nil)
	over(t, b, "wsapi")
	b.fault(t, "expire_session", true, "GET /api/v1/remotecopygroups", 1)
	require.True(t, b.observe(t).AllReachable())
	require.Equal(t, 3, b.logins())
	b.checkJournal(t)

	before := b.logins()
	err := b.driver(t).Do(t.Context(), array.Step{Site: "site1", Args: map[string]string{"op": "start", "group": "MYRCG"}})
	var e *array.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, array.KindArray, e.Kind)
	require.Equal(t, 403, e.RC)
	require.Equal(t, 1, b.logins()-before, "the group was started already: 403, but not because of the session")
	b.checkJournal(t)

	b.fault(t, "expire_session", true, "", 0)
	o := b.observe(t)
	require.False(t, o.Sides[0].Reachable, "an array that forgets every session at once")
	require.Contains(t, o.Sides[0].Error, "session")
}

// A person who presses ^C, or a service manager, leaves no session behind, whatever is under way.
func TestWSAPISessionsAfterAnInterrupt(t *testing.T) {
	for _, during := range []string{"POST /api/v1/credentials", "GET /api/v1/remotecopygroups", "GET /api/v1/remotecopylinks", "PUT "} {
		t.Run(during, func(t *testing.T) {
			b := newBench(t, "async", nil)
			over(t, b, "wsapi")
			b.fault(t, "slow_ms", 100, during, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := make(chan struct{})
			go func() { // as soon as the request is under way
				defer close(stop)
				for ctx.Err() == nil {
					for _, e := range b.sim.Journal().Since(0) {
						if strings.HasPrefix(e.Method+" "+e.Path, during) {
							cancel()
							return
						}
					}
					time.Sleep(time.Millisecond) // of a poll, which has no other event to wait for
				}
			}()
			s, err := array.Run(ctx, b.driver(t), array.Goal{Verb: array.Break}, array.Options{Resource: "svc1", Sleep: b.sleep})
			require.Error(t, err)
			require.Equal(t, failure.CodeInterrupted, s.ExitCode)
			<-stop
			require.Eventually(t, func() bool {
				left := 0
				for _, a := range b.sim.Snapshot().Arrays {
					left += a.APISessions
				}
				return left == 0
			}, 10*time.Second, 5*time.Millisecond, "sessions left")
		})
	}
}
