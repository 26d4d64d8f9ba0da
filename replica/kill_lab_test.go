//go:build lab

package replica_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// assassin stands in the place of lvm and dmsetup. It counts the commands that change
// something, on both ends together, and at the chosen one kills the ddsgo that started it
// with SIGKILL: before the command, after it, or together with the command inside it.
const assassin = `#!/bin/bash
real=%s
case "$1 $2" in lvcreate*|lvremove*|lvrename*|lvchange*|suspend*|resume*|clear*|remove*) ;; *) exec "$real" "$@" ;; esac
exec 9>>"$KILL_DIR/count"; echo "$*" >&9
n=$(wc -l <"$KILL_DIR/count")
[ "$n" = "$KILL_AT" ] || exec "$real" "$@" 9>&-
: >"$KILL_DIR/killed"
case $KILL_HOW in
before) kill -KILL $PPID; exit 1 ;;
after) "$real" "$@" 9>&-; kill -KILL $PPID; exit 0 ;;
inside) "$real" "$@" 9>&- & sleep "$KILL_DELAY"; kill -KILL $PPID $! 2>/dev/null; exit 1 ;;
esac
`

// arm puts the assassin in front of LVM's programs.
func (p *pair) arm() (dir string) {
	p.t.Helper()
	dir = lab.Dir(p.t)
	for _, prog := range []string{"lvm", "dmsetup"} {
		real := "/usr/sbin/" + prog
		if _, err := os.Stat(real); err != nil {
			real = "/sbin/" + prog
		}
		require.NoError(p.t, os.WriteFile(filepath.Join(dir, prog), fmt.Appendf(nil, assassin, real), 0o755))
	}
	return dir
}

// killedSync runs a sync that is killed at the nth changing command. It reports whether
// there was such a command.
func (p *pair) killedSync(dir string, n int, how, delay string) bool {
	p.t.Helper()
	for _, f := range []string{"count", "killed"} {
		_ = os.Remove(filepath.Join(dir, f))
	}
	cmd := p.command("sync", "app")
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "KILL_DIR="+dir, "KILL_AT="+strconv.Itoa(n), "KILL_HOW="+how, "KILL_DELAY="+delay)
	out, err := cmd.CombinedOutput()
	_, statErr := os.Stat(filepath.Join(dir, "killed"))
	if statErr == nil {
		return true
	}
	require.NoError(p.t, err, "nobody was killed, and yet: %s", out)
	return false
}

// TestKillAtEveryCommand kills a sync at every command that changes LVM or device-mapper,
// on either end: before it, after it, or inside it; all three of them with LAB_FULL=1, else
// one of them for each command. A writer is at work on the source. The same command run
// again must finish, leave nothing, and make the target equal to the snapshot; the writer
// must never see an error.
func TestKillAtEveryCommand(t *testing.T) {
	p := newPair(t, 8*mib, nil)
	lab.Fill(t, p.source, 1, 6*mib)
	p.ok("full", "app")
	dir := p.arm()
	ways := []string{"before", "after", "inside"}
	for n := 1; ; n++ {
		hit := false
		for i, how := range ways {
			if os.Getenv("LAB_FULL") == "" && i != n%len(ways) {
				continue
			}
			hit = p.killAndRepeat(dir, n, how) || hit
		}
		if !hit {
			t.Logf("%d commands of a sync: %s", n-1, p.commands(dir))
			require.Greater(t, n, 6, "the assassin sees the commands")
			return
		}
	}
}

// killAndRepeat is one point of the matrix; it reports whether there was such a command.
func (p *pair) killAndRepeat(dir string, n int, how string) bool {
	p.t.Helper()
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	w := lab.Writer(p.t, p.source)
	delay := strconv.FormatFloat(0.05+rng.Float64()*0.5, 'f', 3, 64)
	hit := p.killedSync(dir, n, how, delay)
	at := p.commands(dir)
	code, out := p.run("sync", "app")
	w.Stop()
	if code != 0 || p.t.Failed() {
		p.t.Fatalf("killed %s command %d (delay %s) of: %s\nthen: %s", how, n, delay, at, out)
	}
	p.requireEqual()
	p.t.Logf("killed %s command %d: finished by the next run", how, n)
	return hit
}

// commands are the changing commands of the last killed run.
func (p *pair) commands(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "count"))
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(b), "\n", " | ")
}

// TestKillAnyTime kills source and target at random instants of a sync, journalled and
// direct, and of a full copy.
func TestKillAnyTime(t *testing.T) {
	p := newPair(t, 32*mib, nil)
	lab.Fill(t, p.source, 1, 32*mib)
	p.killedAtRandom("full", 2)
	rounds := 2
	if os.Getenv("LAB_FULL") != "" {
		rounds = 12
	}
	for round := range rounds {
		lab.Fill(t, p.source, uint64(round)+2, 24*mib)
		p.extra = ""
		if round%2 == 1 {
			p.extra = "direct: true, "
		}
		p.configure("")
		p.killedAtRandom("sync", 1)
	}
}

// killedAtRandom starts a verb, kills everything that it started after a random time, and
// runs it again until it succeeds; then the copy must be right.
func (p *pair) killedAtRandom(verb string, times int) {
	p.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(times), uint64(len(verb))))
	for range times {
		cmd := p.command(verb, "app")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(p.t, cmd.Start())
		timer := time.AfterFunc(time.Duration(200+rng.IntN(4000))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	}
	code, out := p.run(verb, "app")
	if verb == "full" && code == 15 {
		require.Contains(p.t, out, "already holds", "the copy was whole before the kill")
	} else {
		require.Zero(p.t, code, out)
	}
	p.requireEqual()
}
