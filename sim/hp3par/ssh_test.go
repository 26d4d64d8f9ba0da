package hp3par

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/ddsgo/ddsgo/sim/control"
)

// sampleGroups are the bytes that the public proxy sample shows, with the
// simulator's time zone fault set to the sample's zone.
const sampleGroups = `MYRCG,hp3par2.opensvc.com,Started,Primary,Periodic,"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover,over_per_alert"` + "\n" +
	` ,VV_SVC1_ROOT,31110,VV_SVC1_ROOT,31079,Synced,2014-03-25 16:12:48 CET` + "\n\n"

func TestExecPrintsTheSampleBytes(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.AddFault("", "timezone", "CET"))
	out, rc := run(t, s, 0, "showrcopy groups -csvtable -nohdtot")
	require.Zero(t, rc)
	require.Equal(t, sampleGroups, out)
	out, rc = run(t, s, 1, "showrcopy groups MYRCG.r12345 -csvtable -nohdtot")
	require.Zero(t, rc)
	require.Equal(t, `MYRCG.r12345,hp3par1.opensvc.com,Started,Secondary,Periodic,"Period 5m, auto_recover,over_per_alert"`+"\n"+
		` ,VV_SVC1_ROOT,31079,VV_SVC1_ROOT,31110,Synced,2014-03-25 16:12:48 CET`+"\n\n", out, "a secondary has no Last-Sync")
}

func TestPipedShellPrintsPromptsAndNoEcho(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.AddFault("", "timezone", "CET"))
	session, err := dial(t, s, 0).NewSession()
	require.NoError(t, err)
	session.Stdin = strings.NewReader("setclienv csvtable 1 ; setclienv nohdtot 1 ; showrcopy groups ; exit") // no newline
	var out strings.Builder
	session.Stdout = &out
	require.NoError(t, session.Shell())
	require.NoError(t, session.Wait())
	require.Equal(t, "hp3par1.opensvc.com cli% "+sampleGroups, out.String())
	var commands []string
	for _, e := range s.Journal().Since(0) {
		require.Equal(t, "ssh-pipe", e.Transport)
		require.Zero(t, e.RC)
		commands = append(commands, e.Command)
	}
	require.Equal(t, []string{"setclienv csvtable 1", "setclienv nohdtot 1", "showrcopy groups", "exit"}, commands)
}

func TestPipedShellReportsTheLastStatus(t *testing.T) {
	s := start(t, nil)
	session, err := dial(t, s, 0).NewSession()
	require.NoError(t, err)
	session.Stdin = strings.NewReader("showrcopy groups nosuch ; exit")
	var exit *ssh.ExitError
	require.NoError(t, session.Shell())
	require.ErrorAs(t, session.Wait(), &exit)
	require.Equal(t, 1, exit.ExitStatus())
}

// TestTerminalShell sends what HPE's Python client sends and cuts where it cuts:
// the first five and the last two elements of a split at CR LF.
func TestTerminalShell(t *testing.T) {
	s := start(t, nil)
	for _, tc := range []struct{ command, want string }{
		{"admitrcopylink hp3par2.opensvc.com 0:4:1:192.0.2.99", ""},
		{"showvv -p -copyof nosuch", "no vv listed"},
		{"showrcopy targets", "|Remote Copy System Information|Status: Started, Normal||Target Information||Name,ID,Type,Status,Options,Policy|hp3par2.opensvc.com,1,IP,ready,-,mirror_config"},
	} {
		session, err := dial(t, s, 0).NewSession()
		require.NoError(t, err)
		require.NoError(t, session.RequestPty("vt100", 24, 80, nil))
		stdin, err := session.StdinPipe()
		require.NoError(t, err)
		stdout, err := session.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, session.Shell())
		_, err = io.WriteString(stdin, "setclienv csvtable 1\n"+tc.command+"\nexit\n")
		require.NoError(t, err)
		raw, err := io.ReadAll(stdout)
		require.NoError(t, err)
		lines := strings.Split(string(raw), "\r\n")
		require.Greater(t, len(lines), 6, "%q", raw)
		require.Equal(t, []string{"setclienv csvtable 1", tc.command, "exit",
			"hp3par1.opensvc.com cli% setclienv csvtable 1", "hp3par1.opensvc.com cli% " + tc.command}, lines[:5])
		require.Equal(t, []string{"hp3par1.opensvc.com cli% exit", ""}, lines[len(lines)-2:])
		require.Equal(t, tc.want, strings.Join(lines[5:len(lines)-2], "|"))
	}
}

