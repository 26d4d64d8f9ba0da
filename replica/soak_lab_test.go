//go:build lab

package replica_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// labSoak is a pair on real LVM that has to stand whatever comes next.
type labSoak struct {
	*pair
	disk      *lab.Mapping // below the target
	off, size int64        // of the copy on it
	rng       *rand.Rand
	killer    string            // directory of the assassin
	known     map[string]string // generation -> digest
	trail     []string
	calm      bool // nothing but syncs was disturbed since all was well
}

// TestSoak does at random what users, machines and disks do: writes, syncs that are killed at any
// time or inside a command of LVM, failing and forgetful target disks, verifications, rejoins, full
// copies, damage, holds. After each step the target is the generation that it claims or is marked;
// where only syncs were disturbed the next plain sync puts everything right, and else what the refusals
// say does. Environment: SEED, SOAK_TIME (a minute without it).
func TestSoak(t *testing.T) {
	takesLong(t)
	seed, long := uint64(1), time.Minute
	if v := os.Getenv("SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
		seed = n
	}
	if v := os.Getenv("SOAK_TIME"); v != "" {
		d, err := time.ParseDuration(v)
		require.NoError(t, err)
		long = d
	}
	p, _, disk := newPairOn(t, 8*mib, nil)
	s := &labSoak{pair: p, disk: disk, rng: rand.New(rand.NewPCG(seed, 21)), killer: p.arm(), known: map[string]string{}, calm: true}
	s.off, s.size = p.dst.Extent(t, "appdata")
	lab.Fill(t, p.source, seed, 6*mib)
	p.ok("full", "app")
	s.heal()
	defer func() {
		if t.Failed() {
			t.Logf("SEED=%d, the steps:\n  %s", seed, strings.Join(s.trail, "\n  "))
		}
	}()
	steps := 0
	for end := time.Now().Add(long); time.Now().Before(end); steps++ {
		s.step()
		s.honest()
	}
	s.heal()
	t.Logf("SEED=%d: %d steps in %v", seed, steps, long)
}

func (s *labSoak) say(format string, args ...any) {
	s.trail = append(s.trail, fmt.Sprintf(format, args...))
}

// step is one thing that happens.
func (s *labSoak) step() {
	steps := []func(){s.write, s.write, s.killed, s.killed, s.killedInside, s.killedInside, s.diskFails, s.verifies, s.rots, s.damaged, s.holds, s.rejoins, s.heal, s.heal}
	steps[s.rng.IntN(len(steps))]()
}

func (s *labSoak) write() {
	b := bytes.Repeat([]byte{byte(s.rng.Uint32()), byte(s.rng.Uint32())}, 2048*(1+s.rng.IntN(256)))
	off := int64(s.rng.IntN(7*mib/4096)) * 4096
	s.say("write %d bytes at %d", len(b), off)
	lab.WriteAt(s.t, s.source, b, min(off, 8*mib-int64(len(b))))
}

// killed ends a command and all of its processes at some time.
func (s *labSoak) killed() {
	s.write()
	args := [][]string{{"sync", "app"}, {"sync", "app"}, {"sync", "app"}, {"resync", "app"}, {"full", "app", "--overwrite"}, {"verify", "app", "--repair"}}[s.rng.IntN(6)]
	s.calm = s.calm && (args[0] == "sync" || args[0] == "verify")
	cmd := s.command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, cmd.Start())
	after := time.Duration(s.rng.IntN(4000)) * time.Millisecond
	whole := s.rng.IntN(2) == 0 // else the far end lives on, and finds the source gone
	timer := time.AfterFunc(after, func() {
		if whole {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		} else {
			_ = cmd.Process.Kill()
		}
	})
	err := cmd.Wait()
	timer.Stop()
	s.say("%s, killed after %v (all of it: %v): %v", strings.Join(args, " "), after, whole, err)
}

// killedInside is a sync that dies with one of LVM's commands.
func (s *labSoak) killedInside() {
	s.write()
	n, how := 1+s.rng.IntN(14), []string{"before", "after", "inside"}[s.rng.IntN(3)]
	for _, f := range []string{"count", "killed"} {
		_ = os.Remove(filepath.Join(s.killer, f))
	}
	delay := strconv.FormatFloat(0.05+s.rng.Float64()*0.5, 'f', 3, 64)
	cmd := s.command("sync", "app")
	cmd.Env = append(cmd.Env, "PATH="+s.killer+":"+os.Getenv("PATH"), "KILL_DIR="+s.killer, "KILL_AT="+strconv.Itoa(n), "KILL_HOW="+how, "KILL_DELAY="+delay)
	err := cmd.Run()
	s.say("sync, killed %s command %d: %v", how, n, err)
}

