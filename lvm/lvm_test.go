package lvm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm"
)

// answer is a Runner that gives one answer and keeps the command.
type answer struct {
	stdout string
	exit   int
	stderr string
	last   run.Cmd
}

func (a *answer) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	a.last = c
	res := run.Result{Stdout: []byte(a.stdout), Stderr: []byte(a.stderr), ExitCode: a.exit}
	if a.exit != 0 {
		return res, &run.ExitError{Cmd: c.String(), ExitCode: a.exit, Stderr: a.stderr}
	}
	return res, nil
}

func recorded(t *testing.T, name string) []lvm.LV {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "lvm-2.03.16", name+".json"))
	require.NoError(t, err)
	lvs, err := (&lvm.LVM{Runner: &answer{stdout: string(b), stderr: "  WARNING: whatever\n"}}).Report(t.Context(), "vg-a")
	require.NoError(t, err)
	return lvs
}

func get(t *testing.T, lvs []lvm.LV, name string) lvm.LV {
	t.Helper()
	v, ok := lvm.ByName(lvs, name)
	require.True(t, ok, name)
	return v
}

// Reports of real LVM.
func TestRecordedReports(t *testing.T) {
	lvs := recorded(t, "two")
	require.Len(t, lvs, 5)
	origin, s1, off := get(t, lvs, "my-data"), get(t, lvs, "s1"), get(t, lvs, "off")
	require.True(t, origin.Active() && origin.Writable() && !origin.Plain() && !origin.Snapshot())
	require.Equal(t, lvm.TypeOrigin, origin.Attr.Type)
	require.EqualValues(t, 32<<20, origin.Size)
	require.EqualValues(t, lvm.Unknown, origin.SnapPercent)
	require.Equal(t, "vg--a-my--data", origin.DMName)
	require.True(t, s1.SnapshotOf(origin) && !s1.Writable() && !s1.Invalid() && !s1.Merging())
	require.EqualValues(t, 4<<20, s1.Size)
	require.EqualValues(t, 32<<20, s1.OriginSize)
	require.EqualValues(t, 4096, s1.ChunkSize)
	require.InDelta(t, 4.10, s1.SnapPercent, 0.001)
	require.Equal(t, []string{"ddsgo.run=7", "x=1"}, s1.Tags)
	require.Equal(t, "/dev/mapper/vg--a-s1-cow", s1.CowPath())
	require.Equal(t, 2026, s1.Time.Year())
	run, ok := s1.TagValue(lvm.TagRun)
	require.True(t, ok)
	require.Equal(t, "7", run)
	require.True(t, off.Plain() && !off.Active())
	require.Equal(t, []string{"s1", "s2"}, names(lvm.SnapshotsOf(lvs, origin)))

	require.True(t, get(t, recorded(t, "overflow"), "s2").Invalid())
	require.False(t, get(t, recorded(t, "overflow"), "s1").Invalid())
	require.True(t, get(t, recorded(t, "suspended"), "d2").Suspended)
	merging := recorded(t, "merging-delayed")
	require.True(t, get(t, merging, "m1").Merging() && get(t, merging, "m1").Hidden && get(t, merging, "d2").Merging())
	half := recorded(t, "half")
	require.Len(t, half, 4, "two rows of one volume with two segments are one volume")
	require.True(t, get(t, half, "s1").Plain() && !get(t, half, "s1").Active())
}

func names(lvs []lvm.LV) (n []string) {
	for _, v := range lvs {
		n = append(n, v.Name)
	}
	return n
}

func TestReportRefusesWhatItCannotUnderstand(t *testing.T) {
	good, err := os.ReadFile("testdata/lvm-2.03.16/two.json")
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"empty":         "",
		"text":          "  LV VG\n",
		"other json":    `{"a":1}`,
		"no lv":         `{"report":[{"vg":[]}]}`,
		"short attr":    strings.Replace(string(good), "sri-a-s---", "sri", 1),
		"size":          strings.Replace(string(good), `"33554432"`, `"32.00m"`, 1),
		"negative size": strings.Replace(string(good), `"33554432"`, `"-5"`, 1),
		"percent":       strings.Replace(string(good), `"4.10"`, `"104.10"`, 1),
		"uuid":          strings.Replace(string(good), "1WTvYn-rQHK-M6lD-WD5h-E6Vx-EVfE-GXdlmu", "1WTvYn", 1),
	} {
		_, err := (&lvm.LVM{Runner: &answer{stdout: bad}}).Report(t.Context(), "vg-a")
		require.ErrorIs(t, err, lvm.ErrReport, name)
	}
}

