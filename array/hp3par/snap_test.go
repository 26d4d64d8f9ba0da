package hp3par_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/array/hp3par/proxy"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/sim/control"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

// snapBench is a pair whose first array holds two snapshots, ten minutes old.
func snapBench(t *testing.T, change func(*simulator.Options)) *bench {
	t.Helper()
	b := newBench(t, "async", func(o *simulator.Options) {
		o.Scenario.Arrays = []simulator.ScenarioArray{
			{Name: "hp3par1.opensvc.com", SystemID: 12345, FirstVV: 31110, Volumes: []simulator.ScenarioVol{
				{Name: "DATA", SizeMiB: 256}, {Name: "SNAP1", CopyOf: "DATA"}, {Name: "SNAP2", CopyOf: "VV_SVC1_ROOT"},
			}},
			{Name: "hp3par2.opensvc.com", SystemID: 12346, FirstVV: 31079},
		}
		if change != nil {
			change(o)
		}
	})
	require.NoError(t, b.sim.Advance(10*time.Minute))
	return b
}

func (b *bench) snap(t *testing.T, a *hp3par.Array, change func(*hp3par.SnapConfig)) *hp3par.SnapDriver {
	t.Helper()
	c := hp3par.SnapConfig{Name: "snaps", Array: a, Snapshots: []string{"SNAP1", "SNAP2"}, MaxAge: time.Hour, Now: b.sim.Clock().Now}
	if change != nil {
		change(&c)
	}
	d, err := hp3par.NewSnap(c)
	require.NoError(t, err)
	return d
}

func (b *bench) snapStatus(t *testing.T, d *hp3par.SnapDriver) report.Resource {
	t.Helper()
	o, err := d.Observe(t.Context())
	require.NoError(t, err)
	return array.Report("snaps", d.Capabilities(), o, "site1", b.sim.Clock().Now())
}

func (b *bench) refresh(t *testing.T, d *hp3par.SnapDriver, o array.Options) (report.Summary, error) {
	t.Helper()
	o.Resource, o.Sleep = "snaps", b.sleep
	return array.Run(t.Context(), d, array.Goal{Verb: array.Update}, o)
}

// requests are the WSAPI requests that changed something.
func (b *bench) requests() []string {
	var out []string
	for _, e := range b.sim.Journal().Since(0) {
		if e.Method != "" && e.Method != "GET" && !strings.Contains(e.Path, "/credentials") {
			out = append(out, e.Method+" "+e.Path+" "+e.Body)
		}
	}
	return out
}

// programRunner stands for the vendor's program: what it would send goes to the simulator.
type programRunner struct{ to *hp3par.Array }

func (p programRunner) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	args := slices.Clone(c.Args)
	if len(args) < 2 || args[0] != "-sys" || !slices.Contains(c.Env, "TPDNOCERTPROMPT=1") {
		return run.Result{}, errors.New("not how the program is called")
	}
	bare := slices.Contains(args, "-csvtable") && slices.Contains(args, "-nohdtot")
	args = slices.DeleteFunc(args[2:], func(a string) bool { return a == "-csvtable" || a == "-nohdtot" })
	line := strings.Join(args, " ")
	if bare {
		line += " -csvtable -nohdtot"
	}
	out, rc, err := p.to.Raw(ctx, line)
	if err == nil && rc != 0 {
		err = &run.ExitError{Cmd: c.Name, ExitCode: rc}
	}
	return run.Result{Stdout: []byte(out)}, err
}

func (b *bench) programArray(t *testing.T, i int) *hp3par.Array {
	t.Helper()
	a, err := hp3par.NewProgram(b.options(i), hp3par.Program{PwFile: "/p", Runner: programRunner{b.arrays[i]}})
	require.NoError(t, err)
	return a
}

