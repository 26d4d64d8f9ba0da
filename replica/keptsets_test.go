package replica

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/state"
)

func numbered(n uint64) generation.Generation {
	return generation.Generation{UUID: fmt.Sprint("g", n), Seq: n}
}

func TestLeadsTo(t *testing.T) {
	set := func(id string, from, to uint64) keptSet { return keptSet{id, numbered(from), numbered(to)} }
	cases := []struct {
		name string
		base uint64
		sets []keptSet
		want string
	}{
		{"none kept", 5, nil, "[]"},
		{"a chain", 5, []keptSet{set("a", 2, 3), set("b", 3, 4), set("c", 4, 5)}, "[{4 [c]} {3 [b c]} {2 [a b c]}]"},
		{"a gap", 5, []keptSet{set("a", 2, 3), set("c", 4, 5)}, "[{4 [c]}]"},
		{"of a snapshot that was lost", 5, []keptSet{set("a", 3, 4), set("b", 3, 5)}, "[{3 [b]}]"},
		{"a folded one over single ones", 5, []keptSet{set("a", 2, 3), set("f", 2, 4), set("c", 4, 5)}, "[{4 [c]} {2 [f c]}]"},
		{"the same twice", 5, []keptSet{set("a", 4, 5), set("b", 4, 5)}, "[{4 [a]}]"},
		{"beyond the base", 5, []keptSet{set("a", 5, 6), set("b", 4, 5)}, "[{4 [b]}]"},
		{"one that leads back is none", 5, []keptSet{set("a", 6, 5), set("b", 5, 5)}, "[]"},
		{"without a beginning", 5, []keptSet{{"a", generation.Generation{}, numbered(5)}}, "[]"},
		{"same number, other snapshot", 5, []keptSet{{"a", numbered(3), generation.Generation{UUID: "x", Seq: 4}}, set("b", 4, 5)}, "[{4 [b]}]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := "["
			for i, l := range leadsTo(numbered(c.base), c.sets) {
				if i > 0 {
					got += " "
				}
				got += fmt.Sprintf("{%d %v}", l.From.Seq, l.Sets)
			}
			require.Equal(t, c.want, got+"]")
		})
	}
}

// Every lead is a walk without a gap over sets that are there, and none that exists is missed.
func TestLeadsToProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := numbered(10)
		var sets []keptSet
		byID := map[string]keptSet{}
		for i := range rapid.IntRange(0, 14).Draw(t, "sets") {
			from := rapid.Uint64Range(1, 10).Draw(t, "from")
			to := rapid.Uint64Range(1, 11).Draw(t, "to")
			k := keptSet{fmt.Sprint("s", i), numbered(from), numbered(to)}
			sets, byID[k.ID] = append(sets, k), k
		}
		reach := map[uint64]bool{10: true}
		for range sets {
			for _, k := range sets {
				if reach[k.To.Seq] && k.From.Seq < k.To.Seq {
					reach[k.From.Seq] = true
				}
			}
		}
		found := map[uint64]bool{10: true}
		for _, l := range leadsTo(base, sets) {
			at := l.From
			for _, id := range l.Sets {
				require.True(t, byID[id].From.Same(at))
				at = byID[id].To
			}
			require.True(t, at.Same(base))
			found[l.From.Seq] = true
		}
		require.Equal(t, reach, found)
	})
}

// putBack gives the target content, state and tags of an earlier moment, as a restore of the
// whole machine does.
type putBack struct {
	content []byte
	files   *memFiles
	tags    []string
}

func (w *world) keepTarget() putBack {
	return putBack{w.content(w.dst, targetPath), w.dstFiles.copy(), w.lvs(w.dst, "vg1")[0].Tags}
}

func (w *world) restoreTarget(p putBack) {
	w.allowWrites(true)
	w.put(w.dst, targetPath, 0, p.content)
	w.allowWrites(false)
	w.written.Store(0)
	w.boot++
	w.dstFiles = p.files
	w.retag(w.dst, targetPath, p.tags)
}

