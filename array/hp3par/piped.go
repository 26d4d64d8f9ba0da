package hp3par

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// NewPiped returns an array reached by ssh whose shell gets its commands on standard
// input, as OpenSVC's agent does it; for arrays that allow no exec channel.
func NewPiped(o Options, s SSH) (*Array, error) {
	if _, err := NewSSH(o, s); err != nil {
		return nil, err
	}
	return o.commandLine(pipedCarrier{&shell{o: s}})
}

type pipedCarrier struct{ shell *shell }

// prompts are what the array's shell writes before it reads a command. They are cut only at the
// beginning of a line: a percent sign also stands in "Syncing (100%)".
var prompts = regexp.MustCompile(`(?m)^(?:[\w.-]+ cli% ?)+`)

func (c pipedCarrier) carry(ctx context.Context, command string, bare bool) (string, int, error) {
	line := command
	if bare {
		line = "setclienv csvtable 1 ; setclienv nohdtot 1 ; " + command
	}
	out, rc, err := c.shell.converse(ctx, line+" ; exit\n")
	return stripShell(out), rc, err
}

// stripShell removes prompts and what ssh itself says.
func stripShell(out string) string {
	out = strings.ReplaceAll(out, "Pseudo-terminal will not be allocated because stdin is not a terminal.\r\n", "")
	out = prompts.ReplaceAllString(strings.ReplaceAll(out, "\r\n", "\n"), "")
	return out
}

func (c pipedCarrier) close() error { return c.shell.close() }

// converse opens a shell and writes input to it.
func (s *shell) converse(ctx context.Context, input string) (string, int, error) {
	c, session, err := s.session(ctx)
	if err != nil {
		return "", 0, err
	}
	out, errs := &capped{}, &capped{}
	session.Stdout, session.Stderr, session.Stdin = out, errs, strings.NewReader(input)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	err = session.Shell()
	if err == nil {
		err = session.Wait()
	}
	_ = session.Close() // usually closed by the array already
	text := string(slices.Concat(out.Bytes(), errs.Bytes()))
	if ctx.Err() != nil {
		s.drop(c)
		return "", 0, &silence{context.Cause(ctx), false}
	}
	if out.over {
		return "", 0, ErrOverLimit
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return text, exit.ExitStatus(), nil
	}
	if err != nil {
		s.drop(c)
		return "", 0, &silence{fmt.Errorf("shell: %w", err), false}
	}
	return text, 0, nil
}
