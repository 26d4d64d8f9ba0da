package transport

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream/session"
)

func TestSSHSession(t *testing.T) {
	srv := startSSHD(t)
	target := srv.target(t)
	target.StateDir = "/tmp/it's; $(touch " + srv.path("pwned") + ") & \"x\" `y` *"
	c, s, err := connect(t, t.Context(), target, Options{SSHConfig: srv.config}, session.Options{})
	require.NoError(t, err)
	var who peerAnswer
	require.NoError(t, s.Call(t.Context(), "who", nil, &who, nil))
	require.Equal(t, []string{target.Command[0], "serve", "--stdio", "--state-dir", target.StateDir}, who.Args,
		"every word arrives as it was")
	require.NoFileExists(t, srv.path("pwned"))

	x, err := s.Start(t.Context(), "take", nil, nil)
	require.NoError(t, err)
	require.NoError(t, x.Send(func(w io.Writer) error {
		_, err := io.CopyN(w, endless{}, 32<<20)
		return err
	}))
	var took peerAnswer
	require.NoError(t, x.Finish(&took))
	require.EqualValues(t, 32<<20, took.N)

	require.NoError(t, s.Close())
	require.Contains(t, c.Stderr(), "peer is up")
	require.Eventually(t, func() bool { return !alive(who.PID) }, 5*time.Second, 10*time.Millisecond)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestSSHCipher: the connection really uses the cipher that we ask for, and a
// configuration that forbids it is respected.
func TestSSHCipher(t *testing.T) {
	srv := startSSHD(t)
	opt := Options{SSHConfig: srv.config}.complete()
	require.True(t, strings.HasPrefix(opt.ciphers(t.Context(), "dr1"), preferredCipher+","))
	srv.writeClient(t, "  Ciphers aes256-ctr\n")
	require.Empty(t, opt.ciphers(t.Context(), "dr1"))
	_, s, err := connect(t, t.Context(), srv.target(t), Options{SSHConfig: srv.config}, session.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Call(t.Context(), "who", nil, nil, nil))
}

// TestSSHUnreachable: each way not to get through has its words, code and next command.
func TestSSHUnreachable(t *testing.T) {
	srv := startSSHD(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, closed, err := net.SplitHostPort(gone.Addr().String())
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	missing := srv.target(t)
	missing.Command = []string{"/nonexistent/ddsgo"}
	for _, tt := range []struct {
		name, config string
		target       Target
		code         int
		text, next   string
	}{
		{"host key changed", "  UserKnownHostsFile " + srv.path("wrong_hosts") + "\n", srv.target(t), failure.CodeUnreachable, "host key", "ssh-keygen -R dr1"},
		{"host key unknown", "  UserKnownHostsFile " + srv.path("no_hosts") + "\n", srv.target(t), failure.CodeUnreachable, "not known here", "ssh dr1 true"},
		{"key not accepted", "  IdentityFile " + srv.path("stranger_key") + "\n  IdentityAgent none\n", srv.target(t), failure.CodeUnreachable, "", "BatchMode"},
		{"closed port", "  Port " + closed + "\n", srv.target(t), failure.CodeUnreachable, "no ssh server answers", "ssh dr1 true"},
		{"bad option", "  NoSuchOption yes\n", srv.target(t), failure.CodeUsage, "not valid", "ssh -G dr1"},
		{"no ddsgo there", "", missing, failure.CodeUsage, "no ddsgo", "install ddsgo on dr1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "key not accepted" { // IdentityFile adds up, so the good one must go
				require.NoError(t, os.Rename(srv.path("client_key"), srv.path("away")))
				defer func() { require.NoError(t, os.Rename(srv.path("away"), srv.path("client_key"))) }()
			}
			srv.writeClient(t, tt.config)
			_, _, err := connect(t, t.Context(), tt.target, Options{SSHConfig: srv.config}, session.Options{})
			var f *failure.Error
			require.ErrorAs(t, err, &f)
			require.Equal(t, tt.code, f.Code, "%v", err)
			require.Equal(t, "dr1", f.Subject)
			require.ErrorContains(t, err, tt.text)
			require.Contains(t, f.Next, tt.next, "%v", err)
		})
	}
}

