package hp3par

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/user"
	"strings"

	"github.com/ddsgo/ddsgo/internal/run"
)

// Program is the vendor's command line, which talks to the array in its own protocol.
type Program struct {
	Path    string // default /opt/3PAR/inform_cli/bin/cli
	System  string // -sys
	PwFile  string // made by `setpassword -saveonly -file`
	Runner  run.Runner
	rootDir string
}

const defaultProgram = "/opt/3PAR/inform_cli/bin/cli"

// NewProgram returns an array reached by the vendor's program.
func NewProgram(o Options, p Program) (*Array, error) {
	if p.PwFile == "" {
		return nil, fmt.Errorf("%w: array %s: method cli needs pwf, the program's password file", ErrConfig, o.Name)
	}
	if p.Path == "" {
		p.Path = defaultProgram
	}
	if p.System == "" {
		p.System = o.Name
	}
	if root, err := user.LookupId("0"); err == nil {
		p.rootDir = root.HomeDir // where the program keeps the certificates that it trusts
	}
	return o.commandLine(programCarrier{p})
}

type programCarrier struct{ p Program }

func (c programCarrier) carry(ctx context.Context, command string, bare bool) (string, int, error) {
	args := []string{"-sys", c.p.System}
	if bare {
		args = append(args, "-nohdtot", "-csvtable")
	}
	env := []string{"TPDPWFILE=" + c.p.PwFile, "TPDNOCERTPROMPT=1"}
	if c.p.rootDir != "" {
		env = append(env, "HOME="+c.p.rootDir)
	}
	res, err := c.p.Runner.Run(ctx, run.Cmd{Name: c.p.Path, Args: append(args, strings.Fields(command)...), Env: env})
	out := string(bytes.Join([][]byte{res.Stdout, res.Stderr}, nil))
	var exit *run.ExitError
	switch {
	case strings.Contains(strings.ToLower(out), "certificate") && err != nil:
		return "", 0, fmt.Errorf("%w: the certificate of %s is not trusted: run %s once by hand as root and accept it", ErrConfig, c.p.System, c.p.Path)
	case errors.As(err, &exit) && exit.ExitCode > 0:
		return out, exit.ExitCode, nil
	case err != nil:
		return "", 0, &silence{err, false}
	}
	return out, 0, nil
}

func (programCarrier) close() error { return nil }
