package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
)

var testLV = LV("Zd3fOM-abcd-EFGH-ijkl-MNOP-qrst-UVWXyz")

func gen(n uint64) generation.Generation {
	return generation.Generation{
		UUID: fmt.Sprintf("snap%02d-AAAA-BBBB-CCCC-DDDD-EEEE-FFFFFF", n), Seq: n,
		Time: time.Unix(int64(1700000000+n), 0).UTC(), Size: 1 << 30,
	}
}

func doc(role Role, fence uint64, c Condition, g generation.Generation) Document {
	return Document{
		Identity: testLV, Device: "/dev/vg1/appdata", Resource: "appdata", Size: 1 << 30,
		Role: role, Fence: fence, Condition: c, Generation: g,
	}
}

// transitions are the commits that a life of a volume consists of.
func transitions() map[string][2]*Document {
	none := generation.Generation{}
	first := doc(RoleSecondary, 1, Inconsistent(none, gen(1), 0), none)
	progress := doc(RoleSecondary, 1, Inconsistent(none, gen(1), 4096), none)
	clean := doc(RoleSecondary, 1, Clean(gen(1)), gen(1))
	applying := doc(RoleSecondary, 1, Applying(gen(1), gen(2)), gen(1))
	applied := doc(RoleSecondary, 1, Clean(gen(2)), gen(2))
	suspect := doc(RoleSecondary, 1, Suspect(gen(2), "write counters moved"), gen(2))
	promoted := doc(RolePrimary, 2, None(), gen(2))
	moved := doc(RolePrimary, 2, None(), gen(3))
	moved.Tracking = &Tracking{UUID: gen(3).UUID, Name: "vg1/appdata_osvc_snap1", Generation: gen(3)}
	moved.Legs = map[string]Leg{LegName("dr1", "/dev/vg1/appdata"): {Proven: gen(2), ChangedSets: []string{SetID(3, "x")}}}
	return map[string][2]*Document{
		"first commit":       {nil, &first},
		"progress, same tag": {&first, &progress},
		"first full done":    {&progress, &clean},
		"apply begins":       {&clean, &applying},
		"apply ends":         {&applying, &applied},
		"becomes suspect":    {&applied, &suspect},
		"promote":            {&suspect, &promoted},
		"rotation":           {&promoted, &moved},
		"forget":             {&moved, nil},
	}
}

// rig is one machine: a disk and a logical volume on one fault plan.
type rig struct {
	f  *faults
	fs *crashFS
	lv *fakeLV
}

func newRig(t *testing.T, old *Document, tagged bool) *rig {
	t.Helper()
	f := &faults{at: -1}
	r := &rig{f: f, fs: newCrashFS(f)}
	if tagged {
		r.lv = &fakeLV{f: f, tags: []string{"backup", "ddsgo.run=other"}}
	}
	if old != nil {
		// Two commits, so that a previous file exists too.
		d := *old
		require.NoError(t, r.volume().Commit(t.Context(), &d))
		require.NoError(t, r.volume().Commit(t.Context(), &d))
	}
	f.count = 0
	return r
}

func (r *rig) volume() *Volume {
	s := OpenFS("/state", r.fs)
	if r.lv == nil {
		return s.Volume(testLV, nil)
	}
	return s.Volume(testLV, r.lv)
}

// reboot gives the machine after a power cut (seed) or a kill (no seed).
func (r *rig) reboot(rng *rand.Rand) *rig {
	f := &faults{at: -1}
	n := &rig{f: f}
	if rng == nil {
		n.fs = r.fs.afterKill()
	} else {
		n.fs = r.fs.afterPowerCut(rng)
	}
	n.fs.f = f
	if r.lv != nil {
		n.lv = &fakeLV{f: f, tags: slices.Clone(r.lv.tags)}
	}
	return n
}

// act performs the transition.
func (r *rig) act(t *testing.T, next *Document) error {
	if next == nil {
		return r.volume().Forget(t.Context())
	}
	d := *next
	if old, err := r.volume().Load(t.Context()); err == nil {
		d.Revision = old.Revision
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	return r.volume().Commit(t.Context(), &d)
}

// same compares what a caller put into a document.
func same(a, b *Document) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := a.clone(), b.clone()
	for _, d := range []*Document{x, y} {
		d.Revision, d.Updated, d.Condition.Since = 0, time.Time{}, time.Time{}
	}
	bx, errX := seal(formatState, x)
	by, errY := seal(formatState, y)
	return errX == nil && errY == nil && string(bx) == string(by)
}

