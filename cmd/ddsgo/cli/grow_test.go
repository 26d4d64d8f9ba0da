package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

func TestNewSize(t *testing.T) {
	now := func() (int64, error) { return 10 << 30, nil }
	for text, want := range map[string]int64{"": 0, "20G": 20 << 30, "+5G": 15 << 30, "1048576": 1 << 20, "+512M": 10<<30 + 512<<20} {
		got, err := newSize(text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"0", "+0", "-5G", "large", "+", "++1G"} {
		_, err := newSize(text, now)
		code, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeUsage, code, text)
	}
}
