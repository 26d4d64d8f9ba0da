package run

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The limit holds for io.Copy too, which prefers a writer's ReadFrom.
func TestLimitedHoldsForCopy(t *testing.T) {
	l := &limited{max: 10}
	n, err := io.Copy(l, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1000))})
	require.NoError(t, err)
	require.EqualValues(t, 1000, n, "the command is not stopped by a full pipe")
	require.Len(t, l.Bytes(), 10)
	require.True(t, l.over)
}
