package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// ErrNoConfig is returned by Load when there is no configuration file at all.
var ErrNoConfig = errors.New("no configuration file")

// Pos is a place in a configuration file.
type Pos struct {
	File   string
	Line   int
	Column int
}

// String is file:line:column.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Error is one defect of a configuration file.
type Error struct {
	Pos
	Msg    string
	Known  []string // what may stand there
	Source string   // the line itself
}

// Error is file:line:column: message; known: ...; and the line with a caret.
func (e *Error) Error() string {
	msg := e.Msg
	if e.Line > 0 {
		msg = e.Pos.String() + ": " + msg
	} else if e.File != "" {
		msg = e.File + ": " + msg
	}
	if len(e.Known) > 0 {
		msg += "; known: " + strings.Join(e.Known, ", ")
	}
	if e.Source != "" {
		caret := strings.Repeat(" ", max(e.Column-1, 0)) + "^"
		msg += "\n    " + e.Source + "\n    " + caret
	}
	return msg
}

// List is every defect that was found.
type List []*Error

// Error joins the defects, one after the other.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Failure turns an error of this package into one with an exit code and a next command.
func Failure(err error) error {
	if errors.Is(err, ErrNoConfig) {
		return failure.With(failure.CodeUsage, "", err.Error(), "ddsgo config generate > "+DefaultPath, nil)
	}
	return failure.With(failure.CodeUsage, "configuration", err.Error(), "ddsgo config check", nil)
}

// nodeError is a defect at a node; the loader adds the file and the line's text.
func nodeError(n ast.Node, format string, args ...any) *Error {
	e := &Error{Msg: fmt.Sprintf(format, args...)}
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		e.Line, e.Column = n.GetToken().Position.Line, n.GetToken().Position.Column
	}
	return e
}

// fromYAML turns an error of the YAML library into one of ours.
func fromYAML(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var y yaml.Error
	if !errors.As(err, &y) {
		return &Error{Msg: err.Error()}
	}
	e := &Error{Msg: plainType(y.GetMessage())}
	if t := y.GetToken(); t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
	}
	return e
}

// plainType takes the names of Go types out of a message for people.
func plainType(msg string) string {
	i := strings.Index(msg, "cannot unmarshal ")
	if i < 0 {
		return msg
	}
	kinds := strings.NewReplacer("uint64", "a number", "int64", "a number", "float64", "a number", "map[string]interface {}", "a mapping",
		"[]interface {}", "a list", "[]string", "a list of strings")
	from, to, _ := strings.Cut(strings.TrimPrefix(msg[i:], "cannot unmarshal "), " into Go ")
	to = strings.TrimPrefix(to, "value of type ")
	if _, after, ok := strings.Cut(to, " of type "); ok {
		to = after
	}
	want := map[string]string{"bool": "true or false", "int": "a whole number", "string": "a string"}[to]
	if want == "" {
		want = kinds.Replace(to)
	}
	if strings.HasPrefix(want, "config.") || strings.HasPrefix(want, "map[") {
		want = "a mapping"
	}
	return "expected " + want + ", found " + kinds.Replace(from)
}
