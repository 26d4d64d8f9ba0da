package hp3par

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
)

// situation brings the pair into a state by the array's own commands.
type situation struct {
	name   string
	reach  []string // "1 command" or "2 command", "down", "up", "advance"
	before [2]string
}

const (
	onP = "1 "
	onS = "2 "
)

var situations = []situation{
	{"normal", nil, [2]string{"Primary/Started", "Secondary/Started"}},
	{"stopped", []string{"1 stoprcopygroup -f MYRCG"}, [2]string{"Primary/Stopped", "Secondary/Stopped"}},
	{"failed over", []string{"1 stoprcopygroup -f MYRCG", "2 setrcopygroup failover -f -waittask MYRCG.r12345"},
		[2]string{"Primary/Stopped", "Primary-Rev/Stopped"}},
	{"recovered", []string{"1 stoprcopygroup -f MYRCG", "2 setrcopygroup failover -f -waittask MYRCG.r12345", "2 setrcopygroup recover -f -waittask MYRCG.r12345"},
		[2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}},
	{"recovered and stopped", []string{"1 stoprcopygroup -f MYRCG", "2 setrcopygroup failover -f -waittask MYRCG.r12345",
		"2 setrcopygroup recover -f -waittask MYRCG.r12345", "2 stoprcopygroup -f MYRCG.r12345"},
		[2]string{"Secondary-Rev/Stopped", "Primary-Rev/Stopped"}},
	{"reversed", []string{"1 stoprcopygroup -f MYRCG", "2 setrcopygroup reverse -f -waittask MYRCG.r12345"},
		[2]string{"Secondary/Stopped", "Primary/Stopped"}},
	{"reversed and started", []string{"1 stoprcopygroup -f MYRCG", "2 setrcopygroup reverse -f -waittask MYRCG.r12345", "2 startrcopygroup -wait MYRCG.r12345"},
		[2]string{"Secondary/Started", "Primary/Started"}},
	{"link lost", []string{"down"}, [2]string{"Primary/Stopped", "Secondary/Stopped"}},
	{"failed over, link lost", []string{"down", "2 setrcopygroup failover -f -waittask MYRCG.r12345"},
		[2]string{"Primary/Stopped", "Primary-Rev/Stopped"}},
}

func (x situation) bring(t *testing.T, s *Sim) {
	t.Helper()
	for _, step := range x.reach {
		do(t, s, step)
	}
	require.Equal(t, x.before, sides(t, s), x.name)
}

// do carries out one step and returns its output and exit status.
func do(t *testing.T, s *Sim, step string) (string, int) {
	t.Helper()
	switch step {
	case "down":
		require.NoError(t, s.AddFault("", "link_down", nil))
		return "", 0
	case "up":
		s.ClearFaults("", "link_down")
		return "", 0
	}
	array := 0
	if strings.HasPrefix(step, onS) {
		array = 1
	}
	return local(s, array, "opensvc", step[2:])
}