func TestExitStatusDecides(t *testing.T) {
	v := lvm.LV{Name: "data", VG: "vg", UUID: "u"}
	for exit, want := range map[int]error{5: lvm.ErrFailed, 3: lvm.ErrCommandLine, -1: lvm.ErrKilled} {
		a := &answer{exit: exit, stderr: "  reason"}
		err := (&lvm.LVM{Runner: a}).Remove(t.Context(), v)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "vg/data")
		var e *run.ExitError
		require.ErrorAs(t, err, &e)
	}
	require.NoError(t, (&lvm.LVM{Runner: &answer{stderr: "  WARNING: many words"}}).Remove(t.Context(), v), "stderr is no failure")
}

func TestChangesCarryTheLockAndIgnoreLateCancellation(t *testing.T) {
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	require.NoError(t, err)
	defer lock.Close()
	v := lvm.LV{Name: "data", VG: "vg", UUID: "u"}
	a := &answer{}
	require.NoError(t, (&lvm.LVM{Runner: a, Lock: lock}).Remove(t.Context(), v))
	require.Same(t, lock, a.last.Stdin)
	require.False(t, a.last.Pdeathsig, "a killed parent must not kill lvm")
	require.NoError(t, (&lvm.LVM{Runner: a}).Remove(t.Context(), v))
	require.Nil(t, a.last.Stdin)

	ctx, cancel := context.WithCancelCause(t.Context())
	runner := runnerFunc(func(inner context.Context, _ run.Cmd) (run.Result, error) {
		cancel(errors.New("interrupted"))
		return run.Result{}, inner.Err()
	})
	require.NoError(t, (&lvm.LVM{Runner: runner}).Remove(ctx, v), "a command under way is not killed")
	require.ErrorContains(t, (&lvm.LVM{Runner: runner}).Remove(ctx, v), "interrupted", "none is started after")
}

type runnerFunc func(context.Context, run.Cmd) (run.Result, error)

func (f runnerFunc) Run(ctx context.Context, c run.Cmd) (run.Result, error) { return f(ctx, c) }

func TestAttr(t *testing.T) {
	for raw, check := range map[string]func(lvm.Attr) bool{
		"-wi-a-----": func(a lvm.Attr) bool { return a.Active() && !a.Open && !a.Skip && a.Type == lvm.TypePlain },
		"owi-aos---": func(a lvm.Attr) bool { return a.Active() && a.Open && a.Type == lvm.TypeOrigin },
		"swi-I-s---": func(a lvm.Attr) bool { return a.Invalid() && a.Active() && !a.Suspended() },
		"swi-S-s---": func(a lvm.Attr) bool { return a.Invalid() && a.Suspended() },
		"Swi-a-s---": func(a lvm.Attr) bool { return a.Merging() },
		"Owi-aos---": func(a lvm.Attr) bool { return a.Merging() },
		"swi-m-s---": func(a lvm.Attr) bool { return a.Merging() },
		"-wi-i-----": func(a lvm.Attr) bool { return !a.Active() },
		"-wi-d-----": func(a lvm.Attr) bool { return !a.Active() },
		"-ri-------": func(a lvm.Attr) bool { return !a.Active() && a.Permission == lvm.ReadOnly },
		"Vwi---tz-k": func(a lvm.Attr) bool { return a.Skip && a.Zero && a.Type == lvm.TypeThin && a.Target == 't' },
		"-wimsop-p-x": func(a lvm.Attr) bool {
			return a.FixedMinor && a.Suspended() && a.Health == 'p' && a.State.String() == "suspended"
		},
		"?wi-?-----": func(a lvm.Attr) bool { return a.Type.String() == "unknown ('?')" },
	} {
		a, err := lvm.ParseAttr(raw)
		require.NoError(t, err, raw)
		require.True(t, check(a), "%s: %+v", raw, a)
	}
	_, err := lvm.ParseAttr("-wi-a")
	require.ErrorIs(t, err, lvm.ErrReport)
}

