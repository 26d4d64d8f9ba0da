package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// pairs are the entries of a mapping; false where n is none.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// keyOf is the text of an entry's key.
func keyOf(p *ast.MappingValueNode) string {
	if t := p.Key.GetToken(); t != nil {
		return t.Value
	}
	return p.Key.String()
}

// find is the value of a key in a mapping.
func find(n ast.Node, key string) ast.Node {
	entries, _ := pairs(n)
	for _, p := range entries {
		if keyOf(p) == key {
			return p.Value
		}
	}
	return nil
}

// at is the node at a path of keys, or the deepest one that exists.
func at(n ast.Node, path ...string) ast.Node {
	for _, key := range path {
		next := find(n, key)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// scalar is the text of a scalar as it stands in the file.
func scalar(n ast.Node) string {
	if t := n.GetToken(); t != nil {
		return strings.TrimSpace(t.Value)
	}
	return n.String()
}

// isNull says that nothing stands there.
func isNull(n ast.Node) bool { return n == nil || n.Type() == ast.NullType }

// checkKeys finds the keys of n that type t does not know, at any depth.
func checkKeys(n ast.Node, t reflect.Type) List {
	if isNull(n) {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := reflect.Zero(t).Interface().(interface{ settings() reflect.Type }); ok {
		return checkEach(n, s.settings())
	}
	switch t.Kind() {
	case reflect.Slice:
		return checkItems(n, t.Elem())
	case reflect.Struct:
		return checkFields(n, t)
	}
	return nil
}

// checkEach checks the values of a mapping with free keys.
func checkEach(n ast.Node, t reflect.Type) List {
	var errs List
	entries, _ := pairs(n)
	for _, p := range entries {
		errs = append(errs, checkKeys(p.Value, t)...)
	}
	return errs
}

func checkItems(n ast.Node, t reflect.Type) List {
	var errs List
	if seq, ok := n.(*ast.SequenceNode); ok {
		for _, item := range seq.Values {
			errs = append(errs, checkKeys(item, t)...)
		}
	}
	return errs
}

func checkFields(n ast.Node, t reflect.Type) List {
	entries, ok := pairs(n)
	if !ok {
		return nil // a scalar type of ours, or the decoder's error
	}
	var errs List
	known := keysOf(t)
	for _, p := range entries {
		i := slices.Index(known, keyOf(p))
		if i < 0 {
			errs = append(errs, unknownKey(p, known))
			continue
		}
		errs = append(errs, checkKeys(p.Value, fieldOf(t, known[i]))...)
	}
	return errs
}

// unknownKey is the error for a key that is not among the known ones.
func unknownKey(p *ast.MappingValueNode, known []string) *Error {
	key := keyOf(p)
	e := nodeError(p.Key, "unknown key %q", key)
	if key == "password" || key == "secret" {
		e.Msg += " (secrets never stand here: use password_file)"
	} else if near := nearest(key, known); near != "" {
		e.Msg += " (did you mean " + near + "?)"
	}
	e.Known = known
	return e
}

// keysOf are the keys that a struct type reads.
func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		if name := tagOf(f); name != "" {
			keys = append(keys, name)
		}
	}
	return keys
}

func tagOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

func fieldOf(t reflect.Type, key string) reflect.Type {
	for f := range t.Fields() {
		if tagOf(f) == key {
			return f.Type
		}
	}
	return nil
}

// nearest is the known word that differs in at most two letters; empty: none does.
func nearest(word string, known []string) string {
	best, bestDistance := "", 3
	for _, k := range known {
		if d := distance(word, k); d < bestDistance && d < len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// hasAlias finds an anchor, alias or merge key, which ddsgo does not read.
func hasAlias(n ast.Node) ast.Node {
	f := &aliasFinder{}
	ast.Walk(f, n)
	return f.found
}

type aliasFinder struct{ found ast.Node }

// Visit implements ast.Visitor.
func (f *aliasFinder) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		if f.found == nil {
			f.found = n
		}
	}
	return f
}