// TestCommandsFromEveryState is the state machine as a table: for each state and
// command either the state after it, or the words of the refusal.
func TestCommandsFromEveryState(t *testing.T) {
	refuse := func(words string) [2]string { return [2]string{"!", words} }
	notStopped, onlyPrimary, notReady := refuse("is not stopped"), refuse("only on the primary side"), refuse("is not ready")
	conflict, started := refuse("not in the correct role"), refuse("already been started")
	for _, tc := range []struct {
		state, command string
		after          [2]string
	}{
		{"normal", "1 startrcopygroup MYRCG", started},
		{"normal", "2 startrcopygroup MYRCG.r12345", started},
		{"normal", "2 startrcopygroup -wait MYRCG.r12345", onlyPrimary},
		{"normal", "2 stoprcopygroup -f MYRCG.r12345", onlyPrimary},
		{"normal", "2 stoprcopygroup -f -remote MYRCG.r12345", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"normal", "2 syncrcopy -w MYRCG.r12345", onlyPrimary},
		{"normal", "2 setrcopygroup failover -f MYRCG.r12345", notStopped},
		{"normal", "1 setrcopygroup failover -f MYRCG", conflict},
		{"normal", "2 setrcopygroup recover -f MYRCG.r12345", notStopped},
		{"normal", "2 setrcopygroup restore -f MYRCG.r12345", refuse("was not previously switched")},
		{"normal", "2 setrcopygroup reverse -f MYRCG.r12345", notStopped},
		{"normal", "2 setrcopygroup reverse -f -waittask -stopgroups MYRCG.r12345", [2]string{"Secondary/Stopped", "Primary/Stopped"}},
		{"normal", "1 setrcopygroup reverse -f -waittask -natural MYRCG", [2]string{"Primary-Rev/Started", "Secondary-Rev/Started"}},
		{"normal", "1 setrcopygroup switchover -f MYRCG", refuse("switchover needs synchronous mode")},
		{"normal", "1 setrcopygroup override -f MYRCG", conflict},
		{"normal", "1 removercopygroup -f MYRCG", started},
		{"normal", "1 dismissrcopyvv -f VV_SVC1_ROOT MYRCG", started},
		{"stopped", "1 startrcopygroup -wait MYRCG", [2]string{"Primary/Started", "Secondary/Started"}},
		{"stopped", "2 startrcopygroup MYRCG.r12345", [2]string{"Primary/Started", "Secondary/Started"}},
		{"stopped", "1 syncrcopy -w MYRCG", refuse("is not started")},
		{"stopped", "1 stoprcopygroup -f MYRCG", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"stopped", "2 setrcopygroup reverse -f -waittask MYRCG.r12345", [2]string{"Secondary/Stopped", "Primary/Stopped"}},
		{"stopped", "1 setrcopygroup reverse -f -waittask MYRCG", [2]string{"Secondary/Stopped", "Primary/Stopped"}},
		{"stopped", "2 setrcopygroup reverse -f -waittask -current MYRCG.r12345", [2]string{"Secondary-Rev/Stopped", "Primary-Rev/Stopped"}},
		{"stopped", "2 setrcopygroup reverse -f -local MYRCG.r12345", refuse("parameters cannot be present")},
		{"stopped", "2 setrcopygroup recover -f MYRCG.r12345", conflict},
		{"stopped", "1 setrcopygroup restore -f MYRCG", refuse("was not previously switched")},
		{"failed over", "1 startrcopygroup MYRCG", refuse("failover state")},
		{"failed over", "2 startrcopygroup MYRCG.r12345", refuse("failover state")},
		{"failed over", "2 setrcopygroup failover -f MYRCG.r12345", conflict},
		{"failed over", "2 setrcopygroup restore -f MYRCG.r12345", refuse("failover state")},
		{"failed over", "2 setrcopygroup reverse -f MYRCG.r12345", refuse("failover state")},
		{"failed over", "2 setrcopygroup recover -f -waittask MYRCG.r12345", [2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}},
		{"failed over", "2 setrcopygroup recover -f -waittask -nostart MYRCG.r12345", [2]string{"Secondary-Rev/Stopped", "Primary-Rev/Stopped"}},
		{"failed over", "1 setrcopygroup recover -f -waittask MYRCG", conflict},
		{"failed over", "2 setrcopygroup reverse -f -waittask -stopgroups -local -current MYRCG.r12345", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"failed over", "2 removercopygroup -f MYRCG.r12345", refuse("failover state")},
		{"recovered", "2 setrcopygroup restore -f -waittask MYRCG.r12345", [2]string{"Primary/Started", "Secondary/Started"}},
		{"recovered", "2 setrcopygroup restore -f -waittask -nostart MYRCG.r12345", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"recovered", "1 setrcopygroup restore -f MYRCG", conflict},
		{"recovered", "2 setrcopygroup recover -f MYRCG.r12345", notStopped},
		{"recovered", "1 setrcopygroup reverse -f -waittask -natural MYRCG", [2]string{"Secondary/Started", "Primary/Started"}},
		{"recovered and stopped", "2 setrcopygroup restore -f MYRCG.r12345", refuse("is not started")},
		{"recovered and stopped", "2 startrcopygroup -wait MYRCG.r12345", [2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}},
		{"recovered and stopped", "2 setrcopygroup recover -f -waittask MYRCG.r12345", [2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}},
		{"reversed", "2 startrcopygroup -wait MYRCG.r12345", [2]string{"Secondary/Started", "Primary/Started"}},
		{"reversed", "1 startrcopygroup -wait MYRCG", onlyPrimary},
		{"reversed", "1 setrcopygroup reverse -f -waittask MYRCG", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"reversed and started", "2 syncrcopy -w MYRCG.r12345", [2]string{"Secondary/Started", "Primary/Started"}},
		{"link lost", "1 startrcopygroup MYRCG", notReady},
		{"link lost", "2 setrcopygroup reverse -f MYRCG.r12345", notReady},
		{"link lost", "2 setrcopygroup failover -f -waittask MYRCG.r12345", [2]string{"Primary/Stopped", "Primary-Rev/Stopped"}},
		{"failed over, link lost", "2 setrcopygroup recover -f MYRCG.r12345", notReady},
	} {
		t.Run(tc.state+"/"+tc.command, func(t *testing.T) {
			s := start(t, nil)
			x := find(t, tc.state)
			x.bring(t, s)
			out, rc := do(t, s, tc.command)
			if tc.after[0] == "!" {
				require.Equal(t, 1, rc, out)
				require.Contains(t, out, tc.after[1])
				require.Equal(t, x.before, sides(t, s), "a refusal changes nothing")
				return
			}
			require.Zero(t, rc, out)
			require.Equal(t, tc.after, sides(t, s), out)
			require.Empty(t, s.Violations())
		})
	}
}

