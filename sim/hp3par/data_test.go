package hp3par

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/sim/control"
)

func syncScenario() Scenario {
	return Scenario{Groups: []ScenarioGroup{{Name: "MYRCG", Mode: "sync", Volumes: []string{"VV_SVC1_ROOT"}}}}
}

func TestPeriodicCyclesSendThePointAtWhichTheyBegan(t *testing.T) {
	s := start(t, nil)
	first := *s.Snapshot().Arrays[0].Groups[0].LastSync
	require.NoError(t, write(t, s, 0, "before", 0))
	require.NoError(t, s.Advance(240*time.Second)) // 60 s had passed: the next cycle begins now
	require.Equal(t, "Syncing", s.Snapshot().Arrays[0].Groups[0].Members[0].Sync)
	require.NoError(t, write(t, s, 0, "during", 0))
	require.Equal(t, "\x00\x00\x00", read(t, s, 1, 0, 3), "nothing has arrived yet")
	require.NoError(t, s.Advance(cycleDuration))
	require.Equal(t, "before", read(t, s, 1, 0, 6), "content of the instant at which the cycle began")
	st := s.Snapshot().Arrays[0].Groups[0]
	require.Equal(t, first.Add(300*time.Second), *st.LastSync)
	require.NoError(t, s.Advance(5*time.Minute))
	require.Equal(t, "during", read(t, s, 1, 0, 6))
	require.Equal(t, first.Add(600*time.Second), *s.Snapshot().Arrays[0].Groups[0].LastSync)
}

func TestLongAdvanceRunsEveryCycle(t *testing.T) {
	s := start(t, nil)
	before := *s.Snapshot().Arrays[0].Groups[0].LastSync
	require.NoError(t, s.Advance(time.Hour))
	require.Equal(t, before.Add(time.Hour), *s.Snapshot().Arrays[0].Groups[0].LastSync)
}

func TestCutCycleIsPromotedToTheLastPoint(t *testing.T) {
	for _, skipPromote := range []bool{false, true} {
		s := start(t, nil)
		data := strings.Repeat("A", 3*pageSize)
		require.NoError(t, write(t, s, 0, data, 0))
		must(t, s, 0, "syncrcopy -w MYRCG")
		require.NoError(t, write(t, s, 0, strings.Repeat("B", 3*pageSize), 0))
		must(t, s, 0, "syncrcopy MYRCG")
		require.NoError(t, s.AddFault("", "link_down", nil))
		half := read(t, s, 1, 0, 3*pageSize)
		require.NotEqual(t, data, half)
		require.Contains(t, half, "A")
		require.Contains(t, half, "B")
		flag := ""
		if skipPromote {
			flag = " -nopromote"
		}
		must(t, s, 1, "setrcopygroup failover -f -waittask"+flag+" MYRCG.r12345")
		if skipPromote {
			require.Equal(t, half, read(t, s, 1, 0, 3*pageSize))
			require.NotEmpty(t, s.Violations())
			continue
		}
		require.Equal(t, data, read(t, s, 1, 0, 3*pageSize))
		require.Empty(t, s.Violations())
	}
}

func TestRecoverAndRestoreCarryTheNewData(t *testing.T) {
	s := start(t, nil)
	must(t, s, 0, "stoprcopygroup -f MYRCG")
	require.NoError(t, write(t, s, 0, "unsent", 0))
	must(t, s, 1, "setrcopygroup failover -f -waittask MYRCG.r12345")
	require.NoError(t, write(t, s, 1, "second", 0))
	must(t, s, 1, "setrcopygroup recover -f -waittask MYRCG.r12345")
	require.Equal(t, "second", read(t, s, 0, 0, 6), "writes made on the old primary alone are gone")
	require.Error(t, write(t, s, 0, "x", 0))
	require.NoError(t, write(t, s, 1, "third!", 0))
	must(t, s, 1, "setrcopygroup restore -f -waittask MYRCG.r12345")
	require.Equal(t, "third!", read(t, s, 0, 0, 6), "restore ends with a last transfer")
	require.NoError(t, write(t, s, 0, "fourth", 0))
	require.Error(t, write(t, s, 1, "x", 0))
}

