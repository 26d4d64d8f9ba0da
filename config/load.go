package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds one configuration file, in bytes.
const maxFile = 8 << 20

// Load reads the configuration file and the *.yaml files of conf.d beside it. Errors:
// ErrNoConfig where neither exists, List with every defect, or one of the file system.
func Load(path string) (*Config, error) {
	files, err := filesOf(path)
	if err != nil {
		return nil, err
	}
	l := newLoader()
	for _, f := range files {
		text, err := readFile(f)
		if err != nil {
			return nil, err
		}
		l.file(f, text)
	}
	return l.finish()
}

// Parse reads one configuration text; name stands for the file in errors.
func Parse(name string, text []byte) (*Config, error) {
	l := newLoader()
	l.file(name, text)
	return l.finish()
}

// filesOf lists the files to read, in order.
func filesOf(path string) ([]string, error) {
	var files []string
	_, err := os.Stat(path)
	switch {
	case err == nil:
		files = append(files, path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("configuration: %w", err)
	}
	entries, err := os.ReadDir(confDir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	for _, e := range entries { // sorted by name
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".yaml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(confDir(path), e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoConfig, path)
	}
	return files, nil
}

func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("configuration: %s: more than %d bytes", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return text, nil
}

// loader collects the files into one Config and every defect into one list.
type loader struct {
	cfg  *Config
	errs List

	path  string   // of the file that is being read
	lines []string // of that file

	nodes map[string]placed // of resources, for the checks across files
}

// placed is a node and the file it stands in.
type placed struct {
	node  ast.Node
	path  string
	lines []string
}

func newLoader() *loader {
	return &loader{
		cfg:   &Config{Arrays: map[string]Array{}, Resources: map[string]Resource{}},
		nodes: map[string]placed{},
	}
}

// fail records a defect of the present file.
func (l *loader) fail(e *Error) {
	e.File = l.path
	if e.Line > 0 && e.Line <= len(l.lines) {
		e.Source = strings.ReplaceAll(strings.TrimRight(l.lines[e.Line-1], "\r"), "\t", " ")
	}
	l.errs = append(l.errs, e)
}

func (l *loader) failAll(list List) {
	for _, e := range list {
		l.fail(e)
	}
}

// pos is the place of a node in the present file.
func (l *loader) pos(n ast.Node) Pos {
	e := nodeError(n, "")
	return Pos{File: l.path, Line: e.Line, Column: e.Column}
}

// file reads one file.
func (l *loader) file(path string, text []byte) {
	l.path, l.lines = path, strings.Split(string(text), "\n")
	l.cfg.Files = append(l.cfg.Files, path)
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		l.fail(fromYAML(err))
		return
	}
	var docs []ast.Node
	for _, d := range parsed.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			docs = append(docs, d.Body)
		}
	}
	if len(docs) > 1 {
		l.fail(nodeError(docs[1], "a second YAML document: one file holds one document (remove the --- line)"))
		return
	}
	if len(docs) == 0 || isNull(docs[0]) {
		return // an empty file is an empty configuration
	}
	if n := hasAlias(docs[0]); n != nil {
		l.fail(nodeError(n, "anchors, aliases and merge keys are not read: write the values out"))
		return
	}
	l.top(docs[0])
}

// top reads the four keys of a file.
func (l *loader) top(n ast.Node) {
	entries, ok := pairs(n)
	if !ok {
		l.fail(nodeError(n, "expected a mapping with the keys %s", strings.Join(topKeys(), ", ")))
		return
	}
	for _, p := range entries {
		switch keyOf(p) {
		case "local_site":
			l.localSite(p.Value)
		case "arrays":
			l.each(p.Value, "arrays", l.array)
		case "resources":
			l.each(p.Value, "resources", l.resource)
		case "plugins":
			l.plugins(p.Value)
		default:
			l.fail(unknownKey(p, topKeys()))
		}
	}
}

func topKeys() []string { return []string{"local_site", "arrays", "resources", "plugins"} }

func (l *loader) localSite(n ast.Node) {
	if at := l.cfg.localSiteAt; at.File != "" {
		l.fail(nodeError(n, "local_site is set already in %s", at))
		return
	}
	if isNull(n) || n.Type() != ast.StringType {
		l.fail(nodeError(n, "local_site is the name of a site"))
		return
	}
	l.cfg.LocalSite, l.cfg.localSiteAt = scalar(n), l.pos(n)
}

func (l *loader) plugins(n ast.Node) {
	if at := l.cfg.pluginsAt; at.File != "" {
		l.fail(nodeError(n, "plugins is set already in %s", at))
		return
	}
	l.cfg.pluginsAt = l.pos(n)
	l.decode(n, &l.cfg.Plugins)
}

// each hands every entry of a mapping of names to read.
func (l *loader) each(n ast.Node, what string, read func(name string, p *ast.MappingValueNode)) {
	if isNull(n) {
		return
	}
	entries, ok := pairs(n)
	if !ok {
		l.fail(nodeError(n, "%s is a mapping of names", what))
		return
	}
	for _, p := range entries {
		name := keyOf(p)
		if why := badName(name); why != "" {
			l.fail(nodeError(p.Key, "%q is no name: %s", name, why))
			continue
		}
		read(name, p)
	}
}

// badName says why a name cannot be one: names stand in file names, in command lines
// and before colons.
func badName(name string) string {
	const maxName = 200
	if name == "" || len(name) > maxName {
		return fmt.Sprintf("it has 1 to %d characters", maxName)
	}
	if strings.ContainsRune("-.", rune(name[0])) {
		return "it must not start with - or ."
	}
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("._-", r) {
			return "use letters, digits, . _ and -"
		}
	}
	return ""
}

func (l *loader) array(name string, p *ast.MappingValueNode) {
	if old, ok := l.cfg.Arrays[name]; ok {
		l.fail(nodeError(p.Key, "array %q is defined already in %s", name, old.At))
		return
	}
	a := Array{Name: name, At: l.pos(p.Key)}
	if l.decode(p.Value, &a) {
		l.failAll(a.validate(p))
	}
	l.cfg.Arrays[name] = a
}

// decode checks the keys of n and reads it into v; false: it did not succeed.
func (l *loader) decode(n ast.Node, v any) bool {
	before := len(l.errs)
	if _, ok := pairs(n); !ok {
		l.fail(nodeError(n, "expected a mapping; known keys: %s", strings.Join(keysOf(reflect.TypeOf(v).Elem()), ", ")))
		return false
	}
	l.failAll(checkKeys(n, reflect.TypeOf(v)))
	if len(l.errs) > before {
		return false
	}
	if err := yaml.NodeToValue(n, v); err != nil {
		l.fail(fromYAML(err))
		return false
	}
	return true
}

// finish applies the checks that need all files and returns the configuration.
func (l *loader) finish() (*Config, error) {
	if len(l.cfg.Plugins.Dirs) == 0 {
		l.cfg.Plugins.Dirs = []string{DefaultPluginDir}
	}
	for _, name := range l.cfg.Names() {
		l.references(l.cfg.Resources[name])
	}
	l.checkLocalSite()
	if len(l.errs) > 0 {
		slices.SortStableFunc(l.errs, func(a, b *Error) int {
			if a.File != b.File {
				return slices.Index(l.cfg.Files, a.File) - slices.Index(l.cfg.Files, b.File)
			}
			return a.Line - b.Line
		})
		return nil, l.errs
	}
	return l.cfg, nil
}