func (b *bench) pipedArray(t *testing.T, i int) *hp3par.Array {
	t.Helper()
	r := b.sim.Ready().Arrays[i]
	a, err := hp3par.NewPiped(b.options(i), hp3par.SSH{Address: r.SSH, User: "opensvc", Password: "opensvc", KnownHosts: r.KnownHosts})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func (b *bench) wsapiArray(t *testing.T, i int) *hp3par.Array {
	t.Helper()
	r := b.sim.Ready().Arrays[i]
	a, err := hp3par.NewWSAPI(b.options(i), hp3par.WSAPI{URL: "https://" + r.WSAPI, CAFile: r.CAFile, User: "opensvc", Password: "opensvc"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

// proxied is an array behind a real proxy whose rule holds these commands.
func (b *bench) proxied(t *testing.T, i int, commands []string) *hp3par.Array {
	t.Helper()
	r := b.sim.Ready().Arrays[i]
	host, port, err := net.SplitHostPort(r.SSH)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	dir := t.TempDir()
	path := filepath.Join(dir, "proxy.yaml")
	text := "ssl_key: k\nssl_crt: c\narrays: {" + r.Name + ": {manager: " + host + ", port: " + strconv.Itoa(n) + ", username: opensvc, key: " + r.ClientKey + ", known_hosts: " + r.KnownHosts + "}}\n" +
		"creds: [{service: snaps, uuid: u-1, array: " + r.Name + ", commands: [\"" + strings.Join(commands, "\", \"") + "\"]}]\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := proxy.Load(path)
	require.NoError(t, err)
	runner, err := proxy.NewRunner(c, run.OS{})
	require.NoError(t, err)
	h := httptest.NewTLSServer(proxy.New(c, runner, io.Discard, slog.New(slog.DiscardHandler)))
	t.Cleanup(h.Close)
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600))
	a, err := hp3par.NewProxy(b.options(i), hp3par.Proxy{URL: h.URL, CAFile: ca, Service: "snaps", UUID: "u-1"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

// snapTransports are the ways to the first array.
func snapTransports() map[string]func(t *testing.T, b *bench) *hp3par.Array {
	return map[string]func(t *testing.T, b *bench) *hp3par.Array{
		"ssh":   func(_ *testing.T, b *bench) *hp3par.Array { return b.arrays[0] },
		"piped": func(t *testing.T, b *bench) *hp3par.Array { return b.pipedArray(t, 0) },
		"cli":   func(t *testing.T, b *bench) *hp3par.Array { return b.programArray(t, 0) },
		"proxy": func(t *testing.T, b *bench) *hp3par.Array {
			allowed, err := b.snap(t, b.arrays[0], nil).Commands("proxy")
			require.NoError(t, err)
			return b.proxied(t, 0, allowed)
		},
		"wsapi": func(t *testing.T, b *bench) *hp3par.Array { return b.wsapiArray(t, 0) },
	}
}

// Each way to an array refreshes, and status tells what it did.
func TestSnapTransports(t *testing.T) {
	for name, reach := range snapTransports() {
		t.Run(name, func(t *testing.T) {
			b := snapBench(t, nil)
			d := b.snap(t, reach(t, b), nil)
			r := b.snapStatus(t, d)
			require.Equal(t, "up", r.State, "%+v", r.Reasons)
			require.InDelta(t, 600, *r.LagSeconds, 2)
			require.True(t, r.LastSync.Equal(testStart), "the oldest snapshot's instant")
			require.Equal(t, []string{"SNAP1", "SNAP2"}, []string{r.Members[0].Name, r.Members[1].Name})

			s, err := b.refresh(t, d, array.Options{})
			require.NoError(t, err)
			require.Equal(t, report.ResultDone, s.Result)
			if name == "wsapi" {
				require.Equal(t, []string{`PUT /api/v1/volumes/SNAP1 {"action":7}`, `PUT /api/v1/volumes/SNAP2 {"action":7}`}, b.requests())
				require.Equal(t, 0, b.sim.Snapshot().Arrays[0].APISessions, "sessions are ended")
			} else {
				require.Equal(t, []string{"hp3par1 updatevv -f SNAP1 SNAP2"}, b.changes())
			}
			r = b.snapStatus(t, d)
			require.Less(t, *r.LagSeconds, 60.0)

			before := r.LastSync
			s, err = b.refresh(t, d, array.Options{})
			require.NoError(t, err, "again, within the second perhaps")
			require.Equal(t, report.ResultDone, s.Result)
			require.True(t, b.snapStatus(t, d).LastSync.After(*before))
		})
	}
}

// What is not known of real arrays changes nothing, by any way.
func TestSnapMatrix(t *testing.T) {
	for fault, value := range map[string]any{"header_rows": true, "exit_zero": true, "timezone": "CET", "clock_offset_s": 600, "slow_ms": 1} {
		for name, reach := range snapTransports() {
			t.Run(fault+" by "+name, func(t *testing.T) {
				b := snapBench(t, nil)
				require.NoError(t, b.sim.AddFault("", fault, value))
				d := b.snap(t, reach(t, b), func(c *hp3par.SnapConfig) { c.MaxAge = 5 * time.Minute })
				before := b.snapStatus(t, d)
				s, err := b.refresh(t, d, array.Options{})
				require.NoError(t, err)
				require.Equal(t, report.ResultDone, s.Result)
				after := b.snapStatus(t, d)
				require.Equal(t, "up", after.State, "%+v", after.Reasons)
				require.True(t, after.LastSync.After(*before.LastSync))
				require.Len(t, b.changes(), map[bool]int{true: 2, false: 1}[name == "wsapi"])
			})
		}
	}
}

// What a snapshot holds after update is its parent as of then.
func TestSnapContent(t *testing.T) {
	b := snapBench(t, nil)
	name := b.sim.Ready().Arrays[0].Name
	_, err := b.sim.IO(t.Context(), control.IORequest{Array: name, Volume: "DATA", Op: "write", Data: []byte("monday")})
	require.NoError(t, err)
	_, err = b.refresh(t, b.snap(t, b.arrays[0], nil), array.Options{})
	require.NoError(t, err)
	_, err = b.sim.IO(t.Context(), control.IORequest{Array: name, Volume: "DATA", Op: "write", Data: []byte("tuesday")})
	require.NoError(t, err)
	got, err := b.sim.IO(t.Context(), control.IORequest{Array: name, Volume: "SNAP1", Op: "read", Length: 6})
	require.NoError(t, err)
	require.Equal(t, "monday", string(got))
}

// Each rule of the status has its code, and what cannot be refreshed is refused before
// anything is sent.
func TestSnapReasons(t *testing.T) {
	licences := func(list ...string) func(*simulator.Options) {
		return func(o *simulator.Options) { o.Scenario.Arrays[0].Licences = list }
	}
	for name, c := range map[string]struct {
		sim     func(*simulator.Options)
		config  func(*hp3par.SnapConfig)
		fault   map[string]any
		state   string
		reasons []string
		update  int // exit code
		says    string
	}{
		"healthy": {state: "up", reasons: []string{}},
		"too old": {config: func(c *hp3par.SnapConfig) { c.MaxAge = 5 * time.Minute }, state: "warn", reasons: []string{"too_old", "too_old"}, says: "SNAP1 is 10m0s old, allowed are 5m0s"},
		"missing": {config: func(c *hp3par.SnapConfig) { c.Snapshots = append(c.Snapshots, "NOWHERE") }, state: "down", reasons: []string{"absent"},
			update: failure.CodeRefused, says: "NOWHERE does not exist on hp3par1.opensvc.com"},
		"no snapshot": {config: func(c *hp3par.SnapConfig) { c.Snapshots = []string{"DATA"} }, state: "down", reasons: []string{"absent"},
			update: failure.CodeRefused, says: "DATA is no snapshot (Prov full)"},
		"no licence": {sim: func(o *simulator.Options) {
			licences("InForm CLI", "Remote Copy")(o)
			o.Scenario.Arrays[0].Volumes = nil
		}, config: func(c *hp3par.SnapConfig) { c.Snapshots = []string{"VV_SVC1_ROOT"} }, state: "down", reasons: []string{"not_started", "absent"},
			update: failure.CodeRefused, says: "hp3par1.opensvc.com has no licence Virtual Copy"},
		"a zone that nobody named, the same for clock and snapshots": {fault: map[string]any{"timezone": "XYZ=+03:00"}, state: "warn", reasons: []string{"unknown_value"}, says: "XYZ"},
		"a zone of the table": {fault: map[string]any{"timezone": "CET"}, state: "up", reasons: []string{}},
		"the array's clock ten minutes ahead, age by that clock": {fault: map[string]any{"clock_offset_s": 600}, config: func(c *hp3par.SnapConfig) { c.MaxAge = 15 * time.Minute },
			state: "up", reasons: []string{}},
		"header rows":          {fault: map[string]any{"header_rows": true}, state: "up", reasons: []string{}},
		"exit status always 0": {fault: map[string]any{"exit_zero": true}, state: "up", reasons: []string{}},
		"array down":           {fault: map[string]any{"array_down": true}, state: "unknown", reasons: []string{"unreachable"}, update: failure.CodeUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			b := snapBench(t, c.sim)
			for kind, value := range c.fault {
				require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", kind, value))
			}
			d := b.snap(t, b.arrays[0], c.config)
			r := b.snapStatus(t, d)
			require.Equal(t, c.reasons, codes(r), "%+v", r.Reasons)
			require.Equal(t, c.state, r.State)
			if c.says != "" {
				require.Contains(t, r.Reasons[0].Text, c.says)
			}
			s, err := b.refresh(t, d, array.Options{})
			require.Equal(t, c.update, s.ExitCode, "%v", err)
			if c.update != 0 {
				require.Error(t, err)
				require.Empty(t, b.changes(), "nothing is sent")
			}
		})
	}
}

// Only update has a meaning; every other verb says why, and sends nothing.
func TestSnapKnowsUpdateOnly(t *testing.T) {
	b := snapBench(t, nil)
	for _, v := range append(array.ReplicationVerbs(), array.LifeCycleVerbs()...) {
		if v == array.Update {
			continue
		}
		s, err := array.Run(t.Context(), b.snap(t, b.arrays[0], nil), array.Goal{Verb: v}, array.Options{Resource: "snaps", Sleep: b.sleep})
		require.Error(t, err, v)
		require.Equal(t, failure.CodeUnsupported, s.ExitCode, v)
		require.Equal(t, report.ResultUnsupported, s.Result)
		require.Contains(t, s.Reason, "hp3parsnap refreshes snapshots")
	}
	require.Empty(t, b.sim.Journal().Since(0), "no array was asked")
}

// A run that is cut before or after its step, or that loses the reply, is finished by the
// same verb, and every snapshot is newer than before.
func TestSnapInterrupted(t *testing.T) {
	stop := errors.New("killed")
	for name, o := range map[string]array.Options{
		"before the step": {BeforeStep: func(int, array.Step) error { return stop }},
		"after the step":  {AfterStep: func(int, array.Step) error { return stop }},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, reach := range map[string]func(b *bench) *hp3par.Array{
				"ssh": func(b *bench) *hp3par.Array { return b.arrays[0] }, "wsapi": func(b *bench) *hp3par.Array { return b.wsapiArray(t, 0) },
			} {
				b := snapBench(t, nil)
				a := reach(b)
				_, err := b.refresh(t, b.snap(t, a, nil), o)
				require.ErrorIs(t, err, stop, kind)
				s, err := b.refresh(t, b.snap(t, a, nil), array.Options{})
				require.NoError(t, err, kind)
				require.Equal(t, report.ResultDone, s.Result)
				for _, m := range b.snapStatus(t, b.snap(t, a, nil)).Members {
					require.True(t, m.LastSync.After(testStart.Add(9*time.Minute)), "%s: %s", kind, m.Name)
				}
			}
		})
	}
	t.Run("the reply is lost", func(t *testing.T) {
		b := snapBench(t, nil)
		_, err := b.sim.Faults().Add(control.Fault{Array: "hp3par1.opensvc.com", Kind: "drop_reply", Match: "updatevv", Count: 1})
		require.NoError(t, err)
		s, err := b.refresh(t, b.snap(t, b.arrays[0], nil), array.Options{})
		require.NoError(t, err)
		require.Equal(t, report.ResultDone, s.Result)
		require.Len(t, b.changes(), 1, "a read showed that it was done: it is not repeated")
	})
	t.Run("the array says no", func(t *testing.T) {
		b := snapBench(t, nil)
		require.NoError(t, b.arrays[0].Command(t.Context(), "createhost H 1000000000000001"))
		require.NoError(t, b.arrays[0].Command(t.Context(), "createvlun SNAP2 1 H"))
		s, err := b.refresh(t, b.snap(t, b.arrays[0], nil), array.Options{})
		require.Error(t, err)
		require.Equal(t, failure.CodeArray, s.ExitCode)
		require.Contains(t, s.Reason, "SNAP2 is exported")
	})
}

// Without -f the array asks, and nobody answers.
func TestSnapPromptsWithoutForce(t *testing.T) {
	b := snapBench(t, nil)
	out, rc, err := b.arrays[0].Raw(t.Context(), "updatevv SNAP1")
	require.NoError(t, err)
	require.NotZero(t, rc)
	require.Contains(t, out, "select q=quit y=yes n=no")
	require.True(t, b.snapStatus(t, b.snap(t, b.arrays[0], nil)).LastSync.Equal(testStart))
}

func TestSnapConfigMistakes(t *testing.T) {
	for want, names := range map[string][]string{"is empty": nil, "is a set": {"set:S"}, "no name": {"a b"}, "no name of": {"-f"}, "twice": {"A", "A"}} {
		_, err := hp3par.NewSnap(hp3par.SnapConfig{Array: &hp3par.Array{}, Snapshots: names})
		require.ErrorIs(t, err, hp3par.ErrConfig)
		require.ErrorContains(t, err, want)
	}
}

// Many resources of one array cost one listing, a dead array one attempt.
func TestSnapsShareOneListing(t *testing.T) {
	b := snapBench(t, nil)
	for range 50 {
		r := b.snapStatus(t, b.snap(t, b.arrays[0], nil))
		require.Equal(t, "up", r.State)
	}
	var sent []string
	for _, e := range b.sim.Journal().Since(0) {
		sent = append(sent, e.Command)
	}
	require.Equal(t, []string{"showvv -showcols Name,CreationTime,Prov -csvtable -nohdtot", "showlicense", "showdate"}, sent)
}