func FuzzParseReport(f *testing.F) {
	files, err := filepath.Glob("testdata/lvm-2.03.16/*.json")
	require.NoError(f, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, s string) {
		lvs, err := (&lvm.LVM{Runner: &answer{stdout: s}}).Report(context.Background(), "vg")
		if err != nil {
			require.ErrorIs(t, err, lvm.ErrReport)
			return
		}
		for _, v := range lvs {
			require.NotEmpty(t, v.Name+v.VG)
			require.GreaterOrEqual(t, v.Size, int64(0))
			require.True(t, v.SnapPercent == lvm.Unknown || v.SnapPercent >= 0 && v.SnapPercent <= 100)
			require.Len(t, v.UUID, 38)
		}
	})
}

func FuzzDeviceMapperReports(f *testing.F) {
	f.Add("vg-lv|LVM-x|Live|Active|Writeable|0|254|1\n", "0 65536 snapshot 336/8192 16\n")
	f.Add("vg-lv||Both|Suspended|Read-only|0|254|1\n", "0 65536 snapshot Invalid\n")
	f.Fuzz(func(t *testing.T, info, status string) {
		l := &lvm.LVM{Runner: &answer{stdout: info}}
		if _, err := l.DM().List(context.Background()); err != nil {
			require.ErrorIs(t, err, lvm.ErrReport)
		}
		l.Runner = &answer{stdout: status}
		st, err := l.DM().SnapshotStatus(context.Background(), "x")
		if err != nil {
			require.True(t, errors.Is(err, lvm.ErrReport) || errors.Is(err, lvm.ErrNotSnapshot), "%v", err)
			return
		}
		require.GreaterOrEqual(t, st.Exceptions(4096), int64(0))
	})
}

func TestSnapshotStatus(t *testing.T) {
	for line, want := range map[string]lvm.SnapshotStatus{
		"0 65536 snapshot 336/8192 16":     {Used: 336 * 512, Total: 8192 * 512, Metadata: 16 * 512},
		"0 65536 snapshot-merge 16/200 16": {Merging: true, Used: 16 * 512, Total: 200 * 512, Metadata: 16 * 512},
		"0 65536 snapshot Invalid":         {Problem: "Invalid"},
		"0 65536 snapshot Overflow":        {Problem: "Overflow"},
		"0 65536 snapshot Merge failed":    {Problem: "Merge failed"},
	} {
		st, err := (&lvm.LVM{Runner: &answer{stdout: line + "\n"}}).DM().SnapshotStatus(t.Context(), "s")
		require.NoError(t, err, line)
		require.Equal(t, want, st, line)
	}
	st := lvm.SnapshotStatus{Used: 336 * 512, Metadata: 16 * 512}
	require.EqualValues(t, 40, st.Exceptions(4096))
	for _, line := range []string{"0 65536 linear 7:0 1", "0 65536 snapshot 1", "0 65536 snapshot 1/x 2", "0 1 snapshot -1/2 3", "", "0 1 snapshot 1/2 3\n1 1 snapshot 1/2 3"} {
		_, err := (&lvm.LVM{Runner: &answer{stdout: line + "\n"}}).DM().SnapshotStatus(t.Context(), "s")
		require.Error(t, err, line)
	}
}

