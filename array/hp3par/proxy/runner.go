package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/run"
)

// arrays runs commands on the arrays of a configuration.
type arrays map[string]*hp3par.Array

// NewRunner connects nothing yet.
func NewRunner(c *Config, r run.Runner) (Runner, error) {
	out := arrays{}
	for name, file := range c.PWF {
		a, err := hp3par.NewProgram(hp3par.Options{Name: name, MaxCLI: c.MaxPerArray}, hp3par.Program{Path: c.CLI, System: name, PwFile: file, Runner: r})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		out[name] = a
	}
	for name, s := range c.Arrays {
		if s.Manager == "" {
			s.Manager = name
		}
		if s.Port == 0 {
			s.Port = 22
		}
		a, err := hp3par.NewSSH(hp3par.Options{Name: name, MaxCLI: c.MaxPerArray}, hp3par.SSH{
			Address: net.JoinHostPort(s.Manager, strconv.Itoa(s.Port)), User: s.Username, KeyFile: s.Key, KnownHosts: s.KnownHosts,
		})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		out[name] = a
	}
	return out, nil
}

// Run implements Runner.
func (a arrays) Run(ctx context.Context, array, command string) (string, int, error) {
	to := a[array]
	if to == nil {
		return "", 0, errors.New("array is not configured")
	}
	return to.Pass(ctx, command)
}

// Close implements io.Closer: sessions end.
func (a arrays) Close() error {
	var errs []error
	for _, x := range a {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}