func TestLogins(t *testing.T) {
	s := start(t, nil)
	a := s.Ready().Arrays[0]
	login := func(user, password string) (*ssh.Client, error) {
		return ssh.Dial("tcp", a.SSH, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	}
	_, err := login("opensvc", "wrong")
	require.Error(t, err)
	_, err = login("nobody", "opensvc")
	require.Error(t, err)
	c, err := login("browse", "browse")
	require.NoError(t, err)
	defer c.Close()
	_, rc := runOn(t, c, "showrcopy groups", "")
	require.Zero(t, rc)
	out, rc := runOn(t, c, "stoprcopygroup -f MYRCG", "")
	require.Equal(t, 1, rc)
	require.Contains(t, out, "Permission denied")
	require.Equal(t, [2]string{"Primary/Started", "Secondary/Started"}, sides(t, s))
}

func TestBothHostKeysWork(t *testing.T) {
	s := start(t, nil)
	for _, algorithm := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256} {
		c, err := ssh.Dial("tcp", s.Ready().Arrays[0].SSH, &ssh.ClientConfig{User: "opensvc", Auth: []ssh.AuthMethod{ssh.Password("opensvc")},
			HostKeyCallback: ssh.InsecureIgnoreHostKey(), HostKeyAlgorithms: []string{algorithm}})
		require.NoError(t, err, algorithm)
		require.NoError(t, c.Close())
	}
}

func TestWithoutForceTheCommandAsks(t *testing.T) {
	for _, tc := range []struct {
		answer string
		rc     int
		want   string
	}{{"y\n", 0, "Primary/Stopped"}, {"n\n", 1, "Primary/Started"}, {"q\n", 1, "Primary/Started"}, {"", 1, "Primary/Started"}} {
		s := start(t, nil)
		out, rc := runOn(t, dial(t, s, 0), "stoprcopygroup MYRCG", tc.answer)
		require.Equal(t, tc.rc, rc, "answer %q: %s", tc.answer, out)
		require.Contains(t, out, "select q=quit y=yes n=no")
		require.Equal(t, tc.want, sides(t, s)[0])
	}
}

func TestWithoutForceTheCommandWaitsForAnAnswer(t *testing.T) {
	s := start(t, nil)
	session, err := dial(t, s, 0).NewSession()
	require.NoError(t, err)
	stdin, err := session.StdinPipe()
	require.NoError(t, err)
	stdout, err := session.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, session.Start("stoprcopygroup MYRCG"))
	question := make([]byte, len("Are you sure"))
	_, err = io.ReadFull(stdout, question)
	require.NoError(t, err)
	require.Equal(t, "Primary/Started", sides(t, s)[0], "nothing happens before the answer")
	_, err = io.WriteString(stdin, "y\n")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, stdout)
	require.NoError(t, err)
	require.NoError(t, session.Wait())
	require.Equal(t, "Primary/Stopped", sides(t, s)[0])
}

// TestWaitBlocksUntilTheClockMoves: on a manual clock -waittask does not return
// by itself, and the middle state is there to be seen.
func TestWaitBlocksUntilTheClockMoves(t *testing.T) {
	s := start(t, func(o *Options) { o.Clock = control.Manual })
	must(t, s, 0, "stoprcopygroup -f MYRCG")
	finished := make(chan string, 1)
	client := dial(t, s, 1)
	go func() {
		session, err := client.NewSession()
		if err != nil {
			finished <- err.Error()
			return
		}
		out, _ := session.Output("setrcopygroup reverse -f -waittask MYRCG.r12345")
		finished <- string(out)
	}()
	require.Eventually(t, func() bool { return len(s.Snapshot().Arrays[1].Tasks) == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, s.Advance(taskDuration-time.Millisecond))
	require.Empty(t, finished)
	require.Equal(t, [2]string{"Primary/Stopped", "Secondary/Stopped"}, sides(t, s))
	require.Error(t, write(t, s, 0, "x", 0), "roles are changing: nobody writes")
	require.NoError(t, s.Advance(time.Millisecond))
	require.Equal(t, "setrcopygroup for reverse MYRCG.r12345\nreverse started with tasks: 2576\nWaiting for tasks to complete\nTask 2576 done\n", <-finished)
	require.Equal(t, [2]string{"Secondary/Stopped", "Primary/Stopped"}, sides(t, s))
}

func TestRealTimeIsTheDefault(t *testing.T) {
	s := start(t, func(o *Options) { o.Clock, o.Start = "", time.Time{} })
	require.NoError(t, s.AddFault("", "task_seconds", 0.3))
	before := time.Now()
	require.Equal(t, "Completed synchronization for group MYRCG\n", must(t, s, 0, "syncrcopy -w MYRCG"))
	require.GreaterOrEqual(t, time.Since(before), 300*time.Millisecond)
}
