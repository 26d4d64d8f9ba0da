package image

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
)

func gen(n uint64) generation.Generation {
	return generation.Generation{UUID: fmt.Sprintf("rbd:f/i@%d", n), Seq: n}
}

// eachFacts walks every combination.
func eachFacts(do func(Facts)) {
	none, base, pending, other := generation.Generation{}, gen(7), gen(9), gen(3)
	for tracker := TrackerMissing; tracker <= TrackerLoaded; tracker++ {
		for bits := range 64 {
			for cond := replica.TargetEmpty; cond <= replica.TargetUnreachable; cond++ {
				for _, at := range []generation.Generation{none, base, pending, other} {
					for _, to := range []generation.Generation{none, pending, other} {
						f := Facts{Resource: "r", Tracker: tracker, Held: bits&1 > 0, Mirrored: bits&2 > 0, Full: bits&4 > 0, Rewinds: bits&8 > 0,
							Base: SnapshotFact{"base", base, bits&16 > 0}, Pending: SnapshotFact{"pending", pending, bits&32 > 0}, Old: []string{"old"},
							Target: replica.TargetFacts{Condition: cond, At: at, To: to}}
						do(f)
					}
				}
			}
		}
	}
}

// TestReconcileNeverSendsWhatIsNotRight is what must hold of every decision.
func TestReconcileNeverSendsWhatIsNotRight(t *testing.T) {
	n := 0
	eachFacts(func(f Facts) {
		n++
		d := Reconcile(f)
		where := fmt.Sprintf("%+v: %+v", f, d)
		require.NotContains(t, d.Cleanup, "base", where)
		if slices.Contains(d.Cleanup, "pending") {
			require.Equal(t, VerdictStart, d.Verdict, where)
		}
		if d.Verdict == VerdictRefuse {
			require.NotZero(t, d.Code, where)
			require.NotEmpty(t, d.Reason, where)
			require.NotEmpty(t, d.Next, where)
			return
		}
		require.False(t, f.Held || f.Mirrored || f.Tracker != TrackerLoaded, where)
		clean := f.Target.Condition == replica.TargetClean
		mixture := f.Target.Condition == replica.TargetApplying || f.Target.Condition == replica.TargetInconsistent
		switch d.Verdict {
		case VerdictRotate:
			require.True(t, clean && f.Pending.Present && f.Target.At.Same(f.Pending.Generation), where)
		case VerdictStart: // a new instant only onto a proven base
			require.True(t, clean && f.Base.Present && f.Target.At.Same(f.Base.Generation), where)
		case VerdictResend: // a mixture gets the very delta that made it
			require.True(t, f.Base.Present && f.Pending.Present && f.Target.At.Same(f.Base.Generation), where)
			require.True(t, clean || mixture && f.Target.To.Same(f.Pending.Generation), where)
		}
	})
	require.Greater(t, n, 10_000)
}

// TestPlanFullNeverDestroysWithoutBeingTold is the same for full copies.
func TestPlanFullNeverDestroysWithoutBeingTold(t *testing.T) {
	eachFacts(func(f Facts) {
		for _, overwrite := range []bool{false, true} {
			d := PlanFull(f, overwrite)
			where := fmt.Sprintf("%v %+v: %+v", overwrite, f, d)
			require.NotContains(t, d.Cleanup, "base", where)
			if d.Verdict == VerdictRefuse {
				require.NotEmpty(t, d.Next, where)
				continue
			}
			require.False(t, f.Held || f.Mirrored, where)
			require.NotEqual(t, replica.TargetPrimary, f.Target.Condition, where)
			require.NotEqual(t, replica.TargetUnreachable, f.Target.Condition, where)
			if d.Verdict != VerdictRotate && !overwrite {
				cutFull := f.Target.Condition == replica.TargetInconsistent && f.Target.At.IsZero()
				require.True(t, f.Target.Condition == replica.TargetEmpty || cutFull, where)
			}
		}
	})
}

// TestReconcileRows are the rows that people meet.
func TestReconcileRows(t *testing.T) {
	have := func(n uint64, name string) SnapshotFact { return SnapshotFact{name, gen(n), true} }
	at := func(c replica.TargetCondition, a, b uint64) replica.TargetFacts {
		f := replica.TargetFacts{Condition: c}
		if a > 0 {
			f.At = gen(a)
		}
		if b > 0 {
			f.To = gen(b)
		}
		return f
	}
	for name, c := range map[string]struct {
		f       Facts
		verdict Verdict
		code    int
		cleanup []string
	}{
		"quiet":                             {Facts{Base: have(7, "b"), Target: at(replica.TargetClean, 7, 0)}, VerdictStart, 0, []string{}},
		"killed before snap create":         {Facts{Base: have(7, "b"), Pending: SnapshotFact{Name: "p"}, Target: at(replica.TargetClean, 7, 0)}, VerdictStart, 0, []string{}},
		"killed before sending":             {Facts{Base: have(7, "b"), Pending: have(9, "p"), Target: at(replica.TargetClean, 7, 0)}, VerdictResend, 0, nil},
		"killed while the target wrote":     {Facts{Base: have(7, "b"), Pending: have(9, "p"), Target: at(replica.TargetApplying, 7, 9)}, VerdictResend, 0, nil},
		"killed before the answer":          {Facts{Base: have(7, "b"), Pending: have(9, "p"), Target: at(replica.TargetClean, 9, 0)}, VerdictRotate, 0, nil},
		"killed before the old base went":   {Facts{Base: have(9, "p"), Old: []string{"b"}, Target: at(replica.TargetClean, 9, 0)}, VerdictStart, 0, []string{"b"}},
		"full copy given up, target intact": {Facts{Base: have(7, "b"), Pending: have(9, "p"), Full: true, Target: at(replica.TargetClean, 7, 0)}, VerdictStart, 0, []string{"p"}},
		"full copy cut":                     {Facts{Base: have(7, "b"), Pending: have(9, "p"), Full: true, Target: at(replica.TargetInconsistent, 0, 9)}, VerdictRefuse, failure.CodeNeedFull, nil},
		"base removed by hand":              {Facts{Base: SnapshotFact{Name: "b", Generation: gen(7)}, Target: at(replica.TargetClean, 7, 0)}, VerdictRefuse, failure.CodeNeedFull, nil},
		"target rolled back":                {Facts{Base: have(7, "b"), Target: at(replica.TargetHeld, 3, 0)}, VerdictRefuse, failure.CodeRefused, nil},
		"mixture of another instant":        {Facts{Base: have(7, "b"), Pending: have(9, "p"), Target: at(replica.TargetInconsistent, 7, 8)}, VerdictRefuse, failure.CodeNeedFull, nil},
	} {
		c.f.Resource, c.f.Tracker = "r", TrackerLoaded
		d := Reconcile(c.f)
		require.Equal(t, c.verdict, d.Verdict, "%s: %+v", name, d)
		require.Equal(t, c.code, d.Code, name)
		require.ElementsMatch(t, c.cleanup, d.Cleanup, name)
	}
}
