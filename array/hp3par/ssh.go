package hp3par

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// dialTime bounds how long an array may take to let us in.
const dialTime = 15 * time.Second

// maxOutput bounds what is read of one command.
const maxOutput = 64 << 20

// SSH says how an array's command line is reached.
type SSH struct {
	Address    string // host:port
	User       string
	KeyFile    string // private key; or
	Password   string
	KnownHosts string // file; the array's key must be in it
}

// shell runs commands over one ssh connection, made anew when it breaks.
type shell struct {
	o  SSH
	mu sync.Mutex
	c  *ssh.Client
}

// login reads keys anew for each connection: they may have been replaced meanwhile.
func (s *shell) login() (*ssh.ClientConfig, error) {
	check, err := knownhosts.New(s.o.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("%w: known_hosts: %w", ErrConfig, err)
	}
	cfg := &ssh.ClientConfig{User: s.o.User, HostKeyCallback: check, Timeout: dialTime}
	if s.o.KeyFile != "" {
		pem, err := os.ReadFile(s.o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%w: key: %w", ErrConfig, err)
		}
		key, err := ssh.ParsePrivateKey(pem)
		if err != nil {
			return nil, fmt.Errorf("%w: key %s: %w", ErrConfig, s.o.KeyFile, err)
		}
		cfg.Auth = append(cfg.Auth, ssh.PublicKeys(key))
	}
	if s.o.Password != "" {
		cfg.Auth = append(cfg.Auth, ssh.Password(s.o.Password))
	}
	return cfg, nil
}

// client is the present connection, or a new one.
func (s *shell) client(ctx context.Context) (*ssh.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		return s.c, nil
	}
	cfg, err := s.login()
	if err != nil {
		return nil, err
	}
	c, err := dialSSH(ctx, s.o.Address, cfg)
	// The array may have offered a kind of key that the file does not hold.
	var bad *knownhosts.KeyError
	if errors.As(err, &bad) && len(bad.Want) > 0 {
		cfg.HostKeyAlgorithms = nil
		for _, k := range bad.Want {
			cfg.HostKeyAlgorithms = append(cfg.HostKeyAlgorithms, algorithmsOf(k.Key.Type())...)
		}
		c, err = dialSSH(ctx, s.o.Address, cfg)
	}
	if err != nil {
		return nil, err
	}
	s.c = c
	return c, nil
}

func algorithmsOf(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSA}
	}
	return []string{kind}
}

func dialSSH(ctx context.Context, address string, cfg *ssh.ClientConfig) (*ssh.Client, error) {
	d := net.Dialer{Timeout: dialTime}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(dialTime)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, address, cfg)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// drop forgets a connection that broke.
func (s *shell) drop(c *ssh.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == c {
		s.c = nil
	}
	_ = c.Close() // it is broken already
}

// close ends the connection.
func (s *shell) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		return nil
	}
	err := s.c.Close()
	s.c = nil
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// session opens a session on the present connection, or on a new one if that has broken since it was
// used last.
func (s *shell) session(ctx context.Context) (*ssh.Client, *ssh.Session, error) {
	for again := true; ; again = false {
		c, err := s.client(ctx)
		if err != nil {
			return nil, nil, &silence{err, true}
		}
		session, err := c.NewSession()
		if err == nil {
			return c, session, nil
		}
		s.drop(c)
		if !again || ctx.Err() != nil {
			return nil, nil, &silence{err, true}
		}
	}
}

// run sends one command line through an exec channel.
func (s *shell) run(ctx context.Context, line string) (string, int, error) {
	c, session, err := s.session(ctx)
	if err != nil {
		return "", 0, err
	}
	out, rc, err := s.exec(ctx, c, session, line)
	if err != nil {
		s.drop(c)
	}
	return out, rc, err
}

func (s *shell) exec(ctx context.Context, c *ssh.Client, session *ssh.Session, line string) (string, int, error) {
	out, errs := &capped{}, &capped{}
	session.Stdout, session.Stderr = out, errs
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	err := session.Run(line)
	stop()
	_ = session.Close() // usually closed by the array already
	if ctx.Err() != nil {
		return "", 0, &silence{context.Cause(ctx), false}
	}
	if out.over {
		return "", 0, ErrOverLimit
	}
	var exit *ssh.ExitError
	text := slices.Concat(out.Bytes(), errs.Bytes())
	switch {
	case err == nil:
		return string(text), 0, nil
	case errors.As(err, &exit):
		return string(text), exit.ExitStatus(), nil
	}
	return string(text), 0, &silence{err, false}
}

// capped keeps the first maxOutput bytes.
type capped struct {
	bytes.Buffer
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.Len()+len(p) > maxOutput {
		c.over = true
		return len(p), nil
	}
	return c.Buffer.Write(p)
}

// ReadFrom hides the buffer's, which would go round the limit.
func (c *capped) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}
