package hp3par

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// cli is one command line session with an array, whatever carries it.
type cli struct {
	m    *machine
	a    *array
	user string
	out  io.Writer
	ask  func() (string, error) // reads one line of the user's answer
	csv  bool                   // setclienv csvtable 1
	bare bool                   // setclienv nohdtot 1
	exit bool                   // exit was given
	last int                    // exit status of the last command

	// around is called for every command with its text; it journals and injects
	// faults, and calls run.
	around func(statement string, run func() int) int
}

// command describes one command of the array.
type command struct {
	writes bool            // needs role super or edit
	flags  map[string]bool // option -> takes a value
	min    int             // positional arguments
	max    int             // -1: any number
	syntax string
	run    func(ctx context.Context, c *cli, in input) error
}

// input is a parsed command line.
type input struct {
	flags map[string]string
	pos   []string
}

func (in input) has(flag string) bool { _, ok := in.flags[flag]; return ok }

// errSyntax marks command lines that the array's parser refuses.
var errSyntax = errors.New("syntax")

// execute runs every command of a line and returns the exit status.
func (c *cli) execute(ctx context.Context, line string) int {
	rc := 0
	for _, statement := range splitStatements(line) {
		words, err := splitWords(statement)
		if err != nil {
			c.printf("Error: %v\n", err)
			return 1
		}
		if len(words) == 0 {
			continue
		}
		rc = c.around(strings.TrimSpace(statement), func() int { return c.one(ctx, words) })
		c.last = rc
		if c.exit || ctx.Err() != nil {
			break
		}
	}
	return rc
}

// one runs one command.
func (c *cli) one(ctx context.Context, words []string) int {
	name := words[0]
	if name == "exit" || name == "quit" {
		c.exit = true
		return c.last // the session ends with the status of its last command
	}
	spec, ok := c.commands()[name]
	if !ok {
		c.printf("Error: invalid command name %q\n", name)
		return 1
	}
	quiet := *c
	in, err := c.parse(name, spec, words[1:])
	if err == nil && spec.writes {
		err = c.m.mayWrite(c.a, c.user)
	}
	if err == nil {
		err = spec.run(ctx, c, in)
	}
	if name != "setclienv" {
		c.csv, c.bare = quiet.csv, quiet.bare // -csvtable, -nohdtot hold for one command
	}
	if err == nil {
		return 0
	}
	if errors.Is(err, errSyntax) {
		c.printf("%s\nSYNTAX\n    %s\n", strings.TrimPrefix(err.Error(), errSyntax.Error()+": "), spec.syntax)
		return 1
	}
	if !errors.Is(err, errSilent) {
		c.printf("Error: %v\n", err)
	}
	return 1
}

// errSilent: the command has printed its own failure.
var errSilent = errors.New("failed")

// mayWrite returns a refusal unless the user's role allows changes.
func (m *machine) mayWrite(a *array, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := a.users[name]
	if u == nil || !u.mayWrite() {
		role := "none"
		if u != nil {
			role = u.role
		}
		return errPermission(name, role)
	}
	return nil
}

func (c *cli) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // a client that left reads nothing
}

// parse checks options and arguments against the command's description.
func (c *cli) parse(name string, spec command, words []string) (input, error) {
	in := input{flags: map[string]string{}}
	for i := 0; i < len(words); i++ {
		w := words[i]
		if len(w) < 2 || w[0] != '-' {
			in.pos = append(in.pos, w)
			continue
		}
		if strings.HasPrefix(name, "show") && (w == "-csvtable" || w == "-nohdtot") {
			c.csv = c.csv || w == "-csvtable"
			c.bare = c.bare || w == "-nohdtot"
			continue
		}
		value, known := spec.flags[w]
		switch {
		case !known:
			return in, fmt.Errorf("%w: %s: Invalid option %s", errSyntax, name, w)
		case in.has(w):
			return in, fmt.Errorf("%w: %s: Invalid: option %s already specified", errSyntax, name, w)
		case value && i+1 == len(words):
			return in, fmt.Errorf("%w: %s: Invalid: option %s needs a value", errSyntax, name, w)
		case value:
			i++
			in.flags[w] = words[i]
		default:
			in.flags[w] = ""
		}
	}
	if len(in.pos) < spec.min || (spec.max >= 0 && len(in.pos) > spec.max) {
		return in, fmt.Errorf("%w: %s: Invalid number of arguments", errSyntax, name)
	}
	return in, nil
}

// confirm asks for a yes unless -f was given. Without an answer nothing happens.
func (c *cli) confirm(in input, question string) error {
	if in.has("-f") {
		return nil
	}
	c.printf("%s\nselect q=quit y=yes n=no: ", question)
	answer, err := c.ask()
	if err != nil {
		return fmt.Errorf("no answer, nothing was changed: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		c.printf("Operation cancelled.\n")
		return errSilent
	}
	return nil
}

// locked runs f with the lock held and everything due carried out.
func (c *cli) locked(f func() *opError) error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.settle()
	if err := f(); err != nil {
		return err
	}
	return nil
}

// splitStatements cuts a line at semicolons outside quotes.
func splitStatements(line string) []string {
	var out []string
	quote, start := byte(0), 0
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; {
		case quote != 0 && ch == quote:
			quote = 0
		case quote == 0 && (ch == '"' || ch == '\''):
			quote = ch
		case quote == 0 && ch == ';':
			out, start = append(out, line[start:i]), i+1
		}
	}
	return append(out, line[start:])
}

// splitWords cuts a statement at white space, honouring quotes.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, ch := range s {
		switch {
		case quote != 0 && ch == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(ch)
		case ch == '"' || ch == '\'':
			quote, inWord = ch, true
		case ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n':
			if inWord {
				words, inWord = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteRune(ch)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("missing %c", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// commands is the array's command set.
func (c *cli) commands() map[string]command {
	all := map[string]command{}
	for _, set := range []map[string]command{remoteCopyCommands(), volumeCommands(), inventoryCommands(), environmentCommands()} {
		for name, spec := range set {
			all[name] = spec
		}
	}
	return all
}

func environmentCommands() map[string]command {
	return map[string]command{
		"setclienv": {min: 2, max: 2, syntax: "setclienv csvtable|nohdtot 0|1", run: setEnvironment},
	}
}

func setEnvironment(_ context.Context, c *cli, in input) error {
	if !slices.Contains([]string{"0", "1"}, in.pos[1]) {
		return fmt.Errorf("%w: setclienv: Invalid value %s", errSyntax, in.pos[1])
	}
	on := in.pos[1] == "1"
	switch in.pos[0] {
	case "csvtable":
		c.csv = on
	case "nohdtot":
		c.bare = on
	default:
		return fmt.Errorf("%w: setclienv: Invalid variable %s", errSyntax, in.pos[0])
	}
	return nil
}
