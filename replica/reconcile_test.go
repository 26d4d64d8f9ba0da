package replica

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/reconcile.txt")

var (
	genA     = generation.Generation{UUID: "a", Seq: 6}
	genBase  = generation.Generation{UUID: "b", Seq: 7}
	genNext  = generation.Generation{UUID: "n", Seq: 8}
	genLater = generation.Generation{UUID: "l", Seq: 9}
	genAlien = generation.Generation{UUID: "x", Seq: 3}
)

// everyFacts calls f with every combination of the states that reconcile knows.
func everyFacts(f func(Facts)) {
	for _, s1 := range everySnapshot("snap1") {
		for _, s2 := range everySnapshot("snap2") {
			for _, l := range everyLocal() {
				for _, t := range everyTarget() {
					for origin := range 4 {
						f(Facts{Resource: "r", Origin: "vg/lv", Snap1: s1, Snap2: s2, Local: l, Target: t,
							PendingTable: origin&1 != 0, Suspended: origin&2 != 0})
					}
				}
			}
		}
	}
}

func everySnapshot(name string) []SnapshotFact {
	all := []SnapshotFact{{Name: name, State: SnapAbsent}}
	for st := SnapGood; st <= SnapPlainForeign; st++ {
		for _, uuid := range []string{"b", "n", "l", "other"} {
			for _, ours := range []bool{true, false} {
				switch st {
				case SnapPlain:
					ours = true
				case SnapPlainForeign, SnapOtherOrigin:
					ours = false
				}
				all = append(all, SnapshotFact{Name: name, State: st, UUID: uuid, Ours: ours || uuid != "other"})
			}
		}
	}
	return all
}

func everyLocal() []LocalFacts {
	return []LocalFacts{
		{State: LocalMissing}, {State: LocalDamaged}, {State: LocalDisagree},
		{State: LocalLoaded, Base: genBase},
		{State: LocalLoaded, Base: genBase, Pending: genNext},
		{State: LocalLoaded, Base: genBase, Pending: genNext, SetSaved: true},
		{State: LocalLoaded, Pending: genNext, Full: true},
		{State: LocalLoaded, Base: genBase, Proven: genNext, Pending: genLater, SetSaved: true},
		{State: LocalLoaded, Base: genBase, Held: true},
		{State: LocalLoaded, Base: genBase, Older: []generation.Generation{genA}},
		{State: LocalLoaded, Base: genBase, Older: []generation.Generation{genA}, Pending: genNext},
		{State: LocalLoaded, Base: genBase, Older: []generation.Generation{genA}, Pending: genNext, SetSaved: true},
		// Folded after the target had gone on to genBase, whose snapshot was lost.
		{State: LocalLoaded, Base: genLater, Older: []generation.Generation{genA}, Proven: genBase},
	}
}

func everyTarget() []TargetFacts {
	all := []TargetFacts{{Condition: TargetEmpty}, {Condition: TargetUnreachable}, {Condition: TargetDamaged}, {Condition: TargetOtherVolume, At: genAlien}}
	for _, at := range []generation.Generation{genA, genBase, genNext} {
		for _, c := range []TargetCondition{TargetClean, TargetSuspect, TargetHeld, TargetPrimary} {
			all = append(all, TargetFacts{Condition: c, At: at})
		}
	}
	for _, c := range []TargetCondition{TargetApplying, TargetInconsistent} {
		all = append(all, TargetFacts{Condition: c, At: genBase, To: genNext}, TargetFacts{Condition: c, At: genA, To: genBase}, TargetFacts{Condition: c, At: genNext, To: genLater}, TargetFacts{Condition: c, To: genNext})
	}
	return all
}

// TestReconcileInvariants walks every combination and asks of each answer what an
// administrator would: is it safe, does it say why, does it touch only our own.
func TestReconcileInvariants(t *testing.T) {
	n := 0
	everyFacts(func(f Facts) {
		n++
		d := Reconcile(f)
		if err := violation(f, d); err != nil {
			t.Fatalf("%v\nfacts: %+v\ndecision: %+v", err, f, d)
		}
	})
	require.Greater(t, n, 100_000)
}

// violation names the first rule that a decision breaks.
func violation(f Facts, d Decision) error {
	byName := map[string]SnapshotFact{f.Snap1.Name: f.Snap1, f.Snap2.Name: f.Snap2}
	for _, c := range d.Cleanup {
		s := byName[c.LV]
		if c.LV != "" && (!s.Ours || s.State == SnapOtherOrigin || s.State == SnapPlainForeign) {
			return fmt.Errorf("removes %s, which is not ours", c.LV)
		}
		if c.Kind == CleanSnapshot && (c.LV == d.Tracker || c.LV == d.Data) {
			return fmt.Errorf("removes %s, which it needs", c.LV)
		}
	}
	if f.PendingTable && len(d.Cleanup) > 0 && d.Cleanup[0].Kind != CleanTable {
		return fmt.Errorf("touches the origin before its pending table is cleared")
	}
	if d.Verdict == VerdictRefuse || d.Verdict == VerdictRejoin {
		return refusalViolation(d)
	}
	return sendViolation(f, d, byName)
}