func TestDMNames(t *testing.T) {
	require.Equal(t, "vg--a-my--data", lvm.DMName("vg-a", "my-data"))
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z_][a-z_-]{0,6}[a-z_]`)
		vg, lv, layer := name.Draw(t, "vg"), name.Draw(t, "lv"), rapid.SampledFrom([]string{"", "cow", "real"}).Draw(t, "layer")
		dm := lvm.DMName(vg, lv)
		if layer != "" {
			dm += "-" + layer
		}
		gotVG, gotLV, gotLayer, ok := lvm.SplitDMName(dm)
		require.True(t, ok)
		require.Equal(t, []string{vg, lv, layer}, []string{gotVG, gotLV, gotLayer})
	})
	for _, bad := range []string{"", "control", "-x", "vg-"} {
		_, _, _, ok := lvm.SplitDMName(bad)
		require.False(t, ok, bad)
	}
}

func TestSnapshotName(t *testing.T) {
	data := lvm.LV{Name: "data", VG: "vg", UUID: "aaaaaa-1"}
	dashed := lvm.LV{Name: "a-b", VG: "vg", UUID: "bbbbbb-1"}
	under := lvm.LV{Name: "a_b", VG: "vg", UUID: "cccccc-1"}
	snap := func(name string, of lvm.LV) lvm.LV {
		return lvm.LV{Name: name, VG: "vg", UUID: "s", OriginUUID: of.UUID, Origin: of.Name, Attr: lvm.Attr{Type: lvm.TypeSnapshot}}
	}
	plain := lvm.LV{Name: "data_osvc_snap1", VG: "vg", UUID: "p", Attr: lvm.Attr{Type: lvm.TypePlain}}
	left := plain
	left.Tags = []string{lvm.TagRun + "=1"}
	for _, c := range []struct {
		what   string
		origin lvm.LV
		lvs    []lvm.LV
		want   string
	}{
		{"as OpenSVC", data, nil, "data_osvc_snap1"},
		{"own snapshot", data, []lvm.LV{snap("data_osvc_snap1", data)}, "data_osvc_snap1"},
		{"another's snapshot", data, []lvm.LV{snap("data_osvc_snap1", under)}, "data_aaaaaa_osvc_snap1"},
		{"a stranger's volume", data, []lvm.LV{plain}, "data_aaaaaa_osvc_snap1"},
		{"our own left-over", data, []lvm.LV{left}, "data_osvc_snap1"},
		{"dash", dashed, nil, "a_b_bbbbbb_osvc_snap1"},
		{"dash, adopted", dashed, []lvm.LV{snap("a_b_osvc_snap1", dashed)}, "a_b_osvc_snap1"},
		{"dash beside underscore", dashed, []lvm.LV{snap("a_b_osvc_snap1", under)}, "a_b_bbbbbb_osvc_snap1"},
		{"underscore beside dash", under, []lvm.LV{snap("a_b_bbbbbb_osvc_snap1", dashed)}, "a_b_osvc_snap1"},
	} {
		require.Equal(t, c.want, lvm.SnapshotName(c.origin, 1, c.lvs), c.what)
	}
	long := lvm.LV{Name: strings.Repeat("x", 110), VG: "group-name", UUID: "dddddd-1"}
	got := lvm.SnapshotName(long, 2, nil)
	require.LessOrEqual(t, len(lvm.DMName(long.VG, got)+"-real"), 127)
	require.True(t, strings.HasSuffix(got, "_dddddd_osvc_snap2"))
}

func TestBadInputIsRefusedBeforeACommand(t *testing.T) {
	none := runnerFunc(func(_ context.Context, c run.Cmd) (run.Result, error) {
		t.Errorf("started %s", c)
		return run.Result{}, nil
	})
	l := &lvm.LVM{Runner: none}
	v := lvm.LV{Name: "data", VG: "vg", Size: 100}
	for name, err := range map[string]error{
		"option as group": second(l.Report(t.Context(), "--all")),
		"option as path":  second(l.Find(t.Context(), "-x")),
		"empty path":      second(l.Find(t.Context(), "")),
		"option as name":  l.Rename(t.Context(), v, "-f"),
		"slash in name":   l.Rename(t.Context(), v, "a/b"),
		"comma in tag":    l.SetTags(t.Context(), v, []string{"a,b"}, nil),
		"space in tag":    l.SetTags(t.Context(), v, nil, []string{"a b"}),
		"long tag":        l.SetTags(t.Context(), v, []string{strings.Repeat("x", 1025)}, nil),
		"snapshot name":   second(l.CreateSnapshot(t.Context(), v, lvm.SnapshotSpec{Name: "-s", Size: 1})),
		"device":          second(l.DM().Table(t.Context(), "--all")),
	} {
		require.ErrorIs(t, err, lvm.ErrBadName, name)
	}
	require.Error(t, second(l.CreateSnapshot(t.Context(), v, lvm.SnapshotSpec{Name: "s"})), "size 0")
	require.Error(t, second(l.CreateSnapshot(t.Context(), v, lvm.SnapshotSpec{Name: "s", Size: 1, Chunk: 5000})))
	require.NoError(t, l.Extend(t.Context(), v, 50), "nothing to do")
	require.NoError(t, l.Rename(t.Context(), v, "data"), "nothing to do")
	require.NoError(t, l.SetTags(t.Context(), v, nil, nil), "nothing to do")
}

func second[T any](_ T, err error) error { return err }
