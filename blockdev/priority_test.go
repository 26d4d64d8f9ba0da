package blockdev

import (
	"testing"

	"github.com/stretchr/testify/require"
)

type readerFunc func([]byte, int64) (int, error)

func (f readerFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestIdle(t *testing.T) {
	during := false
	r := Idle(readerFunc(func(p []byte, off int64) (int, error) {
		during = IdleNow()
		return copy(p, "x"), nil
	}))
	require.False(t, IdleNow())
	n, err := r.ReadAt(make([]byte, 5), 7)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.True(t, during)
	require.False(t, IdleNow())
}
