package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
)

// Target says where the other end is.
type Target struct {
	// Host is any ssh destination (alias, user@host, ssh://user@host:port); "" runs
	// the command on this machine without ssh.
	Host string
	// Command is the remote ddsgo; empty means ["ddsgo"], and for a local target
	// the running executable. "serve --stdio" is added.
	Command  []string
	StateDir string // passed as --state-dir; "" leaves it to the other end
}

// Options of a connection. The zero value is the default.
type Options struct {
	SSH            string        // ssh program; "" = "ssh"
	SSHConfig      string        // ssh -F; "" = DDSGO_SSH_CONFIG, else ssh's own
	ConnectTimeout time.Duration // default 15 s
	Log            *slog.Logger  // nil: none
}

// Conn is a connection to a serving ddsgo: a byte stream for package session.
type Conn struct{}

// Dial starts the other end. It returns once the process is started: an unreachable
// host shows as a failed handshake, which Explain turns into the reason.
func Dial(ctx context.Context, t Target, opt Options) (*Conn, error) {
	return nil, errors.ErrUnsupported
}

func (c *Conn) Read(p []byte) (int, error)  { return 0, errors.ErrUnsupported }
func (c *Conn) Write(p []byte) (int, error) { return 0, errors.ErrUnsupported }

// Close ends the connection and waits for the process: first by closing its input,
// then, if it does not go, by killing it.
func (c *Conn) Close() error { return errors.ErrUnsupported }

// Explain returns err with what is known about the end of the other side: ssh's or
// the remote's exit status and stderr, as a *failure.Error with the next command. A
// *failure.Error that the peer itself sent is returned as it is. nil stays nil.
func (c *Conn) Explain(err error) error { return errors.ErrUnsupported }

// Stderr is the end of what the other side wrote to its standard error.
func (c *Conn) Stderr() string { return "" }

// Pipe is an in-process connection.
func Pipe() (client, server io.ReadWriteCloser) { return nil, nil }

// Stdio is the server's end of a connection: standard input and output.
func Stdio() io.ReadWriteCloser { return nil }

// Files reads and replaces small files on a target, by sftp or locally.
type Files struct{}

// OpenFiles connects to t's sftp subsystem ("" host: this machine).
func OpenFiles(ctx context.Context, t Target, opt Options) (*Files, error) {
	return nil, errors.ErrUnsupported
}

// ReadFile returns the whole file, at most limit bytes; fs.ErrNotExist if absent.
func (f *Files) ReadFile(path string, limit int64) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// WriteFile replaces the file by temporary file, fsync (where the server can) and
// rename.
func (f *Files) WriteFile(path string, data []byte) error { return errors.ErrUnsupported }

// Close ends the connection.
func (f *Files) Close() error { return errors.ErrUnsupported }
