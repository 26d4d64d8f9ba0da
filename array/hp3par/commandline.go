package hp3par

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Retries of a command that the array had no room for, as its public clients do.
const (
	busyTries = 11
	busyPause = time.Second
)

// carrier carries one command line to an array and brings its output back. bare says
// that the command lists something and is wanted as CSV without headers and totals.
type carrier interface {
	carry(ctx context.Context, command string, bare bool) (out string, rc int, err error)
	close() error
}

// commandLine is an array that is spoken to in its command language.
type commandLine struct {
	carrier carrier
	zones   zones
	slots   chan struct{} // at most max_cli at once
	sleep   func(context.Context, time.Duration) error
}

// ask runs one command; errors are *rejection or *silence.
func (c *commandLine) ask(ctx context.Context, command string, bare bool) (string, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return "", &silence{context.Cause(ctx), true}
	}
	for try := 1; ; try++ {
		out, rc, err := c.carrier.carry(ctx, command, bare)
		if why := turnedAway(out, err); why != nil {
			if try < busyTries && c.sleep(ctx, busyPause) == nil {
				continue
			}
			return "", &silence{why, true}
		}
		var quiet *silence
		if bare && try == 1 && errors.As(err, &quiet) && !quiet.unsent && ctx.Err() == nil {
			continue // a list may be asked for again
		}
		if err != nil {
			return out, err
		}
		if text := complaint(out); rc != 0 || text != "" {
			if text == "" {
				text = strings.TrimSpace(out)
			}
			if text == "" {
				text = fmt.Sprintf("exit status %d without a word", rc)
			}
			return out, &rejection{rc: max(rc, 1), text: text}
		}
		return out, nil
	}
}

// closedAtOnce is all that an ssh client, or the vendor's program, says when the array hangs up before
// it has heard the command.
var closedAtOnce = regexp.MustCompile(`^(?:\w+: )?Connection closed by remote host\.?$`)

// turnedAway is why an array had no session left for a command, which it has not seen then.
func turnedAway(out string, err error) error {
	var quiet *silence
	switch text := strings.TrimSpace(out); {
	case errors.As(err, &quiet) && quiet.unsent && errors.Is(err, io.EOF):
		return fmt.Errorf("connection closed by remote host: %w", err)
	case err != nil:
		return nil
	case strings.Contains(text, "Too many local CLI connections."), closedAtOnce.MatchString(text):
		return errors.New(text)
	}
	return nil
}

// list implements transport.
func (c *commandLine) list(ctx context.Context) (listing, error) {
	l := listing{at: time.Now()}
	out, err := c.ask(ctx, showGroups, true)
	if err != nil {
		return l, err
	}
	if l.groups, err = parseGroups(out, c.zones); err != nil {
		return l, err
	}
	if out, err = c.ask(ctx, showLinks, true); err != nil {
		return l, err
	}
	if l.links, err = parseLinks(out); err == nil && len(l.groups) == 0 && len(l.links) == 0 {
		// A program or a proxy that lost the array may say so by an empty success.
		err = fmt.Errorf("%w: neither groups nor links are listed: the array was not asked, or has no Remote Copy", ErrOutput)
	}
	return l, err
}

// Commands that list.
const (
	showGroups = "showrcopy groups"
	showLinks  = "showrcopy links"
)

// text implements transport.
func (c *commandLine) text(a act) (string, error) { return a.cli() }

// do implements transport.
func (c *commandLine) do(ctx context.Context, a act) error {
	line, err := a.cli()
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, line, false)
	return err
}

// close implements transport.
func (c *commandLine) close() error { return c.carrier.close() }

// execCarrier uses an exec channel of ssh for each command.
type execCarrier struct{ shell *shell }

func (e execCarrier) carry(ctx context.Context, command string, bare bool) (string, int, error) {
	if bare && !prints(command) {
		command += " -csvtable -nohdtot"
	}
	return e.shell.run(ctx, command)
}

// prints says that a command prints text instead of a table. Whether it takes the options of
// tables as its own is not known; as the session's or the program's they do no harm.
func prints(command string) bool {
	word, _, _ := strings.Cut(command, " ")
	return word == showLicences || word == showClock || word == "showversion"
}

func (e execCarrier) close() error { return e.shell.close() }

// Pass runs one command line as it is, for the proxy: a list comes as CSV without headers.
// err says that no answer came.
func (a *Array) Pass(ctx context.Context, command string) (out string, rc int, err error) {
	line, ok := a.t.(*commandLine)
	if !ok {
		return "", 0, fmt.Errorf("%w: array %s takes no command lines", ErrConfig, a.Name)
	}
	out, err = line.ask(ctx, command, strings.HasPrefix(command, "show"))
	var no *rejection
	if errors.As(err, &no) {
		return out, no.rc, nil
	}
	return out, 0, err
}
