package hp3par_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	simulator "github.com/ddsgo/ddsgo/sim/hp3par"
)

// factor is one thing in which real arrays, or ways to reach them, differ.
type factor struct {
	name   string
	levels []string
}

// factors is item by item what is not known of a real array, and what an administrator chooses.
var factors = []factor{
	{"transport", []string{"ssh", "piped", "cli", "proxy", "wsapi"}},
	{"mode", []string{"async", "sync"}},
	{"profile", []string{"3par-3.x", "alletra-10.5"}},
	{"autonomous", []string{"off", "on"}},
	{"old primary", []string{"primary", "secondary-rev"}},
	{"role", []string{"flag", "number"}},
	{"header rows", []string{"off", "on"}},
	{"exit status", []string{"honest", "zero"}},
	{"options", []string{"quoted", "bare", "empty"}},
	{"zone", []string{"UTC", "CET"}},
	{"clock", []string{"0", "600", "-600"}},
	{"lost site", []string{"down", "isolated"}},
}

// settings is one level for each factor.
type settings map[string]string

func (s settings) String() string {
	var out []string
	for _, f := range factors {
		if s[f.name] != f.levels[0] {
			out = append(out, f.name+" "+s[f.name])
		}
	}
	if len(out) == 0 {
		return "plain"
	}
	return strings.Join(out, ", ")
}

// bench is a simulated pair with these settings.
func (s settings) bench(t testing.TB) *bench {
	t.Helper()
	b := newBench(t, s["mode"], func(o *simulator.Options) { o.Profile = simulator.Profile(s["profile"]) })
	var offset float64
	_, err := fmt.Sscan(s["clock"], &offset)
	require.NoError(t, err)
	for kind, value := range map[string]any{
		"autonomous_restart": s["autonomous"] == "on", "returning_role": s["old primary"], "role_numbers": s["role"],
		"options": s["options"], "timezone": s["zone"], "clock_offset_s": offset,
	} {
		require.NoError(t, b.sim.AddFault("", kind, value), kind)
	}
	for kind, on := range map[string]bool{"header_rows": s["header rows"] == "on", "exit_zero": s["exit status"] == "zero"} {
		if on {
			require.NoError(t, b.sim.AddFault("", kind, true))
		}
	}
	b.isolate = s["lost site"] == "isolated"
	return b
}

// covering returns settings among which every combination of `strength` levels of different factors
// occurs: two find what two settings do to each other. Greedy, and always the same.
func covering(strength int) []settings {
	open := combinations(strength)
	var rows []settings
	for _, first := range slices.Sorted(maps.Keys(open)) {
		if !open[first] {
			continue
		}
		row := parseCombination(first)
		for _, f := range factors {
			if _, fixed := row[f.name]; fixed {
				continue
			}
			best, most := f.levels[0], -1
			for n := range f.levels {
				level := f.levels[(n+len(rows))%len(f.levels)] // where several are as good, not always the same
				row[f.name] = level
				if gain := covered(row, f.name, strength, open, false); gain > most {
					best, most = level, gain
				}
			}
			row[f.name] = best
		}
		covered(row, "", strength, open, true)
		rows = append(rows, row)
	}
	return rows
}

// TestConformanceMatrix is the whole suite over arrays that differ in everything that is not known of
// real ones. By default every two settings meet and the rows share the cases; with DDSGO_FULL=1 every
// three settings meet, and each row runs them all.
func TestConformanceMatrix(t *testing.T) {
	strength, parts := 2, 4
	if os.Getenv("DDSGO_FULL") != "" {
		strength, parts = 3, 1
	}
	for n, s := range covering(strength) {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			b := s.bench(t)
			arraytest.Test(t, over(t, b, s["transport"]), arraytest.Options{
				Quick: true, Part: n, Parts: parts, Only: os.Getenv("DDSGO_CONFORMANCE_ONLY"),
				Goals: []array.Goal{{Verb: array.Start, Site: "site2", Params: map[string]string{"sync_first": "true"}}},
			})
			b.checkJournal(t)
		})
	}
}

func TestCoveringCoversEveryPair(t *testing.T) {
	rows := covering(2)
	for c := range combinations(2) {
		want, found := parseCombination(c), false
		for _, row := range rows {
			found = found || matches(row, want)
		}
		require.True(t, found, c)
	}
	t.Logf("%d rows for pairs, %d for triples", len(rows), len(covering(3)))
}

func matches(row, want settings) bool {
	for k, v := range want {
		if row[k] != v {
			return false
		}
	}
	return true
}
