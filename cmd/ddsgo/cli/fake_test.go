package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/fake"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/report"
)

// bed is a configuration of pairs in memory and the command line over it.
type bed struct {
	t     testing.TB
	dir   string
	mu    sync.Mutex
	pairs map[string]*fake.Pair
}

func newBed(t testing.TB, names ...string) *bed {
	b := &bed{t: t, dir: t.TempDir(), pairs: map[string]*fake.Pair{}}
	text := "local_site: site1\nresources:\n"
	for _, n := range names {
		text += fmt.Sprintf("  %s: {driver: fake, sites: {site1: {}, site2: {}}}\n", n)
		b.pairs[n] = fake.New(fake.Options{})
	}
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "ddsgo.yaml"), []byte(text), 0o600))
	return b
}

// run executes one command line; the driver "fake" is a pair of the bed.
func (b *bed) run(args ...string) (code int, out, errOut string) {
	var o, e strings.Builder
	s := streams{strings.NewReader(""), &o, &e}
	g := &globals{drivers: map[string]openDriver{"fake": func(_ context.Context, _ environment, r config.Resource) (array.Driver, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return quick{fake.NewDriver(b.pairs[r.Name]), b.pairs[r.Name]}, nil
	}}}
	root := newRoot(g, s)
	root.SetArgs(append(args, "--config", filepath.Join(b.dir, "ddsgo.yaml"), "--state-dir", filepath.Join(b.dir, "state")))
	err := root.ExecuteContext(b.t.Context())
	return finish(b.t.Context(), g, s, err), o.String(), e.String()
}

// quick lets virtual time pass with each observation, as nobody sleeps for the pair.
type quick struct {
	array.Driver
	pair *fake.Pair
}

func (q quick) Observe(ctx context.Context) (array.Observation, error) {
	if err := q.pair.Sleep(ctx, 5e9); err != nil {
		return array.Observation{}, err
	}
	return q.Driver.Observe(ctx)
}