// TestPutBackIsRejoined: a target that was put back up to 16 generations is brought up to date
// by one sync, without comparing anything; further back it takes a resync.
func TestPutBackIsRejoined(t *testing.T) {
	for _, behind := range []int{1, 3, state.KeepSets - 1, state.KeepSets + 1} {
		t.Run(fmt.Sprint(behind, " generations"), func(t *testing.T) {
			w := pairInSync(t)
			back := w.keepTarget()
			for i := range behind {
				w.put(w.src, sourcePath, int64(i)*8*chunkBytes, bytes.Repeat([]byte{byte(i + 1)}, chunkBytes))
				w.must(doSync)
			}
			w.restoreTarget(back)
			w.put(w.src, sourcePath, volumeBytes-chunkBytes, bytes.Repeat([]byte("x"), chunkBytes))
			e := w.start(nil)
			d := &Driver{Host: e.near, Leg: w.theLeg(), Opt: SyncOptions{Dial: e.dial}}
			o, err := d.Observe(context.Background())
			require.NoError(t, err)
			_, err = d.Plan(o, array.Goal{Verb: array.Update})
			require.Equal(t, behind > state.KeepSets, err != nil, "what the verb plans is what the sync does: %v", err)
			rep, err := w.run(w.start(nil), doSync)
			if behind > state.KeepSets {
				code, _ := failure.CodeOf(err)
				require.Equal(t, failure.CodeNeedFull, code, "%v", err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, w.settled())
			require.EqualValues(t, (behind+1)*chunkBytes, rep.Transfer.ChangedBytes, "the union of all sets, and nothing else")
			require.NoError(t, w.repair(doSync))
		})
	}
}

// TestPutBackCut: the sync that brings such a target up to date is cut, and goes on.
func TestPutBackCut(t *testing.T) {
	for _, direct := range []bool{false, true} {
		for n := 0; ; n += 2 {
			w := pairInSync(t)
			w.leg = func(l *Leg) { l.Direct = direct }
			back := w.keepTarget()
			for range 2 {
				w.change()
				w.must(doSync)
			}
			w.restoreTarget(back)
			w.change()
			e := w.start(&point{"source", layerMessage, n, linkCut})
			_, err := w.run(e, doSync)
			if !e.fired() {
				require.Greater(t, n, 4)
				break
			}
			require.True(t, err != nil || n > 4)
			w.remember()
			_, err = w.afterCrash()
			require.NoError(t, err)
			require.NoError(t, w.repair(doSync), "direct %v, message %d", direct, n)
		}
	}
}

// A kept set that rots is not believed: the chain ends there, and nothing is guessed.
func TestRottenSetEndsTheChain(t *testing.T) {
	w := pairInSync(t)
	back := w.keepTarget()
	w.change()
	w.must(doSync)
	w.change()
	w.must(doSync)
	files, err := filepath.Glob(filepath.Join(w.dir, "src", "volumes", "*", "sets", "*.set"))
	require.NoError(t, err)
	slices.Sort(files)
	b, err := os.ReadFile(files[len(files)-2])
	require.NoError(t, err)
	b[len(b)/2] ^= 1
	require.NoError(t, os.WriteFile(files[len(files)-2], b, 0o600))
	w.restoreTarget(back)
	_, err = w.run(w.start(nil), doSync)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeNeedFull, code, "%v", err)
	_, err = w.resync(ResyncOptions{})
	require.NoError(t, err)
	require.NoError(t, w.settled())
}

// What a hash exchange found between two unknown contents is no record of writes.
func TestHashSetsAreNoChain(t *testing.T) {
	w := pairInSync(t)
	w.change()
	_, err := w.resync(ResyncOptions{})
	require.NoError(t, err)
	s, err := w.start(nil).near.lookAtSource(context.Background(), w.theLeg())
	require.NoError(t, err)
	kept, err := s.keptSets()
	require.NoError(t, err)
	require.Empty(t, leadsTo(s.doc.Tracking.Generation, kept))
}