func TestSynchronousGroup(t *testing.T) {
	s := start(t, func(o *Options) { o.Scenario = syncScenario() })
	require.Equal(t, "MYRCG,hp3par2.opensvc.com,Started,Primary,Sync,\n ,VV_SVC1_ROOT,31110,VV_SVC1_ROOT,31079,Synced,NA\n\n",
		must(t, s, 0, "showrcopy groups -csvtable -nohdtot"), "empty options, no time while it runs")
	require.NoError(t, write(t, s, 0, "one", 0))
	require.Equal(t, "one", read(t, s, 1, 0, 3), "mirrored at once")
	must(t, s, 0, "setrcopygroup pol auto_recover MYRCG")
	require.Contains(t, must(t, s, 0, "showrcopy groups -csvtable -nohdtot"), "Sync,auto_recover\n", "one option needs no quotes")
	require.NoError(t, s.AddFault("", "link_down", nil))
	require.NoError(t, write(t, s, 0, "two", 0))
	require.Equal(t, "one", read(t, s, 1, 0, 3))
	require.Contains(t, must(t, s, 0, "showrcopy groups -csvtable -nohdtot"), ",Stopped,2014-03-25 15:13:47 UTC")
	s.ClearFaults("", "link_down")
	require.NoError(t, s.Advance(autoDelay))
	require.NoError(t, write(t, s, 0, "three", 0))
	require.NoError(t, s.Advance(cycleDuration))
	require.Equal(t, "three", read(t, s, 1, 0, 5), "writes during the transfer are sent along")
	_, rc := local(s, 0, "opensvc", "setrcopygroup period 5m hp3par2.opensvc.com MYRCG")
	require.Equal(t, 1, rc, "a period is for periodic groups only")
}

func TestSwitchover(t *testing.T) {
	s := start(t, func(o *Options) { o.Scenario = syncScenario() })
	must(t, s, 0, "setrcopygroup pol path_management MYRCG")
	must(t, s, 0, "setrcopygroup switchover -f -waittask MYRCG")
	require.Equal(t, [2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}, sides(t, s))
}

func TestFiles(t *testing.T) {
	s := start(t, func(o *Options) { o.Files = true })
	p, q := s.Snapshot().Arrays[0].Volumes[0].File, s.Snapshot().Arrays[1].Volumes[0].File
	require.Equal(t, "VV_SVC1_ROOT", filepath.Base(p))
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("from outside"), 128<<20)
	require.NoError(t, err)
	must(t, s, 0, "syncrcopy -w MYRCG")
	got, err := os.ReadFile(q)
	require.NoError(t, err)
	require.Len(t, got, 256<<20)
	require.Equal(t, "from outside", string(got[128<<20:128<<20+12]))
	_, err = f.WriteAt(make([]byte, 12), 128<<20)
	require.NoError(t, err)
	must(t, s, 0, "syncrcopy -w MYRCG")
	require.Equal(t, strings.Repeat("\x00", 12), read(t, s, 1, 128<<20, 12), "zeros are copied too")
	require.NoError(t, s.Reset())
	require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
}

// TestFilesAndMemoryAgree: both kinds of content obey one model, a byte slice.
func TestFilesAndMemoryAgree(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		const size = 5*pageSize + 100
		f, err := newFile(dir, "a", "v", size)
		require.NoError(t, err)
		m, model := newMemory(), make([]byte, size)
		for range rapid.IntRange(1, 8).Draw(t, "writes") {
			off := rapid.IntRange(0, size-1).Draw(t, "offset")
			n := rapid.IntRange(1, size-off).Draw(t, "length")
			p := []byte(strings.Repeat(string(rapid.SampledFrom([]rune{'\x00', 'x', 'y'}).Draw(t, "byte")), n))
			copy(model[off:], p)
			require.NoError(t, f.WriteAt(p, int64(off)))
			require.NoError(t, m.WriteAt(p, int64(off)))
		}
		for _, c := range []content{f, m} {
			got := make([]byte, size)
			require.NoError(t, c.ReadAt(got, 0))
			require.Equal(t, model, got)
		}
		df, err := f.Digest()
		require.NoError(t, err)
		dm, err := m.Digest()
		require.NoError(t, err)
		require.Equal(t, dm, df)
		g, err := newFile(dir, "a", "w", size)
		require.NoError(t, err)
		require.NoError(t, g.WriteAt([]byte("old"), pageSize))
		require.NoError(t, g.Assign(f, false))
		dg, err := g.Digest()
		require.NoError(t, err)
		require.Equal(t, dm, dg)
	})
}

