package hp3par

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// ttyStart is how long the command line takes to start in a terminal: what is
	// typed before is echoed by the terminal, and again by the prompt.
	ttyStart = 2 * time.Second
	// ttyQuiet ends the wait once typing has paused.
	ttyQuiet = 30 * time.Millisecond
	// maxLine bounds one input line.
	maxLine = 64 << 10
)

var errLineTooLong = errors.New("line too long")

// crlfWriter ends lines as a terminal does.
type crlfWriter struct{ w io.Writer }

func (c crlfWriter) Write(p []byte) (int, error) {
	_, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// lineReader reads lines from a channel and can wait for input with a limit.
type lineReader struct {
	ctx    context.Context
	chunks chan []byte
	buf    []byte
	echo   io.Writer // nil: no echo
}

func newLineReader(ctx context.Context, r io.Reader) *lineReader {
	l := &lineReader{ctx: ctx, chunks: make(chan []byte)}
	go func() {
		defer close(l.chunks)
		for {
			chunk := make([]byte, 32<<10)
			n, err := r.Read(chunk)
			if n > 0 {
				select {
				case l.chunks <- chunk[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

// typeAhead collects what arrives before the prompt appears.
func (l *lineReader) typeAhead() []byte {
	wait := ttyStart
	for {
		timer := time.NewTimer(wait)
		select {
		case chunk, ok := <-l.chunks:
			timer.Stop()
			if !ok {
				return l.buf
			}
			l.buf = append(l.buf, chunk...)
			wait = ttyQuiet
		case <-timer.C:
			return l.buf
		case <-l.ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// line returns the next line without its end; at the end of input what is left,
// then io.EOF. Characters are echoed as they are read.
func (l *lineReader) line() (string, error) {
	shown := 0
	for {
		if end := bytes.IndexAny(l.buf, "\r\n"); end >= 0 {
			text := string(l.buf[:end])
			l.show(l.buf[min(shown, end):end], "\r\n")
			next := end + 1
			if l.buf[end] == '\r' && next < len(l.buf) && l.buf[next] == '\n' {
				next++
			}
			l.buf = l.buf[next:]
			return text, nil
		}
		if len(l.buf) > maxLine {
			return "", errLineTooLong
		}
		l.show(l.buf[shown:], "")
		shown = len(l.buf)
		select {
		case chunk, ok := <-l.chunks:
			if !ok {
				return l.rest()
			}
			l.buf = append(l.buf, chunk...)
		case <-l.ctx.Done():
			return "", l.ctx.Err()
		}
	}
}

func (l *lineReader) rest() (string, error) {
	if len(l.buf) == 0 {
		return "", io.EOF
	}
	text := string(l.buf)
	l.buf = nil
	return text, nil
}

func (l *lineReader) show(p []byte, end string) {
	if l.echo != nil {
		_, _ = l.echo.Write(append(bytes.Clone(p), end...))
	}
}

// piped is a shell without terminal: prompts, no echo.
func (s *sshServer) piped(ctx context.Context, conn *ssh.ServerConn, ch ssh.Channel) int {
	in := newLineReader(ctx, ch)
	return s.converse(ctx, s.newCLI(ctx, conn, ch, "ssh-pipe", in.line), in, ch)
}

// interactive is a shell in a terminal.
func (s *sshServer) interactive(ctx context.Context, conn *ssh.ServerConn, ch ssh.Channel, transport string) int {
	in := newLineReader(ctx, ch)
	_, _ = crlfWriter{ch}.Write(in.typeAhead())
	in.echo = ch
	return s.converse(ctx, s.newCLI(ctx, conn, crlfWriter{ch}, transport, in.line), in, ch)
}

// converse prompts and executes until exit or the end of input.
func (s *sshServer) converse(ctx context.Context, c *cli, in *lineReader, out io.Writer) int {
	rc := 0
	for !c.exit && ctx.Err() == nil {
		_, _ = io.WriteString(out, c.a.name+" cli% ")
		line, err := in.line()
		if err != nil {
			break
		}
		rc = c.execute(ctx, line)
	}
	return rc
}