// diskFails is a sync whose target disk refuses writes, or has a bad place.
func (s *labSoak) diskFails() {
	s.write()
	if s.rng.IntN(2) == 0 {
		s.disk.ErrorWritesIn(s.off, s.size)
	} else {
		s.disk.ErrorRange(s.off+int64(s.rng.IntN(int(s.size)/4096))*4096, 4096)
	}
	code, _ := s.run("sync", "app")
	s.disk.Allow()
	s.say("sync onto a failing disk: %d", code)
}

func (s *labSoak) verifies() {
	code, out := s.run("verify", "app")
	s.say("verify: %d", code)
	require.NotContains(s.t, out, "differs:", "a false difference")
}

// rots: one wrong bit is found, this block alone, and repaired.
func (s *labSoak) rots() {
	s.heal()
	at := int64(s.rng.IntN(8*mib/4096)) * 4096
	s.say("a bit flips in the block at %d", at)
	block := bytes.Clone(lab.Image(s.t, s.target)[at : at+4096])
	block[s.rng.IntN(4096)] ^= 1 << s.rng.IntN(8)
	s.writableTarget(func() { lab.WriteAt(s.t, s.target, block, at) })
	code, out := s.run("verify", "app")
	require.Equal(s.t, 10, code, out)
	require.Contains(s.t, out, fmt.Sprintf("differs: offset %d, 4096 bytes", at))
	s.ok("verify", "app", "--repair")
	s.requireEqual()
}

func (s *labSoak) damaged() {
	s.heal()
	all := labDamages()
	d := all[1+s.rng.IntN(len(all)-1)] // the first needs a small snapshot
	s.say("damage: %s", d.name)
	s.calm = false
	d.damage(s.pair)
	s.write()
	code, out := s.run("sync", "app")
	require.Equal(s.t, d.code, code, out)
	s.ok("resync", "app")
	s.requireEqual()
	s.off, s.size = s.dst.Extent(s.t, "appdata") // it may be another volume now
}

func (s *labSoak) holds() {
	s.heal()
	s.say("break, resume")
	s.ok("break", "app")
	before := lab.Hash(s.t, s.target)
	s.write()
	s.refused(15, "held", "sync", "app")
	s.refused(15, "answers", "failover", "app", "--site", "local")
	require.Equal(s.t, before, lab.Hash(s.t, s.target))
	s.ok("resume", "app")
}

func (s *labSoak) rejoins() {
	s.calm = false
	code, _ := s.run("resync", "app")
	s.say("resync: %d", code)
}

// advice is the first command after "next:" in what a refusal says.
var advice = regexp.MustCompile(`next: ddsgo (sync|full|resync|verify) app( --overwrite| --repair)?`)

// heal runs sync, and then what the refusal says, until the pair is in sync.
func (s *labSoak) heal() {
	s.t.Helper()
	for range 4 {
		code, out := s.run("sync", "app")
		s.say("sync: %d", code)
		if code == 0 {
			s.requireEqual()
			s.known[s.status().Generation.UUID] = lab.Hash(s.t, s.target)
			s.calm = true
			return
		}
		require.False(s.t, s.calm, "a plain sync must succeed here: %s", out)
		m := advice.FindStringSubmatch(out)
		require.NotNil(s.t, m, "no command to go on with: %s", out)
		args := append(strings.Fields(m[1]), "app")
		args = append(args, strings.Fields(m[2])...)
		code, out = s.run(args...)
		s.say("%s: %d", strings.Join(args, " "), code)
		require.Zero(s.t, code, "the advice %q: %s", m[0], out)
	}
	s.t.Fatal("the refusals' advice leads nowhere")
}

// honest: a target that says clean is the generation that it names.
func (s *labSoak) honest() {
	s.t.Helper()
	st := s.status()
	if st.Condition == nil || *st.Condition != "clean" || st.Generation == nil {
		return
	}
	is, gen := lab.Hash(s.t, s.target), st.Generation.UUID
	if want, ok := s.known[gen]; ok {
		require.Equal(s.t, want, is, "the target claims %v and is not", st.Generation)
		return
	}
	path := strings.TrimSpace(lab.Run(s.t, "lvm", "lvs", "--noheadings", "-o", "lv_path", "-S", "lv_uuid="+gen))
	require.NotEmpty(s.t, path, "the target claims %v, which nobody knows", st.Generation)
	s.known[gen] = lab.Hash(s.t, path)
	require.Equal(s.t, s.known[gen], is, "the target claims %v and differs from its snapshot", st.Generation)
}
