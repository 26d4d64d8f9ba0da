package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

func TestParseBandwidth(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "50M": 50 << 20, "64K": 64 << 10, "1G": 1 << 30, "100000": 100000, "2MiB": 2 << 20, "2MB": 2e6} {
		got, err := parseBandwidth(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"0", "1", "-5M", "fast", "M", "1e99", "50Q", "9999999T"} {
		_, err := parseBandwidth(text)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeUsage, code, text)
	}
}
