package proxy

import (
	"fmt"
	"strings"
	"unicode"
)

// Check says what Load would refuse in a configuration that was imported.
func (c *Config) Check() error { return c.check() }

// Import reads the literals of a config.py of OpenSVC's proxy: assignments of strings,
// and of dictionaries of strings, tuples and lists. No Python is run, and an expression
// of any other kind is refused.
func Import(text string) (*Config, error) {
	p := &literals{text: []rune(text), line: 1}
	c := &Config{}
	for {
		p.space(true)
		if p.end() {
			return c, nil
		}
		name := p.name()
		p.space(false)
		if name == "" || !p.take('=') {
			return nil, p.fail("expected NAME = VALUE")
		}
		v, err := p.value(0)
		if err != nil {
			return nil, err
		}
		if err := c.assign(name, v); err != nil {
			return nil, fmt.Errorf("%w: config.py line %d: %w", ErrConfig, p.line, err)
		}
	}
}

// tuple is a parenthesized or bracketed list; dict keeps the order of its keys.
type (
	tuple []any
	entry struct{ key, value any }
	dict  []entry
)

func (c *Config) assign(name string, v any) error {
	texts := map[string]*string{"cli": &c.CLI, "ssl_key": &c.SSLKey, "ssl_crt": &c.SSLCrt, "access_log": &c.AccessLog, "error_log": &c.ErrorLog}
	if to := texts[name]; to != nil {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s is no string", name)
		}
		*to = s
		return nil
	}
	d, ok := v.(dict)
	if !ok || name != "pwf" && name != "creds" {
		return fmt.Errorf("%s is not known", name)
	}
	for _, e := range d {
		if err := c.entry(name, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) entry(name string, e entry) error {
	if name == "pwf" {
		k, ok1 := e.key.(string)
		v, ok2 := e.value.(string)
		if !ok1 || !ok2 {
			return fmt.Errorf("pwf maps array names to files")
		}
		if c.PWF == nil {
			c.PWF = map[string]string{}
		}
		c.PWF[k] = v
		return nil
	}
	key, ok := e.key.(tuple)
	words, ok2 := e.value.(tuple)
	if !ok || !ok2 || len(key) != 3 {
		return fmt.Errorf("creds maps (service, uuid, array) to a list of commands")
	}
	var r Rule
	for i, to := range []*string{&r.Service, &r.UUID, &r.Array} {
		if *to, ok = key[i].(string); !ok {
			return fmt.Errorf("creds maps (service, uuid, array) to a list of commands")
		}
	}
	for _, w := range words {
		s, ok := w.(string)
		if !ok {
			return fmt.Errorf("a command is no string")
		}
		r.Commands = append(r.Commands, s)
	}
	c.Creds = append(c.Creds, r)
	return nil
}

// maxDepth bounds nesting; creds needs three.
const maxDepth = 8

type literals struct {
	text []rune
	at   int
	line int
}

func (p *literals) end() bool { return p.at >= len(p.text) }

func (p *literals) fail(why string) error {
	return fmt.Errorf("%w: config.py line %d: %s", ErrConfig, p.line, why)
}

// space skips blanks and comments, and with lines also ends of lines.
func (p *literals) space(lines bool) {
	for !p.end() {
		c := p.text[p.at]
		switch {
		case c == '#':
			for !p.end() && p.text[p.at] != '\n' {
				p.at++
			}
			continue
		case c == '\n' && lines:
			p.line++
		case c == '\n' || !unicode.IsSpace(c):
			return
		}
		p.at++
	}
}

func (p *literals) take(c rune) bool {
	if p.end() || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *literals) name() string {
	start := p.at
	for !p.end() && (unicode.IsLetter(p.text[p.at]) || p.text[p.at] == '_') {
		p.at++
	}
	return string(p.text[start:p.at])
}

func (p *literals) value(depth int) (any, error) {
	p.space(depth > 0)
	if p.end() || depth > maxDepth {
		return nil, p.fail("expected a value")
	}
	switch c := p.text[p.at]; c {
	case '"', '\'':
		return p.quoted(c)
	case '(':
		return p.list(')', depth)
	case '[':
		return p.list(']', depth)
	case '{':
		return p.dict(depth)
	}
	return nil, p.fail("only strings, tuples, lists and dictionaries of them are read")
}

func (p *literals) quoted(quote rune) (any, error) {
	p.at++
	var b strings.Builder
	for !p.end() {
		c := p.text[p.at]
		p.at++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\n':
			return nil, p.fail("a string does not end")
		case c == '\\':
			return nil, p.fail("backslashes in strings are not read")
		}
		b.WriteRune(c)
	}
	return nil, p.fail("a string does not end")
}

func (p *literals) list(closing rune, depth int) (any, error) {
	p.at++
	out := tuple{}
	for {
		p.space(true)
		if p.take(closing) {
			return out, nil
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		p.space(true)
		if !p.take(',') {
			if p.take(closing) {
				return out, nil
			}
			return nil, p.fail("expected , or the end of the list")
		}
	}
}

func (p *literals) dict(depth int) (any, error) {
	p.at++
	out := dict{}
	for {
		p.space(true)
		if p.take('}') {
			return out, nil
		}
		k, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		p.space(true)
		if !p.take(':') {
			return nil, p.fail("expected :")
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, entry{k, v})
		p.space(true)
		if !p.take(',') {
			if p.take('}') {
				return out, nil
			}
			return nil, p.fail("expected , or }")
		}
	}
}
