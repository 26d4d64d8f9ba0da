package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/stream/session"
)

// TestMain makes the test binary the other side's ddsgo when it is called as such.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" && os.Args[2] == "--stdio" {
		os.Exit(servePeer())
	}
	os.Exit(m.Run())
}

// servePeer is "ddsgo serve --stdio" with operations that tests need.
func servePeer() int {
	rw, err := Stdio()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "peer is up")
	fmt.Println("stray output, which must not reach the session")
	err = session.Serve(context.Background(), rw, session.HandlerFunc(peerOperations), session.Options{Host: "peer"})
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		return 1
	}
	return 0
}

type peerAnswer struct {
	PID  int      `json:"pid"`
	Args []string `json:"args"`
	N    int64    `json:"n"`
}

func peerOperations(ctx context.Context, r *session.Request) error {
	switch r.Op {
	case "who":
		return r.Reply(peerAnswer{PID: os.Getpid(), Args: os.Args})
	case "take":
		n, err := io.Copy(io.Discard, r.Data())
		if err != nil {
			return err
		}
		return r.Reply(peerAnswer{N: n})
	case "wait":
		r.Progress(session.Progress{Phase: "waiting"})
		<-ctx.Done()
		return context.Cause(ctx)
	case "finish": // like a committed journal: it is finished although the client is gone
		var path string
		if err := r.Decode(&path); err != nil {
			return err
		}
		r.Progress(session.Progress{Phase: "applying"})
		<-ctx.Done()
		for range 100 { // more than any buffer on the way to a dead client takes silently
			fmt.Fprintln(os.Stderr, strings.Repeat("still at work ", 100))
			fmt.Println(strings.Repeat("and talking ", 100))
		}
		return os.WriteFile(path, []byte("done"), 0o600)
	case "die":
		fmt.Fprintln(os.Stderr, "panic: out of luck")
		os.Exit(3)
	}
	return failure.Usage("unknown operation %s", r.Op)
}

// sshServer is a real OpenSSH server on loopback: each connection to an ephemeral
// port gets an "sshd -i", so no port is guessed and every process is known.
type sshServer struct {
	dir, config string // config is an ssh_config that knows the host "dr1"
	addr        net.Addr
	listener    net.Listener

	mu   sync.Mutex
	pids []int // of the sshd processes, one per connection
}

func startSSHD(t *testing.T) *sshServer {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		if sshd, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			t.Skip("no sshd on this machine: transport over ssh is not tested")
		}
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no ssh on this machine: transport over ssh is not tested")
	}
	if os.Geteuid() == 0 {
		if _, err := os.Stat("/run/sshd"); err != nil {
			require.NoError(t, os.Mkdir("/run/sshd", 0o755))
			t.Cleanup(func() { _ = os.Remove("/run/sshd") })
		}
	}
	s := &sshServer{dir: t.TempDir()}
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = s.listener.Addr()
	s.writeFiles(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(sshd, c) })
		}
	})
	t.Cleanup(func() { s.listener.Close(); s.kill(); wg.Wait() })
	return s
}

// serve runs one sshd on one connection.
func (s *sshServer) serve(sshd string, c net.Conn) {
	f, err := c.(*net.TCPConn).File()
	c.Close()
	if err != nil {
		return
	}
	cmd := exec.Command(sshd, "-i", "-e", "-f", s.path("sshd_config"))
	cmd.Stdin, cmd.Stdout = f, f
	if log, err := os.OpenFile(s.path("sshd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		defer log.Close()
		cmd.Stderr = log
	}
	err = cmd.Start()
	f.Close()
	if err != nil {
		return
	}
	s.mu.Lock()
	s.pids = append(s.pids, cmd.Process.Pid)
	s.mu.Unlock()
	_ = cmd.Wait()
	s.mu.Lock()
	s.pids = deleteInt(s.pids, cmd.Process.Pid)
	s.mu.Unlock()
}

func deleteInt(list []int, x int) []int {
	var out []int
	for _, v := range list {
		if v != x {
			out = append(out, v)
		}
	}
	return out
}

// kill kills every sshd that is running, but not what it runs.
func (s *sshServer) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pid := range s.pids {
		for _, child := range children(pid) {
			if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); err == nil && strings.HasPrefix(string(comm), "sshd") {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children lists the direct children of a process.
func children(pid int) []int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	var rest = string(b)
	for {
		var p int
		n, err := fmt.Sscan(rest, &p)
		if n != 1 || err != nil {
			return pids
		}
		pids = append(pids, p)
		rest = rest[len(fmt.Sprint(p))+1:]
	}
}

func (s *sshServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s *sshServer) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

// key writes a new key pair and returns the public half as a line.
func (s *sshServer) key(t *testing.T, name string) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(private, name)
	require.NoError(t, err)
	s.write(t, name, string(pem.EncodeToMemory(block)))
	k, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	return string(ssh.MarshalAuthorizedKey(k))
}

func (s *sshServer) writeFiles(t *testing.T) {
	t.Helper()
	host, client := s.key(t, "host_key"), s.key(t, "client_key")
	s.key(t, "stranger_key")
	s.write(t, "authorized_keys", client)
	s.write(t, "known_hosts", "ddsgo-test "+host)
	s.write(t, "no_hosts", "")
	s.write(t, "wrong_hosts", "ddsgo-test "+s.key(t, "other_key"))
	sftp := "/usr/lib/openssh/sftp-server"
	s.write(t, "sshd_config", fmt.Sprintf(
		"HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"+
			"PermitRootLogin yes\nPidFile none\nSubsystem sftp %s\nPermitUserRC no\n",
		s.path("host_key"), s.path("authorized_keys"), sftp))
	s.config = s.path("ssh_config")
	s.writeClient(t, "")
}

// writeClient writes the ssh_config of the client; lines in first win over the rest.
func (s *sshServer) writeClient(t *testing.T, first string) {
	t.Helper()
	me, err := user.Current()
	require.NoError(t, err)
	s.write(t, "ssh_config", fmt.Sprintf(
		"Host *\n%s  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n"+
			"  GlobalKnownHostsFile /dev/null\n  HostKeyAlias ddsgo-test\n  LogLevel ERROR\n",
		first, s.addr.(*net.TCPAddr).Port, me.Username, s.path("client_key"), s.path("known_hosts")))
}

// target is this test binary behind the server.
func (s *sshServer) target(t *testing.T) Target {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return Target{Host: "dr1", Command: []string{self}}
}

// connect dials and does the session's handshake.
func connect(t *testing.T, ctx context.Context, target Target, opt Options, sopt session.Options) (*Conn, *session.Conn, error) {
	t.Helper()
	c, err := Dial(ctx, target, opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	s, err := session.Connect(ctx, c, sopt)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Close()) })
	}
	return c, s, c.Explain(err)
}

// alive says whether a process exists and is no zombie.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == ')' {
			return i+2 >= len(b) || b[i+2] != 'Z'
		}
	}
	return true
}