func find(t *testing.T, name string) situation {
	t.Helper()
	for _, x := range situations {
		if x.name == name {
			return x
		}
	}
	t.Fatalf("no situation %q", name)
	return situation{}
}

// TestNeverBothWritable walks through every planned verb in small steps of time
// and looks at each: at no instant may hosts write on both sides.
func TestNeverBothWritable(t *testing.T) {
	for _, tc := range []struct{ state, command string }{
		{"stopped", "2 setrcopygroup reverse -f MYRCG.r12345"},
		{"normal", "2 setrcopygroup reverse -f -stopgroups MYRCG.r12345"},
		{"stopped", "2 setrcopygroup reverse -f -current MYRCG.r12345"},
		{"recovered", "2 setrcopygroup restore -f MYRCG.r12345"},
		{"recovered", "2 setrcopygroup restore -f -nosync MYRCG.r12345"},
		{"normal", "1 stoprcopygroup -f MYRCG"},
		{"stopped", "1 startrcopygroup MYRCG"},
	} {
		t.Run(tc.state+"/"+tc.command, func(t *testing.T) {
			s := start(t, nil)
			find(t, tc.state).bring(t, s)
			_, rc := do(t, s, tc.command)
			require.Zero(t, rc)
			for range 50 {
				p, _ := s.Snapshot().Group(0, "MYRCG")
				q, _ := s.Snapshot().Group(1, "MYRCG.r12345")
				require.False(t, p.Writable && q.Writable, "%s and %s", p, q)
				require.Equal(t, p.Writable, write(t, s, 0, "p", 0) == nil)
				require.Equal(t, q.Writable, write(t, s, 1, "q", 0) == nil)
				require.NoError(t, s.Advance(100*time.Millisecond))
			}
			require.Empty(t, s.Violations())
		})
	}
}

func TestFailoverOfAReachablePeerAllowsDualWritesAndRecordsThem(t *testing.T) {
	s := start(t, nil)
	find(t, "failed over").bring(t, s)
	require.NoError(t, write(t, s, 0, "p", 0))
	require.Empty(t, s.Violations(), "one side alone is not yet harm")
	require.NoError(t, write(t, s, 1, "q", 0))
	require.Len(t, s.Violations(), 1)
	require.Contains(t, s.Violations()[0], "while both were primary")
}

