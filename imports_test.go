package ddsgo_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ddsgo/ddsgo/"

// layer is one rule of docs/ARCHITECTURE.md: no package below one of these folders
// may import a package below one of those.
type layer struct {
	in, mayNot []string
	because    string
}

var layers = []layer{
	{[]string{"generation", "extent"}, []string{"blockdev", "cow", "stream", "engine", "journal", "state", "lvm", "transport", "replica", "array", "config", "cmd"}, "leaves import nothing of ddsgo but each other"},
	{[]string{"blockdev", "cow", "stream", "journal", "engine", "thin", "resync"}, []string{"lvm", "transport", "state", "replica", "array", "config", "cmd", "daemon"}, "the data path knows neither LVM nor ssh nor state"},
	{[]string{"lvm", "state", "transport"}, []string{"replica", "engine", "array", "config", "cmd", "daemon"}, "only replica brings data path, LVM, ssh and state together"},
	{[]string{"array"}, []string{"replica", "cmd", "daemon", "lvm"}, "drivers know nothing of LVM replicas"},
	{[]string{"internal"}, []string{"replica", "engine", "cmd", "daemon", "lvm"}, "internal packages serve, they do not decide"},
	{[]string{"replica"}, []string{"cmd", "daemon"}, "imports point from cli to daemon to replica"},
	{[]string{"sim/hp3par"}, []string{"array"}, "a simulator that shares code with the driver proves nothing"},
	{[]string{"sim/infinibox"}, []string{"array"}, "a simulator that shares code with the driver proves nothing"},
	{[]string{"array"}, []string{"sim"}, "production code never imports a simulator"},
}

// testOnly may be imported by tests, by each other and by the sim verbs alone.
var testOnly = []string{"sim", "lab", "bench", "fuzz"}

func TestImportsPointOneWay(t *testing.T) {
	eachFile(t, func(path string, imports []string) {
		dir := filepath.ToSlash(filepath.Dir(path))
		test := strings.HasSuffix(path, "_test.go") || below(dir, testOnly) || strings.Contains(dir, "test") || strings.Contains(dir, "fake")
		for _, imp := range imports {
			for _, l := range layers {
				if !test && below(dir, l.in) && below(imp, l.mayNot) {
					t.Errorf("%s imports %s: %s", path, imp, l.because)
				}
			}
			simVerb := strings.HasPrefix(path, "cmd/ddsgo/cli/sim")
			if below(imp, testOnly) && !test && !simVerb {
				t.Errorf("%s imports %s: that is for tests", path, imp)
			}
		}
	})
}

func TestEveryPackageIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	fset := token.NewFileSet()
	walkGo(t, func(path string) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") || dir == "." {
			return
		}
		f, err := parser.ParseFile(fset, path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		documented[dir] = documented[dir] || f.Doc != nil
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

// below says whether a path is one of these folders or inside one.
func below(path string, folders []string) bool {
	for _, f := range folders {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}

func eachFile(t *testing.T, f func(path string, imports []string)) {
	t.Helper()
	n := 0
	walkGo(t, func(path string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		var own []string
		for _, imp := range file.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if rest, ok := strings.CutPrefix(p, module); ok {
				own = append(own, rest)
			}
		}
		n++
		f(path, own)
	})
	if n < 20 {
		t.Fatalf("only %d Go files found: the walk is broken", n)
	}
}

func walkGo(t *testing.T, f func(path string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == "tools" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			f(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
