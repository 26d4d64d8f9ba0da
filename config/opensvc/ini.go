package opensvc

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/ddsgo/ddsgo/config"
)

// maxFile bounds one file, in bytes.
const maxFile = 4 << 20

// File is one configuration file.
type File struct {
	Name string
	Text []byte
}

// document is a parsed file.
type document struct {
	name     string
	lines    []string
	sections []*section
}

// section is one [NAME] with its entries in order.
type section struct {
	name    string
	line    int
	doc     *document
	entries []entry
}

// entry is one key with its value.
type entry struct {
	key, scope   string // scope: behind the @, empty without one
	value        string
	line, column int
}

// full is the key as it is written.
func (e entry) full() string {
	if e.scope == "" {
		return e.key
	}
	return e.key + "@" + e.scope
}

// fail is an error at a line of the document.
func (d *document) fail(line, column int, format string, args ...any) *config.Error {
	e := &config.Error{Pos: config.Pos{File: d.name, Line: line, Column: max(column, 1)}, Msg: fmt.Sprintf(format, args...)}
	if line >= 1 && line <= len(d.lines) && !secret(d.lines[line-1]) {
		e.Source = strings.ReplaceAll(d.lines[line-1], "\t", " ")
	}
	return e
}

// secret says that a line's value must not be repeated.
func secret(line string) bool {
	key, _, _ := strings.Cut(strings.ToLower(line), "=")
	return strings.Contains(key, "password") || strings.Contains(key, "uuid") || strings.Contains(key, "secret")
}

// fail is an error at an entry of the section.
func (s *section) fail(e entry, format string, args ...any) *config.Error {
	return s.doc.fail(e.line, e.column, "[%s] %s: %s", s.name, e.full(), fmt.Sprintf(format, args...))
}

// missing is an error for a key that the section does not have.
func (s *section) missing(key, format string, args ...any) *config.Error {
	return s.doc.fail(s.line, 1, "[%s] %s: %s", s.name, key, fmt.Sprintf(format, args...))
}

// parser reads a document line by line.
type parser struct {
	doc    *document
	now    *section
	open   *entry // whose value a deeper line goes on with
	indent int    // of open
	errs   config.List
}

// parse reads a file; every mistake is reported.
func parse(f File) (*document, config.List) {
	p := &parser{doc: &document{name: f.Name}}
	if len(f.Text) > maxFile || bytes.IndexByte(f.Text, 0) >= 0 {
		return p.doc, config.List{p.doc.fail(0, 0, "is no configuration file of OpenSVC")}
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(f.Text), "\ufeff"), "\r\n", "\n")
	p.doc.lines = strings.Split(text, "\n")
	for i, line := range p.doc.lines {
		p.line(i+1, line)
	}
	return p.doc, p.errs
}

func (p *parser) line(n int, line string) {
	text := strings.TrimSpace(line)
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	switch {
	case text == "":
		p.open = nil
	case text[0] == '#' || text[0] == ';', strings.Trim(text, ".") == "": // a comment; lines that a page leaves out
	case p.open != nil && indent > p.indent:
		p.open.value = strings.TrimSpace(p.open.value + " " + text)
	case text[0] == '[':
		p.header(n, indent, text)
	default:
		p.entry(n, indent, text)
	}
}

func (p *parser) header(n, indent int, text string) {
	p.open = nil
	end := strings.LastIndexByte(text, ']')
	name := strings.TrimSpace(text[1:max(end, 1)])
	if end < 0 || name == "" || strings.TrimSpace(text[end+1:]) != "" {
		p.errs = append(p.errs, p.doc.fail(n, indent+1, "expected [SECTION]"))
		return
	}
	for _, s := range p.doc.sections {
		if s.name == name {
			p.errs = append(p.errs, p.doc.fail(n, indent+1, "section [%s] stands in line %d already", name, s.line))
		}
	}
	p.now = &section{name: name, line: n, doc: p.doc}
	p.doc.sections = append(p.doc.sections, p.now)
}

func (p *parser) entry(n, indent int, text string) {
	p.open = nil
	at := strings.IndexAny(text, "=:")
	if at <= 0 {
		p.errs = append(p.errs, p.doc.fail(n, indent+1, "expected [SECTION] or KEY = VALUE"))
		return
	}
	if p.now == nil {
		p.errs = append(p.errs, p.doc.fail(n, indent+1, "%s stands before any [SECTION]", strings.TrimSpace(text[:at])))
		return
	}
	e := entry{value: strings.TrimSpace(text[at+1:]), line: n, column: indent + 1}
	var scoped bool
	e.key, e.scope, scoped = strings.Cut(strings.TrimSpace(text[:at]), "@")
	if e.key == "" || scoped && e.scope == "" || strings.ContainsAny(e.key+e.scope, " \t") {
		p.errs = append(p.errs, p.doc.fail(n, indent+1, "%q is no key", strings.TrimSpace(text[:at])))
		return
	}
	for _, old := range p.now.entries {
		if old.full() == e.full() {
			p.errs = append(p.errs, p.now.fail(e, "stands in line %d already", old.line))
			return
		}
	}
	p.now.entries = append(p.now.entries, e)
	p.open, p.indent = &p.now.entries[len(p.now.entries)-1], indent
}