// Hosts that nobody could tell may go on where their array is cut off, but not a moment longer.
func TestHostsOfASideThatWasCutOff(t *testing.T) {
	for _, cut := range []string{"", "mgmt_down"} {
		s := start(t, nil)
		require.NoError(t, s.AddFault("", "link_down", true))
		if cut != "" {
			require.NoError(t, s.AddFault(s.Ready().Arrays[0].Name, cut, true))
		}
		do(t, s, "2 setrcopygroup failover -f -waittask MYRCG.r12345")
		require.NoError(t, write(t, s, 1, "q", 0))
		require.NoError(t, write(t, s, 0, "p", 0))
		if cut == "" {
			require.Len(t, s.Violations(), 1, "it answered: its hosts had to be stopped")
			continue
		}
		require.Empty(t, s.Violations())
		s.ClearFaults("", "mgmt_down")
		require.NoError(t, write(t, s, 0, "p", 0))
		require.Empty(t, s.Violations())
		s.ClearFaults("", "link_down")
		require.NoError(t, write(t, s, 0, "p", 0))
		require.Len(t, s.Violations(), 1, "both know of each other again")
	}
}

func TestPromotedContentIsChecked(t *testing.T) {
	for _, mode := range []string{"sync", "periodic"} {
		for _, damage := range []bool{false, true} {
			s := start(t, func(o *Options) { o.Scenario.Groups[0].Mode = mode })
			require.NoError(t, write(t, s, 0, "one", 0))
			must(t, s, 0, "syncrcopy -w MYRCG")
			require.NoError(t, write(t, s, 0, "two", 0))
			must(t, s, 0, "stoprcopygroup -f MYRCG")
			if damage {
				require.NoError(t, s.m.arrays[1].volumes["VV_SVC1_ROOT"].data.WriteAt([]byte("x"), 0))
			}
			do(t, s, "2 setrcopygroup failover -f -waittask MYRCG.r12345")
			require.Len(t, s.Violations(), map[bool]int{true: 1}[damage], mode)
		}
	}
}

func TestAutonomousRestart(t *testing.T) {
	for _, on := range []bool{true, false} {
		for _, linked := range []bool{true, false} {
			for _, profile := range []Profile{Profile3PAR, ProfileAlletra} {
				s := start(t, func(o *Options) { o.Profile = profile })
				require.NoError(t, s.AddFault("", "autonomous_restart", on))
				if linked {
					do(t, s, "1 stoprcopygroup -f MYRCG")
				} else {
					do(t, s, "down")
				}
				out, rc := do(t, s, "2 setrcopygroup failover -f -waittask MYRCG.r12345")
				require.Zero(t, rc, out)
				if !linked {
					require.Equal(t, [2]string{"Primary/Stopped", "Primary-Rev/Stopped"}, sides(t, s))
					do(t, s, "up")
				}
				old := "Primary/Stopped"
				if profile == ProfileAlletra {
					old = "Secondary-Rev/Stopped"
				}
				if !on {
					require.NoError(t, s.Advance(time.Minute))
					require.Equal(t, [2]string{old, "Primary-Rev/Stopped"}, sides(t, s))
					continue
				}
				require.Equal(t, [2]string{"Secondary-Rev/Starting", "Primary-Rev/Starting"}, sides(t, s))
				require.NoError(t, s.Advance(autoDelay))
				require.Equal(t, [2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}, sides(t, s))
				require.NoError(t, s.Advance(cycleDuration))
				require.Equal(t, [2]string{"Secondary/Started", "Primary/Started"}, sides(t, s))
				out, _ = do(t, s, "2 setrcopygroup restore -f MYRCG.r12345")
				require.Contains(t, out, "was not previously switched")
				out, _ = do(t, s, "2 setrcopygroup recover -f MYRCG.r12345")
				require.Contains(t, out, "is not stopped")
			}
		}
	}
}