func refusalViolation(d Decision) error {
	if d.Code == 0 || d.Reason == "" || d.Next == "" {
		return fmt.Errorf("a refusal without code, reason or next command")
	}
	if (d.Verdict == VerdictRejoin) != (d.Code == failure.CodeNeedFull) {
		return fmt.Errorf("verdict %v with code %d", d.Verdict, d.Code)
	}
	return nil
}

// sendViolation is the oracle for every verdict that goes on: the target must hold
// From, or a mixture that ddsgo wrote from From on, and a table that covers everything
// since must exist, or a saved set with the very snapshot that it leads to.
func sendViolation(f Facts, d Decision, byName map[string]SnapshotFact) error {
	if f.Local.State != LocalLoaded {
		return fmt.Errorf("goes on without a state of its own")
	}
	switch f.Target.Condition {
	case TargetClean:
	case TargetSuspect:
		if d.Verdict != VerdictRotate || !f.Target.At.Same(f.Local.Pending) {
			return fmt.Errorf("sends to a target that is suspect")
		}
	case TargetApplying, TargetInconsistent:
		if !f.Target.To.Same(f.Local.Pending) && !f.Target.To.Same(f.Local.Base) {
			return fmt.Errorf("sends onto a mixture that it does not know")
		}
	default:
		return fmt.Errorf("sends to a target that is %v", f.Target.Condition)
	}
	if d.Verdict != VerdictRotate && !d.From.Same(f.Target.At) {
		return fmt.Errorf("base %v, but the target is at %v", d.From, f.Target.At)
	}
	if err := recordViolation(f, d); err != nil {
		return err
	}
	tracker, data := byName[d.Tracker], byName[d.Data]
	if (d.Verdict == VerdictStart || d.Verdict == VerdictReread) && (tracker.UUID != f.Local.Base.UUID || !tracker.tracks()) {
		return fmt.Errorf("reads the table of %+v, which does not track since %v", tracker, f.Local.Base)
	}
	if (d.Verdict == VerdictReread || d.Verdict == VerdictResend) && (data.UUID != f.Local.Pending.UUID || data.State != SnapGood) {
		return fmt.Errorf("sends the content of %+v", data)
	}
	if d.Verdict == VerdictResend && !f.Local.SetSaved {
		return fmt.Errorf("resends without a changed set")
	}
	if d.Verdict == VerdictRotate && (!f.Target.At.Same(f.Local.Pending) || data.UUID != f.Local.Pending.UUID || !data.tracks()) {
		return fmt.Errorf("rotates to %+v with the target at %v", data, f.Target.At)
	}
	return nil
}

// recordViolation: what is sent must begin no later than the instant that the target holds.
func recordViolation(f Facts, d Decision) error {
	begins := f.Local.Base
	if !d.Since.IsZero() {
		begins = d.Since
		kept := false
		for _, g := range f.Local.Older {
			kept = kept || g.Same(begins)
		}
		if !kept {
			return fmt.Errorf("unites sets since %v, which are not kept", begins)
		}
	}
	if at := f.Target.At; d.Verdict != VerdictRotate && !at.Same(f.Local.Pending) && at.Seq < begins.Seq {
		return fmt.Errorf("the target is at %v, the record begins at %v", at, begins)
	}
	known := f.Target.At.Same(f.Local.Base) || f.Target.At.Same(f.Local.Pending) || f.Target.At.Same(f.Local.Proven)
	for _, g := range f.Local.Older {
		known = known || f.Target.At.Same(g)
	}
	if !known {
		return fmt.Errorf("the target is at %v, which was never ours", f.Target.At)
	}
	return nil
}

