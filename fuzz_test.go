package ddsgo_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// decoders are the packages that read what a peer, a disk, a tool or a file says. Each has at least one
// fuzz target; `make fuzz` runs them all, `go test` runs their corpora.
var decoders = map[string]string{
	"stream":             "deltas, from a peer or a file",
	"stream/session":     "the messages of a session, both ends of it",
	"cow":                "exception tables on a disk",
	"extent":             "changed sets on a disk",
	"state":              "state documents, tags on volumes, OpenSVC's state file",
	"journal":            "commit records on a disk",
	"config":             "the configuration",
	"resync":             "the hash exchange, both ends of it",
	"replica":            "requests of a hostile source",
	"lvm":                "what LVM and device-mapper report",
	"array/hp3par":       "what an array prints",
	"array/hp3par/proxy": "another program's configuration",
	"array/rbd":          "what Ceph's tools print",
	"array/rbd/delta":    "records of rbd export-diff",
	"replica/image":      "the metadata of RBD images",
	"array/infinibox":    "what an array's API answers",
	"array/plugin":       "what a driver outside the program answers",
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]*)\(`)

// TestEveryDecoderIsFuzzed: no decoder without a fuzz target, no fuzz target without a corpus in the tree.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	found := map[string]int{}
	walkGo(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, m := range fuzzTarget.FindAllSubmatch(b, -1) {
			found[dir]++
			corpus := filepath.Join(dir, "testdata", "fuzz", string(m[1]))
			if entries, err := os.ReadDir(corpus); err != nil || len(entries) == 0 {
				t.Errorf("%s: %s has no corpus in %s (make fuzz, then make fuzz-corpus)", path, m[1], corpus)
			}
		}
	})
	for dir, what := range decoders {
		if found[dir] == 0 {
			t.Errorf("package %s reads %s, and has no fuzz target", dir, what)
		}
	}
}