func TestReturningRole(t *testing.T) {
	for role, want := range map[string]string{"primary": "Primary/Stopped", "secondary-rev": "Secondary-Rev/Stopped"} {
		s := start(t, nil)
		require.NoError(t, s.AddFault("", "returning_role", role))
		require.NoError(t, s.AddFault("hp3par1.opensvc.com", "array_down", nil))
		out, rc := do(t, s, "2 setrcopygroup failover -f -waittask MYRCG.r12345")
		require.Zero(t, rc, out)
		s.ClearFaults("", "array_down")
		require.Equal(t, [2]string{want, "Primary-Rev/Stopped"}, sides(t, s))
		out, rc = do(t, s, "2 setrcopygroup recover -f -waittask MYRCG.r12345")
		require.Zero(t, rc, out)
		out, rc = do(t, s, "2 setrcopygroup restore -f -waittask MYRCG.r12345")
		require.Zero(t, rc, out)
		require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
	}
}

func TestFailedTasks(t *testing.T) {
	for _, tc := range []struct {
		state, command, subject string
		after                   [2]string
	}{
		{"stopped", "2 setrcopygroup failover -f -waittask MYRCG.r12345", "failover", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"stopped", "2 setrcopygroup reverse -f -waittask MYRCG.r12345", "reverse", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
		{"failed over", "2 setrcopygroup recover -f -waittask MYRCG.r12345", "recover", [2]string{"Secondary-Rev/Stopped", "Primary-Rev/Stopped"}},
		{"recovered", "2 setrcopygroup restore -f -waittask MYRCG.r12345", "restore", [2]string{"Secondary-Rev/Started", "Primary-Rev/Started"}},
		{"normal", "1 syncrcopy -w MYRCG", "sync", [2]string{"Primary/Stopped", "Secondary/Stopped"}},
	} {
		t.Run(tc.subject, func(t *testing.T) {
			s := start(t, nil)
			find(t, tc.state).bring(t, s)
			_, err := s.Faults().Add(control.Fault{Kind: "task_fail", Match: tc.subject + " MYRCG", Count: 1})
			require.NoError(t, err)
			out, rc := do(t, s, tc.command)
			require.Equal(t, 1, rc, out)
			require.Regexp(t, "(?i)failed", out)
			require.Equal(t, tc.after, sides(t, s))
			out, rc = do(t, s, tc.command)
			if tc.subject == "sync" {
				require.Contains(t, out, "is not started")
				return
			}
			require.Zero(t, rc, "the same command again: %s", out)
		})
	}
}

func TestAutoRecover(t *testing.T) {
	for _, on := range []bool{true, false} {
		s := start(t, nil)
		if !on {
			_, rc := do(t, s, "1 setrcopygroup pol no_auto_recover MYRCG")
			require.Zero(t, rc)
		}
		do(t, s, "down")
		require.Equal(t, [2]string{"Primary/Stopped", "Secondary/Stopped"}, sides(t, s))
		do(t, s, "up")
		require.NoError(t, s.Advance(autoDelay+cycleDuration))
		want := [2]string{"Primary/Stopped", "Secondary/Stopped"}
		if on {
			want = [2]string{"Primary/Started", "Secondary/Started"}
		}
		require.Equal(t, want, sides(t, s))
	}
	s := start(t, nil)
	do(t, s, "1 stoprcopygroup -f MYRCG")
	do(t, s, "down")
	do(t, s, "up")
	require.NoError(t, s.Advance(time.Minute))
	require.Equal(t, [2]string{"Primary/Stopped", "Secondary/Stopped"}, sides(t, s), "stopped by command stays stopped")
}

func TestTargetStatusAfterLinkLoss(t *testing.T) {
	s := start(t, nil)
	status := func() string {
		out, rc := do(t, s, "1 showrcopy targets -csvtable -nohdtot")
		require.Zero(t, rc)
		return strings.Split(out, ",")[3]
	}
	require.Equal(t, "ready", status())
	do(t, s, "down")
	require.Equal(t, "failing", status())
	require.NoError(t, s.Advance(failingTime))
	require.Equal(t, "failed", status())
	out, _ := do(t, s, "1 showrcopy links -csvtable -nohdtot")
	require.NotContains(t, out, ",Up,")
	do(t, s, "up")
	require.Equal(t, "ready", status())
}
