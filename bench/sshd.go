package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SSHD is a real sshd on loopback with keys of its own, inside the meter's group.
type SSHD struct {
	dir string
	cmd *exec.Cmd
	// Client is the command line of an ssh to it, without a remote command.
	Client string
}

// StartSSHD starts sshd and proves that a login works.
func StartSSHD(ctx context.Context, m *Meter, dir string) (*SSHD, error) {
	program, err := exec.LookPath("sshd")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			return nil, fmt.Errorf("sshd is needed to measure through ssh: %w", err)
		}
	}
	for _, key := range []string{"host", "user"} {
		out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", filepath.Join(dir, key)).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		return nil, err
	}
	for name, content := range map[string]string{
		"sshd_config": fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\n"+
			"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n", port, dir, dir),
		"known_hosts": fmt.Sprintf("[127.0.0.1]:%d %s", port, host),
		"ssh_config": fmt.Sprintf("Host t\n HostName 127.0.0.1\n Port %d\n IdentityFile %s/user\n IdentitiesOnly yes\n UserKnownHostsFile %s/known_hosts\n"+
			" GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n BatchMode yes\n Compression no\n Ciphers aes128-gcm@openssh.com\n", port, dir, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	if os.Geteuid() == 0 { // sshd's empty directory for privilege separation
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	s := &SSHD{dir: dir, Client: "ssh -F " + filepath.Join(dir, "ssh_config") + " t"}
	s.cmd = m.Command(context.WithoutCancel(ctx), fmt.Sprintf("exec %s -D -f %s/sshd_config -E %s/sshd.log", program, dir, dir))
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	m.CountDaemon(s.cmd.Process.Pid)
	if err := s.await(ctx, port); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (s *SSHD) await(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var dialer net.Dialer
	for {
		if c, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sshd does not listen: %s", s.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
	argv := append(strings.Fields(s.Client), "true")
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("login to the own sshd: %w: %s%s", err, out, s.log())
	}
	return nil
}

func (s *SSHD) log() []byte {
	b, _ := os.ReadFile(filepath.Join(s.dir, "sshd.log"))
	return b
}

// Close ends sshd.
func (s *SSHD) Close() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // its exit status says only that it was ended
	return err
}
