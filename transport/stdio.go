package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// stdio is the two ends of pipes that were a process's standard input and output.
type stdio struct{ in, out *os.File }

func (s stdio) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s stdio) Close() error                { return errors.Join(s.out.Close(), s.in.Close()) }

// Stdio is the server's end of a connection: standard input and output, taken away
// from the rest of the process. What prints to standard output afterwards prints to
// standard error, so that nothing can get between the session's messages, and
// standard input is empty for us and our children.
//
// It also makes a broken pipe an error instead of the end of the process: Go lets a
// write to a broken standard output or error kill it, and a client that went away
// must not kill a server that is about to finish a committed journal.
func Stdio() (io.ReadWriteCloser, error) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	in, err := detach(0, "stdin")
	if err != nil {
		return nil, err
	}
	out, err := detach(1, "stdout")
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	defer null.Close()
	if err := errors.Join(unix.Dup2(int(null.Fd()), 0), unix.Dup2(2, 1)); err != nil {
		return nil, errors.Join(fmt.Errorf("redirect standard input and output: %w", err), in.Close(), out.Close())
	}
	return stdio{in, out}, nil
}

// detach gives descriptor fd a new number that no child inherits. A pipe or socket
// becomes non-blocking, so that Close ends a Read; a terminal, whose mode it would
// share with a shell, stays as it is.
func detach(fd int, name string) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("take over %s: %w", name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), unix.Close(n))
	}
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFIFO || t == unix.S_IFSOCK {
		if err := unix.SetNonblock(n, true); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), unix.Close(n))
		}
	}
	return os.NewFile(uintptr(n), name), nil
}
