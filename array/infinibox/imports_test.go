package infinibox_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSharesNothingWithTheSimulator: a driver that shares code, constants or parsers with
// its simulator proves nothing.
func TestSharesNothingWithTheSimulator(t *testing.T) {
	for _, c := range []struct{ pkg, mayNot string }{
		{"github.com/ddsgo/ddsgo/array/infinibox", "github.com/ddsgo/ddsgo/sim"},
		{"github.com/ddsgo/ddsgo/sim/infinibox", "github.com/ddsgo/ddsgo/array"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", c.pkg).CombinedOutput()
		require.NoError(t, err, "%s", out)
		for dep := range strings.FieldsSeq(string(out)) {
			require.False(t, dep == c.mayNot || strings.HasPrefix(dep, c.mayNot+"/"), "%s imports %s", c.pkg, dep)
		}
	}
}
