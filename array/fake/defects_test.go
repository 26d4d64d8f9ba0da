package fake_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/fake"
)

// wrong is a driver with one defect.
type wrong struct {
	*fake.Driver
	pair *fake.Pair
	plan func(w wrong, o array.Observation, g array.Goal) (array.Plan, error)
	see  func(w wrong, o *array.Observation)
	do   func(w wrong, ctx context.Context, s array.Step) error
}

func (w wrong) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	if w.plan != nil {
		return w.plan(w, o, g)
	}
	return w.Driver.Plan(o, g)
}

func (w wrong) Observe(ctx context.Context) (array.Observation, error) {
	o, err := w.Driver.Observe(ctx)
	if w.see != nil {
		w.see(w, &o)
	}
	return o, err
}

func (w wrong) Do(ctx context.Context, s array.Step) error {
	if w.do != nil {
		return w.do(w, ctx, s)
	}
	return w.Driver.Do(ctx, s)
}

type wrongLab struct {
	lab
	make func(p *fake.Pair) wrong
}

func (l wrongLab) Open(context.Context, string) (array.Driver, error) { return l.make(l.pair), nil }

// planned lets a defect change what the good driver plans.
func planned(change func(p *array.Plan, o array.Observation, g array.Goal)) func(wrong, array.Observation, array.Goal) (array.Plan, error) {
	return func(w wrong, o array.Observation, g array.Goal) (array.Plan, error) {
		p, err := w.Driver.Plan(o, g)
		change(&p, o, g)
		return p, err
	}
}

// The suite finds each of these defects; a suite that passes them would be worth nothing.
func TestSuiteFindsDefects(t *testing.T) {
	for _, c := range []struct {
		name   string
		defect wrong
		want   string // in one of the failures
	}{
		{"calls an update done at once", wrong{plan: planned(func(p *array.Plan, o array.Observation, g array.Goal) {
			if g.Verb == array.Update && o.Replication == array.Running {
				*p = array.Plan{Reached: true}
			}
		})}, "update is done, but site2 holds"},
		{"observing changes something", wrong{see: func(w wrong, o *array.Observation) {
			if p := o.Primary(); p != "" && o.Replication == array.Running {
				_ = w.pair.Command(p, "stop", "")
			}
		}}, "no way home"},
		{"promotes first, without marks", wrong{plan: planned(func(p *array.Plan, o array.Observation, g array.Goal) {
			if g.Verb == array.Swap && len(p.Steps) > 0 && p.Steps[0].TakesWrite != "" {
				p.Steps[0] = array.Step{ID: "promote", Site: g.Site, Action: "promote", Command: "promote -f", Args: map[string]string{"command": "promote", "arg": "-f"}}
			}
		})}, "both sides accept writes"},
		{"resume also swaps, without marks", wrong{do: func(w wrong, ctx context.Context, s array.Step) error {
			err := w.Driver.Do(ctx, s)
			if s.Args["command"] == "stop" {
				_ = w.pair.Command(s.Site, "demote", "")
			}
			return err
		}}, "which changes no direction"},
		{"claims to be read-only", wrong{see: func(_ wrong, o *array.Observation) {
			for i := range o.Sides {
				if o.Sides[i].Writable == array.Yes {
					o.Sides[i].Writable = array.No
				}
			}
		}}, "accepted a write, but the driver calls it read-only"},
		{"demotes without a last copy and promotes over it", wrong{plan: planned(func(p *array.Plan, o array.Observation, g array.Goal) {
			if p.Wait != nil && p.Wait.What == "the demoted side to drain" {
				*p = array.Plan{Steps: []array.Step{{ID: "promote", Site: g.Site, Action: "promote", Command: "promote -f", GrantsWrite: g.Site, Args: map[string]string{"command": "promote", "arg": "-f"}}}}
			}
			if len(p.Steps) > 0 && p.Steps[0].Args["command"] == "sync" && g.Verb == array.Swap {
				p.Steps = p.Steps[1:]
			}
		})}, "swap is done, but site2 holds"},
		{"never finds a break done", wrong{plan: planned(func(p *array.Plan, o array.Observation, g array.Goal) {
			if g.Verb == array.Break && o.Primary() != "" && len(g.Done) == 0 {
				*p = array.Plan{Steps: []array.Step{{ID: "stop", Site: o.Primary(), Action: "stop", Command: "stop", Args: map[string]string{"command": "stop"}}}}
			}
		})}, "run again: not nothing_to_do"},
		{"repeats nothing after a lost reply", wrong{plan: planned(func(p *array.Plan, _ array.Observation, g array.Goal) {
			if len(p.Steps) > 0 && g.Did(p.Steps[0].ID) {
				*p = array.Plan{Reached: true}
			}
		})}, "is"},
		{"says that it deleted", wrong{plan: planned(func(p *array.Plan, _ array.Observation, g array.Goal) {
			if g.Verb == array.Delete {
				*p = array.Plan{Reached: true}
			}
		})}, "delete is done, but site1 is primary"},
		{"makes both sides of a new pair primary", wrong{do: func(w wrong, ctx context.Context, s array.Step) error {
			err := w.Driver.Do(ctx, s)
			if s.Args["command"] == "create" {
				_ = w.pair.Command("site2", "promote", "-f")
			}
			return err
		}}, "array create NAME: both sides accept writes"},
		{"adds another volume", wrong{plan: planned(func(p *array.Plan, _ array.Observation, g array.Goal) {
			if g.Verb == array.Add && len(p.Steps) > 0 {
				p.Steps[0].Args["arg"] = "vol3"
			}
		})}, "confirmed 5 attempts to add vol2, without effect"},
		{"plans nothing", wrong{plan: planned(func(p *array.Plan, _ array.Observation, g array.Goal) {
			if g.Verb == array.Break {
				*p = array.Plan{}
			}
		})}, "ends with exit 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pair := fake.New(fake.Options{})
			l := wrongLab{lab{pair}, func(p *fake.Pair) wrong {
				w := c.defect
				w.Driver, w.pair = fake.NewDriver(p), p
				return w
			}}
			rep, err := arraytest.Run(t.Context(), l, arraytest.Options{Timeout: 5e8, MaxFailures: 40})
			var texts []string
			for _, r := range rep.Results {
				if r.Outcome == arraytest.Failed {
					texts = append(texts, r.Case+": "+r.Detail)
				}
			}
			if err != nil {
				texts = append(texts, err.Error())
			}
			require.NotEmpty(t, texts)
			require.Contains(t, strings.Join(texts, "\n"), c.want)
		})
	}
}