func jsonLines[T any](t *testing.T, text, messageType string) []T {
	var out []T
	for line := range strings.Lines(text) {
		var head struct {
			MessageType string `json:"message_type"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &head), line)
		if head.MessageType == messageType {
			var v T
			require.NoError(t, json.Unmarshal([]byte(line), &v))
			out = append(out, v)
		}
	}
	return out
}

func TestStatusJSONHasEveryKey(t *testing.T) {
	b := newBed(t, "svc1")
	code, out, errOut := b.run("status", "--json")
	require.Equal(t, 0, code, errOut)
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &doc))
	require.ElementsMatch(t, []string{"schema_version", "generated_at", "site", "resources"}, keys(doc))
	require.Equal(t, "site1", doc["site"])
	r := doc["resources"].([]any)[0].(map[string]any)
	require.ElementsMatch(t, []string{"name", "driver", "mode", "state", "role", "reversed", "link", "replication", "condition", "generation",
		"last_sync", "lag_seconds", "bytes_left", "sides", "members", "reasons", "next"}, keys(r))
	require.ElementsMatch(t, []string{"site", "reachable", "observed_at", "role", "writable", "native"}, keys(r["sides"].([]any)[0].(map[string]any)))
	require.ElementsMatch(t, []string{"name", "peer", "sync", "last_sync"}, keys(r["members"].([]any)[0].(map[string]any)))
	require.Equal(t, "up", r["state"])
	require.Nil(t, r["bytes_left"])
}

func keys(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

func TestStatusOfALostSide(t *testing.T) {
	b := newBed(t, "a", "b")
	require.NoError(t, b.pairs["b"].SetUp("site1", false))
	code, out, errOut := b.run("status")
	require.Equal(t, 3, code)
	require.Contains(t, errOut, "not every side was read")
	require.Contains(t, out, "unreachable: site1 cannot be read: site1: no reply")
	require.Contains(t, out, "next: ddsgo plan failover b --site site2")
	code, _, _ = b.run("status", "a")
	require.Equal(t, 0, code)
}

func TestVerbsAndExitCodes(t *testing.T) {
	b := newBed(t, "svc1")
	p := b.pairs["svc1"]
	require.NoError(t, p.Write("site1"))

	code, out, errOut := b.run("update", "svc1", "--json")
	require.Equal(t, 0, code, errOut)
	require.Len(t, jsonLines[report.Step](t, out, "step"), 1)
	require.Equal(t, report.ResultDone, jsonLines[report.Summary](t, out, "summary")[0].Result)
	one, _ := p.Read("site1")
	two, _ := p.Read("site2")
	require.Equal(t, one, two)

	code, _, errOut = b.run("failover", "svc1", "--site", "site2")
	require.Equal(t, 15, code)
	require.Contains(t, errOut, "site1 answers and is primary")
	require.Contains(t, errOut, "next: ddsgo swap svc1 --site site2")

	require.NoError(t, p.SetWriters("site1", true))
	code, _, errOut = b.run("swap", "svc1", "--site", "site2", "--writers-stopped")
	require.Equal(t, 15, code, "a flag does not outvote what is seen")
	require.Contains(t, errOut, "site1 is in use")
	require.NoError(t, p.SetWriters("site1", false))

	code, out, errOut = b.run("swap", "svc1", "--site", "site2", "-n", "--json")
	require.Equal(t, 0, code, errOut)
	plan := jsonLines[report.Plan](t, out, "plan")[0]
	require.Equal(t, "site1", plan.Authoritative)
	require.Len(t, plan.Steps, 4)

	code, out, errOut = b.run("swap", "svc1", "--site", "site2", "--json")
	require.Equal(t, 0, code, errOut)
	steps := jsonLines[report.Step](t, out, "step")
	require.Len(t, steps, 4)
	for i := range steps { // the dry run told the truth
		require.Equal(t, plan.Steps[i].Command, steps[i].Command)
	}
	code, out, _ = b.run("swap", "svc1", "--site", "site2", "--json")
	require.Equal(t, 0, code)
	require.Equal(t, report.ResultNothingToDo, jsonLines[report.Summary](t, out, "summary")[0].Result)

	code, out, _ = b.run("revert", "svc1", "--json")
	require.Equal(t, 17, code)
	require.Equal(t, report.ResultUnsupported, jsonLines[report.Summary](t, out, "summary")[0].Result)

	require.NoError(t, p.SetUp("site1", false))
	code, _, errOut = b.run("failback", "svc1")
	require.Equal(t, 12, code, errOut)
	require.Empty(t, p.Violations())
}

func TestSeveralNames(t *testing.T) {
	b := newBed(t, "a", "b", "c")
	require.NoError(t, b.pairs["b"].SetUp("site2", false))
	code, out, errOut := b.run("update", "--all", "--json", "--parallel", "2")
	require.Equal(t, 3, code)
	require.Contains(t, errOut, "1 of 3 resources failed")
	byName := map[string]report.Summary{}
	for _, s := range jsonLines[report.Summary](t, out, "summary") {
		byName[s.Resource] = s
	}
	require.Equal(t, report.ResultDone, byName["a"].Result)
	require.Equal(t, 12, byName["b"].ExitCode)
	require.Equal(t, report.ResultDone, byName["c"].Result)
}

func TestBadUsage(t *testing.T) {
	b := newBed(t, "svc1")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"update"}, "which resource?"},
		{[]string{"update", "svc2"}, `unknown resource "svc2"; known: svc1`},
		{[]string{"update", "svc1", "--all"}, "exclude each other"},
		{[]string{"swap", "svc1", "--site", "site3"}, `unknown site "site3"; known: site1, site2`},
		{[]string{"failback", "svc1", "--discard", "site3"}, `unknown site "site3"`},
		{[]string{"update", "svc1", "--prepare"}, "--prepare means nothing to update"},
		{[]string{"update", "svc1", "--timeout", "10"}, "is no duration"},
		{[]string{"failback", "svc1", "--keep-discarded"}, "--keep-discarded needs --discard"},
		{[]string{"status", "--parallel", "0"}, "at least 1"},
		{[]string{"array", "add", "svc1"}, "add needs NAME and VOLUME"},
		{[]string{"array", "inventory", "x"}, "unknown array"},
		{[]string{"swop", "svc1"}, "unknown command"},
	} {
		code, _, errOut := b.run(c.args...)
		require.Equal(t, 4, code, "%v: %s", c.args, errOut)
		require.Contains(t, errOut, c.want)
	}
}

func TestLockedResource(t *testing.T) {
	b := newBed(t, "svc1")
	env := environment{stateDir: func() (string, error) { return filepath.Join(b.dir, "state"), nil }}
	require.NoError(t, os.MkdirAll(filepath.Join(b.dir, "state"), 0o700))
	_, err := locked(env, "svc1", func() (int, error) {
		code, _, errOut := b.run("update", "svc1")
		require.Equal(t, 11, code)
		require.Contains(t, errOut, "another ddsgo works on it")
		code, _, _ = b.run("status", "svc1")
		require.Equal(t, 0, code, "reading needs no lock")
		return 0, nil
	})
	require.NoError(t, err)
}

func TestLifeCycle(t *testing.T) {
	b := newBed(t, "svc1")
	code, out, errOut := b.run("array", "add", "svc1", "vol7", "--json")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "add vol7")
	code, out, _ = b.run("array", "add", "svc1", "vol7", "--json")
	require.Equal(t, 0, code)
	require.Contains(t, out, "nothing_to_do")
	code, _, errOut = b.run("array", "delete", "svc1")
	require.Equal(t, 15, code, errOut)
	code, _, errOut = b.run("array", "volume", "create", "svc1", "v9", "--size", "1G")
	require.Equal(t, 17, code, errOut)
	code, out, errOut = b.run("array", "show", "svc1")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, `"role": "primary"`)
	code, _, _ = b.run("array", "commands", "svc1")
	require.Equal(t, 17, code)
}

func TestPlanShowsEveryVerb(t *testing.T) {
	b := newBed(t, "svc1")
	code, out, errOut := b.run("plan", "svc1")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "svc1: swap (primary at site1): nothing to do")
	require.Contains(t, out, "svc1: break: would do\n    1. site1: stop replication: fake -at site1 stop\n")
	code, out, _ = b.run("plan", "failover", "svc1", "--site", "site2")
	require.Equal(t, 15, code)
	require.Contains(t, out, "refused: site1 answers and is primary")
}

func TestConfigVerbs(t *testing.T) {
	b := newBed(t, "svc1")
	code, _, errOut := b.run("config", "check")
	require.Equal(t, 4, code, "the program of the plug-in is missing")
	require.Contains(t, errOut, "ddsgo-driver-fake is not in /usr/libexec/ddsgo")
	code, out, errOut := b.run("config", "show")
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, "local_site: site1")
	code, out, _ = b.run("config", "show", "--json")
	require.Equal(t, 0, code)
	require.True(t, json.Valid([]byte(out)))
	code, out, _ = b.run("config", "generate")
	require.Equal(t, 0, code)
	_, err := config.Parse("sample", []byte(out))
	require.NoError(t, err)
}

// The sample's comments are configuration too: each one that is uncommented is valid.
func TestSampleUncommented(t *testing.T) {
	var text strings.Builder
	for line := range strings.Lines(configSample) {
		body, comment := strings.CutPrefix(strings.TrimLeft(line, " "), "# ")
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		first, _, _ := strings.Cut(strings.TrimSpace(body), " ")
		if comment && strings.HasSuffix(first, ":") && !strings.Contains(first, "/") && first != "it:" {
			line = indent + body
		}
		text.WriteString(line)
	}
	cfg, err := config.Parse("sample", []byte(text.String()))
	require.NoError(t, err, "%s", text.String())
	require.Equal(t, []string{"appdata", "img", "report", "svc1"}, cfg.Names())
}

func BenchmarkStatus500(bench *testing.B) {
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprintf("r%03d", i))
	}
	b := newBed(bench, names...)
	for bench.Loop() {
		code, out, errOut := b.run("status", "--json", "--parallel", "16")
		require.Equal(bench, 0, code, errOut)
		require.Equal(bench, 500, strings.Count(out, `"driver":"fake"`))
	}
}