func TestSnapshotsAreRefreshed(t *testing.T) {
	s := start(t, nil)
	must(t, s, 0, "createsv SNAP1 VV_SVC1_ROOT")
	require.Equal(t, "VV_SVC1_ROOT,2014-03-25 15:13:47 UTC,tpvv\nSNAP1,2014-03-25 15:13:47 UTC,snp\n",
		must(t, s, 0, "showvv -showcols Name,CreationTime,Prov -csvtable -nohdtot"))
	require.NoError(t, write(t, s, 0, "new", 0))
	require.NoError(t, s.Advance(time.Minute))
	must(t, s, 0, "updatevv -f SNAP1")
	require.Contains(t, must(t, s, 0, "showvv -showcols Name,CreationTime,Prov -csvtable -nohdtot"), "SNAP1,2014-03-25 15:14:47 UTC,snp\n")
	p, err := s.IO(t.Context(), control.IORequest{Array: "hp3par1.opensvc.com", Volume: "SNAP1", Op: "read", Length: 3})
	require.NoError(t, err)
	require.Equal(t, "new", string(p))
	out, rc := local(s, 0, "opensvc", "updatevv -f SNAP1 VV_SVC1_ROOT")
	require.Equal(t, 1, rc)
	require.Contains(t, out, "is not a snapshot")
}

// TestRandomCommands drives the pair with random commands and faults: whatever
// they do, no side is half done while it is writable, planned verbs never leave
// two writable sides, and every answer is a status or a named refusal.
func TestRandomCommands(t *testing.T) {
	prof, err := profileByName(Profile3PAR)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		clock, err := control.NewClock(control.Auto, testStart)
		require.NoError(t, err)
		m := &machine{clock: clock, scheduled: make(chan struct{}, 1)}
		m.faults = control.NewFaults(faultKinds, []string{"hp3par1.opensvc.com", "hp3par2.opensvc.com"}, nil)
		require.NoError(t, m.build(defaultScenario(), prof))
		s := &Sim{m: m}
		names := [2]string{"MYRCG", "MYRCG.r12345"}
		verbs := []string{"stoprcopygroup -f", "startrcopygroup", "syncrcopy", "syncrcopy -w", "setrcopygroup recover -f", "setrcopygroup restore -f -waittask",
			"setrcopygroup reverse -f -waittask", "setrcopygroup reverse -f -stopgroups", "setrcopygroup reverse -f -current", "setrcopygroup reverse -f -natural"}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			side := rapid.IntRange(0, 1).Draw(t, "side")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				f, _ := control.NewFault("", "link_down", nil)
				_, _ = m.faults.Add(f)
			case 1:
				m.faults.Clear(0, "", "link_down")
			case 2:
				require.NoError(t, s.Advance(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds"))*time.Second/10))
			default:
				out, rc := local(s, side, "opensvc", rapid.SampledFrom(verbs).Draw(t, "verb")+" "+names[side])
				require.True(t, rc == 0 || strings.Contains(out, "Error: ") || strings.Contains(out, "failed"), out)
			}
			s.Settle()
			p := m.pairs[0]
			require.False(t, p.sides[0].writable() && p.sides[1].writable(), "no failover was sent")
			require.Empty(t, m.violations)
		}
	})
}