// TestSSHConfigFromEnvironment: DDSGO_SSH_CONFIG serves where no option does.
func TestSSHConfigFromEnvironment(t *testing.T) {
	srv := startSSHD(t)
	t.Setenv(EnvSSHConfig, srv.config)
	_, s, err := connect(t, t.Context(), srv.target(t), Options{}, session.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Call(t.Context(), "who", nil, nil, nil))
}

// TestSSHPeerStopped: a stopped remote process, which ssh does not notice, ends the
// run within the progress time-out; nothing of ours is left.
func TestSSHPeerStopped(t *testing.T) {
	srv := startSSHD(t)
	c, s, err := connect(t, t.Context(), srv.target(t), Options{SSHConfig: srv.config},
		session.Options{ProgressTimeout: session.MaxHeartbeat + 200*time.Millisecond})
	require.NoError(t, err)
	var who peerAnswer
	require.NoError(t, s.Call(t.Context(), "who", nil, &who, nil))
	require.NoError(t, syscall.Kill(who.PID, syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(who.PID, syscall.SIGKILL) }()
	begun := time.Now()
	x, err := s.Start(t.Context(), "take", nil, nil)
	require.NoError(t, err)
	err = x.Send(func(w io.Writer) error {
		_, err := io.Copy(w, endless{})
		return err
	})
	require.ErrorIs(t, err, session.ErrPeerSilent)
	require.ErrorIs(t, x.Finish(nil), session.ErrPeerSilent)
	require.Less(t, time.Since(begun), 12*time.Second)
	err = c.Explain(err)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeUnreachable, code)
	require.ErrorContains(t, err, "dr1: the other side stands still")
	require.NoError(t, c.Close())
	require.False(t, alive(c.cmd.Process.Pid), "our ssh is left")
	require.NoError(t, syscall.Kill(who.PID, syscall.SIGCONT))
	require.Eventually(t, func() bool { return !alive(who.PID) }, 10*time.Second, 20*time.Millisecond, "the peer does not end by itself")
}

// TestSSHServerKilled: the connection breaks in the middle of a stream.
func TestSSHServerKilled(t *testing.T) {
	srv := startSSHD(t)
	c, s, err := connect(t, t.Context(), srv.target(t), Options{SSHConfig: srv.config}, session.Options{})
	require.NoError(t, err)
	var who peerAnswer
	require.NoError(t, s.Call(t.Context(), "who", nil, &who, nil))
	x, err := s.Start(t.Context(), "take", nil, nil)
	require.NoError(t, err)
	sent := 0
	err = x.Send(func(w io.Writer) error {
		for {
			n, err := w.Write(make([]byte, 1<<20))
			if sent += n; err != nil {
				return err
			}
			if sent == 8<<20 {
				srv.kill()
			}
		}
	})
	require.ErrorIs(t, err, session.ErrPeerGone)
	require.ErrorIs(t, x.Finish(nil), session.ErrPeerGone)
	err = c.Explain(err)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeUnreachable, code, "%v", err)
	require.Eventually(t, func() bool { return !alive(who.PID) }, 10*time.Second, 20*time.Millisecond, "the peer outlives its connection")
}

// TestSSHPeerDies: the remote's last words are in our error.
func TestSSHPeerDies(t *testing.T) {
	srv := startSSHD(t)
	c, s, err := connect(t, t.Context(), srv.target(t), Options{SSHConfig: srv.config}, session.Options{})
	require.NoError(t, err)
	err = c.Explain(s.Call(t.Context(), "die", nil, nil, nil))
	require.ErrorContains(t, err, "out of luck")
	require.ErrorContains(t, err, "exit status 3")
}

// TestSSHPeerFinishes: work that a handler must not leave half done is finished
// although the client and its ssh are gone, with broken pipes on every descriptor.
func TestSSHPeerFinishes(t *testing.T) {
	srv := startSSHD(t)
	for name, target := range map[string]Target{"ssh": srv.target(t), "local": {}} {
		t.Run(name, func(t *testing.T) {
			done := filepath.Join(t.TempDir(), "done")
			c, s, err := connect(t, t.Context(), target, Options{SSHConfig: srv.config}, session.Options{})
			require.NoError(t, err)
			err = s.Call(t.Context(), "finish", done, nil, func(session.Progress) {
				if target.Host == "" {
					_ = c.stdin.Close() // the client died: both its pipe ends are gone
					_ = c.stdout.Close()
					return
				}
				srv.kill()
			})
			require.ErrorIs(t, err, session.ErrPeerGone)
			require.Eventually(t, func() bool { b, _ := os.ReadFile(done); return string(b) == "done" }, 5*time.Second, 10*time.Millisecond)
		})
	}
}