// TestReconcileTable pins every answer: the golden file holds one line per verdict,
// reason with the number of combinations, then every combination that goes on although
// nothing about the origin needs repair.
func TestReconcileTable(t *testing.T) {
	counts := map[string]int{}
	var rows bytes.Buffer
	everyFacts(func(f Facts) {
		d := Reconcile(f)
		counts[fmt.Sprintf("%-7s %2d %s", d.Verdict, d.Code, d.Reason)]++
		if f.PendingTable || f.Suspended || f.Snap1.State > SnapMiswired || f.Snap2.State > SnapMiswired || f.Local.State != LocalLoaded || d.Err(f) != nil {
			return
		}
		fmt.Fprintf(&rows, "snap1=%v/%s snap2=%v/%s pending=%v set=%v older=%d target=%v@%s -> %v tracker=%s data=%s from=%s since=%s clean=%v\n", f.Snap1.State, f.Snap1.UUID, f.Snap2.State, f.Snap2.UUID,
			f.Local.Pending.Seq, f.Local.SetSaved, len(f.Local.Older), f.Target.Condition, f.Target.At.UUID, d.Verdict, d.Tracker, d.Data, d.From.UUID, d.Since.UUID, d.Cleanup)
	})
	var out bytes.Buffer
	for _, k := range sortedKeys(counts) {
		fmt.Fprintf(&out, "%7d %s\n", counts[k], k)
	}
	out.WriteString(dedupe(rows.String()))
	const golden = "testdata/reconcile.txt"
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "go test ./replica -run ReconcileTable -rewrite, and read the difference")
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func dedupe(s string) string {
	seen := map[string]bool{}
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if !seen[line] {
			seen[line] = true
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// TestReconcileHeals states the promise in words for the interruptions that occur in practice.
func TestReconcileHeals(t *testing.T) {
	good := func(name, uuid string) SnapshotFact { return SnapshotFact{name, SnapGood, uuid, true} }
	none := SnapshotFact{State: SnapAbsent}
	base := LocalFacts{State: LocalLoaded, Base: genBase}
	pending := LocalFacts{State: LocalLoaded, Base: genBase, Pending: genNext}
	saved := LocalFacts{State: LocalLoaded, Base: genBase, Pending: genNext, SetSaved: true}
	atBase, atNext := TargetFacts{Condition: TargetClean, At: genBase}, TargetFacts{Condition: TargetClean, At: genNext}
	half := TargetFacts{Condition: TargetInconsistent, At: genBase, To: genNext}
	cases := []struct {
		name string
		f    Facts
		want Verdict
	}{
		{"nothing happened", Facts{Snap1: good("s1", "b"), Snap2: none, Local: base, Target: atBase}, VerdictStart},
		{"killed in lvcreate", Facts{Snap1: good("s1", "b"), Snap2: SnapshotFact{"s2", SnapPlain, "n", true}, Local: base, Target: atBase, PendingTable: true}, VerdictStart},
		{"killed after lvcreate, before its UUID was recorded", Facts{Snap1: good("s1", "b"), Snap2: good("s2", "n"), Local: base, Target: atBase}, VerdictStart},
		{"killed before the set was saved", Facts{Snap1: good("s1", "b"), Snap2: good("s2", "n"), Local: pending, Target: atBase}, VerdictReread},
		{"killed while sending", Facts{Snap1: good("s1", "b"), Snap2: good("s2", "n"), Local: saved, Target: atBase}, VerdictResend},
		{"killed while sending, tracker overflowed since", Facts{Snap1: SnapshotFact{"s1", SnapOverflowed, "b", true}, Snap2: good("s2", "n"), Local: saved, Target: atBase}, VerdictResend},
		{"half written with --direct", Facts{Snap1: good("s1", "b"), Snap2: good("s2", "n"), Local: saved, Target: half}, VerdictResend},
		{"half written with --direct, snap2 lost", Facts{Snap1: good("s1", "b"), Snap2: none, Local: saved, Target: half}, VerdictStart},
		{"reply lost", Facts{Snap1: good("s1", "b"), Snap2: good("s2", "n"), Local: saved, Target: atNext}, VerdictRotate},
		{"killed between lvremove and lvrename", Facts{Snap1: none, Snap2: good("s2", "n"), Local: saved, Target: atNext}, VerdictRotate},
		{"killed after lvrename", Facts{Snap1: good("s1", "n"), Snap2: none, Local: saved, Target: atNext}, VerdictRotate},
		{"target ahead, snap2 lost", Facts{Snap1: good("s1", "b"), Snap2: none, Local: saved, Target: atNext}, VerdictStart},
		{"tracker half removed by LVM", Facts{Snap1: SnapshotFact{"s1", SnapPlain, "b", true}, Snap2: good("s2", "n"), Local: saved, Target: atNext}, VerdictRotate},
		{"tracker overflowed, nothing pending", Facts{Snap1: SnapshotFact{"s1", SnapOverflowed, "b", true}, Snap2: none, Local: base, Target: atBase}, VerdictRejoin},
		{"target rolled back, sets kept", Facts{Snap1: good("s1", "b"), Snap2: none, Local: LocalFacts{State: LocalLoaded, Base: genBase, Older: []generation.Generation{genA}}, Target: TargetFacts{Condition: TargetClean, At: genA}}, VerdictStart},
		{"target rolled back, sets kept, killed while sending", Facts{Snap1: good("s1", "b"), Snap2: good("s2", "n"), Local: LocalFacts{State: LocalLoaded, Base: genBase, Pending: genNext, SetSaved: true, Older: []generation.Generation{genA}}, Target: TargetFacts{Condition: TargetClean, At: genA}}, VerdictResend},
		{"folded while half written", Facts{Snap1: good("s1", "b"), Snap2: none, Local: LocalFacts{State: LocalLoaded, Base: genBase, Older: []generation.Generation{genA}}, Target: TargetFacts{Condition: TargetInconsistent, At: genA, To: genBase}}, VerdictStart},
		{"target rolled back", Facts{Snap1: good("s1", "b"), Snap2: none, Local: base, Target: TargetFacts{Condition: TargetClean, At: genA}}, VerdictRejoin},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.f.Resource, c.f.Origin = "r", "vg/lv"
			require.Equal(t, c.want.String(), Reconcile(c.f).Verdict.String(), "%+v", Reconcile(c.f))
		})
	}
}
