package hp3par

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ddsgo/ddsgo/sim/control"
)

// sshServer is the management ssh server of one array.
type sshServer struct {
	m       *machine
	a       int // index: a reset replaces the array
	journal *control.Journal
	config  *ssh.ServerConfig
	key     ssh.PublicKey // accepted for the array's super users
	wg      sync.WaitGroup

	mu       sync.Mutex
	sessions int // command line sessions now
	peak     int // most at any one time
}

func newSSHServer(m *machine, index int, journal *control.Journal, keys []ssh.Signer, client ssh.PublicKey) *sshServer {
	s := &sshServer{m: m, a: index, journal: journal, key: client}
	s.config = &ssh.ServerConfig{
		ServerVersion:     "SSH-2.0-OpenSSH_6.0p1",
		PasswordCallback:  s.checkPassword,
		PublicKeyCallback: s.checkKey,
	}
	for _, k := range keys {
		s.config.AddHostKey(k)
	}
	return s
}

func (s *sshServer) array() *array {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.arrays[s.a]
}

func (s *sshServer) user(name string) *user {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.arrays[s.a].users[name]
}

func (s *sshServer) checkPassword(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if u := s.user(meta.User()); u != nil && u.password == string(password) {
		return nil, nil
	}
	return nil, errors.New("permission denied")
}

func (s *sshServer) checkKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	u := s.user(meta.User())
	if u != nil && u.role == "super" && bytes.Equal(key.Marshal(), s.key.Marshal()) {
		return nil, nil
	}
	return nil, errors.New("permission denied")
}

// serve accepts connections until l is closed, then waits for all of them.
func (s *sshServer) serve(ctx context.Context, l net.Listener) {
	defer s.wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.connection(ctx, c) })
	}
}

func (s *sshServer) connection(ctx context.Context, c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return // the client could not log in, or left
	}
	defer conn.Close()
	go func() { _ = conn.Wait(); cancel() }()
	go ssh.DiscardRequests(requests)
	var open sync.WaitGroup
	defer open.Wait()
	for ch := range channels {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only session channels")
			continue
		}
		channel, reqs, err := ch.Accept()
		if err != nil {
			return
		}
		open.Go(func() { s.session(ctx, conn, channel, reqs) })
	}
}

// session serves one channel: an exec request, or a shell with or without pty.
func (s *sshServer) session(ctx context.Context, conn *ssh.ServerConn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	pty := false
	for r := range reqs {
		switch r.Type {
		case "pty-req":
			pty = true
			_ = r.Reply(true, nil)
		case "env", "window-change", "signal":
			_ = r.Reply(r.Type != "signal", nil)
		case "exec", "shell":
			line, ok := commandOf(r)
			_ = r.Reply(ok, nil)
			if !ok {
				return
			}
			go ssh.DiscardRequests(reqs)
			s.limited(ctx, conn, ch, pty, r.Type == "exec", line)
			return
		default:
			_ = r.Reply(false, nil)
		}
	}
}

func commandOf(r *ssh.Request) (string, bool) {
	if r.Type == "shell" {
		return "", true
	}
	var payload struct{ Command string }
	err := ssh.Unmarshal(r.Payload, &payload)
	return payload.Command, err == nil
}

// limited runs the session unless the array has too many of them.
func (s *sshServer) limited(ctx context.Context, conn *ssh.ServerConn, ch ssh.Channel, pty, exec bool, line string) {
	s.mu.Lock()
	s.sessions++
	now := s.sessions
	s.peak = max(s.peak, now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.sessions--
		s.mu.Unlock()
	}()
	if s.tooMany(now, line) {
		a := s.array().name
		seq := s.journal.Begin(control.Entry{Time: s.m.clock.Now().UTC(), Array: a, Transport: "ssh-refused", User: conn.User(), Command: line})
		s.journal.End(seq, 1)
		_, _ = fmt.Fprint(ch.Stderr(), "Too many local CLI connections.\r\n")
		exitStatus(ch, 1)
		return
	}
	rc := 0
	transport := "ssh-exec"
	switch {
	case exec:
		rc = s.exec(ctx, conn, ch, pty, line)
	case pty:
		transport = "ssh-pty"
		rc = s.interactive(ctx, conn, ch, transport)
	default:
		rc = s.piped(ctx, conn, ch)
	}
	if s.m.faultOn(s.array(), "exit_zero") {
		rc = 0
	}
	exitStatus(ch, rc)
}

// tooMany: the fault's value true strikes always, a number is the limit.
func (s *sshServer) tooMany(now int, line string) bool {
	name := s.array().name
	f, ok := s.m.faults.Active(name, "too_many_cli")
	if !ok || (f.Number() > 0 && float64(now) <= f.Number()) {
		return false
	}
	_, ok = s.m.faults.Take(name, "too_many_cli", line)
	return ok
}

func exitStatus(ch ssh.Channel, rc int) {
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(rc)}))
}

// newCLI makes a command line session that journals and suffers faults.
func (s *sshServer) newCLI(ctx context.Context, conn *ssh.ServerConn, out io.Writer, transport string, ask func() (string, error)) *cli {
	c := &cli{m: s.m, a: s.array(), user: conn.User(), out: out, ask: ask}
	c.around = func(statement string, run func() int) int {
		c.a = s.array() // a reset may have replaced it
		name := c.a.name
		seq := s.journal.Begin(control.Entry{Time: s.m.clock.Now().UTC(), Array: name, Transport: transport, User: c.user, Command: statement})
		if f, ok := s.m.faults.Take(name, "slow_ms", statement); ok {
			pause(ctx, f.Milliseconds())
		}
		_, drop := s.m.faults.Take(name, "drop_reply", statement)
		if drop {
			c.out = io.Discard
		}
		rc := 1
		if f, ok := s.m.faults.Take(name, "refuse", statement); ok {
			c.printf("Error: %s\n", f.Text())
		} else {
			rc = run()
		}
		s.journal.End(seq, rc)
		if drop {
			_ = conn.Close()
			c.exit = true
		}
		return rc
	}
	return c
}

// pause waits in real time: a slow reply is slow for the client, whatever the
// simulated clock does.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (s *sshServer) exec(ctx context.Context, conn *ssh.ServerConn, ch ssh.Channel, pty bool, line string) int {
	var out io.Writer = ch
	if pty {
		out = crlfWriter{ch}
	}
	in := newLineReader(ctx, ch)
	return s.newCLI(ctx, conn, out, "ssh-exec", in.line).execute(ctx, line)
}
