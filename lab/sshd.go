//go:build lab

package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SSHServer is a real sshd with keys of its own, and a client configuration that trusts it and nothing else.
type SSHServer struct {
	Addr   string
	Port   int
	Host   string // the alias to connect to: "dr1"
	Config string // ssh_config for ssh -F
	BinDir string // directory with a program "ssh" that uses Config: put it first in PATH
	Log    string // what sshd said
	pid    int
}

// SSHD starts an sshd on loopback.
func SSHD(t testing.TB) *SSHServer { t.Helper(); return startSSHD(t, nil, nil) }

// SSHDBehind starts an sshd in the pair's B. Clients run in A: pair.A.Command("ssh", ...).
func SSHDBehind(t testing.TB, pair *Pair) *SSHServer { t.Helper(); return startSSHD(t, pair.B, pair.A) }

func startSSHD(t testing.TB, ns, client *Namespace) *SSHServer {
	t.Helper()
	dir := Dir(t)
	s := &SSHServer{Addr: "127.0.0.1", Host: "dr1", Config: filepath.Join(dir, "ssh_config"), BinDir: filepath.Join(dir, "bin"), Log: filepath.Join(dir, "log")}
	if ns != nil {
		s.Addr, s.Port = ns.Addr, 2222
	} else {
		s.Port = freePort(t)
	}
	for _, key := range []string{"host", "user"} {
		Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", filepath.Join(dir, key))
	}
	s.write(t, dir)
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd's empty directory for privilege separation
		t.Fatal(err)
	}
	argv := ns.Command(sshd, "-D", "-f", filepath.Join(dir, "sshd_config"), "-E", s.Log)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	t.Cleanup(func() {
		s.KillSessions()
		_ = syscall.Kill(-s.pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	s.await(t, client)
	return s
}

func (s *SSHServer) write(t testing.TB, dir string) {
	t.Helper()
	public := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	put := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("authorized_keys", public("user"), 0o600)
	put("known_hosts", fmt.Sprintf("[%s]:%d %s", s.Addr, s.Port, public("host")), 0o600)
	put("ssh_config", fmt.Sprintf(`Host %s
	HostName %s
	Port %d
	User root
	IdentityFile %s/user
	IdentitiesOnly yes
	UserKnownHostsFile %s/known_hosts
	GlobalKnownHostsFile /dev/null
	StrictHostKeyChecking yes
	BatchMode yes
`, s.Host, s.Addr, s.Port, dir, dir), 0o600)
	// The environment of the "other machine": the same ddsgo, the lab's LVM. SHLVL keeps bash from reading this
	// machine's /root/.bashrc for a remote command, which may take seconds or print something.
	env := []string{"PATH=" + remotePath(), "SHLVL=1"}
	for _, v := range []string{"LVM_SYSTEM_DIR", "DM_DISABLE_UDEV", "DDSGO_LAB_RUN"} {
		if val := os.Getenv(v); val != "" {
			env = append(env, v+"="+val)
		}
	}
	put("sshd_config", fmt.Sprintf(`ListenAddress %s
Port %d
HostKey %s/host
AuthorizedKeysFile %s/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
UseDNS no
MaxStartups 100
Subsystem sftp internal-sftp
SetEnv %s
`, s.Addr, s.Port, dir, dir, strings.Join(env, " ")), 0o600)
	if err := os.Mkdir(s.BinDir, 0o755); err != nil {
		t.Fatal(err)
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	put("bin/ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F %s \"$@\"\n", ssh, s.Config), 0o755)
}

func remotePath() string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if bin := os.Getenv("DDSGO_LAB_BIN"); bin != "" {
		path = filepath.Dir(bin) + ":" + path
	}
	return path
}

// Env is the variables that make a program's "ssh" use this server.
func (s *SSHServer) Env() []string { return []string{"PATH=" + s.BinDir + ":" + os.Getenv("PATH")} }

// Force ties the client's key to one command, as "restrict,command=..." in authorized_keys does.
func (s *SSHServer) Force(t testing.TB, command string) {
	t.Helper()
	dir := filepath.Dir(s.Config)
	key, err := os.ReadFile(filepath.Join(dir, "user.pub"))
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("restrict,command=%q %s", command, key)
	if err := os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

// KillSessions SIGKILLs the server side of every open connection, the sshd itself goes on.
func (s *SSHServer) KillSessions() {
	out, err := try("pgrep", "--parent", fmt.Sprint(s.pid))
	if err != nil {
		return
	}
	for _, f := range strings.Fields(out) {
		var pid int
		if _, err := fmt.Sscan(f, &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (s *SSHServer) await(t testing.TB, ns *Namespace) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		argv := ns.Command(filepath.Join(s.BinDir, "ssh"), "-o", "ConnectTimeout=5", s.Host, "true")
		if _, last = try(argv[0], argv[1:]...); last == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(s.Log)
	t.Fatalf("lab: sshd on %s:%d does not answer: %v\n%s", s.Addr, s.Port, last, log)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
