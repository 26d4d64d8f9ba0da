package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

func TestAdmit(t *testing.T) {
	gen := func(n string) generation.Generation { return generation.Generation{UUID: "uuid-" + n} }
	none := generation.Generation{}
	delta := func(from, to generation.Generation, set byte) stream.Header {
		return stream.Header{Kind: stream.KindDelta, VolumeSize: 1000, From: from, To: to, SetID: stream.SetID{set}}
	}
	full := func(to generation.Generation) stream.Header {
		return stream.Header{Kind: stream.KindFull, VolumeSize: 1000, To: to, SetID: stream.SetID{9}}
	}
	sub := delta(gen("1"), gen("2"), 1)
	sub.SubChunk = true
	rest := delta(gen("1"), gen("2"), 1)
	rest.First = 3
	clean := func(n string) *state.Stamp { return &state.Stamp{Generation: gen(n), Condition: state.KindClean} }
	cut := func(kind state.Kind, from, to generation.Generation, set byte) *state.Stamp {
		return &state.Stamp{Generation: from, To: to, Condition: kind, Set: stream.SetID{set}.String()}
	}
	waits := func(h stream.Header) *journal.Member { return &journal.Member{Header: h} }

	for _, c := range []struct {
		name    string
		facts   arrivalFacts
		want    admission // warnings are counted only
		warns   int
		refused bool
	}{
		{name: "first delta", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1)}},
		{name: "base fits", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: clean("1")}},
		{name: "stamp without a condition is clean", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: &state.Stamp{Generation: gen("1")}}},
		{name: "merged before", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: clean("2")}},
		{name: "merged before, sub-chunk", facts: arrivalFacts{head: sub, stamp: clean("2")}, refused: true},
		{name: "other base", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: clean("7")}, refused: true},
		{name: "other base, forced", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: clean("7"), force: true}, warns: 1},
		{name: "other base, agent", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: clean("7"), dds: true}, warns: 1},
		{name: "no identity, no stamp", facts: arrivalFacts{head: delta(none, none, 1)}},
		{name: "no identity, stamp", facts: arrivalFacts{head: delta(none, none, 1), stamp: clean("7")}, warns: 1},
		{name: "no identity, cut, same delta", facts: arrivalFacts{head: delta(none, none, 1), stamp: cut(state.KindInconsistent, none, none, 1)}, warns: 1},
		{name: "no identity, cut, other delta", facts: arrivalFacts{head: delta(none, none, 2), stamp: cut(state.KindInconsistent, none, none, 1)}, refused: true},
		{name: "too small", facts: arrivalFacts{head: full(gen("1")), size: 999, force: true}, want: admission{direct: true}, refused: true},
		{name: "continuation", facts: arrivalFacts{head: rest, force: true}, refused: true},

		{name: "full, first", facts: arrivalFacts{head: full(gen("1"))}, want: admission{direct: true}},
		{name: "full over a good copy", facts: arrivalFacts{head: full(gen("2")), stamp: clean("1")}, want: admission{direct: true}, refused: true},
		{name: "full over a good copy, forced", facts: arrivalFacts{head: full(gen("2")), stamp: clean("1"), force: true}, want: admission{direct: true}, warns: 1},
		{name: "full over a mixture", facts: arrivalFacts{head: full(gen("2")), stamp: cut(state.KindInconsistent, none, gen("1"), 9)}, want: admission{direct: true}},
		{name: "full again", facts: arrivalFacts{head: full(gen("1")), stamp: clean("1")}, want: admission{direct: true}},

		{name: "direct", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: clean("1"), direct: true}, want: admission{direct: true}},
		{name: "direct, sub-chunk", facts: arrivalFacts{head: sub, stamp: clean("1"), direct: true}, want: admission{direct: true}, refused: true},
		{name: "cut, again", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: cut(state.KindInconsistent, gen("1"), gen("2"), 1)}},
		{name: "cut, newer from the same base", facts: arrivalFacts{head: delta(gen("1"), gen("3"), 2), stamp: cut(state.KindInconsistent, gen("1"), gen("2"), 1)}},
		{name: "cut, next", facts: arrivalFacts{head: delta(gen("2"), gen("3"), 2), stamp: cut(state.KindInconsistent, gen("1"), gen("2"), 1)}, refused: true},
		{name: "cut, sub-chunk", facts: arrivalFacts{head: sub, stamp: cut(state.KindInconsistent, gen("1"), gen("2"), 1)}, refused: true},

		{name: "journal waits, same delta", facts: arrivalFacts{head: delta(gen("1"), gen("2"), 1), stamp: cut(state.KindApplying, gen("1"), gen("2"), 1), pending: waits(delta(gen("1"), gen("2"), 1))}, want: admission{rollForward: true}, warns: 1},
		{name: "journal waits, newer from the same base", facts: arrivalFacts{head: delta(gen("1"), gen("3"), 2), stamp: clean("1"), pending: waits(delta(gen("1"), gen("2"), 1))}, want: admission{rollForward: true}, warns: 1},
		{name: "journal waits, next", facts: arrivalFacts{head: delta(gen("2"), gen("3"), 2), stamp: clean("1"), pending: waits(delta(gen("1"), gen("2"), 1))}, want: admission{rollForward: true}, warns: 1},
		{name: "journal waits, other base", facts: arrivalFacts{head: delta(gen("7"), gen("8"), 2), stamp: cut(state.KindApplying, gen("1"), gen("2"), 1), pending: waits(delta(gen("1"), gen("2"), 1))}, want: admission{dropPending: true}, warns: 1, refused: true},
		{name: "journal waits, other base, agent", facts: arrivalFacts{head: delta(gen("7"), gen("8"), 2), stamp: cut(state.KindApplying, gen("1"), gen("2"), 1), pending: waits(delta(gen("1"), gen("2"), 1)), dds: true}, want: admission{dropPending: true}, warns: 2},
		{name: "journal waits, full", facts: arrivalFacts{head: full(gen("8")), stamp: cut(state.KindApplying, gen("1"), gen("2"), 1), pending: waits(delta(gen("1"), gen("2"), 1))}, want: admission{dropPending: true, direct: true}, warns: 1},
		{name: "journal without identity waits, same delta", facts: arrivalFacts{head: delta(none, none, 1), stamp: cut(state.KindApplying, none, none, 1), pending: waits(delta(none, none, 1))}, want: admission{rollForward: true}, warns: 1},
		{name: "journal without identity waits, other delta", facts: arrivalFacts{head: delta(none, none, 2), stamp: cut(state.KindApplying, none, none, 1), pending: waits(delta(none, none, 1))}, want: admission{dropPending: true}, warns: 1, refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.facts.size == 0 {
				c.facts.size = 1000
			}
			got, err := admit(c.facts)
			if c.refused {
				code, _ := failure.CodeOf(err)
				require.Equal(t, failure.CodeRefused, code, "%v", err)
				return
			}
			require.NoError(t, err)
			require.Len(t, got.warnings, c.warns, "%v", got.warnings)
			got.warnings = nil
			require.Equal(t, c.want, got)
		})
	}
}