// checkAfter loads on the next boot and holds the result against old and new.
func checkAfter(t *testing.T, r *rig, old, next *Document, mustBeNew bool) {
	t.Helper()
	seen, seenErr := r.volume().Inspect(t.Context())
	got, err := r.volume().Load(t.Context())
	if errors.Is(err, ErrNotFound) {
		err, got = nil, nil
		require.ErrorIs(t, seenErr, ErrNotFound)
	}
	require.NoError(t, err)
	require.True(t, same(seen, got), "Inspect and Load differ: %+v, %+v", seen, got)
	if mustBeNew {
		require.True(t, same(got, next), "committed, but found %+v", got)
	}
	require.True(t, same(got, old) || same(got, next), "neither old nor new: %+v", got)
	if r.lv != nil {
		require.Equal(t, tagsOf(got), ownTags(r.lv.tags), "tags and file")
		require.Contains(t, r.lv.tags, "backup")
		require.Contains(t, r.lv.tags, "ddsgo.run=other")
	}
	for p := range r.fs.live {
		require.False(t, strings.HasPrefix(filepath.Base(p), ".") || strings.HasSuffix(p, ".tmp"), "left behind: %s", p)
	}
	if next != nil { // the same act again finishes
		require.NoError(t, r.act(t, next))
		again, err := r.volume().Load(t.Context())
		require.NoError(t, err)
		require.True(t, same(again, next))
	} else {
		require.NoError(t, r.volume().Forget(t.Context()))
	}
}

// TestCrashMatrix puts a fault on every file and tag operation of every commit; the
// next run finds the old state or the new one, never a mix, and goes on.
func TestCrashMatrix(t *testing.T) {
	for name, tr := range transitions() {
		for _, tagged := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/tags=%v", name, tagged), func(t *testing.T) {
				for mode := failBefore; mode <= cutAfter; mode++ {
					points := crashPoints(t, tr[0], tr[1], tagged, mode)
					require.Greater(t, points, 4, "the plan hit nothing")
				}
			})
		}
	}
}

// crashPoints tries every operation in one mode and returns how many there were.
func crashPoints(t *testing.T, old, next *Document, tagged bool, mode faultMode) int {
	for n := 0; ; n++ {
		r := newRig(t, old, tagged)
		r.f.at, r.f.mode = n, mode
		err := r.act(t, next)
		if r.f.count <= n {
			require.NoError(t, err)
			return n
		}
		done := err == nil
		for seed := uint64(0); seed < 5; seed++ {
			checkAfter(t, r.reboot(rand.New(rand.NewPCG(seed, uint64(n)))), old, next, done)
		}
		checkAfter(t, r.reboot(nil), old, next, done)
		if t.Failed() {
			t.Fatalf("operation %d, %v", n, mode)
		}
	}
}

// TestCrashWhileFinishing cuts the recovery of a cut commit as well.
func TestCrashWhileFinishing(t *testing.T) {
	tr := transitions()["promote"]
	for n := 0; ; n++ {
		first := newRig(t, tr[0], true)
		first.f.at, first.f.mode = n, cutAfter
		_ = first.act(t, tr[1])
		if first.f.count <= n {
			return
		}
		for k := 0; ; k++ {
			r := first.reboot(rand.New(rand.NewPCG(uint64(n), uint64(k))))
			r.f.at, r.f.mode = k, cutAfter
			_, _ = r.volume().Load(t.Context())
			if r.f.count <= k {
				break
			}
			checkAfter(t, r.reboot(rand.New(rand.NewPCG(7, uint64(k)))), tr[0], tr[1], false)
		}
	}
}

// TestCrashWhileResetting: until Reset is through, the volume stays refused; the same
// Reset again gets through, and the rejected file stays as evidence.
func TestCrashWhileResetting(t *testing.T) {
	old := doc(RoleSecondary, 1, Clean(gen(1)), gen(1))
	next := doc(RoleSecondary, 1, Inconsistent(generation.Generation{}, gen(5), 0), generation.Generation{})
	path := filepath.Join("/state", volumesDir, testLV.String(), stateFile)
	for mode := failBefore; mode <= cutAfter; mode++ {
		for n := 0; ; n++ {
			r := newRig(t, &old, true)
			r.fs.live[path].data = []byte("damaged")
			r.fs.live[path].synced = []byte("damaged")
			r.f.at, r.f.mode = n, mode
			d := next
			err := r.volume().Reset(t.Context(), &d)
			if r.f.count <= n {
				require.NoError(t, err)
				break
			}
			for seed := uint64(0); seed < 5; seed++ {
				b := r.reboot(rand.New(rand.NewPCG(seed, uint64(n))))
				got, loadErr := b.volume().Load(t.Context())
				switch {
				case loadErr == nil:
					require.True(t, same(got, &next))
				case err == nil:
					t.Fatalf("operation %d, %v: reset done, but %v", n, mode, loadErr)
				default:
					require.True(t, errors.Is(loadErr, ErrDamaged) || errors.Is(loadErr, ErrDisagree), "%v", loadErr)
					d := next
					require.NoError(t, b.volume().Reset(t.Context(), &d))
				}
				got, loadErr = b.volume().Load(t.Context())
				require.NoError(t, loadErr)
				require.True(t, same(got, &next))
				require.Equal(t, tagsOf(got), ownTags(b.lv.tags))
			}
		}
	}
}