// TestSSHCancel: cancelling ends everything within a second.
func TestSSHCancel(t *testing.T) {
	srv := startSSHD(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, s, err := connect(t, ctx, srv.target(t), Options{SSHConfig: srv.config}, session.Options{})
	require.NoError(t, err)
	var who peerAnswer
	require.NoError(t, s.Call(ctx, "who", nil, &who, nil))
	var begun time.Time
	err = s.Call(ctx, "wait", nil, nil, func(session.Progress) { begun = time.Now(); cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(begun), time.Second)
	require.ErrorIs(t, c.Explain(err), context.Canceled)
	require.Eventually(t, func() bool { return !alive(c.cmd.Process.Pid) && !alive(who.PID) }, 5*time.Second, 10*time.Millisecond)
}

// TestSSHNoise: a shell that talks before the command is forgiven and quoted.
func TestSSHNoise(t *testing.T) {
	srv := startSSHD(t)
	target := srv.target(t)
	wrapper := srv.path("wrapper")
	require.NoError(t, os.WriteFile(wrapper, []byte("#!/bin/sh\necho Welcome to dr1\nexec "+target.Command[0]+" \"$@\"\n"), 0o700))
	target.Command = []string{wrapper}
	_, s, err := connect(t, t.Context(), target, Options{SSHConfig: srv.config}, session.Options{})
	require.NoError(t, err)
	require.Equal(t, "Welcome to dr1\n", s.Peer().Noise)

	target.Command = []string{"/bin/echo", "no session here"}
	_, _, err = connect(t, t.Context(), target, Options{SSHConfig: srv.config}, session.Options{})
	require.ErrorIs(t, err, session.ErrNoBanner)
	require.ErrorContains(t, err, "no session here serve --stdio")
}

func TestFiles(t *testing.T) {
	srv := startSSHD(t)
	if _, err := os.Stat("/usr/lib/openssh/sftp-server"); err != nil {
		t.Skip("no sftp-server on this machine: files over sftp are not tested")
	}
	for name, target := range map[string]Target{"sftp": srv.target(t), "local": {}} {
		t.Run(name, func(t *testing.T) {
			f, err := OpenFiles(t.Context(), target, Options{SSHConfig: srv.config})
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "sync#1", "dds_state")
			_, err = f.ReadFile(path, 100)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.ErrorContains(t, err, path)
			for _, text := range []string{"one\n", "", strings.Repeat("x", 100)} {
				require.NoError(t, f.WriteFile(path, []byte(text)))
				got, err := f.ReadFile(path, 100)
				require.NoError(t, err)
				require.Equal(t, text, string(got))
			}
			_, err = f.ReadFile(path, 99)
			require.ErrorContains(t, err, "more than 99 bytes")
			left, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			require.Len(t, left, 1, "no temporary file is left")
			require.Error(t, f.WriteFile("/proc/nonexistent/file", nil))
			require.NoError(t, f.Close())
			require.NoError(t, f.Close())
		})
	}
}

func TestFilesUnreachable(t *testing.T) {
	srv := startSSHD(t)
	srv.writeClient(t, "  UserKnownHostsFile "+srv.path("no_hosts")+"\n")
	_, err := OpenFiles(t.Context(), srv.target(t), Options{SSHConfig: srv.config})
	require.ErrorContains(t, err, "not known here")
	srv.writeClient(t, "")
	f, err := OpenFiles(t.Context(), srv.target(t), Options{SSHConfig: srv.config})
	require.NoError(t, err)
	srv.kill()
	_, err = f.ReadFile("/etc/hostname", 1000)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeUnreachable, code, "%v", err)
	require.NoError(t, f.Close())
}
