package transport

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream/session"
)

func TestLocal(t *testing.T) {
	c, s, err := connect(t, t.Context(), Target{StateDir: "/x y"}, Options{}, session.Options{})
	require.NoError(t, err)
	var who peerAnswer
	require.NoError(t, s.Call(t.Context(), "who", nil, &who, nil))
	self, err := os.Executable()
	require.NoError(t, err)
	require.Equal(t, []string{self, "serve", "--stdio", "--state-dir", "/x y"}, who.Args)
	begun := time.Now()
	require.NoError(t, s.Close())
	require.Less(t, time.Since(begun), 2*time.Second)
	require.False(t, alive(c.cmd.Process.Pid))
}

func TestLocalKilled(t *testing.T) {
	c, s, err := connect(t, t.Context(), Target{}, Options{}, session.Options{})
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(c.cmd.Process.Pid, syscall.SIGKILL))
	err = c.Explain(s.Call(t.Context(), "wait", nil, nil, nil))
	require.ErrorIs(t, err, session.ErrPeerGone)
	require.ErrorContains(t, err, "killed")
	require.NoError(t, c.Explain(nil))
}

// TestCloseKills: a process that ignores the end of its input and SIGTERM.
func TestCloseKills(t *testing.T) {
	c, err := Dial(t.Context(), Target{Command: []string{"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"}}, Options{})
	require.NoError(t, err)
	b := make([]byte, 6)
	_, err = c.Read(b)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.False(t, alive(c.cmd.Process.Pid))
}

func TestLocalMissing(t *testing.T) {
	_, err := Dial(t.Context(), Target{Command: []string{"/nonexistent/ddsgo"}}, Options{})
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeUnreachable, code)
	require.ErrorContains(t, err, "/nonexistent/ddsgo")
}

func TestRefusedTargets(t *testing.T) {
	for _, host := range []string{
		"-oProxyCommand=touch /tmp/x", "-", "a b", "a\nb", "host;reboot", "$(x)", "`x`", "a'b", "a|b", "a&b", "user@-oX",
		"ssh://-oX", "ssh://u@-oX", "hôst", "a\x00b", string(make([]byte, 600)),
	} {
		_, err := Dial(t.Context(), Target{Host: host}, Options{SSH: "/nonexistent"})
		require.ErrorIs(t, err, ErrHost, "%q", host)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeUsage, code)
		_, err = OpenFiles(t.Context(), Target{Host: host}, Options{SSH: "/nonexistent"})
		require.ErrorIs(t, err, ErrHost, "%q", host)
	}
	for _, host := range []string{"dr1", "root@dr1.example.com", "ssh://root@dr1:2222", "10.0.0.1", "[fe80::1%eth0]", "fe80::1", "my-host_2", `DOM\user@host`} {
		require.NoError(t, Target{Host: host}.Validate(), host)
	}
	for _, bad := range []Target{{Command: []string{"a\nb"}}, {StateDir: "a\x00"}, {Command: []string{""}}, {Command: []string{"x", "\x1b[2J"}}} {
		require.Error(t, bad.Validate())
	}
}

func TestQuote(t *testing.T) {
	require.Equal(t, "ddsgo serve --stdio --state-dir /var/lib/ddsgo", quote([]string{"ddsgo", "serve", "--stdio", "--state-dir", "/var/lib/ddsgo"}))
	require.Equal(t, `'' 'a b' 'it'\''s' '$x' '~' '=cmd' '#c' 'a*'`, quote([]string{"", "a b", "it's", "$x", "~", "=cmd", "#c", "a*"}))
}

func TestPreferCipher(t *testing.T) {
	for in, want := range map[string]string{
		"host x\nciphers chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-ctr\n": "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr",
		"ciphers aes128-gcm@openssh.com\n":                                                  "aes128-gcm@openssh.com",
		"ciphers aes256-ctr\n":                                                              "", "": "", "ciphers\n": "",
	} {
		require.Equal(t, want, preferCipher([]byte(in)))
	}
}

func TestTail(t *testing.T) {
	var tl tail
	for range 100 {
		n, err := tl.Write(make([]byte, 1000))
		require.NoError(t, err)
		require.Equal(t, 1000, n)
	}
	_, err := tl.Write(append(make([]byte, 2*MaxStderr), "end"...))
	require.NoError(t, err)
	require.Len(t, tl.String(), MaxStderr)
	require.Equal(t, "end", tl.String()[MaxStderr-3:])
}
