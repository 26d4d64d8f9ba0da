package hp3par

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"os/user"
	"regexp"
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
	case untrusted.MatchString(out): // whatever its exit status is
		return "", 0, fmt.Errorf("%w: array %s: its certificate is not trusted: run %s -sys %s once by hand as root and accept it, which is kept in %s",
			ErrConfig, c.p.System, c.p.Path, c.p.System, c.p.rootDir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, exec.ErrNotFound):
		return "", 0, fmt.Errorf("%w: array %s: cli: %w", ErrConfig, c.p.System, err)
	case errors.As(err, &exit) && exit.ExitCode > 0:
		return out, exit.ExitCode, nil
	case err != nil:
		return "", 0, &silence{err, false}
	}
	return out, 0, nil
}

// untrusted is a line in which the program says that it does not know the array's certificate. A table
// row, which has commas, is not meant.
var untrusted = regexp.MustCompile(`(?im)^[^,\n]*certificate\b[^,\n]*(?:trust|verif|accept|valid|expired|mismatch|unknown)[^,\n]*$|^[^,\n]*(?:untrusted|unverified|self-signed)[^,\n]*certificate[^,\n]*$`)

func (programCarrier) close() error { return nil }
